"""Every candidate ends in exactly one state: by hand, then for anything at all."""

import json
import math
from collections import Counter

import pytest
import spacy
import srsly
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span, SpanGroup

from ner_components.entities import (
    ALIGNMENT_MODES,
    OVERLAPS,
    PRESET_ENTS,
    REASONS,
    STATES,
    Candidate,
    Rules,
    annotate,
    clean_text,
    get_ner_score,
    preset_ents,
    realign,
    resolve,
)
from ner_components.schema import EntitySchema

BLANK = spacy.blank("en")
VOCAB = BLANK.vocab
SCHEMA = EntitySchema.from_labels(
    [
        "PERSON",
        {"name": "ORG", "aliases": ["company"]},
        {"name": "TICKER", "threshold": 0.8},
    ]
)
C = Candidate
#       0         1         2         3         4
#       0123456789012345678901234567890123456789012
TEXT = "Tim Cook of Acme Holdings Inc. bought ACMH."
WORDS = ["Tim", "Cook", "of", "Acme", "Holdings", "Inc.", "bought", "ACMH", "."]


def make_doc(words=WORDS, spaces=None):
    if spaces is None:
        spaces = [True] * (len(words) - 2) + [False, False]
    return Doc(VOCAB, words=words, spaces=spaces)


def run(doc, candidates, schema=SCHEMA, **settings):
    """RETURNS: resolution, after it has been written into the document."""
    rules = Rules(**settings)
    resolution = resolve(doc, candidates, schema, rules)
    annotate(doc, resolution, rules)
    return resolution


def ents(doc):
    return [(x.start_char, x.end_char, x.label_) for x in doc.ents]


def reasons(resolution):
    return [(x.candidate, x.reason) for x in resolution.rejections]


def test_the_sentence_of_these_tests_is_what_it_says():
    doc = make_doc()
    assert doc.text == TEXT
    assert TEXT[12:30] == "Acme Holdings Inc."
    assert TEXT[38:42] == "ACMH"


# States and reasons


