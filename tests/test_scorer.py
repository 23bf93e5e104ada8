"""The scorer against spaCy's, seqeval's and a pencil's."""

from collections import Counter

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example

from ner_components.entities import Candidate, Rules, annotate, resolve
from ner_components.evaluation.scorer import make_ner_scorer, ner_score, schema_error_rate
from ner_components.schema import EntitySchema

VOCAB = spacy.blank("en").vocab
LABELS = ["A", "B", "C"]
SCHEMA = EntitySchema.from_labels(LABELS)


def make_doc(length, spans, missing=()):
    """A document of numbered words, `spans` as (start, end, label) over tokens."""
    doc = Doc(VOCAB, words=[f"w{i}" for i in range(length)])
    ents = [Span(doc, i, j, label=label) for i, j, label in spans]
    doc.set_ents(ents, missing=[doc[i : i + 1] for i in missing], default="outside")
    return doc


def example(length, predicted, gold, missing=()):
    return Example(make_doc(length, predicted), make_doc(length, gold, missing))


@st.composite
def spans(draw, length):
    """Entities free of overlap, neighbours of one label included."""
    found, start = [], 0
    while start < length:
        end = start + draw(st.integers(1, 3))
        label = draw(st.sampled_from(["", "", *LABELS]))
        if label and end <= length:
            found.append((start, end, label))
        start = end
    return found


@st.composite
def examples(draw):
    """Predictions with some of the gold entities among them."""
    result = []
    for length in draw(st.lists(st.integers(0, 10), max_size=5)):
        gold = draw(spans(length))
        other = draw(spans(length))
        kept = [x for x in gold if draw(st.booleans())]
        taken = {i for x in kept for i in range(x[0], x[1])}
        predicted = kept + [x for x in other if taken.isdisjoint(range(x[0], x[1]))]
        result.append(example(length, predicted, gold))
    return result


ENTS = ("ents_p", "ents_r", "ents_f", "ents_per_type")


@settings(max_examples=150, deadline=None)
@given(examples())
def test_ents_equal_spacys_both_scorers(data):
    found = ner_score(data)
    assert {k: found[k] for k in ENTS} == get_ner_prf(data)
    expected = Scorer.score_spans(data, "ents")
    assert {k: found[k] for k in ENTS} == expected


def tags(doc):
    return [f"{t.ent_iob_}-{t.ent_type_}" if t.ent_type_ else "O" for t in doc]


@settings(max_examples=150, deadline=None)
@given(examples())
def test_micro_scores_equal_seqevals_strict_ones(data):
    gold = [tags(eg.reference) for eg in data if len(eg.reference)]
    predicted = [tags(eg.predicted) for eg in data if len(eg.reference)]
    found = ner_score(data)
    if found["ents_f"] is None:
        assert {x for row in gold + predicted for x in row} <= {"O"}
        return
    options = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    assert found["ents_p"] == pytest.approx(precision_score(gold, predicted, **options))
    assert found["ents_r"] == pytest.approx(recall_score(gold, predicted, **options))
    assert found["ents_f"] == pytest.approx(f1_score(gold, predicted, **options))


