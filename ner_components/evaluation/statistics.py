"""What chance does to a figure: intervals by document, and paired tests of two systems.

The spans of a document stand or fall together, so whole documents are drawn or left out;
sentences that share a document's id go with it.
"""

from typing import Any, Callable, Dict, Hashable, List, Optional, Sequence, Tuple, Union

import numpy
from numpy.typing import NDArray

from ..entities import SCHEMA_ERRORS
from ..errors import Errors
from .costs import Costs
from .resampling import (
    RESAMPLES,
    Comparison,
    CountTable,
    Interval,
    Statistic,
    macro_f,
    ratio,
)
from .results import Evaluation

METRICS = (
    "micro_f",
    "micro_p",
    "micro_r",
    "macro_f",
    "label_f",
    "schema_error_rate",
)
COST = "cost"  # needs a table of what mistakes cost

Seeds = Union[Evaluation, Sequence[Evaluation]]


def interval(
    evaluation: Seeds,
    metric: str = "micro_f",
    *,
    label: Optional[str] = None,
    costs: Optional[Costs] = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: str = "jackknife",
) -> Interval:
    """Interval of a figure, by document.

    "jackknife", the default, is the one that held in our simulations (docs/metrics.md):
    variance from leaving out each document (Tukey, "Bias and confidence in not-quite large
    samples", 1958), Student's t with the degrees of freedom that the largest documents
    leave (Satterthwaite, "An approximate distribution of estimates of variance components",
    1946), on the logit scale, so that the bounds stay inside 0 and 1. It draws nothing.

    "percentile", "basic" and "bca" are bootstraps: documents are drawn with replacement
    (Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapters 13 and 14;
    Efron, "Better bootstrap confidence intervals", 1987). They are too narrow where
    documents are few or of unequal size.

    Several evaluations of the same documents, one for each seed of the training, give the
    interval of their mean: documents are drawn, seeds are held fixed.

    evaluation (Union[Evaluation, Sequence[Evaluation]]): One evaluation, or one by seed.
    metric (str): One of `METRICS`, or `COST` with a table.
    label (Optional[str]): The label, for "label_f".
    costs (Optional[Costs]): What mistakes cost, for `COST`: the mean of a document.
    confidence (float): Share of such intervals that should hold the true value, 0 to 1.
    resamples (int): How many sets of documents a bootstrap draws.
    seed (int): Of its random numbers: the same call gives the same interval.
    method (str): One of `METHODS`.
    RETURNS (Interval): The figure and its interval.
    RAISES (ValueError): There is no document, a setting is not valid, the evaluations are
        of different documents, or the schema error rate can't be known.
    RAISES (ImportError): scipy, which knows Student's t, is not installed.

    >>> from ner_components.evaluation.metrics import evaluate_spans
    >>> right, wrong = [(0, 1, "A")], [(0, 1, "B")]
    >>> evaluation = evaluate_spans([right] * 100, [right] * 80 + [wrong] * 20)
    >>> found = interval(evaluation, "micro_f")
    >>> found.value, round(found.low, 1), round(found.high, 1), found.reliable
    (0.8, 0.7, 0.9, True)
    """
    table = make_table([evaluation], metric, label, costs)
    return table.interval(
        confidence=confidence, method=method, resamples=resamples, seed=seed
    )


def compare(
    first: Seeds,
    second: Seeds,
    metric: str = "micro_f",
    *,
    label: Optional[str] = None,
    costs: Optional[Costs] = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: str = "jackknife",
) -> Comparison:
    """Compare two systems on the same documents.

    `p` is of approximate randomisation: it swaps the systems' output in documents drawn by
    a coin (Noreen, "Computer-intensive methods for testing hypotheses", 1989; Yeh, "More
    accurate tests for the statistical significance of result differences", 2000).
    `p_bootstrap` is the share of paired draws that differ from the difference found by at
    least that difference (Koehn, "Statistical significance tests for machine translation
    evaluation", 2004; Berg-Kirkpatrick, Burkett and Klein, "An empirical investigation of
    statistical significance in NLP", 2012).

    first (Union[Evaluation, Sequence[Evaluation]]): A system, or one evaluation by seed.
    second (Union[Evaluation, Sequence[Evaluation]]): The other one, as many seeds.
    metric, label, costs, confidence, resamples, seed, method: As in `interval`.
    RETURNS (Comparison): First minus second.
    RAISES (ValueError): As `interval`, and not as many seeds.

    >>> from ner_components.evaluation.metrics import evaluate_spans
    >>> right, wrong = [(0, 1, "A")], [(0, 1, "B")]
    >>> gold = [right] * 100
    >>> first = evaluate_spans(gold, [right] * 80 + [wrong] * 20)
    >>> second = evaluate_spans(gold, [right] * 60 + [wrong] * 40)
    >>> found = compare(first, second)
    >>> round(found.difference.value, 2), found.p < 0.01
    (0.2, True)
    """
    table = make_table([first, second], metric, label, costs)
    return table.compare(
        confidence=confidence, method=method, resamples=resamples, seed=seed
    )


