"""F1 against what it takes: latency and running cost, with the Pareto front."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple

from .plot_style import WIDTH, Drawing, Theme, colour, mark, place_labels, shorten
from .plot_text import (
    Report,
    System,
    cost_of,
    latency_of,
    pareto,
    priced,
    timed,
)
from .wording import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEAR = 10  # points between bars that would cover each other


def draw_latency(report: Report) -> Drawing:
    """RETURNS (Tuple): How to draw F1 against latency, and the size."""
    limit = _limit(report, "max_latency")

    def draw(figure: "Figure", theme: Theme) -> None:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_xlabel("latency: milliseconds for a document, p95 (log scale)")
        _draw_front(axes, theme, report, timed(report), latency_of, limit)

    return draw, (WIDTH, 4.6)


def draw_cost(report: Report) -> Drawing:
    """RETURNS (Tuple): How to draw F1 against running cost, and the size."""
    limit = _limit(report, "max_cost")
    found = priced(report)
    least = min(cost_of(x) for x in found if cost_of(x) > 0)

    def draw(figure: "Figure", theme: Theme) -> None:
        axes = figure.add_subplot()
        if all(cost_of(x) > 0 for x in found):
            axes.set_xscale("log")
            scale = "log scale"
        else:
            # Local systems cost nothing, and 0 has no logarithm.
            axes.set_xscale("symlog", linthresh=10 ** math.floor(math.log10(least)))
            scale = "log scale with 0"
        axes.set_xlabel(f"running cost of 1,000 documents ({scale})")
        _draw_front(axes, theme, report, found, cost_of, limit)

    return draw, (WIDTH, 4.6)


def _limit(report: Report, name: str) -> Optional[float]:
    found = (report["command"].get("limits") or {}).get(name)
    return None if found is None else float(found)


def _draw_front(
    axes: "Axes",
    theme: Theme,
    report: Report,
    systems: List[System],
    value: Callable[[System], float],
    limit: Optional[float],
) -> None:
    order = [x["name"] for x in report["systems"]]
    places = [order.index(x["name"]) for x in systems]
    found = [x["intervals"]["micro_f"] for x in systems]
    # In a log scale nothing takes no time.
    least = 1e-6 if axes.get_xscale() == "log" else 0.0
    xs = [max(value(x), least) for x in systems]
    ys = [100 * x["value"] for x in found]
    bars = [(100 * x["low"], 100 * x["high"]) for x in found]
    _set_limits(axes, xs, bars, limit)
    axes.set_ylabel("F1, %")
    confidence = f"{100 * found[0]['confidence']:g}%"
    note = f"bar: {confidence} interval · dashes: Pareto front"
    axes.set_title(note, loc="left", fontsize=8.5, color=theme.faint)
    axes.grid(axis="both", lw=0.8)
    axes.tick_params(length=0, which="both")
    _mark_limit(axes, theme, limit)
    points = list(zip(_spread(axes, xs, ys), ys, strict=True))
    front = [points[i] for i in pareto(list(zip(xs, ys, strict=True)))]
    steps = [*front, (axes.get_xlim()[1], front[-1][1])]
    axes.step(*zip(*steps, strict=True), where="post", **_dashes(theme))
    shades = [colour(theme, i) for i in places]
    for (x, y), (low, high), shade, i in zip(points, bars, shades, places, strict=True):
        axes.vlines(x, low, high, color=shade, lw=1.6, zorder=3)
        looks: Any = {**mark(i), "markeredgecolor": theme.background}
        axes.plot([x], [y], color=shade, zorder=4, **looks)
    names = [shorten(x["name"]) for x in systems]
    corners = [((x, y), (right, y), (right, up)) for (x, y), (right, up) in pairwise(steps)]
    lines = [line for corner in corners for line in pairwise(corner)]
    place_labels(axes, points, names, shades, bars, lines)


def _dashes(theme: Theme) -> Any:
    return {"color": theme.faint, "lw": 1.2, "ls": (0, (4, 3)), "zorder": 2}


def _spread(axes: "Axes", xs: Sequence[float], ys: Sequence[float]) -> List[float]:
    """Move points that would stand above one another aside, so that each bar is seen.

    axes (Axes): Limits must be set.
    xs (Sequence[float]), ys (Sequence[float]): The points.
    RETURNS (List[float]): Where to draw them.
    """
    figure: Any = axes.figure
    figure.draw_without_rendering()
    step = NEAR * figure.dpi / 72
    order = sorted(range(len(xs)), key=lambda i: (xs[i], -ys[i]))
    at = [float(axes.transData.transform((x, 0))[0]) for x in xs]
    groups: List[List[int]] = []
    for i in order:
        if groups and at[i] - at[groups[-1][0]] < step:
            groups[-1].append(i)
        else:
            groups.append([i])
    result = list(xs)
    back = axes.transData.inverted()
    for group in groups:
        for k, i in enumerate(group if len(group) > 1 else []):
            moved = at[group[0]] + (k - (len(group) - 1) / 2) * step
            result[i] = float(back.transform((moved, 0))[0])
    return result


def _set_limits(
    axes: "Axes",
    xs: Sequence[float],
    bars: Sequence[Tuple[float, float]],
    limit: Optional[float],
) -> None:
    from matplotlib.ticker import LogLocator

    low, high = min(x for x, _ in bars), max(x for _, x in bars)
    room = max(0.12 * (high - low), 1.0)
    axes.set_ylim(max(low - room, -2.0), min(high + room, 102.0))
    all_x = [*xs, *([] if limit is None or limit <= 0 else [limit])]
    if axes.get_xscale() == "log":
        # Half a decade at least on both sides: names stand there.
        axes.set_xlim(min(all_x) / 2.5, max(all_x) * 2.5)
        axes.xaxis.set_major_formatter(_plain)
        # Systems may all lie within one power of ten.
        axes.xaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        axes.xaxis.set_minor_formatter(_plain)
        return
    axes.set_xlim(-1.4 * _least_step(axes), max(all_x) * 3)
    axes.set_xticks([x for x in axes.get_xticks() if x >= 0])
    axes.xaxis.set_major_formatter(_plain)


def _least_step(axes: "Axes") -> float:
    transform: Any = axes.xaxis.get_transform()
    return float(transform.linthresh)


def _plain(x: float, _: Any = None) -> str:
    return f"{x:,.0f}" if x >= 1000 else f"{x:g}"


def _mark_limit(axes: "Axes", theme: Theme, limit: Optional[float]) -> None:
    first, last = axes.get_xlim()
    if limit is None or not first < limit < last:
        return
    axes.axvspan(limit, last, color=theme.grid, alpha=0.45, lw=0, zorder=0)
    axes.annotate(
        f"limit: {number(limit)}",
        (limit, 0),
        (-4, 5),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right",
        color=theme.faint,
        fontsize=8.5,
    )
