"""Intervals and tests by document: by hand, against scipy, and in simulation."""

import numpy
import pytest
from scipy import stats
from test_metrics import example

from ner_components.evaluation.metrics import (
    CountTable,
    DocumentCounts,
    Evaluation,
    SpanScore,
    compare,
    evaluate,
    evaluate_spans,
    interval,
)
from ner_components.evaluation.resampling import METHODS, draw, macro_f, ratio, swap
from ner_components.evaluation.statistics import METRICS

RIGHT, WRONG = [(0, 1, "A")], [(0, 1, "B")]


def make_evaluation(counts, ids=None, label="A"):
    """counts: (right, predicted, gold) of each document."""
    ids = ids or [None] * len(counts)
    return Evaluation(
        tuple(
            DocumentCounts(id=i, labels={label: SpanScore(*map(int, x))})
            for i, x in zip(ids, counts, strict=True)
        )
    )


def found(*rights):
    """One entity a document, always predicted: F1 is the share of right ones."""
    return make_evaluation([(x, 1, 1) for x in rights])


def test_the_jackknife_by_hand():
    # Of n documents m are right: leaving one out gives the variance p (1 - p) / (n - 1).
    n, m = 60, 45
    p = m / n
    result = interval(found(*[1] * m, *[0] * (n - m)))
    away = numpy.array([1 - p] * m + [-p] * (n - m)) / (n - 1)
    variance = p * (1 - p) / (n - 1)
    assert (n - 1) / n * (away**2).sum() == pytest.approx(variance)
    freedom = min(3 * (away**2).sum() ** 2 / (away**4).sum(), n - 1)
    assert freedom == n - 1
    reach = stats.t.ppf(0.975, freedom) * variance**0.5 / (p * (1 - p))
    logit = numpy.log(p / (1 - p))
    expected = 1 / (1 + numpy.exp(-(logit + numpy.array([-reach, reach]))))
    assert (result.low, result.high) == pytest.approx(tuple(expected), rel=1e-9)
    assert (result.value, result.documents, result.reliable) == (p, n, True)


def test_one_document_that_outweighs_the_others_leaves_few_degrees_of_freedom():
    counts = [(40, 100, 100)] + [(1, 1, 1)] * 50 + [(0, 1, 1)] * 9
    one = interval(make_evaluation(counts))
    table = CountTable(
        numpy.array([[[(2 * r, p + g) for r, p, g in counts]]], float), ratio
    )
    away = table.left_out.mean() - table.left_out
    freedom = 3 * (away**2).sum() ** 2 / (away**4).sum()
    assert 1 < freedom < 5
    spread = (59 / 60 * (away**2).sum()) ** 0.5 / (one.value * (1 - one.value))
    logit = numpy.log(one.value / (1 - one.value))
    reach = stats.t.ppf(0.975, freedom) * spread
    assert numpy.log(one.high / (1 - one.high)) - logit == pytest.approx(reach)


@pytest.mark.parametrize("method", METHODS)
def test_an_interval_without_variance_is_a_point_and_unreliable(method):
    for evaluation, value in ((found(*[1] * 80), 1.0), (found(*[0] * 80), 0.0)):
        result = interval(evaluation, method=method)
        assert (result.low, result.value, result.high) == (value,) * 3
        assert not result.reliable
    one = interval(found(1), method=method)
    assert (one.low, one.high, one.reliable) == (1.0, 1.0, False)


def test_the_percentile_interval_of_two_documents_by_hand():
    # Both times the first (F1 1, p 1/4), both times the second (0, p 1/4), one each (1/2).
    evaluation = found(1, 0)
    result = interval(evaluation, method="percentile")
    assert (result.low, result.high) == (0.0, 1.0)
    result = interval(evaluation, method="percentile", confidence=0.4)
    assert (result.low, result.high) == (0.5, 0.5)
    assert not result.reliable


def test_bca_and_basic_against_scipy():
    rng = numpy.random.default_rng(0)
    gold = rng.poisson(9, 120) + 1
    counts = [(rng.binomial(g, 0.8), g, g) for g in gold]
    above, below = (numpy.array([x[i] for x in counts], float) for i in (0, 1))
    for method, name in (("bca", "BCa"), ("basic", "basic"), ("percentile", "percentile")):
        theirs = stats.bootstrap(
            (above, below),
            lambda x, y, axis: x.sum(axis) / y.sum(axis),
            paired=True,
            n_resamples=4000,
            method=name,
            rng=numpy.random.default_rng(1),
            vectorized=True,
        ).confidence_interval
        mine = interval(make_evaluation(counts), method=method, resamples=4000)
        # Two sets of 4,000 draws: their percentiles differ by chance.
        width = theirs.high - theirs.low
        assert mine.low == pytest.approx(theirs.low, abs=0.05 * width)
        assert mine.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_draws_are_whole_documents():
    counts = numpy.array([[[[2.0, 2.0], [0.0, 2.0], [2.0, 4.0]]]])
    table = CountTable(counts, ratio)
    times = numpy.random.default_rng(7).multinomial(3, [1 / 3] * 3, size=200)
    expected = [(t @ counts[0, 0])[0] / (t @ counts[0, 0])[1] for t in times]
    assert draw(table, 200, 7).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("method", METHODS)
