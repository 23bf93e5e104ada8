"""Scored spans of windows -> candidates of documents, all in arrays."""

from typing import Any, List, NamedTuple, Tuple

import numpy
from numpy.typing import NDArray
from spacy.tokens import Doc

from ..types import Floats1d, Ints1d

# Most candidates that begin with the same word. At a threshold of 0.0, where `spacy
# find-threshold` begins, every span is a candidate: 12 widths times the labels for every
# word. The best few are all that overlaps could leave.
MAX_PER_WORD = 8


class Query(NamedTuple):
    """What a GLiNER model is asked.

    docs (List[Doc]): The documents.
    labels (List[str]): The labels, for error messages.
    prompts (List[str]): The words that stand for each label.
    floor (float): Least score of a candidate, 0 to 1.
    """

    docs: List[Doc]
    labels: List[str]
    prompts: List[str]
    floor: float


class Found(NamedTuple):
    """What it answers for one document.

    starts (Ints1d): First character of each candidate.
    ends (Ints1d): One past its last character.
    labels (Ints1d): Number of its label among the prompts.
    scores (Floats1d): Its score, 0 to 1.
    capped (int): Spans at or above the floor that were left out.
    """

    starts: Ints1d
    ends: Ints1d
    labels: Ints1d
    scores: Floats1d
    capped: int


_NONE = numpy.zeros(0, dtype="int64")
# What is found in a document without tokens.
NOTHING = Found(_NONE, _NONE, _NONE, numpy.zeros(0, dtype="float32"), 0)


class Spans(NamedTuple):
    """Scored spans of several documents, as columns of equal length.

    docs (Ints1d): Number of the document.
    first (Ints1d), last (Ints1d): First word and one past the last.
    labels (Ints1d): Number of the label.
    scores (Floats1d): The score, 0 to 1.
    """

    docs: Ints1d
    first: Ints1d
    last: Ints1d
    labels: Ints1d
    scores: Floats1d

    def take(self, chosen: Any) -> "Spans":
        """RETURNS (Spans): The rows that an index or a mask chooses."""
        return Spans(*(column[chosen] for column in self))


def join_spans(parts: List[Spans]) -> Spans:
    """RETURNS (Spans): All rows of all parts."""
    if not parts:
        none = numpy.zeros(0, dtype="int64")
        return Spans(none, none, none, none, numpy.zeros(0, dtype="float32"))
    return Spans(*(numpy.concatenate(column) for column in zip(*parts, strict=True)))


def merge_spans(spans: Spans, most: int = MAX_PER_WORD) -> Tuple[Spans, Ints1d]:
    """Count a span that several windows saw once, with its best score, and keep the best
    few that begin with the same word.

    spans (Spans): The spans of all windows.
    most (int): Most spans that begin with the same word.
    RETURNS (Tuple[Spans, Ints1d]): The spans, sorted by document and words, and the
        number of the document of each one left out.
    """
    order = numpy.lexsort(
        (-spans.scores, spans.labels, spans.last, spans.first, spans.docs)
    )
    spans = spans.take(order)
    spans = spans.take(_is_new(spans.docs, spans.first, spans.last, spans.labels))
    # A stable order: ties go to the shorter span, then to the earlier label.
    best = numpy.lexsort((-spans.scores, spans.first, spans.docs))
    ranked = spans.take(best)
    heads = numpy.flatnonzero(_is_new(ranked.docs, ranked.first))
    sizes = numpy.diff(numpy.append(heads, len(best)))
    rank = numpy.arange(len(best)) - numpy.repeat(heads, sizes)
    kept = numpy.zeros(len(best), dtype=bool)
    kept[best[rank < most]] = True
    return spans.take(kept), spans.docs[~kept]


def _is_new(*columns: Ints1d) -> NDArray:
    """RETURNS (NDArray): Whether each row differs from the one above it."""
    new = numpy.ones(len(columns[0]), dtype=bool)
    new[1:] = numpy.any([column[1:] != column[:-1] for column in columns], axis=0)
    return new
