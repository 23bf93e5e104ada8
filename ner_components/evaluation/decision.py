"""Which system to ship: what qualifies, what is best, and whether the documents show it."""

import math
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy

from ..errors import Errors
from .costs import Costs
from .decision_words import break_, state
from .drift_report import holm
from .resampling import RESAMPLES, Comparison, Interval, draw
from .results import Evaluation
from .statistics import COST, compare, interval, make_table

F1 = "micro_f"
# The test of two systems is sharp: at its level itself, every other count of winners among
# equals would be above it.
MARGIN = 1.25


@dataclass(frozen=True)
class Limits:
    """What a system must keep to; `None` for no limit.

    max_latency (Optional[float]): Milliseconds for a document, of 95 in 100 (p95).
    max_cost (Optional[float]): Running cost of 1,000 documents.
    max_schema_errors (Optional[float]): Schema error rate, 0 to 1.
    """

    max_latency: Optional[float] = None
    max_cost: Optional[float] = None
    max_schema_errors: Optional[float] = None

    def broken(self, contender: "Contender") -> Dict[str, Tuple[Optional[float], float]]:
        """RETURNS (Dict[str, Tuple[Optional[float], float]]): The limits that a system
        doesn't keep to, each with its figure, `None` where that is not known, and the
        limit. An engine that can't make a schema error keeps to that limit."""
        rate = contender.evaluation.schema_error_rate
        found = {
            "latency": (contender.latency, self.max_latency),
            "cost": (contender.cost, self.max_cost),
            "schema errors": (0.0 if rate is None else rate, self.max_schema_errors),
        }
        return {
            name: (value, limit)
            for name, (value, limit) in found.items()
            if limit is not None and (value is None or value > limit)
        }


@dataclass(frozen=True)
class Contender:
    """A system to decide about.

    name (str): Its name.
    evaluation (Evaluation): Its entities against gold.
    latency (Optional[float]): Milliseconds for a document, p95.
    cost (Optional[float]): Running cost of 1,000 documents.
    seconds_per_thousand (Optional[float]): Seconds for 1,000 documents.
    """

    name: str
    evaluation: Evaluation
    latency: Optional[float] = None
    cost: Optional[float] = None
    seconds_per_thousand: Optional[float] = None

    @property
    def expense(self) -> Tuple[float, float, float]:
        """RETURNS (Tuple[float, float, float]): To order by: running cost, time, F1."""
        known = [
            math.inf if x is None else x for x in (self.cost, self.seconds_per_thousand)
        ]
        return known[0], known[1], -self.evaluation.micro.f


