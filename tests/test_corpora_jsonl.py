"""JSON lines of annotation tools: exact offsets, nothing lost without a count, and a line
number for whatever can't be read."""

import gzip
import json
from collections import Counter

import pytest
import spacy

from ner_components.corpora.forms import READERS
from ner_components.corpora.jsonl import detect_jsonl, read_jsonl
from ner_components.corpora.offsets import Entity
from ner_components.corpora.records import Context, Marked

NLP = spacy.blank("en")
CANARY = "Quillfeather"
FIREFIGHTER = "👩🏽‍🚒"  # 4 code points, 7 UTF-16 units, 1 grapheme


def read(tmp_path, rows, name="a.jsonl", **options):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(x) for x in rows) + "\n", encoding="utf8")
    return list(read_jsonl(path, NLP, **options))


def read_one(tmp_path, row, **options):
    ((doc, cut),) = read(tmp_path, [row], **options)
    return doc, cut


def ents(doc):
    return [(e.text, e.label_) for e in doc.ents]


def prodigy(text, spans, **more):
    row = {"text": text, "spans": spans, "_input_hash": -12, "_task_hash": 3}
    return row | {"answer": "accept", "_view_id": "ner_manual"} | more


def span(start, end, label, **more):
    return {"start": start, "end": end, "label": label} | more


def task(text, values, **more):
    result = [
        {"from_name": "label", "to_name": "text", "type": "labels", "value": x}
        for x in values
    ]
    done = {"id": 7, "result": result, "was_cancelled": False, "ground_truth": False}
    return {
        "id": 4,
        "data": {"text": text},
        "annotations": [done],
        "predictions": [],
    } | more


# The same sentence as each tool writes it: "Ann Li left Rome".
TEXT = "Ann Li left Rome"
RESULT = [("Ann Li", "PERSON"), ("Rome", "LOC")]
FORMS = [
    ("spacy", {"text": TEXT, "spans": [span(0, 6, "PERSON"), span(12, 16, "LOC")]}),
    ("spacy", {"text": TEXT, "entities": [[0, 6, "PERSON"], [12, 16, "LOC"]]}),
    ("spacy", [TEXT, {"entities": [[0, 6, "PERSON"], [12, 16, "LOC"]]}]),
    ("prodigy", prodigy(TEXT, [span(0, 6, "PERSON"), span(12, 16, "LOC")])),
    (
        "prodigy",
        prodigy(
            TEXT,
            [
                span(0, 6, "PERSON", token_start=0, token_end=1),
                span(12, 16, "LOC", token_start=3, token_end=3, text="Rome"),
            ],
            tokens=[
                {"text": "Ann", "start": 0, "end": 3, "id": 0, "ws": True},
                {"text": "Li", "start": 4, "end": 6, "id": 1, "ws": True},
                {"text": "left", "start": 7, "end": 11, "id": 2, "ws": True},
                {"text": "Rome", "start": 12, "end": 16, "id": 3, "ws": False},
            ],
        ),
    ),
    ("doccano", {"id": 1, "text": TEXT, "label": [[0, 6, "PERSON"], [12, 16, "LOC"]]}),
    ("doccano", {"id": 1, "text": TEXT, "labels": [[0, 6, "PERSON"], [12, 16, "LOC"]]}),
    (
        "doccano",
        {
            "id": 1,
            "text": TEXT,
            "Comments": [],
            "entities": [
                {"id": 8, "label": "PERSON", "start_offset": 0, "end_offset": 6},
                {"id": 9, "label": "LOC", "start_offset": 12, "end_offset": 16},
            ],
            "relations": [],
        },
    ),
    (
        "labelstudio",
        task(
            TEXT,
            [
                {"start": 0, "end": 6, "text": "Ann Li", "labels": ["PERSON"]},
                {"start": 12, "end": 16, "text": "Rome", "labels": ["LOC"]},
            ],
        ),
    ),
    (
        "labelstudio",
        {
            "text": TEXT,
            "id": 4,
            "label": [
                {"start": 0, "end": 6, "text": "Ann Li", "labels": ["PERSON"]},
                {"start": 12, "end": 16, "text": "Rome", "labels": ["LOC"]},
            ],
            "annotator": 1,
            "annotation_id": 7,
            "created_at": "2024-05-01T08:00:00Z",
            "lead_time": 3.5,
        },
    ),
    (
        "tokens",
        {"tokens": TEXT.split(), "ents": [[0, 2, "PERSON"], [3, 4, "LOC"]], "doc": None},
    ),
]


