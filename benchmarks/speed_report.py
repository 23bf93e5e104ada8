"""The bars of the speed benchmark, and its results as Markdown."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from speed_measure import Row


class Bar(NamedTuple):
    """A figure that is to be reached.

    part (str): The rows it is about.
    texts (str): What was annotated; empty where there is one kind only.
    system (str): Whose figure it is.
    peer (str): What its rate is divided by, or the name of another figure.
    least (float | None), most (float | None): The bar; one of them is set.
    """

    part: str
    texts: str
    system: str
    peer: str
    least: float | None = None
    most: float | None = None


OUTSIDE = "microseconds a word outside the forward"
GROWTH = "megabytes per 1,000 documents more than spacy.blank"
IMPORT = "milliseconds that the package adds to spacy.blank"
# Growth is compared to a hundredth of a megabyte: ten bytes a document.
BARS = [
    Bar("encoder", "sentences", "ours", "raw", least=0.95),
    Bar("encoder", "documents", "ours", "raw", least=0.95),
    Bar("encoder", "sentences", "ours", "spacy", least=2.0),
    Bar("encoder", "documents", "ours", "spacy", least=1.3),
    Bar("encoder", "sentences", "ours", "hf", least=2.0),
    Bar("encoder", "documents", "ours", "hf", least=1.0),
    Bar("outside", "sentences", "ours", OUTSIDE, most=20.0),
    Bar("outside", "documents", "ours", OUTSIDE, most=20.0),
    Bar("encoder", "sentences", "ours int8", "raw", least=2.4),
    Bar("encoder", "documents", "ours int8", "raw", least=1.6),
    Bar("encoder", "sentences", "ours int8", "spacy", least=5.0),
    Bar("encoder", "documents", "ours int8", "spacy", least=2.2),
    Bar("encoder", "sentences", "ours bfloat16", "raw", least=1.7),
    Bar("encoder", "documents", "ours bfloat16", "raw", least=1.7),
    Bar("gliner", "sentences", "ours", "gliner-spacy", least=2.5),
    Bar("gliner", "sentences", "ours", "gliner batch", least=3.0),
    Bar("gliner", "sentences", "ours int8", "gliner-spacy", least=5.0),
    Bar("gliner", "sentences", "ours bfloat16", "gliner-spacy", least=4.0),
    Bar("memory_stream", "", "ours", GROWTH, most=0.0),
    Bar("import", "", "ours", IMPORT, most=50.0),
]


def judge(results: dict[str, Any]) -> list[Row]:
    """RETURNS (list[Row]): each bar whose part was run, its figure, and whether it is met;
    "not measured" where a row was left out."""
    found = []
    for bar in BARS:
        if bar.part not in results:
            continue
        figure = find_figure(bar, results[bar.part])
        verdict = "not measured"
        if figure is not None:
            met = (bar.least is None or figure >= bar.least) and (
                bar.most is None or figure <= bar.most
            )
            verdict = "met" if met else "missed"
        found.append({**bar._asdict(), "figure": figure, "verdict": verdict})
    return found


def find_figure(bar: Bar, rows: list[Row]) -> float | None:
    """RETURNS (float | None): the figure that a bar is about."""
    if bar.part == "memory_stream":
        growth = {x["system"]: x["growth"] for x in rows}
        if None in growth.values():
            return None
        return round(growth["ours"] - growth["blank"], 2)
    for row in rows:
        if row["system"] == bar.system and row.get("texts", "") == bar.texts:
            if bar.part in ("outside", "import"):
                return row.get({"outside": "microseconds", "import": "extra"}[bar.part])
            ratio = row.get("ratios", {}).get(bar.peer)
            return None if ratio is None else ratio["median"]
    return None


# Tables


def render(results: dict[str, Any]) -> str:
    """RETURNS (str): the results as Markdown."""
    machine = results["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    clock = "CPU seconds" if machine["threads"] == 1 and not gpu else "seconds"
    lines = [
        f"Measured on {gpu}{machine['processor']} (of its features: "
        f"{', '.join(machine['flags']) or 'none'}), threads: {machine['threads']}; "
        f"{versions}. Rates are words per second ({clock}, unless a table says otherwise): "
        f"medians of {results['rounds']} rounds in turn after a warm-up. A ratio is taken "
        "within a round: median (least to greatest).",
    ]
    for name, make in TABLES.items():
        if name in results:
            title, head, cells = make
            rows = results[name]
            lines += ["", f"## {title}", "", *render_table(head, map(cells, rows))]
            lines += render_left_out(rows)
    return "\n".join(lines) + "\n"


def render_table(head: list[str], rows: Iterable[list[Any]]) -> list[str]:
    """RETURNS (list[str]): the lines of a table; rows without cells are left out."""
    found = [f"| {' | '.join(map(str, cells))} |" for cells in rows if cells]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *found]


def render_left_out(rows: list[Row]) -> list[str]:
    """RETURNS (list[str]): the rows that could not be measured, and why."""
    reasons = {
        f"- `{row['system']}` is left out: {row['left_out']}"
        for row in rows
        if "left_out" in row
    }
    return ["", *sorted(reasons)] if reasons else []


def show(value: float | None, digits: int = 0) -> str:
    """RETURNS (str): a number, "-" for none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def show_ratio(row: Row, peer: str | None = None) -> str:
    """RETURNS (str): a ratio and its spread; to the only peer where none is named."""
    ratios = row["ratios"]
    found = ratios.get(peer) if peer else next(iter(ratios.values()), None)
    if found is None:
        return "-"
    return f"{found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})"