def test_an_entity_keeps_its_characters_schema_label_and_score():
    doc = make_doc()
    result = run(
        doc, [C(38, 42, "ticker", 0.9), C(0, 8, "PERSON", None), C(12, 30, "company", 0.5)]
    )
    assert ents(doc) == [(0, 8, "PERSON"), (12, 30, "ORG"), (38, 42, "TICKER")]
    assert [x._.ner_score for x in doc.ents] == [None, 0.5, 0.9]
    assert result.counts == {"entity": 3}
    group = doc.spans["ner"]
    assert [(x.start, x.end, x.label_) for x in group] == [
        (0, 2, "PERSON"),
        (3, 6, "ORG"),
        (7, 8, "TICKER"),
    ]
    assert group.attrs == {
        "ner_components": 1,
        "starts": [0, 12, 38],
        "ends": [8, 30, 42],
        "labels": ["PERSON", "ORG", "TICKER"],
        "scores": [None, 0.5, 0.9],
        "states": ["entity", "entity", "entity"],
        "counts": {"entity": 3},
        "rejected": [],
    }


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (C(0, 8, "PLANET", 0.9), "unknown_label"),
        (C(0, 8, "PLANET", None), "unknown_label"),
        (C(None, None, "PERSON", 0.9), "not_in_text"),
        (C(0, None, "PERSON", 0.9), "not_in_text"),
        (C(-3, 3, "PERSON", 0.9), "not_in_text"),
        (C(38, 44, "TICKER", 0.9), "not_in_text"),
        (C(8, 0, "PERSON", 0.9), "not_in_text"),
        (C(4, 4, "PERSON", 0.9), "not_in_text"),
        (C(0, 8, "PERSON", 0.9, "Tim cook"), "not_in_text"),
        (C(0, 6, "PERSON", 0.9), "misaligned"),
        (C(0, 9, "PERSON", 0.9), "misaligned"),
        (C(3, 8, "PERSON", 0.9), "misaligned"),
        (C(3, 4, "PERSON", 0.9), "misaligned"),
        (C(0, 8, "PERSON", math.nan), "invalid_output"),
        (C(0, 8, "PERSON", math.inf), "invalid_output"),
        (C(0, 8, "PERSON", 1.01), "invalid_output"),
        (C(0, 8, "PERSON", -0.01), "invalid_output"),
        (C(0, 8, "PERSON", 0.49), "below_threshold"),
        (C(0, 8, "PLANET", 0.49), "below_threshold"),
        (C(38, 42, "TICKER", 0.79), "below_threshold"),
        (C(None, None, "PERSON", None, None, "not_in_text"), "not_in_text"),
        (C(None, None, "", None, None, "invalid_output"), "invalid_output"),
        (C(0, 8, "PERSON", 0.9, None, "no such reason"), "invalid_output"),
        (C(0, 8, "PERSON", 0.9, None, "overlap"), "invalid_output"),
    ],
)
def test_a_rejected_candidate_is_counted_once_and_kept_with_its_reason(candidate, reason):
    doc = make_doc()
    result = run(doc, [candidate], threshold=0.5)
    assert reasons(result) == [(candidate, reason)]
    assert result.counts == {reason: 1}
    assert doc.ents == ()
    (row,) = doc.spans["ner"].attrs["rejected"]
    assert row["reason"] == reason
    assert (row["start_char"], row["end_char"]) == candidate[:2]
    assert row["label"] == candidate.label
    assert list(doc.spans["ner"]) == []


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (C(0, 8, "PERSON", 0.5), (0, 8, "PERSON")),
        (C(0, 8, "PERSON", 1.0), (0, 8, "PERSON")),
        (C(38, 42, "TICKER", 0.8), (38, 42, "TICKER")),
        (C(38, 42, "TICKER", None), (38, 42, "TICKER")),
        (C(0, 8, "PERSON", 0.9, "Tim Cook"), (0, 8, "PERSON")),
        (C(38, 43, "TICKER", 0.9), (38, 43, "TICKER")),
    ],
)
def test_limits_belong_to_what_is_kept(candidate, expected):
    doc = make_doc()
    run(doc, [candidate], threshold=0.5)
    assert ents(doc) == [expected]


def test_rejected_rows_say_what_stood_there():
    doc = make_doc()
    run(
        doc,
        [
            C(12, 25, "PLANET", 0.9),
            C(None, None, "ORG", 0.9, "Acme GmbH"),
            C(None, None, "ORG", 0.9),
            C(0, 8, "PERSON", math.nan),
        ],
    )
    rows = doc.spans["ner"].attrs["rejected"]
    row = {"start_char": None, "end_char": None, "label": "ORG", "score": 0.9}
    assert rows == [
        {
            "start_char": 12,
            "end_char": 25,
            "label": "PLANET",
            "score": 0.9,
            "reason": "unknown_label",
            "text": "Acme Holdings",
        },
        {**row, "reason": "not_in_text", "text": "Acme GmbH"},
        {**row, "reason": "not_in_text", "text": None},
        {
            "start_char": 0,
            "end_char": 8,
            "label": "PERSON",
            "score": None,
            "reason": "invalid_output",
            "text": "Tim Cook",
        },
    ]


# Alignment


@pytest.mark.parametrize(
    ("mode", "start", "end", "expected"),
    [
        ("strict", 12, 30, (12, 30)),
        ("contract", 12, 30, (12, 30)),
        ("expand", 12, 30, (12, 30)),
        # "im Cook of A"
        ("strict", 1, 13, None),
        ("contract", 1, 13, (4, 11)),
        ("expand", 1, 13, (0, 16)),
        # "Tim " and " Cook": white space between tokens is no part of either
        ("strict", 0, 4, None),
        ("contract", 0, 4, (0, 3)),
        ("expand", 3, 8, (4, 8)),
        # "m Co" has no whole token in it
        ("contract", 2, 6, None),
        ("expand", 2, 6, (0, 8)),
        # the space alone
        ("contract", 3, 4, None),
        ("expand", 3, 4, None),
    ],
)
def test_alignment_modes(mode, start, end, expected):
    doc = make_doc()
    result = run(doc, [C(start, end, "PERSON", 0.9)], alignment_mode=mode)
    if expected is None:
        assert result.counts == {"misaligned": 1}
        assert doc.ents == ()
    else:
        assert ents(doc) == [(*expected, "PERSON")]


