"""F1 of `ner_encoder` on every corpus that is there: `spacy project run benchmark`.

    python benchmarks/corpora_f1.py train [--seeds 3] [--corpora gold,wnut17]
    python benchmarks/corpora_f1.py report

`train` trains with configs/embedded.cfg, untuned, and annotates the test sets. Each
finished run is a file below metrics/corpora_f1, and a run whose file exists is not
repeated. `report` scores them: report.json. With `--config baseline` both do it for spaCy's
own `ner`, trained as long as its config says, below metrics/corpora_f1_baseline; with
`--config gliner_train` for a GLiNER that is built on the embedded encoder and trained on
each corpus alone.
"""

from pathlib import Path
from typing import Annotated

import typer
from corpora_report import write_report
from corpora_train import CORPORA, ENCODER, GLINER, ROOT, is_there, run
from wasabi import msg

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)
Config = Annotated[str, typer.Option(help="A file of configs/, without its ending.")]


def place(config: str) -> str:
    return {ENCODER: "corpora_f1", GLINER: "corpora_f1_gliner"}.get(
        config, f"corpora_f1_{config}"
    )


def best_model(config: str, corpus: str) -> Path:
    """RETURNS (Path): the trained pipeline of seed 1."""
    return ROOT / "training" / place(config) / corpus / "seed1" / "model-best"


@app.command()
def train(
    config: Config = ENCODER,
    seeds: Annotated[int, typer.Option(help="How many, from 1 on.")] = 3,
    corpora: Annotated[str, typer.Option(help="Names, by commas; empty for all.")] = "",
) -> None:
    """Train and annotate, seed by seed."""
    output, models = (ROOT / x / place(config) for x in ("metrics", "training"))
    wanted = corpora.split(",") if corpora else [x.name for x in CORPORA]
    for seed in range(1, seeds + 1):
        for corpus in CORPORA:
            if corpus.name not in wanted:
                continue
            if is_there(corpus):
                run(corpus, config, seed, output, models)
            else:
                msg.warn(f"{corpus.name} is not there: left out")


@app.command()
def report(config: Config = ENCODER) -> None:
    """Score the finished runs."""
    write_report(ROOT / "metrics" / place(config))


if __name__ == "__main__":
    app()
