"""What an LLM answers, read: nothing guessed, nothing lost, no content in an error."""

import json
import math

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from ner_components.errors import Errors
from ner_components.llm.answers import (
    BadItem,
    Item,
    answer_schema,
    fits_enum,
    item_scores,
    ngrams,
    read_answer,
)

ANN = {"text": "Ann", "label": "PERSON", "occurrence": 1}
BOB = {"text": "Bob", "label": "PERSON", "occurrence": 2}
ITEMS = [Item("Ann", "PERSON", 1), Item("Bob", "PERSON", 2)]
PLAIN = json.dumps({"entities": [ANN, BOB]})
BARE = json.dumps([ANN, BOB])
NLP = spacy.blank("en")


def error(number, problem):
    return f"Item {number}: {problem}. Write it again."


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN,
        BARE,
        json.dumps({"entities": [ANN, BOB]}, indent=2),
        f"```json\n{PLAIN}\n```",
        f"```\n{BARE}\n```",
        f"```json\n{PLAIN}",
        f"Here is what I found [1] in {{name}}:\n{PLAIN}\nI hope it helps {{:-)}}",
        PLAIN + "}",
        PLAIN + "\n" + PLAIN,
        PLAIN.replace("}]}", ",},],}"),
        BARE.replace("}]", "}\n,\n]"),
        f"<think>Maybe {BARE[:20]} or {{}}</think>\n{PLAIN}",
        f'a draft: {{"entities": []}} no</think>{PLAIN}',
        '{"note": {"entities": []}, "entities": ' + BARE + "}",
        '{"a": 1} ' + PLAIN,
        PLAIN.replace('"occurrence": 2', '"occurrence": "2"'),
        PLAIN.replace('"occurrence": 2', '"occurrence": " 2 "'),
        PLAIN.replace('"occurrence": 2', '"occurrence": 2.0, "why": ["x", {"a": NaN}]'),
        "\ufeff" + PLAIN,
    ],
)
def test_ways_of_writing_the_same_answer(answer):
    parsed = read_answer(answer, ["PERSON"])
    assert parsed.items == ITEMS
    assert (parsed.errors, parsed.bad, parsed.doubts) == ([], [], [])
    assert parsed.readable
    cut = [[answer[i:j] for i, j in places] for places in parsed.places]
    assert cut == [["Ann", "PERSON"], ["Bob", "PERSON"]]


@pytest.mark.parametrize(
    "answer", ['{"entities": []}', "[]", "```json\n[ ]\n```", '{"entities":[ ],}']
)
def test_an_answer_without_entities_is_an_answer(answer):
    parsed = read_answer(answer)
    assert parsed.readable
    assert (parsed.items, parsed.errors, parsed.bad) == ([], [], [])


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n",
        "There are no entities.",
        "null",
        "{}",
        "[1, 2]",
        "I found [] here",
        '{"entities": null}',
        '{"entities": {"text": "Ann", "label": "PERSON"}}',
        '{"result": {"entities": []}}',
        json.dumps(ANN),
        PLAIN[:-1],
        PLAIN[:-2],
        PLAIN[:60],
        BARE[:-1],
        '[{"text": "Ann", "label": "PERSON", "more": [{"text": "Bob", "label": "X"}]}, {"te',
        '{"entities": [{"text": "Ann", "label": "PERSON", "more": []}, {"te',
        PLAIN + BARE.replace("Ann", "Eve"),
        PLAIN + ' {"entities": [{"te',
        '{"entities": [], "entities": []}',
        PLAIN.replace('"Ann"', "'Ann'"),
        PLAIN.replace("}, {", "} {"),
        PLAIN.replace("}, {", "},, {"),
        '{"entities" []}',
        '{"entities": [{1: 2}]}',
        '{"entities": ' + "[" * 100_000,
        '{"entities": [{"text": ' + "[" * 100_000 + "]" * 100_000 + "}]}",
        '{"a": ' * 100_000,
        "[{" * 100_000,
        "{" * 100_000,
        " " * 100_000,
        '{"' + '\\"' * 100_000,
    ],
)
def test_what_cant_be_read_is_one_error(answer):
    parsed = read_answer(answer, ["PERSON"])
    assert parsed.errors == [
        "The answer can't be read: it is not one whole JSON object. Answer with one JSON object and nothing else."
    ]
    assert (parsed.items, parsed.places, parsed.bad) == ([], [], [BadItem()])
    assert not parsed.readable


