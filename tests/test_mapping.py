"""Label mappings: nothing is dropped without a count, and every loss has its reason."""

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, Span, SpanGroup

from ner_components.corpora.mapping import LabelMapping, shipped_mappings
from ner_components.schema import EntitySchema

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("NER_DATA", ROOT.parent / "shared" / "data"))
TARGETS = {
    "conll2003": {"PER", "ORG", "LOC", "MISC"},
    "gold": set(EntitySchema.from_file(ROOT / "corpus" / "schema.json").names),
}
# Corpora that share no label with either target, and the domains of one.
WITHOUT_MAPPING = {"anem", "explosion_food"}
MAPPING_OF = {
    **{f"crossner_{x}": "crossner" for x in ("ai", "literature", "science")},
    **{f"uner_{x}": "uner" for x in ("de_pud", "en_ewt", "zh_gsd")},
}
CANARY = "Quillfeather"


def make_doc():
    words = ["Ann", "of", "Peru", "Peru", "met", CANARY, "in", "May", "today"]
    doc = Doc(spacy.blank("en").vocab, words=words)
    ents = [(0, 1, "PERSON"), (2, 3, "GPE"), (3, 4, "LOC"), (5, 6, "ELF"), (7, 8, "DATE")]
    spans = [Span(doc, i, j, label=label) for i, j, label in ents]
    doc.set_ents(spans, missing=[doc[8:9]])
    return doc


@pytest.fixture
def mapping():
    return LabelMapping(
        source="a",
        target="b",
        labels={"PERSON": "PER", "GPE": "LOC", "LOC": "LOC", "DATE": None},
        lossy={"GPE": "merged with LOC", "*": "boundaries"},
    )


def test_mapped_outside_and_unmapped_labels(mapping):
    assert mapping.map("GPE") == "LOC"
    assert mapping.map("DATE") is None
    assert mapping.map("ELF") == "ELF"
    doc, notes = make_doc(), Counter({"before": 1})
    assert mapping.apply(doc, notes) is doc
    # Neighbours of one label stay two entities, an unmapped one is still there.
    assert [(e.start, e.end, e.label_) for e in doc.ents] == [
        (0, 1, "PER"),
        (2, 3, "LOC"),
        (3, 4, "LOC"),
        (5, 6, "ELF"),
    ]
    assert [t.ent_iob for t in doc] == [3, 2, 3, 3, 2, 3, 2, 2, 0]
    assert notes == {"before": 1, "outside: DATE": 1, "unmapped: ELF": 1, "lossy: GPE": 1}
    mapping.apply(make_doc())


