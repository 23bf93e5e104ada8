"""What windows that end with a sentence change, beside windows that overlap.

    python benchmarks/corpora_f1.py train --seeds 1 \
        --corpora gold,bc5cdr,ncbi_disease,fin_sec
    python benchmarks/windows_f1.py [--corpora gold,...] [--output FILE]

Dev sets as long documents: the documents that a corpus has, whole, or sentences joined (the
gold set's documents by twos to tens, bc5cdr's sentences by 20 to 35). A document that is
marked as one sentence can't be cut at a sentence's end: its windows overlap.
"""

import json
import random
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from corpora_f1 import best_model
from corpora_train import CORPORA, ENCODER, bare_docs, is_there, read_split
from precision_f1 import spans
from spacy.language import Language
from spacy.tokens import Doc, Span
from wasabi import msg

from ner_components.encoder.transformer import _make_plan
from ner_components.evaluation.metrics import evaluate_spans
from ner_components.evaluation.statistics import compare

# Documents or sentences that are joined to one; those of other corpora by their document.
JOINED = {"gold": (2, 10), "bc5cdr": (20, 35)}
NAMES = "gold,bc5cdr,ncbi_disease,fin_sec"
OVERLAP, SENTENCES = "overlap", "sentences"


def make_documents(corpus: str, docs: list[Doc]) -> list[Doc]:
    """RETURNS (list[Doc]): long documents of a corpus, with its entities."""
    if corpus in JOINED:
        sizes = random.Random(0)
        parts, start = [], 0
        while start < len(docs):
            size = sizes.randint(*JOINED[corpus])
            parts.append(docs[start : start + size])
            start += size
    else:
        grouped = groupby(docs, key=lambda doc: doc.user_data["id"])
        parts = [list(group) for _, group in grouped]
    return [join(part) for part in parts]


def join(docs: list[Doc]) -> Doc:
    """RETURNS (Doc): the documents one after another, parted by a space."""
    words, spaces, ents = [], [], []
    for doc in docs:
        ents += [(len(words) + e.start, len(words) + e.end, e.label) for e in doc.ents]
        words += [t.text for t in doc]
        spaces += [bool(t.whitespace_) for t in doc[:-1]] + [True]
    found = Doc(docs[0].vocab, words, spaces)
    found.ents = [Span(found, *x) for x in ents]
    return found


def annotate(nlp: Language, golds: list[Doc], windows: str) -> tuple[list[Doc], int]:
    """RETURNS (tuple): the documents annotated, and the word pieces computed for that."""
    docs = bare_docs(nlp, golds)
    if windows == OVERLAP:
        for doc in docs:
            for token in doc:
                token.is_sent_start = token.i == 0
    layers = nlp.get_pipe("ner").model.walk()
    model = next(x for x in layers if x.name == "transformer")
    plan = _make_plan(model, model.shims[0], docs)
    pieces = sum(len(x) for batch in plan for x in batch.pieces)
    return list(nlp.pipe(docs)), pieces


def main(
    corpora: Annotated[str, typer.Option(help="Names, by commas")] = NAMES,
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes")] = None,
) -> None:
    """Annotate, compare, print a table."""
    rows: list[dict[str, Any]] = []
    for corpus in CORPORA:
        if corpus.name not in corpora.split(",") or not is_there(corpus):
            continue
        nlp = spacy.load(best_model(ENCODER, corpus.name))
        golds = make_documents(corpus.name, read_split(corpus, "dev"))
        gold, scores, pieces = [spans(doc) for doc in golds], {}, {}
        for windows in (OVERLAP, SENTENCES):
            docs, pieces[windows] = annotate(nlp, golds, windows)
            scores[windows] = evaluate_spans(gold, [spans(doc) for doc in docs])
        change = compare(scores[SENTENCES], scores[OVERLAP]).difference
        rows.append(
            {
                "corpus": corpus.name,
                "documents": len(golds),
                "words": sum(map(len, golds)),
                "micro_f": {name: x.micro.f for name, x in scores.items()},
                "change": change.to_dict(),
                "pieces": pieces,
            }
        )
    if output is not None:
        output.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf8")
    table = [
        (
            x["corpus"],
            *(f"{100 * y:.1f}" for y in x["micro_f"].values()),
            *(f"{100 * x['change'][y]:+.2f}" for y in ("value", "low", "high")),
            f"{x['pieces'][SENTENCES] / x['pieces'][OVERLAP]:.2f}",
        )
        for x in rows
    ]
    header = ("data", "overlap", "sentences", "change", "low", "high", "pieces")
    msg.table(table, header=header, divider=True)


if __name__ == "__main__":
    typer.run(main)
