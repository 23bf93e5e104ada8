"""Score a pipeline per label, per difficulty tag and per genre, with intervals: part of the
`evaluate` step of the project.

    python scripts/score_cuts.py MODEL DATA.spacy OUT.json

Tags and genres are read from the documents' `user_data`, where scripts/make_corpus.py puts
them. Intervals: 95%, a bootstrap over documents.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from readme_figures import percent
from readme_figures import span as interval
from spacy.tokens import Doc, DocBin, Span
from wasabi import msg

from ner_components.evaluation.metrics import SpanScore, bootstrap_f, count_spans

Key = tuple[int, int, str]


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
        (cut, name, x["documents"], x["gold"], percent(x["f"]), interval(x["interval"]))
        for cut, by_name in report.items()
        for name, x in by_name.items()
    ]
    header = ("cut", "", "documents", "entities", "F1", "95% interval")
    msg.table(rows, header=header, divider=True, aligns=("l", "l", "r", "r", "r", "r"))


def score_cuts(golds: list[Doc], found: list[Doc]) -> dict[str, dict[str, Any]]:
    """RETURNS (dict): counts, F1 and interval for each cut (all, label, tag, genre) and
    each name in it."""
    pairs = [compare(gold, doc) for gold, doc in zip(golds, found, strict=True)]
    labels = {label for gold, _ in pairs for _, _, label in gold}
    report = {
        "all": {"micro": describe([count_spans(*pair) for pair in pairs])},
        "label": {x: describe([of_label(pair, x) for pair in pairs]) for x in labels},
    }
    for cut, names_of in CUTS.items():
        names = {name for gold in golds for name in names_of(gold)}
        report[cut] = {
            name: describe(
                [
                    count_spans(*pair)
                    for gold, pair in zip(golds, pairs, strict=True)
                    if name in names_of(gold)
                ]
            )
            for name in names
        }
    return {cut: dict(sorted(by_name.items())) for cut, by_name in report.items()}


CUTS: dict[str, Callable[[Doc], Iterable[str]]] = {
    "tag": lambda doc: doc.user_data.get("tags") or [],
    "genre": lambda doc: [doc.user_data["genre"]] if doc.user_data.get("genre") else [],
}


def compare(gold: Doc, found: Doc) -> tuple[list[Key], list[Key]]:
    """RETURNS (tuple): gold and predicted entities by characters, without those predicted
    where the gold annotation is missing."""
    known = [ent for ent in found.ents if is_annotated(gold, ent)]
    return [key(ent) for ent in gold.ents], [key(ent) for ent in known]


def of_label(pair: tuple[list[Key], list[Key]], label: str) -> SpanScore:
    gold, found = ([x for x in keys if x[2] == label] for keys in pair)
    return count_spans(gold, found)


def key(ent: Span) -> Key:
    return ent.start_char, ent.end_char, ent.label_


def is_annotated(gold: Doc, ent: Span) -> bool:
    span = gold.char_span(ent.start_char, ent.end_char, alignment_mode="expand")
    return all(token.ent_iob for token in span)


def describe(scores: list[SpanScore]) -> dict[str, Any]:
    """RETURNS (dict): what is known of some documents taken together."""
    total = sum(scores, SpanScore())
    return {
        "documents": len(scores),
        "right": total.right,
        "predicted": total.predicted,
        "gold": total.gold,
        "p": total.p,
        "r": total.r,
        "f": total.f,
        "interval": bootstrap_f(scores),
    }


if __name__ == "__main__":
    typer.run(main)