def test_sentences_of_one_document_are_drawn_together(method):
    rng = numpy.random.default_rng(0)
    counts = [(r, 4, 4) for r in rng.integers(0, 5, 60)]
    ids = [f"d-{i % 20}" for i in range(60)]
    whole = [tuple(sum(x) for x in zip(*counts[i::20], strict=True)) for i in range(20)]
    apart = interval(make_evaluation(counts, ids), method=method)
    assert apart == interval(make_evaluation(whole), method=method)
    assert apart.documents == 20
    assert not apart.reliable
    # A document without an id is one of its own, and an id may be any number.
    assert interval(make_evaluation(counts)).documents == 60
    assert interval(make_evaluation(counts, list(range(60)))).documents == 60


def test_documents_that_say_nothing_do_not_make_an_interval_reliable():
    empty = [(0, 0, 0)] * 100
    result = interval(make_evaluation([*[(1, 1, 1)] * 20, (0, 1, 1), *empty]))
    assert (result.documents, result.reliable) == (21, False)


def test_every_metric_is_the_figure_of_the_evaluation():
    rng = numpy.random.default_rng(3)
    data = []
    for _ in range(60):
        gold = [
            (i, i + 1, rng.choice(["A", "B", "C"])) for i in range(5) if rng.random() < 0.7
        ]
        predicted = [x if rng.random() < 0.7 else (*x[:2], "A") for x in gold]
        data.append(example(6, gold, [*predicted, (5, 6, "D")]))
    evaluation = evaluate(data)
    assert not any(x.labels.get("D", SpanScore()).gold for x in evaluation.documents)
    values = {
        "micro_f": evaluation.micro.f,
        "micro_p": evaluation.micro.p,
        "micro_r": evaluation.micro.r,
        "macro_f": evaluation.macro.f,
    }
    for metric, value in values.items():
        for method in METHODS:
            result = interval(evaluation, metric, method=method)
            assert result.value == pytest.approx(value, rel=1e-12)
            assert result.low < value < result.high
    for label, score in evaluation.per_label.items():
        assert interval(evaluation, "label_f", label=label).value == pytest.approx(score.f)
    assert set(METRICS) == {*values, "label_f", "schema_error_rate"}


def test_the_schema_error_rate_by_hand():
    def document(errors):
        counts = {"entity": 9, "unknown_label": errors, "below_threshold": 50, "overlap": 1}
        return DocumentCounts(candidates={x: n for x, n in counts.items() if n})

    evaluation = Evaluation(tuple(document(i % 3) for i in range(90)))
    result = interval(evaluation, "schema_error_rate")
    assert result.value == evaluation.schema_error_rate == 90 / (90 * 10 + 90)
    assert 0 < result.low < result.value < result.high < 0.15
    unable = Evaluation(evaluation.documents, can_err=False)
    for other in (unable, found(1, 0)):
        with pytest.raises(ValueError, match="No schema error rate"):
            interval(other, "schema_error_rate")


def test_labels_that_a_draw_lacks_are_no_zeros():
    # Label by label: (right twice, predicted + gold, gold)
    sums = numpy.array([[2.0, 2, 1, 0, 0, 0], [2, 2, 1, 0, 1, 1], [0, 3, 0, 0, 0, 0]])
    assert macro_f(sums).tolist() == [1.0, 0.5, 0.0]


def test_the_mean_over_seeds():
    rng = numpy.random.default_rng(0)
    seeds = [found(*(rng.random(80) < p)) for p in (0.6, 0.7, 0.8)]
    for method in METHODS:
        result = interval(seeds, method=method)
        assert result.seeds == tuple(x.micro.f for x in seeds)
        assert result.value == pytest.approx(numpy.mean(result.seeds))
    # Seeds are held fixed: the same seed three times is as sure as it is once.
    once, thrice = interval(seeds[0]), interval([seeds[0]] * 3)
    assert (once.low, once.high) == pytest.approx((thrice.low, thrice.high))
    # Seeds that err in different documents are surer together.
    assert result.high - result.low < once.high - once.low


