"""What faster training costs in F1: `mixed_precision` and `freeze_embeddings`.

    python benchmarks/corpora_f1.py train --seeds 2 --corpora gold,wnut17
    python benchmarks/training_f1.py [--seeds 2] [--corpora gold,wnut17] [--output FILE]

The first command trains with neither. The second trains the same with the first setting and
with both, and compares the test sets' F1, seed by seed, paired by document. Finished runs
are files below metrics/training_f1 and are not repeated.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from corpora_f1 import place
from corpora_train import CORPORA, ENCODER, ROOT, is_there, read_split, run
from wasabi import msg

from ner_components.evaluation.metrics import Evaluation, evaluate_spans
from ner_components.evaluation.statistics import compare

BLOCK = "components.ner.model.tok2vec"
SETTINGS = {
    name: {f"{BLOCK}.{x}": True for x in name.split("+")}
    for name in ("mixed_precision", "mixed_precision+freeze_embeddings")
}


def evaluate(corpus: Any, folder: Path, seeds: int) -> list[Evaluation]:
    """RETURNS (list[Evaluation]): the finished runs below a folder, by seed."""
    golds = read_split(corpus, "test")
    gold = [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in golds]
    ids = [doc.user_data.get("id") for doc in golds]
    found = []
    for seed in range(1, seeds + 1):
        path = folder / corpus.name / f"seed{seed}.json.gz"
        docs = srsly.read_gzip_json(path)["test"]
        spans = [[(a, b, label) for a, b, label, _ in doc] for doc in docs]
        found.append(evaluate_spans(gold, spans, ids=ids))
    return found


def main(
    seeds: Annotated[int, typer.Option(help="How many, from 1 on.")] = 2,
    corpora: Annotated[str, typer.Option(help="Names, by commas")] = "gold,wnut17",
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes")] = None,
) -> None:
    """Train, compare, print a table."""
    rows = []
    for corpus in CORPORA:
        if corpus.name not in corpora.split(",") or not is_there(corpus):
            continue
        plain = evaluate(corpus, ROOT / "metrics" / place(ENCODER), seeds)
        for name, settings in SETTINGS.items():
            runs, models = (
                ROOT / x / "training_f1" / name for x in ("metrics", "training")
            )
            for seed in range(1, seeds + 1):
                run(corpus, ENCODER, seed, runs, models, settings)
            found = evaluate(corpus, runs, seeds)
            rows.append(
                {
                    "corpus": corpus.name,
                    "setting": name,
                    "micro_f": {
                        "without": [x.micro.f for x in plain],
                        "with": [x.micro.f for x in found],
                    },
                    "change": compare(found, plain).difference.to_dict(),
                }
            )
    if output is not None:
        output.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf8")
    table = [
        (
            x["corpus"],
            x["setting"],
            *(f"{100 * x['change'][y]:+.2f}" for y in ("value", "low", "high")),
        )
        for x in rows
    ]
    msg.table(table, header=("data", "setting", "F1 change", "low", "high"), divider=True)


if __name__ == "__main__":
    typer.run(main)
