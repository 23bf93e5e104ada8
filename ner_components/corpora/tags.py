"""Tag sequences: IOB1, IOB2, IO, IOBES and BILOU to spans and back, and their breaks."""

import re
from collections import Counter
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

TagSpan = Tuple[int, int, str]

# Prefixes that each scheme may use.
SCHEMES: Dict[str, str] = {
    "IOB1": "BI",
    "IOB2": "BI",
    "IO": "I",
    "IOBES": "BIES",
    "BILOU": "BILU",
}
# Reasons for a break, as they are counted.
NO_BEGINNING = "tag that continues no entity: it starts one"
NO_END = "entity without its end tag: it ends before the next tag"
NEEDLESS_B = "B- where IOB1 has I-: it starts an entity"

# A file with at least this many breaks, and this share of its entities broken, was not
# written in the scheme: it is a mixture, or its tags are wrong.
MIXED_LEAST = 5
MIXED_SHARE = 0.1
# Where the scheme was named, this share of the entities may break it.
WRONG_SHARE = 0.5
# Kinds of break before the scheme gives them a meaning.
STRAY = "I-, E- or L- that continues nothing"
UNENDED = "B- or I- before another entity or none"

_TAG = re.compile(r"O|[BIELSU]-\S+")


def is_tag(tag: str) -> bool:
    """RETURNS (bool): Whether it is O, or B-, I-, E-, L-, S- or U- and a label."""
    return _TAG.fullmatch(tag) is not None


def decode_tags(tags: Sequence[str]) -> List[TagSpan]:
    """Turn a tag sequence into spans.

    One reading serves all schemes. B-, S- and U- start an entity; I-, E- and L- continue
    one of the same label, and start one where there is none, as in the CoNLL evaluation
    script (Tjong Kim Sang and Buchholz, 2000); E-, L-, S- and U- end one. IOB1 writes B-
    only between two neighbours of one label and I- at every other start, IOB2 writes B- at
    every start: no sequence that is right in one of them means something else in the
    other, so they need not be told apart. A tag that breaks its scheme costs no entity;
    `TagCensus` counts it.

    tags (Sequence[str]): The tags of one sentence.
    RETURNS (List[TagSpan]): Start, end (exclusive) in tokens, and label, in order.
    """
    spans: List[TagSpan] = []
    start, label, is_open = 0, "", False
    for i, tag in enumerate(tags):
        prefix, name = tag[0], tag[2:]
        if is_open and (prefix in "OBSU" or name != label):
            spans.append((start, i, label))
            is_open = False
        if prefix != "O" and not is_open:
            start, label, is_open = i, name, True
        if prefix in "ELSU":
            spans.append((start, i + 1, label))
            is_open = False
    if is_open:
        spans.append((start, len(tags), label))
    return spans


def encode_spans(length: int, spans: Iterable[TagSpan]) -> List[str]:
    """Turn spans into IOB2 tags.

    length (int): Number of tokens.
    spans (Iterable[TagSpan]): Start, end (exclusive) in tokens, and label; no overlap.
    RETURNS (List[str]): A tag for each token.
    """
    tags = ["O"] * length
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return tags