def test_compare_by_hand():
    first, second = found(*[1] * 80, *[0] * 20), found(*[1] * 60, *[0] * 40)
    result = compare(first, second, resamples=4000)
    # In 20 documents only the first is right: the differences are 1 (20 times) and 0.
    differences = numpy.array([1.0] * 20 + [0.0] * 80)
    error = differences.std(ddof=1) / 10
    away = differences - 0.2
    freedom = min(3 * (away**2).sum() ** 2 / (away**4).sum(), 99)
    reach = stats.t.ppf(0.975, freedom) * error
    assert (result.difference.low, result.difference.high) == pytest.approx(
        (0.2 - reach, 0.2 + reach)
    )
    # All twenty coins alike: 2 of 2^20.
    assert result.p == 1 / 4001
    assert result.to_dict()["difference"]["value"] == pytest.approx(0.2)
    back = compare(second, first, resamples=4000)
    assert back.difference.high == pytest.approx(-result.difference.low)
    same = compare(first, first)
    assert (same.difference.value, same.p, same.p_bootstrap) == (0.0, 1.0, 1.0)
    # Four documents differ, all for the first: p is 2 of 2^4.
    few = compare(found(*[1] * 64), found(*[1] * 60, *[0] * 4), resamples=20_000)
    assert few.p == pytest.approx(1 / 8, abs=0.01)


def test_a_swap_trades_all_of_a_document():
    counts = numpy.array([[[[2.0, 2.0], [0.0, 2.0]]], [[[0.0, 2.0], [0.0, 2.0]]]])
    swapped = swap(CountTable(counts, ratio), 400, 0)
    assert set(swapped.tolist()) == {0.5, -0.5}


def test_what_is_refused():
    one, two = evaluate_spans([RIGHT] * 3, [RIGHT] * 3), evaluate_spans([RIGHT], [RIGHT])
    with pytest.raises(ValueError, match="at least one"):
        interval(evaluate([]))
    with pytest.raises(ValueError, match="3 documents against 1"):
        compare(one, two)
    with pytest.raises(ValueError, match="numbers of seeds differ"):
        compare([one, one], one)
    with pytest.raises(ValueError, match="number 3 differs"):
        interval([one, evaluate_spans([RIGHT, RIGHT, WRONG], [RIGHT] * 3)])
    with pytest.raises(ValueError, match="number 1 differs"):
        interval([one, evaluate_spans([RIGHT] * 3, [RIGHT] * 3, ids=[1, 2, 3])])
    with pytest.raises(ValueError, match="'accuracy' is no metric"):
        interval(one, "accuracy")
    for kwargs in ({"metric": "label_f"}, {"metric": "micro_f", "label": "A"}):
        with pytest.raises(ValueError, match="a label with label_f only"):
            interval(one, **kwargs)
    with pytest.raises(ValueError, match="'exact' is no"):
        interval(one, method="exact")


def simulate(rng, n, f):
    """Documents of unequal size whose mistakes cluster: shape (2 systems, n, 2)."""
    gold = rng.poisson(rng.lognormal(2.4, 0.5, n))
    shared = rng.normal(0, 0.6, n)
    systems = []
    for _ in range(2):
        share = 1 / (
            1 + numpy.exp(-(numpy.log(f / (1 - f)) + shared + rng.normal(0, 0.3, n)))
        )
        right = rng.binomial(gold, share)
        wrong = rng.poisson(gold * (1 - share) + 0.05)
        systems.append(numpy.stack([2 * right, gold + right + wrong], axis=-1))
    return numpy.array(systems, float)[:, None]


@pytest.mark.parametrize(("n", "f"), [(50, 0.6), (50, 0.9), (100, 0.8), (300, 0.95)])
def test_the_interval_covers_the_truth(n, f):
    """93 to 97 of 100, give or take the chance of 1,200 trials (two standard errors)."""
    truth = ratio(simulate(numpy.random.default_rng(0), 400_000, f)[0, 0].sum(axis=0))
    inside = []
    for trial in range(1200):
        systems = simulate(numpy.random.default_rng([1, trial]), n, f)
        result = CountTable(systems[:1], ratio).interval()
        inside.append(result.low <= truth <= result.high)
    assert 0.93 - 0.013 <= numpy.mean(inside) <= 0.97 + 0.013


def test_the_test_holds_its_size():
    """Two systems that are equally good: p < 0.05 in 3.5 to 6.5 of 100."""
    seen = []
    for trial in range(1000):
        systems = simulate(numpy.random.default_rng([2, trial]), 60, 0.8)
        table = CountTable(systems, ratio)
        value = table.figure(table.sums)
        as_far = numpy.abs(swap(table, 400, trial)) >= abs(value) - 1e-12
        seen.append((as_far.sum() + 1) / 401 < 0.05)
    assert 0.035 <= numpy.mean(seen) <= 0.065


def test_a_real_difference_is_seen():
    systems = simulate(numpy.random.default_rng(5), 300, 0.8)
    systems[1, 0, :, 0] *= 0.9
    result = CountTable(systems, ratio).compare()
    assert result.p < 0.01
    assert 0.03 < result.difference.low < result.difference.value
