"""OntoNotes 5.0 (Weischedel et al., LDC2013T19) in the four forms that are around.

`.name` files of the release, `gold_conll` files with words (made by the scripts of
conll-formatted-ontonotes-5.0), and two layouts of JSON lines with tags as numbers: tner's
(`{"tokens", "tags"}`) and conll2012_ontonotesv5 (`{"document_id", "sentences"}`).

A document without any name in its name column was not annotated for names. That holds for
the whole New Testament (pt/), and for others: these are not documents without entities,
so they are dropped and counted.
"""

import re
from itertools import groupby
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union
from xml.sax.saxutils import unescape

from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors
from .files import Notes, note, read_lines, refuse
from .offsets import Entity, set_entities
from .sentences import Annotated, Sentence, describe, join_documents
from .tag_ids import ORDERS, TagRow, read_rows, survey_rows
from .tags import TagSpan, decode_tags

NO_NAMES = "document without a name layer: dropped"
NESTED = "name inside a name: dropped"
INSIDE_TOKEN = "name that begins or ends inside a token: left out, tokens not annotated"
UNLISTED = "document not in the list: dropped"

# By folder of the release, and by the fifth part of DOCNO.
_LANGUAGES = {"english": "en", "chinese": "zh", "arabic": "ar"}
_LANGUAGES |= {"en": "en", "ch": "zh", "ar": "ar"}
_BEGIN = re.compile(r"#begin document \((?P<id>.+?)\)(?:; part \d+)?\s*$")
_DOC = re.compile(r'<DOC\s+DOCNO="(?P<id>[^"@]+)(?:@[^"@]*)*?(?:@(?P<lang>\w+)@on)?"\s*>$')
_ENAMEX = re.compile(r"<ENAMEX(?P<attributes>(?:\s+\w+=\"[^\"]*\")+)\s*>|</ENAMEX>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_NAME_CELL = re.compile(r"(?:\([^()*\s]+)*\*?\)*")
# How the file names of the releases end.
_LAYER = re.compile(r"\.(?:(?:v\d+_)?(?:gold|auto)_(?:conll|skel|parse_conll)|name)$")
# Columns of gold_conll: document, part, number, word, ..., names; then predicates, as
# many as the sentence has, and coreference.
_ID, _INDEX, _WORD, _NAME, _LEAST_COLUMNS = 0, 2, 3, 10, 12


def read_ontonotes(
    path: Union[str, Path],
    nlp: Language,
    *,
    notes: Notes = None,
    documents: bool = False,
    documents_list: Optional[Set[str]] = None,
) -> Iterator[Annotated]:
    """Read OntoNotes in any of its four forms, told apart by the first line.

    path (Union[str, Path]): The file, UTF-8.
    nlp (Language): Its vocabulary is used; tokens are taken as they are.
    notes (Optional[Counter[str]]): What is dropped or repaired is added, by reason.
    documents (bool): Give whole documents with sentences instead of one for each sentence.
    documents_list (Optional[Set[str]]): Ids of the documents to keep, `None` for all.
    YIELDS (Tuple[Doc, List[Entity]]): Each document, and its names that begin or end
        inside a token (in `.name` files only). tner's layout has no document ids.
    RAISES (ValueError): A line that can't be read, with its number, or no sentence.
    """
    path = Path(path)
    reader = {"<": _read_name, "#": _read_conll, "{": _read_json}.get(_first(path))
    if reader is None:
        remedy = "It begins with <DOC, #begin document or {."
        refuse(path, 1, "not a file of OntoNotes", remedy)
    docs = _listed(reader(path, nlp, notes), documents_list, notes)
    yield from join_documents(docs) if documents else docs


def read_document_ids(path: Union[str, Path]) -> Set[str]:
    """Read which documents belong to a split, such as the published test list.

    path (Union[str, Path]): A text file with an id per line (`bc/cctv/00/cctv_0005`; what
        stands before `annotations/`, and a file ending, don't count; a line with # in
        front is a comment), or a folder of the conll-formatted release, whose file names
        are the list.
    RETURNS (Set[str]): The ids.
    RAISES (ValueError): There is none.
    """
    path = Path(path)
    if path.is_dir():
        lines = [x.as_posix() for x in path.rglob("*") if _LAYER.search(x.name)]
    else:
        lines = [x.strip() for _, x in read_lines(path) if not x.startswith("#")]
    # Ids have dots of their own (p2.5_a2e_0009): only endings of the release are cut.
    ids = {_LAYER.sub("", x.split("annotations/")[-1]) for x in lines if x}
    if not ids:
        raise ValueError(Errors.N071.format(path=path))
    return ids


def _first(path: Path) -> str:
    for _, line in read_lines(path):
        if line.strip():
            return line.lstrip()[0]
    raise ValueError(Errors.N071.format(path=path))


def _listed(
    docs: Iterator[Annotated], wanted: Optional[Set[str]], notes: Notes
) -> Iterator[Annotated]:
    for source, group in groupby(docs, key=lambda pair: pair[0].user_data.get("id")):
        if wanted is None or source in wanted:
            yield from group
        else:
            note(notes, UNLISTED)


# JSON lines


def _read_json(path: Path, nlp: Language, notes: Notes) -> Iterator[Annotated]:
    order = ORDERS["ontonotes"][_order_of(path)]
    for reason, count in survey_rows(path, read_rows(path), order).items():
        note(notes, reason, count)
    for source, rows in groupby(read_rows(path), key=lambda row: row.id):
        sentences = [_name_row(path, row, order) for row in rows]
        yield from _annotated(source, sentences, nlp, notes)


def _order_of(path: Path) -> str:
    first = next(read_rows(path))
    return "conll2012" if first.field == "named_entities" else "tner"


def _name_row(path: Path, row: TagRow, order: Sequence[str]) -> Sentence:
    return Sentence(row.words, decode_tags(row.names(path, order)), row.id, row.lang)


def _annotated(
    source: Optional[str], sentences: Sequence[Sentence], nlp: Language, notes: Notes
) -> Iterator[Annotated]:
    """The sentences of a document, unless nobody annotated it."""
    if source is not None and not any(x.spans for x in sentences):
        note(notes, NO_NAMES)
        return
    for sentence in sentences:
        yield sentence.to_doc(nlp), []


# gold_conll


def _read_conll(path: Path, nlp: Language, notes: Notes) -> Iterator[Annotated]:
    lang = next((_LANGUAGES[x] for x in path.parts if x in _LANGUAGES), None)
    parts = list(_read_parts(path, notes))
    if not parts:
        raise ValueError(Errors.N071.format(path=path))
    for source, group in groupby(parts, key=lambda part: part[0]):
        sentences = [
            Sentence(words, spans, source, lang)
            for _, part in group
            for words, spans in part
        ]
        yield from _annotated(source, sentences, nlp, notes)


_Tokens = Tuple[List[str], List[TagSpan]]


def _read_parts(path: Path, notes: Notes) -> Iterator[Tuple[str, List[_Tokens]]]:
    """The parts of the documents: id and sentences."""
    source: Optional[str] = None
    part: List[_Tokens] = []
    rows: List[List[str]] = []
    number = 0
    for number, line in read_lines(path):
        begin = _BEGIN.match(line)
        end = line.startswith("#end document")
        if begin is None and not end and line.strip():
            rows.append(_read_row(path, number, line, source, rows))
            continue
        if rows:
            part.append(_read_sentence(path, number, rows, notes))
            rows = []
        if begin is not None:
            _check_ended(path, number, source)
            source = begin["id"]
        elif end and source is not None:
            yield source, part
            source, part = None, []
    _check_ended(path, number + 1, source)


def _check_ended(path: Path, number: int, source: Optional[str]) -> None:
    if source is not None:
        remedy = "The file may be cut: #end document or </DOC> stands behind each."
        refuse(path, number, "the document before has no end", remedy)


def _read_row(
    path: Path, number: int, line: str, source: Optional[str], rows: List[List[str]]
) -> List[str]:
    cells = re.split("[ \t]+", line.strip(" \t"))
    problem, remedy = "", "The file may be cut: make it again with skeleton2conll."
    if source is None:
        problem, remedy = "text outside a document", "Put #begin document (ID) before it."
    elif rows and len(cells) != len(rows[0]):
        problem = f"{len(cells)} columns where the sentence has {len(rows[0])}"
    elif len(cells) < _LEAST_COLUMNS:
        problem = f"{len(cells)} columns, {_LEAST_COLUMNS} at least are needed"
    elif cells[_ID] != source:
        problem = "the first column is not the id of the document"
    elif cells[_INDEX] != str(len(rows)):
        problem = f"token {len(rows)} of the sentence is missing"
    elif cells[_WORD] == "[WORD]":
        problem = "the words are not filled in (gold_skel)"
        remedy = (
            "Make gold_conll files from it and your copy of OntoNotes 5.0, with "
            "skeleton2conll of conll-formatted-ontonotes-5.0."
        )
    elif not _NAME_CELL.fullmatch(cells[_NAME]) and cells[_NAME] != "-":
        problem = "the name column (11) can't be read"
        remedy = "It has (LABEL*, *, *) or (LABEL)."
    if problem:
        refuse(path, number, problem, remedy)
    return cells


def _read_sentence(
    path: Path, number: int, rows: Sequence[Sequence[str]], notes: Notes
) -> _Tokens:
    """Number is that of the line after the sentence."""
    spans: List[TagSpan] = []
    opened: List[Tuple[int, str]] = []
    for i, row in enumerate(rows):
        line = number - len(rows) + i
        opened += [(i, x) for x in re.findall(r"\(([^()*]+)", row[_NAME])]
        for _ in range(row[_NAME].count(")")):
            if not opened:
                refuse(path, line, "a name ends that has not begun", "Correct column 11.")
            start, label = opened.pop()
            note(notes, NESTED, bool(opened))
            spans += [] if opened else [(start, i + 1, label)]
    if opened:
        refuse(path, number - 1, "a name has no end in its sentence", "Correct column 11.")
    return [row[_WORD] for row in rows], spans


# .name


class _Marked(NamedTuple):
    """A sentence of a `.name` file.

    text (str): Its tokens, separated by one blank.
    names (List[Entity]): The names in it.
    id (str): Its document.
    lang (Optional[str]): Its language.
    """

    text: str
    names: List[Entity]
    id: str
    lang: Optional[str]

    def to_doc(self, nlp: Language, notes: Notes) -> Annotated:
        """RETURNS (Annotated): The sentence, and the names that cut a token."""
        doc = Doc(nlp.vocab, words=self.text.split(" "))
        cut = set_entities(doc, self.names)
        note(notes, INSIDE_TOKEN, len(cut))
        describe(doc, id=self.id, lang=self.lang)
        return doc, cut


def _read_name(path: Path, nlp: Language, notes: Notes) -> Iterator[Annotated]:
    # All of it before the first is given: a file that is refused gives nothing.
    sentences = list(_read_marked_sentences(path, notes))
    if not sentences:
        raise ValueError(Errors.N071.format(path=path))
    for sentence in sentences:
        yield sentence.to_doc(nlp, notes)


def _read_marked_sentences(path: Path, notes: Notes) -> Iterator[_Marked]:
    source: Optional[str] = None
    lang: Optional[str] = None
    number = 0
    for number, line in read_lines(path):
        line = line.strip(" \t")
        begin = _DOC.match(line)
        if begin is not None:
            _check_ended(path, number, source)
            source, lang = begin["id"], _LANGUAGES.get(begin["lang"])
        elif line == "</DOC>":
            source = None
        elif line and source is None:
            refuse(path, number, "text outside a document", 'Put <DOC DOCNO="..."> before.')
        elif line and source is not None:
            yield _Marked(*_read_marked(path, number, line, notes), source, lang)
    _check_ended(path, number + 1, source)


def _read_marked(
    path: Path, number: int, line: str, notes: Notes
) -> Tuple[str, List[Entity]]:
    text, last = "", 0
    names: List[Entity] = []
    opened: List[Tuple[int, str]] = []
    for mark in _ENAMEX.finditer(line):
        text = _append(path, number, text, line[last : mark.start()])
        last = mark.end()
        if mark["attributes"] is not None:
            opened.append((len(text), mark["attributes"]))
        elif not opened:
            refuse(path, number, "</ENAMEX> without <ENAMEX>", "Correct the mark-up.")
        else:
            name = _make_name(path, number, text, *opened.pop())
            note(notes, NESTED, bool(opened))
            names += [] if opened else [name]
    if opened:
        refuse(path, number, "<ENAMEX> without </ENAMEX>", "The line may be cut.")
    return _append(path, number, text, line[last:]), names


def _append(path: Path, number: int, text: str, piece: str) -> str:
    if "<" in piece:
        refuse(path, number, "mark-up other than ENAMEX", "Write &lt; for the sign itself.")
    piece = re.sub("[ \t]+", " ", unescape(piece))
    return text + (piece.lstrip(" ") if text[-1:] in ("", " ") else piece)


def _make_name(path: Path, number: int, text: str, start: int, attributes: str) -> Entity:
    """S_OFF and E_OFF are characters that don't belong to the name, at its start and its
    end, in its first and its last token."""
    found = dict(_ATTRIBUTE.findall(attributes))
    surface = text[start:]
    start += len(surface) - len(surface.lstrip(" ")) + _offset(found.get("S_OFF"))
    end = len(text.rstrip(" ")) - _offset(found.get("E_OFF"))
    if start >= end or not found.get("TYPE"):
        remedy = 'A name is <ENAMEX TYPE="LABEL">tokens</ENAMEX>, offsets inside it.'
        refuse(path, number, "a name without characters or without TYPE", remedy)
    return Entity(start, end, found["TYPE"])


def _offset(value: Optional[str]) -> int:
    return int(value) if value and value.isdecimal() else 0
