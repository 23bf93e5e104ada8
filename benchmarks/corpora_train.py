"""Train `ner_encoder`, `ner_gliner`, or spaCy's own `ner` on the corpora of the benchmark
and annotate their test sets.

Corpora are found in corpus/NAME as SPLIT.spacy, where `spacy project run corpora` puts
them, else in $NER_DATA (shared/data beside the repository) as SPLIT.jsonl.gz. One that has
no dev or test set gets one from what it has, see `CORPORA`. Nothing is tuned: dev chooses
the better of two evaluations and fits the calibration.
"""

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
import srsly
from encoder_data import ROOT, data_folder
from gliner_zero_shot_labels import WORDS
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from wasabi import msg

from ner_components.corpora.formats import read_corpus
from ner_components.corpora.markup import read_markup

CONFIGS = ROOT / "configs"
ENCODER, GLINER = "embedded", "gliner_train"
GLINER_STEPS = 600  # on every corpus: in the encoder's few, a GLiNER learns nothing
SCHEMA = ROOT / "corpus" / "schema.json"
WORDS_PER_STEP = 400  # of the config's batcher
HELD_OUT = 0.1


@dataclass(frozen=True)
class Corpus:
    """What is trained on, and what is scored.

    name (str): Its folder.
    epochs (float): Chosen beforehand, for 75,000 to 190,000 words of training.
    lang (str): Of its tokenizer; tokens are taken as the corpus has them.
    train (str), test (str): Files for training and for the test; where there is no file
        `dev`, the last tenth of the training documents serves.
    model (Optional[str]): The corpus whose model is scored, for one that can't be
        trained on.
    """

    name: str
    epochs: float = 0
    lang: str = "en"
    train: str = "train"
    test: str = "test"
    model: str | None = None


CORPORA = [
    Corpus("gold", 6),
    Corpus("wnut17", 3),
    Corpus("crossner_ai", 20),
    Corpus("crossner_literature", 20),
    Corpus("crossner_science", 20),
    Corpus("bc5cdr", 1, test="dev"),
    Corpus("ncbi_disease", 1, test="dev"),
    Corpus("fin_sec", 3),
    Corpus("btc", 1),
    Corpus("uner_en_ewt", 5, train="dev"),
    Corpus("uner_de_pud", model="uner_en_ewt", lang="de"),
    Corpus("uner_zh_gsd", 1, lang="zh"),
    Corpus("lener_br", 0.5, lang="pt"),
]


def is_there(corpus: Corpus) -> bool:
    return corpus.name == "gold" or _path(corpus, corpus.test) is not None


def read_split(corpus: Corpus, split: str) -> list[Doc]:
    """RETURNS (list[Doc]): the documents or sentences of "train", "dev" or "test"."""
    nlp = spacy.blank(corpus.lang)
    if corpus.name == "gold":
        path = ROOT / "corpus" / f"{split}.txt"
        return [document.to_doc(nlp)[0] for document in read_markup(path)]
    if split == "test":
        return _read(corpus, corpus.test, nlp)
    if "dev" not in (corpus.train, corpus.test) and _path(corpus, "dev") is not None:
        return _read(corpus, split, nlp)
    train_docs, dev_docs = hold_out(_read(corpus, corpus.train, nlp))
    return train_docs if split == "train" else dev_docs


def _path(corpus: Corpus, file: str) -> Path | None:
    places = [
        ROOT / "corpus" / corpus.name / f"{file}.spacy",
        data_folder() / corpus.name / f"{file}.jsonl.gz",
    ]
    return next((path for path in places if path.exists()), None)


def _read(corpus: Corpus, file: str, nlp: Language) -> list[Doc]:
    path = _path(corpus, file)
    if path is None:
        raise FileNotFoundError(f"{corpus.name} has no file {file!r}")
    return [doc for doc, _ in read_corpus(path, nlp)]


def hold_out(docs: list[Doc]) -> tuple[list[Doc], list[Doc]]:
    """Split off the last tenth of the documents, at least one, whole: the sentences of a
    document repeat its names. A sentence that names no document is one.

    RETURNS (tuple): the rest, and what was split off.
    """
    ids = [doc.user_data.get("id", i) for i, doc in enumerate(docs)]
    order = list(dict.fromkeys(ids))
    held_out = set(order[len(order) - max(1, round(HELD_OUT * len(order))) :])
    pairs = list(zip(ids, docs, strict=True))
    rest = [doc for i, doc in pairs if i not in held_out]
    return rest, [doc for i, doc in pairs if i in held_out]