@pytest.mark.parametrize(
    ("start", "end", "cut"),
    [
        (1, 8, [[0, 3]]),
        (0, 6, [[4, 8]]),
        (1, 6, [[0, 3], [4, 8]]),
        (1, 2, [[0, 3]]),
        (1, 14, [[0, 3], [12, 16]]),
        (0, 9, []),
        (3, 4, []),
    ],
)
def test_a_misaligned_candidate_names_the_tokens_it_cuts(start, end, cut):
    doc = make_doc()
    run(doc, [C(start, end, "PERSON", 0.9)])
    (row,) = doc.spans["ner"].attrs["rejected"]
    assert row["reason"] == "misaligned"
    assert row["cut"] == cut


@pytest.mark.parametrize(
    ("mode", "start", "end", "expected"),
    [
        ("strict", 4, 7, (4, 7)),
        ("strict", 1, 7, None),
        ("strict", 4, 9, None),
        ("strict", 4, 12, (4, 12)),
        ("strict", 7, 9, None),
        ("contract", 1, 9, (4, 7)),
        ("contract", 7, 9, None),
        ("expand", 2, 8, (4, 7)),
        ("expand", 2, 10, (4, 12)),
        ("expand", 0, 4, (0, 1)),
    ],
)
def test_white_space_tokens_never_begin_or_end_an_entity(mode, start, end, expected):
    # 0 A | 1 "   " | 4 New | 7 "\n\n" | 9 Bay | 12 .
    doc = make_doc(["A", "   ", "New", "\n\n", "Bay", "."], [False] * 6)
    assert doc.text == "A   New\n\nBay."
    run(doc, [C(start, end, "ORG", 0.9)], alignment_mode=mode)
    assert ents(doc) == ([] if expected is None else [(*expected, "ORG")])


# Overlap, duplicates, nesting

NAME, HOLDINGS, BOTH = C(12, 16, "ORG", 0.9), C(17, 30, "ORG", 0.6), C(12, 25, "ORG", 0.7)


@pytest.mark.parametrize(
    ("overlap", "candidates", "kept"),
    [
        ("score", [BOTH, HOLDINGS], [(12, 25)]),
        ("longest", [BOTH, HOLDINGS], [(12, 25)]),
        ("first", [HOLDINGS, BOTH], [(12, 25)]),
        ("score", [BOTH, HOLDINGS._replace(score=0.8)], [(17, 30)]),
        ("first", [HOLDINGS._replace(score=0.8), BOTH], [(12, 25)]),
        # "of Acme" 0.6 against "Acme Holdings Inc." 0.5, then 0.7
        ("score", [C(9, 16, "ORG", 0.6), C(12, 30, "ORG", 0.5)], [(9, 16)]),
        ("longest", [C(9, 16, "ORG", 0.6), C(12, 30, "ORG", 0.5)], [(12, 30)]),
        ("first", [C(12, 30, "ORG", 0.7), C(9, 16, "ORG", 0.6)], [(9, 16)]),
        # a tie in the score goes to the longer, a tie in length to the first
        ("score", [C(9, 16, "ORG", 0.5), C(12, 30, "ORG", 0.5)], [(12, 30)]),
        ("score", [C(12, 25, "ORG", 0.5), C(17, 30, "ORG", 0.5)], [(12, 25)]),
        ("longest", [C(12, 25, "ORG", 0.4), C(17, 30, "ORG", 0.5)], [(17, 30)]),
        # a None among the scores makes it "longest" for the document
        ("score", [C(9, 16, "ORG", 0.9), C(12, 30, "ORG", None)], [(12, 30)]),
        (
            "score",
            [C(9, 16, "ORG", 0.9), C(12, 30, "ORG", 0.2), C(38, 42, "TICKER", None)],
            [(12, 30), (38, 42)],
        ),
        # between three: the winner in the middle leaves neither of its neighbours
        (
            "score",
            [C(0, 11, "ORG", 0.5), C(4, 16, "ORG", 0.9), C(12, 25, "ORG", 0.6)],
            [(4, 16)],
        ),
        # ... and the loser in the middle makes room for both
        (
            "score",
            [C(0, 8, "ORG", 0.6), C(4, 16, "ORG", 0.5), C(12, 25, "ORG", 0.6)],
            [(0, 8), (12, 25)],
        ),
    ],
)
def test_which_of_two_overlapping_candidates_stays(overlap, candidates, kept):
    for order in (candidates, candidates[::-1]):
        doc = make_doc()
        result = run(doc, order, overlap=overlap)
        assert [x[:2] for x in ents(doc)] == kept
        assert result.counts == {
            "entity": len(kept),
            "overlap": len(candidates) - len(kept),
        }


