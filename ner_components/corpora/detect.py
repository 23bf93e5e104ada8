"""The format of a file by its first lines, told where it can't be told wrong."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple, Union

from ..errors import Errors
from .files import read_lines
from .jsonl import detect_jsonl
from .tag_ids import ORDERS, TOKEN_FIELDS, find_names, tag_field
from .tags import is_tag

_LOOK_AT = 200
# Lines of columns that hold no token.
_NO_TOKEN = ("-DOCSTART-", "# ")
_MULTINERD = {x[2:] for x in ORDERS["multinerd"]["tner"]} - {""}
_COMMON = {"PER", "ORG", "LOC"}
# Numbers above this are no tags of the other sets that come with a language and tag
# numbers (WikiNEuRal has 0 to 8), and a few sentences of MultiNERD have them.
_ONLY_MULTINERD = 8


def detect_format(path: Union[str, Path], known: Sequence[str]) -> str:
    """Tell the format of a file.

    path (Union[str, Path]): The file.
    known (Sequence[str]): The names of all formats.
    RETURNS (str): One of them.
    RAISES (ValueError): No format, or more than one, looks like the file.
    """
    path = Path(path)
    if path.suffix == ".spacy":
        return "docbin"
    names, problem = _candidates(path, _first_lines(path))
    if len(names) == 1 and not problem:
        return names[0]
    allowed = ", ".join(names or known)
    problem = problem or "its first lines are in none of the formats"
    raise ValueError(Errors.N073.format(path=path, problem=problem, allowed=allowed))


def _first_lines(path: Path) -> List[str]:
    lines: List[str] = []
    for _, line in read_lines(path):
        if line.strip():
            lines.append(line)
        if len(lines) == _LOOK_AT:
            break
    if not lines:
        raise ValueError(Errors.N071.format(path=path))
    return lines


def _candidates(path: Path, lines: List[str]) -> Tuple[List[str], str]:
    """The formats a file may be in, and what keeps it from being clear."""
    first = lines[0].lstrip()
    if first.startswith("==="):
        return ["markup"], ""
    if first.startswith(("<DOC", "#begin document")):
        return ["ontonotes"], ""
    if first[0] in "{[":
        return _of_json(path, lines)
    return _of_tokens(lines)


def _of_tokens(lines: List[str]) -> Tuple[List[str], str]:
    rows = [
        x.split("\t") if "\t" in x else x.split()
        for x in lines
        if not x.startswith(_NO_TOKEN)
    ]
    numbered = all(len(x) > 2 and x[0].isdecimal() and is_tag(x[2].strip()) for x in rows)
    if rows and numbered and _counts([int(x[0]) for x in rows]):
        return _of_numbered(rows)
    if any(len(x) > 1 and is_tag(x[-1].strip()) for x in rows[:1]):
        return ["conll"], ""
    return [], ""


def _of_numbered(rows: Sequence[Sequence[str]]) -> Tuple[List[str], str]:
    """Other sets are written as MultiNERD is, and must keep their duplicates."""
    labels = {x[2].strip()[2:] for x in rows} - {""}
    if len(rows[0]) > 3 or not labels <= _MULTINERD:
        return ["uner"], ""
    if labels - _COMMON:
        return ["multinerd"], ""
    return ["multinerd", "uner"], "numbered tokens, and labels that every corpus has"


def _counts(numbers: List[int]) -> bool:
    """Whether these number tokens: each is one more than the one before, or the first."""
    first = numbers[0]
    return first in (0, 1) and all(b in (a + 1, first) for a, b in pairwise(numbers))


def _of_json(path: Path, lines: Sequence[str]) -> Tuple[List[str], str]:
    try:
        data = json.loads(lines[0])
    except ValueError:
        data = _read_list(path) if lines[0].lstrip()[0] == "[" else None
    record = data[0] if isinstance(data, list) and data else data
    if detect_jsonl(data) or detect_jsonl(record):
        return ["jsonl"], ""
    if not isinstance(record, dict) or isinstance(data, list):
        return [], ""
    if "document_id" in record and "sentences" in record:
        return ["ontonotes"], ""
    if not any(isinstance(record.get(x), list) for x in TOKEN_FIELDS):
        return [], ""
    return _of_tags(path, lines, record) if tag_field(record) else ([], "")


def _read_list(path: Path) -> Any:
    """A list over several lines, as Label Studio exports it."""
    try:
        return json.loads("\n".join(line for _, line in read_lines(path)))
    except ValueError:
        return None


def _of_tags(
    path: Path, lines: Sequence[str], record: Dict[str, Any]
) -> Tuple[List[str], str]:
    tags = record[str(tag_field(record))]
    if any(isinstance(x, str) for x in tags) or find_names(path):
        return ["tags"], ""
    if "lang" in record and _highest(lines) > _ONLY_MULTINERD:
        return ["multinerd"], ""
    problem = "its tags are numbers, and what they mean is not in the file"
    return ["multinerd", "ontonotes", "tags"], problem


def _highest(lines: Sequence[str]) -> int:
    highest = -1
    for line in lines:
        try:
            record = json.loads(line)
            highest = max([highest, *record[str(tag_field(record))]])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # the reader will refuse it with its number
    return highest
