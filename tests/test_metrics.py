"""Counts against seqeval, spaCy, nervaluate and a pencil, and mistakes that were planted."""

import doctest
import importlib
import json

import numpy
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from nervaluate import Evaluator
from scipy.optimize import linear_sum_assignment
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example

from ner_components.entities import Candidate, Rules, annotate, resolve
from ner_components.evaluation.metrics import (
    ErrorCounts,
    SemevalScore,
    SpanScore,
    count_spans,
    evaluate,
    evaluate_spans,
    match_spans,
    surfaces,
)
from ner_components.schema import EntitySchema

VOCAB = spacy.blank("en").vocab
LABELS = ["A", "B", "C"]
CANARY = "Zyxwolf"
MODULES = ["calibration", "costs", "metrics", "results", "spans", "statistics"]


def make_doc(words, spans, missing=(), **user_data):
    if isinstance(words, int):
        words = [f"w{i}" for i in range(words)]
    doc = Doc(VOCAB, words=words, user_data=user_data)
    ents = [Span(doc, i, j, label=label) for i, j, label in spans]
    doc.set_ents(ents, missing=[doc[i : i + 1] for i in missing], default="outside")
    return doc


def example(words, gold, predicted, missing=(), **user_data):
    return Example(make_doc(words, predicted), make_doc(words, gold, missing, **user_data))


@st.composite
def spans(draw, length):
    found, start = [], 0
    while start < length:
        end = start + draw(st.integers(1, 3))
        label = draw(st.sampled_from(["", *LABELS]))
        if label and end <= length:
            found.append((start, end, label))
        start = end
    return found


@st.composite
def document_sets(draw):
    """Documents as (length, gold, predicted), with some of the gold among the predicted."""
    documents = []
    for length in draw(st.lists(st.integers(1, 10), min_size=1, max_size=4)):
        gold, other = draw(spans(length)), draw(spans(length))
        kept = [x for x in gold if draw(st.booleans())]
        taken = {i for x in kept for i in range(x[0], x[1])}
        predicted = kept + [x for x in other if taken.isdisjoint(range(x[0], x[1]))]
        documents.append((length, gold, sorted(predicted)))
    return documents


def iob2(length, spans):
    tags = ["O"] * length
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return tags


def prf(score):
    return {"p": score.p, "r": score.r, "f": score.f}


def is_simple(gold, predicted):
    """No span overlaps two others: then every rule of matching says the same."""
    sides = ((gold, predicted), (predicted, gold))
    return all(
        sum(x[0] < y[1] and y[0] < x[1] for y in other) < 2
        for one, other in sides
        for x in one
    )


@settings(max_examples=1000, deadline=None)
@given(document_sets())
def test_seqeval_spacy_and_nervaluate_to_the_last_digit(documents):
    data = [example(*x) for x in documents]
    evaluation = evaluate(data)
    assert evaluation == evaluate(data)
    # seqeval, strict
    gold, predicted = ([iob2(x[0], x[i]) for x in documents] for i in (1, 2))
    labels = sorted({x[2] for y in documents for z in y[1:] for x in z})
    options = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    functions = {"p": precision_score, "r": recall_score, "f": f1_score}
    if labels:
        for name, function in functions.items():
            mine = getattr(evaluation.micro, name)
            assert mine == function(gold, predicted, average="micro", **options)
            mine = [getattr(evaluation.per_label[x], name) for x in labels]
            assert mine == function(gold, predicted, average=None, **options).tolist()
            theirs = function(gold, predicted, average="macro", **options)
            assert numpy.mean(mine) == theirs
            if all(evaluation.per_label[x].gold for x in labels):
                assert getattr(evaluation.macro, name) == theirs
    # spaCy, both scorers
    for scores in (get_ner_prf(data), Scorer.score_spans(data, "ents")):
        if scores["ents_per_type"] is None:
            assert evaluation.micro == SpanScore()
            continue
        assert prf(evaluation.micro) == {x: scores[f"ents_{x}"] for x in "prf"}
        mine = {label: prf(score) for label, score in evaluation.per_label.items()}
        assert mine == scores["ents_per_type"]
    # nervaluate; its ends are inclusive
    sides = [
        [[{"start": a, "end": b - 1, "label": c} for a, b, c in x[i]] for x in documents]
        for i in (1, 2)
    ]
    results = Evaluator(*sides, tags=LABELS, loader="dict").evaluate()
    for label, theirs in results["entities"].items():
        mine = prf(evaluation.per_label[label])
        strict = theirs["strict"]
        assert mine == {"p": strict.precision, "r": strict.recall, "f": strict.f1}
    for view, name in (
        ("strict",) * 2,
        ("exact",) * 2,
        ("partial",) * 2,
        ("type", "ent_type"),
    ):
        mine, theirs = evaluation.semeval[view], results["overall"][name]
        if view == "type" and not all(is_simple(*x[1:]) for x in documents):
            assert mine.correct >= theirs.correct
            continue
        assert (mine.possible, mine.actual) == (theirs.possible, theirs.actual)
        assert vars(mine) == {x: getattr(theirs, x) for x in vars(mine)}
        assert prf(mine) == {"p": theirs.precision, "r": theirs.recall, "f": theirs.f1}
    assert evaluation.micro.right == evaluation.semeval["strict"].correct
    assert evaluation.micro.right == evaluation.errors.correct


