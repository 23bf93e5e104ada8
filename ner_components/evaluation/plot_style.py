"""How the plots look, light and dark, and the writing of pictures: matplotlib without
`pyplot`, so that no state is left behind.
"""

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Sequence, Tuple

from ..errors import Errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

MARKERS = "osD^vPX*"
BIG = "PX*"  # need more room to look as big
LONGEST = 24
DPI = 160
# Where a label may stand: steps from its point in points, and its sides there.
STEPS = [(9, 0), (-9, 0), (7, 9), (7, -9), (-7, 9), (-7, -9), (0, 12), (0, -12)]
STEPS += [(14, 18), (14, -18), (-14, 18), (-14, -18), (0, 26), (0, -26), (22, 30)]
STEPS += [(22, -30), (-22, 30), (-22, -30)]


@dataclass(frozen=True)
class Theme:
    """Colours of a picture.

    background (str), ink (str), faint (str), grid (str): Of the page, of text, of text that
        matters less (contrast of at least 4.5 all the same), of lines.
    systems (Tuple[str, ...]): Of the systems.
    parts (Tuple[Tuple[str, str], ...]): Of the parts of a bar, each with the ink that is
        read on it.
    heat (Tuple[str, str]): Of the least and of the most.
    """

    background: str
    ink: str
    faint: str
    grid: str
    systems: Tuple[str, ...]
    parts: Tuple[Tuple[str, str], ...]
    heat: Tuple[str, str]


# After Okabe and Ito, "Color universal design", 2008, darker on white and lighter on black.
LIGHT = Theme(
    background="#ffffff",
    ink="#1a1c20",
    faint="#5c626b",
    grid="#e3e6ea",
    systems=(
        "#0072b2",
        "#c44e00",
        "#00805d",
        "#a8457f",
        "#8a6d00",
        "#2a2d33",
        "#5b4fc4",
        "#8c2d19",
    ),
    parts=(
        ("#0072b2", "#ffffff"),
        ("#e69f00", "#1a1c20"),
        ("#7a3b69", "#ffffff"),
        ("#c3c8cf", "#1a1c20"),
        ("#00785a", "#ffffff"),
    ),
    heat=("#f1f3f6", "#004f86"),
)
DARK = Theme(
    background="#16181d",
    ink="#eceef1",
    faint="#a3abb6",
    grid="#333841",
    systems=(
        "#56b4e9",
        "#ff9248",
        "#3ccfa4",
        "#e491c1",
        "#f0e442",
        "#d5d9df",
        "#aaa2ff",
        "#f08a76",
    ),
    parts=(
        ("#56b4e9", "#16181d"),
        ("#f2b632", "#16181d"),
        ("#c68ab6", "#16181d"),
        ("#5d646f", "#ffffff"),
        ("#3ccfa4", "#16181d"),
    ),
    heat=("#23272e", "#7cc7f5"),
)

WIDTH = 7.6  # inches

Point = Tuple[float, float]
Draw = Callable[["Figure", Theme], None]
Drawing = Tuple[Draw, Tuple[float, float]]  # with width and height in inches


def shorten(text: str) -> str:
    """Make a name fit to be drawn.

    text (str): Any name.
    RETURNS (str): At most `LONGEST` characters, those that can't be shown replaced.
    """
    shown = "".join(x if x.isprintable() else "\ufffd" for x in text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def render(draw: Draw, size: Tuple[float, float]) -> Tuple[str, str, bytes]:
    """Draw a picture three times.

    draw (Callable): Draws on a figure by a theme.
    size (Tuple[float, float]): Width and height in inches.
    RETURNS (Tuple[str, str, bytes]): SVG in light and in dark, and a light PNG. The same
        figures give the same bytes.
    RAISES (ImportError): matplotlib is not installed.
    """
    light = _save(draw, size, LIGHT, "svg").decode("utf8")
    dark = _save(draw, size, DARK, "svg").decode("utf8")
    return light, dark, _save(draw, size, LIGHT, "png")


def _save(draw: Draw, size: Tuple[float, float], theme: Theme, format: str) -> bytes:
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as e:
        raise ImportError(Errors.N084.format(package="matplotlib")) from e
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A name may have signs that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        matplotlib.rcdefaults()
        settings: Any = _settings(theme)
        matplotlib.rcParams.update(settings)
        figure = Figure(figsize=size, layout="constrained")
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.12, h_pad=0.1)
        FigureCanvasAgg(figure)
        draw(figure, theme)
        file = io.BytesIO()
        empty = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(file, format=format, dpi=DPI, metadata=empty)
    return file.getvalue()


