"""Long documents into windows that fit a model, and the windows' candidates merged."""

import unicodedata
from bisect import bisect_left, bisect_right
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from spacy.tokens import Doc

from ..entities import Candidate

STOPS = ".!?\u3002\uff01\uff1f\u2026\n"
JOINERS = "\u200d\ufe0f\ufe0e"


class Stretch(NamedTuple):
    """Characters of a document, `end` exclusive."""

    start: int
    end: int


class Borders:
    """Places where a document can be cut, the better ones known.

    doc (Doc): The document. Its sentence borders are used if there are any, and ends of
        sentences are guessed by punctuation if not.
    """

    def __init__(self, doc: Doc) -> None:
        self.text = text = doc.text
        known = doc.has_annotation("SENT_START")
        self.tokens: List[int] = []
        self.blanks: List[int] = []
        self.sentences: List[int] = []
        for token in doc[1:]:
            at = token.idx
            self.tokens.append(at)
            if text[at - 1].isspace():
                self.blanks.append(at)
            if token.is_sent_start if known else _ends_sentence(text, at):
                self.sentences.append(at)

    def cut(self, start: int, most: int) -> int:
        """Find where a window best ends.

        start (int): Its first character.
        most (int): The last place where it can end, after `start`.
        RETURNS (int): The end of the last sentence in its second half, or else of the last
            word, or else of any token, or else a place between two characters.
        """
        middle = start + (most - start) // 2
        for places, least in (
            (self.sentences, middle),
            (self.blanks, middle),
            (self.tokens, start),
        ):
            i = bisect_right(places, most) - 1
            if i >= 0 and places[i] > least:
                return places[i]
        return self._between(start, most)

    def back(self, start: int, end: int, overlap: int) -> int:
        """Find where the window after the one from `start` to `end` begins.

        overlap (int): Most characters that both see.
        RETURNS (int): The first token border from there, at most `end`.
        """
        least = max(start + 1, end - overlap)
        i = bisect_left(self.tokens, least)
        if i < len(self.tokens) and self.tokens[i] <= end:
            return self.tokens[i]
        return self._between(start, least)

    def halve(self, stretch: Stretch, overlap: int) -> Optional[Tuple[Stretch, Stretch]]:
        """Cut a window in two.

        stretch (Stretch): The window.
        overlap (int): Most characters that both see; no more than a quarter is shared. A
            token that is not longer than twice this is left whole.
        RETURNS (Optional[Tuple[Stretch, Stretch]]): The halves, `None` if there are none.
        """
        start, end = stretch
        stop = self.cut(start, start + max(1, (end - start) * 5 // 8))
        whole = bisect_right(self.tokens, start) == bisect_left(self.tokens, end)
        if stop >= end or (whole and end - start <= 2 * overlap):
            return None
        begin = self.back(start, stop, min(overlap, (stop - start) // 4))
        return Stretch(start, stop), Stretch(begin, end)

    def _between(self, start: int, at: int) -> int:
        # Not between a letter and its accent, nor inside an emoji, if it can be helped.
        place = at
        while place > start + 1 and _sticks(self.text, place):
            place -= 1
        return at if place == start + 1 else place


def make_windows(
    borders: Borders, fits: Callable[[int, int], bool], overlap: int
) -> List[Stretch]:
    """Cut a document into overlapping windows.

    borders (Borders): Where it can be cut.
    fits (Callable[[int, int], bool]): Whether characters from start to end are few enough
        for a window. What fits fits when it is shortened.
    overlap (int): Most characters that neighbours share.
    RETURNS (List[Stretch]): The windows in order. Those of white space alone are left out.
    """
    text, windows, start = borders.text, [], 0
    while True:
        most = _reach(fits, start, len(text))
        end = len(text) if most == len(text) else borders.cut(start, most)
        if text[start:end].strip():
            windows.append(Stretch(start, end))
        if end == len(text):
            return windows
        start = borders.back(start, end, min(overlap, (end - start) // 2))


class Seen(NamedTuple):
    """What was found in a window."""

    stretch: Stretch
    candidates: List[Candidate]


def merge(text: str, seen: Sequence[Seen]) -> List[Candidate]:
    """Put the candidates of overlapping windows together.

    A candidate that lies on an edge of its window, where it may be cut, is left to another
    window that sees it whole and what is around it. What several windows found counts
    once; what one window found twice stays twice.

    text (str): The document's text.
    seen (Sequence[Seen]): What was found, with offsets in the document.
    RETURNS (List[Candidate]): The candidates.
    """
    merged: List[Candidate] = []
    known: Dict[Tuple[int, int, str], int] = {}
    for stretch, candidates in seen:
        fresh: Set[Tuple[int, int, str]] = set()
        for candidate in candidates:
            start, end = candidate.start_char, candidate.end_char
            if start is None or end is None:
                merged.append(candidate)
                continue
            if _is_cut(text, stretch, start, end) and any(
                x.start <= start < end <= x.end and not _is_cut(text, x, start, end)
                for x, _ in seen
            ):
                continue
            key = (start, end, candidate.label)
            if key in known and key not in fresh:
                merged[known[key]] = _better(merged[known[key]], candidate)
                continue
            fresh.add(key)
            known.setdefault(key, len(merged))
            merged.append(candidate)
    return merged


def _better(first: Candidate, second: Candidate) -> Candidate:
    return second if (second.score or 0.0) > (first.score or 0.0) else first


def _is_cut(text: str, stretch: Stretch, start: int, end: int) -> bool:
    left = stretch.start > 0 and not text[stretch.start : start].strip()
    right = stretch.end < len(text) and not text[end : stretch.end].strip()
    return left or right


def _reach(fits: Callable[[int, int], bool], start: int, end: int) -> int:
    if fits(start, end):
        return end
    low, high = start + 1, end
    while low + 1 < high:
        middle = (low + high) // 2
        if fits(start, middle):
            low = middle
        else:
            high = middle
    return low


def _ends_sentence(text: str, at: int) -> bool:
    before = text[max(0, at - 8) : at]
    last = before.rstrip(" \t\"'\u201d\u2019)")[-1:]
    return bool(last) and last in STOPS


def _sticks(text: str, at: int) -> bool:
    after = text[at]
    return (
        unicodedata.combining(after) > 0
        or after in JOINERS
        or text[at - 1] == "\u200d"
        or 0x1F3FB <= ord(after) <= 0x1F3FF
    )
