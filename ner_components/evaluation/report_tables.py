"""The tables of report.html: what stands in each cell, as text."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..entities import REASONS, SCHEMA_ERRORS
from .spans import ERROR_CLASSES
from .wording import number, words

Report = Dict[str, Any]
KIND_WORDS = {x: words(x) for x in ERROR_CLASSES}
UNKNOWN = "–"


class Cell(NamedTuple):
    """A cell of a table.

    text (str): What stands there.
    note (str): Small, below it.
    style (str): Classes of report.css.
    bar (Optional[Tuple[float, float, float]]): Low end, figure and high end of a bar, each
        0 to 100.
    """

    text: str
    note: str = ""
    style: str = ""
    bar: Optional[Tuple[float, float, float]] = None


class Table(NamedTuple):
    """A table. The first cell of a row is its heading.

    caption (str): What it shows.
    head (Sequence[str]): Headings of the columns.
    rows (Sequence[Sequence[Cell]]): The rows.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def decision_table(report: Report) -> Table:
    """RETURNS (Table): Every system by the metric of the decision, the best first."""
    decision = report["decision"]
    f1 = decision["metric"] == "micro_f"
    unit = f", {decision['unit']}" if decision["unit"] else ""
    name = "F1, %" if f1 else f"Cost of mistakes in 1,000 documents{unit}"
    scale = 100 if f1 else 1000
    low, high = _axis(decision, scale)
    rows = []
    for system, x in decision["figures"].items():
        bounds = [scale * x[key] for key in ("low", "value", "high")]
        bar = tuple(round(100 * (y - low) / (high - low), 2) for y in bounds)
        p_best = decision["p_best"].get(system)
        against = decision["comparisons"].get(system)
        figure = Cell(_number(bounds[1], f1), _span(bounds, f1), "num", bar)
        rows.append(
            [
                Cell(system, style="chosen" if system == decision["chosen"] else ""),
                figure,
                Cell(_verdict(decision, system), style="prose"),
                Cell(UNKNOWN if p_best is None else _percent(p_best, 0), style="num"),
                Cell(_p(against and against["p_corrected"]), style="num"),
            ]
        )
    head = ("System", name, "Verdict", "Chance to be best", "p against the best")
    level = _percent(decision["confidence"], 0)
    caption = (
        f"The best first, with {level} intervals (bars from {_number(low, f1)} to "
        f"{_number(high, f1)}); p is corrected for the number of systems."
    )
    return Table(caption, head, rows)


def results_table(report: Report) -> Table:
    """RETURNS (Table): The figures of every system."""
    columns: List[Tuple[str, Callable[[Dict[str, Any]], Cell]]] = [
        ("System", lambda x: Cell(x["name"], x["source"])),
        ("F1, %", lambda x: _interval(x["intervals"]["micro_f"])),
        ("Precision, %", lambda x: _interval(x["intervals"]["micro_p"])),
        ("Recall, %", lambda x: _interval(x["intervals"]["micro_r"])),
        ("Macro F1, %", lambda x: _interval(x["intervals"]["macro_f"])),
        ("Schema errors", lambda x: _schema_rate(x["evaluation"])),
        ("Failed", lambda x: Cell(f"{len(x['failures']):,}", style="num")),
        ("ECE", lambda x: _figure(x["evaluation"]["calibration"]["ece"], "{:.3f}")),
        ("One document, ms (p50)", lambda x: _latency(x["latency_ms"])),
        ("Words a second", lambda x: _per_second(x["throughput"])),
        ("Memory, MB", lambda x: _figure(x["peak_memory_mb"], "{:,.0f}")),
        ("Tokens, 1,000 documents", lambda x: _amount(x, "tokens")),
        ("Cost, 1,000 documents", lambda x: _amount(x, "cost")),
        ("Cost of mistakes, 1,000 documents", lambda x: _mistakes(x["cost_of_mistakes"])),
    ]
    systems = report["systems"]
    if not any(x["cost_of_mistakes"] for x in systems):
        columns = [x for x in columns if not x[0].startswith("Cost of mistakes")]
    rows = [[make(x) for _, make in columns] for x in systems]
    caption = "All systems on the same documents. Small figures: intervals, percentiles."
    return Table(caption, [name for name, _ in columns], rows)


