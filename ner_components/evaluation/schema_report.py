"""What schema tests found: checks, shares, and what is worse than it was."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from ..errors import Errors

INVARIANCE = ("case", "quotes", "space", "unicode", "position", "order", "names")
# Kinds of which no check may fail, whatever the limits.
STRICT = ("static", "tokens", "determinism")
KINDS = ("static", "tokens", "must", "must_not", *INVARIANCE, "determinism")
# The shares that have a limit.
GROUPS = {"must": ("must",), "must_not": ("must_not",), "invariance": INVARIANCE}
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
REPORT_FORMAT = 1


@dataclass(frozen=True)
class Check:
    """One thing that was checked. It names its example by number and holds no text.

    kind (str): One of `KINDS`.
    label (str): The label; empty for the pipeline as a whole.
    side (str), number (int): The example, as in `Example`; empty and 0 without one.
    variant (str): What of that kind was checked ("lower", "alias PER").
    status (str): "passed", "failed", or "skipped" where nothing could be compared.
    problem (str): What is wrong, empty where nothing is. Characters are those of the
        changed text.
    """

    kind: str
    label: str
    side: str = ""
    number: int = 0
    variant: str = ""
    status: str = PASSED
    problem: str = ""

    @property
    def key(self) -> Tuple[str, str, str, int, str]:
        """RETURNS (Tuple[str, str, str, int, str]): The same in every report."""
        return self.kind, self.label, self.side, self.number, self.variant


@dataclass(frozen=True)
class Limits:
    """Least share of checks that must pass, 0 to 1, over all labels.

    must (float), must_not (float): Of the examples.
    invariance (float): Of the perturbed examples and the orders.
    """

    must: float = 1.0
    must_not: float = 1.0
    invariance: float = 1.0


@dataclass
class SchemaTestReport:
    """What the schema tests of a pipeline found.

    pipeline (str): Name and version of the pipeline.
    schema_version (str): Version of the schema.
    schema_digest (str): SHA-256 of the schema, examples included.
    labels_digest (str): SHA-256 of what the pipeline knows of its labels: names, aliases,
        and the thresholds that apply.
    tokenization_digest (str): SHA-256 of the token borders of all examples.
    left_out (List[str]): What the user asked to leave out.
    checks (List[Check]): Every check.
    stats (Dict[str, Dict[str, int]]): Candidates by state and reason of each pipe that
        counts them, over all runs of the test.
    """

    pipeline: str
    schema_version: str
    schema_digest: str
    labels_digest: str
    tokenization_digest: str
    left_out: List[str] = field(default_factory=list)
    checks: List[Check] = field(default_factory=list)
    stats: Dict[str, Dict[str, int]] = field(default_factory=dict)

    @property
    def failed(self) -> List[Check]:
        """RETURNS (List[Check]): The checks that failed."""
        return [x for x in self.checks if x.status == FAILED]

    @property
    def skipped(self) -> List[Check]:
        """RETURNS (List[Check]): The checks that could not be made."""
        return [x for x in self.checks if x.status == SKIPPED]

    def count(self, *kinds: str) -> Optional[Tuple[int, int]]:
        """RETURNS (Optional[Tuple[int, int]]): Checks of these kinds that passed and all
        that were made (skipped ones don't count), `None` where there were none."""
        made = [x for x in self.checks if x.kind in kinds and x.status != SKIPPED]
        return (sum(x.status == PASSED for x in made), len(made)) if made else None

    def share(self, *kinds: str) -> Optional[float]:
        """RETURNS (Optional[float]): Share of these kinds' checks that passed, 0 to 1,
        `None` where there were none."""
        counts = self.count(*kinds)
        return None if counts is None else counts[0] / counts[1]

    @property
    def labels(self) -> List[str]:
        """RETURNS (List[str]): The labels that have checks, in order."""
        return list(dict.fromkeys(x.label for x in self.checks))

    def tally(self) -> Dict[Tuple[str, str], Tuple[int, int]]:
        """RETURNS (Dict[Tuple[str, str], Tuple[int, int]]): Checks that passed and all
        that were made, by label and kind."""
        return _tally((x, (x.label, x.kind)) for x in self.checks)

    def tally_names(self) -> Dict[str, Tuple[int, int]]:
        """RETURNS (Dict[str, Tuple[int, int]]): Checks with swapped names that passed and
        all that were made, by group: the origin of the names."""
        swaps = [x for x in self.checks if x.kind == "names"]
        return _tally((x, x.variant.rpartition(" ")[0]) for x in swaps)

    def findings(
        self, limits: Limits, baseline: Optional["SchemaTestReport"] = None
    ) -> List[str]:
        """Say why this report must not pass.

        limits (Limits): Least shares.
        baseline (Optional[SchemaTestReport]): An earlier report to hold it against.
        RETURNS (List[str]): One line each, without text of examples; none if all is well.
        """
        lines = []
        for kind in STRICT:
            count = sum(x.kind == kind for x in self.failed)
            if count:
                lines.append(f"{kind}: {count} failed")
        for name, kinds in GROUPS.items():
            share, least = self.share(*kinds), getattr(limits, name)
            if share is not None and share < least:
                lines.append(f"{name}: {share:.4f} passed, at least {least:.4f} must")
        return lines + ([] if baseline is None else self._regressions(baseline))

    def _regressions(self, baseline: "SchemaTestReport") -> List[str]:
        lines = []
        for name in ("schema", "labels", "tokenization"):
            attribute = f"{name}_digest"
            if getattr(self, attribute) != getattr(baseline, attribute):
                lines.append(f"{name}: changed since the baseline")
        passed = {x.key for x in baseline.checks if x.status == PASSED}
        worse = Counter((x.kind, x.label) for x in self.failed if x.key in passed)
        for (kind, label), count in sorted(worse.items()):
            where = f"{kind}, {label}" if label else kind
            lines.append(f"{where}: {count} passed in the baseline and failed now")
        return lines

    def unchecked(self, baseline: "SchemaTestReport") -> int:
        """RETURNS (int): Checks that passed in the baseline and were not made, or
        skipped, now."""
        made = {x.key for x in self.checks if x.status != SKIPPED}
        return sum(x.status == PASSED and x.key not in made for x in baseline.checks)

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): JSON-serialisable copy, with the shares."""
        shares = {name: self.share(*kinds) for name, kinds in GROUPS.items()}
        return {"format": REPORT_FORMAT, "shares": shares, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Dict[str, Any]) -> "SchemaTestReport":
        """Restore what `to_dict` made."""
        known = {key: data[key] for key in cls.__dataclass_fields__}
        known["checks"] = [Check(**x) for x in data["checks"]]
        return cls(**known)

    @classmethod
    def from_file(cls, path: Union[str, Path]) -> "SchemaTestReport":
        """Read a report.

        path (Union[str, Path]): A file that `python -m spacy ner test --output` wrote.
        RETURNS (SchemaTestReport): The report.
        RAISES (ValueError): It can't be read or is no such report.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf8"))
            if data["format"] != REPORT_FORMAT:
                problem = f"its format is not {REPORT_FORMAT}"
                raise ValueError(Errors.N122.format(path=path, problem=problem))
            return cls.from_dict(data)
        except OSError as e:
            problem = e.strerror or type(e).__name__
            raise ValueError(Errors.N122.format(path=path, problem=problem)) from e
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as e:
            problem = "no report of `ner test`"
            raise ValueError(Errors.N122.format(path=path, problem=problem)) from e


def make_digest(data: Any) -> str:
    """RETURNS (str): SHA-256 of JSON-serialisable data, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode("utf8")).hexdigest()


def _tally(checks: Iterable[Tuple[Check, Any]]) -> Dict[Any, Tuple[int, int]]:
    made = [(x.status, key) for x, key in checks if x.status != SKIPPED]
    passed = Counter(key for status, key in made if status == PASSED)
    return {key: (passed[key], n) for key, n in Counter(x for _, x in made).items()}
