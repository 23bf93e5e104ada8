"""Score the finished runs of the benchmark over corpora, and write the report."""

from pathlib import Path
from typing import Any

import srsly
from corpora_train import CORPORA, Corpus, read_split
from spacy.tokens import Doc
from wasabi import msg

from ner_components.evaluation.metrics import Evaluation, evaluate_spans, interval


def write_report(output: Path) -> None:
    """Score all finished runs, write report.json, and show it as a table.

    output (Path): Folder of finished runs.
    """
    report = {}
    for corpus in CORPORA:
        paths = sorted((output / corpus.name).glob("seed*.json.gz"))
        if paths:
            report[corpus.name] = score(corpus, [srsly.read_gzip_json(x) for x in paths])
    srsly.write_json(output / "report.json", report)
    rows = [
        (name, len(x["micro_f"]["seeds"]), show(x["micro_f"]), show(x["macro_f"]))
        for name, x in report.items()
    ]
    msg.table(rows, header=("data", "seeds", "micro F1", "macro F1"), divider=True)


def score(corpus: Corpus, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """RETURNS (dict): what is known of a corpus: micro and macro F1, each the mean over the
    seeds with its interval, and F1 by label."""
    golds = read_split(corpus, "test")
    evaluations = evaluate(golds, runs)
    labels = [ent.label_ for doc in golds for ent in doc.ents]
    return {
        "model": corpus.model or corpus.name,
        "test": corpus.test,
        "epochs": runs[0]["epochs"],
        "minutes": [x.get("minutes") for x in runs],
        "words": sum(map(len, golds)),
        "entities": len(labels),
        "micro_f": interval(evaluations, "micro_f").to_dict(),
        "macro_f": interval(evaluations, "macro_f").to_dict(),
        "label_f": {label: mean_f(evaluations, label) for label in sorted(set(labels))},
        # What an encoder's spans can't have by construction; not counted for a GLiNER.
        "schema_error_rate": None,
    }


def evaluate(golds: list[Doc], runs: list[dict[str, Any]]) -> list[Evaluation]:
    """RETURNS (list[Evaluation]): finished runs over the documents of a test set."""
    gold = [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in golds]
    ids = [doc.user_data.get("id") for doc in golds]
    evaluations = []
    for run in runs:
        found = [[(a, b, label) for a, b, label, _ in doc] for doc in run["test"]]
        evaluations.append(evaluate_spans(gold, found, ids=ids))
    return evaluations


def mean_f(evaluations: list[Evaluation], label: str) -> float:
    return sum(x.per_label[label].f for x in evaluations) / len(evaluations)


def show(figure: dict[str, Any]) -> str:
    value, low, high = (f"{100 * figure[x]:.1f}" for x in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
