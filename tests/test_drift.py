"""Drift: figures by hand, p against scipy, and the two rates that the verdict promises."""

import doctest
import importlib
import itertools
import json
import os
from collections import Counter
from pathlib import Path

import numpy
import pytest
import spacy
import typer
from scipy import stats
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from typer.testing import CliRunner

from ner_components.cli.drift import annotate as predict
from ner_components.cli.drift import drift_cli
from ner_components.corpora.formats import read_corpus
from ner_components.entities import Candidate, Rules, annotate, resolve
from ner_components.errors import Errors
from ner_components.evaluation import drift as drift_module
from ner_components.evaluation import shift_tests
from ner_components.evaluation.drift import (
    LEAST,
    Change,
    Drift,
    compare_profiles,
    find_drift,
    holm,
)
from ner_components.evaluation.resampling import Interval, ratio
from ner_components.evaluation.shift_tests import GOLD_TESTS, TESTS, Shift
from ner_components.evaluation.shifts import (
    Profile,
    Splits,
    cdf_distances,
    make_profile,
    mix_distances,
    number_documents,
    p_above,
    p_two_sided,
    rate_changes,
    tabulate,
    tabulate_scores,
    unseen_shares,
)
from ner_components.schema import EntitySchema

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("NER_DATA", ROOT.parent / "shared" / "data"))
NLP = spacy.blank("en")
CANARY = "Zyxwolf"
SCHEMA = EntitySchema.from_labels(["A", "B"])


def make_doc(text, *spans, **user_data):
    words = text.split()
    doc = Doc(NLP.vocab, words=words, user_data=user_data)
    doc.ents = [Span(doc, i, j, label=label) for i, j, label in spans]
    return doc


def scored_doc(text, *candidates):
    """candidates: (first character, end, label, score)."""
    doc = make_doc(text)
    rules = Rules()
    found = [Candidate(*x) for x in candidates]
    annotate(doc, resolve(doc, found, SCHEMA, rules), rules)
    return doc


def all_splits(reference, new):
    """Every split there is, the one found first."""
    n = reference + new
    found = tuple(range(reference, n))
    chosen = [found, *(x for x in itertools.combinations(range(n), new) if x != found)]
    masks = numpy.zeros((len(chosen), n), dtype=bool)
    for row, places in zip(masks, chosen, strict=True):
        row[list(places)] = True
    return Splits(masks)


def shift(drift, name):
    return next(x for x in drift.shifts if x.name == name)


@pytest.mark.parametrize("name", ["drift", "drift_report", "shifts", "shift_tests"])
def test_docstrings_run(name):
    module = importlib.import_module(f"ner_components.evaluation.{name}")
    assert doctest.testmod(module).failed == 0


# Splits, figures and p


def test_random_splits_keep_the_sides_as_large_and_the_first_is_the_one_found():
    splits = Splits.draw(3, 5, 200, seed=1)
    assert splits.masks.shape == (201, 8)
    assert splits.masks[0].tolist() == [False] * 3 + [True] * 5
    assert (splits.masks.sum(axis=1) == 5).all()
    assert len({tuple(x) for x in splits.masks.tolist()}) > 40
    again = Splits.draw(3, 5, 200, seed=1)
    assert (splits.masks == again.masks).all()


def test_sums_by_hand_also_in_blocks(monkeypatch):
    counts = numpy.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    splits = Splits(numpy.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=bool))
    expected = [[[3, 30], [4, 40]], [[6, 60], [1, 10]], [[5, 50], [2, 20]]]
    assert splits.sums(counts).tolist() == expected
    monkeypatch.setattr("ner_components.evaluation.shifts.CELLS", 3)
    assert len(list(splits.blocks())) == 3
    assert splits.sums(counts).tolist() == expected


