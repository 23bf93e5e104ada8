"""Long documents into windows of words: at sentence ends, within the model's limits.

Words are those of the model's own splitter, not spaCy's tokens: the model was trained on
them ("state-of-the-art" is one word, "U.S." four), so its answers are those of the gliner
library. Offsets are exact either way, because a word knows its characters; an entity that
cuts a token of spaCy's is rejected as misaligned, or aligned as the settings say.
"""

from typing import List, NamedTuple

import numpy

from ..types import Ints1d


class WordWindow(NamedTuple):
    """A stretch of a document's words.

    start (int), end (int): What the model sees: first word, and one past the last.
    prev_end (int): One past the last word of the window before, 0 without one.
    next_start (int): First word of the window behind, the number of words without one.
    """

    start: int
    end: int
    prev_end: int
    next_start: int


def make_word_windows(
    pieces: Ints1d, first_words: Ints1d, size: int, overlap: int, limit: int, room: int
) -> List[WordWindow]:
    """Cut a document into windows that overlap.

    Every stretch of fewer words than the overlap that fits into the room is seen whole by
    some window. Starts and ends both grow from window to window.

    pieces (Ints1d): Word pieces of each word, none above the room.
    first_words (Ints1d): Words that begin a sentence, in order.
    size (int): Most words wanted in a window, at least twice the overlap. A sentence that
        is longer stays whole as far as the model can take it.
    overlap (int): Least number of words that neighbours share, if they fit into the room.
    limit (int): Most words that the model takes, at least the size.
    room (int): Most word pieces that the model takes.
    RETURNS (List[WordWindow]): The windows, in order.
    """
    count = len(pieces)
    total = numpy.concatenate([[0], numpy.cumsum(pieces)])
    borders = numpy.append(first_words, count)
    starts: List[int] = []
    ends: List[int] = []
    while not ends or ends[-1] < count:
        if not count:
            return []
        start = _find_start(borders, total, starts, ends, overlap, room)
        fits = int(numpy.searchsorted(total, total[start] + room, side="right")) - 1
        most = min(start + limit, fits)
        least = max(start + overlap, ends[-1] if ends else 0)
        starts.append(start)
        ends.append(_find_end(borders, start, least, min(start + size, most), most))
    befores, behinds = [0, *ends[:-1]], [*starts[1:], count]
    rows = zip(starts, ends, befores, behinds, strict=True)
    return [WordWindow(*row) for row in rows]


def counts_here(window: WordWindow, first: Ints1d, last: Ints1d) -> Ints1d:
    """Tell which spans a window answers for. A span that touches an edge may be part of
    something longer: the neighbour decides if it sees the span away from its own edges.

    window (WordWindow): The window, or the window of each span, column by column.
    first (Ints1d), last (Ints1d): First word of each span and one past its last.
    RETURNS (Ints1d): Whether each span counts.
    """
    at_left = (first == window.start) & (last < window.prev_end)
    at_right = (last == window.end) & (first > window.next_start)
    return ~(at_left | at_right)


def _find_end(borders: Ints1d, start: int, least: int, wanted: int, most: int) -> int:
    """RETURNS (int): The last sentence end that is above the least and within what is
    wanted, else that of a long sentence which began in the window and which the model can
    take, else what is wanted."""
    at = int(numpy.searchsorted(borders, wanted, side="right"))
    if at and borders[at - 1] > least:
        return int(borders[at - 1])
    if at < len(borders) and borders[at] <= most and at and borders[at - 1] >= start:
        return int(borders[at])
    return wanted


def _find_start(
    borders: Ints1d,
    total: Ints1d,
    starts: List[int],
    ends: List[int],
    overlap: int,
    room: int,
) -> int:
    """RETURNS (int): The begin of a sentence, if one is near, so that the overlap is at
    least what was asked and at most twice that; the window can reach beyond the last."""
    if not ends:
        return 0
    start, end = starts[-1], ends[-1]
    least = int(numpy.searchsorted(total, total[end + 1] - room))
    least = max(start + 1, least, end - 2 * overlap + 1)
    wanted = max(least, end - overlap)
    at = int(numpy.searchsorted(borders, wanted, side="right"))
    if at and borders[at - 1] >= least:
        return int(borders[at - 1])
    return wanted
