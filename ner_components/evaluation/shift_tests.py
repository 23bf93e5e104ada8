"""The tests of drift: each turns counts by document into a figure of every split and a p.

All are permutation tests by document (see `shifts`). They differ in the figure:

- a difference of two ratios, two-sided;
- the total variation distance of two mixes;
- the distance of two cumulative distributions (Kolmogorov 1933, Smirnov 1939), with p by
  permutation, so that ties and dependence in a document do no harm;
- the largest of several standardised differences, "max-T" (Westfall and Young,
  "Resampling-based multiple testing", 1993, chapter 2), so that one label that moved shows
  among many that did not;
- the share of the new side's items that the reference side lacks, where more is a shift:
  new documents that repeat the reference's are no drift.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union
from typing import Counter as CounterType

import numpy

from ..entities import SCHEMA_ERRORS
from .resampling import Counts, Statistic, macro_f, ratio
from .results import DocumentCounts
from .shifts import (
    Profile,
    Splits,
    cdf_distances,
    mix_distances,
    p_above,
    p_two_sided,
    rate_changes,
    shares,
    tabulate,
    tabulate_scores,
    unseen_shares,
)

WORDS = 100
SHAPES = 50

DIFFERENCE = "permutation test by document, difference of ratios"
VARIATION = "permutation test by document, total variation distance"
DISTANCE = "permutation test by document, Kolmogorov-Smirnov distance"
LARGEST = "permutation test by document, largest standardised difference (max-T)"
UNSEEN = "permutation test by document, share not in the reference"


@dataclass(frozen=True)
class Shift:
    """What one test found. No text is in it.

    name (str): What was tested, one of `TESTS` or `GOLD_TESTS`.
    test (str): The name of the test.
    statistic (float): What the test measures, on the documents as they are.
    p (float): p of this test alone, above 0, at most 1.
    reference (Optional[float]), new (Optional[float]): The figure of each side; `None`
        where a side has none, as for a distance. Of a share of unseen items the first is
        the mean over the splits: what one source would give.
    parts (Dict[str, Tuple[float, float]]): By label, the figures of both sides, the label
        that moved most first.
    """

    name: str
    test: str
    statistic: float
    p: float
    reference: Optional[float] = None
    new: Optional[float] = None
    parts: Dict[str, Tuple[float, float]] = field(default_factory=dict)

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The fields."""
        return {**vars(self), "parts": {x: list(pair) for x, pair in self.parts.items()}}


@dataclass(frozen=True, repr=False)
class Case:
    """What the tests work on.

    profiles (Sequence[Profile]): Of all documents, the reference's first.
    documents (Tuple[int, int]): How many are the reference's and how many are new.
    splits (Splits): Their splits.
    """

    profiles: Sequence[Profile]
    documents: Tuple[int, int]
    splits: Splits

    @property
    def tokens(self) -> Counts:
        """RETURNS (ndarray): Shape (documents,)."""
        return numpy.array([x.tokens for x in self.profiles], dtype=float)

    def label_counts(self) -> Tuple[List[str], Counts]:
        """RETURNS (Tuple[List[str], ndarray]): Labels, and shape (documents, labels)."""
        labels = sorted({label for x in self.profiles for label in x.labels})
        rows = [[x.labels[label] for label in labels] for x in self.profiles]
        return labels, numpy.array(rows, dtype=float)

    def lacks(self, has: Callable[[Profile], Any]) -> str:
        """RETURNS (str): The side without any document that has something, or ""."""
        first = self.documents[0]
        for name, side in (
            ("reference", self.profiles[:first]),
            ("new documents", self.profiles[first:]),
        ):
            if not any(has(x) for x in side):
                return name
        return ""


# What was found, or why nothing could be tested.
Found = Union[Shift, str]


def measure_label_rates(case: Case) -> Found:
    """Entities of each label per token."""
    labels, counts = case.label_counts()
    if not labels:
        return "no entities on either side"
    changes = rate_changes(counts, case.tokens, case.splits)
    largest = changes.max(axis=1)
    tokens = case.splits.sums(case.tokens[:, None])[0]
    rates = case.splits.sums(counts)[0] / numpy.maximum(tokens, 1)
    order = numpy.argsort(-changes[0], kind="stable")
    parts = {labels[i]: (float(rates[0, i]), float(rates[1, i])) for i in order}
    total = rates.sum(axis=1)
    return _shift("label_rates", LARGEST, largest, p_above(largest), total, parts)


def measure_label_mix(case: Case) -> Found:
    """Each label's share of the entities."""
    labels, counts = case.label_counts()
    if side := case.lacks(lambda x: x.labels):
        return f"no entities in the {side}"
    if len(labels) < 2:
        return "a single label"
    distances = mix_distances(counts, case.splits)
    mix = shares(case.splits.sums(counts)[0])
    order = numpy.argsort(-numpy.abs(mix[1] - mix[0]), kind="stable")
    parts = {labels[i]: (float(mix[0, i]), float(mix[1, i])) for i in order}
    return _shift("label_mix", VARIATION, distances, p_above(distances), None, parts)


def measure_scores(case: Case) -> Found:
    """Distribution of the entities' scores."""
    if side := case.lacks(lambda x: x.scores):
        return f"no scores in the {side}"
    return _distance("scores", case, [x.scores for x in case.profiles])