@pytest.mark.parametrize("sizes", [(5, 5), (4, 7)])
def test_p_equals_scipy_where_all_splits_are_drawn(sizes):
    rng = numpy.random.default_rng(3)
    counts = numpy.stack(
        [rng.integers(0, 4, sum(sizes)), rng.integers(4, 9, sum(sizes))], 1
    )
    counts = counts.astype(float)
    splits = all_splits(*sizes)

    def difference(x, y):
        return y[:, 0].sum() / y[:, 1].sum() - x[:, 0].sum() / x[:, 1].sum()

    def by_rows(function):
        first, second = numpy.arange(sizes[0]), numpy.arange(sizes[0], sum(sizes))
        return (
            (first, second),
            lambda x, y: function(counts[x.astype(int)], counts[y.astype(int)]),
        )

    data, statistic = by_rows(difference)
    options = {"vectorized": False, "n_resamples": numpy.inf}
    expected = stats.permutation_test(data, statistic, **options)
    sums = ratio(splits.sums(counts))
    found = sums[:, 1] - sums[:, 0]
    assert found[0] == pytest.approx(expected.statistic)
    assert p_two_sided(found) == pytest.approx(expected.pvalue, abs=1e-12)

    def distance(x, y):
        a, b = x.sum(axis=0), y.sum(axis=0)
        return numpy.abs(a / a.sum() - b / b.sum()).sum() / 2

    data, statistic = by_rows(distance)
    expected = stats.permutation_test(data, statistic, alternative="greater", **options)
    found = mix_distances(counts, splits)
    assert found[0] == pytest.approx(expected.statistic)
    assert p_above(found) == pytest.approx(expected.pvalue, abs=1e-12)


def test_p_of_random_splits_is_near_that_of_all():
    rng = numpy.random.default_rng(0)
    x, y = rng.normal(0, 1, 12), rng.normal(0.8, 1, 14)

    def statistic(x, y):
        return stats.ks_2samp(x, y, method="asymp").statistic

    expected = stats.permutation_test(
        (x, y), statistic, vectorized=False, alternative="greater", n_resamples=2000, rng=0
    )
    table = tabulate_scores([[value] for value in [*x, *y]])
    found = cdf_distances(table, Splits.draw(12, 14, 20000, seed=0))
    assert found[0] == pytest.approx(expected.statistic)
    # Three standard errors of the 2,000 draws.
    error = 3 * (expected.pvalue * (1 - expected.pvalue) / 2000) ** 0.5
    assert 0.01 < expected.pvalue < 0.5
    assert p_above(found) == pytest.approx(expected.pvalue, abs=error)


def test_p_by_hand():
    assert p_above(numpy.array([2.0, 1.0, 2.0 + 1e-15, 3.0])) == 0.75
    assert p_two_sided(numpy.array([2.0, 1.0, 0.0, 3.0])) == 1.0
    assert p_two_sided(numpy.array([3.0, 1.0, 0.0, 2.0])) == 0.5
    assert p_two_sided(numpy.array([0.0, 1.0, 2.0, 3.0])) == 0.5


def test_rate_changes_by_hand():
    # Rates of the new side in all splits of one document a side: 1 and 0 against 0 and 1.
    counts = numpy.array([[1.0, 0.0, 2.0], [0.0, 0.0, 2.0]])
    found = rate_changes(counts, numpy.array([2.0, 4.0]), all_splits(1, 1))
    # Label 1: 1/2 apart in both splits; label 2 is nowhere; label 3: 2/2 - 2/4 in both.
    assert found.tolist() == [[1, 0, 1], [1, 0, 1]]
    counts = numpy.array([[3.0], [1.0], [0.0]])
    found = rate_changes(counts, numpy.ones(3), all_splits(2, 1))[:, 0]
    change = numpy.array([2 - 0, 3 - 0.5, 1.5 - 1])
    spread = ((change**2).mean()) ** 0.5
    assert sorted(found) == pytest.approx(sorted(change / spread))
    assert found[0] == pytest.approx(2 / spread)


