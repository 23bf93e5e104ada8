"""The schema: every form it is given in, every way it is refused, every look-up."""

import json
from pathlib import Path

import pytest

from ner_components.schema import EntitySchema, Label, load_schema

RICH = [
    {"name": "PERSON", "description": "a human being", "aliases": ["PER", "human"]},
    {"name": "TICKER", "threshold": 0.7, "must": ["Buy [[ACME|TICKER]]."]},
    "ORG",
]


def test_names_and_mappings_mix_and_keep_their_order():
    schema = EntitySchema.from_labels(RICH, version="2")
    assert schema.names == ("PERSON", "TICKER", "ORG")
    assert len(schema) == 3
    assert [x.name for x in schema] == ["PERSON", "TICKER", "ORG"]
    assert schema["PERSON"] == Label(
        name="PERSON", description="a human being", aliases=("PER", "human")
    )
    assert schema["ORG"] == Label(name="ORG")
    assert "ORG" in schema
    assert "PER" not in schema
    assert schema.version == "2"
    assert repr(schema) == "EntitySchema(['PERSON', 'TICKER', 'ORG'])"


@pytest.mark.parametrize("form", [RICH, {"labels": RICH}, {"version": 3, "labels": RICH}])
def test_a_file_is_a_list_or_a_mapping_with_labels(tmp_path, form):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(form), encoding="utf8")
    schema = EntitySchema.from_file(path)
    assert list(schema) == list(EntitySchema.from_labels(RICH))
    assert schema.version == ("3" if "version" in form else "")


def test_round_trip_through_json_is_equal():
    schema = EntitySchema.from_labels(RICH, version="1.2")
    data = json.loads(json.dumps(schema.to_dict()))
    assert EntitySchema.from_dict(data) == schema
    assert data == {
        "version": "1.2",
        "labels": [
            {"name": "PERSON", "description": "a human being", "aliases": ["PER", "human"]},
            {"name": "TICKER", "threshold": 0.7, "must": ["Buy [[ACME|TICKER]]."]},
            {"name": "ORG"},
        ],
    }
    assert schema != EntitySchema.from_labels(RICH, version="1.3")
    assert schema != EntitySchema.from_labels(["PERSON", "TICKER", "ORG"], version="1.2")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("PERSON", "PERSON"),
        ("PER", "PERSON"),
        ("person", "PERSON"),
        ("  Human\n", "PERSON"),
        ("ticker", "TICKER"),
        ("PERSONS", None),
        ("", None),
        ("a human being", None),
    ],
)
def test_resolve_exactly_then_by_case_and_edges(word, name):
    assert EntitySchema.from_labels(RICH).resolve(word) == name


def test_resolve_does_not_guess_between_words_that_differ_in_case():
    schema = EntitySchema.from_labels(["Us", {"name": "US", "aliases": ["America"]}, "uS"])
    assert schema.resolve("US") == "US"
    assert schema.resolve("Us") == "Us"
    assert schema.resolve("us") is None
    assert schema.resolve("america") == "US"


def test_resolve_prefers_the_exact_alias_to_another_labels_case():
    schema = EntitySchema.from_labels([{"name": "A", "aliases": ["org"]}, "ORG"])
    assert schema.resolve("org") == "A"
    assert schema.resolve("ORG") == "ORG"
    assert schema.resolve("Org") is None


def test_resolve_folds_case_as_unicode_does():
    schema = EntitySchema.from_labels(["STRASSE"])
    assert schema.resolve("straße") == "STRASSE"


def test_a_labels_own_threshold_beats_the_default():
    schema = EntitySchema.from_labels([*RICH, {"name": "ANY", "threshold": 0}])
    assert schema.threshold("TICKER", 0.2) == 0.7
    assert schema.threshold("ANY", 0.2) == 0.0
    assert schema.threshold("ORG", 0.2) == 0.2
    assert schema.threshold(None, 0.2) == 0.2
    assert schema.threshold("UNKNOWN", 0.2) == 0.2