def run(
    corpus: Corpus,
    config: str,
    seed: int,
    output: Path,
    models: Path,
    settings: dict[str, Any] | None = None,
) -> None:
    """Train on a corpus and annotate its test set, unless that is done already.

    corpus (Corpus): The corpus.
    config (str): A file of configs/, without its ending.
    seed (int): Of the training.
    output (Path): Folder of finished runs, a file for each.
    models (Path): Folder of data and models, not kept in git.
    settings (Optional[dict[str, Any]]): More overrides of the config.
    """
    path = output / corpus.name / f"seed{seed}.json.gz"
    if path.exists():
        msg.info(f"{path} is finished")
        return
    source = next(x for x in CORPORA if x.name == (corpus.model or corpus.name))
    folder = models / source.name / f"seed{seed}"
    if not folder.exists():
        train_model(source, config, seed, folder, settings)
    nlp = spacy.load(folder / "model-best")
    found = annotate(nlp, read_split(corpus, "test"))
    path.parent.mkdir(parents=True, exist_ok=True)
    epochs = source.epochs if config == ENCODER else None
    minutes = srsly.read_json(folder / "minutes.json")
    srsly.write_gzip_json(path, {"epochs": epochs, "minutes": minutes, "test": found})
    msg.good(f"{path}: {sum(map(len, found))} entities in {len(found)} documents")


def train_model(
    corpus: Corpus,
    config: str,
    seed: int,
    folder: Path,
    settings: dict[str, Any] | None = None,
) -> None:
    """Train with a shipped config; only data, labels, language and seed differ, and the
    length of the training: the encoder's as `CORPORA` says, GLiNER's is `GLINER_STEPS`.
    `settings` are more overrides."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    words = 0
    for split in ("train", "dev"):
        docs = read_split(corpus, split)
        words = words or sum(map(len, docs))
        DocBin(docs=docs, store_user_data=True).to_disk(unfinished / f"{split}.spacy")
    overrides = {
        "paths.train": str(unfinished / "train.spacy"),
        "paths.dev": str(unfinished / "dev.spacy"),
        "nlp.lang": corpus.lang,
        "system.seed": seed,
        **(settings or {}),
    }
    if config == ENCODER:
        overrides |= train_encoder_as(corpus, words)
    if config == GLINER:
        overrides |= train_gliner_as(corpus)
    start = time.perf_counter()
    train(CONFIGS / f"{config}.cfg", unfinished, overrides=overrides)
    # Dev evaluations included.
    minutes = round((time.perf_counter() - start) / 60, 1)
    srsly.write_json(unfinished / "minutes.json", minutes)
    unfinished.rename(folder)


def train_encoder_as(corpus: Corpus, words: int) -> dict[str, Any]:
    """RETURNS (dict): overrides of the encoder's config."""
    half = max(1, round(corpus.epochs * words / WORDS_PER_STEP / 2))
    overrides = {
        "training.max_steps": 2 * half,
        "training.eval_frequency": half,
        "training.optimizer.learn_rate.warmup_steps": half // 5,
    }
    if corpus.name == "gold":
        overrides["components.ner.schema"] = str(SCHEMA)
    return overrides


def train_gliner_as(corpus: Corpus) -> dict[str, Any]:
    """RETURNS (dict): overrides of GLiNER's config."""
    return {
        "components.ner.labels": labels_of(corpus),
        "components.ner.training.mixed_precision": True,
        "training.max_steps": GLINER_STEPS,
        "training.eval_frequency": GLINER_STEPS // 2,
        "training.optimizer.learn_rate.warmup_steps": GLINER_STEPS // 10,
    }


def labels_of(corpus: Corpus) -> list[dict[str, Any]]:
    """RETURNS (list[dict]): the labels of a corpus with plain words for each as alias."""
    if corpus.name == "gold":
        return srsly.read_json(SCHEMA)["labels"]
    docs = [doc for split in ("train", "test") for doc in read_split(corpus, split)]
    names = sorted({ent.label_ for doc in docs for ent in doc.ents})
    words = {x: WORDS.get(f"{corpus.name}.{x}", WORDS.get(x)) for x in names}
    return [{"name": x, "aliases": [words[x] or "miscellaneous entity"]} for x in names]


def bare_docs(nlp: Language, golds: Iterable[Doc]) -> list[Doc]:
    """RETURNS (list): the documents, tokens as they have them, without annotation."""
    return [
        Doc(nlp.vocab, [t.text for t in x], [bool(t.whitespace_) for t in x]) for x in golds
    ]


def annotate(nlp: Language, golds: Iterable[Doc]) -> list[list[list[object]]]:
    """RETURNS (list): of each document, its entities as [first token, one past the last,
    label, score]."""
    docs = bare_docs(nlp, golds)
    return [
        [[ent.start, ent.end, ent.label_, ent._.ner_score] for ent in doc.ents]
        for doc in nlp.pipe(docs)
    ]