def label_table(report: Report) -> Table:
    """RETURNS (Table): F1 by label and system, shaded: the stronger, the higher."""
    systems = report["systems"]
    scores = [x["evaluation"]["per_label"] for x in systems]
    labels = sorted({label for x in scores for label in x} | set(report["gold"]["labels"]))
    rows = []
    for label in labels:
        count = report["gold"]["labels"].get(label, 0)
        cells = [_heat(x.get(label), count) for x in scores]
        rows.append([Cell(label), Cell(f"{count:,}", style="num"), *cells])
    head = ["Label", "Gold entities", *(x["name"] for x in systems)]
    caption = "F1 in % by label: the stronger the shade, the higher; below it the interval."
    for row, label in zip(rows, labels, strict=True):
        for i, system in enumerate(systems):
            found = system["intervals"]["label_f"].get(label)
            if found is not None:
                row[2 + i] = row[2 + i]._replace(note=_bounds(found))
    return Table(caption, head, rows)


def error_table(report: Report) -> Table:
    """RETURNS (Table): Counts by error class and system."""
    rows = [
        [Cell(x["name"]), *(_count(x["evaluation"]["errors"][k]) for k in ERROR_CLASSES)]
        for x in report["systems"]
    ]
    caption = "Every gold entity by what became of it, and the spurious predictions."
    return Table(caption, ["System", *KIND_WORDS.values()], rows)


def schema_table(report: Report) -> Table:
    """RETURNS (Table): What was rejected, by reason and system."""
    systems = report["systems"]
    counts = [x["evaluation"]["candidates"] for x in systems]
    reasons = [
        x for x in REASONS if x in SCHEMA_ERRORS or any(x in found for found in counts)
    ]
    rows = [
        [Cell(x["name"]), *(_rejections(x["evaluation"], y) for y in reasons)]
        for x in systems
    ]
    caption = "Candidates that did not become entities. The first four are schema errors."
    return Table(caption, ["System", *(x.replace("_", " ") for x in reasons)], rows)


def speed_table(report: Report) -> Table:
    """RETURNS (Table): F1 against the time for one document."""
    rows = [
        [Cell(x["name"]), _interval(x["intervals"]["micro_f"])]
        + [_milliseconds(x["latency_ms"], y) for y in ("p50", "p95", "p99")]
        for x in report["systems"]
    ]
    head = ("System", "F1, %", "p50, ms", "p95, ms", "p99, ms")
    return Table("F1, and milliseconds for one document.", head, rows)


def cost_table(report: Report) -> Table:
    """RETURNS (Table): F1 against running cost."""
    rows = [
        [Cell(x["name"]), _interval(x["intervals"]["micro_f"]), _amount(x, "cost")]
        for x in report["systems"]
    ]
    head = ("System", "F1, %", "Cost, 1,000 documents")
    return Table("F1, and the running cost.", head, rows)


def calibration_tables(report: Report) -> List[Table]:
    """RETURNS (List[Table]): For every system with scores: mean score and accuracy."""
    result = []
    for x in report["systems"]:
        bins = x["evaluation"]["calibration"]["reliability"]
        if bins:
            rows = [
                [
                    Cell(f"{y['score']:.3f}"),
                    Cell(f"{y['accuracy']:.3f}", style="num"),
                    _count(y["count"]),
                ]
                for y in bins
            ]
            head = ("Mean score", "Share that is right", "Entities")
            result.append(Table(f"{x['name']}: scores and what came true.", head, rows))
    return result


def pair_table(report: Report) -> Table:
    """RETURNS (Table): Every two systems."""
    rows = []
    for x in report["comparisons"]:
        bounds = [100 * x["difference"][key] for key in ("low", "value", "high")]
        cells = [Cell(f"{bounds[1]:+.1f}", f"{bounds[0]:+.1f} to {bounds[2]:+.1f}", "num")]
        cells += [Cell(_p(x[key]), style="num") for key in ("p", "p_corrected")]
        rows.append([Cell(x["first"]), Cell(x["second"]), *cells])
    head = ("First", "Second", "F1, points more", "p", "p corrected")
    caption = "F1 of the first less F1 of the second; p after Holm for all pairs."
    return Table(caption, head, rows)


