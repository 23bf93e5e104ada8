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
from corpora_report import evaluate
from corpora_train import CORPORA, ENCODER, ROOT, is_there, read_split, run
from wasabi import msg

from ner_components.evaluation.statistics import compare

BLOCK = "components.ner.model.tok2vec"
SETTINGS = {
    name: {f"{BLOCK}.{x}": True for x in name.split("+")}
    for name in ("mixed_precision", "mixed_precision+freeze_embeddings")
}


def read_runs(folder: Path, corpus: str, seeds: int) -> list[dict[str, Any]]:
    """RETURNS (list[dict]): the finished runs below a folder, by seed."""
    files = [folder / corpus / f"seed{seed}.json.gz" for seed in range(1, seeds + 1)]
    return [srsly.read_gzip_json(file) for file in files]


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
        golds, name = read_split(corpus, "test"), corpus.name
        plain_runs = ROOT / "metrics" / place(ENCODER)
        plain = evaluate(golds, read_runs(plain_runs, name, seeds))
        for setting, settings in SETTINGS.items():
            runs, models = (
                ROOT / x / "training_f1" / setting for x in ("metrics", "training")
            )
            for seed in range(1, seeds + 1):
                run(corpus, ENCODER, seed, runs, models, settings)
            found = evaluate(golds, read_runs(runs, name, seeds))
            rows.append(
                {
                    "corpus": name,
                    "setting": setting,
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