def test_the_same_span_with_two_labels_is_an_overlap_and_never_decided_by_order():
    pair = [C(0, 8, "PERSON", 0.5), C(0, 8, "ORG", 0.5)]
    for order in (pair, pair[::-1]):
        doc = make_doc()
        result = run(doc, order)
        assert ents(doc) == [(0, 8, "ORG")]
        assert reasons(result) == [(pair[0], "overlap")]


def test_duplicates_are_counted_and_the_best_score_stays():
    doc = make_doc()
    low, high = C(12, 30, "ORG", 0.4), C(12, 30, "company", 0.8)
    result = run(doc, [low, high, low])
    assert ents(doc) == [(12, 30, "ORG")]
    assert doc.ents[0]._.ner_score == 0.8
    assert reasons(result) == [(low, "duplicate"), (low, "duplicate")]
    assert result.counts == {"entity": 1, "duplicate": 2}


def test_candidates_that_align_to_one_span_are_duplicates():
    doc = make_doc()
    result = run(
        doc, [C(0, 6, "PERSON", 0.9), C(1, 8, "PERSON", 0.8)], alignment_mode="expand"
    )
    assert ents(doc) == [(0, 8, "PERSON")]
    assert result.counts == {"entity": 1, "duplicate": 1}


def test_what_lies_inside_an_entity_is_nested_and_kept_in_the_group_only():
    doc = make_doc()
    result = run(
        doc, [C(12, 30, "ORG", 0.9), C(12, 16, "PERSON", 0.5), C(17, 25, "ORG", 0.4)]
    )
    assert ents(doc) == [(12, 30, "ORG")]
    assert result.counts == {"entity": 1, "nested": 2}
    group = doc.spans["ner"]
    assert [(x.text, x.label_, x._.ner_score) for x in group] == [
        ("Acme", "PERSON", 0.5),
        ("Acme Holdings Inc.", "ORG", 0.9),
        ("Holdings", "ORG", 0.4),
    ]
    assert group.attrs["states"] == ["nested", "entity", "nested"]


def test_what_contains_an_entity_is_an_overlap():
    doc = make_doc()
    result = run(doc, [C(12, 30, "ORG", 0.5), C(12, 16, "PERSON", 0.9)])
    assert ents(doc) == [(12, 16, "PERSON")]
    assert result.counts == {"entity": 1, "overlap": 1}


def test_a_span_across_two_entities_is_nested_in_neither():
    doc = make_doc()
    result = run(doc, [C(0, 8, "PERSON", 0.9), C(9, 16, "ORG", 0.9), C(4, 11, "ORG", 0.5)])
    assert result.counts == {"entity": 2, "overlap": 1}


# Preset and blocked


def with_preset(*, kb_id="", span_id=""):
    doc = make_doc()
    doc.set_ents([Span(doc, 3, 5, label="FIRM", kb_id=kb_id, span_id=span_id)])
    return doc


def test_preset_entities_are_kept_with_their_ids():
    doc = with_preset(kb_id="Q1", span_id="rule-7")
    candidates = [C(12, 30, "ORG", 0.9), C(12, 16, "ORG", 0.9), C(0, 8, "PERSON", 0.9)]
    result = run(doc, candidates)
    assert ents(doc) == [(0, 8, "PERSON"), (12, 25, "FIRM")]
    assert (doc.ents[1].kb_id_, doc.ents[1].id_) == ("Q1", "rule-7")
    assert result.counts == {"entity": 1, "preset": 2}
    assert doc.ents[1]._.ner_score is None


