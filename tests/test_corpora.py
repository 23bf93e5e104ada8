"""Readers: exact offsets, and a clear error for every file that can't be read."""

import gzip
import json
from pathlib import Path

import pytest
import spacy

from ner_components.corpora.conll import read_conll
from ner_components.corpora.jsonl import read_jsonl
from ner_components.corpora.markup import parse_marked, read_markup
from ner_components.corpora.offsets import Entity, set_entities
from ner_components.schema import EntitySchema

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
CANARY = "Quillfeather"


@pytest.fixture
def nlp():
    return spacy.blank("en")


def test_markup_gives_offsets_sentences_and_nested_names(tmp_path, nlp):
    path = tmp_path / "a.txt"
    path.write_text(
        "=== a-1 | genre: news | tags: nested, linebreak\n"
        "The [[Bank of [[England|LOCATION]]|ORG]] rose [1] | fell.¶\n"
        "\n"
        "In [[New¶York|LOCATION]] too.\n"
        "Nothing here.\n"
        "=== a-2 | genre: chat | tags:\n"
        "ok\n",
        encoding="utf8",
    )
    first, second = read_markup(path)
    assert first.text == (
        "The Bank of England rose [1] | fell.\nIn New\nYork too. Nothing here."
    )
    assert first.entities == [Entity(4, 19, "ORG"), Entity(40, 48, "LOCATION")]
    assert first.nested == [Entity(12, 19, "LOCATION")]
    assert [first.text[a:b] for a, b in first.sentences] == [
        "The Bank of England rose [1] | fell.",
        "In New\nYork too.",
        "Nothing here.",
    ]
    assert (first.tags, second.tags, second.genre) == (["nested", "linebreak"], [], "chat")
    doc, cut = first.to_doc(nlp)
    assert cut == []
    assert [(e.text, e.label_) for e in doc.ents] == [
        ("Bank of England", "ORG"),
        ("New\nYork", "LOCATION"),
    ]
    assert [s.text for s in doc.spans["nested"]] == ["England"]
    assert [s.text.strip() for s in doc.sents][1:] == ["In New\nYork too.", "Nothing here."]
    assert doc.user_data["id"] == "a-1"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[[a|X]", "not closed"),
        ("a|X]]", "not opened"),
        ("[[|X]]", "empty"),
    ],
)
def test_broken_mark_up_is_refused(line, problem):
    with pytest.raises(ValueError, match=problem):
        parse_marked(line)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("hello\n", 1, "before the first header"),
        ("=== no header\n", 1, "header can't be read"),
        (f"=== a | genre: x | tags:\nok\n[[{CANARY}|X]\n", 3, "not closed"),
    ],
)
def test_markup_errors_name_file_and_line_and_no_text(tmp_path, text, line, problem):
    path = tmp_path / "bad.txt"
    path.write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match=problem) as e:
        list(read_markup(path))
    assert f"bad.txt, line {line}:" in str(e.value)
    assert CANARY not in str(e.value)


def test_entities_that_cut_tokens_are_named_and_not_trained_as_outside(nlp):
    doc = nlp("Take apixaban5mg in Rome")
    cut = set_entities(doc, [Entity(5, 13, "DRUG"), Entity(20, 24, "LOCATION")])
    assert cut == [Entity(5, 13, "DRUG")]
    assert [(e.text, e.label_) for e in doc.ents] == [("Rome", "LOCATION")]
    # Take, apixaban5, mg, in, Rome: 0 is missing, 2 outside, 3 begins an entity.
    assert [t.ent_iob for t in doc] == [2, 0, 2, 2, 3]


def test_jsonl_forms(tmp_path, nlp):
    rows = [
        {"text": "Ann left Rome", "spans": [{"start": 0, "end": 3, "label": "PERSON"}]},
        {"tokens": ["In", "New", "York"], "ents": [[1, 3, "LOCATION"]], "doc": "d-1"},
    ]
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.write("\n\n".join(json.dumps(row) for row in rows))
    docs = [doc for doc, cut in read_jsonl(path, nlp)]
    assert [[(e.text, e.label_) for e in doc.ents] for doc in docs] == [
        [("Ann", "PERSON")],
        [("New York", "LOCATION")],
    ]
    assert docs[1].user_data["id"] == "d-1"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{not json", "not JSON"),
        ('{"text": "a"}', "not in the format"),
        ('{"tokens": ["a"], "ents": [[0, 2, "X"]]}', "outside the text"),
        ('{"tokens": ["a", "b"], "ents": [[0, 2, "X"], [1, 2, "Y"]]}', "overlap"),
    ],
)
def test_jsonl_errors_name_the_line_and_no_text(tmp_path, nlp, line, problem):
    path = tmp_path / "bad.jsonl"
    good = json.dumps({"tokens": [CANARY], "ents": []})
    path.write_text(f"{good}\n{line}\n", encoding="utf8")
    with pytest.raises(ValueError, match=problem) as e:
        list(read_jsonl(path, nlp))
    assert "bad.jsonl, line 2:" in str(e.value)
    assert CANARY not in str(e.value)


def test_conll_reads_iob2_and_starts_an_entity_at_a_stray_i(tmp_path, nlp):
    path = tmp_path / "a.conll"
    path.write_text("Ann\tB-PER\nBo\tB-PER\nLi\tI-PER\nin\tO\nRome\tI-LOC\n\nok\tO\n")
    docs = [doc for doc, _ in read_conll(path, nlp)]
    assert [(e.text, e.label_) for e in docs[0].ents] == [
        ("Ann", "PER"),
        ("Bo Li", "PER"),
        ("Rome", "LOC"),
    ]
    assert [len(doc) for doc in docs] == [5, 1]
    assert docs[1].has_annotation("ENT_IOB")


@pytest.mark.parametrize("line", ["word", "word NN", "word B-"])
def test_conll_refuses_a_line_without_a_tag(tmp_path, nlp, line):
    path = tmp_path / "bad.conll"
    path.write_text(f"{CANARY} O\n{line}\n")
    with pytest.raises(ValueError, match=r"bad\.conll, line 2: no token") as e:
        list(read_conll(path, nlp))
    assert CANARY not in str(e.value)


@pytest.mark.parametrize("reader", [read_jsonl, read_conll, lambda p, _: read_markup(p)])
def test_an_empty_file_is_an_error(tmp_path, nlp, reader):
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"empty\.jsonl holds no documents"):
        list(reader(path, nlp))


def test_the_gold_set_fits_its_schema(nlp):
    schema = EntitySchema.from_file(CORPUS / "schema.json")
    ids = []
    for split in ("train", "dev", "test"):
        for document in read_markup(CORPUS / f"{split}.txt"):
            ids.append(document.id)
            assert {e.label for e in document.entities + document.nested} <= set(
                schema.names
            )
            cut = document.to_doc(nlp)[1]
            assert not cut or "misaligned" in document.tags
            assert not (cut and split == "test")
    assert len(ids) == len(set(ids))
    for label in schema:
        for example in label.must:
            (entity,) = [e for e in parse_marked(example)[1] if e.label == label.name]
            assert entity.start_char < entity.end_char
        assert not any("[[" in example for example in label.must_not)