@settings(max_examples=300, deadline=None)
@given(document_sets(), st.randoms(use_true_random=False))
def test_missing_annotation_as_spacy_has_it(documents, random):
    data = [
        example(length, gold, predicted, missing)
        for length, gold, predicted in documents
        for missing in [[i for i in range(length) if random.random() < 0.2]]
        if not {i for x in gold for i in range(x[0], x[1])} & set(missing)
    ]
    evaluation, scores = evaluate(data), get_ner_prf(data)
    if scores["ents_per_type"] is None:
        assert evaluation.micro == SpanScore()
    else:
        assert prf(evaluation.micro) == {x: scores[f"ents_{x}"] for x in "prf"}
        for label, theirs in scores["ents_per_type"].items():
            assert prf(evaluation.per_label.get(label, SpanScore())) == theirs
    predicted = sum(len(eg.predicted.ents) for eg in data)
    assert evaluation.micro.predicted + evaluation.unannotated == predicted


@settings(max_examples=500, deadline=None)
@given(spans(14), spans(14))
def test_the_matching_is_the_best_there_is(gold, predicted):
    """Most pairs of one label, then most pairs, then most characters: as the assignment
    with these weights, found by scipy."""
    pairs = [(g, p) for g, p in match_spans(gold, predicted) if g and p]
    weights = numpy.zeros((len(gold), len(predicted)))
    for i, g in enumerate(gold):
        for j, p in enumerate(predicted):
            common = min(g[1], p[1]) - max(g[0], p[0])
            if common > 0:
                weights[i, j] = 1e6 * (g[2] == p[2]) + 1e3 + common
    rows, columns = linear_sum_assignment(weights, maximize=True)
    mine = sum(weights[gold.index(g), predicted.index(p)] for g, p in pairs)
    assert mine == weights[rows, columns].sum()
    assert all(min(g[1], p[1]) > max(g[0], p[0]) for g, p in pairs)
    whole = match_spans(gold, predicted)
    assert sorted(g for g, _ in whole if g) == gold
    assert sorted(p for _, p in whole if p) == predicted