@pytest.mark.parametrize(("name", "row"), FORMS)
@pytest.mark.parametrize("given", [True, False])
def test_every_form_gives_the_same_document(tmp_path, name, row, given):
    assert detect_jsonl(row) == name
    notes = Counter()
    doc, cut = read_one(tmp_path, row, format=name if given else None, notes=notes)
    assert doc.text.strip() == TEXT
    assert ents(doc) == RESULT
    assert [t.ent_iob for t in doc] == [3, 1, 2, 3]
    assert (cut, notes) == ([], {})


@pytest.mark.parametrize("name", ["spacy", "prodigy", "doccano", "labelstudio"])
def test_a_json_list_on_one_line_or_many_and_gzipped(tmp_path, name):
    row = next(x for form, x in FORMS if form == name)
    for i, indent in enumerate((None, 2)):
        path = tmp_path / f"{i}.json.gz"
        with gzip.open(path, "wt", encoding="utf8") as file:
            json.dump([row, row], file, indent=indent)
        docs = [doc for doc, _ in read_jsonl(path, NLP, format=name)]
        assert [ents(doc) for doc in docs] == [RESULT, RESULT]


def test_one_object_over_several_lines(tmp_path):
    path = tmp_path / "task_4.json"
    path.write_text(json.dumps(FORMS[8][1], indent=1))
    ((doc, _),) = read_jsonl(path, NLP)
    assert ents(doc) == RESULT


def test_byte_order_mark_and_carriage_returns(tmp_path):
    path = tmp_path / "a.jsonl"
    row = json.dumps(FORMS[0][1])
    path.write_bytes(f"\ufeff{row}\r\n\r\n{row}\r\n".encode())
    assert [ents(doc) for doc, _ in read_jsonl(path, NLP)] == [RESULT, RESULT]


@pytest.mark.parametrize(
    "record",
    [
        {"text": "a"},
        {"text": "a", "label": []},
        {"text": "a", "entities": []},
        {"text": "a", "label": "positive"},
        {"text": "a", "answer": "forty-two"},
        {"text": "a", "label": [[0, 1, "X"]], "entities": [[0, 1, "X"]]},
        {"text": "a", "annotations": [{"label": 2, "start_offset": 0, "end_offset": 1}]},
        {"tokens": ["a"], "tags": [0]},
        {"tokens": ["a"], "ner_tags": ["O"]},
        {"text": "a", "spans": ["b"]},
        ["a", "b"],
        ["a", {"cats": {}}],
        "a",
        7,
        None,
    ],
)
def test_what_could_be_told_wrong_is_not_told(record):
    assert detect_jsonl(record) is None


def test_empty_records_are_told_by_what_only_one_tool_writes():
    rest = {"text": "a", "id": 1}
    assert detect_jsonl(rest | {"label": [], "Comments": []}) == "doccano"
    assert detect_jsonl(rest | {"entities": [], "relations": []}) == "doccano"
    assert detect_jsonl(rest | {"annotation_id": 3, "annotator": 1}) == "labelstudio"
    assert detect_jsonl({"text": "a", "spans": []}) == "spacy"
    assert detect_jsonl(prodigy("a", [])) == "prodigy"
    assert detect_jsonl({"tokens": [], "ents": []}) == "tokens"


