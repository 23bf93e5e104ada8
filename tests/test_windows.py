"""Windows and batches: nothing lost, nothing twice, nothing too large."""

import spacy
from hypothesis import given
from hypothesis import strategies as st

from ner_components.windows import Window, make_batches, make_windows, sentence_starts

BLANK = spacy.blank("en")


@given(length=st.integers(0, 3000), context=st.integers(0, 40), inner=st.integers(1, 300))
def test_cores_partition_the_sequence_and_see_their_context(length, context, inner):
    size = 2 * context + inner
    windows = make_windows(length, size, context)
    covered = [i for w in windows for i in range(w.core_start, w.core_end)]
    assert covered == list(range(length))
    for w in windows:
        assert w.end - w.start <= size
        assert w.core_start < w.core_end
        assert w.start <= max(0, w.core_start - context)
        assert w.end >= min(length, w.core_end + context)
        assert w.start >= 0
        assert w.end <= length


def test_windows_by_hand():
    assert make_windows(0, 10, 2) == []
    assert make_windows(10, 10, 2) == [Window(0, 10, 0, 10)]
    # (22 - 4) / (10 - 4) = 3 cores of 6, the outer ones with the ends of the sequence.
    assert make_windows(22, 10, 2) == [
        Window(0, 10, 0, 8),
        Window(6, 16, 8, 14),
        Window(12, 22, 14, 22),
    ]


@given(
    length=st.integers(0, 3000),
    context=st.integers(0, 40),
    inner=st.integers(1, 300),
    stops=st.sets(st.integers(0, 3000)),
)
def test_a_window_sees_its_context_up_to_a_stop(length, context, inner, stops):
    size = 2 * context + inner
    stops = sorted(x for x in stops if x <= length)
    windows = make_windows(length, size, context, stops)
    covered = [i for w in windows for i in range(w.core_start, w.core_end)]
    assert covered == list(range(length))
    borders = {0, length, *stops}
    for w in windows:
        assert w.end - w.start <= size
        assert w.core_start < w.core_end
        assert w.start <= w.core_start - context or w.start in borders
        assert w.end >= w.core_end + context or w.end in borders


def test_windows_with_stops_by_hand():
    # A third of 22 is 7.3: of the stops up to 10 but the first few, 9 is nearest. Half of
    # what is left ends at 15.5.
    assert make_windows(22, 10, 2, [0, 1, 9, 15]) == [
        Window(0, 9, 0, 9),
        Window(9, 15, 9, 15),
        Window(15, 22, 15, 22),
    ]
    # No stop in time: up to 14, and behind it, as if there were none at all.
    assert make_windows(30, 10, 2, [14]) == [
        Window(0, 9, 0, 7),
        Window(5, 14, 7, 14),
        Window(14, 24, 14, 22),
        Window(20, 30, 22, 30),
    ]
    # What fits is not cut.
    assert make_windows(10, 10, 2, [5]) == [Window(0, 10, 0, 10)]


def test_windows_are_balanced():
    """256 items in windows of 250 make two of like size, not one full and one scrap."""
    sizes = [w.end - w.start for w in make_windows(256, 250, 32)]
    assert sizes == [160, 160]


@given(lengths=st.lists(st.integers(0, 400), max_size=60), max_items=st.integers(1, 1000))
def test_batches_hold_each_index_once_and_respect_the_padded_size(lengths, max_items):
    batches = [x.tolist() for x in make_batches(lengths, max_items)]
    assert sorted(i for x in batches for i in x) == list(range(len(lengths)))
    for x in batches:
        padded = max(lengths[i] for i in x) * len(x)
        assert padded <= max_items or len(x) == 1
    in_order = [lengths[i] for x in batches for i in x]
    assert in_order == sorted(lengths)


def test_batches_by_hand():
    lengths = [5, 1, 9, 1, 4]
    assert [x.tolist() for x in make_batches(lengths, 10)] == [[1, 3], [4, 0], [2]]
    assert list(make_batches([], 10)) == []


# Sentences


def starts(text):
    return [text[i : i + 5] for i in sentence_starts(BLANK.make_doc(text)).tolist()]


def test_sentences_by_punctuation():
    text = 'He left. "Who?" She (too.) Was 3.5 m tall e.g. here.\n\nline two\nand three'
    assert starts(text) == ["He le", '"Who?', "She (", "Was 3", "line "]
    assert starts("他来了。她走了！") == ["他来了。她", "她走了！"]


def test_sentences_of_the_pipeline_win():
    doc = BLANK.make_doc("He left. She came too")
    for token in doc:
        token.is_sent_start = token.text in {"He", "too"}
    assert sentence_starts(doc).tolist() == [0, 18]