def make_table(
    systems: Sequence[Seeds],
    metric: str,
    label: Optional[str] = None,
    costs: Optional[Costs] = None,
) -> CountTable:
    """Count what a figure of one system, or the difference of two, is computed from.

    systems (Sequence[Union[Evaluation, Sequence[Evaluation]]]): One or two systems.
    metric, label, costs: As in `interval`.
    RETURNS (CountTable): The counts by document.
    RAISES (ValueError): As `interval` and `compare`.
    """
    if (costs is None) == (metric == COST):
        raise ValueError(Errors.N215)
    if metric not in (*METRICS, COST) or (label is None) == (metric == "label_f"):
        raise ValueError(Errors.N085.format(metric=metric, allowed=", ".join(METRICS)))
    lists = [[x] if isinstance(x, Evaluation) else list(x) for x in systems]
    if not all(lists) or len({len(x) for x in lists}) > 1:
        raise ValueError(Errors.N082.format(problem="the numbers of seeds differ"))
    evaluations = [x for seeds in lists for x in seeds]
    groups = _group(evaluations)
    columns, statistic = _metric_columns(evaluations[0], metric, label, costs)
    rows = numpy.array(
        [[columns(x) for x in e.documents] for e in evaluations], dtype=float
    )
    counts = numpy.zeros((len(evaluations), groups.max() + 1, rows.shape[-1]))
    for of_group, of_row in zip(counts, rows, strict=True):
        numpy.add.at(of_group, groups, of_row)
    if metric == "schema_error_rate" and (
        not all(x.can_err for x in evaluations) or not counts.any()
    ):
        raise ValueError(Errors.N089)
    counts = counts.reshape(len(lists), -1, *counts.shape[1:])
    return CountTable(counts, statistic, share=metric != COST)


def _group(evaluations: List[Evaluation]) -> NDArray[numpy.int64]:
    """RETURNS (ndarray): For each row of an evaluation the number of its document."""
    first = evaluations[0]
    if not first.documents:
        raise ValueError(Errors.N080)
    for other in evaluations[1:]:
        problem = _difference(first, other)
        if problem:
            raise ValueError(Errors.N082.format(problem=problem))
    numbers: Dict[Hashable, int] = {}
    keys = [(i, x.id) if x.id is None else x.id for i, x in enumerate(first.documents)]
    return numpy.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _difference(one: Evaluation, other: Evaluation) -> str:
    if len(one.documents) != len(other.documents):
        return f"{len(one.documents)} documents against {len(other.documents)}"
    for i, (x, y) in enumerate(zip(one.documents, other.documents, strict=True)):
        gold = [{n: s.gold for n, s in z.labels.items() if s.gold} for z in (x, y)]
        if x.id != y.id or gold[0] != gold[1]:
            return f"number {i + 1} differs in id or gold entities"
    return ""


def _metric_columns(
    evaluation: Evaluation, metric: str, label: Optional[str], costs: Optional[Costs]
) -> Tuple[Callable[[Any], Sequence[float]], Statistic]:
    if costs is not None:
        return lambda x: (sum(n * costs.of(o) for o, n in x.outcomes.items()), 1), ratio
    if metric == "schema_error_rate":
        return _candidate_columns, ratio
    if metric == "label_f":
        labels = [str(label)]
    else:
        labels = [x for x, score in evaluation.per_label.items() if score.gold]
    if metric == "macro_f":
        return lambda x: [n for y in labels for n in _columns(x, y)], macro_f
    chosen = labels if metric == "label_f" else None

    def columns(document: Any) -> List[int]:
        of = [document.labels[x] for x in chosen or document.labels if x in document.labels]
        right, predicted, gold = (
            sum(getattr(x, name) for x in of) for name in ("right", "predicted", "gold")
        )
        if metric.endswith("_f"):
            return [2 * right, predicted + gold]
        return [right, predicted if metric == "micro_p" else gold]

    return columns, ratio


def _columns(document: Any, label: str) -> Tuple[int, int, int]:
    score = document.labels.get(label)
    if score is None:
        return (0, 0, 0)
    return (2 * score.right, score.predicted + score.gold, score.gold)


def _candidate_columns(document: Any) -> List[int]:
    counts = document.candidates
    total = sum(counts.values()) - counts.get("below_threshold", 0)
    return [sum(counts.get(x, 0) for x in SCHEMA_ERRORS), total]
