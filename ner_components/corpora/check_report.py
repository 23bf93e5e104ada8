"""What `ner check` finds: positions and counts, never text."""

from collections import Counter
from dataclasses import dataclass, field
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from spacy.tokens import Doc

from .check_kinds import KINDS, SEVERITIES
from .offsets import Entity


class Position(NamedTuple):
    """Where something was found.

    split (str), doc_index (int): The split, and the number of the document in it, from 0.
    document (Optional[str]): Id of the source document, `None` where there is none.
    start_char (int), end_char (int): Characters of the document, exclusive end.
    label (Optional[str]): Label of the entity, `None` where it is not about one.
    group (int): Positions of one finding that belong together have the same number.
    """

    split: str
    doc_index: int
    document: Optional[str]
    start_char: int
    end_char: int
    label: Optional[str] = None
    group: int = 0


@dataclass
class Finding:
    """One kind of finding in one split or between two.

    code (str): One of `KINDS`.
    splits (Tuple[str, ...]): The splits it is about; in a leak the one to be scored comes
        first, the one it was found in second.
    count (int): How many, of what the message names.
    counts (Dict[str, int]): The same by label or reason, where it has any.
    positions (List[Position]): Where, at most `max_positions` of them.
    left_out (int): Positions beyond.
    """

    code: str
    splits: Tuple[str, ...]
    count: int
    counts: Dict[str, int] = field(default_factory=dict)
    positions: List[Position] = field(default_factory=list)
    left_out: int = 0

    @property
    def severity(self) -> str:
        """RETURNS (str): One of `SEVERITIES`."""
        return KINDS[self.code][0]

    @property
    def message(self) -> str:
        """RETURNS (str): What is wrong; goes behind the count."""
        return KINDS[self.code][1]

    @property
    def remedy(self) -> str:
        """RETURNS (str): What to do."""
        return KINDS[self.code][2]

    def limit(self, positions: int) -> "Finding":
        """Cut the list of positions in place, and count what is cut."""
        self.left_out += max(0, len(self.positions) - positions)
        self.positions = self.positions[:positions]
        return self

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): JSON-serialisable copy with the derived values."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "remedy": self.remedy,
            "splits": list(self.splits),
            "count": self.count,
            "counts": dict(self.counts),
            "positions": [x._asdict() for x in self.positions],
            "left_out": self.left_out,
        }


@dataclass(frozen=True)
class Unseen:
    """Entities of a split against the training split.

    total (int): Entities.
    surface (int): Those whose surface form is no entity in the training split; case
        counts, white space does not.
    pair (int): Those whose surface form doesn't have this label there.

    >>> Unseen(total=8, surface=2, pair=4).surface_share
    0.25
    """

    total: int = 0
    surface: int = 0
    pair: int = 0

    @property
    def surface_share(self) -> float:
        """RETURNS (float): 0 to 1; 0.0 where there are no entities."""
        return self.surface / self.total if self.total else 0.0

    @property
    def pair_share(self) -> float:
        """RETURNS (float): 0 to 1; 0.0 where there are no entities."""
        return self.pair / self.total if self.total else 0.0

    def __add__(self, other: "Unseen") -> "Unseen":
        return Unseen(
            self.total + other.total,
            self.surface + other.surface,
            self.pair + other.pair,
        )

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The counts and the shares."""
        shares = {"surface_share": self.surface_share, "pair_share": self.pair_share}
        return {**vars(self), **shares}


@dataclass
class SplitSummary:
    """Counts of a split.

    documents (int), tokens (int), entities (int): As named; cut entities are not in.
    sentences (Optional[int]): `None` where no document has sentence boundaries.
    without_entities (int): Documents without entities.
    unannotated (int): Tokens without annotation, white space left out.
    cut (int): Entities that could not be set.
    labels (Dict[str, int]): Entities by label, most frequent first.
    unseen (Optional[Dict[str, Unseen]]): By label; `None` for the training split.
    """

    name: str
    documents: int
    tokens: int
    entities: int
    sentences: Optional[int]
    without_entities: int
    unannotated: int
    cut: int
    labels: Dict[str, int]
    unseen: Optional[Dict[str, Unseen]] = None

    @property
    def unseen_total(self) -> Optional[Unseen]:
        """RETURNS (Optional[Unseen]): Over all labels; `None` for the training split."""
        return None if self.unseen is None else sum(self.unseen.values(), Unseen())

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): JSON-serialisable copy."""
        unseen, total = self.unseen, self.unseen_total
        if unseen is None or total is None:
            return {**vars(self), "labels": dict(self.labels)}
        shares = {label: x.to_dict() for label, x in unseen.items()}
        labels = dict(self.labels)
        return {
            **vars(self),
            "labels": labels,
            "unseen": shares,
            "unseen_total": total.to_dict(),
        }


