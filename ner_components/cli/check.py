"""`python -m spacy ner check`: what is wrong with an annotated corpus."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, List, Optional, Sequence, Union

import typer
from wasabi import msg

if TYPE_CHECKING:
    from ..corpora.check_report import CheckReport, Finding, Position, Split


class FailOn(StrEnum):
    """Least severity that makes the command fail."""

    error = "error"
    warning = "warning"
    never = "never"


def read_splits(
    paths: Sequence[Union[str, Path]], *, format: str = "auto", lang: str = "en"
) -> "List[Split]":
    """Read the files of a corpus, each as a split that is called as the file is, without
    its extensions. Where two would have one name, their folders' names are put before it.

    paths (Sequence[Union[str, Path]]): Files or folders.
    format (str): A name of `corpora.formats.FORMATS`, or "auto".
    lang (str): Language whose tokenizer is used where the source holds running text.
    RETURNS (List[Split]): The splits, in the order given.
    RAISES (ValueError): A file can't be read.
    """
    import spacy

    from ..corpora.check_report import Split
    from ..corpora.formats import read_corpus

    nlp = spacy.blank(lang)
    files = [Path(path) for path in paths]
    times = Counter(_stem(file) for file in files)
    splits: List[Split] = []
    for file in files:
        name = _stem(file)
        if times[name] > 1:
            name = f"{file.resolve().parent.name}/{name}"
        notes: Counter[str] = Counter()
        pairs = read_corpus(file, nlp, format=format, notes=notes)
        splits.append(Split.from_pairs(name, pairs, notes))
    return splits


def check_cli(
    corpora: Annotated[
        List[Path],
        typer.Argument(
            help="Files or folders, one for each split: train, dev, test", exists=True
        ),
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="Format of all of them (`ner convert --formats`)"
        ),
    ] = "auto",
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="Language, for sources of running text")
    ] = "en",
    schema: Annotated[
        Optional[Path],
        typer.Option("--schema", "-s", help="Schema (JSON) the labels must be in"),
    ] = None,
    output: Annotated[
        Optional[Path],
        typer.Option("--output", "-o", help="Write the report as JSON", dir_okay=False),
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Least severity for exit code 1")
    ] = FailOn.error,
    show_text: Annotated[
        bool,
        typer.Option(
            "--show-text", "-T", help="Print what is found (to the terminal only)"
        ),
    ] = False,
    min_examples: Annotated[
        int, typer.Option("--min-examples", help="Least training entities of a label")
    ] = 50,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Most tokens of an entity")
    ] = 20,
    similarity: Annotated[
        float, typer.Option("--similarity", help="Least Jaccard similarity of a near leak")
    ] = 0.8,
    positions: Annotated[
        int, typer.Option("--positions", "-n", help="Most positions printed per finding")
    ] = 6,
    max_positions: Annotated[
        int, typer.Option("--max-positions", help="Most positions written per finding")
    ] = 100,
) -> None:
    """Check an annotated corpus: labels, boundaries, duplicates, leaks, contradictions."""
    import srsly

    from ..corpora.check import check_splits
    from ..schema import EntitySchema

    try:
        labels = None if schema is None else EntitySchema.from_file(schema)
        splits = read_splits(corpora, format=format, lang=lang)
        report = check_splits(
            splits,
            schema=labels,
            min_examples=min_examples,
            max_tokens=max_tokens,
            similarity=similarity,
            max_positions=max(max_positions, positions),
        )
    except (ValueError, ImportError) as e:
        msg.fail("Nothing was checked")
        typer.echo(f"  {e}")
        raise typer.Exit(1) from None
    print_report(report, splits if show_text else [], positions)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(output, report.to_dict())
        msg.good(f"Report written to {output}")
    if fail_on != FailOn.never and report.at_least(fail_on.value):
        raise typer.Exit(1)


def print_report(
    report: "CheckReport", splits: "Sequence[Split]" = (), positions: int = 6
) -> None:
    """Print a report.

    report (CheckReport): The report.
    splits (Sequence[Split]): The splits, to print the text at each position; empty for
        none of it.
    positions (int): Most positions printed for each finding.
    """
    _print_counts(report)
    _print_labels(report)
    msg.divider("Findings")
    for finding in report.findings:
        _print_finding(finding, splits, positions)
    if not report.findings:
        msg.good("Nothing found")


def _print_finding(finding: "Finding", splits: "Sequence[Split]", positions: int) -> None:
    between = " in " if finding.code in _PAIRED else ", "
    title = f"{finding.code}, {between.join(finding.splits)}: {finding.count}"
    if finding.severity == "error":
        msg.fail(title)
    elif finding.severity == "warning":
        msg.warn(title)
    else:
        msg.info(title)
    # Not through wasabi, which would wrap the list into one paragraph.
    message = finding.message[0].upper() + finding.message[1:]
    typer.echo(f"  {message}. {finding.remedy}")
    if finding.counts:
        typer.echo(f"  {_join_counts(finding)}")
    group = None
    for place in finding.positions[:positions]:
        # What is alike stands together, under a dash.
        dash = " " if place.group == group else "-"
        is_grouped = finding.code in _GROUPED
        typer.echo(f"  {dash if is_grouped else '-'} {_line(place, splits)}")
        group = place.group
    more = len(finding.positions) + finding.left_out - positions
    if more > 0:
        typer.echo(f"    and {more} more positions")


_PAIRED = {"exact_leak", "short_leak", "near_leak", "near_unsure", "label_not_in_train"}
_GROUPED = {
    "exact_leak",
    "short_leak",
    "near_leak",
    "shared_document",
    "duplicate",
    "short_duplicate",
    "conflicting_sentence",
    "suspect_label",
    "ambiguous_surface",
}


def _stem(path: Path) -> str:
    return path.name.split(".")[0] or path.name


def _print_counts(report: "CheckReport") -> None:
    msg.divider("Splits")
    rows: List[List[Any]] = []
    for x in report.splits:
        total = x.unseen_total
        unseen = "" if total is None else f"{total.surface_share:.1%}"
        pair = "" if total is None else f"{total.pair_share:.1%}"
        sentences = "-" if x.sentences is None else x.sentences
        row = [x.name, x.documents, sentences, x.tokens, x.entities, x.without_entities]
        rows.append([*row, x.unannotated, x.cut, unseen, pair])
    header = ["", "docs", "sents", "tokens", "entities", "docs without"]
    header += ["unannotated", "cut", "unseen", "with label"]
    msg.table(rows, header=header, divider=True, aligns=["l"] + ["r"] * 9)


def _print_labels(report: "CheckReport") -> None:
    msg.divider("Labels")
    names = list(dict.fromkeys(label for x in report.splits for label in x.labels))
    header = [""]
    for x in report.splits:
        header += [x.name, "%"] + ([] if x.unseen is None else ["unseen"])
    rows = []
    for label in names:
        row = [label]
        for x in report.splits:
            n = x.labels.get(label, 0)
            row += [str(n), f"{n / x.entities:.1%}" if x.entities else ""]
            if x.unseen is not None:
                row.append(f"{x.unseen[label].surface_share:.1%}" if n else "")
        rows.append(row)
    if rows:
        msg.table(rows, header=header, divider=True, aligns=["l"] + ["r"] * len(header))


def _join_counts(finding: "Finding") -> str:
    return ", ".join(f"{name}: {n}" for name, n in finding.counts.items())


def _line(place: "Position", splits: "Sequence[Split]") -> str:
    document = "" if place.document is None else f" ({place.document})"
    label = "" if place.label is None else f" {place.label}"
    line = f"{place.split}[{place.doc_index}]{document} "
    line += f"{place.start_char}-{place.end_char}{label}"
    for split in splits:
        if split.name == place.split:
            text = split.docs[place.doc_index].text[place.start_char : place.end_char]
            line += f" {text[:120]!r}"
    return line
