"""Precision, recall and F1 of spans, and how far chance may have moved them."""

from dataclasses import dataclass
from typing import Hashable, Iterable, Sequence, Tuple

import numpy

from ..errors import Errors


@dataclass(frozen=True)
class SpanScore:
    """Counts of spans, and what follows from them.

    right (int): Predicted spans that are gold spans, same boundaries and label.
    predicted (int): Predicted spans.
    gold (int): Gold spans.
    """

    right: int = 0
    predicted: int = 0
    gold: int = 0

    @property
    def p(self) -> float:
        """RETURNS (float): Precision, 0 to 1; 0.0 where nothing was predicted."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def r(self) -> float:
        """RETURNS (float): Recall, 0 to 1; 0.0 where there is nothing to find."""
        return self.right / self.gold if self.gold else 0.0

    @property
    def f(self) -> float:
        """RETURNS (float): F1, 0 to 1; 0.0 where nothing is gold or predicted."""
        total = self.predicted + self.gold
        return 2 * self.right / total if total else 0.0

    def __add__(self, other: "SpanScore") -> "SpanScore":
        return SpanScore(
            self.right + other.right,
            self.predicted + other.predicted,
            self.gold + other.gold,
        )


def count_spans(gold: Iterable[Hashable], predicted: Iterable[Hashable]) -> SpanScore:
    """Compare the spans of one document. A span given twice counts once.

    gold (Iterable[Hashable]): Gold spans, such as (start, end, label).
    predicted (Iterable[Hashable]): Predicted spans in the same form.
    RETURNS (SpanScore): The counts.

    >>> count_spans([(0, 3, "ORG"), (5, 9, "PERSON")], [(0, 3, "ORG"), (5, 8, "PERSON")])
    SpanScore(right=1, predicted=2, gold=2)
    """
    of_gold, of_predicted = set(gold), set(predicted)
    return SpanScore(len(of_gold & of_predicted), len(of_predicted), len(of_gold))


def bootstrap_f(
    scores: Sequence[SpanScore],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Tuple[float, float]:
    """Percentile interval of micro F1 by resampling whole documents, because the spans of
    a document stand or fall together: Efron and Tibshirani, "An introduction to the
    bootstrap", 1993, chapter 13.

    scores (Sequence[SpanScore]): Counts of each document.
    resamples (int): How many sets of documents are drawn.
    confidence (float): Share of them inside the interval, 0 to 1.
    seed (int): Of the random numbers: the same call gives the same interval.
    RETURNS (Tuple[float, float]): Low and high F1, 0 to 1.
    RAISES (ValueError): There is no document.
    """
    if not scores:
        raise ValueError(Errors.N080)
    counts = numpy.array([(x.right, x.predicted + x.gold) for x in scores])
    n = len(counts)
    rng = numpy.random.default_rng(seed)
    drawn = rng.multinomial(n, numpy.full(n, 1 / n), size=resamples) @ counts
    f = 2 * drawn[:, 0] / numpy.maximum(drawn[:, 1], 1)
    tail = 100 * (1 - confidence) / 2
    low, high = numpy.percentile(f, [tail, 100 - tail])
    return float(low), float(high)
