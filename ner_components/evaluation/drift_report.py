"""What `drift.find_drift` gives back: shifts, changes and one verdict."""

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

from .resampling import Interval
from .shift_tests import Shift

FEW = 100  # documents a side
# Holm's method is sharp: at alpha itself, the share of alarms that is counted in 200 trials
# would be above alpha in about one of three such counts.
MARGIN = 2
REPORT_FORMAT = 1


@dataclass(frozen=True)
class Change:
    """A figure against gold on both sides, and by how much it changed.

    The interval of the difference is made of those of the sides, which are independent:
    MOVER (Zou and Donner, "Construction of confidence limits about effect measures: a
    general approach", 2008, section 2).

    name (str): One of `drift.CHANGES`.
    reference (Interval), new (Interval): The figure of each side, by document.
    """

    name: str
    reference: Interval
    new: Interval

    @property
    def difference(self) -> float:
        """RETURNS (float): New minus reference, -1 to 1."""
        return self.new.value - self.reference.value

    @property
    def low(self) -> float:
        """RETURNS (float): Lower bound of the difference."""
        down = self.new.value - self.new.low
        return self.difference - math.hypot(
            down, self.reference.high - self.reference.value
        )

    @property
    def high(self) -> float:
        """RETURNS (float): Upper bound of the difference."""
        up = self.new.high - self.new.value
        down = self.reference.value - self.reference.low
        return self.difference + math.hypot(up, down)

    @property
    def reliable(self) -> bool:
        """RETURNS (bool): Whether both sides' intervals are, see `Interval.reliable`."""
        return self.reference.reliable and self.new.reliable

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The fields and the derived values."""
        return {
            "name": self.name,
            "reference": self.reference.to_dict(),
            "new": self.new.to_dict(),
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "reliable": self.reliable,
        }


@dataclass(frozen=True)
class Drift:
    """What was found between two sets of documents. No text is in it.

    documents (Tuple[int, int]): Documents of the reference, and new ones.
    alpha (float): Highest chance of "drift" where both sides are of one source, 0 to 1.
    resamples (int): Random splits each test was made with.
    shifts (Tuple[Shift, ...]): What each test found.
    not_tested (Dict[str, str]): What could not be tested, and why.
    changes (Tuple[Change, ...]): The figures against gold; empty without gold.
    """

    documents: Tuple[int, int]
    alpha: float
    resamples: int
    shifts: Tuple[Shift, ...]
    not_tested: Dict[str, str] = field(default_factory=dict)
    changes: Tuple[Change, ...] = ()

    @property
    def p_corrected(self) -> Dict[str, float]:
        """RETURNS (Dict[str, float]): The p of each test, corrected by `holm`."""
        corrected = holm([x.p for x in self.shifts])
        return {x.name: p for x, p in zip(self.shifts, corrected, strict=True)}

    @property
    def threshold(self) -> float:
        """RETURNS (float): Highest corrected p that counts: `alpha` over `MARGIN`."""
        return self.alpha / MARGIN

    @property
    def shifted(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): What shifted: a corrected p up to `threshold`."""
        return tuple(x for x, p in self.p_corrected.items() if p <= self.threshold)

    @property
    def is_drift(self) -> bool:
        """RETURNS (bool): Whether anything shifted."""
        return bool(self.shifted)

    @property
    def verdict(self) -> str:
        """RETURNS (str): "drift" or "no drift"."""
        return "drift" if self.is_drift else "no drift"

    @property
    def statement(self) -> str:
        """RETURNS (str): The verdict in one or two sentences."""
        reference, new = self.documents
        text = f"{self.verdict}: {new} new documents against {reference} of the reference"
        text += f", {len(self.shifts)} tests, at most {self.alpha:.1%} false alarms."
        if self.is_drift:
            return f"{text} Shifted: {', '.join(self.shifted)}."
        few = f" With fewer than {FEW} documents on a side only large shifts show."
        return text + (few if min(self.documents) < FEW else "")

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The report: fields and derived values."""
        p = self.p_corrected
        return {
            "format": REPORT_FORMAT,
            "verdict": self.verdict,
            "statement": self.statement,
            "documents": {"reference": self.documents[0], "new": self.documents[1]},
            "alpha": self.alpha,
            "threshold": self.threshold,
            "resamples": self.resamples,
            "shifted": list(self.shifted),
            "shifts": [{**x.to_dict(), "p_corrected": p[x.name]} for x in self.shifts],
            "not_tested": dict(self.not_tested),
            "changes": [x.to_dict() for x in self.changes],
        }


def holm(p_values: Sequence[float]) -> List[float]:
    """Correct the p of several tests, so that any of them is at most alpha with chance
    alpha at most if nothing is there, also where the tests depend on each other (Holm, "A
    simple sequentially rejective multiple test procedure", 1979).

    p_values (Sequence[float]): The p of each test.
    RETURNS (List[float]): The corrected ones, in the same order, at most 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for done, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - done) * p_values[i]))
        corrected[i] = least
    return corrected