def test_records_without_entities_before_the_first_one_with(tmp_path):
    rows = [{"id": 1, "text": "ok", "label": []}, FORMS[5][1], {"text": "no", "label": []}]
    docs = [doc for doc, _ in read(tmp_path, rows)]
    assert [ents(doc) for doc in docs] == [[], RESULT, []]
    assert all(doc.has_annotation("ENT_IOB") for doc in docs)
    assert [doc.user_data.get("id") for doc in docs] == ["1", "1", None]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (FORMS[0][1] | {"id": "d-1", "lang": "de"}, {"id": "d-1", "lang": "de"}),
        (FORMS[0][1] | {"id": 0}, {"id": "0"}),
        (FORMS[0][1] | {"id": True, "lang": 3, "meta": "x"}, {}),
        (
            FORMS[3][1] | {"meta": {"id": "m-1", "lang": "pt", "source": "x"}},
            {"id": "m-1", "lang": "pt"},
        ),
        (FORMS[3][1], {"id": "-12"}),
        (FORMS[8][1], {"id": "4"}),
        (FORMS[10][1] | {"doc": "w-3", "lang": "en"}, {"id": "w-3", "lang": "en"}),
    ],
)
def test_source_id_and_language(tmp_path, row, expected):
    assert read_one(tmp_path, row)[0].user_data == expected


# Prodigy


def test_prodigy_answers_other_than_accept_are_dropped_and_counted(tmp_path):
    rows = [
        prodigy("a", [], answer="reject"),
        prodigy("b", [], answer="ignore"),
        prodigy("c", [], answer="ignore"),
        prodigy("Rome", [span(0, 4, "LOC")]),
    ]
    notes = Counter()
    ((doc, _),) = read(tmp_path, rows, notes=notes)
    assert doc.text == "Rome"
    assert notes == {"answer: reject": 1, "answer: ignore": 2}


def test_prodigy_tokens_are_the_tokens(tmp_path):
    # Neither the split nor the white space is what spaCy's tokenizer would make.
    text = "GmbH&Co  Ulm"
    tokens = [
        {"text": "GmbH", "start": 0, "end": 4, "id": 0},
        {"text": "&", "start": 4, "end": 5, "id": 1},
        {"text": "Co", "start": 5, "end": 7, "id": 2},
        {"text": " ", "start": 8, "end": 9, "id": 3},
        {"text": "Ulm", "start": 9, "end": 12, "id": 4},
    ]
    # token_start and token_end are both inclusive; without start and end they do alone.
    spans = [span(0, 7, "ORG"), {"token_start": 4, "token_end": 4, "label": "LOC"}]
    doc, cut = read_one(tmp_path, prodigy(text, spans, tokens=tokens))
    assert [t.text for t in doc] == ["GmbH", "&", "Co", " ", "Ulm"]
    assert (doc.text, cut) == (text, [])
    assert ents(doc) == [("GmbH&Co", "ORG"), ("Ulm", "LOC")]


def test_prodigy_binary_answers_say_nothing_about_other_tokens(tmp_path):
    notes = Counter()
    row = prodigy(TEXT, [span(12, 16, "LOC")], _view_id="ner")
    doc, _ = read_one(tmp_path, row, notes=notes)
    assert [t.ent_iob for t in doc] == [0, 0, 0, 3]
    assert notes == {"accepted alone: other tokens left unannotated": 1}


def test_prodigy_tasks_without_spans(tmp_path):
    row = prodigy(TEXT, [])
    del row["spans"]
    doc, _ = read_one(tmp_path, row)
    assert [t.ent_iob for t in doc] == [2, 2, 2, 2]
    # An accepted category says nothing about entities.
    row = row | {"_view_id": "classification", "label": "NEWS"}
    with pytest.raises(ValueError, match="line 1: not in the format: spans"):
        read_one(tmp_path, row)


# Overlap and white space