def test_unseen_shares_against_sets():
    rng = numpy.random.default_rng(5)
    for weights in (1, 4):
        counters = []
        for _ in range(14):
            kinds = numpy.unique(rng.zipf(1.5, 8) % 40).tolist()
            counters.append(Counter({x: int(rng.integers(1, weights + 1)) for x in kinds}))
        splits = Splits.draw(6, 8, 50, seed=0)
        found = unseen_shares(counters, splits)
        assert len(found) == 51
        for share, mask in zip(found, splits.masks, strict=True):
            known = {x for c, new in zip(counters, mask, strict=True) if not new for x in c}
            new = [c for c, new in zip(counters, mask, strict=True) if new]
            unseen = sum(n for c in new for x, n in c.items() if x not in known)
            assert share == pytest.approx(unseen / sum(c.total() for c in new))


def test_tables_do_not_depend_on_the_side():
    counters = [Counter({7: 2, 3: 1}), Counter({5: 1, 9: 1}), Counter({3: 1, 5: 1})]
    # 3, 5 and 7 are all there twice: the lower number goes first.
    assert tabulate(counters, 2).tolist() == [[1, 0, 2], [0, 1, 1], [1, 1, 0]]
    assert tabulate(counters[::-1], 2).tolist() == [[1, 1, 0], [0, 1, 1], [1, 0, 2]]
    assert tabulate_scores([[0.5, 0.9], [], [0.5]]).tolist() == [[1, 1], [0, 0], [1, 0]]
    many = tabulate_scores([[i / 1000 for i in range(1000)]])
    assert many.tolist() == [[20] * 50]


def test_holm_by_hand():
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.5, 0.01, 0.02, 0.9]) == [1.0, 0.04, 0.06, 1.0]


# Profiles


def test_a_profile_by_hand():
    doc = scored_doc("Ann saw Acme and Ann", (0, 3, "A", 0.5), (8, 12, "B", 0.25))
    doc.ents = [*doc.ents, Span(doc, 4, 5, label="A")]
    profile = make_profile(doc, "ner")
    assert profile.tokens == 5
    assert profile.labels == {"A": 2, "B": 1}
    assert profile.scores == [0.5, 0.25]
    assert len(profile.surfaces) == 2
    assert sorted(profile.words.values()) == [1, 1, 1, 2]
    assert profile.words[NLP.vocab.strings["ann"]] == 2
    assert profile.shapes == {
        NLP.vocab.strings["Xxx"]: 2,
        NLP.vocab.strings["xxx"]: 2,
        NLP.vocab.strings["Xxxx"]: 1,
    }
    assert profile.sentences == 0
    assert profile.candidates == {"entity": 2}
    assert make_profile(doc, None).candidates == {}
    assert make_profile(make_doc(""), "ner").tokens == 0


def test_profiles_of_one_document_add_up():
    doc = make_doc("a b")
    doc[0].is_sent_start, doc[1].is_sent_start = True, True
    one = make_profile(doc, "ner")
    assert one.sentences == 2
    both = one + one
    assert (both.tokens, both.sentences, both.words.total()) == (4, 4, 4)
    assert (one + make_profile(make_doc("c"), None) + Profile()).tokens == 3
    assert (one + Profile(tokens=1)).sentences == 0
    assert number_documents(["x", None, "x", None, "y"]) == [0, 1, 0, 2, 3]


# find_drift


def documents(n, text="w0 w1 w2 w3", *spans):
    return [make_doc(text, *spans) for _ in range(n)]


