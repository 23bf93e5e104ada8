"""Which plots a report has, their titles, and what they show in words: the text for those
who can't see them. Nothing here draws.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

from ..entities import SCHEMA_ERRORS
from .spans import ERROR_CLASSES
from .wording import join, number, words

MISTAKES = ERROR_CLASSES[1:]
SHOWN_LABELS = 40

Report = Dict[str, Any]
System = Dict[str, Any]


class PlotText(NamedTuple):
    """What a plot shows.

    title (str): Its title.
    description (str): Whole sentences, with the figures.
    """

    title: str
    description: str


def plot_texts(report: Report) -> Dict[str, PlotText]:
    """Name the plots of a report.

    report (Dict[str, Any]): The report.
    RETURNS (Dict[str, PlotText]): By the plot's name, in order. A plot that would show
        nothing is not there.
    """
    return {
        name: PlotText(title, describe(report))
        for name, (title, shows, describe) in PLOTS.items()
        if shows(report)
    }


def timed(report: Report) -> List[System]:
    """RETURNS (List[Dict[str, Any]]): Systems whose latency is known."""
    return [x for x in report["systems"] if x["latency_ms"] is not None]


def priced(report: Report) -> List[System]:
    """RETURNS (List[Dict[str, Any]]): Systems whose running cost is known."""
    return [x for x in report["systems"] if x["per_thousand_documents"]["cost"] is not None]


def scored(report: Report) -> List[System]:
    """RETURNS (List[Dict[str, Any]]): Systems whose entities have scores."""
    found = report["systems"]
    return [x for x in found if x["evaluation"]["calibration"]["reliability"]]


def labels_of(report: Report) -> List[Tuple[str, int]]:
    """RETURNS (List[Tuple[str, int]]): Labels of the gold data and how often each is
    there, the most frequent first."""
    found = report["gold"]["labels"].items()
    return sorted(found, key=lambda x: (-x[1], x[0]))


def label_f(system: System, label: str) -> float:
    """RETURNS (float): F1 of a label, 0 to 1."""
    found = system["evaluation"]["per_label"].get(label)
    return 0.0 if found is None else float(found["f"])


def schema_errors(system: System) -> Dict[str, float]:
    """RETURNS (Dict[str, float]): Share of the candidates at or above their threshold, by
    reason; empty where it can't be known."""
    evaluation = system["evaluation"]
    counts = evaluation["candidates"]
    total = sum(counts.values()) - counts.get("below_threshold", 0)
    if evaluation["schema_error_rate"] is None or not total:
        return {}
    return {x: counts.get(x, 0) / total for x in SCHEMA_ERRORS}


def pareto(points: Sequence[Tuple[float, float]]) -> List[int]:
    """Find the points that no other one beats: none has less of the first and as much of
    the second, or as little of the first and more of the second.

    points (Sequence[Tuple[float, float]]): Less of the first is better, more of the second.
    RETURNS (List[int]): Their numbers, by the first value.

    >>> pareto([(1.0, 0.5), (2.0, 0.9), (3.0, 0.8), (2.0, 0.7)])
    [0, 1]
    """
    front: List[int] = []
    for i in sorted(range(len(points)), key=lambda j: (points[j][0], -points[j][1])):
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front


def f1(system: System) -> str:
    """RETURNS (str): Micro F1 in percent with its interval."""
    x = system["intervals"]["micro_f"]
    return f"{100 * x['value']:.1f} ({100 * x['low']:.1f} to {100 * x['high']:.1f})"


def latency_of(system: System) -> float:
    """RETURNS (float): p95 in milliseconds."""
    return float(system["latency_ms"]["p95"])


def cost_of(system: System) -> float:
    """RETURNS (float): Running cost of 1,000 documents."""
    return float(system["per_thousand_documents"]["cost"])