def test_a_case_by_hand():
    gold = [(0, 3, "ORG"), (5, 9, "PERSON"), (12, 15, "ORG"), (20, 24, "DRUG")]
    predicted = [(0, 3, "ORG"), (5, 9, "ORG"), (12, 14, "ORG"), (30, 33, "ORG")]
    evaluation = evaluate_spans([gold], [predicted])
    assert evaluation.micro == SpanScore(right=1, predicted=4, gold=4)
    assert prf(evaluation.micro) == {"p": 1 / 4, "r": 1 / 4, "f": 1 / 4}
    assert evaluation.per_label == {
        "DRUG": SpanScore(0, 0, 1),
        "ORG": SpanScore(1, 4, 2),
        "PERSON": SpanScore(0, 0, 1),
    }
    # ORG: p 1/4, r 1/2; the others 0.
    assert evaluation.macro.p == pytest.approx(1 / 12)
    assert evaluation.macro.r == pytest.approx(1 / 6)
    assert evaluation.macro.f == pytest.approx(1 / 9)
    assert evaluation.errors == ErrorCounts(1, 1, 1, 0, 1, 1)
    assert evaluation.errors_per_label["ORG"] == ErrorCounts(1, 0, 1, 0, 0, 1)
    assert evaluation.confusion == {
        "DRUG": {"O": 1},
        "ORG": {"ORG": 2},
        "PERSON": {"ORG": 1},
        "O": {"ORG": 1},
    }
    assert evaluation.semeval == {
        "strict": SemevalScore(1, 2, 0, 1, 1),
        "exact": SemevalScore(2, 1, 0, 1, 1),
        "partial": SemevalScore(2, 0, 1, 1, 1),
        "type": SemevalScore(2, 1, 0, 1, 1),
    }
    assert evaluation.semeval["partial"].p == 2.5 / 4


def test_many_to_many_by_hand():
    # nervaluate gives the entity to the first prediction and calls the right one spurious.
    evaluation = evaluate_spans([[(0, 9, "A")]], [[(0, 3, "B"), (4, 9, "A")]])
    assert evaluation.errors == ErrorCounts(wrong_boundary=1, spurious=1)
    assert evaluation.semeval["type"] == SemevalScore(correct=1, spurious=1)
    # Of two of the same label the one with more characters in common.
    pairs = match_spans([(0, 9, "A")], [(0, 3, "A"), (4, 9, "A")])
    assert pairs == [((0, 9, "A"), (4, 9, "A")), (None, (0, 3, "A"))]
    # All even: from left to right.
    pairs = match_spans([(0, 9, "A")], [(0, 3, "A"), (6, 9, "A")])
    assert pairs == [((0, 9, "A"), (0, 3, "A")), (None, (6, 9, "A"))]


def test_partial_credit_survives_the_merging_of_documents():
    gold, predicted = [[(0, 9, "A")]] * 3, [[(0, 8, "A")], [(0, 9, "A")], []]
    together = evaluate_spans(gold, predicted).semeval["partial"]
    assert together == SemevalScore(correct=1, partial=1, missed=1)
    assert (together.p, together.r) == (1.5 / 2, 1.5 / 3)
    # Spans of one document are no partners of another's.
    apart = evaluate_spans([[(0, 3, "A")], []], [[], [(0, 3, "A")]])
    assert apart.errors == ErrorCounts(missed=1, spurious=1)


KINDS = list(ErrorCounts().to_dict())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(LABELS)), max_size=60))
def test_planted_mistakes_are_counted_exactly(plan):
    """Each mistake in a stretch of its own, four stretches to a document."""
    others = {"A": "B", "B": "C", "C": "A"}
    data = []
    for first in range(0, len(plan), 4):
        gold, predicted = [], []
        for i, (kind, label) in enumerate(plan[first : first + 4]):
            start = 10 * i
            if kind != "spurious":
                gold.append((start, start + 3, label))
            end = start + (2 if kind in ("wrong_boundary", "both_wrong") else 3)
            wrong = kind in ("wrong_label", "both_wrong")
            if kind != "missed":
                predicted.append((start, end, others[label] if wrong else label))
        data.append(example(40, gold, predicted))
    evaluation = evaluate(data)
    n = {kind: sum(x == kind for x, _ in plan) for kind in KINDS}
    assert evaluation.errors.to_dict() == n
    for label in LABELS:
        mine = evaluation.errors_per_label.get(label, ErrorCounts()).to_dict()
        assert mine == {kind: plan.count((kind, label)) for kind in KINDS}
    pairs = n["correct"] + n["wrong_label"] + n["wrong_boundary"] + n["both_wrong"]
    assert evaluation.micro == SpanScore(
        n["correct"], pairs + n["spurious"], pairs + n["missed"]
    )
    ends = {"missed": n["missed"], "spurious": n["spurious"]}
    exact, typed = n["correct"] + n["wrong_label"], n["correct"] + n["wrong_boundary"]
    assert evaluation.semeval == {
        "strict": SemevalScore(n["correct"], pairs - n["correct"], **ends),
        "exact": SemevalScore(exact, pairs - exact, **ends),
        "partial": SemevalScore(exact, 0, pairs - exact, **ends),
        "type": SemevalScore(typed, pairs - typed, **ends),
    }
    for label, other in others.items():
        wrong = plan.count(("wrong_label", label)) + plan.count(("both_wrong", label))
        assert evaluation.confusion.get(label, {}).get(other, 0) == wrong