def test_label_figures_by_hand():
    old = [make_doc("x x x x", (0, 1, "A"), (1, 2, "A"), (2, 3, "B")) for _ in range(20)]
    new = [make_doc("x x x x", (0, 1, "A"), (2, 3, "C")) for _ in range(25)]
    drift = find_drift(old, new)
    rates = shift(drift, "label_rates")
    assert (rates.reference, rates.new) == (0.75, 0.5)
    assert rates.parts == {"A": (0.5, 0.25), "B": (0.25, 0), "C": (0, 0.25)}
    mix = shift(drift, "label_mix")
    # A: 2/3 to 1/2, B: 1/3 to 0, C: 0 to 1/2.
    assert mix.statistic == pytest.approx((1 / 6 + 1 / 3 + 1 / 2) / 2)
    assert list(mix.parts) == ["C", "B", "A"]
    assert mix.parts["A"] == (pytest.approx(2 / 3), 0.5)
    assert drift.verdict == "drift"
    assert drift.shifted == ("label_rates", "label_mix")
    assert rates.p == 1 / (drift.resamples + 1)
    # Six tests of 1: the p of the others, and the corrected ones of both.
    assert drift.p_corrected["label_rates"] == pytest.approx(rates.p * len(drift.shifts))
    assert drift.p_corrected["words"] == 1


def test_score_figures_by_hand():
    old = [scored_doc("Ann x", (0, 3, "A", 0.25)) for _ in range(20)]
    new = [scored_doc("Ann x", (0, 3, "A", 0.25 if i < 5 else 0.75)) for i in range(20)]
    drift = find_drift(old, new)
    scores = shift(drift, "scores")
    assert (scores.reference, scores.new) == (0.25, 0.625)
    assert scores.statistic == 0.75
    assert drift.shifted == ("scores",)


def test_unseen_figures_by_hand():
    old = [make_doc(f"n{i} x", (0, 1, "A")) for i in range(20)]
    # Half of the names are known; the form is compared without case, once a document.
    new = [
        make_doc(f"N{i} x N{i}" if i < 10 else f"m{i} x", (0, 1, "A")) for i in range(20)
    ]
    drift = find_drift(old, new)
    unseen = shift(drift, "unseen_surfaces")
    assert unseen.new == unseen.statistic == 0.5
    # Names of one document, 20 of 30, are unseen on the new side; of the 10 names in two,
    # those with both there. Of 20 of 40 documents: (20 / 2 + 10 * 2 * (20 * 19) / (40 *
    # 39)) / 20.
    expected = (10 + 20 * (20 * 19) / (40 * 39)) / 20
    assert unseen.reference == pytest.approx(expected, abs=0.01)
    assert unseen.p > 0.9
    assert shift(drift, "unseen_words").new == 10 / 50


def test_documents_that_repeat_the_reference_are_no_drift():
    old = [make_doc(f"n{i} met o{i}", (0, 1, "A"), (2, 3, "B")) for i in range(40)]
    drift = find_drift(old, old)
    assert drift.verdict == "no drift"
    assert shift(drift, "unseen_surfaces").new == 0


def test_length_and_sentence_figures_by_hand():
    old, new = documents(20, "a b c d"), documents(20, "a b c d a b c d")
    for doc in [*old, *new]:
        for i, token in enumerate(doc):
            token.is_sent_start = i % 4 == 0
    drift = find_drift(old, new)
    length = shift(drift, "document_length")
    assert (length.reference, length.new, length.statistic) == (4, 8, 1)
    sentence = shift(drift, "sentence_length")
    assert (sentence.reference, sentence.new, sentence.statistic, sentence.p) == (
        4,
        4,
        0,
        1,
    )
    assert drift.shifted == ("document_length",)


def test_word_and_shape_figures_by_hand():
    drift = find_drift(documents(20, "ab cd cd cd"), documents(20, "ab ab CD 12"))
    # "cd" falls from 3/4 to 1/4, "ab" rises by 1/4, "12" by 1/4.
    assert shift(drift, "words").statistic == 0.5
    # xx falls from 1 to 1/2.
    assert shift(drift, "shapes").statistic == 0.5
    assert drift.shifted == ("words", "shapes", "unseen_words")


def test_schema_errors_by_hand():
    good, bad = (0, 3, "A", 0.5), (4, 5, "Q", 0.5)
    old = [scored_doc("Ann x", good) for _ in range(20)]
    new = [scored_doc("Ann x", good, bad) for _ in range(20)]
    found = shift(find_drift(old, new), "schema_error_rate")
    assert (found.reference, found.new, found.statistic) == (0, 0.5, 0.5)
    reasons = find_drift(old, old).not_tested
    assert reasons["schema_error_rate"] == "no schema errors on either side"