def test_replaced_preset_entities_leave_nothing_behind():
    doc = with_preset(kb_id="Q1", span_id="rule-7")
    result = run(doc, [C(12, 16, "ORG", 0.9)], preset_ents="replace")
    assert ents(doc) == [(12, 16, "ORG")]
    assert result.counts == {"entity": 1}
    assert [(t.ent_type_, t.ent_kb_id_, t.ent_id_) for t in doc[3:5]] == [
        ("ORG", "", ""),
        ("", "", ""),
    ]


def test_replace_keeps_what_no_entity_overlaps():
    doc = with_preset(kb_id="Q1")
    run(doc, [C(0, 8, "PERSON", 0.9)], preset_ents="replace")
    assert ents(doc) == [(0, 8, "PERSON"), (12, 25, "FIRM")]
    assert doc.ents[1].kb_id_ == "Q1"


def test_an_entity_of_an_earlier_run_that_is_gone_leaves_no_ids():
    doc = make_doc()
    run(doc, [C(12, 30, "ORG", 0.5)])
    for token in doc.ents[0]:  # as an entity linker does
        token.ent_kb_id_ = "Q1"
    run(doc, [C(12, 30, "ORG", 0.5)], threshold=0.9)
    assert ents(doc) == []
    assert [t.ent_kb_id_ for t in doc] == [""] * len(doc)


@pytest.mark.parametrize("mode", PRESET_ENTS)
@pytest.mark.parametrize("spans_key", ["ner", "other", None])
def test_running_twice_changes_nothing(mode, spans_key):
    candidates = [
        C(0, 8, "PERSON", 0.9),
        C(0, 3, "PERSON", 0.5),
        C(17, 30, "ORG", 0.9),
        C(38, 42, "TICKER", 0.1),
    ]
    doc = with_preset(kb_id="Q1", span_id="rule-7")
    run(doc, candidates, preset_ents=mode, spans_key=spans_key)
    first = doc.to_json(), doc.to_bytes()
    run(doc, candidates, preset_ents=mode, spans_key=spans_key)
    assert doc.to_json() == first[0]
    assert doc.to_bytes() == first[1]


def test_preset_ents_are_those_that_our_group_does_not_know():
    doc = with_preset()
    run(doc, [C(0, 8, "PERSON", 0.9)])
    assert [x.text for x in preset_ents(doc, "ner")] == ["Acme Holdings"]
    assert [x.text for x in preset_ents(doc, "elsewhere")] == ["Tim Cook", "Acme Holdings"]
    assert [x.text for x in preset_ents(doc, None)] == ["Tim Cook", "Acme Holdings"]


@pytest.mark.parametrize("mode", PRESET_ENTS)
def test_blocked_tokens_are_never_entities_and_stay_blocked(mode):
    doc = make_doc()
    doc.set_ents([], blocked=[doc[4:5]], default="missing")
    result = run(doc, [C(12, 30, "ORG", 0.9), C(12, 16, "ORG", 0.9)], preset_ents=mode)
    assert ents(doc) == [(12, 16, "ORG")]
    assert result.counts == {"entity": 1, "preset": 1}
    assert (doc[4].ent_iob_, doc[4].ent_type_) == ("B", "")
    assert [t.ent_iob_ for t in doc] == ["O", "O", "O", "B", "B", "O", "O", "O", "O"]


# The group


def test_counts_stay_complete_when_rejections_are_capped():
    doc = make_doc()
    result = run(
        doc, [C(0, 8, "PLANET", 0.9)] * 7 + [C(0, 8, "PERSON", 0.9)], max_rejections=3
    )
    attrs = doc.spans["ner"].attrs
    assert len(attrs["rejected"]) == 3
    assert attrs["counts"] == {"entity": 1, "unknown_label": 7} == result.counts
    doc = make_doc()
    run(doc, [C(0, 8, "PLANET", 0.9)], max_rejections=0)
    assert doc.spans["ner"].attrs["rejected"] == []
    assert doc.spans["ner"].attrs["counts"] == {"unknown_label": 1}