def measure_schema_errors(case: Case) -> Found:
    """Share of the candidates that break the schema."""
    if side := case.lacks(lambda x: x.candidates):
        return f"no counted candidates in the {side}"
    rows = [_candidate_columns(x.candidates) for x in case.profiles]
    counts = numpy.array(rows, dtype=float)
    if not counts[:, 0].any():
        return "no schema errors on either side"
    return _difference("schema_error_rate", counts, case.splits, ratio)


def measure_unseen_surfaces(case: Case) -> Found:
    """Share of the entity surfaces, once a document, that the reference lacks."""
    if side := case.lacks(lambda x: x.labels):
        return f"no entities in the {side}"
    return _unseen("unseen_surfaces", case, [Counter(x.surfaces) for x in case.profiles])


def measure_unseen_words(case: Case) -> Found:
    """Share of the tokens whose lower case form the reference lacks."""
    if side := case.lacks(lambda x: x.tokens):
        return f"no tokens in the {side}"
    return _unseen("unseen_words", case, [x.words for x in case.profiles])


def measure_words(case: Case) -> Found:
    """Mix of the most frequent words, and all others."""
    return _mix("words", case, [x.words for x in case.profiles], WORDS)


def measure_shapes(case: Case) -> Found:
    """Mix of the most frequent token shapes, and all others."""
    return _mix("shapes", case, [x.shapes for x in case.profiles], SHAPES)


def measure_document_length(case: Case) -> Found:
    """Tokens of a document."""
    return _distance("document_length", case, [[x.tokens] for x in case.profiles])


def measure_sentence_length(case: Case) -> Found:
    """Mean tokens of a document's sentences."""
    if not all(x.sentences for x in case.profiles if x.tokens):
        return "sentence boundaries are not set in every document"
    if side := case.lacks(lambda x: x.sentences):
        return f"no sentences in the {side}"
    means = [[x.tokens / x.sentences] if x.sentences else [] for x in case.profiles]
    return _distance("sentence_length", case, means)


TESTS: Dict[str, Callable[[Case], Found]] = {
    "label_rates": measure_label_rates,
    "label_mix": measure_label_mix,
    "scores": measure_scores,
    "unseen_surfaces": measure_unseen_surfaces,
    "schema_error_rate": measure_schema_errors,
    "words": measure_words,
    "shapes": measure_shapes,
    "unseen_words": measure_unseen_words,
    "document_length": measure_document_length,
    "sentence_length": measure_sentence_length,
}
GOLD_TESTS = ("micro_f", "macro_f")


def measure_gold(
    documents: Sequence[DocumentCounts], numbers: Sequence[int], splits: Splits
) -> Dict[str, Found]:
    """Test micro and macro F1.

    documents (Sequence[DocumentCounts]): Of both sides, the reference's first.
    numbers (Sequence[int]): The number of each one's document in the splits.
    splits (Splits): The splits.
    RETURNS (Dict[str, Found]): By name.
    """
    labels = sorted({label for x in documents for label in x.labels})
    if not any(score.gold for x in documents for score in x.labels.values()):
        return dict.fromkeys(GOLD_TESTS, "no gold entities")
    counts = numpy.zeros((splits.masks.shape[1], len(labels), 3))
    for number, document in zip(numbers, documents, strict=True):
        for i, label in enumerate(labels):
            if label in document.labels:
                x = document.labels[label]
                counts[number, i] += (2 * x.right, x.predicted + x.gold, x.gold)
    by_label = counts.reshape(len(counts), -1)
    return {
        "micro_f": _difference("micro_f", counts[..., :2].sum(axis=1), splits, ratio),
        "macro_f": _difference("macro_f", by_label, splits, macro_f),
    }


def _candidate_columns(counts: CounterType[str]) -> Tuple[int, int]:
    errors = sum(counts[x] for x in SCHEMA_ERRORS)
    return errors, counts.total() - counts["below_threshold"]


def _difference(name: str, counts: Counts, splits: Splits, statistic: Statistic) -> Shift:
    figures = statistic(splits.sums(counts))
    change = figures[:, 1] - figures[:, 0]
    return _shift(name, DIFFERENCE, change, p_two_sided(change), figures[0])


def _mix(name: str, case: Case, counters: List[CounterType[int]], most: int) -> Found:
    if side := case.lacks(lambda x: x.tokens):
        return f"no tokens in the {side}"
    distances = mix_distances(tabulate(counters, most), case.splits)
    return _shift(name, VARIATION, distances, p_above(distances))


def _distance(name: str, case: Case, values: Sequence[Sequence[float]]) -> Shift:
    distances = cdf_distances(tabulate_scores(values), case.splits)
    first = case.documents[0]
    sides = [numpy.concatenate(x) for x in (values[:first], values[first:])]
    means = numpy.array([x.mean() for x in sides])
    return _shift(name, DISTANCE, distances, p_above(distances), means)


def _unseen(name: str, case: Case, counters: List[CounterType[int]]) -> Shift:
    found = unseen_shares(counters, case.splits)
    figures = numpy.array([found.mean(), found[0]])
    return _shift(name, UNSEEN, found, p_above(found), figures)


def _shift(
    name: str,
    test: str,
    statistics: Counts,
    p: float,
    figures: Optional[Counts] = None,
    parts: Optional[Dict[str, Tuple[float, float]]] = None,
) -> Shift:
    reference, new = (None, None) if figures is None else map(float, figures)
    return Shift(name, test, float(statistics[0]), p, reference, new, parts or {})
