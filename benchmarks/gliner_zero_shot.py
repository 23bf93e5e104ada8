"""Zero-shot F1 of a GLiNER trained on the embedded encoder: labels and sets seen in
training against labels and sets that were not.

    python benchmarks/gliner_zero_shot.py [--steps 1500] [--device cuda]

Corpora are in $NER_DATA (shared/data beside the repository). A sentence is asked for the
labels of its own set only, in training and in the test: what a set was not annotated for is
no example. The crossner sets are held out whole, and of other sets the labels in
`HELD_OUT_LABELS`. Nothing is tuned: the threshold is 0.5 and the last step is scored.
"""

import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import spacy
import srsly
import typer
from encoder_data import ROOT, data_folder
from gliner_zero_shot_labels import GOLD, HELD_OUT_LABELS, SETS, WORDS, Set
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from wasabi import msg

from ner_components.corpora.markup import read_markup
from ner_components.schema import EntitySchema

CONFIG = ROOT / "configs" / "gliner_train.cfg"
FOLDER = ROOT / "training" / "gliner_zero_shot"
OUTPUT = ROOT / "metrics" / "gliner_zero_shot.json"
SEED = 1
# Where the label set of a sentence is found, in training too.
KEY = "ner_labels"


def words_of(name: str, label: str) -> str | None:
    """RETURNS (str | None): Plain words for a label of a set; None for one that can't be
    asked for, such as "misc"."""
    return WORDS.get(f"{name}.{label}", WORDS.get(label))


def read_docs(nlp: Language, name: str, split: str) -> list[Doc]:
    """Read a split, labels in plain words; ones that can't be asked for are left out.

    RETURNS (list[Doc]): Its sentences with their ids.
    """
    if name == GOLD:
        return read_gold(nlp, split)
    docs = []
    for row in srsly.read_gzip_jsonl(data_folder() / name / f"{split}.jsonl.gz"):
        doc = Doc(nlp.vocab, words=row["tokens"])
        named = ((a, b, words_of(name, label)) for a, b, label in row["ents"])
        doc.ents = [Span(doc, a, b, label=words) for a, b, words in named if words]
        doc.user_data["id"] = row["doc"]
        docs.append(doc)
    return docs


def read_gold(nlp: Language, split: str) -> list[Doc]:
    """RETURNS (list[Doc]): Documents of the gold set, as `read_docs` gives a corpus."""
    labels = srsly.read_json(ROOT / "corpus" / "schema.json")["labels"]
    words = {x["name"]: x["aliases"][0] for x in labels}
    docs = []
    for document in read_markup(ROOT / "corpus" / f"{split}.txt"):
        doc = document.to_doc(nlp)[0]
        doc.ents = [Span(doc, x.start, x.end, label=words[x.label_]) for x in doc.ents]
        docs.append(doc)
    return docs


def is_there(found: Set) -> bool:
    return found.name == GOLD or (data_folder() / found.name).is_dir()


def labels_of(docs: Iterable[Doc]) -> list[str]:
    """RETURNS (list[str]): The labels that occur, sorted."""
    return sorted({ent.label_ for doc in docs for ent in doc.ents})


def asked_in(mix: Iterable[Doc]) -> list[str]:
    """RETURNS (list[str]): The labels that training asks for, found or not, sorted."""
    return sorted({label for doc in mix for label in doc.user_data[KEY]})


def hide(doc: Doc, labels: set[str]) -> Doc:
    """RETURNS (Doc): A copy without the entities of some labels."""
    copy = Doc(doc.vocab, words=[t.text for t in doc])
    kept = [x for x in doc.ents if x.label_ not in labels]
    copy.ents = [Span(copy, x.start, x.end, label=x.label_) for x in kept]
    copy.user_data = {"id": doc.user_data["id"]}
    return copy


def training_docs(nlp: Language, tests: set[str], limit: int) -> list[Doc]:
    """Mix the training sets, each cut to a number of sentences, without the sentences of
    the tests.

    RETURNS (list[Doc]): Sentences that name the labels they were annotated for.
    """
    rng = random.Random(SEED)
    mix = []
    for found in SETS:
        if not found.train:
            continue
        hidden = {
            words_of(found.name, x) or "" for x in HELD_OUT_LABELS.get(found.name, ())
        }
        docs = [x for x in read_docs(nlp, found.name, found.train) if x.text not in tests]
        known = [x for x in labels_of(docs) if x not in hidden]
        rng.shuffle(docs)
        for doc in (hide(x, hidden) for x in docs[: limit * found.weight]):
            doc.user_data[KEY] = known
            mix.append(doc)
    rng.shuffle(mix)
    return mix


def test_docs(nlp: Language, found: Set, limit: int) -> list[Doc]:
    """RETURNS (list[Doc]): A sample of a test set, always the same."""
    docs = read_docs(nlp, found.name, found.test)
    random.Random(SEED).shuffle(docs)
    return docs[:limit]