def test_an_answer_that_was_cut_off_gives_nothing():
    parsed = read_answer(PLAIN, ["PERSON"], complete=False)
    assert parsed.items == []
    assert parsed.bad == [BadItem()]
    assert parsed.errors == [Errors.N166.format(problem="it was cut off")]
    assert not parsed.readable


def test_a_bad_item_loses_itself_only():
    rows = [
        '{"text": "Ann", "label": "PERSON", "occurrence": 1}',
        '{"text": 5, "label": "PERSON"}',
        '{"text": "Eve", "label": null}',
        '{"label": "PERSON"}',
        '{"text": "Eve"}',
        '"Eve"',
        "null",
        '["Eve", "PERSON"]',
        "{}",
        '{"text": "Eve", "label": "PERSON", "occurrence": true}',
        '{"text": "Eve", "label": "PERSON", "occurrence": 1.5}',
        '{"text": "Eve", "label": "PERSON", "occurrence": "first"}',
        '{"text": "Eve", "label": "PERSON", "occurrence": NaN}',
        '{"text": "Eve", "label": "PERSON", "occurrence": -Infinity}',
        '{"text": "Eve", "text": "Eve", "label": "PERSON"}',
        '{"text": ["Eve"], "label": {"a": 1}}',
        '{"text": "Bob", "label": "PERSON", "occurrence": 2}',
    ]
    parsed = read_answer('{"entities": [' + ", ".join(rows) + "]}", ["PERSON"])
    assert parsed.items == ITEMS
    shape = 'it must be an object with "text", "label" and "occurrence"'
    whole = "occurrence must be a whole number"
    assert parsed.errors == [
        error(2, "text must be a string"),
        error(3, "label must be a string"),
        error(4, "text is missing"),
        error(5, "label is missing"),
        error(6, shape),
        error(7, shape),
        error(8, shape),
        error(9, "text is missing"),
        error(10, whole),
        error(11, whole),
        error(12, whole),
        error(13, whole),
        error(14, whole),
        error(15, "a key is there twice"),
        error(16, "text must be a string"),
    ]
    eve = BadItem("Eve", "PERSON")
    assert parsed.bad == [
        BadItem(None, "PERSON"),
        BadItem("Eve", ""),
        BadItem(None, "PERSON"),
        BadItem("Eve", ""),
        *[BadItem()] * 4,
        *[eve] * 6,
        BadItem(),
    ]
    assert parsed.readable


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("null", None),
        ("0", 0),
        ("-3", -3),
        ('"-3"', -3),
        ("1" * 5000, 1111111111111111111),
        ("-" + "1" * 5000, -111111111111111111),
    ],
)
def test_occurrences_are_read_not_judged(written, read):
    answer = f'[{{"text": "Ann", "label": "P", "occurrence": {written}}}]'
    assert read_answer(answer).items == [Item("Ann", "P", read)]


def test_a_missing_occurrence():
    assert read_answer('[{"text": "Ann", "label": "P"}]').items == [Item("Ann", "P", None)]


def test_labels_are_kept_and_unknown_ones_are_doubts():
    rows = [{"text": "a", "label": x} for x in ("ORG", " org ", "Straße", "strasse", "GPE")]
    parsed = read_answer(json.dumps(rows), ["ORG", "STRASSE"])
    assert [x.label for x in parsed.items] == ["ORG", " org ", "Straße", "strasse", "GPE"]
    assert parsed.doubts == [error(5, "label must be one of the labels asked for")]
    assert parsed.errors == []
    assert read_answer(json.dumps(rows)).doubts == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\ud800", "\ufffd"),
        (r"a\udc00b", "a\ufffdb"),
        (r"\ud83d\ude00", "😀"),
        ("\ud800", "\ufffd"),
        (r"\u0000", "\0"),
        ("New\nYork\t\0", "New\nYork\t\0"),
        (r"a\"b,}", 'a"b,}'),
        ("", ""),
    ],
)
def test_characters_that_are_trouble_elsewhere(written, read):
    answer = f'{{"entities": [{{"text": "{written}", "label": "{written}"}},]}}'
    assert read_answer(answer).items == [Item(read, read, None)]
    bad = read_answer(f'[{{"text": "{written}", "label": 1}}]').bad
    assert bad == [BadItem(read, "")]