class TagCensus:
    """What a whole file shows about its tags: only then is the scheme known.

    prefixes (Counter[str]): Tags by prefix.
    entities (int): Entities read.
    first (Dict[str, int]): The line where each prefix, and each kind of break, is first
        met.
    """

    def __init__(self) -> None:
        self.prefixes: Counter[str] = Counter()
        self.entities = 0
        self.first: Dict[str, int] = {}
        self._found: Counter[str] = Counter()

    def add(self, tags: Sequence[str], lines: Optional[Sequence[int]] = None) -> None:
        """Count a sentence.

        tags (Sequence[str]): Its tags.
        lines (Optional[Sequence[int]]): The number of the line of each.
        """
        self.entities += len(decode_tags(tags))
        for i, kind in self._events(tags):
            self._found[kind] += 1
            self.first.setdefault(kind, lines[i] if lines else 0)
        for i, tag in enumerate(tags):
            self.prefixes[tag[0]] += 1
            self.first.setdefault(tag[0], lines[i] if lines else 0)

    @property
    def scheme(self) -> str:
        """RETURNS (str): One of `SCHEMES`, the one with the fewest breaks; IOB2 where
        several are as good, and where there is no entity."""
        used = set(self.prefixes) - {"O"}
        if used & set("LU"):
            return "BILOU"
        if used & set("ES"):
            return "IOBES"
        if used == {"I"}:
            return "IO"
        return "IOB1" if self._found[NEEDLESS_B] < self._found[STRAY] else "IOB2"

    def breaks(self, scheme: Optional[str] = None) -> Counter[str]:
        """Count what breaks the scheme.

        scheme (Optional[str]): The scheme, `None` for the one the file shows.
        RETURNS (Counter[str]): Tags or entities by reason.
        """
        kinds = _KINDS[scheme or self.scheme]
        return Counter({kinds[x]: n for x, n in self._found.items() if x in kinds})

    def problem(self, scheme: Optional[str] = None) -> Optional[Tuple[int, str]]:
        """Say whether the file can't be in the scheme.

        scheme (Optional[str]): The scheme that somebody named: up to half of the entities
            may break it then. `None` for the one the file shows.
        RETURNS (Optional[Tuple[int, str]]): The first line that shows it and what is
            wrong, `None` where all is well.
        """
        name = scheme or self.scheme
        foreign = sorted(x for x in self.prefixes if x not in "O" + SCHEMES[name])
        if foreign:
            wrong = "/".join(f"{x}-" for x in foreign)
            return self._first_foreign(foreign), f"{wrong} in a file of the scheme {name}"
        count = self.breaks(name).total()
        if scheme is None:
            mixed = count >= max(MIXED_LEAST, MIXED_SHARE * self.entities)
        else:
            mixed = count > WRONG_SHARE * self.entities
        if not mixed:
            return None
        line = min(n for kind, n in self.first.items() if kind in _KINDS[name])
        return line, (
            f"mixed or wrong tags: {count} of {self.entities} entities break the scheme "
            f"{name}, the first of them here"
        )

    def _first_foreign(self, foreign: Sequence[str]) -> int:
        """The line where the mixture shows: S- alone is none, U- after it is."""
        own = [n for x, n in self.first.items() if x in "ESLU" and x not in foreign]
        return max(min(self.first[x] for x in foreign), min(own, default=0))

    def _events(self, tags: Sequence[str]) -> Iterator[Tuple[int, str]]:
        before, label = "O", ""
        for i, tag in enumerate([*tags, "O"]):
            prefix, name = tag[0], tag[2:]
            inside = before in "BI" and name == label
            if before in "BI" and not (inside and prefix in "IEL"):
                # The entity ended with the tag before this one.
                yield i - 1, UNENDED
            if prefix in "IEL" and not inside:
                yield i, STRAY
            if prefix == "B" and not (before != "O" and name == label):
                yield i, NEEDLESS_B
            before, label = prefix, name


_KINDS: Dict[str, Dict[str, str]] = {
    "IOB1": {NEEDLESS_B: NEEDLESS_B},
    "IOB2": {STRAY: NO_BEGINNING},
    "IO": {},
    "IOBES": {STRAY: NO_BEGINNING, UNENDED: NO_END},
    "BILOU": {STRAY: NO_BEGINNING, UNENDED: NO_END},
}


def count_breaks(sequences: Iterable[Sequence[str]]) -> Tuple[str, Counter[str]]:
    """Tell the scheme of a whole corpus and count the tags that break it.

    sequences (Iterable[Sequence[str]]): The tags of its sentences.
    RETURNS (Tuple[str, Counter[str]]): The scheme, and the breaks by reason.

    >>> count_breaks([["B-PER", "I-PER", "O", "I-LOC"], ["B-LOC"]])[0]
    'IOB2'
    """
    census = TagCensus()
    for tags in sequences:
        census.add(tags)
    return census.scheme, census.breaks()
