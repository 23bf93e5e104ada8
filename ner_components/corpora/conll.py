"""A token per line: columns by tabs or blanks, the tag in one of them.

This reads CoNLL-2003 in every variant of its document headers, WNUT-17, CrossNER and the
files like them. A file is read twice: its tag scheme, and whether it is whole, is only
known at its end, and nothing is given out of a file that is refused.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, List, Optional, Union

from spacy.language import Language

from ..errors import Errors
from .files import Notes, ends_line, note, read_lines, refuse
from .sentences import Annotated, Sentence, join_documents
from .tags import SCHEMES, TagCensus, decode_tags, is_tag

# "-DOCSTART- -X- O O", "-DOCSTART- -X- -X- O", "-DOCSTART- (name)", "-DOCSTART-".
_HEADER = re.compile(r"-DOCSTART-(?:[ \t]+\((?P<name>.+)\)[ \t]*$|[ \t]|$)")
# "# newdoc id = x", "# text = x": comments of CoNLL-U and of the files made from it. A "#"
# that is a token has its tag behind it, not a name and "=".
_COMMENT = re.compile(
    r"#[ ]?(?:newdoc id = (?P<id>\S+)|[\w.]+(?: \w+)? = |newdoc$|newpar$)"
)
# The blanks that separate columns. Others (no-break space, ideographic space) are text.
_BLANKS = " \t\r\n"
EMPTY_TOKEN = "empty token outside entities: dropped"
NO_SENTENCE = "document without sentences: dropped"


@dataclass
class _Rows:
    """The lines of a sentence."""

    words: List[str] = field(default_factory=list)
    tags: List[str] = field(default_factory=list)
    lines: List[int] = field(default_factory=list)
    id: Optional[str] = None
    index: Optional[int] = None


@dataclass(frozen=True)
class Columns:
    """Where things are in a line, counted from 0; negative from the end.

    token (int), tag (int): The columns that are read.
    index (Optional[int]): The column that numbers the tokens of a sentence, if any.
    """

    token: int = 0
    tag: int = -1
    index: Optional[int] = None


def read_conll(
    path: Union[str, Path],
    nlp: Language,
    *,
    notes: Notes = None,
    documents: bool = False,
    scheme: Optional[str] = None,
    columns: Columns = Columns(),
    lang: Optional[str] = None,
) -> Iterator[Annotated]:
    """Read a file with a token per line.

    path (Union[str, Path]): The file, UTF-8. A blank line ends a sentence; a line with
        `-DOCSTART-` in its first column begins a document, whatever else it holds.
    nlp (Language): Its vocabulary is used; tokens are taken as they are.
    notes (Optional[Counter[str]]): What is dropped or repaired is added, by reason.
    documents (bool): Give whole documents with sentences instead of one for each sentence.
    scheme (Optional[str]): IOB1, IOB2, IO, IOBES or BILOU, if you know; by default it is
        found in the tags, and a file that mixes two is refused.
    columns (Columns): Where the token and its tag are.
    lang (Optional[str]): The language code to store with each document.
    YIELDS (Tuple[Doc, List[Entity]]): Each document, and an empty list: no entity is cut.
        Its id is the one in the header (`-DOCSTART- (name)`), else the number of the
        header, from "1"; there is none in a file without headers.
    RAISES (ValueError): A line that can't be read, with its number, or no sentence.
    """
    path = Path(path)
    census = survey(path, columns, scheme)
    for reason, count in census.breaks(scheme and scheme.upper()).items():
        note(notes, reason, count)
    sentences = _sentences(path, columns, notes)
    docs: Iterator[Annotated] = (
        (Sentence(x.words, decode_tags(x.tags), x.id, lang).to_doc(nlp), [])
        for x in sentences
    )
    yield from join_documents(docs) if documents else docs


def survey(
    path: Path, columns: Columns = Columns(), scheme: Optional[str] = None
) -> TagCensus:
    """Read a file with a token per line for its tags alone.

    path (Path): The file.
    columns (Columns): Where the token and its tag are.
    scheme (Optional[str]): The tag scheme, if you know.
    RETURNS (TagCensus): The scheme of the file, and its breaks.
    RAISES (ValueError): As `read_conll`.
    """
    name = scheme and scheme.upper()
    if name is not None and name not in SCHEMES:
        allowed = ", ".join(SCHEMES)
        raise ValueError(Errors.N072.format(name="scheme", value=scheme, allowed=allowed))
    census, labels = TagCensus(), Counter[str]()
    rows = _Rows()
    for rows in _sentences(path, columns, None):
        census.add(rows.tags, rows.lines)
        labels.update(tag[2:] for tag in rows.tags)
    if not census.prefixes:
        raise ValueError(Errors.N071.format(path=path))
    _check_last(path, rows, labels)
    problem = census.problem(name)
    if problem is not None:
        remedy = "Convert each part of the file on its own, or name its `scheme`."
        refuse(path, *problem, remedy)
    return census


def _check_last(path: Path, rows: _Rows, labels: Counter[str]) -> None:
    """A file may be cut inside its last label: PE, where it has PER before."""
    last = rows.tags[-1][2:]
    longer = [x for x in labels if x != last and x.startswith(last)]
    if last and labels[last] == 1 and longer and not ends_line(path):
        remedy = "Copy or download it again, or end the last line with a line feed."
        problem = f"the file seems cut inside the label {last!r} of its last line"
        refuse(path, rows.lines[-1], problem, remedy)


def _sentences(path: Path, columns: Columns, notes: Notes) -> Iterator[_Rows]:
    layout = _Layout(path, columns)
    rows, filled = _Rows(), True
    headers = 0
    for number, line in read_lines(path):
        header = _HEADER.match(line)
        comment = _COMMENT.match(line)
        if comment is None and header is None and line.strip(_BLANKS):
            layout.add(number, line, rows, notes)
            continue
        if rows.words:
            yield rows
            rows, filled = _Rows(id=rows.id), True
        if header is not None:
            note(notes, NO_SENTENCE, not filled)
            headers += 1
            rows, filled = _Rows(id=header["name"] or str(headers)), False
        elif comment is not None and comment["id"]:
            rows.id = comment["id"]
    if rows.words:
        yield rows
    note(notes, NO_SENTENCE, not filled and not rows.words)


class _Layout:
    """How the lines of a file are cut: the first one with a token decides."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path = path
        self.columns = columns
        self.tabs: Optional[bool] = None
        self.width = 0

    def add(self, number: int, line: str, rows: _Rows, notes: Notes) -> None:
        """Add a line to its sentence."""
        cells = self._split(line)
        tag = cells[self.columns.tag].strip(_BLANKS) if self._fit(cells) else ""
        if not is_tag(tag):
            remedy = "Each line is a token, then its tag: O, or B-LABEL, I-LABEL and so on."
            refuse(self.path, number, "no token with an entity tag", remedy)
        self._check_width(number, cells)
        self._check_index(number, cells, rows)
        word = cells[self.columns.token]
        if word.strip(_BLANKS):
            rows.words.append(word)
            rows.tags.append(tag)
            rows.lines.append(number)
        elif tag == "O":
            note(notes, EMPTY_TOKEN)
        else:
            remedy = "Write the token into its column, or remove the line."
            refuse(self.path, number, "an entity tag without a token", remedy)

    def _split(self, line: str) -> List[str]:
        if self.tabs is None:
            self.tabs = "\t" in line
        return line.split("\t") if self.tabs else re.split("[ \t]+", line.strip(_BLANKS))

    def _fit(self, cells: List[str]) -> bool:
        used = [self.columns.token, self.columns.tag, self.columns.index or 0]
        return len(cells) > 1 and len(cells) > max(used)

    def _check_width(self, number: int, cells: List[str]) -> None:
        self.width = self.width or len(cells)
        if len(cells) != self.width:
            problem = f"{len(cells)} columns where the lines before have {self.width}"
            remedy = "Complete the line: all lines have the same columns."
            refuse(self.path, number, problem, remedy)

    def _check_index(self, number: int, cells: List[str], rows: _Rows) -> None:
        if self.columns.index is None:
            return
        index = cells[self.columns.index]
        if not index.isdecimal():
            remedy = "The lines of a sentence are numbered in that column."
            refuse(self.path, number, "no token number", remedy)
        if rows.index is not None and int(index) != rows.index + 1:
            problem = f"token {int(index)} follows token {rows.index}"
            remedy = "Put the missing lines back, or a blank line between sentences."
            refuse(self.path, number, problem, remedy)
        rows.index = int(index)