def test_nothing_to_find_and_nothing_found():
    assert prf(SpanScore()) == {"p": 0.0, "r": 0.0, "f": 0.0}
    assert count_spans([], [(0, 1, "A")]) == SpanScore(0, 1, 0)
    assert count_spans([(0, 1, "A")], [(0, 1, "A")] * 2) == SpanScore(1, 1, 1)
    assert SpanScore(1, 2, 3) + SpanScore(4, 5, 6) == SpanScore(5, 7, 9)
    empty = evaluate([])
    assert (empty.micro, empty.macro.f, empty.schema_error_rate) == (SpanScore(), 0.0, None)
    assert json.loads(json.dumps(empty.to_dict()))["documents"] == 0


def test_other_tokens_same_characters():
    text = "Ann Lee left New York"
    gold = Doc(VOCAB, words=["Ann", "Lee", "left", "New", "York"])
    gold.ents = [Span(gold, 0, 2, "A"), Span(gold, 3, 5, "B")]
    found = Doc(
        VOCAB, ["Ann Lee", "left", "Ne", "w", "York"], [True, True, False, True, False]
    )
    assert found.text == gold.text.strip() == text
    gold = Doc(
        VOCAB,
        [t.text for t in gold],
        [True] * 4 + [False],
        ents=["B-A", "I-A", "O", "B-B", "I-B"],
    )
    found.ents = [Span(found, 0, 1, "A"), Span(found, 3, 5, "B")]
    evaluation = evaluate([Example(found, gold)])
    assert evaluation.errors == ErrorCounts(correct=1, wrong_boundary=1)
    # Lengths are counted in tokens of the reference.
    assert evaluation.by_length == {"2": SpanScore(1, 2, 2)}


def test_texts_that_differ_are_refused_without_being_shown():
    data = [example(3, [], []), Example(make_doc(["a"], []), make_doc([CANARY], []))]
    with pytest.raises(ValueError, match="N081|Example 1: the texts") as e:
        evaluate(data)
    assert CANARY not in str(e.value)


def test_what_plain_spans_are_refused():
    with pytest.raises(ValueError, match="Document 1: spans 0-4 and 3-5"):
        evaluate_spans([[], [(3, 5, "A"), (0, 4, "B")]], [[], []])
    with pytest.raises(ValueError, match="Gold has 1 documents and the prediction 2"):
        evaluate_spans([[]], [[], []])


