"""Bad input gets an error that names what is wrong and what to do, and no text."""

import json
import string

import pytest
import spacy
from conftest import CNN, LABELS, make_examples
from spacy.tokens import Span
from spacy.training import Example

from ner_components.errors import Errors, Warnings

CANARY = "Zqxwvbanana"


def add(**config):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_encoder", name="my_ner", config={"model": CNN, **config})
    return nlp


def error_of(function, *args, **kwargs):
    with pytest.raises(ValueError) as e:  # noqa: PT011, the caller checks the message
        function(*args, **kwargs)
    return str(e.value)


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("alignment_mode", "loose", '"strict", "contract", "expand"'),
        ("overlap", "best", '"score", "longest", "first"'),
        ("preset_ents", "drop", '"keep", "replace"'),
        ("threshold", 1.5, "a number from 0.0 to 1.0"),
        ("threshold", -0.1, "a number from 0.0 to 1.0"),
        ("buffer_size", 0, "a whole number of at least 1"),
        ("max_rejections", -1, "a whole number of at least 0"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(setting, value, allowed):
    message = error_of(add, labels=LABELS, **{setting: value})
    assert message == (
        f"[components.my_ner] {setting} = {value!r} is not valid. Use {allowed}."
    )


def test_labels_and_schema_exclude_each_other():
    message = error_of(add, labels=LABELS, schema="schema.json")
    assert message == Errors.N008
    assert "either `labels` or `schema`, not both" in message


def test_no_labels_in_the_config():
    assert "labels: no labels. Give at least one label" in error_of(add, labels=[])


def test_an_unreadable_schema_names_file_and_line(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text('{\n  "labels": [\n    "ORG"\n    "PERSON"\n  ]\n}', encoding="utf8")
    nlp = add(schema=str(path))
    message = error_of(lambda: nlp.get_pipe("my_ner").labels)
    assert (
        f"Can't read the schema {path}: line 4, column 5: Expecting ',' delimiter"
        in message
    )
    missing = add(schema=str(tmp_path / "missing.json"))
    # Not the labels: spaCy asks for them before a saved pipeline has restored its own.
    message = error_of(missing.initialize)
    assert "missing.json: No such file or directory" in message


def test_a_schema_file_gives_the_labels(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"version": "7", "labels": LABELS}), encoding="utf8")
    pipe = add(schema=str(path)).get_pipe("my_ner")
    assert pipe.labels == tuple(LABELS)
    assert pipe.schema.version == "7"


def test_a_pipe_without_labels_says_so():
    pipe = add().get_pipe("my_ner")
    assert pipe.labels == ()
    assert error_of(lambda: pipe.schema) == Errors.N030.format(name="my_ner")


def test_an_empty_corpus():
    nlp = add(labels=LABELS)
    message = error_of(nlp.initialize, lambda: [])
    assert (
        "No examples to initialize 'my_ner' with: the training corpus is empty" in message
    )
    assert "paths.train" in message


def test_no_labels_and_none_in_the_data():
    nlp = add()
    examples = [Example.from_dict(nlp.make_doc(f"{CANARY} rose."), {"entities": []})]
    message = error_of(nlp.initialize, lambda: examples)
    assert message.startswith("the pipe 'my_ner': no labels. Give at least one label")
    assert CANARY not in message


def test_an_unknown_label_in_the_data():
    nlp = add(labels=["PERSON"])
    text = f"{CANARY} rose."
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": [(0, 11, "FIRM")]})]
    message = error_of(nlp.initialize, lambda: examples)
    assert message == Errors.N035.format(label="FIRM", name="my_ner", known="PERSON")
    assert CANARY not in message


def test_use_before_initialize_is_no_key_error():
    nlp = add(labels=LABELS)
    for start in (nlp, lambda text: list(nlp.pipe([text]))):
        message = error_of(start, f"{CANARY} rose.")
        assert message == Errors.N031.format(name="my_ner")


def test_a_label_cannot_be_added_to_trained_weights(cnn):
    message = error_of(cnn.get_pipe("ner").add_label, "EVENT")
    assert message == Errors.N033.format(label="EVENT", name="ner")


def test_other_labels_at_load_name_both_sets(trained_cnn):
    config = {"components": {"ner": {"labels": ["PERSON", "EVENT"]}}}
    message = error_of(spacy.load, trained_cnn, config=config)
    assert "asks for labels that differ" in message
    assert "PERSON, EVENT against PERSON, ORG, TICKER" in message


def test_a_state_of_another_format_names_both_formats(cnn):
    pipe = cnn.get_pipe("ner")
    message = error_of(pipe.set_state, {**pipe.get_state(), "format": 99})
    assert "has format 99, this version reads format 1" in message


def test_gold_that_the_tokenizer_cuts_warns_with_offsets_not_text():
    nlp = add(labels=["PERSON", "ORG"])
    text = f"{CANARY} met Ann."
    other = spacy.blank("en").make_doc(text)
    with other.retokenize() as retokenizer:
        retokenizer.split(other[0], [CANARY[:4], CANARY[4:]], [other[0], other[0]])
    other.set_ents([Span(other, 0, 1, label="ORG")])
    cut = Example(nlp.make_doc(text), other)
    with pytest.warns(UserWarning, match="1 gold entities can't be learned") as caught:
        nlp.initialize(lambda: [cut, *make_examples_of(nlp)])
    message = str(caught[0].message)
    assert "ORG at 0-4 of document 0" in message
    assert CANARY[:4] not in message


def make_examples_of(nlp):
    known = set(nlp.get_pipe("my_ner").labels)
    found = make_examples(nlp)
    return [eg for eg in found if {x.label_ for x in eg.reference.ents} <= known]


def messages():
    return [
        (f"{holder.__name__}.{name}", text)
        for holder in (Errors, Warnings)
        for name, text in vars(holder).items()
        if not name.startswith("_")
    ]


@pytest.mark.parametrize(("name", "text"), messages())
def test_messages_are_whole_sentences_and_take_no_text(name, text):
    fields = {field for _, field, _, _ in string.Formatter().parse(text) if field}
    assert not fields & {"text", "doc", "docs", "tokens", "words", "ent", "span"}
    assert text.rstrip().endswith((".", "}", '"', ")")), name


def test_numbers_of_messages_are_unique_and_in_order():
    names = [name.split(".")[1] for name, _ in messages()]
    assert len(names) == len(set(names))
    for kind in "NW":
        of_kind = [x for x in names if x.startswith(kind)]
        assert of_kind == sorted(of_kind)
