"""A token per line: columns by white space or tabs, the IOB2 tag in the last one.

This reads WNUT-17 and files like it. A line with one column, or a tag that is none, is
refused with its number; a stray I- starts an entity, as in the CoNLL evaluation script.
"""

from pathlib import Path
from typing import Iterator, List, Tuple

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..errors import Errors
from .offsets import Entity


def read_conll(path: Path, nlp: Language) -> Iterator[Tuple[Doc, List[Entity]]]:
    """Read sentences, each as a document.

    path (Path): The file, UTF-8; a blank line ends a sentence.
    nlp (Language): Its vocabulary is used; tokens are taken as they are.
    YIELDS (Tuple[Doc, List[Entity]]): Each sentence, and an empty list: no entity is cut.
    RAISES (ValueError): A line that can't be read, with its number, or no sentence.
    """
    words: List[str] = []
    tags: List[str] = []
    empty = True
    with Path(path).open(encoding="utf8") as file:
        for number, line in enumerate([*file, ""], 1):
            if line.strip():
                columns = line.rstrip("\n").split("\t") if "\t" in line else line.split()
                if len(columns) < 2 or not _is_tag(columns[-1].strip()):
                    remedy = "Each line is a token, then its tag: O, B-LABEL or I-LABEL."
                    problem = "no token with an IOB2 tag"
                    raise ValueError(
                        Errors.N070.format(
                            path=path, line=number, problem=problem, remedy=remedy
                        )
                    )
                words.append(columns[0])
                tags.append(columns[-1].strip())
            elif words:
                yield _make_doc(nlp, words, tags), []
                words, tags, empty = [], [], False
    if empty:
        raise ValueError(Errors.N071.format(path=path))


def _is_tag(tag: str) -> bool:
    return tag == "O" or (tag[:2] in ("B-", "I-") and len(tag) > 2)


def _make_doc(nlp: Language, words: List[str], tags: List[str]) -> Doc:
    doc = Doc(nlp.vocab, words=words)
    starts: List[int] = []
    ends: List[int] = []
    before = "O"
    for i, tag in enumerate([*tags, "O"]):
        # An entity starts at a B-, and at an I- that continues none of its label.
        begins = tag != "O" and (tag[0] == "B" or before[1:] != tag[1:])
        if before != "O" and (tag == "O" or begins):
            ends.append(i)
        if begins:
            starts.append(i)
        before = tag
    pairs = zip(starts, ends, strict=True)
    doc.set_ents([Span(doc, i, j, label=tags[i][2:]) for i, j in pairs])
    return doc