def test_with_label_adds_to_a_copy():
    schema = EntitySchema.from_labels(RICH, version="1")
    longer = schema.with_label("EVENT")
    assert longer.names == ("PERSON", "TICKER", "ORG", "EVENT")
    assert longer["PERSON"] == schema["PERSON"]
    assert longer.version == "1"
    assert schema.names == ("PERSON", "TICKER", "ORG")
    with pytest.raises(ValueError, match="'ORG' is given twice"):
        schema.with_label("ORG")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "my_config: no labels. Give at least one label"),
        ("PERSON", "labels must be a list, not str"),
        ({"name": "PERSON"}, "labels must be a list, not dict"),
        (7, "labels must be a list, not int"),
        ([""], "the label name '' is empty or has white space around it"),
        ([" ORG"], "the label name ' ORG' is empty or has white space around it"),
        (["ORG", {"name": "ORG"}], "the label 'ORG' is given twice. Keep one"),
        (["ORG", 3], "label 2, the item: Input should be a valid dictionary"),
        ([{}], "label 1, name: Field required"),
        ([{"name": 3}], "label 1, name: Input should be a valid string"),
        ([{"name": "A", "alias": []}], "label 1, alias: Extra inputs are not permitted"),
        (
            [{"name": "A", "aliases": "B"}],
            "label 1, aliases: Input should be a valid tuple",
        ),
        (
            [{"name": "A", "aliases": ["B", 1]}],
            "label 1, aliases.1: Input should be a valid",
        ),
        (
            ["B", {"name": "A", "threshold": 1.5}],
            "label 2, threshold: Input should be less",
        ),
        ([{"name": "A", "threshold": -0.1}], "label 1, threshold: Input should be greater"),
        ([{"name": "A", "threshold": float("nan")}], "label 1, threshold: "),
        ([{"name": "A", "aliases": [" "]}], "an alias of 'A' is empty or white space only"),
        (
            [{"name": "A", "aliases": ["C"]}, {"name": "B", "aliases": ["C"]}],
            "'C' is claimed by both 'A' and 'B'. An alias must lead to exactly one label",
        ),
        (["A", {"name": "B", "aliases": ["A"]}], "'A' is claimed by both 'A' and 'B'"),
        ([{"name": "B", "aliases": ["A"]}, "A"], "'A' is claimed by both 'A' and 'B'"),
    ],
)
def test_what_is_not_a_schema_is_refused_by_name(labels, message):
    with pytest.raises(ValueError, match="^my_config: ") as e:
        EntitySchema.from_labels(labels, where="my_config")
    assert message in str(e.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n "labels": [\n  "ORG",,\n ]\n}', "line 3, column 9: Expecting value"),
        (b'{"label": ["ORG"]}', 'no list "labels"'),
        (b'{"labels": "ORG"}', 'no list "labels"'),
        (b'"ORG"', 'no list "labels"'),
        (b"\xff\xfe{}", "UnicodeDecodeError"),
        (b"", "line 1, column 1: Expecting value"),
    ],
)
def test_a_file_that_is_not_a_schema_is_refused_by_path(tmp_path, content, message):
    path = tmp_path / "schema.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Can't read the schema") as e:
        EntitySchema.from_file(path)
    assert f"{path}: {message}" in str(e.value)
    assert "It must be a JSON file" in str(e.value)


def test_a_missing_file_and_a_bad_label_in_a_file_name_the_file(tmp_path):
    path = tmp_path / "schema.json"
    with pytest.raises(ValueError, match="No such file or directory"):
        EntitySchema.from_file(path)
    path.write_text('[{"name": "A", "treshold": 1}]', encoding="utf8")
    with pytest.raises(ValueError, match="label 1, treshold: Extra inputs") as e:
        EntitySchema.from_file(path)
    assert str(e.value).startswith(str(path))


def test_load_schema_takes_one_source(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text('["A"]', encoding="utf8")
    assert load_schema(None, None) is None
    assert load_schema(["B"], None).names == ("B",)
    assert load_schema(None, str(path)).names == ("A",)
    with pytest.raises(ValueError, match="Set either `labels` or `schema`, not both"):
        load_schema(["B"], str(path))


def test_the_schema_of_the_gold_set_loads_and_marks_its_own_labels():
    """Every `must` sentence of the schema that ships marks the label it stands under."""
    schema = EntitySchema.from_file(Path(__file__).parents[1] / "corpus" / "schema.json")
    for label in schema:
        assert label.description
        for sentence in label.must:
            assert f"|{label.name}]]" in sentence
