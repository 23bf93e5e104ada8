"""What `ner compare` writes and prints."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

import typer
from wasabi import msg

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ..evaluation.compare import About, Question
    from ..evaluation.runs import Run


def write_all(
    output: Path,
    gold_docs: "List[Doc]",
    runs: "List[Run]",
    *,
    question: "Question",
    about: "About",
    html: bool = True,
) -> Dict[str, Any]:
    """Write report.json, report.md, the plots and report.html.

    output (Path): The comparison's folder.
    gold_docs (List[Doc]): The gold documents.
    runs (List[Run]): The runs.
    question (Question): What is asked.
    about (About): What the report says of its making.
    html (bool): Whether to write report.html.
    RETURNS (Dict[str, Any]): The report.
    """
    from ..evaluation.compare import make_documents, make_report
    from ..evaluation.plots import make_plots
    from ..evaluation.report_md import to_markdown

    report = make_report(gold_docs, runs, question=question, about=about)
    # Not srsly: it rounds.
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(text + "\n", encoding="utf8")
    (output / "report.md").write_text(to_markdown(report), encoding="utf8")
    plots = make_plots(report)
    (output / "plots").mkdir(exist_ok=True)
    for name, plot in plots.items():
        (output / "plots" / f"{name}.svg").write_text(plot.light, encoding="utf8")
        (output / "plots" / f"{name}.png").write_bytes(plot.png)
    if html:
        from ..evaluation.report_html import write_html

        documents = make_documents(gold_docs, runs)
        write_html(output / "report.html", report, documents, plots)
    return report


def print_report(report: Dict[str, Any]) -> None:
    """Print the table of systems, and the decision.

    report (Dict[str, Any]): The report.
    """
    header = ["", "F1", "95% interval", "schema errors", "p50", "p95", "p99 ms"]
    confidence = report["command"].get("confidence", 0.95)
    header[2] = f"{100 * confidence:g}% interval"
    header += ["words/s", "MB", "tokens/1k", "cost/1k", "failed"]
    rows = [_row(x) for x in report["systems"]]
    if any(x["cost_of_mistakes"] is not None for x in report["systems"]):
        header.insert(3, "mistakes/1k")
        for row, x in zip(rows, report["systems"], strict=True):
            row.insert(3, _number(x["cost_of_mistakes"]["per_thousand_documents"]))
    aligns = ["l", *("r" for _ in header[1:])]
    msg.divider("Systems")
    msg.table(rows, header=header, divider=True, aligns=aligns)
    for x in report["systems"]:
        if x["threshold"] is not None:
            value = f"{x['threshold']['value']:.4g}"
            typer.echo(f"  {x['name']}: threshold {value}, chosen on dev")
        if x["mapping"] is not None and x["mapping"]["unmapped"]:
            unmapped = x["mapping"]["unmapped"].items()
            labels = ", ".join(f"{_printable(k)} ({n})" for k, n in unmapped)
            typer.echo(f"  {x['name']}: labels that the mapping lacks: {labels}")
    for x in report["failed_systems"]:
        typer.echo(f"  {x['name']}: not run ({x['error']})")
    msg.divider("Decision")
    typer.echo(report["decision"]["statement"])


def _row(x: Dict[str, Any]) -> List[str]:
    f1, latency = x["intervals"]["micro_f"], x["latency_ms"] or {}
    rate, throughput = x["evaluation"]["schema_error_rate"], x["throughput"] or {}
    priced = x["per_thousand_documents"]
    return [
        x["name"],
        f"{100 * f1['value']:.2f}",
        f"{100 * f1['low']:.2f}-{100 * f1['high']:.2f}",
        "n/a" if rate is None else f"{100 * rate:.2f}%",
        *(_number(latency.get(p)) for p in ("p50", "p95", "p99")),
        _number(throughput.get("words_per_second")),
        f"{x['peak_memory_mb']:.0f}",
        _number(priced["tokens"]),
        _number(priced["cost"]),
        str(len(x["failures"])),
    ]


def _printable(label: str) -> str:
    # A label is the pipeline's: it could steer the terminal.
    return label if label.isprintable() else repr(label)


def _number(x: Optional[float]) -> str:
    if x is None:
        return "-"
    return f"{x:.0f}" if abs(x) >= 1000 else f"{x:.4g}"


def name_files(**files: Optional[Path]) -> Dict[str, Optional[Dict[str, str]]]:
    """RETURNS (Dict[str, Optional[Dict[str, str]]]): Name and SHA-256 of each file, of a
    folder those of all its files together."""
    return {
        key: None if path is None else {"name": path.name, "sha256": _digest(path)}
        for key, path in files.items()
    }


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(x for x in path.rglob("*") if x.is_file())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
