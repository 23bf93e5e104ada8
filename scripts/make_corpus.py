"""Turn annotated files into spaCy's binary format: the `corpus` step of the project.

    python scripts/make_corpus.py IN OUT.spacy [--lang en]

IN is a split of the gold set (.txt, see corpus/README.md), JSON lines (.jsonl, .jsonl.gz)
or a file with a token and its IOB2 tag per line (.conll, .annotated). Entities that the
tokenizer cuts are named by document, characters and label, and their tokens are marked as
unannotated.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from wasabi import msg

from ner_components.corpora.conll import read_conll
from ner_components.corpora.jsonl import read_jsonl
from ner_components.corpora.markup import read_markup
from ner_components.corpora.offsets import Entity


def main(source: Path, output: Path, lang: str = "en") -> None:
    """Convert SOURCE to OUTPUT, a .spacy file."""
    docs = DocBin(store_user_data=True)
    counts: Counter[str] = Counter()
    cut: list[str] = []
    for number, (doc, left_out) in enumerate(read(source, spacy.blank(lang))):
        docs.add(doc)
        counts.update(ent.label_ for ent in doc.ents)
        where = doc.user_data.get("id", number)
        cut += [f"{where}, {a}-{b}, {label}" for a, b, label in left_out]
    output.parent.mkdir(parents=True, exist_ok=True)
    docs.to_disk(output)
    labels = ", ".join(f"{label} {n}" for label, n in sorted(counts.items()))
    msg.good(f"{output}: {len(docs)} documents, {counts.total()} entities", labels)
    if cut:
        msg.warn(f"{len(cut)} entities are cut by the tokenizer", "\n".join(cut))


def read(source: Path, nlp: Language) -> Iterator[tuple[Doc, list[Entity]]]:
    """YIELDS (tuple): Each document, and the entities that could not be set."""
    if source.suffix == ".txt":
        return (document.to_doc(nlp) for document in read_markup(source))
    if ".jsonl" in source.suffixes:
        return read_jsonl(source, nlp)
    return read_conll(source, nlp)


if __name__ == "__main__":
    typer.run(main)
