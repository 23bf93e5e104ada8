"""Cutting work to size: long sequences into windows, many sequences into batches."""

import math
import re
from bisect import bisect_right
from typing import Iterator, List, NamedTuple, Sequence

import numpy
from spacy.tokens import Doc

from .types import Ints1d

# A full stop or the like, closing quotes, and white space before anything but a small
# letter; a CJK full stop; an empty line. Single line breaks may be only typography.
_SENTENCE_END = re.compile(
    "[.!?…]+[\"'”’»)\\]]*\\s+(?=\\S)|[。！？]+[」』”’]*|\\n[^\\S\\n]*\\n\\s*"
)


class Window(NamedTuple):
    """A stretch of a sequence, and the part of it whose results count.

    start (int), end (int): What the model sees.
    core_start (int), core_end (int): What this window answers for. The cores of a
        sequence's windows follow one another without gap or overlap.
    """

    start: int
    end: int
    core_start: int
    core_end: int


def sentence_starts(doc: Doc) -> Ints1d:
    """Find where sentences begin: as the pipeline says, or else by punctuation.

    doc (Doc): The document.
    RETURNS (Ints1d): First character of each sentence, in order.
    """
    if doc.has_annotation("SENT_START"):
        return numpy.asarray([x.start_char for x in doc.sents], dtype="int64")
    text = doc.text
    found = [
        m.end()
        for m in _SENTENCE_END.finditer(text)
        if m.end() < len(text)
        and (m.group().count("\n") > 1 or not text[m.end()].islower())
    ]
    return numpy.asarray([0, *found], dtype="int64")


def make_windows(
    length: int, size: int, context: int, stops: Sequence[int] = ()
) -> List[Window]:
    """Cut a sequence into windows, where it stops if it does in time.

    Windows on both sides of a stop share nothing. Elsewhere every item is seen with at
    least `context` neighbours on each side, as far as there are some before a stop.

    length (int): Length of the sequence.
    size (int): Most items in a window, more than twice the context.
    context (int): Least number of neighbours on each side.
    stops (Sequence[int]): Places where it may be cut without loss, ascending: an item
        that begins a sentence.
    RETURNS (List[Window]): The windows, in order.
    """
    windows: List[Window] = []
    start = 0
    while start < length:
        end = _choose_stop(start, length, size, stops)
        for w in _overlapping(end - start, size, context):
            windows.append(Window(*(start + x for x in w)))
        start = end
    return windows


def _choose_stop(start: int, length: int, size: int, stops: Sequence[int]) -> int:
    """RETURNS (int): The stop that makes windows of about equal length, else the first
    that is more than a window away, else the sequence's end."""
    rest = length - start
    if rest <= size:
        return length
    equal = start + rest / math.ceil(rest / size)
    # A window of a few items would see too little.
    first = bisect_right(stops, start + size // 4)
    beyond = bisect_right(stops, start + size)
    if first < beyond:
        return min(stops[first:beyond], key=lambda stop: abs(stop - equal))
    return stops[beyond] if beyond < len(stops) else length


def _overlapping(length: int, size: int, context: int) -> List[Window]:
    """RETURNS (List[Window]): Windows of about equal length that share their context."""
    if length <= size:
        return [Window(0, length, 0, length)]
    count = math.ceil((length - 2 * context) / (size - 2 * context))
    inner = (length - 2 * context) / count
    # The edges of the cores; the first and the last core take in the sequence's ends.
    edges = [context + round(i * inner) for i in range(count + 1)]
    windows = []
    for i in range(count):
        core_start = 0 if i == 0 else edges[i]
        core_end = length if i == count - 1 else edges[i + 1]
        windows.append(
            Window(edges[i] - context, edges[i + 1] + context, core_start, core_end)
        )
    return windows


def make_batches(lengths: Sequence[int], max_items: int) -> Iterator[Ints1d]:
    """Group sequences of like length so that no batch is larger than asked, padded.

    lengths (Sequence[int]): Length of each sequence.
    max_items (int): Most items in a batch, padding counted in. A longer sequence is a
        batch of its own.
    YIELDS (Ints1d): Positions in `lengths`, shortest sequences first.
    """
    order = numpy.argsort(numpy.asarray(lengths, dtype="int64"), kind="stable")
    first = 0
    for i in range(len(order)):
        if i > first and lengths[order[i]] * (i - first + 1) > max_items:
            yield order[first:i]
            first = i
    if first < len(order):
        yield order[first:]
