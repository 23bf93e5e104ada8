"""What less than float32 costs in F1, and which entities it changes.

    python benchmarks/precision_f1.py [--config embedded] [--corpora gold,wnut17,...]
        [--output FILE]

It annotates the test sets with the models of `python benchmarks/corpora_f1.py train` (seed
1) in every precision, pools them, and annotates 2,000 texts alone, in batches and shuffled:
what is found in a text must not depend on the texts beside it.
"""

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from corpora_f1 import best_model
from corpora_train import CORPORA, ENCODER, bare_docs, is_there, read_split
from spacy.tokens import Doc
from wasabi import msg

from ner_components.cli.optimize import count_unstable, find_entities, find_settings
from ner_components.evaluation.metrics import evaluate_spans
from ner_components.evaluation.statistics import compare
from ner_components.precision import FEATURES, processor_flags

NAMES = "gold,wnut17,btc,bc5cdr,fin_sec"
SETTINGS: dict[str, dict[str, Any]] = {
    "float32": {},
    "onnxruntime": {"backend": "onnxruntime"},
    **{name: {"precision": name} for name in FEATURES},
}
Entity = tuple[int, int, str]


def load(folder: Path, settings: dict[str, Any]) -> Any:
    """RETURNS (Language): a trained pipeline with other settings of its model block."""
    (path,) = find_settings(spacy.load(folder)).values()
    return spacy.load(folder, config={f"{path}.{k}": v for k, v in settings.items()})


def spans(doc: Doc) -> list[Entity]:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def score(golds: list[Doc], plain: list[list[Entity]], found: list[list[Entity]]) -> dict:
    """RETURNS (dict): what a precision did to the entities of documents."""
    gold = [spans(doc) for doc in golds]
    ids = [doc.user_data.get("id", f"text {i}") for i, doc in enumerate(golds)]
    before, after = (evaluate_spans(gold, x, ids=ids) for x in (plain, found))
    pairs = [(set(x), set(y)) for x, y in zip(plain, found, strict=True)]
    number = sum(map(len, plain))
    return {
        "entities": number,
        "unchanged": sum(len(x & y) for x, y in pairs) / max(1, number),
        "added": sum(len(y - x) for x, y in pairs),
        "micro_f": {"float32": before.micro.f, "here": after.micro.f},
        "change": compare(after, before).difference.to_dict(),
    }


def main(
    config: Annotated[str, typer.Option(help="As in corpora_f1.py")] = ENCODER,
    corpora: Annotated[str, typer.Option(help="Names, by commas")] = NAMES,
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes")] = None,
) -> None:
    """Annotate, compare, print a table."""
    golds: list[Doc] = []
    found: dict[str, list[list[Entity]]] = {name: [] for name in SETTINGS}
    rows: list[dict[str, Any]] = []
    neighbours: dict[str, dict[str, Any]] = {name: {} for name in SETTINGS}
    wanted = [x for x in CORPORA if x.name in corpora.split(",") and is_there(x)]
    most = max(wanted, key=lambda x: len(read_split(x, "test")))
    for corpus in wanted:
        folder = best_model(config, corpus.name)
        here = read_split(corpus, "test")
        # Ids of two corpora may be equal.
        for i, doc in enumerate(here):
            doc.user_data["id"] = f"{corpus.name} {doc.user_data.get('id', i)}"
        for name, settings in SETTINGS.items():
            nlp = load(folder, settings)
            start = time.process_time()
            docs = list(nlp.pipe(bare_docs(nlp, here)))
            seconds = time.process_time() - start
            annotated = [spans(x) for x in docs]
            found[name] += annotated
            if corpus.name == most.name:
                counts = count_unstable(nlp, bare_docs(nlp, here), find_entities(docs))
                names = ("texts", "entities", "unstable")
                neighbours[name] = dict(zip(names, counts, strict=True))
                neighbours[name]["corpus"] = corpus.name
            plain = found["float32"][-len(here) :]
            figures = score(here, plain, annotated)
            rows.append({"corpus": corpus.name, "setting": name, **figures})
            msg.info(f"{corpus.name}, {name}: {seconds:.0f} CPU seconds")
        golds += here
    for name in SETTINGS:
        figures = score(golds, found["float32"], found[name])
        rows.append({"corpus": "pooled", "setting": name, **figures})
    report = {
        "config": config,
        "processor": platform.processor() or platform.machine(),
        "flags": sorted(processor_flags() & {y for x in FEATURES.values() for y in x}),
        "versions": {x: version(x) for x in ("torch", "onnxruntime", "spacy")},
        "rows": rows,
        "neighbours": neighbours,
    }
    if output is not None:
        output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf8")
    table = [
        (
            x["corpus"],
            x["setting"],
            x["entities"],
            f"{100 * x['unchanged']:.2f}",
            x["added"],
            " ".join(f"{100 * x['change'][y]:+.2f}" for y in ("value", "low", "high")),
        )
        for x in rows
    ]
    msg.table(
        table,
        header=("data", "setting", "entities", "unchanged", "added", "F1 change"),
        divider=True,
    )
    msg.text(json.dumps(neighbours))


if __name__ == "__main__":
    typer.run(main)