def test_macro_is_the_mean_over_the_labels_of_the_gold_data():
    data = [
        example(10, [(0, 1, "A"), (2, 3, "A"), (5, 6, "C")], [(0, 1, "A"), (4, 6, "B")]),
        example(10, [(0, 2, "B")], [(0, 2, "B"), (4, 5, "B")]),
    ]
    found = ner_score(data)
    # A: p 1/2, r 1/1; B: p 1/1, r 1/3; C was never in the gold data.
    assert found["ents_per_type"]["A"]["f"] == pytest.approx(2 / 3)
    assert found["ents_per_type"]["B"]["f"] == pytest.approx(1 / 2)
    assert found["ents_per_type"]["C"]["f"] == 0.0
    assert found["ents_macro_f"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["ents_p"] == pytest.approx(2 / 4)
    assert found["ents_r"] == pytest.approx(2 / 4)
    assert found["ents_f"] == pytest.approx(1 / 2)


def test_a_gold_label_that_is_never_found_counts_as_zero_in_the_macro():
    found = ner_score([example(4, [(0, 1, "A")], [(0, 1, "A"), (2, 3, "B")])])
    assert found["ents_macro_f"] == 0.5


@pytest.mark.parametrize("data", [[], [example(0, [], [])], [example(3, [], [])]])
def test_nothing_to_score_is_none_not_zero(data):
    assert ner_score(data) == {
        "ents_p": None,
        "ents_r": None,
        "ents_f": None,
        "ents_per_type": None,
        "ents_macro_f": None,
        "ner_counts": {},
        "ner_schema_error_rate": None,
    }


def test_predictions_without_gold_entities_have_no_macro():
    found = ner_score([example(3, [(0, 1, "A")], [])])
    assert (found["ents_p"], found["ents_r"], found["ents_f"]) == (0.0, 0.0, 0.0)
    assert found["ents_macro_f"] is None


def test_missing_gold_annotation_is_neither_right_nor_wrong():
    unannotated = Example(make_doc(3, [(0, 1, "A")]), Doc(VOCAB, words=["w0", "w1", "w2"]))
    assert not unannotated.reference.has_annotation("ENT_IOB")
    assert ner_score([unannotated])["ents_f"] is None
    partly = example(6, [(0, 1, "A"), (3, 5, "B")], [(0, 1, "A")], missing=[4])
    found = ner_score([unannotated, partly])
    assert found["ents_p"] == found["ents_r"] == found["ents_macro_f"] == 1.0
    wrong = example(6, [(0, 1, "A"), (2, 4, "B")], [(0, 1, "A")], missing=[4])
    assert ner_score([wrong])["ents_p"] == 0.5


def test_boundaries_and_labels_must_both_be_right():
    predicted = [(0, 2, "A"), (4, 6, "B"), (7, 8, "A")]
    gold = [(0, 3, "A"), (4, 6, "A"), (7, 8, "A")]
    found = ner_score([example(9, predicted, gold)])
    assert found["ents_f"] == pytest.approx(1 / 3)


def test_a_prediction_on_other_tokens_is_scored_by_characters():
    predicted = Doc(
        VOCAB, words=["New", "York", "-", "based"], spaces=[True, False, False, False]
    )
    predicted.ents = [Span(predicted, 0, 2, label="A")]
    gold = Doc(
        VOCAB, words=["New", "Yo", "rk", "-based"], spaces=[True, False, False, False]
    )
    gold.ents = [Span(gold, 0, 3, label="A")]
    assert ner_score([Example(predicted, gold)])["ents_f"] == 1.0


# Counts and the schema error rate


def annotated(candidates, **settings):
    """An example whose prediction was written by the one writer of the group."""
    doc = Doc(VOCAB, words=["w0", "w1", "w2", "w3"])
    rules = Rules(**settings)
    annotate(doc, resolve(doc, candidates, SCHEMA, rules), rules)
    return Example(doc, make_doc(4, [(0, 1, "A")]))


MIXED = [
    Candidate(0, 2, "A", 0.9),  # entity
    Candidate(0, 2, "A", 0.8),  # duplicate
    Candidate(0, 5, "A", 0.7),  # overlap: it contains the entity
    Candidate(3, 4, "B", 0.9),  # misaligned
    Candidate(3, 5, "X", 0.9),  # unknown label
    Candidate(3, 99, "B", 0.9),  # not in text
    Candidate(None, None, "", None, None, "invalid_output"),
    Candidate(6, 8, "B", 0.1),  # below threshold
    Candidate(6, 8, "X", 0.1),  # below threshold, whatever its label
]


def test_the_schema_error_rate_by_hand():
    data = [annotated(MIXED, threshold=0.5), annotated([Candidate(0, 2, "A", 0.9)])]
    found = ner_score(data)
    assert found["ner_counts"] == {
        "entity": 2,
        "unknown_label": 1,
        "not_in_text": 1,
        "misaligned": 1,
        "invalid_output": 1,
        "below_threshold": 2,
        "overlap": 1,
        "duplicate": 1,
    }
    # 4 errors among the 8 candidates that are not below their threshold.
    assert found["ner_schema_error_rate"] == 4 / 8


def test_the_rate_is_none_where_it_cannot_be_known():
    data = [annotated(MIXED)]
    assert ner_score(data, can_err=False)["ner_schema_error_rate"] is None
    assert ner_score(data, spans_key=None)["ner_schema_error_rate"] is None
    assert ner_score(data, spans_key="other")["ner_schema_error_rate"] is None
    assert schema_error_rate({}) is None
    assert schema_error_rate({"below_threshold": 3}) is None
    assert schema_error_rate({"entity": 3}) == 0.0
    assert schema_error_rate({"entity": 3, "misaligned": 1, "below_threshold": 9}) == 0.25


def test_counts_are_read_from_the_group_that_the_pipe_writes():
    data = [annotated(MIXED, spans_key="found")]
    assert ner_score(data)["ner_counts"] == {}
    assert ner_score(data, spans_key="found")["ner_counts"]["entity"] == 2


def test_a_group_of_somebody_else_is_not_counted():
    eg = annotated([])
    eg.predicted.spans["ner"] = [eg.predicted[0:1]]
    assert ner_score([eg])["ner_counts"] == {}


def test_examples_may_come_as_a_generator():
    data = [annotated(MIXED, threshold=0.5)]
    assert make_ner_scorer()(iter(data)) == ner_score(data)
    assert Counter(ner_score(data)["ner_counts"]).total() == len(MIXED)