def make_system_cells(*peers: str) -> Any:
    """RETURNS (Callable): what makes the cells of a row of systems."""

    def cells(row: Row) -> list[Any]:
        if "left_out" in row:
            return []
        size = f", batches of {row['batch_size']}" if "batch_size" in row else ""
        start = [row["texts"], row["system"] + size, row["wants"] or "-"]
        rate = show(row["words_per_second"])
        return [*start, rate, *(show_ratio(row, peer) for peer in peers)]

    return cells


def make_cells(*names: str) -> Any:
    """RETURNS (Callable): what makes cells of these values, the rate and the ratio."""

    def cells(row: Row) -> list[Any]:
        if "left_out" in row:
            return []
        rate = show(row["words_per_second"])
        return [*(row[x] for x in names), rate, show_ratio(row)]

    return cells


def make_number_cells(names: list[str], numbers: list[str], digits: int) -> Any:
    """RETURNS (Callable): what makes cells of these values, and of numbers."""

    def cells(row: Row) -> list[Any]:
        if "left_out" in row:
            return []
        return [*(row[x] for x in names), *(show(row[x], digits) for x in numbers)]

    return cells


def bar_cells(row: Row) -> list[Any]:
    """RETURNS (list): the cells of a bar."""
    limit = f"at least {row['least']}" if row["most"] is None else f"at most {row['most']}"
    about = f"{row['part'].replace('_', ' ')} {row['texts']}".strip()
    figure = show(row["figure"], 2)
    return [about, row["system"], row["peer"], limit, figure, row["verdict"]]


# For each part its title, head, and what makes the cells of a row.
TABLES: dict[str, tuple[str, list[str], Any]] = {
    "encoder": (
        "Encoder: `raw` gets batches of word pieces, all others strings, their tokenizers "
        "included",
        ["texts", "system", "wants: is there", "words/s", "to raw", "to hf", "to spacy"],
        make_system_cells("raw", "hf", "spacy"),
    ),
    "outside": (
        "Encoder: microseconds a word outside the forward",
        ["texts", "system", "words seen before", "words new to spaCy"],
        make_number_cells(["texts", "system"], ["microseconds", "first"], 1),
    ),
    "gliner": (
        "GLiNER, hidden size 512, spans of up to 12 words, 4 labels",
        ["texts", "system", "wants: is there", "words/s", "to gliner-spacy", "to batch"],
        make_system_cells("gliner-spacy", "gliner batch"),
    ),
    "llm": (
        "`ner_llm` and spacy-llm's stock pipe, a server that answers in 0.2 seconds, wall "
        "time",
        ["system", "words/s", "to spacy-llm"],
        make_cells("system"),
    ),
    "startup": (
        "Start-up of a fresh process, the start of Python included",
        ["step", "pipeline", "CPU s", "peak MB"],
        make_number_cells(["step", "system"], ["cpu", "peak"], 2),
    ),
    "import": (
        "What the package adds to `spacy.blank`, in a fresh process",
        ["pipeline", "milliseconds", "least", "greatest"],
        make_number_cells(["system"], ["extra", "min", "max"], 1),
    ),
    "memory_stream": (
        "Memory over a stream of short documents, each with new words, in memory zones",
        ["pipeline", "documents", "peak MB", "growth over the second half, MB per 1,000"],
        make_number_cells(["system", "documents"], ["peak", "growth"], 3),
    ),
    "memory_document": (
        "Memory for one document",
        ["pipeline", "words", "before it, MB", "peak MB", "peak over before, MB"],
        make_number_cells(["system", "words"], ["before", "peak", "over"], 1),
    ),
    "labels": (
        "`ner_gliner` by number of labels",
        ["model", "labels", "groups", "words/s", "to the first row"],
        make_cells("kind", "labels", "groups"),
    ),
    "length": (
        "`ner_encoder` by length of the document",
        ["words in each", "documents", "words/s", "to the first row"],
        make_cells("size", "documents"),
    ),
    "stream": (
        "`ner_encoder` by length of the stream (short documents)",
        ["documents", "words/s", "to the first row"],
        make_cells("documents"),
    ),
    "processes": (
        "`ner_encoder` by number of processes, wall time, start of the workers included; "
        "the same entities",
        ["processes", "words/s", "to one"],
        make_cells("processes"),
    ),
    "bars": (
        "Bars (quality in less precision is measured elsewhere)",
        ["what", "system", "to, or figure", "bar", "here", "verdict"],
        bar_cells,
    ),
}