def _settings(theme: Theme) -> Dict[str, Any]:
    inks = {
        f"{x}.{y}": theme.faint
        for x, y in [("xtick", "color"), ("ytick", "color"), ("axes", "labelcolor")]
    }
    return {
        **inks,
        "svg.fonttype": "none",
        "svg.hashsalt": "ner_components",
        "font.family": ["DejaVu Sans"],
        "font.size": 10,
        "text.color": theme.ink,
        "text.parse_math": False,
        "axes.facecolor": theme.background,
        "axes.edgecolor": theme.grid,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.formatter.useoffset": False,
        "figure.facecolor": theme.background,
        "savefig.facecolor": theme.background,
        "grid.color": theme.grid,
        "hatch.linewidth": 0.6,
        "legend.frameon": False,
        "xtick.labelcolor": theme.faint,
        "ytick.labelcolor": theme.faint,
    }


def mark(index: int) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): Form and size of a system's marker. The ninth system has
    the first one's colour, and another form."""
    form = MARKERS[(index + index // len(MARKERS)) % len(MARKERS)]
    return {"marker": form, "markersize": 13 if form in BIG else 9}


def colour(theme: Theme, index: int) -> str:
    """RETURNS (str): The colour of a system."""
    return theme.systems[index % len(theme.systems)]


def place_labels(
    axes: "Axes",
    points: Sequence[Point],
    names: Sequence[str],
    colours: Sequence[str],
    bars: Sequence[Tuple[float, float]],
    lines: Sequence[Tuple[Point, Point]] = (),
) -> None:
    """Write a name beside each point, where it covers the least: other names, points, bars
    and lines. A name that had to move away gets a line to its point.

    axes (Axes): Limits must be set.
    points (Sequence[Point]): In the axes' units.
    names (Sequence[str]), colours (Sequence[str]): Of each.
    bars (Sequence[Tuple[float, float]]): Low and high end of the bar through each point.
    lines (Sequence[Tuple[Point, Point]]): Ends of other lines, level or upright.
    """
    from matplotlib.transforms import Bbox

    figure: Any = axes.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    at = [axes.transData.transform(x) for x in points]
    taken: List[Bbox] = []
    for (x, y), (value, _), (low, high) in zip(at, points, bars, strict=True):
        taken.append(Bbox.from_extents(x - 6, y - 6, x + 6, y + 6))
        ends = [axes.transData.transform((value, z))[1] for z in (low, high)]
        taken.append(Bbox.from_extents(x - 3, ends[0], x + 3, ends[1]))
    for line in lines:
        (x, y), (x1, y1) = sorted(axes.transData.transform(z).tolist() for z in line)
        taken.append(Bbox.from_extents(x - 2, min(y, y1) - 2, x1 + 2, max(y, y1) + 2))
    inside = axes.get_window_extent(renderer)
    for i in sorted(range(len(points)), key=lambda j: (-points[j][1], points[j][0])):
        best: Any = None
        for rank, step in enumerate(STEPS):
            text = _annotate(axes, points[i], names[i], colours[i], step)
            box = text.get_window_extent(renderer).padded(1.5 * scale)
            covered = sum(_common(box, x) for x in taken) + 3 * (
                box.width * box.height - _common(box, inside)
            )
            cost = (covered, rank)
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = (cost, text, box)
            else:
                text.remove()
            if not covered:
                break
        taken.append(best[2])


def _annotate(
    axes: "Axes",
    point: Point,
    name: str,
    shade: str,
    step: Tuple[int, int],
) -> Any:
    far = max(map(abs, step)) > 14
    sides = {1: "left", -1: "right", 0: "center"}
    return axes.annotate(
        name,
        point,
        step,
        textcoords="offset points",
        ha=sides[(step[0] > 0) - (step[0] < 0)],
        va="center",
        color=shade,
        fontweight="bold",
        fontsize=9,
        zorder=5,
        arrowprops={"arrowstyle": "-", "color": shade, "lw": 0.7} if far else None,
    )


def _common(one: "Bbox", other: "Bbox") -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)
