import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from ner_components.evaluation import metrics
from ner_components.evaluation.metrics import SpanScore, bootstrap_f, count_spans

TAGS = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), min_size=1, max_size=12)


def _legal(tags):
    """Stray I- tags become B-, so that seqeval and we read the same entities."""
    result = []
    for tag in tags:
        if tag[0] == "I" and (not result or result[-1][1:] != tag[1:]):
            tag = "B" + tag[1:]
        result.append(tag)
    return result


def _spans(tags):
    spans = []
    for i, tag in enumerate(tags):
        if tag[0] == "B":
            spans.append([i, i + 1, tag[2:]])
        elif tag[0] == "I":
            spans[-1][1] = i + 1
    return [tuple(span) for span in spans]


def test_a_worked_example():
    gold = [(0, 3, "ORG"), (5, 9, "PERSON"), (12, 15, "ORG")]
    predicted = [(0, 3, "ORG"), (5, 9, "ORG"), (12, 14, "ORG"), (20, 22, "ORG")]
    score = count_spans(gold, predicted)
    assert score == SpanScore(right=1, predicted=4, gold=3)
    assert (score.p, score.r, score.f) == (1 / 4, 1 / 3, 2 / 7)


def test_nothing_to_find_and_nothing_found():
    assert (SpanScore().p, SpanScore().r, SpanScore().f) == (0.0, 0.0, 0.0)
    assert count_spans([], [(0, 1, "A")]) == SpanScore(0, 1, 0)
    assert count_spans([(0, 1, "A")], []) == SpanScore(0, 0, 1)
    # Given twice, counted once
    assert count_spans([(0, 1, "A")], [(0, 1, "A")] * 2) == SpanScore(1, 1, 1)


def test_counts_add_up():
    assert SpanScore(1, 2, 3) + SpanScore(4, 5, 6) == SpanScore(5, 7, 9)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=5))
def test_micro_scores_are_those_of_seqeval(pairs):
    pairs = [(_legal(a[: len(b)]), _legal(b[: len(a)])) for a, b in pairs]
    scores = [count_spans(_spans(gold), _spans(predicted)) for gold, predicted in pairs]
    score = sum(scores, SpanScore())
    gold, predicted = ([list(x) for x in side] for side in zip(*pairs, strict=True))
    kwargs = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    if score.gold and score.predicted:
        assert score.p == pytest.approx(precision_score(gold, predicted, **kwargs), abs=0)
        assert score.r == pytest.approx(recall_score(gold, predicted, **kwargs), abs=0)
        assert score.f == pytest.approx(f1_score(gold, predicted, **kwargs), abs=1e-15)
    else:
        assert score.f == 0.0


def test_an_interval_without_variance_is_a_point():
    assert bootstrap_f([SpanScore(1, 2, 2)] * 7) == (0.5, 0.5)


def test_an_interval_of_two_documents_by_hand():
    # Draws of two documents: both first (F1 1, p 1/4), both second (F1 0, p 1/4), one each
    # (F1 2 * 1 / 4). So the 2.5th percentile is 0 and the 97.5th is 1.
    scores = [SpanScore(1, 1, 1), SpanScore(0, 1, 1)]
    assert bootstrap_f(scores) == (0.0, 1.0)
    # The quartiles of such draws lie on the middle of 0, 0.5 and 1.
    low, high = bootstrap_f(scores, confidence=0.4)
    assert (low, high) == (0.5, 0.5)


def test_the_interval_covers_the_truth():
    """Documents of one entity each, found with probability 0.6 (and always predicted): F1 is
    the share found, so 0.6 should lie in about 95 of 100 intervals."""
    rng = numpy.random.default_rng(1)
    inside = 0
    for trial in range(300):
        found = rng.random(200) < 0.6
        scores = [SpanScore(int(x), 1, 1) for x in found]
        low, high = bootstrap_f(scores, resamples=400, seed=trial)
        inside += low <= 0.6 <= high
    assert 0.92 <= inside / 300 <= 0.98


def test_an_interval_needs_a_document():
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_f([])


def test_the_docstring_example():
    import doctest

    assert doctest.testmod(metrics).attempted > 0
    assert doctest.testmod(metrics).failed == 0