@dataclass(frozen=True)
class Decision:
    """What was decided, and the figures behind it.

    metric (str): What the best has most of, "micro_f", or least of, "cost": the expected
        cost of the mistakes in a document.
    chosen (Optional[str]): The system to ship; `None` where none qualifies.
    best (Optional[str]): The one with the best figure, which need not be the one to ship.
    tied (Tuple[str, ...]): Systems that the documents don't separate from the best, with
        it, the best first.
    figures (Dict[str, Interval]): The figure of each system, the best first.
    p_best (Dict[str, float]): How often each of those that qualify has the best figure in
        documents drawn with replacement, 0 to 1.
    comparisons (Dict[str, Comparison]): The best against each other one that qualifies.
    p_corrected (Dict[str, float]): The p of each, corrected by `holm`.
    excluded (Dict[str, Dict[str, Tuple[Optional[float], float]]]): Of those that don't
        qualify, the limits they break: see `Limits.broken`.
    confidence (float): Of the intervals; 1 - `confidence` is the chance that a winner is
        named among equal systems.
    unit (str): Of costs.
    contenders (Tuple[Contender, ...]): What was decided about.
    """

    metric: str
    chosen: Optional[str]
    best: Optional[str]
    tied: Tuple[str, ...]
    figures: Mapping[str, Interval]
    p_best: Mapping[str, float]
    comparisons: Mapping[str, Comparison]
    p_corrected: Mapping[str, float]
    excluded: Mapping[str, Mapping[str, Tuple[Optional[float], float]]]
    confidence: float
    unit: str = ""
    contenders: Tuple[Contender, ...] = field(default=(), repr=False)

    @property
    def qualified(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): Systems within the limits, the best first."""
        return tuple(x for x in self.figures if x not in self.excluded)

    @property
    def reason(self) -> str:
        """RETURNS (str): "none" qualifies, "only" one does, "best" by the documents, or
        "cheapest" of those that they don't separate."""
        if self.chosen is None:
            return "none"
        if len(self.qualified) == 1:
            return "only"
        return "best" if len(self.tied) == 1 else "cheapest"

    @property
    def statement(self) -> str:
        """RETURNS (str): Two sentences for whoever decides."""
        return state(self)

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The fields but `contenders`, and `qualified`, `reason`,
        `statement`. `excluded` is in words, `broken` in figures."""
        return {
            "metric": self.metric,
            "chosen": self.chosen,
            "best": self.best,
            "reason": self.reason,
            "statement": self.statement,
            "tied": list(self.tied),
            "figures": {k: x.to_dict() for k, x in self.figures.items()},
            "p_best": dict(self.p_best),
            "comparisons": {
                k: {**x.to_dict(), "p_corrected": self.p_corrected[k]}
                for k, x in self.comparisons.items()
            },
            "qualified": list(self.qualified),
            "excluded": {
                name: [break_(k, v, m) for k, (v, m) in x.items()]
                for name, x in self.excluded.items()
            },
            "broken": {
                name: [{"limit": k, "value": v, "most": m} for k, (v, m) in x.items()]
                for name, x in self.excluded.items()
            },
            "confidence": self.confidence,
            "unit": self.unit,
        }


def decide(
    contenders: Sequence[Contender],
    *,
    limits: Limits = Limits(),
    costs: Optional[Costs] = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Decision:
    """Decide which system to ship.

    The best of those within the limits has the least expected cost of mistakes, or without
    costs the highest micro F1. It is shipped if the documents separate it from each other
    one: by approximate randomisation, corrected for their number (`statistics.compare`,
    `holm`). Else the least expensive of those not separated is, by running cost, then by
    time, then by F1.

    contenders (Sequence[Contender]): The systems, at least one, on the same documents.
    limits (Limits): What a system must keep to.
    costs (Optional[Costs]): What mistakes cost.
    confidence (float): 1 less the chance that a winner is named among equals, 0 to 1.
    resamples (int): How often documents are drawn and swapped.
    seed (int): Of the random numbers.
    RETURNS (Decision): The decision.
    RAISES (ValueError): No system, two of one name, or as `statistics.compare`.
    """
    names = [x.name for x in contenders]
    if not names or len(set(names)) < len(names):
        raise ValueError(Errors.N216)
    metric = F1 if costs is None else COST
    options: Dict[str, Any] = {"costs": costs, "confidence": confidence}
    figures = {x.name: interval(x.evaluation, metric, **options) for x in contenders}
    sign = 1 if metric == F1 else -1
    order = sorted(contenders, key=lambda x: (-sign * figures[x.name].value, x.expense))
    excluded = {x.name: y for x in order if (y := limits.broken(x))}
    qualified = [x for x in order if x.name not in excluded]
    options |= {"resamples": resamples, "seed": seed}
    found = {
        x.name: compare(qualified[0].evaluation, x.evaluation, metric, **options)
        for x in qualified[1:]
    }
    corrected = dict(zip(found, holm([x.p for x in found.values()]), strict=True))
    level = (1 - confidence) / MARGIN
    tied = [x for x in qualified if corrected.get(x.name, 1.0) > level]
    return Decision(
        metric=metric,
        chosen=min(tied, key=lambda x: x.expense).name if tied else None,
        best=qualified[0].name if qualified else None,
        tied=tuple(x.name for x in tied),
        figures={x.name: figures[x.name] for x in order},
        p_best=_p_best(qualified, metric, costs, resamples, seed),
        comparisons=found,
        p_corrected=corrected,
        excluded=excluded,
        confidence=confidence,
        unit="" if costs is None else costs.unit,
        contenders=tuple(order),
    )


def _p_best(
    contenders: Sequence[Contender],
    metric: str,
    costs: Optional[Costs],
    resamples: int,
    seed: int,
) -> Dict[str, float]:
    """Draw the same documents for all (Koehn, "Statistical significance tests for machine
    translation evaluation", 2004). Systems that share the best figure share the draw."""
    if not contenders:
        return {}
    tables = [make_table([x.evaluation], metric, costs=costs) for x in contenders]
    drawn = numpy.stack([draw(x, resamples, seed) for x in tables])
    drawn = drawn if metric == F1 else -drawn
    first = drawn >= drawn.max(axis=0) - 1e-12
    share = (first / first.sum(axis=0)).mean(axis=1)
    return {x.name: float(p) for x, p in zip(contenders, share, strict=True)}