@pytest.mark.parametrize("form", ["prodigy", "labelstudio", "spacy", "doccano"])
def test_of_overlapping_spans_the_longest_stays(tmp_path, form):
    text = "Bank of England in New York City"
    marked = [
        (8, 15, "LOC"),  # in Bank of England
        (0, 15, "ORG"),
        (0, 15, "ORG"),
        (0, 15, "BANK"),  # as long, later
        (19, 27, "LOC"),  # as long as York City, and first
        (23, 32, "LOC"),
        (5, 9, "X"),  # cuts a token of England
    ]
    rows = {
        "prodigy": prodigy(text, [span(*x) for x in marked], _view_id="spans_manual"),
        "labelstudio": task(
            text, [{"start": a, "end": b, "labels": [x]} for a, b, x in marked]
        ),
        "spacy": {"text": text, "entities": marked},
        "doccano": {"text": text, "label": marked},
    }
    notes = Counter()
    doc, cut = read_one(tmp_path, rows[form], notes=notes)
    assert ents(doc) == [("Bank of England", "ORG"), ("York City", "LOC")]
    assert sorted((s.text, s.label_) for s in doc.spans["nested"]) == [
        ("Bank of England", "BANK"),
        ("England", "LOC"),
    ]
    assert cut == []
    assert notes == {"duplicate": 1, "nested": 2, "nested, cut": 1, "overlap: LOC": 1}


def test_white_space_at_the_borders_is_trimmed(tmp_path):
    notes = Counter()
    row = {"text": "to  Rome \n now", "entities": [[3, 11, "LOC"], [2, 4, "X"]]}
    doc, cut = read_one(tmp_path, row, notes=notes)
    assert (ents(doc), cut) == ([("Rome", "LOC")], [])
    assert notes == {"white space trimmed": 1, "white space only": 1}


def test_an_entity_that_cuts_a_token_is_returned(tmp_path):
    row = {"text": "take apixaban5mg", "spans": [span(5, 13, "DRUG")]}
    doc, cut = read_one(tmp_path, row)
    assert cut == [Entity(5, 13, "DRUG")]
    assert [t.ent_iob for t in doc] == [2, 0, 2]


# What offsets count

EMOJI = f"{FIREFIGHTER} Ann left Rome"


@pytest.mark.parametrize(
    ("units", "offsets"),
    [("code points", (14, 18)), ("utf-16", (17, 21)), ("graphemes", (11, 15))],
)
@pytest.mark.parametrize("form", ["doccano", "spacy", "labelstudio"])
def test_offsets_in_a_named_unit(tmp_path, units, offsets, form):
    if units == "graphemes":
        pytest.importorskip("regex")
    value = {"start": offsets[0], "end": offsets[1], "labels": ["LOC"]}
    rows = {
        "doccano": {"text": EMOJI, "label": [[*offsets, "LOC"]]},
        "spacy": {"text": EMOJI, "entities": [[*offsets, "LOC"]]},
        "labelstudio": task(EMOJI, [value]),
    }
    notes = Counter()
    doc, _ = read_one(tmp_path, rows[form], units=units, notes=notes)
    assert ents(doc) == [("Rome", "LOC")]
    converted = {f"offsets converted from {units}": 1}
    assert notes == ({} if units == "code points" else converted)


def test_doccano_counts_utf_16_units(tmp_path):
    rows = [
        {"text": EMOJI, "label": [[17, 21, "LOC"]]},
        {
            "text": "😀 Ann",
            "entities": [{"label": "PERSON", "start_offset": 3, "end_offset": 6}],
        },
        {"text": "é Ann", "label": [[2, 5, "PERSON"]]},
    ]
    notes = Counter()
    docs = [doc for doc, _ in read(tmp_path, rows, notes=notes)]
    assert [ents(doc) for doc in docs] == [
        [("Rome", "LOC")],
        [("Ann", "PERSON")],
        [("Ann", "PERSON")],
    ]
    assert notes == {"offsets converted from utf-16": 2}


@pytest.mark.parametrize(("offsets", "converted"), [((14, 18), 0), ((17, 21), 1)])
def test_label_studio_counts_what_the_surface_text_proves(tmp_path, offsets, converted):
    value = {"start": offsets[0], "end": offsets[1], "text": "Rome", "labels": ["LOC"]}
    notes = Counter()
    doc, _ = read_one(tmp_path, task(EMOJI, [value]), notes=notes)
    assert ents(doc) == [("Rome", "LOC")]
    assert notes.total() == converted