def _describe_front(
    systems: List[System],
    value: Callable[[System], float],
    unit: str,
    missing: str,
) -> str:
    rows = [f"{x['name']} {f1(x)} at {number(value(x))}{unit}" for x in systems]
    points = [(value(x), x["intervals"]["micro_f"]["value"]) for x in systems]
    front = join([systems[i]["name"] for i in pareto(points)])
    shown = f"F1 in percent, with interval: {join(rows)}."
    return f"{shown} On the Pareto front: {front}.{missing}"


def _without(report: Report, shown: List[System], what: str) -> str:
    names = [x["name"] for x in report["systems"] if x not in shown]
    return f" Without a known {what}, and not shown: {join(names)}." if names else ""


def _describe_latency(report: Report) -> str:
    found = timed(report)
    missing = _without(report, found, "latency")
    return _describe_front(found, latency_of, " ms for a document (p95)", missing)


def _describe_cost(report: Report) -> str:
    found = priced(report)
    missing = _without(report, found, "cost")
    return _describe_front(found, cost_of, " for 1,000 documents", missing)


def _describe_labels(report: Report) -> str:
    labels = [x for x, _ in labels_of(report)]
    rows = []
    for system in report["systems"]:
        best = max(labels, key=lambda x: label_f(system, x))
        worst = min(labels, key=lambda x: label_f(system, x))
        rows.append(
            f"{system['name']} from {100 * label_f(system, worst):.0f} ({worst}) "
            f"to {100 * label_f(system, best):.0f} ({best})"
        )
    more = len(labels) - SHOWN_LABELS
    cut = f" {more} rarer labels are not shown." if more > 0 else ""
    return f"F1 in percent of {len(labels)} labels by system: {join(rows)}.{cut}"


def _describe_errors(report: Report) -> str:
    rows = []
    for system in report["systems"]:
        errors = system["evaluation"]["errors"]
        parts = [f"{errors[x]} {words(x)}" for x in MISTAKES]
        rows.append(f"{system['name']}: {', '.join(parts)}.")
    return f"Mistakes by class. {' '.join(rows)}"


def _describe_calibration(report: Report) -> str:
    rows = []
    for system in scored(report):
        found = system["evaluation"]["calibration"]
        bins = found["reliability"]
        n = sum(x["count"] for x in bins)
        gap = sum(x["count"] * (x["score"] - x["accuracy"]) for x in bins) / n
        sure = "too sure" if gap > 0 else "not sure enough"
        how = f"{sure} by {100 * abs(gap):.1f} points on average"
        rows.append(
            f"{system['name']} has an ECE of {100 * found['ece']:.1f}% and is {how}"
        )
    return f"Share of entities that are right against their score: {join(rows)}."


def _describe_schema(report: Report) -> str:
    rows = []
    for system in report["systems"]:
        found = schema_errors(system)
        parts = [f"{100 * y:.2f}% {words(x)}" for x, y in found.items() if y]
        rows.append(
            f"{system['name']}: {', '.join(parts) or ('none' if found else 'n/a')}."
        )
    return f"Share of candidates that break the schema. {' '.join(rows)}"


PLOTS: Dict[str, Tuple[str, Callable[[Report], bool], Callable[[Report], str]]] = {
    "f1_latency": (
        "F1 against latency",
        lambda x: bool(timed(x)),
        _describe_latency,
    ),
    "f1_cost": (
        "F1 against running cost",
        lambda x: any(cost_of(y) > 0 for y in priced(x)),
        _describe_cost,
    ),
    "per_label": (
        "F1 by label",
        lambda x: bool(x["gold"]["labels"] and x["systems"]),
        _describe_labels,
    ),
    "error_classes": (
        "Mistakes by class",
        lambda x: any(y["evaluation"]["errors"][z] for y in x["systems"] for z in MISTAKES),
        _describe_errors,
    ),
    "calibration": (
        "Are scores right?",
        lambda x: bool(scored(x)),
        _describe_calibration,
    ),
    "schema_errors": (
        "Schema errors by reason",
        lambda x: any(z for y in x["systems"] for z in schema_errors(y).values()),
        _describe_schema,
    ),
}