def test_length_surface_tag_genre_and_language():
    train = make_doc(["Acme", "hired", "New", "York"], [(0, 1, "A"), (2, 4, "B")])
    seen = surfaces([train])
    assert seen == {"acme", "new york"}
    words = ["ACME", "and", "Zork", "left", "New", "York", "for", "a", "b", "c", "d", "e"]
    gold = [(0, 1, "A"), (2, 3, "A"), (4, 6, "B"), (7, 12, "C")]
    predicted = [(0, 1, "B"), (2, 3, "A"), (4, 5, "B"), (7, 12, "C")]
    data = [
        example(words, gold, predicted, id="d-1", genre="news", tags=["x", "y"], lang="en"),
        example(3, [(0, 1, "A")], [], id="d-2", genre="chat", tags=["x"]),
    ]
    evaluation = evaluate(data, train_surfaces=seen)
    # ACME is seen whatever its label; "New" alone is not.
    assert evaluation.by_surface == {
        "seen": SpanScore(0, 1, 2),
        "unseen": SpanScore(2, 3, 3),
    }
    assert evaluation.by_length == {
        "1": SpanScore(1, 3, 3),
        "2": SpanScore(0, 0, 1),
        "4+": SpanScore(1, 1, 1),
    }
    assert evaluate(data).by_surface == {}
    assert {x: y.micro for x, y in evaluation.by_tag.items()} == {
        "x": SpanScore(2, 4, 5),
        "y": SpanScore(2, 4, 4),
    }
    assert {x: y.micro.gold for x, y in evaluation.by_genre.items()} == {
        "chat": 1,
        "news": 4,
    }
    assert list(evaluation.by_lang) == ["en"]
    assert [x.id for x in evaluation.documents] == ["d-1", "d-2"]


SCHEMA = EntitySchema.from_labels(LABELS)


def annotated(doc, *candidates):
    annotate(
        doc,
        resolve(doc, [Candidate(*x) for x in candidates], SCHEMA, Rules(0.3)),
        Rules(0.3),
    )
    return doc


def test_schema_errors_and_scores_from_the_group():
    # w0 w1 w2 w3: characters 0-2, 3-5, 6-8, 9-11
    gold = make_doc(4, [(0, 1, "A"), (1, 2, "B")], missing=[3])
    found = annotated(
        make_doc(4, []),
        (0, 2, "A", 0.9),
        (3, 5, "A", 0.6),
        (6, 8, "C", None),
        (9, 11, "A", 0.8),
        (0, 1, "A", 0.9),
        (6, 8, "nobody", 0.9),
        (6, 8, "B", 0.1),
    )
    evaluation = evaluate([Example(found, gold)])
    assert evaluation.candidates == {
        "entity": 4,
        "unknown_label": 1,
        "misaligned": 1,
        "below_threshold": 1,
    }
    assert evaluation.schema_error_rate == 2 / 6
    calibration = evaluation.calibration
    assert (calibration.scores, calibration.right) == ((0.9, 0.6), (True, False))
    assert (calibration.unscored, evaluation.unannotated) == (1, 1)
    assert evaluate([Example(found, gold)], can_err=False).schema_error_rate is None
    assert evaluate([Example(found, gold)], spans_key=None).schema_error_rate is None
    assert evaluate([Example(found, gold)], spans_key="other").candidates == {}


def test_references_without_annotation_do_not_count():
    bare = Doc(VOCAB, words=["w0", "w1"])
    evaluation = evaluate([Example(make_doc(2, [(0, 1, "A")]), bare)])
    assert (evaluation.micro, evaluation.unannotated) == (SpanScore(), 1)
    report = evaluation.to_dict()
    assert (report["documents"], report["without_annotation"]) == (1, 1)


def test_no_text_leaves_and_the_report_is_json():
    gold = make_doc([CANARY, "left"], [(0, 1, "A")], id="d-1", tags=["x"])
    found = annotated(make_doc([CANARY, "left"], []), (0, len(CANARY), "B", 0.7))
    evaluation = evaluate([Example(found, gold)], train_surfaces=frozenset({"x"}))
    report = json.dumps(evaluation.to_dict())
    for text in (
        report,
        repr(evaluation),
        repr(evaluation.documents),
        str(evaluation.errors),
    ):
        assert CANARY not in text
        assert CANARY.lower() not in text
    assert json.loads(report) == evaluation.to_dict()
    assert set(evaluation.to_dict()) == {
        "documents", "without_annotation", "unannotated_predictions", "micro", "macro",
        "per_label", "semeval", "errors", "errors_per_label", "confusion", "by_length",
        "by_surface", "by_tag", "by_genre", "by_lang", "candidates", "schema_error_rate",
        "calibration",
    }  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_the_docstring_examples(name):
    module = importlib.import_module(f"ner_components.evaluation.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