# Label Studio


def test_label_studio_annotations_that_count(tmp_path):
    rome = {"start": 12, "end": 16, "text": "Rome", "labels": ["LOC"]}
    first = task(TEXT, [rome])
    good = first["annotations"][0]
    cancelled = good | {"was_cancelled": True}
    other = good | {"result": []}
    choice = {"type": "choices", "value": {"choices": ["news"]}, "from_name": "topic"}
    relation = {"type": "relation", "from_id": "a", "to_id": "b"}
    bare = {"type": "labels", "value": {"start": 0, "end": 3, "labels": []}}
    rows = [
        first | {"annotations": [cancelled, good, other]},
        first | {"annotations": [cancelled]},
        first | {"annotations": []},
        first | {"annotations": [good | {"result": [choice, relation, bare]}]},
    ]
    notes = Counter()
    docs = [doc for doc, _ in read(tmp_path, rows, notes=notes)]
    assert [ents(doc) for doc in docs] == [[("Rome", "LOC")], []]
    assert notes == {
        "other annotation of the same text": 1,
        "not annotated": 2,
        "region of type choices": 1,
        "region of type relation": 1,
        "region without a label": 1,
    }


def test_label_studio_before_1_0_and_a_text_of_another_name(tmp_path):
    row = task(TEXT, [{"start": 12, "end": 16, "labels": ["LOC"]}])
    row["completions"] = row.pop("annotations")
    row["data"] = {"body": TEXT, "year": 2020}
    assert ents(read_one(tmp_path, row)[0]) == [("Rome", "LOC")]


def test_label_studio_regions_with_two_labels_and_line_breaks(tmp_path):
    value = {"start": 3, "end": 11, "text": "New\\nYork", "labels": ["LOC", "GPE"]}
    doc, _ = read_one(tmp_path, task("in New\nYork", [value]))
    assert ents(doc) == [("New\nYork", "LOC")]
    assert [(s.text, s.label_) for s in doc.spans["nested"]] == [("New\nYork", "GPE")]


def test_label_studio_json_min(tmp_path):
    done = FORMS[9][1]
    rows = [
        done,
        # Another annotation of task 4, one without entities, and a task without any.
        done | {"annotation_id": 8},
        {"text": "ok", "id": 5, "annotation_id": 9, "annotator": 1},
        {"text": "no", "id": 6, "annotation_id": None, "annotator": {}},
        # The key of the regions is the name of the project's tag.
        {"text": "Rome", "id": 7, "ner": [{"start": 0, "end": 4, "labels": ["LOC"]}]},
    ]
    notes = Counter()
    docs = [doc for doc, _ in read(tmp_path, rows, notes=notes)]
    assert [ents(doc) for doc in docs] == [RESULT, [], [("Rome", "LOC")]]
    assert notes == {"other annotation of the same text": 1, "not annotated": 1}


# What is refused