@dataclass
class CheckReport:
    """What was found in a corpus.

    splits (List[SplitSummary]): The splits, the training split first.
    findings (List[Finding]): What was found, the most severe first.
    settings (Dict[str, Any]): The limits it was checked with.
    """

    splits: List[SplitSummary]
    findings: List[Finding]
    settings: Dict[str, Any]

    def at_least(self, severity: str) -> List[Finding]:
        """RETURNS (List[Finding]): The findings of a severity and above."""
        least = SEVERITIES.index(severity)
        return [x for x in self.findings if SEVERITIES.index(x.severity) >= least]

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): JSON-serialisable copy, without document text."""
        counted = Counter(x.severity for x in self.findings)
        return {
            "settings": dict(self.settings),
            "severities": {x: counted[x] for x in reversed(SEVERITIES)},
            "splits": [x.to_dict() for x in self.splits],
            "findings": [x.to_dict() for x in self.findings],
        }


@dataclass
class Split:
    """A part of a corpus.

    name (str): Such as "train".
    docs (List[Doc]): Its documents, with `doc.ents` set.
    cut (List[Tuple[int, Entity]]): Entities that could not be set, each with the number
        of its document.
    notes (Counter[str]): What the reader dropped or repaired.
    """

    name: str
    docs: List[Doc] = field(repr=False)
    cut: List[Tuple[int, Entity]] = field(default_factory=list)
    notes: "Counter[str]" = field(default_factory=Counter)

    @classmethod
    def from_pairs(
        cls,
        name: str,
        pairs: Iterable[Tuple[Doc, Sequence[Entity]]],
        notes: "Optional[Counter[str]]" = None,
    ) -> "Split":
        """Make a split of what a reader yields.

        name (str): Its name.
        pairs (Iterable[Tuple[Doc, Sequence[Entity]]]): Documents, each with its entities
            that could not be set.
        notes (Optional[Counter[str]]): The counter that the reader was given.
        RETURNS (Split): The split.
        """
        split = cls(name, [], [], Counter() if notes is None else notes)
        for index, (doc, cut) in enumerate(pairs):
            split.docs.append(doc)
            split.cut += [(index, entity) for entity in cut]
        return split

    def position(
        self, index: int, start: int, end: int, label: Optional[str] = None
    ) -> Position:
        """RETURNS (Position): Characters of one of its documents."""
        found = self.docs[index].user_data.get("id")
        document = None if found is None else str(found)
        return Position(self.name, index, document, start, end, label)


def collect(code: str, *splits: str, positions: List[Position]) -> Iterator[Finding]:
    """Make a finding of positions that count one each; none of none.

    code (str), splits (str), positions (List[Position]): See `Finding`.
    YIELDS (Finding): One or none.
    """
    if positions:
        counts = Counter(x.label for x in positions if x.label is not None)
        by_label = {str(label): n for label, n in counts.most_common()}
        yield Finding(code, splits, len(positions), by_label, positions)