def test_ten_thousand_entities():
    parsed = read_answer(json.dumps({"entities": [ANN, BOB, 1, BOB] * 2500}))
    assert (len(parsed.items), len(parsed.errors), len(parsed.places)) == (7500, 2500, 7500)
    assert parsed.errors[-1].startswith("Item 9999: ")


@given(st.text(alphabet='{}[]":,\\ \n`aentiies01.-eE+\ud800\0', max_size=40))
def test_any_text_is_survived(noise):
    for answer in (noise, PLAIN[:30] + noise, PLAIN + noise, noise + PLAIN):
        parsed = read_answer(answer, ["PERSON"])
        assert len(parsed.errors) == len(parsed.bad)
        assert len(parsed.items) == len(parsed.places)
        assert parsed.readable or (parsed.items == [] and len(parsed.errors) == 1)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=4), st.integers(-9, 99))))
def test_what_json_writes_is_read_with_its_places(rows):
    items = [{"text": t, "label": x, "occurrence": n} for t, x, n in rows]
    answer = json.dumps({"entities": items})
    parsed = read_answer(answer)
    assert parsed.items == [tuple(x) for x in rows]
    for item, places in zip(parsed.items, parsed.places, strict=True):
        cut = [json.loads(f'"{answer[i:j]}"') for i, j in places]
        assert cut == [item.text, item.label]


def test_nothing_that_was_said_is_in_an_error_or_a_repr():
    canary = "Zqxwvbanana"
    answers = [
        canary,
        f'{{"entities": [{{"text": "{canary}"',
        f'[{{"text": "{canary}", "label": 1}}, {{"text": 1, "label": "{canary}"}}, "{canary}"]',
        f'[{{"text": "{canary}", "label": "{canary}", "occurrence": "{canary}"}}]',
        f'[{{"text": "{canary}", "label": "{canary}"}}]',
        f'[{{"{canary}": 1, "{canary}": 2}}]',
    ]
    for answer in answers:
        parsed = read_answer(answer, ["PERSON"])
        assert parsed.errors or parsed.doubts
        assert canary not in repr(parsed)


# Schema


def test_the_schema_is_strict():
    assert answer_schema(["ORG", "PERSON", "ORG"], ["Ann", "Bob", "Ann"]) == {
        "type": "object",
        "properties": {
            "entities": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "enum": ["Ann", "Bob"]},
                        "label": {"type": "string", "enum": ["ORG", "PERSON"]},
                        "occurrence": {"type": "integer"},
                    },
                    "required": ["text", "label", "occurrence"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["entities"],
        "additionalProperties": False,
    }
    items = answer_schema(["ORG"])["properties"]["entities"]["items"]
    assert items["properties"]["text"] == {"type": "string"}


def test_an_enum_of_nothing_is_refused():
    with pytest.raises(ValueError, match="No texts to choose from"):
        answer_schema(["ORG"], [])


def test_ngrams_are_stretches_of_the_text_itself():
    doc = NLP("Ann  met\nAnn's, in D.C.")
    assert [x.text for x in doc] == [
        "Ann",
        " ",
        "met",
        "\n",
        "Ann",
        "'s",
        ",",
        "in",
        "D.C.",
    ]
    assert ngrams(doc, 1) == ["Ann", "met", "'s", "in", "D.C."]
    assert ngrams(doc, 2) == [
        "Ann",
        "Ann  met",
        "met",
        "met\nAnn",
        "Ann's",
        "'s",
        "'s,",
        ", in",
        "in",
        "in D.C.",
        "D.C.",
    ]
    assert ngrams(doc[7:9], 5) == ["in", "in D.C.", "D.C."]