def test_what_can_not_be_tested_says_why():
    drift = find_drift(documents(20), documents(20))
    assert drift.not_tested == {
        "label_rates": "no entities on either side",
        "label_mix": "no entities in the reference",
        "scores": "no scores in the reference",
        "unseen_surfaces": "no entities in the reference",
        "schema_error_rate": "no counted candidates in the reference",
        "sentence_length": "sentence boundaries are not set in every document",
    }
    assert {x.name for x in drift.shifts} | set(drift.not_tested) == set(TESTS)
    drift = find_drift(documents(20, "a b", (0, 1, "A")), documents(20, "a b"))
    assert drift.not_tested["label_mix"] == "no entities in the new documents"
    drift = find_drift(documents(20, ""), documents(20, ""))
    assert drift.not_tested["words"] == "no tokens in the reference"
    assert [x.name for x in drift.shifts] == ["document_length"]


def test_too_few_documents_are_refused_with_the_counts():
    with pytest.raises(ValueError, match="19 of the reference and 30 new ones, and each"):
        find_drift(documents(LEAST - 1), documents(30))
    # Thirty sentences of three documents are three documents.
    new = [make_doc("a b", id=i % 3) for i in range(30)]
    with pytest.raises(ValueError, match="30 of the reference and 3 new ones"):
        find_drift(documents(30), new)


def test_the_statement_tells_how_much_a_verdict_is_worth():
    drift = find_drift(documents(20), documents(99))
    assert drift.statement == (
        "no drift: 99 new documents against 20 of the reference, 4 tests, at most 5.0% "
        "false alarms. With fewer than 100 documents on a side only large shifts show."
    )
    drift = find_drift(documents(100), documents(100, "x y"), alpha=0.01)
    assert drift.statement.endswith(
        "at most 1.0% false alarms. Shifted: words, shapes, unseen_words, document_length."
    )
    assert drift.resamples == 9600
    assert "only large" not in find_drift(documents(100), documents(100)).statement


def test_sentences_of_a_document_stand_together():
    # 40 documents of 10 sentences; the entities of a document are all or none.
    rng = numpy.random.default_rng(0)
    alarms = alone = 0
    for _ in range(20):
        rows = [
            [make_doc("a b c", *[(0, 1, "A")] * has, id=i) for _ in range(10)]
            for i, has in enumerate(rng.integers(0, 2, 40).tolist())
        ]
        sides = [[x for row in part for x in row] for part in (rows[:20], rows[20:])]
        alarms += find_drift(*sides).is_drift
        for doc in [*sides[0], *sides[1]]:
            del doc.user_data["id"]
        alone += find_drift(*sides).is_drift
    assert alarms <= 3
    assert alone >= 10


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, float("nan")])
def test_alpha_must_be_a_chance(alpha):
    with pytest.raises(ValueError, match="is no chance of a false alarm"):
        find_drift(documents(20), documents(20), alpha=alpha)


def test_too_few_splits_for_alpha_are_refused():
    needed = 2 * (len(TESTS) + len(GOLD_TESTS)) * 40
    find_drift(documents(20), documents(20), resamples=needed)
    with pytest.raises(ValueError, match=f"Use at least {needed}"):
        find_drift(documents(20), documents(20), resamples=needed - 1)


def test_the_same_call_gives_the_same_result():
    old, new = documents(30), [make_doc(f"w{i % 7} b") for i in range(30)]
    assert find_drift(old, new) == find_drift(old, new)
    assert find_drift(old, new) != find_drift(old, new, seed=1)


# Gold


