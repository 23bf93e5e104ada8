"""How far two annotators of the gold set's test documents agree, and how it was settled.

    python scripts/agreement.py corpus OUT.json

Reads FOLDER/annotation/first.txt and second.txt, which were made without sight of each
other, and test.txt, in which each difference is settled. adjudication.jsonl has a line for
every difference: document, start_char and end_char of the stretch they differ on, what
each has there, what the gold set now has, and why. Exits with 1 where a difference is not
settled, where test.txt is not what was settled, or where the three texts differ.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import srsly
import typer
from readme_figures import percent
from wasabi import msg

from ner_components.corpora.markup import MarkedDocument, read_markup
from ner_components.corpora.offsets import Entity
from ner_components.evaluation.metrics import Evaluation, evaluate_spans, interval

Documents = dict[str, MarkedDocument]
Difference = tuple[str, int, int]


def main(folder: Path, output: Path) -> None:
    """Compare the annotations in FOLDER and write OUTPUT."""
    first, second, settled = (
        {document.id: document for document in read_markup(folder / name)}
        for name in ("annotation/first.txt", "annotation/second.txt", "test.txt")
    )
    problems = list(check(first, second, settled, folder / "adjudication.jsonl"))
    for problem in problems:
        msg.fail(problem)
    if problems:
        msg.fail(f"{len(problems)} differences are not settled", exits=1)
    report = measure(first, second)
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, report)
    rows = [
        (label, x["first"], x["second"], percent(x["f"])) for label, x in report.items()
    ]
    msg.table(rows, header=("label", "first", "second", "F1"), divider=True)


def measure(first: Documents, second: Documents) -> dict[str, dict[str, Any]]:
    """RETURNS (dict): agreement as span F1 per label and, under "micro", overall."""
    evaluation = evaluate_spans(
        [document.entities for document in first.values()],
        [second[name].entities for name in first],
    )
    labels = [x for x, score in evaluation.per_label.items() if score.gold]
    return {label: _agree(evaluation, label) for label in [*labels, "micro"]}


def _agree(evaluation: Evaluation, label: str) -> dict[str, Any]:
    if label == "micro":
        score = evaluation.micro
        found = interval(evaluation, "micro_f")
    else:
        score = evaluation.per_label[label]
        found = interval(evaluation, "label_f", label=label)
    return {
        "first": score.gold,
        "second": score.predicted,
        "same": score.right,
        "f": score.f,
        "interval": [found.low, found.high],
        "reliable": found.reliable,
    }


def check(
    first: Documents, second: Documents, settled: Documents, path: Path
) -> Iterator[str]:
    """YIELDS (str): what is wrong with the adjudication."""
    if not first.keys() == second.keys() == settled.keys():
        yield "the documents of first.txt, second.txt and test.txt differ"
        return
    decisions = {
        (x["document"], x["start_char"], x["end_char"]): x for x in srsly.read_jsonl(path)
    }
    found: set[Difference] = set()
    for name, document in first.items():
        others = (second[name], settled[name])
        if any(other.text != document.text for other in others):
            yield f"{name}: the texts differ"
            continue
        for start, end in differences(document, second[name]):
            found.add((name, start, end))
            decision = decisions.get((name, start, end))
            if decision is None or not decision.get("reason"):
                yield f"{name}, {start}-{end}: no decision in {path.name}"
            elif decision["gold"] != inside(settled[name], start, end):
                yield f"{name}, {start}-{end}: test.txt is not what was decided"
    for name, start, end in decisions.keys() - found:
        yield f"{name}, {start}-{end}: a decision without a difference"


def differences(first: MarkedDocument, second: MarkedDocument) -> Iterator[tuple[int, int]]:
    """YIELDS (tuple): the stretches of characters on which two annotations differ; marks
    that overlap are one stretch."""
    one, other = set(first.entities), set(second.entities)
    start = end = -1
    for entity in sorted(one ^ other):
        if entity.start_char < end:
            end = max(end, entity.end_char)
            continue
        if end > 0:
            yield start, end
        start, end = entity.start_char, entity.end_char
    if end > 0:
        yield start, end


def inside(document: MarkedDocument, start: int, end: int) -> list[list[Any]]:
    """RETURNS (list): the entities that touch a stretch, as [start, end, label]."""
    return [list(x) for x in document.entities if _touches(x, start, end)]


def _touches(entity: Entity, start: int, end: int) -> bool:
    return entity.start_char < end and start < entity.end_char


if __name__ == "__main__":
    typer.run(main)
