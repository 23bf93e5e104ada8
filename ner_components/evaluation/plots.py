"""The plots of a comparison's report."""

import math
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    NamedTuple,
    Sequence,
)

from ..entities import SCHEMA_ERRORS
from .plot_front import draw_cost, draw_latency
from .plot_style import WIDTH, Drawing, Theme, colour, render, shorten
from .plot_text import (
    MISTAKES,
    SHOWN_LABELS,
    Report,
    System,
    label_f,
    labels_of,
    plot_texts,
    schema_errors,
    scored,
)
from .wording import words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4


class Plot(NamedTuple):
    """A plot.

    title (str): What it shows.
    description (str): The same in whole sentences with the figures, for those who can't
        see it.
    light (str), dark (str): SVG, for a light and for a dark page.
    png (bytes): The light one.
    """

    title: str
    description: str
    light: str
    dark: str
    png: bytes


def make_plots(report: Dict[str, Any]) -> Dict[str, Plot]:
    """Draw the plots of a report. The same report gives the same bytes.

    report (Dict[str, Any]): The report.
    RETURNS (Dict[str, Plot]): By name; see `plot_text.plot_texts`.
    RAISES (ImportError): matplotlib is not installed.
    """
    plots = {}
    for name, text in plot_texts(report).items():
        draw, size = DRAWN[name](report)
        plots[name] = Plot(text.title, text.description, *render(draw, size))
    return plots


def _draw_labels(report: Report) -> Drawing:
    labels = labels_of(report)[:SHOWN_LABELS]
    systems = report["systems"]
    names = [shorten(x["name"]) for x in systems]
    values = [[100 * label_f(x, label) for x in systems] for label, _ in labels]

    def draw(figure: "Figure", theme: Theme) -> None:
        from matplotlib.colors import LinearSegmentedColormap, PowerNorm

        axes = figure.add_subplot()
        heat = LinearSegmentedColormap.from_list("heat", theme.heat)
        # Squares: what matters lies between 70 and 100.
        image: Any = axes.imshow(
            values, cmap=heat, norm=PowerNorm(2, 0, 100), aspect="auto"
        )
        rows = [f"{shorten(x)} ({n})" for x, n in labels]
        axes.set_yticks(range(len(labels)), rows, color=theme.ink)
        axes.set_xticks(range(len(systems)), names, color=theme.ink)
        axes.xaxis.tick_top()
        if max(map(len, names)) > 11:
            for text in axes.get_xticklabels():
                text.set(rotation=30, ha="left", rotation_mode="anchor")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("F1, %; in brackets: entities of the gold data", fontsize=9)
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                ink = _ink_on(image.cmap(image.norm(value)))
                axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=ink)
        for i in range(1, len(labels)):
            axes.axhline(i - 0.5, color=theme.background, lw=1.5)
        for j in range(1, len(systems)):
            axes.axvline(j - 0.5, color=theme.background, lw=1.5)

    width = max(4.8, min(2.9 + 0.9 * len(systems), 11.0))
    return draw, (width, max(2.6, 1.5 + 0.31 * len(labels)))


def _ink_on(rgba: Any) -> str:
    """RETURNS (str): Black or white, by relative luminance (WCAG 2.1)."""
    parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in rgba[:3]]
    luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    return "#000000" if luminance > 0.179 else "#ffffff"


def _draw_errors(report: Report) -> Drawing:
    rows = [[x["evaluation"]["errors"][y] for y in MISTAKES] for x in report["systems"]]
    names = [words(x) for x in MISTAKES]
    return _draw_bars(report["systems"], rows, names, "mistakes", lambda x: f"{x:,.0f}")


def _draw_schema(report: Report) -> Drawing:
    systems = [x for x in report["systems"] if schema_errors(x)]
    rows = [[100 * y for y in schema_errors(x).values()] for x in systems]
    names = [words(x) for x in SCHEMA_ERRORS]
    label = "schema errors, % of candidates at or above their threshold"
    return _draw_bars(systems, rows, names, label, lambda x: f"{x:.2f}" if x else "0")


