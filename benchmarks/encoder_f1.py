"""F1 of `ner_encoder` against plain Hugging Face token classification and against
spaCy's `transformer` + `ner`: the same backbone, epochs and training schedule.

    python benchmarks/encoder_f1.py tune --dataset wnut17 --system hf
    python benchmarks/encoder_f1.py test --dataset wnut17 --system hf
    python benchmarks/encoder_f1.py report

`tune` scores learning rates on the dev set. `test` trains at the best one with three seeds,
and is the only stage that annotates the test set, once per run. Each finished run is a JSON
file below `--output`, and a run whose file exists is not repeated. The data are found by
$NER_DATA, see encoder_data.py.
"""

import json
import logging
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from encoder_data import ROOT, Sentence
from encoder_report import span_f1, write_report
from encoder_systems import Settings, System, train_system

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)

LEARNING_RATES = [2e-4, 4e-4]
TUNE_SEED = 0
TEST_SEEDS = [1, 2, 3]
EPOCHS = 3
PACKAGES = ("torch", "transformers", "spacy", "spacy-transformers", "thinc")

DatasetOption = Annotated[str, typer.Option(help="A folder of the data: wnut17, fin_sec.")]
SystemOption = Annotated[str, typer.Option(help="hf, spacy or ours.")]
OutputOption = Annotated[Path, typer.Option(help="Folder of runs, models, reports.")]
LimitOption = Annotated[int, typer.Option(help="First sentences only; 0 for all.")]
OUTPUT = ROOT / "metrics" / "encoder_f1"


@app.command()
def tune(
    dataset: DatasetOption,
    system: SystemOption,
    output: OutputOption = OUTPUT,
    lr: Annotated[list[float], typer.Option(help="To try.")] = LEARNING_RATES,
    epochs: int = EPOCHS,
    limit: LimitOption = 0,
) -> None:
    """Train once per learning rate and score on the dev set."""
    for rate in lr:
        run(output, "tune", system, Settings(dataset, TUNE_SEED, rate, epochs, limit))


@app.command("test")
def evaluate(
    dataset: DatasetOption,
    system: SystemOption,
    output: OutputOption = OUTPUT,
    epochs: int = EPOCHS,
    limit: LimitOption = 0,
) -> None:
    """Train at the learning rate with the best dev F1, once per seed, and annotate test."""
    tuned = read_runs(output, "tune", dataset, system)
    if not tuned:
        raise typer.BadParameter(f"run tune for {system} on {dataset} first")
    rate = max(tuned, key=lambda result: result["dev_f1"])["lr"]
    for seed in TEST_SEEDS:
        run(output, "test", system, Settings(dataset, seed, rate, epochs, limit))


@app.command()
def report(output: OutputOption = OUTPUT) -> None:
    """Compare the finished test runs: report.md and report.json."""
    print(write_report(output, read_runs(output, "tune"), read_runs(output, "test")))


def run(output: Path, stage: str, system: str, settings: Settings) -> None:
    """Train and score one system, unless that is done already."""
    name = f"{stage}-seed{settings.seed}-lr{settings.lr}.json"
    path = output / settings.dataset / system / name
    if path.exists():
        print(f"{path} is finished")
        return
    start = time.perf_counter()
    trained = train_system(system, settings)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = {
        "stage": stage,
        "system": system,
        **vars(settings),
        "seconds": round(seconds, 1),
        "dev_f1": score(trained, settings.sentences("dev")),
        "versions": {package: version(package) for package in PACKAGES},
    }
    if stage == "test":
        result["test"] = trained.predict(settings.sentences("test"))
        if settings.seed == TEST_SEEDS[0]:
            folder = models_folder(output) / settings.dataset
            folder.mkdir(exist_ok=True)
            trained.save(folder / system)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result), encoding="utf8")
    print(f"{path}: {seconds:.0f} s, dev F1 {result['dev_f1']:.4f}", flush=True)


def score(trained: System, sentences: list[Sentence]) -> float:
    """RETURNS (float): the strict micro F1 of a system's entities."""
    return span_f1([sentence.ents for sentence in sentences], trained.predict(sentences))


def read_runs(
    output: Path, stage: str, dataset: str = "*", system: str = "*"
) -> list[dict[str, Any]]:
    """RETURNS (list[dict]): the finished runs of a stage."""
    paths = sorted(output.glob(f"{dataset}/{system}/{stage}-*.json"))
    return [json.loads(path.read_text(encoding="utf8")) for path in paths]


def models_folder(output: Path) -> Path:
    """RETURNS (Path): the folder of trained models, which keeps itself out of git."""
    folder = output / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf8")
    return folder


@app.callback()
def set_up() -> None:
    """One thread: systems then differ by the work they do, not by how they spread it."""
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    logging.getLogger("spacy").setLevel(logging.WARNING)


if __name__ == "__main__":
    app()