def fit(mix: list[Doc], folder: Path, steps: int, device: str | None) -> tuple[Path, float]:
    """Train with `spacy train`.

    RETURNS (tuple[Path, float]): The pipeline and the seconds it took.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, docs in (("train", mix), ("dev", mix[:20])):
        DocBin(docs=docs, store_user_data=True).to_disk(folder / f"{name}.spacy")
    overrides = {
        "paths.train": str(folder / "train.spacy"),
        "paths.dev": str(folder / "dev.spacy"),
        "system.seed": SEED,
        "components.ner.labels": asked_in(mix),
        "components.ner.prompt": "name",
        "components.ner.model.device": device,
        # Prompts of all 40 labels of a set are slow: mostly samples.
        "components.ner.training.complete": 0.25,
        "components.ner.training.mixed_precision": True,
        "training.optimizer.learn_rate.initial_rate": 0.0003,
        # Dev is for the look of it: nothing is chosen by it.
        "training.max_steps": steps,
        "training.eval_frequency": steps,
        "training.optimizer.learn_rate.warmup_steps": max(1, steps // 10),
    }
    start = time.perf_counter()
    train(CONFIG, folder / "model", overrides=overrides)
    return folder / "model" / "model-last", time.perf_counter() - start


def annotate(nlp: Language, docs: list[Doc], labels: list[str]) -> list[Doc]:
    """RETURNS (list[Doc]): Copies with the entities of some labels that are found."""
    nlp.get_pipe("ner").override_labels(EntitySchema.from_labels(labels))
    blank = [Doc(nlp.vocab, words=[t.text for t in doc]) for doc in docs]
    return list(nlp.pipe(blank))


def score(gold: list[Doc], found: list[Doc], labels: set[str]) -> dict[str, object]:
    """Score some labels with the project's metrics, in tokens.

    RETURNS (dict): Interval of the micro F1, macro F1, F1 by label.
    """
    from ner_components.evaluation.metrics import evaluate_spans, interval

    def spans(docs: list[Doc]) -> list[list[tuple[int, int, str]]]:
        return [
            [(x.start, x.end, x.label_) for x in doc.ents if x.label_ in labels]
            for doc in docs
        ]

    # Sentences of a document are drawn together; one without an id is its own.
    ids = [doc.user_data["id"] or f"sentence {i}" for i, doc in enumerate(gold)]
    evaluation = evaluate_spans(spans(gold), spans(found), ids=ids)
    by_label = {k: round(x.f, 4) for k, x in evaluation.per_label.items()}
    figure = interval(evaluation, "micro_f").to_dict()
    micro = {
        "p": evaluation.micro.p,
        "r": evaluation.micro.r,
        "gold": evaluation.micro.gold,
    }
    return {**micro, "f": figure, "macro_f": evaluation.macro.f, "per_label": by_label}


def score_set(
    nlp: Language, found: Set, docs: list[Doc], seen: set[str]
) -> dict[str, object]:
    """Annotate a set with all its labels, and score those seen in training and the others
    apart.

    RETURNS (dict): Scores of "all", "seen" and "unseen" labels, whichever there are.
    """
    labels = labels_of(docs)
    predicted = annotate(nlp, docs, labels)
    parts = {
        "all": set(labels),
        "seen": set(labels) & seen,
        "unseen": set(labels) - seen,
    }
    scores = {k: score(docs, predicted, x) for k, x in parts.items() if x}
    return {"held_out": not found.train, "sentences": len(docs), **scores}


def show(results: dict[str, dict]) -> None:
    """Print a table."""
    rows = []
    for name, result in results.items():
        for part in ("all", "seen", "unseen"):
            if part in result:
                x = result[part]
                bounds = f"{x['f']['low']:.3f}-{x['f']['high']:.3f}"
                kind = "no" if result["held_out"] else "yes"
                figures = [f"{x['f']['value']:.3f}", bounds, f"{x['macro_f']:.3f}"]
                rows.append([name, kind, part, x["gold"], *figures])
    header = ["set", "set seen", "labels", "gold", "F1", "95%", "macro F1"]
    msg.table(rows, header=header, divider=True)


def main(
    steps: Annotated[int, typer.Option(help="Training steps, 400 words each.")] = 1500,
    limit: Annotated[int, typer.Option(help="Training sentences of a set.")] = 1500,
    tests: Annotated[int, typer.Option(help="Test sentences of a set.")] = 500,
    device: Annotated[str | None, typer.Option(help="cpu, cuda ...")] = None,
    folder: Annotated[Path, typer.Option(help="Data and model.")] = FOLDER,
    output: Annotated[Path, typer.Option(help="Where the figures go.")] = OUTPUT,
) -> None:
    """Train on the mix, score every test set."""
    nlp = spacy.blank("en")
    present = [x for x in SETS if is_there(x)]
    for missing in sorted({x.name for x in SETS} - {x.name for x in present}):
        msg.warn(f"{missing} is not there")
    samples = {x.name: test_docs(nlp, x, tests) for x in present if x.test}
    texts = {doc.text for docs in samples.values() for doc in docs}
    mix = training_docs(nlp, texts, limit)
    msg.info(f"{len(mix)} sentences, {len(asked_in(mix))} labels")
    path, seconds = fit(mix, folder, steps, device)
    trained = spacy.load(path)
    seen = set(asked_in(mix))
    results = {
        x.name: score_set(trained, x, samples[x.name], seen) for x in present if x.test
    }
    settings = {"steps": steps, "limit": limit, "seed": SEED, "sentences": len(mix)}
    output.parent.mkdir(parents=True, exist_ok=True)
    report = {"settings": settings, "seconds": round(seconds), "labels": sorted(seen)}
    srsly.write_json(output, {**report, "sets": results})
    show(results)


if __name__ == "__main__":
    typer.run(main)
