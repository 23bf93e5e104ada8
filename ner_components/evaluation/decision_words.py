"""A decision in two sentences that a manager can read."""

import math
from typing import TYPE_CHECKING, Dict, Mapping, Optional, Tuple

from .resampling import Comparison
from .wording import join, number

if TYPE_CHECKING:
    from .decision import Decision

Broken = Mapping[str, Tuple[Optional[float], float]]


def state(decision: "Decision") -> str:
    """RETURNS (str): What to ship and why, with the figures."""
    if decision.chosen is None:
        return _state_none(decision)
    return f"{_state_first(decision)} {_state_second(decision)}"


def _state_first(decision: "Decision") -> str:
    chosen = str(decision.chosen)
    figure = _figure(decision, chosen, bounds=True)
    others = [x for x in decision.tied if x != chosen]
    if decision.reason == "only":
        which = "within the limits" if decision.excluded else "compared"
        return f"Ship {chosen}, the only system {which}: {figure}."
    if decision.reason == "best":
        second, found = next(iter(decision.comparisons.items()))
        gap = _gap(decision, found)
        p = decision.p_corrected[second]
        return f"Ship {chosen}: {figure}, {gap} than {second}, the next best ({_p(p)})."
    named = join([f"{x} ({_figure(decision, x)})" for x in others])
    return (
        f"Ship {chosen}, {_merit(decision)} of {len(decision.tied)} that these documents "
        f"do not separate: {figure}, against {named}."
    )


def _merit(decision: "Decision") -> str:
    """RETURNS (str): What the chosen one has before the others that it is tied with."""
    tied = [x for x in decision.contenders if x.name in decision.tied]
    expenses = sorted(x.expense for x in tied)
    names = ("the cheapest to run", "the fastest", "the one with the highest F1")
    for i, name in enumerate(names):
        if expenses[0][i] < expenses[1][i]:
            return name
    return "the first"


def _state_second(decision: "Decision") -> str:
    chosen = str(decision.chosen)
    contender = next(x for x in decision.contenders if x.name == chosen)
    p_best = decision.p_best[chosen]
    parts = []
    if decision.reason != "only":
        parts.append(f"is the best in {p_best:.0%} of samples of the documents")
    if contender.latency is not None:
        parts.append(f"needs {number(contender.latency)} ms for 95 documents in 100")
    if contender.cost is not None:
        parts.append(f"costs {number(contender.cost)} to run on 1,000 documents")
    out = [f"{x} ({_breaks(y)})" for x, y in decision.excluded.items()]
    rest = f"; not within the limits: {join(out)}" if out else ""
    if not parts:
        parts = ["has neither a latency nor a price that is known"]
    return f"It {join(parts)}{rest}."


def _state_none(decision: "Decision") -> str:
    counts: Dict[str, int] = {}
    for broken in decision.excluded.values():
        for name in broken:
            counts[name] = counts.get(name, 0) + 1
    by_limit = join([f"{n} by {name}" for name, n in counts.items()])
    nearest = min(decision.excluded, key=lambda x: _excess(decision.excluded[x]))
    return (
        f"No system is within the limits: {by_limit} of {len(decision.excluded)}. "
        f"The nearest is {nearest} ({_figure(decision, nearest)}): "
        f"{_breaks(decision.excluded[nearest])}."
    )


def _excess(broken: Broken) -> Tuple[int, float]:
    shares = [
        math.inf if v is None else v / m if m else math.inf for v, m in broken.values()
    ]
    return len(broken), max(shares)


def _breaks(broken: Broken) -> str:
    return join([break_(name, *x) for name, x in broken.items()])


def break_(name: str, value: Optional[float], most: float) -> str:
    """RETURNS (str): How a limit is broken."""
    if value is None:
        return f"{name} not known"
    if name == "schema errors":
        return f"{name} {value:.2%} above {most:.2%}"
    unit = " ms" if name == "latency" else ""
    return f"{name} {number(value)}{unit} above {number(most)}{unit}"


def _figure(decision: "Decision", name: str, *, bounds: bool = False) -> str:
    x = decision.figures[name]
    if decision.metric == "micro_f":
        values = [f"{100 * y:.1f}" for y in (x.value, x.low, x.high)]
        text = f"F1 {values[0]}%"
    else:
        # Student's t knows no least cost.
        values = [number(1000 * max(y, 0.0)) for y in (x.value, x.low, x.high)]
        unit = f" {decision.unit}" if decision.unit else ""
        text = f"mistakes cost {values[0]}{unit} in 1,000 documents"
    if not bounds:
        return text
    return f"{text} ({decision.confidence:.0%} interval {values[1]} to {values[2]})"


def _gap(decision: "Decision", found: Comparison) -> str:
    gap = abs(found.difference.value)
    if decision.metric == "micro_f":
        return f"{100 * gap:.1f} points more"
    return f"{number(1000 * gap)} less"


def _p(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.0005 else "p < 0.001"
