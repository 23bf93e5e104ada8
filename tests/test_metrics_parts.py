"""Calibration and costs, by hand and against scikit-learn."""

import json

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from ner_components.evaluation.metrics import Calibration, Costs, Outcome, evaluate_spans

PAIRS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]), st.booleans()),
    min_size=1,
    max_size=40,
)


def make(pairs, unscored=0):
    return Calibration(tuple(s for s, _ in pairs), tuple(r for _, r in pairs), unscored)


@settings(max_examples=300, deadline=None)
@given(PAIRS, st.integers(1, 20))
def test_bins_hold_everything_once_and_never_part_equal_scores(pairs, bins):
    calibration = make(pairs)
    parts = calibration.reliability(bins)
    assert sum(x.count for x in parts) == len(pairs)
    assert sum(x.right for x in parts) == sum(r for _, r in pairs)
    assert all(x.count for x in parts)
    assert len(parts) <= bins
    ordered = sorted(s for s, _ in pairs)
    start, last = 0, -1.0
    for x in parts:
        scores = ordered[start : start + x.count]
        assert x.score_sum == pytest.approx(sum(scores))
        assert scores[0] > last
        start, last = start + x.count, scores[-1]
    assert calibration.brier == pytest.approx(
        brier_score_loss([r for _, r in pairs], [s for s, _ in pairs], labels=[False, True])
    )
    if len({r for _, r in pairs}) == 2:
        theirs = roc_auc_score([r for _, r in pairs], [s for s, _ in pairs])
        assert calibration.auroc == pytest.approx(theirs, rel=1e-12)
    else:
        assert calibration.auroc is None


def test_calibration_by_hand():
    pairs = [
        (0.2, False),
        (0.4, True),
        (0.6, False),
        (0.8, True),
        (0.8, True),
        (0.8, False),
    ]
    calibration = make(pairs, unscored=2)
    # Two bins of three; the cut among the three of 0.8 falls on their first.
    two = calibration.reliability(2)
    assert [(x.count, x.right) for x in two] == [(3, 1), (3, 2)]
    assert calibration.ece(2) == pytest.approx((abs(1.2 - 1) + abs(2.4 - 2)) / 6)
    # Four bins: a cut after two, one after three, and one inside 0.8 that moves there.
    four = calibration.reliability(4)
    assert [x.count for x in four] == [2, 1, 3]
    # Right against wrong: .4 beats .2; .8 beats .2, .6 twice each and ties .8 twice.
    assert calibration.auroc == pytest.approx((1 + 2 * 2 + 2 * 0.5) / 9)
    report = calibration.to_dict()
    assert (report["scored"], report["unscored"]) == (6, 2)
    assert len(calibration) == 6
    empty = Calibration(unscored=3)
    assert empty.to_dict() == {
        "scored": 0,
        "unscored": 3,
        "ece": None,
        "brier": None,
        "auroc": None,
        "reliability": [],
    }


def test_scores_that_mean_what_they_say():
    rng = numpy.random.default_rng(0)
    scores = rng.random(20_000)
    right = rng.random(20_000) < scores
    honest = make(list(zip(scores.tolist(), right.tolist(), strict=True)))
    assert honest.ece() < 0.015
    # E[s (1 - s)] of a uniform score is 1/6.
    assert honest.brier == pytest.approx(1 / 6, abs=0.005)
    sure = make(
        [(0.5 + x / 2, y) for x, y in zip(scores.tolist(), right.tolist(), strict=True)]
    )
    assert sure.ece() == pytest.approx(0.25, abs=0.015)
    assert sure.auroc == honest.auroc


TABLE = {
    "unit": "EUR",
    "default": {"missed": 1, "spurious": 0.5, "wrong_label": 2, "wrong_boundary": 0.25},
    "labels": {
        "DRUG": {
            "missed": 10,
            "spurious": 3,
            "wrong_label": 5,
            "wrong_label_as": {"DISEASE": 7},
            "wrong_boundary": 1,
        }
    },
}


def test_costs_by_hand(tmp_path):
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(TABLE), encoding="utf8")
    costs = Costs.from_file(path)
    expected = {
        ("correct", "DRUG", "DRUG"): 0,
        ("missed", "DRUG", "O"): 10,
        ("spurious", "O", "DRUG"): 3,
        ("wrong_label", "DRUG", "ORG"): 5,
        ("wrong_label", "DRUG", "DISEASE"): 7,
        ("wrong_boundary", "DRUG", "DRUG"): 1,
        ("both_wrong", "DRUG", "DISEASE"): 8,
        ("missed", "ORG", "O"): 1,
        ("wrong_label", "ORG", "DRUG"): 2,
        ("both_wrong", "ORG", "DRUG"): 2.25,
        ("spurious", "O", "ORG"): 0.5,
    }
    for outcome, cost in expected.items():
        assert costs.of(Outcome(*outcome)) == cost
    gold = [[(0, 3, "DRUG"), (5, 9, "DRUG"), (12, 15, "ORG")], [(0, 3, "ORG")]]
    predicted = [[(0, 3, "DISEASE"), (12, 14, "ORG"), (20, 22, "DRUG")], [(0, 3, "ORG")]]
    cost = evaluate_spans(gold, predicted).cost(costs)
    assert cost.by_kind == {
        "missed": 10,
        "spurious": 3,
        "wrong_boundary": 0.25,
        "wrong_label": 7,
    }
    assert cost.by_label == {"DRUG": 20, "ORG": 0.25}
    assert (cost.total, cost.per_thousand_documents) == (20.25, 10_125)
    assert json.loads(json.dumps(cost.to_dict()))["unit"] == "EUR"
    assert evaluate_spans([], []).cost(costs).per_thousand_documents is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "Invalid JSON"),
        ('{"default": {"missed": -1}}', "default.missed"),
        ('{"labels": {"A": {"mised": 1}}}', "labels.A.mised"),
        ('{"labels": {"A": {"wrong_label_as": {"B": -1}}}}', "labels.A.wrong_label_as.B"),
        ('{"default": {"missed": "much"}}', "default.missed"),
        (None, "No such file"),
    ],
)
def test_costs_that_are_refused(tmp_path, text, problem):
    path = tmp_path / "costs.json"
    if text is not None:
        path.write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match=problem) as e:
        Costs.from_file(path)
    assert "costs.json" in str(e.value)
