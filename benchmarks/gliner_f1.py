"""F1 of `ner_gliner` before and after fine-tuning, next to `ner_encoder` on the same data.

    python benchmarks/gliner_f1.py PIPELINE [--corpora gold,wnut17] [--device cuda]

PIPELINE is what `python benchmarks/gliner_zero_shot.py` trained (training/gliner_zero_shot/
model/model-last). It is scored as it is, then fine-tuned with configs/gliner.cfg on each
corpus' training set, as long and with the seed that `ner_encoder` had in
`python benchmarks/corpora_f1.py`, whose finished run is read from metrics/corpora_f1.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from corpora_report import mean_f
from corpora_train import CORPORA, WORDS_PER_STEP, Corpus, read_split
from encoder_data import ROOT
from gliner_zero_shot_labels import WORDS
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from wasabi import msg

from ner_components.evaluation.metrics import evaluate_spans, interval
from ner_components.schema import EntitySchema

CONFIG = ROOT / "configs" / "gliner.cfg"
SCHEMA = ROOT / "corpus" / "schema.json"
FOLDER = ROOT / "training" / "gliner_f1"
OUTPUT = ROOT / "metrics" / "gliner_f1.json"
FINISHED = ROOT / "metrics" / "corpora_f1"
NAMES = "gold,wnut17,crossner_ai,crossner_literature,crossner_science"
SEED = 1
Entity = tuple[int, int, str]


def labels_of(corpus: Corpus) -> list[dict[str, Any]]:
    """RETURNS (list[dict]): the labels of a corpus with plain words for each as alias."""
    if corpus.name == "gold":
        return srsly.read_json(SCHEMA)["labels"]
    docs = [doc for split in ("train", "test") for doc in read_split(corpus, split)]
    names = sorted({ent.label_ for doc in docs for ent in doc.ents})
    words = {x: WORDS.get(f"{corpus.name}.{x}", WORDS.get(x)) for x in names}
    return [{"name": x, "aliases": [words[x] or "miscellaneous entity"]} for x in names]


def annotate(pipeline: Path, labels: list[dict], golds: list[Doc]) -> list[list[Entity]]:
    """RETURNS (list): the entities of each document, in tokens."""
    nlp = spacy.load(pipeline, config={"components.ner.prompt": "alias"})
    nlp.get_pipe("ner").override_labels(EntitySchema.from_labels(labels))
    docs = [
        Doc(nlp.vocab, [t.text for t in x], [bool(t.whitespace_) for t in x]) for x in golds
    ]
    return [spans(doc) for doc in nlp.pipe(docs)]


def spans(doc: Doc) -> list[Entity]:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def export(pipeline: Path, folder: Path) -> Path:
    """Write the model of a pipeline as the gliner library saves it.

    RETURNS (Path): the folder, which `ner_components.GLiNER.v1` takes as `name`.
    """
    nlp = spacy.load(pipeline)
    nlp.get_pipe("ner").model.shims[0].gliner.save_pretrained(
        folder, safe_serialization=True
    )
    return folder


def fine_tune(
    corpus: Corpus, labels: list[dict], model: Path, folder: Path, device: str | None
) -> float:
    """Train with the shipped config; only data, labels, length, seed and device differ.

    RETURNS (float): the seconds it took, dev evaluations included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = 0
    for split in ("train", "dev"):
        docs = read_split(corpus, split)
        words = words or sum(map(len, docs))
        DocBin(docs=docs, store_user_data=True).to_disk(folder / f"{split}.spacy")
    half = max(1, round(corpus.epochs * words / WORDS_PER_STEP / 2))
    overrides = {
        "paths.train": str(folder / "train.spacy"),
        "paths.dev": str(folder / "dev.spacy"),
        "system.seed": SEED,
        "components.ner.labels": labels,
        "components.ner.model.name": str(model),
        "components.ner.model.device": device,
        "components.ner.training.mixed_precision": True,
        "training.max_steps": 2 * half,
        "training.eval_frequency": half,
        "training.optimizer.learn_rate.warmup_steps": half // 5,
        "training.optimizer.learn_rate.total_steps": 2 * half,
    }
    start = time.perf_counter()
    train(CONFIG, folder / "model", overrides=overrides)
    return time.perf_counter() - start


def score(golds: list[Doc], found: list[list[Entity]]) -> dict[str, Any]:
    """RETURNS (dict): micro and macro F1 with intervals, F1 by label."""
    gold = [spans(doc) for doc in golds]
    # Sentences of a document are drawn together.
    ids = [doc.user_data.get("id") for doc in golds]
    evaluation = evaluate_spans(gold, found, ids=ids)
    labels = sorted({label for doc in gold for _, _, label in doc})
    return {
        "micro_f": interval(evaluation, "micro_f").to_dict(),
        "macro_f": interval(evaluation, "macro_f").to_dict(),
        "label_f": {label: mean_f([evaluation], label) for label in labels},
    }


def run(
    corpus: Corpus, pipeline: Path, model: Path, folder: Path, device: str | None
) -> dict:
    """RETURNS (dict): what is known of a corpus: scores by system, seconds of training."""
    labels = labels_of(corpus)
    golds = read_split(corpus, "test")
    found = {"zero_shot": annotate(pipeline, labels, golds)}
    seconds = fine_tune(corpus, labels, model, folder, device)
    found["fine_tuned"] = annotate(folder / "model" / "model-best", labels, golds)
    finished = FINISHED / corpus.name / f"seed{SEED}.json.gz"
    if finished.exists():
        rows = srsly.read_gzip_json(finished)["test"]
        found["ner_encoder"] = [[(a, b, x) for a, b, x, _ in doc] for doc in rows]
    prompts = {x["name"]: (x.get("aliases") or [x["name"]])[0] for x in labels}
    systems = {name: score(golds, x) for name, x in found.items()}
    report = {"epochs": corpus.epochs, "seconds": round(seconds), "prompts": prompts}
    return {**report, "systems": systems}


def show(results: dict[str, dict]) -> None:
    """Print a table."""
    rows = []
    for name, result in results.items():
        for system, x in result["systems"].items():
            figures = [f"{100 * x[y]['value']:.1f}" for y in ("micro_f", "macro_f")]
            rows.append([name, system, *figures])
    msg.table(rows, header=["data", "system", "micro F1", "macro F1"], divider=True)


def main(
    pipeline: Annotated[Path, typer.Argument(help="A trained pipeline with ner_gliner.")],
    corpora: Annotated[str, typer.Option(help="Names, by commas.")] = NAMES,
    device: Annotated[str | None, typer.Option(help="cpu, cuda ...")] = None,
    folder: Annotated[Path, typer.Option(help="Data and models.")] = FOLDER,
    output: Annotated[Path, typer.Option(help="Where the figures go.")] = OUTPUT,
) -> None:
    """Score, fine-tune and score again, corpus by corpus; finished ones are kept."""
    results = srsly.read_json(output) if output.exists() else {}
    output.parent.mkdir(parents=True, exist_ok=True)
    model = export(pipeline, folder / "gliner")
    for corpus in CORPORA:
        if corpus.name in corpora.split(",") and corpus.name not in results:
            place = folder / corpus.name
            results[corpus.name] = run(corpus, pipeline, model, place, device)
            srsly.write_json(output, results)
    show(results)


if __name__ == "__main__":
    typer.run(main)
