"""report.html: the comparison in one file that asks nothing of any network.

Names and figures are escaped by the template. Texts of documents stand in a block of JSON,
and the script puts them into the page as text. See docs/report.md.
"""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Sequence, Union

from ..errors import Errors
from . import report_tables as tables
from .report_texts import pack_documents, to_json

if TYPE_CHECKING:
    from .plots import Plot

TEMPLATES = Path(__file__).parent / "templates"
# The heat map is a table in the page itself.
PLOTS = ("f1_latency", "f1_cost", "error_classes", "calibration", "schema_errors")
# HTML has no place for control characters, not even escaped, and UTF-8 has none for
# surrogates; the others turn the direction of whatever follows a name.
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
    "\u202a-\u202e\u2066-\u2069]"
)


class Picture(NamedTuple):
    """A plot in the page.

    name (str): Of the plot.
    title (str), description (str): Heading, and what stands in for the picture.
    light (str), dark (str): The picture as a data: address.
    tables (List[Table]): The figures behind it.
    """

    name: str
    title: str
    description: str
    light: str
    dark: str
    tables: List[tables.Table]


def write_html(
    path: Union[str, Path],
    report: Dict[str, Any],
    documents: Sequence[Dict[str, Any]],
    plots: Mapping[str, "Plot"],
) -> None:
    """Write the report of a comparison as one HTML file. It holds the documents' texts.

    path (Union[str, Path]): The file.
    report (Dict[str, Any]): As `compare.make_report` gives it.
    documents (Sequence[Dict[str, Any]]): As `compare.make_documents` gives them.
    plots (Mapping[str, Plot]): As `plots.make_plots` gives them.
    RAISES (ImportError): jinja2 is missing.
    """
    Path(path).write_bytes(render(report, documents, plots).encode("utf8"))


def render(
    report: Dict[str, Any],
    documents: Sequence[Dict[str, Any]],
    plots: Mapping[str, "Plot"],
) -> str:
    """RETURNS (str): The page."""
    style, script = _read("report.css"), _read("report.js")
    names = [x["name"] for x in report["systems"]]
    html = _get_template().render(
        report=report,
        decision=report["decision"],
        policy=make_policy(script, style),
        style=style,
        script=script,
        data=to_json(pack_documents(documents, names)),
        count=len(documents),
        pictures=make_pictures(report, plots),
        tables=tables,
    )
    return FORBIDDEN.sub("\ufffd", html)


def make_policy(script: str, style: str) -> str:
    """RETURNS (str): The content security policy: this script, this style, pictures that
    stand in the page, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def make_pictures(report: Dict[str, Any], plots: Mapping[str, "Plot"]) -> List[Picture]:
    """RETURNS (List[Picture]): The plots that there are, with the figures behind them."""
    result = []
    for name in PLOTS:
        if name in plots:
            plot = plots[name]
            light, dark = _to_address(plot.light), _to_address(plot.dark)
            behind = tables.BEHIND[name](report)
            result.append(Picture(name, plot.title, plot.description, light, dark, behind))
    return result


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode('utf8')).digest()).decode()}"


def _to_address(svg: str) -> str:
    data = svg.encode("utf8", errors="replace")
    return f"data:image/svg+xml;base64,{b64encode(data).decode()}"


def _get_template() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as e:
        raise ImportError(Errors.N220.format(package="jinja2")) from e
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja2")
