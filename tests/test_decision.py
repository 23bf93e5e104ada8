"""The decision: planted systems with one right answer, words by hand, and the promise that
a winner is rarely named among equals.
"""

import importlib.util
import json
import re
from pathlib import Path

import numpy
import pytest

from ner_components.errors import Errors
from ner_components.evaluation.decision import Contender, Limits, decide
from ner_components.evaluation.metrics import Costs, Evaluation, evaluate_spans, interval
from ner_components.evaluation.resampling import draw
from ner_components.evaluation.statistics import compare, make_table

ROOT = Path(__file__).resolve().parent.parent
RIGHT, WRONG, NOTHING = [(0, 1, "A")], [(0, 1, "B")], []


def system(right, of=100, wrong=WRONG, ids=None):
    """Documents of one entity each; the first ones are right."""
    found = [RIGHT] * right + [wrong] * (of - right)
    return evaluate_spans([RIGHT] * of, found, ids=ids)


def candidates(evaluation, **counts):
    first, *rest = evaluation.documents
    changed = type(first)(**{**vars(first), "candidates": counts})
    return Evaluation((changed, *rest), evaluation.can_err)


def load_benchmark():
    path = ROOT / "benchmarks" / "decision_rates.py"
    spec = importlib.util.spec_from_file_location("decision_rates", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_best_is_shipped_where_the_documents_separate_it():
    found = decide([Contender("b", system(60)), Contender("a", system(90))])
    assert (found.chosen, found.best, found.reason) == ("a", "a", "best")
    assert found.tied == ("a",)
    assert found.qualified == ("a", "b")
    assert found.figures["a"] == interval(system(90), "micro_f")
    test = compare(system(90), system(60), "micro_f")
    assert found.comparisons == {"b": test}
    assert found.p_corrected == {"b": test.p}
    assert found.p_best == {"a": 1.0, "b": 0.0}
    low, high = (
        f"{100 * x:.1f}" for x in (found.figures["a"].low, found.figures["a"].high)
    )
    assert found.statement == (
        f"Ship a: F1 90.0% (95% interval {low} to {high}), 30.0 points more than b, the "
        f"next best (p = 0.001). It is the best in 100% of samples of the documents."
    )


def test_holm_corrects_for_all_others():
    # Eight documents apart: alone that is p = 1/128, and with two such systems twice that.
    names = [Contender("a", system(90)), *(Contender(x, system(82)) for x in "bc")]
    found = decide(names, resamples=2000)
    alone = decide(names[:2], resamples=2000)
    assert alone.p_corrected["b"] == pytest.approx(2 / 256, abs=0.006)
    assert found.p_corrected["b"] == found.p_corrected["c"] == 2 * alone.p_corrected["b"]
    # Four apart: p = 1/8.
    assert decide([names[0], Contender("b", system(86))]).tied == ("a", "b")


def test_of_those_not_separated_the_cheapest_then_the_fastest_then_the_better():
    better, good = system(91), system(90)

    def pick(first, second):
        found = decide([Contender("x", better, *first), Contender("y", good, *second)])
        assert found.tied == ("x", "y")
        assert found.reason == "cheapest"
        return found.chosen, found.statement.partition(" that these")[0]

    assert pick((9.0, 3.0, 1.0), (9.0, 2.0, 5.0)) == (
        "y",
        "Ship y, the cheapest to run of 2",
    )
    assert pick((9.0, 2.0, 5.0), (9.0, 2.0, 1.0)) == ("y", "Ship y, the fastest of 2")
    assert pick((9.0, 2.0, 5.0), (9.0, 2.0, 5.0)) == (
        "x",
        "Ship x, the one with the highest F1 of 2",
    )
    # What is not known is not cheap.
    assert pick((9.0, None, 1.0), (9.0, 2.0, 5.0))[0] == "y"


def test_limits_and_their_words():
    slow = Contender("slow", system(95), 900.0, 0.0, 300.0)
    dear = Contender("dear", system(95), 10.0, 7.5, 4.0)
    wild = Contender("wild", candidates(system(95), entity=95, unknown_label=5), 10.0, 0.0)
    unknown = Contender("unknown", system(95))
    plain = Contender("plain", system(50), 50.0, 5.0, 1.0)
    limits = Limits(max_latency=50.0, max_cost=5.0, max_schema_errors=0.04)
    found = decide([slow, dear, wild, unknown, plain], limits=limits)
    assert found.qualified == ("plain",)
    assert (found.chosen, found.reason) == ("plain", "only")
    assert found.to_dict()["excluded"] == {
        "dear": ["cost 7.5 above 5"],
        "wild": ["schema errors 5.00% above 4.00%"],
        "slow": ["latency 900 ms above 50 ms"],
        "unknown": ["latency not known", "cost not known"],
    }
    assert found.to_dict()["broken"]["slow"] == [
        {"limit": "latency", "value": 900.0, "most": 50.0}
    ]
    assert found.statement.startswith("Ship plain, the only system within the limits: F1")
    assert "needs 50 ms for 95 documents in 100 and costs 5 to run" in found.statement
    assert "slow (latency 900 ms above 50 ms)" in found.statement
    # An engine that can't err keeps to any limit of schema errors.
    unable = Evaluation(wild.evaluation.documents, can_err=False)
    limits = Limits(max_schema_errors=0.0)
    assert decide([Contender("unable", unable)], limits=limits).chosen == "unable"
    assert decide([wild], limits=limits).chosen is None
    assert decide([plain], limits=limits).statement.startswith(
        "Ship plain, the only system "
    )


def test_no_system_within_the_limits():
    contenders = [
        Contender("far", system(95), 900.0, 9.0),
        Contender("near", system(90), 60.0, 1.0),
        Contender("middle", system(80), 100.0, 1.0),
    ]
    found = decide(contenders, limits=Limits(max_latency=50.0, max_cost=5.0))
    assert (found.chosen, found.best, found.reason) == (None, None, "none")
    assert found.tied == found.qualified == ()
    assert found.p_best == {}
    assert found.statement == (
        "No system is within the limits: 3 by latency and 1 by cost of 3. The nearest is "
        "near (F1 90.0%): latency 60 ms above 50 ms."
    )
    assert list(found.figures) == ["far", "near", "middle"]


def test_costs_decide_where_they_are_given():
    costs = Costs(default={"missed": 10, "wrong_label": 1}, unit="EUR")
    # Better F1, but what it misses is dear; 5 missed: 50 of 100 documents, 500 of 1,000.
    misses, confuses = system(95, wrong=NOTHING), system(80)
    contenders = [Contender("misses", misses), Contender("confuses", confuses)]
    assert decide(contenders).best == "misses"
    found = decide(contenders, costs=costs)
    assert (found.metric, found.best, found.unit) == ("cost", "confuses", "EUR")
    assert found.figures["misses"].value == 0.5
    assert found.figures["confuses"].value == 0.2
    assert found.comparisons["misses"].difference.value == pytest.approx(-0.3)
    assert found.figures["confuses"].value == confuses.cost(costs).total / 100
    assert "mistakes cost 200 EUR in 1,000 documents" in found.statement
    # By the mean of a document: Student's t, symmetric, around the binomial's figure.
    by_hand = numpy.sqrt(0.2 * 0.8 / 99)
    reach = found.figures["confuses"].high - 0.2
    assert 1.95 < reach / by_hand < 2.05


def test_cost_needs_its_table_and_nothing_else_takes_one():
    with pytest.raises(ValueError, match=re.escape(Errors.N215)):
        interval(system(9), "cost")
    with pytest.raises(ValueError, match=re.escape(Errors.N215)):
        interval(system(9), "micro_f", costs=Costs())


def test_p_best_draws_the_same_documents_for_all():
    rng = numpy.random.default_rng(0)
    rows = rng.random((3, 60)) < numpy.array([[0.8], [0.78], [0.7]])
    systems = [
        evaluate_spans([RIGHT] * 60, [RIGHT if x else WRONG for x in row]) for row in rows
    ]
    contenders = [Contender(str(i), x) for i, x in enumerate(systems)]
    found = decide(contenders, resamples=500, seed=3)
    drawn = numpy.stack([draw(make_table([x], "micro_f"), 500, 3) for x in systems])
    wins = numpy.zeros(3)
    for column in drawn.T:
        best = numpy.isclose(column, column.max(), atol=1e-12)
        wins[best] += 1 / best.sum()
    expected = {str(i): pytest.approx(x / 500) for i, x in enumerate(wins)}
    assert found.p_best == expected
    assert sum(found.p_best.values()) == pytest.approx(1.0)
    assert decide(contenders, resamples=500, seed=3) == found
    # Two that are the same share every draw.
    same = decide([Contender("a", systems[0]), Contender("b", systems[0])])
    assert same.p_best == {"a": 0.5, "b": 0.5}
    assert same.reason == "cheapest"


def test_sentences_of_a_document_are_drawn_together():
    # 100 rows say that it is clear, the four documents they are of say nothing.
    ids = [i // 25 for i in range(100)]
    pairs = [("a", 90), ("b", 70)]
    rows = [Contender(name, system(n)) for name, n in pairs]
    documents = [Contender(name, system(n, ids=ids)) for name, n in pairs]
    assert decide(rows).reason == "best"
    assert decide(documents).reason == "cheapest"


def test_one_system_and_what_is_no_question():
    found = decide([Contender("a", system(90))])
    assert (found.chosen, found.reason, found.p_best) == ("a", "only", {"a": 1.0})
    assert found.statement.startswith("Ship a, the only system compared: F1 90.0%")
    assert found.statement.endswith("It has neither a latency nor a price that is known.")
    for contenders in ([], [Contender("a", system(1)), Contender("a", system(2))]):
        with pytest.raises(ValueError, match=re.escape(Errors.N216)):
            decide(contenders)
    with pytest.raises(ValueError, match="50 documents against 100"):
        decide([Contender("a", system(1)), Contender("b", system(1, of=50))])
    with pytest.raises(ValueError, match=re.escape(Errors.N080)):
        decide([Contender("a", Evaluation())])


def test_the_decision_is_json_and_its_statement_two_sentences():
    found = decide(
        [
            Contender(x, system(n), 5.0, 1.0, 2.0)
            for x, n in (("a", 90), ("b", 89), ("c", 9))
        ],
        limits=Limits(max_latency=5.0),
    ).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["statement"].count(". ") == 1
    assert list(found["figures"]) == ["a", "b", "c"]
    assert found["tied"] == ["a", "b"]


def test_a_winner_is_rarely_named_among_equals():
    # benchmarks/decision_rates.py has more trials. Of 150 with a rate of 5%, more than 15
    # come once in 280 seeds; this seed stays the same.
    rates = load_benchmark()
    assert rates.measure(2, 60, 0, trials=150, resamples=200)[0] <= 0.1
    assert rates.measure(5, 60, 0, trials=60, resamples=200)[0] <= 0.05
    named, right = rates.measure(3, 60, 15, trials=20, resamples=200)
    assert named == right >= 0.9
    assert rates.measure(2, 60, 0, trials=60, resamples=200, costs=rates.COSTS)[0] <= 0.1
