"""Windows and batches: nothing lost, nothing twice, nothing too large."""

from hypothesis import given
from hypothesis import strategies as st

from ner_components.windows import Window, make_batches, make_windows


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