def test_no_group_where_there_is_nothing_to_record():
    doc = make_doc()
    run(doc, [])
    assert "ner" not in doc.spans
    assert doc.has_annotation("ENT_IOB")
    run(doc, [C(0, 8, "PERSON", 0.9)])
    assert "ner" in doc.spans
    run(doc, [])
    assert "ner" not in doc.spans
    assert doc.ents == ()


def test_no_group_without_a_spans_key():
    doc = make_doc()
    run(doc, [C(0, 8, "PERSON", 0.9)], spans_key=None)
    assert ents(doc) == [(0, 8, "PERSON")]
    assert dict(doc.spans) == {}
    assert doc.ents[0]._.ner_score is None


def test_a_group_that_somebody_else_wrote_is_an_error_and_stays():
    doc = make_doc()
    doc.spans["ner"] = SpanGroup(doc, name="ner", spans=[doc[0:1]], attrs={"mine": 1})
    with pytest.raises(ValueError, match=r"doc\.spans\['ner'\] already holds spans") as e:
        run(doc, [C(0, 8, "PERSON", 0.9)])
    assert "Set `spans_key` of 'ner' to another name (or null for no group)" in str(e.value)
    assert doc.ents == ()
    assert doc.spans["ner"].attrs == {"mine": 1}


def test_a_score_is_never_a_neighbours():
    doc = make_doc()
    run(doc, [C(0, 8, "PERSON", 0.9), C(12, 30, "ORG", 0.8), C(12, 16, "ORG", 0.7)])
    assert get_ner_score(doc[0:2]) is None  # no label
    assert get_ner_score(Span(doc, 0, 2, label="ORG")) is None
    assert get_ner_score(Span(doc, 0, 1, label="PERSON")) is None
    assert get_ner_score(Span(doc, 0, 2, label="PERSON")) == 0.9
    assert get_ner_score(Span(doc, 3, 4, label="ORG")) == 0.7
    assert get_ner_score(Span(doc, 3, 6, label="ORG")) == 0.8
    doc.spans["ner"] = [doc[0:2]]
    assert get_ner_score(Span(doc, 0, 2, label="PERSON")) is None


def test_realign_follows_the_characters_and_drops_what_no_token_border_fits():
    doc = make_doc()
    run(doc, [C(12, 30, "ORG", 0.9), C(12, 16, "ORG", 0.7), C(38, 42, "TICKER", 0.9)])
    before = dict(doc.spans["ner"].attrs)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[3:6])
    realign(doc)
    assert [(x.start, x.end, x.text) for x in doc.spans["ner"]] == [
        (3, 4, "Acme Holdings Inc."),
        (5, 6, "ACMH"),
    ]
    assert doc.spans["ner"].attrs == before
    assert [x._.ner_score for x in doc.ents] == [0.9, 0.9]


# Text that breaks things


def test_lone_surrogates_are_replaced_before_they_reach_a_doc():
    assert clean_text("a\ud83db") == "a?b"
    assert clean_text("a😀\u200db") == "a😀\u200db"
    doc = make_doc()
    run(
        doc,
        [
            C(None, None, "OR\udc00G", 0.9, "Ac\ud83dme"),
            C(0, 3, "PERSON", None, "Ti\ud83d"),
        ],
    )
    copy = Doc(VOCAB).from_bytes(doc.to_bytes())
    rows = copy.spans["ner"].attrs["rejected"]
    assert [(x["label"], x["text"]) for x in rows] == [("OR?G", "Ac?me"), ("PERSON", "Ti?")]


def test_characters_outside_the_basic_plane_count_as_one():
    doc = make_doc(["😀", "Ann", "👨‍👩‍👧", "Bo", "."])
    start = doc.text.index("Bo")
    assert start == len("😀 Ann 👨‍👩‍👧 ") == 12
    run(doc, [C(2, 5, "PERSON", 0.9), C(12, 14, "PERSON", 0.9)])
    assert [x.text for x in doc.ents] == ["Ann", "Bo"]