def test_apply_keeps_ids_groups_and_unannotated_documents(mapping):
    doc = make_doc()
    doc.set_ents([Span(doc, 0, 1, label="PERSON", kb_id="Q1", span_id="s1")])
    doc.spans["nested"] = SpanGroup(doc, spans=[doc[2:3], Span(doc, 3, 4, label="GPE")])
    doc.spans["nested"].attrs["by"] = "x"
    mapping.apply(doc)
    assert [(e.label_, e.kb_id_, e.id_) for e in doc.ents] == [("PER", "Q1", "s1")]
    group = doc.spans["nested"]
    assert [(s.text, s.label_) for s in group] == [("Peru", ""), ("Peru", "LOC")]
    assert group.attrs == {"by": "x"}
    bare = Doc(doc.vocab, words=["no", "layer"])
    assert not mapping.apply(bare).has_annotation("ENT_IOB")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON (line 1, column 2"),
        ("[]", "valid dictionary"),
        ('{"source": "a", "target": "b"}', "labels: Field required"),
        ('{"source": "a", "target": "b", "labels": {}}', "labels: "),
        ('{"source": "a", "target": "b", "labels": {"X": 1}}', "labels.X: "),
        (
            '{"source": "a", "target": "b", "labels": {"X": ""}}',
            "'X' or its target is empty",
        ),
        ('{"source": "", "target": "b", "labels": {"X": "Y"}}', "source: "),
        ('{"source": "a", "target": "b", "labels": {"X": "Y"}, "note": 1}', "note: Extra"),
        (
            '{"source": "a", "target": "b", "labels": {"X": "Y", "X": null}}',
            "the key 'X' is given twice",
        ),
        (
            '{"source": "a", "target": "b", "labels": {"X": "Y"}, "lossy": {"Z": "why"}}',
            "lossy: 'Z' is not in labels",
        ),
        (
            '{"source": "a", "target": "b", "labels": {"X": "Y"}, "lossy": {"X": " "}}',
            "the reason for 'X' is empty",
        ),
    ],
)
def test_a_mapping_that_is_none_is_refused_with_its_path(tmp_path, text, problem):
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match=r"bad\.json") as e:
        LabelMapping.from_file(path)
    assert problem in str(e.value)
    assert "It must be a JSON file" in str(e.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        LabelMapping.from_file(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b"\xe4")
    with pytest.raises(ValueError, match="not UTF-8"):
        LabelMapping.from_file(tmp_path / "latin.json")
    data = {"source": "a", "target": "b", "labels": {"X": "Y"}}
    (tmp_path / "bom.json").write_text(json.dumps(data), encoding="utf-8-sig")
    assert LabelMapping.from_file(tmp_path / "bom.json").map("X") == "Y"


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ValueError, match="ontonotes-conll2003"):
        LabelMapping.from_name("ontonotes-conll")


def test_a_mapping_is_given_by_path_or_name(tmp_path):
    data = {"source": "a", "target": "b", "labels": {"X": "Y"}}
    (tmp_path / "own.json").write_text(json.dumps(data))
    assert LabelMapping.load(tmp_path / "own.json").source == "a"
    assert LabelMapping.load("wnut17-gold").map("corporation") == "ORG"
    with pytest.raises(ValueError, match="wnut-gold"):
        LabelMapping.load("wnut-gold")


@pytest.mark.parametrize("name", shipped_mappings())
def test_shipped_mappings_lead_to_labels_of_their_target(name):
    mapping = LabelMapping.from_name(name)
    assert f"{mapping.source}-{mapping.target}" == name
    used = {label for label in mapping.labels.values() if label is not None}
    assert used <= TARGETS[mapping.target]

    assert mapping.lossy


def test_ontonotes_to_conll_by_hand():
    mapping = LabelMapping.from_name("ontonotes-conll2003")
    assert len(mapping.labels) == 18
    assert [mapping.map(x) for x in ("PERSON", "NORP", "GPE", "FAC", "MONEY")] == [
        "PER",
        "MISC",
        "LOC",
        "LOC",
        None,
    ]
    assert {"GPE", "LOC", "FAC", "NORP", "*"} <= set(mapping.lossy)


def test_few_nerd_has_all_66_types_in_both_spellings():
    labels = LabelMapping.from_name("few_nerd-conll2003").labels
    assert sum("-" in label for label in labels) == 66
    assert sum("_" in label for label in labels) == 66
    assert len(labels) == 66 + 66 + 8


def _corpora():
    found = sorted(p.parent for p in DATA.glob("*/*.jsonl.gz")) if DATA.is_dir() else []
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("folder", _corpora(), ids=lambda p: p.name)
def test_every_label_of_a_corpus_is_covered(folder):
    labels = set()
    for path in folder.glob("*.jsonl.gz"):
        with gzip.open(path, "rt", encoding="utf8") as file:
            labels |= {x[2] for line in file for x in json.loads(line)["ents"]}
    source = MAPPING_OF.get(folder.name, folder.name)
    names = [x for x in shipped_mappings() if x.startswith(f"{source}-")]
    assert bool(names) == (folder.name not in WITHOUT_MAPPING)
    for name in names:
        assert labels <= set(LabelMapping.from_name(name).labels)
