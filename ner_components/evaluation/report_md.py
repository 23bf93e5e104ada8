"""A comparison's report as Markdown, for GitHub. It holds no text of documents, and names
of labels and systems stand in it as text, whatever they are.
"""

import re
from typing import Any, Dict, List, Optional, Sequence

from .plot_text import label_f, labels_of, plot_texts, schema_errors
from .wording import number, words

# All that Markdown or HTML could read as more than text, in a table too: an underscore
# inside of a word and a colon before a space are no such things.
SPECIAL = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])|:(?=\S)|^[#+=-]")
ALIGN = {"l": "---", "r": "---:"}

Report = Dict[str, Any]


def to_markdown(report: Report) -> str:
    """Write a report as Markdown. The plots are links to `plots/`, beside the file.

    report (Dict[str, Any]): The report.
    RETURNS (str): Markdown as GitHub reads it.
    """
    parts = [
        "# Comparison of NER systems",
        _about(report),
        "## Decision",
        _decision(report),
        "## Systems",
        _systems(report),
        *_mistakes(report),
        *_plots(report),
        "## F1 by label",
        _labels(report),
        "## Differences",
        _differences(report),
        "## How it was run",
        _setup(report),
    ]
    return "\n\n".join(x for x in parts if x) + "\n"


def escape(text: Any) -> str:
    """Make text mean nothing but itself, in one line.

    text (Any): Any text.
    RETURNS (str): The text with signs of Markdown escaped, and what can't be printed
        replaced.

    >>> escape("<b>|`x`")
    '\\\\<b\\\\>\\\\|\\\\`x\\\\`'
    """
    shown = "".join(x if x.isprintable() else "\ufffd" for x in str(text))
    return SPECIAL.sub(r"\\\g<0>", shown)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    aligns = [ALIGN["l" if i < left else "r"] for i in range(len(header))]
    lines = [header, aligns, *rows]
    return "\n".join(f"| {' | '.join(x)} |" for x in lines)


def _about(report: Report) -> str:
    gold = report["gold"]
    counts = [
        f"{gold['documents']:,} documents",
        f"{gold['words']:,} words",
        f"{gold['entities']:,} entities of {len(gold['labels'])} labels",
    ]
    missing = gold["without_annotation"]
    without = f" {missing:,} documents have no annotation." if missing else ""
    name = escape(gold.get("name", "gold"))
    return f"Gold data: {name}, {', '.join(counts)}.{without} Made {report['created']}."


def _decision(report: Report) -> str:
    decision = report["decision"]
    cost = decision["metric"] == "cost"
    unit = f", {escape(decision['unit'])}" if decision["unit"] else ""
    figure = f"mistakes in 1,000 documents{unit}" if cost else "F1, %"
    header = ["system", figure, "interval", "best in", "p against the best", "limits"]
    rows = []
    for name, x in decision["figures"].items():
        p = decision["comparisons"].get(name, {}).get("p_corrected")
        share = decision["p_best"].get(name)
        broken = decision["excluded"].get(name, [])
        scale = 1000 if cost else 100
        values = [scale * x[y] for y in ("value", "low", "high")]
        shown = [_number(max(y, 0.0)) if cost else f"{y:.1f}" for y in values]
        rows.append(
            [
                f"**{escape(name)}**" if name == decision["chosen"] else escape(name),
                shown[0],
                f"{shown[1]} to {shown[2]}",
                "-" if share is None else f"{share:.0%}",
                "-" if p is None else _p(p),
                escape("; ".join(broken)) or "kept",
            ]
        )
    statement = f"> {escape(decision['statement'])}"
    return f"{statement}\n\n{_table(header, rows)}"


def _systems(report: Report) -> str:
    header = ["system", "F1", "P", "R", "macro F1", "schema errors", "ECE", "p50", "p95"]
    header += ["p99 (ms)", "words/s", "MB", "tokens/1,000", "cost/1,000", "failed"]
    rows = [_system(x) for x in report["systems"]]
    failed = [
        f"- {escape(x['name'])} could not be run ({escape(x.get('error', 'unknown'))})."
        for x in report.get("failed_systems", [])
    ]
    notes = [y for x in report["systems"] for y in _notes(x)]
    return "\n\n".join(x for x in [_table(header, rows), "\n".join(failed + notes)] if x)


def _system(x: Dict[str, Any]) -> List[str]:
    evaluation, latency = x["evaluation"], x["latency_ms"] or {}
    rate, ece = evaluation["schema_error_rate"], evaluation["calibration"]["ece"]
    priced = x["per_thousand_documents"]
    micro = [evaluation["micro"][y] for y in "fpr"]
    return [
        escape(x["name"]),
        *(f"{100 * y:.1f}" for y in [*micro, evaluation["macro"]["f"]]),
        "n/a" if rate is None else f"{100 * rate:.2f}%",
        "-" if ece is None else f"{100 * ece:.1f}%",
        *(_number(latency.get(y)) for y in ("p50", "p95", "p99")),
        _number((x["throughput"] or {}).get("words_per_second")),
        _number(x["peak_memory_mb"]),
        _number(priced["tokens"]),
        _number(priced["cost"]),
        str(len(x["failures"])),
    ]


def _notes(x: Dict[str, Any]) -> List[str]:
    name, notes = escape(x["name"]), []
    if x["threshold"] is not None:
        t = x["threshold"]
        notes.append(
            f"- {name}: threshold {t['value']:.4g}, chosen on {escape(t['chosen_on'])}."
        )
    if x["mapping"] is not None and x["mapping"]["unmapped"]:
        unmapped = x["mapping"]["unmapped"].items()
        labels = ", ".join(f"{escape(k)} ({n})" for k, n in unmapped)
        notes.append(f"- {name}: labels that the mapping lacks: {labels}.")
    return notes


def _mistakes(report: Report) -> List[str]:
    systems = [x for x in report["systems"] if x["cost_of_mistakes"] is not None]
    if not systems:
        return []
    kinds = sorted({y for x in systems for y in x["cost_of_mistakes"]["by_kind"]})
    header = ["system", "in 1,000 documents", "interval", *map(words, kinds)]
    rows = []
    for x in systems:
        cost = x["cost_of_mistakes"]
        scale = 1000 / cost["documents"] if cost["documents"] else 0.0
        rows.append(
            [
                escape(x["name"]),
                _number(cost["per_thousand_documents"]),
                f"{_number(cost['low'])} to {_number(cost['high'])}",
                *(_number(scale * cost["by_kind"].get(y, 0.0)) for y in kinds),
            ]
        )
    unit = systems[0]["cost_of_mistakes"]["unit"]
    title = "## Cost of mistakes" + (f" ({escape(unit)})" if unit else "")
    return [title, _table(header, rows)]


def _plots(report: Report) -> List[str]:
    parts = []
    for name, text in plot_texts(report).items():
        picture = f"![{escape(text.description)}](plots/{name}.svg)"
        parts += [f"### {text.title}", picture]
    rates = {x["name"]: schema_errors(x) for x in report["systems"]}
    reasons = sorted({y for x in rates.values() for y, z in x.items() if z})
    if reasons:
        rows = [
            [escape(name), *(f"{100 * x[y]:.2f}%" if x else "n/a" for y in reasons)]
            for name, x in rates.items()
        ]
        parts.append(_table(["system", *map(words, reasons)], rows))
    return ["## Plots", *parts] if parts else []


def _labels(report: Report) -> str:
    systems = report["systems"]
    header = ["label", "gold", *(escape(x["name"]) for x in systems)]
    rows = [
        [escape(label), f"{n:,}", *(f"{100 * label_f(x, label):.1f}" for x in systems)]
        for label, n in labels_of(report)
    ]
    return _table(header, rows)


def _differences(report: Report) -> str:
    header = ["first", "second", "points of F1", "interval", "p", "p, corrected"]
    rows = []
    for x in report["comparisons"]:
        gap = [100 * x["difference"][y] for y in ("value", "low", "high")]
        bounds = f"{gap[1]:+.1f} to {gap[2]:+.1f}"
        names = [escape(x["first"]), escape(x["second"])]
        rows.append([*names, f"{gap[0]:+.1f}", bounds, _p(x["p"]), _p(x["p_corrected"])])
    if not rows:
        return "There is one system."
    note = "p of approximate randomisation by document, corrected after Holm for all pairs."
    return f"{_table(header, rows, 2)}\n\n{note}"


def _setup(report: Report) -> str:
    machine = report["machine"]
    threads = machine["threads"] or "as many threads as the libraries like"
    where = [machine["processor"], f"{machine['cores']} cores", f"threads: {threads}"]
    where += [machine["gpu"]] if machine["gpu"] else []
    versions = [f"{k} {x}" for k, x in report["versions"].items()]
    rows = [
        [
            escape(x["name"]),
            escape(x["source"]),
            escape(", ".join(f"{k}: {y}" for k, y in x["factories"].items())),
            escape(x["meta"].get("version", "")) or "-",
            escape(x["meta"].get("license", "")) or "-",
        ]
        for x in report["systems"]
    ]
    table = _table(["system", "source", "pipes", "version", "licence"], rows, 5)
    return f"{escape(', '.join(where))}. {escape(', '.join(versions))}.\n\n{table}"


def _number(x: Optional[float]) -> str:
    return "-" if x is None else number(x)


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"