def _draw_bars(
    systems: Sequence[System],
    rows: Sequence[Sequence[float]],
    names: Sequence[str],
    label: str,
    write: Callable[[float], str],
) -> Drawing:
    totals = [sum(x) for x in rows]
    most = max(totals)

    def draw(figure: "Figure", theme: Theme) -> None:
        axes = figure.add_subplot()
        lefts = [0.0] * len(systems)
        for i, name in enumerate(names):
            values = [row[i] for row in rows]
            if any(values):
                _draw_part(axes, theme, i, name, values, lefts, totals, write)
            lefts = [x + y for x, y in zip(lefts, values, strict=True)]
        for i, total in enumerate(totals):
            looks: Any = {"va": "center", "fontweight": "bold", "fontsize": 9}
            axes.annotate(
                write(total), (total, i), (5, 0), textcoords="offset points", **looks
            )
        axes.set_xlim(0, most * 1.1)
        places = range(len(systems))
        axes.set_yticks(places, [shorten(x["name"]) for x in systems], color=theme.ink)
        axes.set_ylim(len(systems) - 0.45, -0.55)
        axes.set_xlabel(label)
        axes.grid(axis="x", lw=0.8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        looks = {"handlelength": 1, "handleheight": 1, "columnspacing": 1.4}
        looks |= {"ncols": len(names), "labelcolor": theme.ink, "fontsize": 9}
        figure.legend(loc="outside upper left", **looks)

    return draw, (WIDTH, max(1.9, 1.25 + 0.42 * len(systems)))


def _draw_part(
    axes: "Axes",
    theme: Theme,
    part: int,
    name: str,
    values: Sequence[float],
    lefts: Sequence[float],
    totals: Sequence[float],
    write: Callable[[float], str],
) -> None:
    shade, ink = theme.parts[part]
    looks: Any = {"edgecolor": theme.background, "linewidth": 1.0, "label": name}
    axes.barh(range(len(values)), values, 0.66, lefts, color=shade, **looks)
    letter = 0.0145 * max(totals)
    for i, x in enumerate(values):
        # Where the whole bar is one part, its number stands beside it.
        if x < totals[i] and x > letter * (1 + len(write(x))):
            where: Any = {"ha": "center", "va": "center", "fontsize": 8.5}
            axes.text(lefts[i] + x / 2, i, write(x), color=ink, **where)


def _draw_calibration(report: Report) -> Drawing:
    systems = scored(report)
    order = [x["name"] for x in report["systems"]]
    columns = min(COLUMNS, len(systems))
    rows = math.ceil(len(systems) / columns)

    def draw(figure: "Figure", theme: Theme) -> None:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for i, axes in enumerate(grid.flat):
            if i < len(systems):
                shade = colour(theme, order.index(systems[i]["name"]))
                _draw_reliability(axes, theme, systems[i], shade)
            else:
                axes.set_visible(False)
            if len(systems) <= i + columns:
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("score, %")
            if not i % columns:
                axes.set_ylabel("right, %")

    width = {1: 3.4, 2: 5.6}.get(columns, WIDTH)
    return draw, (width, 0.35 + rows * ((width - 0.7) / columns + 0.45))


def _draw_reliability(axes: "Axes", theme: Theme, system: System, shade: str) -> None:
    found = system["evaluation"]["calibration"]
    bins = found["reliability"]
    xs = [100 * x["score"] for x in bins]
    ys = [100 * x["accuracy"] for x in bins]
    most = max(x["count"] for x in bins)
    axes.plot([0, 100], [0, 100], color=theme.faint, lw=1, ls=(0, (4, 3)), zorder=2)
    axes.fill_between(xs, xs, ys, color=shade, alpha=0.16, lw=0, zorder=1)
    axes.plot(xs, ys, color=shade, lw=1.4, zorder=3)
    sizes = [12 + 22 * x["count"] / most for x in bins]
    axes.scatter(xs, ys, sizes, color=shade, zorder=4, clip_on=False)
    axes.set_title(
        f"{shorten(system['name'])}\nECE {100 * found['ece']:.1f}%",
        loc="left",
        fontsize=9,
        color=theme.ink,
    )
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xticks([0, 50, 100])
    axes.set_yticks([0, 50, 100])
    axes.set_aspect("equal")
    axes.grid(lw=0.8)
    axes.tick_params(length=0)


DRAWN: Dict[str, Callable[[Report], Drawing]] = {
    "f1_latency": draw_latency,
    "f1_cost": draw_cost,
    "per_label": _draw_labels,
    "error_classes": _draw_errors,
    "calibration": _draw_calibration,
    "schema_errors": _draw_schema,
}
