"""Cutting work to size: long sequences into windows, many sequences into batches."""

import math
from typing import Iterator, List, NamedTuple, Sequence

import numpy

from .types import Ints1d


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


def make_windows(length: int, size: int, context: int) -> List[Window]:
    """Cut a sequence into windows of about equal length.

    Every item is seen with at least `context` neighbours on each side, as far as the
    sequence has them.

    length (int): Length of the sequence.
    size (int): Most items in a window, more than twice the context.
    context (int): Least number of neighbours on each side.
    RETURNS (List[Window]): The windows, in order.
    """
    if length <= size:
        return [Window(0, length, 0, length)] if length else []
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
