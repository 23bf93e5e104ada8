"""Text made comparable, with a way back to the characters it came from, and where words
begin and end."""

import re
import unicodedata
from functools import lru_cache
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

Border = Callable[[str, int], bool]

# Characters that show nothing: soft hyphen, zero-width and direction marks.
_UNSEEN = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
# Marks that only choose how the character before them looks.
_SELECTORS = "\u034f\u180b-\u180d\u180f\ufe00-\ufe0f"
_DROPPED = re.compile(f"[{_UNSEEN}{_SELECTORS}]")
# Tags spell out a flag, modifiers are colours of skin: part of the emoji before them.
_EMOJI_TAIL = re.compile("[\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_FLAG_LETTER = re.compile("[\U0001f1e6-\U0001f1ff]")
_JOINER = "\u200d"
# Nobody writes more of these in a row; looking on would make long rows slow.
_FARTHEST = 64
_SIMPLE = {
    **dict.fromkeys("‘’‚‛‹›′`´ʼʹ＇", "'"),
    **dict.fromkeys("“”„‟«»″〝〞〟＂", '"'),
    **dict.fromkeys("‐‑‒–—―−⁃﹘﹣－", "-"),
}
# Han, Hiragana, Katakana, Thai, Lao, Khmer and Myanmar: blocks, not properties, which
# Python doesn't know.
_NO_SPACES = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U000323af"
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"
    "\u0e00-\u0eff\u1780-\u17ff\u19e0-\u19ff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f]"
)


class MappedText(NamedTuple):
    """A text made comparable, and where each of its characters comes from.

    text (str): The comparable text.
    starts (List[int]), ends (List[int]): For each of its characters, the stretch of the
        original that it came from. Characters that came from the same stretch can't be
        taken apart: a letter with its accents, a ligature.
    """

    text: str
    starts: List[int]
    ends: List[int]

    def original(self, start: int, end: int) -> Optional[Tuple[int, int]]:
        """Find where a stretch comes from.

        start (int), end (int): The stretch, not empty.
        RETURNS (Optional[Tuple[int, int]]): First character in the original and one past
            the last, or `None` where the stretch takes only a part of one of them.
        """
        if start > 0 and self.starts[start - 1] == self.starts[start]:
            return None
        if end < len(self.text) and self.starts[end] == self.starts[end - 1]:
            return None
        return self.starts[start], self.ends[end - 1]


def as_it_is(text: str) -> MappedText:
    """RETURNS (MappedText): The text itself."""
    return MappedText(text, list(range(len(text))), list(range(1, len(text) + 1)))


def normalise(text: str) -> MappedText:
    """Make a text comparable: NFKC, plain quotes and dashes, characters that show nothing
    left out, white space in a row as one blank.

    text (str): The text.
    RETURNS (MappedText): Its normal form, mapped back.
    """
    return _mapped((_nfkc(unit), start, end) for unit, start, end in _units(text))


def casefold(text: str) -> MappedText:
    """Make a text comparable as `normalise` does, and without regard to case: Unicode's
    full case folding, where "ß" is "ss" and "İ" an "i" with a dot above.

    text (str): The text.
    RETURNS (MappedText): Its folded form, mapped back.
    """
    return _mapped((_folded(unit), start, end) for unit, start, end in _units(text))


def is_border(text: str, i: int) -> bool:
    """Tell whether a word can begin or end at a place.

    It can't between two letters, digits or marks; characters that show nothing are looked
    through. Scripts written without spaces (Han, Hiragana, Katakana, Thai, Lao, Khmer,
    Myanmar) have a border between any two characters, and against every other script.
    Korean particles, written to their noun, have none. No border is inside what is seen
    as one character: a letter and its marks, a syllable, an emoji of several.

    text (str): The text.
    i (int): The place: before the character of this number, 0 to the text's length.
    RETURNS (bool): Whether there is a border.
    """
    if i <= 0 or i >= len(text):
        return True
    if _is_inside_character(text, i):
        return False
    left, right = _seen(text, i - 1, -1), _seen(text, i, 1)
    if not _is_word(left) or not _is_word(right):
        return True
    return any(_NO_SPACES.match(x) is not None for x in (left, right))


def _units(text: str) -> Iterator[Tuple[str, int, int]]:
    # Stretches that can be normalised each alone, with the same result as the whole.
    unit, start, end, blank = "", 0, 0, False
    for i, c in enumerate(text):
        if _DROPPED.match(c) is not None:
            if unit and not blank and end == i and unicodedata.category(c)[0] == "M":
                end = i + 1
            continue
        c, is_blank = _SIMPLE.get(c, c), c.isspace()
        if unit and ((is_blank and blank) or (not is_blank and _joins(c))):
            unit, end = (" " if is_blank else unit + c), i + 1
            blank = is_blank
            continue
        if unit:
            yield unit, start, end
        unit, start, end, blank = (" " if is_blank else c), i, i + 1, is_blank
    if unit:
        yield unit, start, end


def _mapped(units: Iterator[Tuple[str, int, int]]) -> MappedText:
    parts: List[str] = []
    starts: List[int] = []
    ends: List[int] = []
    for part, start, end in units:
        parts.append(part)
        starts += [start] * len(part)
        ends += [end] * len(part)
    return MappedText("".join(parts), starts, ends)


@lru_cache(maxsize=4096)
def _joins(c: str) -> bool:
    # What can melt with the character before: marks, and the vowels and finals of Hangul
    # syllables, in all their widths.
    first = unicodedata.normalize("NFKC", c)[:1]
    return _is_tail(first)


def _is_tail(c: str) -> bool:
    is_jamo = "\u1160" <= c <= "\u11ff" or "\ud7b0" <= c <= "\ud7ff"
    return is_jamo or unicodedata.category(c)[0] == "M" or bool(_EMOJI_TAIL.match(c))


@lru_cache(maxsize=65536)
def _nfkc(unit: str) -> str:
    return unicodedata.normalize("NFKC", unit)


@lru_cache(maxsize=65536)
def _folded(unit: str) -> str:
    return _nfkc(_nfkc(unit).casefold())


def _is_inside_character(text: str, i: int) -> bool:
    before, after = text[i - 1], text[i]
    if _JOINER in (before, after) or _is_tail(after):
        return True
    if _FLAG_LETTER.match(before) is None or _FLAG_LETTER.match(after) is None:
        return False
    return _letters_before(text, i) % 2 == 1


def _letters_before(text: str, i: int) -> int:
    count = 0
    while count < min(i, _FARTHEST) and _FLAG_LETTER.match(text[i - 1 - count]) is not None:
        count += 1
    return count


def _seen(text: str, i: int, step: int) -> str:
    for k in range(i, i + step * _FARTHEST, step):
        if not 0 <= k < len(text):
            return ""
        if _DROPPED.match(text[k]) is None:
            return text[k]
    return ""


def _is_word(c: str) -> bool:
    return bool(c) and unicodedata.category(c)[0] in "LNM"