def test_the_interval_of_a_change_by_hand():
    old = Interval(0.8, 0.7, 0.84, 0.95, 60, (0.8,), "jackknife")
    new = Interval(0.6, 0.57, 0.64, 0.95, 60, (0.6,), "jackknife")
    change = Change("micro_f", old, new)
    assert change.difference == pytest.approx(-0.2)
    assert change.low == pytest.approx(-0.2 - (0.03**2 + 0.04**2) ** 0.5)
    assert change.high == pytest.approx(-0.2 + (0.04**2 + 0.1**2) ** 0.5)
    assert change.reliable
    few = Interval(0.6, 0.57, 0.64, 0.95, 49, (0.6,), "jackknife")
    assert not Change("micro_f", old, few).reliable
    assert not Change("micro_f", few, new).reliable


def test_gold_by_hand():
    a, b = (0, 1, "A"), (1, 2, "B")
    gold = documents(40, "x y z", a, b)
    old = documents(36, "x y z", a, b) + documents(4, "x y z", a)
    new = documents(10, "x y z", a, b) + documents(30, "x y z", a)
    drift = find_drift(old, new, reference_gold=gold, new_gold=gold)
    changes = {x.name: x for x in drift.changes}
    assert list(changes) == ["micro_f", "macro_f"]
    micro = changes["micro_f"]
    assert micro.reference.value == pytest.approx(2 * 76 / (76 + 80))
    assert micro.new.value == pytest.approx(2 * 50 / (50 + 80))
    assert micro.low < micro.difference < micro.high < 0
    macro = changes["macro_f"]
    assert macro.reference.value == pytest.approx((1 + 2 * 36 / (36 + 40)) / 2)
    assert macro.new.value == pytest.approx((1 + 2 * 10 / (10 + 40)) / 2)
    for name in GOLD_TESTS:
        tested = shift(drift, name)
        assert tested.reference == pytest.approx(changes[name].reference.value)
        assert tested.new == pytest.approx(changes[name].new.value)
        assert tested.statistic == pytest.approx(changes[name].difference)
        assert name in drift.shifted
    report = json.loads(json.dumps(drift.to_dict()))
    assert [x["name"] for x in report["changes"]] == ["micro_f", "macro_f"]


def test_gold_shows_what_predictions_can_not():
    # The same predictions, and gold that moved.
    found = [make_doc("x y z", (i % 2, i % 2 + 1, "A")) for i in range(40)]
    old_gold = [make_doc("x y z", (i % 2, i % 2 + 1, "A")) for i in range(40)]
    new_gold = [make_doc("x y z", (1, 2, "A")) for _ in range(40)]
    assert not find_drift(found, found).is_drift
    drift = find_drift(found, found, reference_gold=old_gold, new_gold=new_gold)
    assert drift.shifted == ("micro_f", "macro_f")


def test_schema_errors_against_gold_have_an_interval():
    good, bad = (0, 3, "A", 0.5), (4, 5, "Q", 0.5)
    old = [scored_doc("Ann x", *[good, bad][: 1 + i % 2]) for i in range(60)]
    new = [scored_doc("Ann x", good) for _ in range(60)]
    gold = documents(60, "Ann x", (0, 1, "A"))
    options = {"reference_gold": gold, "new_gold": gold}
    change = find_drift(old, new, **options).changes[-1]
    assert change.name == "schema_error_rate"
    assert change.difference == pytest.approx(-1 / 3)
    assert change.low < -1 / 3 < change.high < 0
    names = [x.name for x in find_drift(old, new, can_err=False, **options).changes]
    assert names == ["micro_f", "macro_f"]