# What stands behind each plot.
BEHIND: Dict[str, Callable[[Report], List[Table]]] = {
    "f1_latency": lambda report: [speed_table(report)],
    "f1_cost": lambda report: [cost_table(report)],
    "error_classes": lambda report: [error_table(report)],
    "calibration": calibration_tables,
    "schema_errors": lambda report: [schema_table(report)],
}


# Cells


def _axis(decision: Dict[str, Any], scale: float) -> Tuple[float, float]:
    """The stretch that holds all intervals."""
    found = decision["figures"].values()
    low = scale * min((x["low"] for x in found), default=0.0)
    high = scale * max((x["high"] for x in found), default=1.0)
    return (low, high) if low < high else (low - 1, high + 1)


def _interval(x: Dict[str, Any]) -> Cell:
    return Cell(f"{100 * x['value']:.1f}", _bounds(x), "num")


def _bounds(x: Dict[str, Any]) -> str:
    return f"{100 * x['low']:.1f}–{100 * x['high']:.1f}"


def _heat(score: Optional[Dict[str, Any]], gold: int) -> Cell:
    if score is None or not (gold or score["predicted"]):
        return Cell(UNKNOWN, style="num")
    if not gold:
        return Cell(f"{score['predicted']:,} spurious", style="num")
    return Cell(f"{100 * score['f']:.1f}", style=f"num heat-{round(10 * score['f'])}")


def _schema_rate(evaluation: Dict[str, Any]) -> Cell:
    rate = evaluation["schema_error_rate"]
    return Cell("n/a" if rate is None else _percent(rate, 2), style="num")


def _rejections(evaluation: Dict[str, Any], reason: str) -> Cell:
    # Without a rate the engine can't err, or it can't be known.
    if reason in SCHEMA_ERRORS and evaluation["schema_error_rate"] is None:
        return Cell("n/a", style="num")
    return _count(evaluation["candidates"].get(reason, 0))


def _latency(x: Optional[Dict[str, Any]]) -> Cell:
    if x is None:
        return Cell(UNKNOWN, style="num")
    p50, p95, p99 = (_number(x[key], False) for key in ("p50", "p95", "p99"))
    return Cell(p50, f"p95 {p95}, p99 {p99}", "num")


def _milliseconds(x: Optional[Dict[str, Any]], key: str) -> Cell:
    return Cell(UNKNOWN if x is None else _number(x[key], False), style="num")


def _per_second(x: Optional[Dict[str, Any]]) -> Cell:
    return _figure(None if x is None else x["words_per_second"], "{:,.0f}")


def _amount(x: Dict[str, Any], key: str) -> Cell:
    value = x["per_thousand_documents"][key]
    return Cell(UNKNOWN if value is None else _number(value, False), style="num")


def _mistakes(x: Optional[Dict[str, Any]]) -> Cell:
    if x is None or x["per_thousand_documents"] is None:
        return Cell(UNKNOWN, style="num")
    bounds = [x["low"], x["per_thousand_documents"], x["high"]]
    return Cell(f"{_number(bounds[1], False)} {x['unit']}", _span(bounds, False), "num")


def _figure(value: Optional[float], form: str) -> Cell:
    return Cell(UNKNOWN if value is None else form.format(value), style="num")


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", style="num")


def _verdict(decision: Dict[str, Any], system: str) -> str:
    if system in decision["excluded"]:
        return f"Out: {', '.join(decision['excluded'][system])}"
    tied = system in decision["tied"] and len(decision["tied"]) > 1
    if system == decision["chosen"]:
        return "Ship: chosen from the tied" if tied else "Ship"
    return "Tied: not separated from the best" if tied else "Behind the best"


def _span(bounds: Sequence[float], f1: bool) -> str:
    return f"{_number(bounds[0], f1)}–{_number(bounds[2], f1)}"


def _number(x: float, f1: bool) -> str:
    return f"{x:.1f}" if f1 else number(x)


def _percent(x: float, digits: int) -> str:
    return f"{100 * x:.{digits}f}%"


def _p(p: Optional[float]) -> str:
    if p is None:
        return UNKNOWN
    return f"{p:.3f}" if p >= 0.0005 else "< 0.001"
