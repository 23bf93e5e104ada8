"""What a tool's offsets count: code points (Python), UTF-16 units (JavaScript) or
graphemes."""

from itertools import accumulate
from typing import Dict, Iterable, List, Sequence, Tuple

from ..errors import Errors

CODE_POINTS = "code points"
UTF_16 = "utf-16"
GRAPHEMES = "graphemes"
UNITS = (CODE_POINTS, UTF_16, GRAPHEMES)


class OffsetError(ValueError):
    """An offset lies outside of the text, or inside a character."""


def to_code_points(
    text: str, offsets: Sequence[Tuple[int, int]], unit: str
) -> List[Tuple[int, int]]:
    """Convert offsets to those of Python's strings.

    text (str): The text.
    offsets (Sequence[Tuple[int, int]]): Starts and exclusive ends.
    unit (str): What they count, one of `UNITS`.
    RETURNS (List[Tuple[int, int]]): The same as code points.
    RAISES (OffsetError): A pair is empty, or lies outside of the text or inside a
        character.
    """
    if unit == CODE_POINTS or (text.isascii() and unit == UTF_16):
        if not all(0 <= start < end <= len(text) for start, end in offsets):
            raise OffsetError(unit)
        return list(offsets)
    positions = _positions(text, unit)
    try:
        found = [(positions[start], positions[end]) for start, end in offsets]
    except KeyError:
        raise OffsetError(unit) from None
    if not all(start < end for start, end in found):
        raise OffsetError(unit)
    return found


def count_units(text: str, unit: str) -> int:
    """RETURNS (int): The length of a text in a unit."""
    return max(_positions(text, unit))


def _positions(text: str, unit: str) -> Dict[int, int]:
    """RETURNS (Dict[int, int]): The code point at each border of a unit."""
    if unit == CODE_POINTS:
        return {i: i for i in range(len(text) + 1)}
    if unit == UTF_16:
        # Characters beyond the basic plane are two units.
        ends = accumulate((1 + (char > "\uffff") for char in text), initial=0)
        return {end: i for i, end in enumerate(ends)}
    ends = accumulate((len(x) for x in _graphemes(text)), initial=0)
    return dict(enumerate(ends))


def _graphemes(text: str) -> Iterable[str]:
    try:
        import regex
    except ImportError as e:
        raise ImportError(Errors.N113) from e
    found: List[str] = regex.findall(r"\X", text)
    return found
