"""What drift is measured on: counts by document, and figures of many splits of documents.

Tokens and entities of a document are dependent, so that tests which take each for an
observation of its own raise far too many alarms. Here documents are the unit: if both
sides are of one source, any split of all documents into sides of these sizes is as likely
as the one found (Fisher, "The design of experiments", 1935; Good, "Permutation, parametric
and bootstrap tests of hypotheses", 2005, chapter 3).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Counter as CounterType
from typing import Dict, FrozenSet, Hashable, Iterable, Iterator, List, Optional, Sequence

import numpy
from numpy.typing import NDArray
from spacy.attrs import IS_SPACE, LOWER, SHAPE
from spacy.strings import get_string_id
from spacy.tokens import Doc

from ..entities import get_ner_score
from ..errors import Errors
from .metrics import surfaces
from .resampling import CELLS, Counts
from .scorer import count_candidates

BINS = 50
ROUNDING = 1e-12


@dataclass(repr=False)
class Profile:
    """What is counted in a document. Words and surfaces are kept as spaCy's hashes of
    them, so that no text is in it.

    tokens (int): Tokens that are no white space.
    labels (Counter[str]): Entities by label.
    scores (List[float]): Scores of the entities that have one, 0 to 1.
    surfaces (FrozenSet[int]): Forms of the entities, as in `metrics.surfaces`.
    words (Counter[int]), shapes (Counter[int]): Tokens by lower case form, and by shape.
    sentences (int): Sentences; 0 where their boundaries are not set.
    candidates (Counter[str]): Candidates by state and reason.
    """

    tokens: int = 0
    labels: CounterType[str] = field(default_factory=Counter)
    scores: List[float] = field(default_factory=list)
    surfaces: FrozenSet[int] = frozenset()
    words: CounterType[int] = field(default_factory=Counter)
    shapes: CounterType[int] = field(default_factory=Counter)
    sentences: int = 0
    candidates: CounterType[str] = field(default_factory=Counter)

    def __add__(self, other: "Profile") -> "Profile":
        known = self.sentences and other.sentences
        return Profile(
            tokens=self.tokens + other.tokens,
            labels=self.labels + other.labels,
            scores=self.scores + other.scores,
            surfaces=self.surfaces | other.surfaces,
            words=self.words + other.words,
            shapes=self.shapes + other.shapes,
            sentences=self.sentences + other.sentences if known else 0,
            candidates=self.candidates + other.candidates,
        )


def make_profile(doc: Doc, spans_key: Optional[str]) -> Profile:
    """Count what is in a document.

    doc (Doc): The document, with its entities.
    spans_key (Optional[str]): The group that the pipe writes, `None` for none.
    RETURNS (Profile): The counts.
    """
    array = doc.to_array([LOWER, SHAPE, IS_SPACE]).reshape(-1, 3)
    array = array[array[:, 2] == 0]
    scores = [get_ner_score(ent) for ent in doc.ents]
    return Profile(
        tokens=len(array),
        labels=Counter(ent.label_ for ent in doc.ents),
        scores=[x for x in scores if x is not None],
        surfaces=frozenset(get_string_id(x) for x in surfaces([doc])),
        words=Counter(array[:, 0].tolist()),
        shapes=Counter(array[:, 1].tolist()),
        sentences=len(list(doc.sents)) if doc.has_annotation("SENT_START") else 0,
        candidates=count_candidates([doc], spans_key),
    )


def number_documents(ids: Iterable[Optional[Hashable]]) -> List[int]:
    """RETURNS (List[int]): For each row the number of its document: rows that share an id
    share a document, and those without one are on their own."""
    numbers: Dict[Hashable, int] = {}
    keys = [(i, x) if x is None else x for i, x in enumerate(ids)]
    return [numbers.setdefault(key, len(numbers)) for key in keys]


@dataclass(frozen=True)
class Splits:
    """The split of the documents that was found, and others with sides as large.

    masks (ndarray): Shape (splits, documents), bool: on the new side. The first is the
        one found.
    """

    masks: NDArray[numpy.bool_]

    @classmethod
    def draw(cls, reference: int, new: int, resamples: int, seed: int) -> "Splits":
        """RETURNS (Splits): `resamples` random splits after the one found. Reference
        documents come first."""
        found = numpy.arange(reference + new) >= reference
        rows = numpy.tile(found, (resamples + 1, 1))
        numpy.random.default_rng(seed).permuted(rows[1:], axis=1, out=rows[1:])
        return cls(rows)

    def sums(self, counts: Counts) -> Counts:
        """RETURNS (ndarray): Shape (splits, 2, columns): the sums of counts, of shape
        (documents, columns), on the reference side and on the new one."""
        new = numpy.concatenate([x.astype(float) @ counts for x in self.blocks()])
        return numpy.stack([counts.sum(axis=0) - new, new], axis=1)

    def blocks(self, columns: int = 0) -> Iterator[NDArray[numpy.bool_]]:
        """YIELDS (ndarray): Rows of the masks, as many as memory should hold at a time."""
        size = max(1, CELLS // max(self.masks.shape[1], columns, 1))
        for first in range(0, len(self.masks), size):
            yield self.masks[first : first + size]


def p_above(figures: Counts) -> float:
    """RETURNS (float): Share of the splits whose figure is at least that of the first, the
    one found, which counts too, so that it is never 0 (Noreen 1989)."""
    return float((figures >= figures[0] - ROUNDING).mean())


def p_two_sided(figures: Counts) -> float:
    """RETURNS (float): Twice the smaller one of both tails, at most 1."""
    return min(1.0, 2 * min(p_above(figures), p_above(-figures)))


def shares(sums: Counts) -> Counts:
    """RETURNS (ndarray): Sums (..., columns) as shares of their total, 0 without one."""
    return sums / numpy.maximum(sums.sum(axis=-1, keepdims=True), 1)


def mix_distances(counts: Counts, splits: Splits) -> Counts:
    """RETURNS (ndarray): Total variation distance of the two sides' mixes, 0 to 1: the
    share that would have to change its column to make them equal."""
    mixes = shares(splits.sums(counts))
    return numpy.abs(mixes[:, 1] - mixes[:, 0]).sum(axis=-1) / 2


def cdf_distances(counts: Counts, splits: Splits) -> Counts:
    """RETURNS (ndarray): Largest distance of the two sides' cumulative shares over the
    columns, the statistic of Kolmogorov and Smirnov, 0 to 1."""
    steps = shares(splits.sums(counts)).cumsum(axis=-1)
    return numpy.abs(steps[:, 1] - steps[:, 0]).max(axis=-1)


def rate_changes(counts: Counts, tokens: Counts, splits: Splits) -> Counts:
    """RETURNS (ndarray): Shape (splits, columns): how far the rates per token of the two
    sides are apart, in standard deviations over the splits."""
    rates = splits.sums(counts) / numpy.maximum(splits.sums(tokens[:, None]), 1)
    change = numpy.abs(rates[:, 1] - rates[:, 0])
    spread = numpy.sqrt((change**2).mean(axis=0))
    return change / numpy.where(spread > ROUNDING, spread, 1)


def unseen_shares(counters: Sequence[CounterType[int]], splits: Splits) -> Counts:
    """RETURNS (ndarray): Share of the new side's items that the reference side lacks: a
    kind is unseen if all documents that have it are on the new side."""
    try:
        from scipy.sparse import csr_matrix
    except ImportError as e:
        raise ImportError(Errors.N191.format(package="scipy")) from e
    documents = Counter(key for counter in counters for key in counter)
    # What is in one document only, most kinds, is unseen with that document.
    single = [sum(n for x, n in c.items() if documents[x] == 1) for c in counters]
    columns = {x: i for i, x in enumerate(x for x, n in documents.items() if n > 1)}
    pairs = [(columns[x], i) for i, c in enumerate(counters) for x in c if x in columns]
    rows, cols = numpy.array(pairs, dtype=int).reshape(-1, 2).T
    ones = numpy.ones(len(rows), dtype=numpy.float32)
    has = csr_matrix((ones, (rows, cols)), shape=(len(columns), len(counters)))
    needed = numpy.array([documents[x] for x in columns], dtype=numpy.float32)
    times = numpy.zeros(len(columns))
    for counter in counters:
        for x in counter.keys() & columns.keys():
            times[columns[x]] += counter[x]
    unseen = [
        ((has @ block.T.astype(numpy.float32)) == needed[:, None]).T @ times
        for block in splits.blocks(len(columns))
    ]
    totals = numpy.array([[n, c.total()] for n, c in zip(single, counters, strict=True)])
    new = splits.sums(totals.astype(float))[:, 1]
    return (numpy.concatenate(unseen) + new[:, 0]) / numpy.maximum(new[:, 1], 1)


def tabulate(counters: Sequence[CounterType[int]], most: int) -> Counts:
    """RETURNS (ndarray): Shape (documents, columns): the most frequent kinds of all
    documents, and the rest in a last column. Which side a document is on plays no part."""
    totals: Counter[int] = Counter()
    for counter in counters:
        totals.update(counter)
    kinds = sorted(totals, key=lambda x: (-totals[x], x))[:most]
    rows = [[c[x] for x in kinds] for c in counters]
    table = numpy.array(rows, dtype=float).reshape(len(counters), -1)
    rest = numpy.array([c.total() for c in counters]) - table.sum(axis=1)
    return numpy.concatenate([table, rest[:, None]], axis=1)


def tabulate_scores(scores: Sequence[Sequence[float]]) -> Counts:
    """RETURNS (ndarray): Shape (documents, bins): scores counted between quantiles of all
    scores, at most `BINS`, from the lowest to the highest."""
    pooled = numpy.sort(numpy.concatenate([numpy.asarray(x, dtype=float) for x in scores]))
    # In whole numbers: the last score of each bin.
    last = [-(-i * len(pooled) // BINS) - 1 for i in range(1, BINS + 1)]
    edges = numpy.unique(pooled[last])
    bins = [numpy.searchsorted(edges, numpy.asarray(x)) for x in scores]
    return numpy.array([numpy.bincount(x, minlength=len(edges)) for x in bins], dtype=float)
