"""Duplicates, leaks between splits, and sentences that are annotated in two ways.

The unit is the sentence where a document has sentence boundaries, else the document. Runs
of white space count as one space.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, Iterator, List, Optional, Set, Tuple

from spacy.tokens import Doc, Span

from ..errors import Errors
from .check_kinds import MIN_WORDS
from .check_report import Finding, Position, Split, collect

Annotation = FrozenSet[Tuple[int, int, str]]
Shingles = FrozenSet[str]

SHINGLE_WORDS = 2
# Bands and rows of the index: of two texts with a similarity of 0.8 it overlooks
# (1 - 0.8**5)**25, or 5 in 100,000. What it proposes is verified, so that rows matter for
# speed only.
BANDS, ROWS = 25, 5
# Sentences made from one template propose each other all; this keeps the time linear.
MAX_COMPARED = 500


@dataclass
class Unit:
    """A sentence, or a document without sentence boundaries.

    index (int): Number of its document in the split.
    start (int), end (int): Tokens of the document, exclusive end.
    place (Position): Its characters.
    key (str): Its text, with single spaces.
    words (int): Tokens that are not white space.
    """

    index: int
    start: int
    end: int
    place: Position
    key: str = field(repr=False)
    words: int


def make_units(split: Split) -> List[Unit]:
    """Cut a split into the texts that are compared. Those without a word are left out.

    split (Split): The split.
    RETURNS (List[Unit]): Its texts, in order.
    """
    units: List[Unit] = []
    for index, doc in enumerate(split.docs):
        for span in _sentences(doc):
            key = " ".join(span.text.split())
            if key:
                place = split.position(index, span.start_char, span.end_char)
                words = sum(not token.is_space for token in span)
                units.append(Unit(index, span.start, span.end, place, key, words))
    return units


def find_repeats(split: Split, units: List[Unit]) -> Iterator[Finding]:
    """Find copies within a split that are annotated alike.

    split (Split): The split.
    units (List[Unit]): Its texts.
    YIELDS (Finding): "duplicate" and "short_duplicate". The first position of a group is
        the one to keep; it is not counted.
    """
    groups: Dict[str, List[Unit]] = defaultdict(list)
    for unit in units:
        groups[unit.key].append(unit)
    found: Dict[str, List[List[Unit]]] = defaultdict(list)
    for same in groups.values():
        if len(same) > 1:
            code = "duplicate" if same[0].words >= MIN_WORDS else "short_duplicate"
            found[code] += [x for x in _alike(split, same) if len(x) > 1]
    for code, copies in found.items():
        if copies:
            count = sum(len(x) - 1 for x in copies)
            places = [[unit.place for unit in x] for x in copies]
            yield Finding(code, (split.name,), count, {}, _number(places))


def find_conflicts(splits: List[Split], units: List[List[Unit]]) -> Iterator[Finding]:
    """Find sentences that are annotated in more than one way, in one split or several.
    Sentences with unannotated tokens are left out: they contradict nothing.

    splits (List[Split]): The splits.
    units (List[List[Unit]]): The texts of each.
    YIELDS (Finding): "conflicting_sentence", with the first position of each way.
    """
    groups: Dict[str, List[Tuple[Split, Unit]]] = defaultdict(list)
    for split, of_split in zip(splits, units, strict=True):
        for unit in of_split:
            groups[unit.key].append((split, unit))
    places: List[List[Position]] = []
    for same in groups.values():
        ways: Dict[Annotation, Position] = {}
        for split, unit in same if len(same) > 1 else ():
            annotation = _annotation(split.docs[unit.index], unit)
            if annotation is not None:
                ways.setdefault(annotation, unit.place)
        if len(ways) > 1:
            places.append(list(ways.values()))
    if places:
        names = _names(splits, places)
        yield Finding("conflicting_sentence", names, len(places), {}, _number(places))


def find_leaks(
    splits: List[Split], units: List[List[Unit]], similarity: Optional[float]
) -> Iterator[Finding]:
    """Find texts of one split in a split before it.

    Near leaks: Jaccard similarity of the sets of word pairs, in lower case, found with
    MinHash and banding (Broder, "On the resemblance and containment of documents", 1997;
    Leskovec, Rajaraman and Ullman, "Mining of massive datasets", section 3.4) and then
    computed exactly. A text that is the same without its spaces, as another tokenizer
    leaves it, is one too. Texts under five words, and exact leaks, are left out of it.

    splits (List[Split]): The splits, the training split first.
    units (List[List[Unit]]): The texts of each.
    similarity (Optional[float]): Least similarity of a near leak, 0 to 1; `None` to look
        for none.
    YIELDS (Finding): "exact_leak", "short_leak", "near_leak": each text of the later split
        once, in a group with one of the earlier split that it repeats (the first, where it
        is the same). "near_unsure": texts with too many candidates to compare all.
    """
    indexes: List[_NearIndex] = []
    if similarity is not None and len(splits) > 1:
        indexes = [_NearIndex(x.docs, y) for x, y in zip(splits, units, strict=True)]
    for i, split in enumerate(splits):
        for j in range(i):
            pair = (split.name, splits[j].name)
            exact = _find_exact(units[i], units[j])
            yield from _leaks(pair, exact)
            if similarity is not None:
                leaked = {id(unit) for unit, _ in exact}
                near, unsure = indexes[i].find_in(indexes[j], similarity, leaked)
                places = [[a.place, b.place] for a, b in near]
                if places:
                    yield Finding("near_leak", pair, len(near), {}, _number(places))
                yield from collect("near_unsure", *pair, positions=unsure)


def find_shared_documents(splits: List[Split]) -> Iterator[Finding]:
    """Find source documents with sentences on both sides. Ids that are plain numbers tell
    nothing: readers number the documents of each file.

    splits (List[Split]): The splits, the training split first.
    YIELDS (Finding): "shared_document", with the first position on each side, and
        "numbered_documents".
    """
    ids = [_document_ids(split) for split in splits]
    for i, later in enumerate(splits):
        for j, earlier in enumerate(splits[:i]):
            both = [x for x in ids[i] if x in ids[j]]
            named = [x for x in both if not x.isdecimal()]
            pair = (later.name, earlier.name)
            if named:
                places = _number([[ids[i][x], ids[j][x]] for x in named])
                yield Finding("shared_document", pair, len(named), {}, places)
            if len(named) < len(both):
                yield Finding("numbered_documents", pair, len(both) - len(named))


class _NearIndex:
    """The texts of a split by their shingles, one for each set of them."""

    def __init__(self, docs: List[Doc], units: List[Unit]) -> None:
        self.units: List[Unit] = []
        self.shingles: List[Shingles] = []
        for unit in units:
            if unit.words >= MIN_WORDS:
                self.units.append(unit)
                self.shingles.append(_shingle(docs[unit.index][unit.start : unit.end]))
        self.bands = _hash(self.shingles)
        self.first: Dict[str, int] = {}
        for i, unit in enumerate(self.units):
            self.first.setdefault(_squeeze(unit), i)
        self.buckets: Dict[bytes, List[int]] = defaultdict(list)
        seen: Set[Shingles] = set()
        for i, shingles in enumerate(self.shingles):
            for key in self.bands[i] if shingles not in seen else ():
                self.buckets[key].append(i)
            seen.add(shingles)

    def find_in(
        self, other: "_NearIndex", similarity: float, skip: Set[int]
    ) -> Tuple[List[Tuple[Unit, Unit]], List[Position]]:
        """Match its texts, but for those to skip, with a near text of another. Those that
        have too many candidates come second."""
        found: List[Tuple[Unit, Unit]] = []
        unsure: List[Position] = []
        for i, unit in enumerate(self.units):
            if id(unit) in skip:
                continue
            match = other.first.get(_squeeze(unit))
            compared = 0
            if match is None:
                match, compared = other.match(self.shingles[i], self.bands[i], similarity)
            if match is not None:
                found.append((unit, other.units[match]))
            elif compared == MAX_COMPARED:
                unsure.append(unit.place)
        return found, unsure

    def match(
        self, shingles: Shingles, bands: List[bytes], similarity: float
    ) -> Tuple[Optional[int], int]:
        """Find a near text, and say how many were compared."""
        compared: Set[int] = set()
        # What is nearest shares the rarest bands.
        for bucket in sorted((self.buckets.get(key, []) for key in bands), key=len):
            for i in bucket:
                if i in compared:
                    continue
                if len(compared) == MAX_COMPARED:
                    return None, len(compared)
                compared.add(i)
                if jaccard(shingles, self.shingles[i]) >= similarity:
                    return i, len(compared)
        return None, len(compared)


def jaccard(a: Shingles, b: Shingles) -> float:
    """RETURNS (float): Share of the union that is in both, 0 to 1.

    >>> jaccard(frozenset(["a b", "b c"]), frozenset(["b c", "c d"]))
    0.3333333333333333
    """
    both = len(a & b)
    return both / (len(a) + len(b) - both) if both else 0.0


def _hash(texts: List[Shingles]) -> List[List[bytes]]:
    """The bands of each text: two texts share a band with the fifth power of their
    similarity as its probability."""
    if not texts:
        return []
    try:
        from datasketch import MinHash
    except ImportError as e:
        raise ImportError(Errors.N100) from e
    data = ([x.encode("utf8", "surrogatepass") for x in sorted(s)] for s in texts)
    hashes = MinHash.bulk(data, num_perm=BANDS * ROWS, seed=1)
    return [_bands(x.hashvalues) for x in hashes]


def _bands(values: Any) -> List[bytes]:
    rows = values.reshape(BANDS, ROWS)
    # The number of the band keeps equal rows of different bands apart.
    return [bytes([i]) + row.tobytes() for i, row in enumerate(rows)]


def _squeeze(unit: Unit) -> str:
    return unit.key.replace(" ", "")


def _shingle(span: Span) -> Shingles:
    words = [token.lower_ for token in span if not token.is_space]
    last = len(words) - SHINGLE_WORDS + 1
    return frozenset(" ".join(words[i : i + SHINGLE_WORDS]) for i in range(last))


def _sentences(doc: Doc) -> Iterator[Span]:
    # A document of one token always claims to have boundaries.
    if len(doc) > 1 and doc.has_annotation("SENT_START"):
        yield from doc.sents
    elif len(doc):
        yield doc[:]


def _annotation(doc: Doc, unit: Unit) -> Optional[Annotation]:
    """The entities of a text by its characters without white space, `None` where a token
    has no annotation."""
    found: List[Tuple[int, int, str]] = []
    offset = 0
    for token in doc[unit.start : unit.end]:
        end = offset + len("".join(token.text.split()))
        if token.ent_iob == 0 and not token.is_space:
            return None
        if token.ent_iob == 3 or (token.ent_iob == 1 and not found):
            found.append((offset, end, token.ent_type_))
        elif token.ent_iob == 1:
            found[-1] = (found[-1][0], end, found[-1][2])
        offset = end
    return frozenset(found)


def _alike(split: Split, same: List[Unit]) -> List[List[Unit]]:
    """Group copies of a text by annotation. Those with unannotated tokens contradict
    none: they go to the first group."""
    groups: Dict[Annotation, List[Unit]] = {}
    unsure: List[Unit] = []
    for unit in same:
        annotation = _annotation(split.docs[unit.index], unit)
        if annotation is None:
            unsure.append(unit)
        else:
            groups.setdefault(annotation, []).append(unit)
    alike = list(groups.values()) or [[]]
    alike[0] += unsure
    return alike


def _find_exact(later: List[Unit], earlier: List[Unit]) -> List[Tuple[Unit, Unit]]:
    first: Dict[str, Unit] = {}
    for unit in earlier:
        first.setdefault(unit.key, unit)
    return [(unit, first[unit.key]) for unit in later if unit.key in first]


def _leaks(pair: Tuple[str, str], exact: List[Tuple[Unit, Unit]]) -> Iterator[Finding]:
    for code, is_long in (("exact_leak", True), ("short_leak", False)):
        places = [[a.place, b.place] for a, b in exact if (a.words >= MIN_WORDS) == is_long]
        if places:
            yield Finding(code, pair, len(places), {}, _number(places))


def _document_ids(split: Split) -> Dict[str, Position]:
    ids: Dict[str, Position] = {}
    for index, doc in enumerate(split.docs):
        place = split.position(index, 0, len(doc.text))
        if place.document is not None:
            ids.setdefault(place.document, place)
    return ids


def _number(groups: List[List[Position]]) -> List[Position]:
    return [x._replace(group=i) for i, group in enumerate(groups) for x in group]


def _names(splits: List[Split], groups: List[List[Position]]) -> Tuple[str, ...]:
    used = {place.split for group in groups for place in group}
    return tuple(split.name for split in splits if split.name in used)