BAD = [
    (None, "{", "not JSON"),
    (None, '{"text": "a"', "not JSON (column"),
    (None, '["a", {"entities": []}', "not JSON"),
    (None, "7", "no JSON object"),
    (None, '["a", "b"]', "no JSON object"),
    (None, '[{"text": "a", "spans": []}]', "no JSON object"),
    (None, '{"text": "a"}', "tokens: Field required"),
    (None, json.dumps(FORMS[5][1]), "form of doccano among those of tokens"),
    ("spacy", '{"spans": []}', "text: Field required"),
    ("spacy", '{"text": 7, "spans": []}', "text: Input should be a valid string"),
    ("spacy", '{"text": "abc", "entities": [[0, 1]]}', "entities.0"),
    ("spacy", '{"text": "abc", "entities": [[0, "1", "X"]]}', "entities.0.1"),
    ("spacy", '{"text": "abc", "entities": [[0, true, "X"]]}', "entities.0.1"),
    ("spacy", '{"text": "abc", "entities": [[0, 1.5, "X"]]}', "entities.0.1"),
    (
        "spacy",
        '{"text": "abc", "entities": [[0, 4, "X"]]}',
        "(0 to 4) is empty or lies outside",
    ),
    (
        "spacy",
        '{"text": "abc", "entities": [[-2, 1, "X"]]}',
        "(-2 to 1) is empty or lies outside",
    ),
    (
        "spacy",
        '{"text": "abc", "entities": [[1, 1, "X"]]}',
        "(1 to 1) is empty or lies outside",
    ),
    ("spacy", '{"text": "abc", "entities": [[0, 3, " "]]}', "empty label"),
    ("spacy", '{"text": "a\\ud83d", "entities": []}', "half a character"),
    ("prodigy", '{"text": "abc", "spans": [], "answer": "maybe"}', "answer is not"),
    ("prodigy", '{"text": "abc", "spans": [{"label": "X"}]}', "without start and end"),
    (
        "prodigy",
        json.dumps(prodigy("abc", [span(0, 3, "X", text="abd")])),
        "own text is not what stands",
    ),
    (
        "prodigy",
        json.dumps(prodigy("ab", [], tokens=[{"text": "a", "start": 0, "end": 1}])),
        "are not the text",
    ),
    (
        "prodigy",
        json.dumps(
            prodigy(
                "ab",
                [span(0, 1, "X", token_start=0, token_end=0)],
                tokens=[{"text": "ab", "start": 0, "end": 2}],
            )
        ),
        "contradict",
    ),
    (
        "prodigy",
        json.dumps(
            prodigy(
                "ab",
                [{"token_start": 0, "token_end": 1, "label": "X"}],
                tokens=[{"text": "ab", "start": 0, "end": 2}],
            )
        ),
        "outside the text",
    ),
    (
        "doccano",
        '{"text": "\\ud83d\\ude00b", "label": [[1, 3, "X"]]}',
        "inside a character",
    ),
    ("doccano", '{"text": "\\ud83d\\ude00b", "label": [[0, 4, "X"]]}', "outside the text"),
    (
        "doccano",
        '{"text": "abc", "entities": [{"label": 2, "start_offset": 0}]}',
        "entities.0",
    ),
    ("doccano", '{"text": "abc"}', "label: Input should be a valid list"),
    (
        "labelstudio",
        json.dumps(task("abc", [{"start": 0, "end": 2, "text": "bc", "labels": ["X"]}])),
        "own text is not what stands",
    ),
    (
        "labelstudio",
        json.dumps(task("abc", [{"start": "0", "end": 2, "labels": ["X"]}])),
        "region 1: start",
    ),
    (
        "labelstudio",
        json.dumps(task("abc", [])).replace(
            '"result": []', '"result": [{"type": "hypertextlabels", "value": {}}]'
        ),
        "region of type hypertextlabels",
    ),
    ("labelstudio", '{"data": {"a": "b", "c": "d"}, "annotations": [{}]}', "is unclear"),
    ("labelstudio", '{"data": {"text": "b"}, "annotations": 1}', "annotations"),
    ("labelstudio", '{"text": "abc", "id": 1}', "no annotations"),
    ("tokens", '{"tokens": ["a", ""], "ents": []}', "a token is empty"),
    ("tokens", '{"tokens": ["a"], "ents": [[0, 2, "X"]]}', "outside the text"),
    ("tokens", '{"tokens": ["a", "b"], "ents": [[0, 2, "X"], [1, 2, "Y"]]}', "overlap"),
]
GOOD = {
    "spacy": {"text": CANARY, "spans": []},
    "prodigy": prodigy(CANARY, []),
    "doccano": {"text": CANARY, "label": []},
    "labelstudio": task(CANARY, []),
    "tokens": {"tokens": [CANARY], "ents": []},
}


@pytest.mark.parametrize(("format", "line", "problem"), BAD)
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path, format, line, problem):
    path = tmp_path / "bad.jsonl"
    good = json.dumps(GOOD[format or "tokens"])
    path.write_text(f"{good}\n\n{line}\n{good}\n", encoding="utf8")
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 3: ") as e:
        list(read_jsonl(path, NLP, format=format))
    assert problem in str(e.value)
    # A remedy follows.
    assert str(e.value).rstrip().endswith(".")
    assert str(e.value).count(". ") >= 1


