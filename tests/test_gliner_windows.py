"""Words, windows, prompts and spans of `ner_gliner`, without a model: nothing lost,
nothing twice, nothing too large."""

from itertools import pairwise

import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from ner_components.gliner.candidates import Spans, join_spans, merge_spans
from ner_components.gliner.prompts import make_groups, make_prompts
from ner_components.gliner.windows import (
    WordWindow,
    counts_here,
    make_word_windows,
)
from ner_components.schema import EntitySchema

BLANK = spacy.blank("en")

# Sizes of words, words that begin a sentence, widest entity.
DOCUMENTS = st.tuples(
    st.lists(st.integers(1, 12), max_size=150),
    st.sets(st.integers(0, 150)),
    st.integers(1, 12),
    st.integers(0, 80),
    st.integers(12, 300),
)


def windows_of(document):
    pieces, firsts, width, size, room = document
    overlap = width + 1
    size = max(size, 2 * overlap)
    firsts = sorted({0, *(i for i in firsts if i < len(pieces))})
    found = make_word_windows(
        numpy.asarray(pieces, dtype="int64"),
        numpy.asarray(firsts, dtype="int64"),
        size,
        overlap,
        max(size, 90),
        room,
    )
    return pieces, width, room, max(size, 90), found


@given(DOCUMENTS)
def test_windows_cover_the_document_get_on_and_fit_the_model(document):
    pieces, _, room, limit, windows = windows_of(document)
    assert {i for w in windows for i in range(w.start, w.end)} == set(range(len(pieces)))
    for w in windows:
        assert 0 < w.end - w.start <= limit
        assert sum(pieces[w.start : w.end]) <= room
    for a, b in pairwise(windows):
        assert a.start < b.start <= a.end < b.end
        assert (a.next_start, b.prev_end) == (b.start, a.end)


@given(DOCUMENTS)
def test_every_span_that_fits_is_answered_for_by_a_window_that_sees_it_whole(document):
    pieces, width, room, _, windows = windows_of(document)
    answered = set()
    for w in windows:
        spans = [
            (a, b)
            for a in range(w.start, w.end)
            for b in range(a + 1, min(a + width, w.end) + 1)
        ]
        first, last = numpy.asarray(spans).T
        here = counts_here(w, first, last)
        answered.update(x for x, counts in zip(spans, here, strict=True) if counts)
    wanted = {
        (a, b)
        for a in range(len(pieces))
        for b in range(a + 1, min(a + width, len(pieces)) + 1)
        if sum(pieces[a:b]) <= room
    }
    assert wanted <= answered


def test_windows_by_hand():
    one = numpy.ones(30, dtype="int64")
    firsts = numpy.asarray([0, 7, 18, 25])
    # Ten words are wanted and twelve fit. 7 is the last sentence end within ten; no other
    # is in reach of 3, so the size cuts; the sentences of 11 and 12 words from 7 and 18 on
    # stay whole. Windows begin with a sentence where that costs no more than 8 words.
    assert make_word_windows(one, firsts, 10, 4, 12, 100) == [
        WordWindow(0, 7, 0, 3),
        WordWindow(3, 13, 7, 7),
        WordWindow(7, 18, 13, 14),
        WordWindow(14, 25, 18, 18),
        WordWindow(18, 30, 25, 30),
    ]


def test_no_words_make_no_windows_and_few_make_one():
    none = numpy.zeros(0, dtype="int64")
    assert make_word_windows(none, none, 10, 3, 20, 50) == []
    few = numpy.ones(5, dtype="int64")
    assert make_word_windows(few, none, 10, 3, 20, 50) == [WordWindow(0, 5, 0, 5)]


def test_an_edge_that_the_neighbour_sees_past_does_not_count():
    window = WordWindow(10, 20, 14, 16)
    first = numpy.asarray([10, 10, 11, 18, 16, 15])
    last = numpy.asarray([12, 14, 12, 20, 20, 20])
    # Touching the left edge: seen past by the one before, unless it ends where that ends.
    # Touching the right edge: likewise, unless it begins where the one behind begins.
    assert counts_here(window, first, last).tolist() == [
        False,
        True,
        True,
        False,
        True,
        True,
    ]


# Prompts


def schema(*labels):
    return EntitySchema.from_labels(list(labels))


def test_prompts_are_aliases_or_plain_words():
    labels = schema(
        "WORK_OF_ART", {"name": "ORG", "aliases": ["organization", "firm"]}, "Person"
    )
    assert make_prompts(labels, "alias") == ["work of art", "organization", "person"]
    assert make_prompts(labels, "name") == ["WORK_OF_ART", "ORG", "Person"]
    described = schema({"name": "ORG", "description": " a company "})
    assert make_prompts(described, "description") == ["a company"]


def test_prompts_that_can_not_be_told_apart():
    with pytest.raises(
        ValueError, match=r"'A_B' and 'a b' would both be shown to the model as \"a b\""
    ):
        make_prompts(schema("A_B", "a b"), "alias")
    with pytest.raises(ValueError, match="The label 'ORG' has no description"):
        make_prompts(schema("ORG"), "description")


@given(st.lists(st.integers(1, 20), min_size=1, max_size=80), st.integers(20, 100))
def test_groups_hold_every_label_once_and_fit(lengths, room):
    groups = make_groups(lengths, room)
    assert [i for a, b in groups for i in range(a, b)] == list(range(len(lengths)))
    assert all(a < b for a, b in groups)
    assert all(sum(lengths[a:b]) <= room for a, b in groups)


def test_groups_are_balanced():
    assert make_groups([4] * 30, 100) == [(0, 15), (15, 30)]
    assert make_groups([4] * 25, 100) == [(0, 25)]


# Merging

ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 5),
        st.integers(1, 3),
        st.integers(0, 3),
        st.integers(1, 9),
    ),
    max_size=60,
)


def to_spans(rows):
    if not rows:
        return join_spans([])
    docs, first, width, labels, scores = numpy.asarray(rows).T
    return Spans(docs, first, first + width, labels, scores / 10)


@given(ROWS, st.integers(1, 6))
def test_merging_counts_a_span_once_with_its_best_score(rows, most):
    best = {}
    for doc, first, width, label, score in rows:
        key = (doc, first, first + width, label)
        best[key] = max(score / 10, best.get(key, 0))
    merged, left_out = merge_spans(to_spans(rows), most)
    found = dict(zip(zip(*merged[:4], strict=True), merged.scores, strict=True))
    assert len(found) == len(merged.docs)
    assert len(found) + len(left_out) == len(best)
    assert all(best[key] == score for key, score in found.items())
    for doc, first in {(doc, first) for doc, first, *_ in best}:
        here = sorted((s for k, s in best.items() if k[:2] == (doc, first)), reverse=True)
        kept = sorted((s for k, s in found.items() if k[:2] == (doc, first)), reverse=True)
        assert kept == here[:most]
        assert left_out.tolist().count(doc) >= len(here) - len(kept)
