"""The JSON of an answer: found in what a model wrote, read with the place of every item."""

import json
import re
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Tuple

# Where an answer can begin. Braces and brackets of prose ("{name}", "[1]") don't.
_START = re.compile(r'\{\s*"|\[\s*\{')
_FENCES = re.compile(r"\s|```(?:json)?")
_BLANK = re.compile(r"[ \t\r\n]*")


class Value(NamedTuple):
    """A value of an answer, and where it stands.

    value (Any): What the decoder made of it; `None` for the two below.
    start (int), end (int): Its characters in the answer.
    pairs (Optional[List[Tuple[str, Value]]]): Members of the answer or of an item.
    rows (Optional[List[Value]]): The items of an answer.
    """

    value: Any
    start: int
    end: int
    pairs: Optional[List[Tuple[str, "Value"]]] = None
    rows: Optional[List["Value"]] = None


def find_rows(text: str) -> Optional[List[Value]]:
    """Find the items of an answer, whatever stands around it.

    text (str): The answer.
    RETURNS (Optional[List[Value]]): Its items, or `None` where there is no answer or
        several that don't say the same.
    RAISES (ValueError, RecursionError): What looks like the answer is broken or too deep.
    """
    if _FENCES.sub("", text) == "[]":
        return []
    answers = list(_answers(text, _after_thoughts(text)))
    if len(answers) > 1:
        said = [[_content(x) for x in rows] for rows in answers]
        if any(x != said[0] for x in said):
            return None
    return answers[0] if answers else None


def _answers(text: str, i: int) -> Iterator[List[Value]]:
    # The first thing that looks like JSON and is broken ends it all: looking inside would
    # take a part of a broken answer for the whole.
    while (start := _START.search(text, i)) is not None:
        value = _read_value(text, start.start(), top=True)
        i = value.end
        rows = [x for key, x in value.pairs or [] if key == "entities"]
        if len(rows) > 1:
            raise ValueError
        if value.rows is not None:
            yield value.rows
        elif rows:
            if rows[0].rows is None:
                raise ValueError
            yield rows[0].rows


def _after_thoughts(text: str) -> int:
    # Chat templates often open the tag themselves, so that only its end is in the answer.
    if text.lstrip()[:1] in ("{", "["):
        return 0
    end = text.rfind("</think>")
    return 0 if end < 0 else end + len("</think>")


def _content(row: Value) -> Any:
    if row.pairs is None:
        return repr(row.value)
    return [(key, repr(x.value)) for key, x in row.pairs]


def _read_value(text: str, i: int, *, top: bool = False) -> Value:
    # Down to the items' members, by hand: for the places, the keys that are there twice
    # and the commas too many. What lies deeper is the decoder's.
    mark = text[i : i + 1]
    if mark == "{":
        pairs, end = _members(text, i, "}", _read_pair if top else _read_flat_pair)
        return Value(None, i, end, pairs=pairs)
    if top and mark == "[":
        rows, end = _members(text, i, "]", _read_row)
        return Value(None, i, end, rows=rows)
    value, end = _DECODER.raw_decode(text, i)
    return Value(value, i, end)


def _read_row(text: str, i: int) -> Tuple[Value, int]:
    value = _read_value(text, i)
    return value, value.end


def _read_pair(text: str, i: int) -> Tuple[Tuple[str, Value], int]:
    key, i = _read_key(text, i)
    if key == "entities" and text[i : i + 1] == "[":
        value = _read_value(text, i, top=True)
        return (key, value), value.end
    found, end = _DECODER.raw_decode(text, i)
    return (key, Value(found, i, end)), end


def _read_flat_pair(text: str, i: int) -> Tuple[Tuple[str, Value], int]:
    key, i = _read_key(text, i)
    found, end = _DECODER.raw_decode(text, i)
    return (key, Value(found, i, end)), end


def _read_key(text: str, i: int) -> Tuple[str, int]:
    key, i = _DECODER.raw_decode(text, i)
    i = _skip(text, i)
    if not isinstance(key, str) or text[i : i + 1] != ":":
        raise ValueError
    return key, _skip(text, i + 1)


def _members(
    text: str, i: int, close: str, read: Callable[[str, int], Tuple[Any, int]]
) -> Tuple[List[Any], int]:
    found = []
    i = _skip(text, i + 1)
    while text[i : i + 1] != close:
        member, i = read(text, i)
        found.append(member)
        i = _skip(text, i)
        if text[i : i + 1] == ",":
            i = _skip(text, i + 1)
        elif text[i : i + 1] != close:
            raise ValueError
    return found, i + 1


def _skip(text: str, i: int) -> int:
    blank = _BLANK.match(text, i)
    return i if blank is None else blank.end()


def _read_int(digits: str) -> int:
    # Python refuses to read 5,000 digits; the first of them are beyond any place too.
    return int(digits[:19])


_DECODER = json.JSONDecoder(strict=False, parse_int=_read_int)
