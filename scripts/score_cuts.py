"""Score a pipeline per label, per difficulty tag and per genre, with intervals: part of the
`evaluate` step of the project.

    python scripts/score_cuts.py MODEL DATA.spacy OUT.json

Tags and genres are read from the documents' `user_data`, where `ner convert` puts them.
Intervals: 95%, by document.
"""

from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from readme_figures import percent, span
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from wasabi import msg

from ner_components.evaluation.metrics import Evaluation, evaluate, interval


def main(
    model: Path,
    data: Path,
    output: Path,
    gpu_id: Annotated[int, typer.Option(help="-1 for the CPU")] = -1,
) -> None:
    """Score MODEL on DATA and write OUTPUT."""
    if gpu_id >= 0:
        spacy.require_gpu(gpu_id)
    nlp = spacy.load(model)
    golds = list(DocBin().from_disk(data).get_docs(nlp.vocab))
    found = list(nlp.pipe(gold.text for gold in golds))
    report = score_cuts(golds, found)
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, report)
    rows = [
        (cut, name, x["documents"], x["gold"], percent(x["f"]), span(x["interval"]))
        for cut, by_name in report.items()
        for name, x in by_name.items()
    ]
    header = ("cut", "", "documents", "entities", "F1", "95% interval")
    msg.table(rows, header=header, divider=True, aligns=("l", "l", "r", "r", "r", "r"))


def score_cuts(golds: list[Doc], found: list[Doc]) -> dict[str, dict[str, Any]]:
    """RETURNS (dict): counts, F1 and interval for each cut (all, label, tag, genre) and
    each name in it."""
    pairs = zip(golds, found, strict=True)
    evaluation = evaluate(Example(doc, gold) for gold, doc in pairs)
    labels = [x for x, score in evaluation.per_label.items() if score.gold]
    return {
        "all": {"micro": describe(evaluation)},
        "label": {x: describe(evaluation, x) for x in labels},
        "tag": {x: describe(part) for x, part in evaluation.by_tag.items()},
        "genre": {x: describe(part) for x, part in evaluation.by_genre.items()},
    }


def describe(evaluation: Evaluation, label: str | None = None) -> dict[str, Any]:
    """RETURNS (dict): what is known of some documents taken together."""
    score = evaluation.micro if label is None else evaluation.per_label[label]
    metric = "micro_f" if label is None else "label_f"
    found = interval(evaluation, metric, label=label)
    return {
        "documents": len(evaluation.documents),
        "right": score.right,
        "predicted": score.predicted,
        "gold": score.gold,
        "p": score.p,
        "r": score.r,
        "f": score.f,
        "interval": (found.low, found.high),
        "reliable": found.reliable,
    }


if __name__ == "__main__":
    typer.run(main)
