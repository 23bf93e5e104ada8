"""The gold set's own format: plain text with the entities marked in it.

A document starts with a header line and has one sentence per line:

    === news-001 | genre: news | tags: alias, nested
    Shares of [[Alphabet|ORG]] ([[GOOGL|TICKER]]) rose.
    [[Bank of [[England|LOCATION]]|ORG]] officials declined to comment.

Blank lines don't count. Lines are joined with a space; a pilcrow (¶) stands for a line
break of the text, inside a line or at its end. Offsets are computed, never written.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

from ..errors import Errors
from .files import error_at, read_lines
from .offsets import Entity, set_entities

_HEADER = re.compile(
    r"^===\s*(?P<id>\S+)\s*\|\s*genre:\s*(?P<genre>[^|]*?)\s*\|\s*tags:(?P<tags>[^|]*)$"
)
_MARK = re.compile(r"\[\[|\|([^\[\]|\s]+)\]\]")
NESTED_KEY = "nested"


@dataclass
class MarkedDocument:
    """A document of the gold set.

    id (str), genre (str), tags (List[str]): From the header.
    text (str): The text without mark-up.
    entities (List[Entity]): The outermost entities, in order.
    nested (List[Entity]): The entities inside them, in order.
    sentences (List[Tuple[int, int]]): Characters of each sentence, exclusive end.
    """

    id: str
    genre: str
    tags: List[str]
    text: str = ""
    entities: List[Entity] = field(default_factory=list)
    nested: List[Entity] = field(default_factory=list)
    sentences: List[Tuple[int, int]] = field(default_factory=list)

    def add_sentence(self, sentence: str, entities: List[Entity]) -> None:
        """Append a sentence with entities relative to its start."""
        if self.text and not self.text.endswith("\n"):
            self.text += " "
        offset = len(self.text)
        self.text += sentence
        self.sentences.append((offset, offset + len(sentence.rstrip("\n"))))
        outer_end = 0
        for start, end, label in sorted(
            entities, key=lambda x: (x.start_char, -x.end_char)
        ):
            entity = Entity(start + offset, end + offset, label)
            if start >= outer_end:
                self.entities.append(entity)
                outer_end = end
            else:
                self.nested.append(entity)

    def to_doc(self, nlp: Language) -> Tuple[Doc, List[Entity]]:
        """Make a spaCy document: entities, sentences, nested ones in `doc.spans`, and
        id, genre and tags in `doc.user_data`.

        nlp (Language): Its tokenizer is used.
        RETURNS (Tuple[Doc, List[Entity]]): The document, and the entities left out
            because they don't lie on its token borders.
        """
        doc = nlp.make_doc(self.text)
        cut = set_entities(doc, self.entities)
        nested = [doc.char_span(*entity) for entity in self.nested]
        kept = [span for span in nested if span is not None]
        if kept:
            doc.spans[NESTED_KEY] = SpanGroup(doc, name=NESTED_KEY, spans=kept)
        starts = {start for start, _ in self.sentences}
        for token in doc:
            token.is_sent_start = token.idx in starts
        doc.user_data.update({"id": self.id, "genre": self.genre, "tags": self.tags})
        return doc, cut


def read_markup(path: Path) -> Iterator[MarkedDocument]:
    """Read a split of the gold set.

    path (Path): The file, UTF-8, plain or gzipped.
    YIELDS (MarkedDocument): Its documents, in order.
    RAISES (ValueError): A line that is not in the format, with its number, or no document.
    """
    document: Optional[MarkedDocument] = None
    for number, line in read_lines(path):
        line = line.strip()
        if line.startswith("==="):
            if document is not None:
                yield document
            document = _read_header(path, number, line)
        elif line and document is None:
            remedy = 'Start with a header "=== ID | genre: GENRE | tags: TAG".'
            raise error_at(path, number, "text before the first header", remedy)
        elif line and document is not None:
            document.add_sentence(*_read_sentence(path, number, line))
    if document is None:
        raise ValueError(Errors.N071.format(path=path))
    yield document


def parse_marked(line: str) -> Tuple[str, List[Entity]]:
    """Take the mark-up out of a text.

    line (str): Text with `[[surface|LABEL]]` in it, nested as you like.
    RETURNS (Tuple[str, List[Entity]]): The text, and its entities.
    RAISES (ValueError): A mark is not closed, not opened, or empty.
    """
    text, opened, entities, last = "", [], [], 0
    for mark in _MARK.finditer(line):
        text += line[last : mark.start()]
        last = mark.end()
        if mark[0] == "[[":
            opened.append(len(text))
        elif not opened:
            raise ValueError("a mark is closed that was not opened")
        else:
            start = opened.pop()
            if start == len(text):
                raise ValueError("a mark is empty")
            entities.append(Entity(start, len(text), mark[1]))
    if opened:
        raise ValueError("a mark is not closed")
    return text + line[last:], entities


def _read_header(path: Path, number: int, line: str) -> MarkedDocument:
    found = _HEADER.match(line)
    if found is None:
        remedy = 'Write "=== ID | genre: GENRE | tags: TAG, TAG".'
        raise error_at(path, number, "the header can't be read", remedy)
    tags = [x.strip() for x in found["tags"].split(",") if x.strip()]
    return MarkedDocument(found["id"], found["genre"], tags)


def _read_sentence(path: Path, number: int, line: str) -> Tuple[str, List[Entity]]:
    try:
        return parse_marked(line.replace("¶", "\n"))
    except ValueError as e:
        raise error_at(path, number, str(e), "Mark entities as [[surface|LABEL]].") from e