def test_no_message_and_no_traceback_holds_text(tmp_path):
    lines = [
        json.dumps({"text": CANARY, "entities": [[0, CANARY, CANARY]]}),
        json.dumps({"text": [CANARY], "spans": []}),
        json.dumps(task(CANARY, [{"start": 0, "end": 3, "text": CANARY, "labels": ["X"]}])),
        json.dumps(prodigy("abc", [span(0, 3, "X", text=CANARY)])),
        json.dumps({"text": CANARY, "entities": [[0, 99, "X"]]}),
        f'{{"text": "{CANARY}',
        f'["{CANARY}", 7]',
        f'[{{"text": "{CANARY}", "spans": [',
        json.dumps({"text": CANARY + "\ud83d", "spans": []}),
        json.dumps({"text": CANARY, "answer": CANARY}),
    ]
    for line in lines:
        path = tmp_path / "bad.jsonl"
        path.write_text(f"{line}\n", encoding="utf8")
        with pytest.raises(ValueError, match="line 1: ") as e:
            list(read_jsonl(path, NLP))
        assert CANARY not in str(e.value)
        error = e.value
        while error is not None:
            assert CANARY not in f"{error!s} {error!r} {vars(error)}"
            shown = error.__cause__ or (
                None if error.__suppress_context__ else error.__context__
            )
            error = shown


def test_no_repr_holds_text():
    for form, row in GOOD.items():
        assert CANARY not in repr(READERS[form](row, Context(Counter())))
    assert repr(Marked(0, 3, "X", CANARY)) == "Marked(0, 3, 'X')"


def test_lines_of_a_list_that_is_wrong(tmp_path):
    path = tmp_path / "bad.json"
    text = json.dumps([GOOD["spacy"], GOOD["spacy"]], indent=1)
    # Line 1 is "[", the objects are lines 2 to 5 and 6 to 9, line 10 is "]".
    assert text.count("\n") == 9
    head, tail = text.rsplit("spans", 1)
    for broken, line, problem in [
        (f"{head}marks{tail}", 6, "spans: Field required"),
        (text[:-1], 9, "cut off"),
        (text.replace("},", "}"), 6, "goes wrong here"),
        (text[: text.rindex(CANARY)], 7, "not JSON"),
        (text + "x", 10, "more text after"),
        (text + "\n\n{}", 12, "more text after"),
        ("\n\n" + text[:-1], 11, "cut off"),
    ]:
        path.write_text(broken)
        with pytest.raises(ValueError, match=rf"bad\.json, line {line}: .*{problem}"):
            list(read_jsonl(path, NLP, format="spacy"))


def test_a_first_record_that_nothing_tells(tmp_path):
    with pytest.raises(
        ValueError, match="line 1: .*none of the known forms.*Name the format"
    ):
        read(tmp_path, [{"text": CANARY, "marks": []}])


def test_bytes_that_are_not_utf_8_and_damaged_gzip(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"text": "a", "spans": []}\n{"text": "\xe4", "spans": []}\n')
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 2: .*not UTF-8"):
        list(read_jsonl(path, NLP))
    path = tmp_path / "bad.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a", "spans": []}\n' * 99)[:-12])
    with pytest.raises(ValueError, match=r"bad\.jsonl\.gz, line \d+: .*damaged"):
        list(read_jsonl(path, NLP))


def test_unknown_formats_and_units_are_refused(tmp_path):
    for options in ({"format": "brat"}, {"units": "bytes"}):
        with pytest.raises(ValueError, match="is not known. Use one of"):
            list(read_jsonl(tmp_path / "a.jsonl", NLP, **options))


def test_an_empty_list_is_no_corpus(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[ ]\n")
    with pytest.raises(ValueError, match="holds no documents"):
        list(read_jsonl(path, NLP))