def test_ngrams_of_nothing():
    assert ngrams(NLP(""), 3) == []
    assert ngrams(NLP(" \n "), 3) == []
    assert ngrams(NLP("... !"), 3) == []
    assert ngrams(NLP("$"), 3) == ["$"]


@pytest.mark.parametrize(
    ("texts", "values", "chars", "fits"),
    [
        (["ab", "c"], 2, 3, True),
        (["ab", "c"], 1, 3, False),
        (["ab", "c"], 2, 2, False),
        ([], 2, 2, False),
    ],
)
def test_enums_have_limits(texts, values, chars, fits):
    assert fits_enum(texts, values, chars) is fits


def test_the_limits_are_those_of_openai():
    assert fits_enum(["x" * 15] * 1000)
    assert not fits_enum(["x"] * 1001)
    assert not fits_enum(["x" * 15001])


# Scores


def scores_of(tokens, answer=None):
    answer = "".join(x for x, _ in tokens) if answer is None else answer
    return item_scores(answer, tokens, read_answer(answer))


HEAD = [('{"entities": [', -9.0), ('{"', -9.0), ("text", -9.0), ('":', -9.0), (' "', -9.0)]
TAIL = [('"', -9.0), ("}]}", -9.0)]


def test_a_score_is_the_mean_probability_of_text_and_label():
    middle = [
        ("A", math.log(0.5)),
        ("nn", math.log(0.25)),
        ('", "label', -9.0),
        ('": "', -9.0),
    ]
    label = [("PER", 0.0), ("SON", math.log(0.125))]
    # (1/2 * 1/4 * 1 * 1/8) ** (1/4) = (1/64) ** (1/4)
    (score,) = scores_of(HEAD + middle + label + TAIL)
    assert score == pytest.approx(64**-0.25, abs=1e-12)


def test_a_token_that_overlaps_counts_once_and_whole():
    tokens = [
        ('[{"text":', -9.0),
        (' "Ann', math.log(0.5)),
        ('", "label": ', -9.0),
        ('"P"}', math.log(0.5)),
        ("]", -9.0),
    ]
    assert scores_of(tokens) == [pytest.approx(0.5, abs=1e-12)]
    whole = '[{"text": "Ann", "label": "P"}]'
    assert scores_of([(whole, math.log(0.25)), ("", -9.0)]) == [pytest.approx(0.25)]


def test_each_item_has_its_own_score():
    answer = '[{"text": "Ann", "label": "P"}, 7, {"text": "Ann", "label": "P"}]'
    last = answer.rindex("Ann")
    tokens = [(x, math.log(0.5) if i >= last else 0.0) for i, x in enumerate(answer)]
    assert scores_of(tokens) == [1.0, pytest.approx(0.5)]


@pytest.mark.parametrize("value", [0.5, math.nan, math.inf])
def test_no_score_from_what_is_no_log_probability(value):
    answer = '[{"text": "A", "label": "P"}, {"text": "B", "label": "P"}]'
    at = answer.index("A")
    tokens = [(x, value if i == at else 0.0) for i, x in enumerate(answer)]
    assert scores_of(tokens) == [None, 1.0]


def test_a_token_without_a_chance():
    answer = '[{"text": "A", "label": "P"}]'
    assert scores_of([(x, -math.inf) for x in answer]) == [0.0]


def test_no_scores_where_the_tokens_are_not_the_answer():
    answer = '[{"text": "é", "label": "P"}]'
    parsed = read_answer(answer)
    assert item_scores(answer, None, parsed) == [None]
    assert item_scores(answer, [], parsed) == [None]
    broken = [
        ('[{"text": "', 0.0),
        ("\ufffd", 0.0),
        ("\ufffd", 0.0),
        ('", "label": "P"}]', 0.0),
    ]
    assert scores_of(broken, answer) == [None]


def test_an_empty_text_is_scored_by_its_label():
    tokens = [('[{"text": "', -9.0), ('", "label": "', -9.0), ("P", 0.0), ('"}]', -9.0)]
    assert scores_of(tokens) == [1.0]