def test_rows_of_one_gold_document_stand_together():
    gold = [make_doc("x y", (0, 1, "A"), id=i // 2) for i in range(80)]
    found = documents(80, "x y", (0, 1, "A"))
    drift = find_drift(found, found, reference_gold=gold, new_gold=gold)
    assert drift.documents == (40, 40)
    assert drift.changes[0].reference.documents == 40
    empty = documents(80, "x y")
    drift = find_drift(found, found, reference_gold=empty, new_gold=empty)
    assert drift.not_tested["micro_f"] == drift.not_tested["macro_f"] == "no gold entities"


def test_gold_must_be_of_both_sides():
    docs = documents(20)
    with pytest.raises(
        ValueError, match="the new side don't match: 20 documents and no gold"
    ):
        find_drift(docs, docs, reference_gold=docs)
    with pytest.raises(ValueError, match="reference side don't match: 20 documents and 19"):
        find_drift(docs, docs, reference_gold=docs[1:], new_gold=docs)


# The verdict


def test_derived_values_and_the_report():
    parts = {"A": (0.0, 1.0)}
    shifts = (
        Shift("words", "t", 0.5, 0.0125, parts=parts),
        Shift("shapes", "t", 0.1, 0.02),
    )
    drift = Drift((20, 30), 0.05, 1000, shifts, {"scores": "no scores"})
    assert drift.p_corrected == {"words": 0.025, "shapes": 0.025}
    assert drift.threshold == 0.025
    assert drift.shifted == ("words", "shapes")
    assert Drift((20, 30), 0.04, 1000, shifts).verdict == "no drift"
    report = drift.to_dict()
    assert report["shifts"][0]["p_corrected"] == 0.025
    assert report["shifts"][0]["parts"] == {"A": [0.0, 1.0]}
    assert report["documents"] == {"reference": 20, "new": 30}
    assert (report["verdict"], report["threshold"]) == ("drift", 0.025)
    assert json.loads(json.dumps(report)) == report


def test_each_test_is_named_in_the_page():
    page = (ROOT / "docs" / "drift.md").read_text(encoding="utf8")
    for name in (*TESTS, *GOLD_TESTS):
        assert f"`{name}`" in page
    codes = [getattr(Errors, f"N19{i}") for i in range(8)]
    assert len(set(codes)) == 8


def gold_profiles():
    docs = []
    for split in ("train", "dev", "test"):
        path = ROOT / "corpus" / f"{split}.txt"
        docs += [make_profile(doc, None) for doc, _ in read_corpus(path, NLP)]
    return docs


def test_same_source_splits_raise_few_alarms():
    docs = gold_profiles()
    rng = numpy.random.default_rng(0)
    alarms = 0
    for i in range(30):
        mixed = [docs[j] for j in rng.permutation(len(docs))]
        alarms += compare_profiles(mixed[::2], mixed[1::2], seed=i).is_drift
    # Five of 30 or more happen in 0.02% of the cases at a rate of 2.5%.
    assert alarms < 5


def test_another_source_is_found():
    path = DATA / "wnut17" / "test.jsonl.gz"
    if not path.exists():
        pytest.skip("wnut17 is not in NER_DATA")
    other = [make_profile(NLP(doc.text), None) for doc, _ in read_corpus(path, NLP)]
    docs = [make_profile(NLP(text.text), None) for text, _ in _gold_docs()]
    rng = numpy.random.default_rng(0)
    for i in range(10):
        first = [docs[j] for j in rng.permutation(len(docs))[:200]]
        second = [other[j] for j in rng.permutation(len(other))[:200]]
        assert compare_profiles(first, second, seed=i).is_drift


def _gold_docs():
    for split in ("train", "dev", "test"):
        yield from read_corpus(ROOT / "corpus" / f"{split}.txt", NLP)


# The command


@Language.component("drift_test_failing")
def failing(doc):
    raise ValueError(f"can't read {doc.text}")


@pytest.fixture(scope="module")
def app():
    app = typer.Typer()
    app.command()(drift_cli)
    return app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("drift")
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": CANARY}])
    nlp.to_disk(path / "pipeline")
    nlp.add_pipe("drift_test_failing")
    nlp.to_disk(path / "failing")
    old = [make_doc(f"{CANARY} met us {i}", (0, 1, "PERSON")) for i in range(30)]
    new = [make_doc(f"lol {CANARY}s r u ok {i}", (1, 2, "PERSON")) for i in range(30)]
    DocBin(docs=old, store_user_data=True).to_disk(path / "old.spacy")
    DocBin(docs=new, store_user_data=True).to_disk(path / "new.spacy")
    DocBin(docs=documents(3)).to_disk(path / "few.spacy")
    DocBin(docs=documents(20)).to_disk(path / "plain.spacy")
    return path


def run(app, folder, *args):
    names = [str(folder / x) for x in args[:2]]
    return CliRunner().invoke(app, [*names, *(str(x) for x in args[2:])])


def test_the_command_finds_drift_and_writes_the_report(app, folder):
    output = folder / "reports" / "report.json"
    pipeline = ("--pipeline", folder / "pipeline")
    result = run(app, folder, "old.spacy", "new.spacy", *pipeline, "-o", output)
    assert result.exit_code == 1
    assert "Gold on both sides is used" in result.output
    assert "Against gold" in result.output
    assert "Fewer than 100 documents" in result.output
    report = json.loads(output.read_text())
    assert report["verdict"] == "drift"
    # The ruler finds every name of the old ones and none of the new.
    assert report["changes"][0]["reference"]["value"] == 1
    assert report["changes"][0]["new"]["value"] == 0
    assert report["changes"][0]["reliable"] is False
    assert "not reliable" in result.output
    assert CANARY not in result.output + output.read_text()
    result = run(app, folder, "new.spacy", "new.spacy", *pipeline)
    assert "No entity is right: the labels of gold and pipeline may differ" in result.output


def test_the_command_without_drift(app, folder):
    pipeline = ("--pipeline", folder / "pipeline", "--no-gold")
    result = run(app, folder, "old.spacy", "old.spacy", *pipeline)
    assert result.exit_code == 0, result.output
    assert "No gold is used" in result.output
    assert "no drift: 30 new documents" in result.output
    assert "Against gold" not in result.output
    result = run(app, folder, "old.spacy", "plain.spacy", *pipeline[:2])
    assert "No gold is used" in result.output


def test_the_command_that_can_not_tell_exits_with_2(app, folder):
    pipeline = ("--pipeline", folder / "pipeline")
    result = run(app, folder, "old.spacy", "few.spacy", *pipeline)
    assert result.exit_code == 2
    assert "Too few documents to tell drift from chance" in result.output
    assert run(app, folder, "old.spacy", "old.spacy", "-p", "no_such").exit_code == 2
    result = run(app, folder, "old.spacy", "old.spacy", *pipeline, "--alpha", "2")
    assert result.exit_code == 2
    assert "no chance of a false alarm" in result.output


def test_text_does_not_leak_from_a_pipeline_that_fails(app, folder):
    result = run(app, folder, "old.spacy", "new.spacy", "-p", folder / "failing")
    assert result.exit_code == 2
    assert "The pipeline failed on a document (ValueError)" in result.output
    assert CANARY not in result.output + repr(result.exception)


def test_lost_documents_are_noticed(monkeypatch):
    nlp = spacy.blank("en")
    monkeypatch.setattr(nlp, "pipe", lambda docs: list(docs)[1:])
    with pytest.raises(ValueError, match="gave back 4 of 5 documents"):
        predict(nlp, documents(5))


def test_ids_go_with_the_texts():
    found = predict(
        spacy.blank("en"), [make_doc("a b", (0, 1, "A"), id="x"), make_doc("c")]
    )
    assert [(x.text, x.user_data) for x in found] == [("a b ", {"id": "x"}), ("c ", {})]
    assert not any(x.ents for x in found)


def test_text_is_in_no_result():
    text = f"{CANARY} saw {CANARY}"
    old = documents(20, text, (0, 1, "A"))
    drift = find_drift(old, documents(20, f"b {text}", (1, 2, "A")))
    profile = make_profile(old[0], "ner")
    for shown in (repr(drift), json.dumps(drift.to_dict()), repr(vars(profile))):
        assert CANARY.lower() not in shown.lower()
    assert CANARY not in repr(shift_tests.Case([profile], (1, 0), all_splits(1, 0)))


def test_public_names_exist():
    assert all(hasattr(drift_module, name) for name in drift_module.__all__)