def test_offsets_too_large_to_store_are_not_stored():
    doc = make_doc()
    run(doc, [C(0, 10**30, "ORG", 0.9), C(-(10**30), 3, "ORG", 0.9)])
    copy = Doc(VOCAB).from_bytes(doc.to_bytes())
    rows = copy.spans["ner"].attrs["rejected"]
    assert [(x["start_char"], x["end_char"]) for x in rows] == [(0, None), (None, 3)]


# Anything at all

ODD = [
    "\u200b",
    "\u200d",
    "\ufe0f",
    "\u0301",
    "\x00",
    "\x1f",
    "\u2028",
    " ",
    "\n\t",
    "İ",
    "👩‍🚀",
    "ﷺ",
]
characters = st.characters(exclude_categories=["Cs"])
words = st.lists(
    st.one_of(
        st.sampled_from([*ODD, "Ann", "Acme", "."]),
        st.text(characters, min_size=1, max_size=5),
    ),
    max_size=8,
)
numbers = st.one_of(st.none(), st.integers(-3, 45), st.integers())
scores = st.one_of(
    st.none(),
    st.sampled_from([0, 1, 0.5, -1, 2, math.nan, math.inf, -math.inf]),
    st.floats(0, 1),
)
labels = st.one_of(
    st.sampled_from(["PERSON", "ORG", "company", "ticker", "PLANET", ""]), st.text()
)
candidates = st.lists(
    st.builds(
        Candidate,
        numbers,
        numbers,
        labels,
        scores,
        st.one_of(st.none(), st.none(), st.text(max_size=3)),
        st.sampled_from([None, None, None, "misaligned", "invalid_output", "nonsense"]),
    ),
    max_size=12,
)
rules = st.builds(
    Rules,
    threshold=st.sampled_from([0.0, 0.5, 1.0]),
    alignment_mode=st.sampled_from(ALIGNMENT_MODES),
    overlap=st.sampled_from(OVERLAPS),
    preset_ents=st.sampled_from(PRESET_ENTS),
    spans_key=st.sampled_from(["ner", None]),
    max_rejections=st.sampled_from([0, 2, 100]),
)


@st.composite
def documents(draw):
    """A document of any tokens, with entities and blocked tokens set before."""
    found = draw(words)
    spaces = draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    doc = Doc(VOCAB, words=found, spaces=spaces)
    kinds = draw(
        st.lists(
            st.sampled_from(["", "", "", "preset", "blocked"]),
            min_size=len(doc),
            max_size=len(doc),
        )
    )
    # spaCy itself has no entity of white space.
    preset = [
        Span(doc, i, i + 1, label="FIRM", kb_id="Q1")
        for i, kind in enumerate(kinds)
        if kind == "preset" and not doc[i].is_space
    ]
    blocked = [doc[i : i + 1] for i, kind in enumerate(kinds) if kind == "blocked"]
    doc.set_ents(preset, blocked=blocked)
    return doc


def aligned_somewhere(doc):
    """Candidates on token borders, so that many are kept."""
    borders = [(t.idx, t.idx + len(t)) for t in doc]
    pairs = st.tuples(st.sampled_from(borders), st.sampled_from(borders)).map(sorted)
    return st.lists(
        st.builds(
            lambda x, label, score: C(x[0][0], x[1][1], label, score),
            pairs,
            st.sampled_from(["PERSON", "ORG", "TICKER"]),
            st.one_of(st.none(), st.floats(0, 1)),
        ),
        max_size=8,
    )


