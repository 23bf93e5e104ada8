"""Train `ner_encoder`, or spaCy's own `ner`, on the corpora of the benchmark and annotate
their test sets.

Corpora are found in corpus/NAME as SPLIT.spacy, where `spacy project run corpora` puts
them, else in $NER_DATA (shared/data beside the repository) as SPLIT.jsonl.gz. One that has
no dev or test set gets one from what it has, see `CORPORA`. Nothing is tuned: dev chooses
the better of two evaluations and fits the calibration.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import spacy
import srsly
from encoder_data import ROOT, data_folder
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from wasabi import msg

from ner_components.corpora.formats import read_corpus
from ner_components.corpora.markup import read_markup

CONFIGS = ROOT / "configs"
ENCODER = "embedded"
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


def run(corpus: Corpus, config: str, seed: int, output: Path, models: Path) -> None:
    """Train on a corpus and annotate its test set, unless that is done already.

    corpus (Corpus): The corpus.
    config (str): A file of configs/, without its ending.
    seed (int): Of the training.
    output (Path): Folder of finished runs, a file for each.
    models (Path): Folder of data and models, not kept in git.
    """
    path = output / corpus.name / f"seed{seed}.json.gz"
    if path.exists():
        msg.info(f"{path} is finished")
        return
    source = next(x for x in CORPORA if x.name == (corpus.model or corpus.name))
    folder = models / source.name / f"seed{seed}"
    if not folder.exists():
        train_model(source, config, seed, folder)
    nlp = spacy.load(folder / "model-best")
    found = annotate(nlp, read_split(corpus, "test"))
    path.parent.mkdir(parents=True, exist_ok=True)
    epochs = source.epochs if config == ENCODER else None
    srsly.write_gzip_json(path, {"epochs": epochs, "test": found})
    msg.good(f"{path}: {sum(map(len, found))} entities in {len(found)} documents")


def train_model(corpus: Corpus, config: str, seed: int, folder: Path) -> None:
    """Train with a shipped config; only data, language and seed differ, and the length of
    the encoder's training, as `CORPORA` says."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    words = 0
    for split in ("train", "dev"):
        docs = read_split(corpus, split)
        words = words or sum(map(len, docs))
        DocBin(docs=docs, store_user_data=True).to_disk(unfinished / f"{split}.spacy")
    half = max(1, round(corpus.epochs * words / WORDS_PER_STEP / 2))
    overrides = {
        "paths.train": str(unfinished / "train.spacy"),
        "paths.dev": str(unfinished / "dev.spacy"),
        "nlp.lang": corpus.lang,
        "system.seed": seed,
    }
    if config == ENCODER:
        overrides |= {
            "training.max_steps": 2 * half,
            "training.eval_frequency": half,
            "training.optimizer.learn_rate.warmup_steps": half // 5,
        }
        if corpus.name == "gold":
            overrides["components.ner.schema"] = str(ROOT / "corpus" / "schema.json")
    train(CONFIGS / f"{config}.cfg", unfinished, overrides=overrides)
    unfinished.rename(folder)


def annotate(nlp: Language, golds: Iterable[Doc]) -> list[list[list[object]]]:
    """RETURNS (list): of each document, its entities as [first token, one past the last,
    label, score]."""
    docs = [
        Doc(nlp.vocab, [t.text for t in x], [bool(t.whitespace_) for t in x]) for x in golds
    ]
    return [
        [[ent.start, ent.end, ent.label_, ent._.ner_score] for ent in doc.ents]
        for doc in nlp.pipe(docs)
    ]