@settings(max_examples=400, deadline=None)
@given(data=st.data(), rules=rules)
def test_any_candidates_on_any_document_end_in_one_state_each(data, rules):
    doc = data.draw(documents())
    proposed = data.draw(candidates)
    if len(doc):
        proposed = proposed + data.draw(aligned_somewhere(doc))
    blocked = [t.i for t in doc if t.ent_iob == 3 and not t.ent_type]
    before = doc.to_bytes()
    resolution = resolve(doc, proposed, SCHEMA, rules)
    assert doc.to_bytes() == before

    # Every candidate once.
    counts = resolution.counts
    assert sum(counts.values()) == len(proposed)
    assert set(counts) <= {*STATES, *REASONS}
    rejected = Counter(repr(x.candidate) for x in resolution.rejections)
    assert not rejected - Counter(repr(x) for x in proposed)

    preset = preset_ents(doc, rules.spans_key)
    annotate(doc, resolution, rules)

    # doc.ents: ours and the preset ones, nothing else, no overlap, no blocked token.
    ours = [(x.start_char, x.end_char, x.label) for x in resolution.entities]
    if rules.preset_ents == "replace":
        taken = {i for x in resolution.entities for i in range(x.start, x.end)}
        preset = [x for x in preset if taken.isdisjoint(range(x.start, x.end))]
    kept = [(x.start_char, x.end_char, x.label_) for x in preset]
    assert ents(doc) == sorted([*ours, *kept])
    tokens = [t.i for x in doc.ents for t in x]
    assert len(tokens) == len(set(tokens))
    assert not set(tokens) & set(blocked)
    assert [t.i for t in doc if t.ent_iob == 3 and not t.ent_type] == blocked
    for x in doc.ents:
        assert not x[0].is_space
        assert not x[-1].is_space
    if rules.alignment_mode == "strict":
        offered = {(c.start_char, c.end_char, SCHEMA.resolve(c.label)) for c in proposed}
        assert offered >= set(ours)

    # The group can be stored anywhere and is what was decided.
    copy = Doc(VOCAB).from_bytes(doc.to_bytes())
    assert ents(copy) == ents(doc)
    if rules.spans_key is None or not proposed:
        assert "ner" not in doc.spans
        return
    attrs = doc.spans["ner"].attrs
    assert srsly.msgpack_loads(srsly.msgpack_dumps(attrs)) == attrs
    assert json.loads(json.dumps(attrs, allow_nan=False)) == attrs
    assert copy.spans["ner"].attrs == attrs
    assert attrs["counts"] == counts
    assert len(attrs["rejected"]) == min(len(resolution.rejections), rules.max_rejections)
    assert attrs["starts"] == sorted(attrs["starts"])
    assert [(x.start_char, x.end_char, x.label_) for x in doc.spans["ner"]] == list(
        zip(attrs["starts"], attrs["ends"], attrs["labels"], strict=True)
    )
    for x in resolution.entities:
        assert get_ner_score(Span(doc, x.start, x.end, label=x.label)) == x.score


@settings(max_examples=100, deadline=None)
@given(data=st.data(), rules=rules)
def test_running_twice_changes_nothing_for_any_document(data, rules):
    doc = data.draw(documents())
    if not len(doc):
        return
    proposed = data.draw(aligned_somewhere(doc))
    annotate(doc, resolve(doc, proposed, SCHEMA, rules), rules)
    first = doc.to_bytes()
    annotate(doc, resolve(doc, proposed, SCHEMA, rules), rules)
    assert doc.to_bytes() == first


@settings(max_examples=100, deadline=None)
@given(data=st.data(), rules=rules)
def test_the_engines_order_never_decides(data, rules):
    doc = data.draw(documents())
    if not len(doc):
        return
    proposed = data.draw(aligned_somewhere(doc))
    shuffled = data.draw(st.permutations(proposed))
    a, b = resolve(doc, proposed, SCHEMA, rules), resolve(doc, shuffled, SCHEMA, rules)
    assert a.entities == b.entities
    assert a.nested == b.nested
    assert a.counts == b.counts


@settings(max_examples=100, deadline=None)
@given(text=st.text(characters, max_size=60), data=st.data())
def test_any_text_through_the_tokenizer_keeps_offsets_exact(text, data):
    doc = BLANK.make_doc(text)
    if not len(doc):
        return
    proposed = data.draw(aligned_somewhere(doc))
    run(doc, proposed)
    for ent in doc.ents:
        assert doc.text[ent.start_char : ent.end_char] == ent.text
