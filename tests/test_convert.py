"""Any format to spaCy's own, by command, function or training config."""

import gzip
import json
import os
import warnings
from collections import Counter
from pathlib import Path

import pytest
import spacy
from spacy import registry
from spacy.tokens import DocBin
from typer.testing import CliRunner

from ner_components.cli import ner_cli
from ner_components.cli.convert import convert
from ner_components.corpora.detect import detect_format
from ner_components.corpora.formats import FORMATS as TABLE
from ner_components.corpora.formats import NO_ID, NOT_FOUND, NOT_READ, read_corpus
from ner_components.corpora.markup import read_markup
from ner_components.corpora.ontonotes import NO_NAMES, UNLISTED
from ner_components.corpora.reader import make_corpus_reader

ROOT = Path(__file__).resolve().parent.parent
FORMATS = ROOT / "tests" / "formats"
DATA = Path(os.environ.get("NER_DATA", ROOT.parent / "shared" / "data"))
CANARY = "Quillfeather"
# Each fixture, its format, and the expected result.
FIXTURES = {
    "conll2003_iob1.txt": ("conll", "conll"),
    "conll2003_iob2.txt": ("conll", "conll"),
    "conll2003_iobes.txt": ("conll", "conll"),
    "conll2003_bilou.txt": ("conll", "conll"),
    "uner_demo.iob2": ("uner", "conll"),
    "demo.name": ("ontonotes", "ontonotes"),
    "demo.gold_conll": ("ontonotes", "ontonotes"),
    "ontonotes_conll2012.jsonl": ("ontonotes", "ontonotes"),
    "multinerd_babelscape.jsonl": ("multinerd", "multinerd"),
    "multinerd_tner.jsonl": ("multinerd", "multinerd"),
    "expected.ontonotes.jsonl": ("jsonl", "ontonotes"),
}


@pytest.fixture
def nlp():
    return spacy.blank("en")


def expected(name, folder=FORMATS):
    lines = (folder / f"expected.{name}.jsonl").read_text(encoding="utf8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["tokens"], [tuple(x) for x in row["ents"]]) for row in rows]


def of(doc):
    return [t.text for t in doc], [(e.start, e.end, e.label_) for e in doc.ents]


def load(path, nlp):
    return list(DocBin().from_disk(path).get_docs(nlp.vocab))


def run(*args):
    result = CliRunner().invoke(ner_cli, ["convert", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


# Detection


@pytest.mark.parametrize("name", FIXTURES)
def test_the_format_is_told_by_the_first_lines(tmp_path, nlp, name):
    kind, result = FIXTURES[name]
    assert detect_format(FORMATS / name, list(TABLE)) == kind
    assert [of(doc) for doc, _ in read_corpus(FORMATS / name, nlp)] == expected(result)
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress((FORMATS / name).read_bytes()))
    assert [of(doc) for doc, _ in read_corpus(path, nlp)] == expected(result)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("=== a | genre: x | tags:\nhi\n", "markup"),
        ("0\tOtters\tB-ANIM\n1\tsat\tO\n\n0\tok\tO\n", "multinerd"),
        # WikiNEuRal and WikiGold are written the same way.
        ("0\tAnn\tB-PER\n1\tDanes\tB-MISC\n", "uner"),
        ("1\tAnn\tB-PER\t-\n2\tsat\tO\t-\n", "uner"),
        # Numbers that are the tokens of a file, not the numbers of its tokens.
        ("7\tX\tO\n7\tX\tO\n", "conll"),
        ("-DOCSTART- -X- O\n\nAnn NNP B-PER\n", "conll"),
        ("# O\n#tag O\n", "conll"),
        ('{"tokens": ["Ann"], "ner_tags": ["B-PER"]}\n', "tags"),
        (
            '{"tokens": ["Ann"], "tags": [0], "lang": "en"}\n{"tokens": ["a"], "tags": [9]}',
            "multinerd",
        ),
    ],
)
def test_more_first_lines(tmp_path, text, kind):
    path = tmp_path / "a.x"
    path.write_text(text, encoding="utf8")
    assert detect_format(path, list(TABLE)) == kind


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ('{"tokens": ["C"], "tags": [1]}\n', "multinerd, ontonotes, tags."),
        ('{"tokens": ["C"], "ner_tags": [1]}\n', "multinerd, ontonotes, tags."),
        # WikiNEuRal looks like MultiNERD, and its numbers mean something else.
        (
            '{"tokens": ["C"], "ner_tags": [7], "lang": "en"}\n',
            "multinerd, ontonotes, tags.",
        ),
        ("0\tC\tB-PER\n1\tC\tO\n", "multinerd, uner."),
        ("C went home.\n", "conll, uner, ontonotes, multinerd"),
        ('{"C": 1}\n', "conll, uner, ontonotes, multinerd"),
        ("7\n", "conll, uner, ontonotes, multinerd"),
    ],
)
def test_what_is_not_clear_is_asked(tmp_path, nlp, text, candidates):
    path = tmp_path / "a.txt"
    path.write_text(text.replace("C", CANARY), encoding="utf8")
    with pytest.raises(ValueError, match="format can't be told") as e:
        list(read_corpus(path, nlp))
    assert candidates in str(e.value)
    assert "--format" in str(e.value)
    assert CANARY not in str(e.value)


def test_a_tag_file_with_names_beside_it_needs_no_asking(tmp_path, nlp):
    path = tmp_path / "train.jsonl"
    path.write_text('{"tokens": ["Ann"], "tags": [1]}\n')
    (tmp_path / "label.json").write_text('{"O": 0, "B-PER": 1}')
    assert [of(doc) for doc, _ in read_corpus(path, nlp)] == [(["Ann"], [(0, 1, "PER")])]
    # The file of names is not read as data.
    assert len(list(read_corpus(tmp_path, nlp))) == 1


def test_settings_that_fit_nothing_are_refused(nlp):
    path = FORMATS / "conll2003_iob1.txt"
    with pytest.raises(ValueError, match="format = 'xml' is not valid. Use auto, conll"):
        list(read_corpus(path, nlp, format="xml"))
    with pytest.raises(ValueError, match="format 'conll' has no option 'label_order'"):
        list(read_corpus(path, nlp, label_order="tner"))


def test_every_format_has_a_name_an_ending_and_a_description():
    for name, entry in TABLE.items():
        assert entry.name == name
        assert entry.extensions
        assert entry.description
    page = (ROOT / "docs" / "corpora.md").read_text(encoding="utf8")
    assert [name for name in TABLE if f"`{name}`" not in page] == []


# Folders


def test_a_folder_is_read_file_by_file_in_order(tmp_path, nlp):
    for name, word in [("b.conll", "two"), ("a.conll", "one"), ("sub/c.conll", "three")]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{word} O\n")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / ".hidden.conll").write_text("no O\n")
    notes = Counter()
    docs = [doc.text for doc, _ in read_corpus(tmp_path, nlp, notes=notes)]
    assert [x.strip() for x in docs] == ["one", "two", "three"]
    assert notes == {NOT_READ: 1}


def test_a_release_folder_skips_skeletons_and_other_layers(tmp_path, nlp):
    for name in ("demo.gold_conll", "demo.gold_skel"):
        (tmp_path / name).write_text((FORMATS / name).read_text())
    (tmp_path / "demo.parse").write_text("(S)")
    notes = Counter()
    pairs = read_corpus(tmp_path, nlp, format="ontonotes", notes=notes)
    assert [of(doc) for doc, _ in pairs] == expected("ontonotes")
    assert notes == {NOT_READ: 2, NO_NAMES: 1}
    (tmp_path / "demo.name").write_text((FORMATS / "demo.name").read_text())
    with pytest.raises(ValueError, match="several kinds: gold_conll, name"):
        list(read_corpus(tmp_path, nlp, format="ontonotes"))


def test_a_folder_of_skeletons_names_the_remedy(tmp_path, nlp):
    (tmp_path / "demo.gold_skel").write_text((FORMATS / "demo.gold_skel").read_text())
    with pytest.raises(ValueError, match="skeleton2conll"):
        list(read_corpus(tmp_path, nlp))


def test_a_folder_without_anything_to_read(tmp_path, nlp):
    with pytest.raises(ValueError, match="holds no documents"):
        list(read_corpus(tmp_path, nlp))


def test_a_document_list_selects_and_counts(tmp_path, nlp):
    ids = tmp_path / "test.id"
    ids.write_text("bc/demo/00/demo_0002\nnw/other/00/other_0001\n")
    notes = Counter()
    path = FORMATS / "demo.gold_conll"
    pairs = list(read_corpus(path, nlp, notes=notes, documents_list=ids))
    assert [of(doc) for doc, _ in pairs] == expected("ontonotes")[3:]
    assert notes == {NO_NAMES: 1, UNLISTED: 1, NOT_FOUND: 1}
    ids.write_text("nw/other/00/other_0001\n")
    with pytest.raises(ValueError, match="no document is left") as e:
        list(read_corpus(path, nlp, documents_list=ids))
    assert f"{NO_NAMES}: 1" in str(e.value)


# Convert


def test_ids_languages_and_missing_annotation_survive(tmp_path, nlp):
    source = tmp_path / "a.name"
    source.write_text(
        '<DOC DOCNO="a@1@x@nw@en@on">\n<ENAMEX TYPE="X" S_OFF="2">abcd</ENAMEX> saw '
        '<ENAMEX TYPE="GPE">Rome</ENAMEX>\nok\n</DOC>\n'
    )
    output = tmp_path / "new" / "a.spacy"
    result = convert(source, output, documents=True)
    (doc,) = load(output, nlp)
    assert doc.user_data == {"id": "a", "lang": "en"}
    assert [t.ent_iob for t in doc] == [0, 2, 3, 2]
    assert [s.text.strip() for s in doc.sents] == ["abcd saw Rome", "ok"]
    assert (result.documents, result.entities) == (1, {"GPE": 1})
    assert result.cut == ["a, 2-4, X"]


def test_sentences_without_ids_are_not_joined(tmp_path, nlp):
    source = tmp_path / "a.conll"
    source.write_text("a O\n\nb O\n")
    result = convert(source, tmp_path / "a.spacy", documents=True)
    assert (result.documents, result.notes) == (2, {NO_ID: 2})


def test_the_gold_set_converts_as_its_reader_gives_it(tmp_path, nlp):
    source = ROOT / "corpus" / "train.txt"
    result = convert(source, tmp_path / "train.spacy")
    wanted, cut = [], []
    for document in read_markup(source):
        doc, left_out = document.to_doc(nlp)
        wanted.append(doc)
        cut += [f"{document.id}, {a}-{b}, {label}" for a, b, label in left_out]
    docs = load(tmp_path / "train.spacy", nlp)
    assert [of(doc) for doc in docs] == [of(doc) for doc in wanted]
    # DocBin reads lists back as tuples.
    for doc in wanted:
        doc.user_data["tags"] = tuple(doc.user_data["tags"])
    assert [doc.user_data for doc in docs] == [doc.user_data for doc in wanted]
    assert [[t.ent_iob for t in doc] for doc in docs] == [
        [t.ent_iob for t in doc] for doc in wanted
    ]
    assert [[t.is_sent_start for t in doc] for doc in docs] == [
        [t.is_sent_start for t in doc] for doc in wanted
    ]
    assert result.cut == cut != []


def test_docbin_in_docbin_out(tmp_path, nlp):
    convert(FORMATS / "conll2003_iob1.txt", tmp_path / "a.spacy")
    convert(tmp_path / "a.spacy", tmp_path / "b.spacy", documents=True)
    docs = load(tmp_path / "b.spacy", nlp)
    assert [doc.user_data["id"] for doc in docs] == ["1", "2"]
    (tmp_path / "bad.spacy").write_text(CANARY)
    with pytest.raises(ValueError, match="not a .spacy file") as e:
        convert(tmp_path / "bad.spacy", tmp_path / "c.spacy")
    assert CANARY not in str(e.value)


def test_labels_are_mapped(tmp_path, nlp):
    mapping = tmp_path / "map.json"
    labels = {"PERSON": "PER", "GPE": "LOC", "FAC": "LOC", "ORG": "ORG", "NORP": "MISC"}
    labels |= {"DATE": None, "MONEY": None, "PERCENT": None}
    mapping.write_text(json.dumps({"source": "a", "target": "b", "labels": labels}))
    source = FORMATS / "demo.name"
    result = convert(source, tmp_path / "a.spacy", mapping=str(mapping))
    assert [of(doc) for doc in load(tmp_path / "a.spacy", nlp)] == expected("conll")
    assert result.notes == {"outside: DATE": 2, "outside: MONEY": 1, "outside: PERCENT": 1}


def test_running_text_is_made_of_tokens(tmp_path, nlp):
    pytest.importorskip("sacremoses")
    source = FORMATS / "conll2003_iob2.txt"
    convert(source, tmp_path / "a.spacy", detokenize=True, documents=True)
    first, second = load(tmp_path / "a.spacy", nlp)
    assert first.text.startswith(
        "Ines Vidal runs Harbour & Sons Ltd. from Porto. It earned $3"
    )
    assert "the Tagus Bridge (1966)" in second.text
    assert [(e.text, e.label_) for e in first.ents] == [
        ("Ines Vidal", "PER"),
        ("Harbour & Sons Ltd.", "ORG"),
        ("Porto", "LOC"),
    ]
    assert first.user_data["id"] == "1"


@pytest.mark.skipif(
    not (DATA / "formats").is_dir(), reason="no data: set NER_DATA to the data folder"
)
@pytest.mark.parametrize(
    ("name", "format", "wanted"),
    [
        ("conll2003.iob1.original_train.txt", "auto", "conll4"),
        ("conll2003.iob1.original_testb.txt", "auto", "conll4"),
        ("conll2003.iob2.hf.txt", "auto", "conll4"),
        ("ontonotes.name", "auto", "ontonotes"),
        ("ontonotes.gold_conll", "auto", "ontonotes"),
        ("tner_ontonotes5.jsonl", "ontonotes", "ontonotes"),
        ("hf_conll2012_ontonotesv5.jsonl", "auto", "ontonotes"),
        ("multinerd.jsonl", "auto", "multinerd"),
        ("multinerd_en.tsv", "auto", "multinerd"),
    ],
)
def test_the_samples_convert_to_their_expected_result(tmp_path, nlp, name, format, wanted):
    output = tmp_path / "out.spacy"
    result = convert(DATA / "formats" / name, output, format=format)
    rows = expected(wanted, DATA / "formats")
    rows = rows[:1] if name == "multinerd_en.tsv" else rows
    assert [of(doc) for doc in load(output, nlp)] == rows
    assert result.documents == len(rows)
    assert result.entities.total() == sum(len(ents) for _, ents in rows)


# Command


def test_the_command_prints_counts_and_reasons(tmp_path):
    output = tmp_path / "a.spacy"
    result = run(FORMATS / "demo.gold_conll", output, "--documents")
    assert result.exit_code == 0
    printed = " ".join(result.output.split())
    assert "2 documents, 10 entities" in printed
    assert "DATE 2, FAC 1, GPE 1, MONEY 1, NORP 2, ORG 1, PERCENT 1, PERSON 1" in printed
    assert f"1 x {NO_NAMES}" in printed
    assert "Vidal" not in printed
    assert output.is_file()


def test_the_command_names_cut_entities_without_their_text(tmp_path):
    source = tmp_path / "a.name"
    text = f'<DOC DOCNO="a@1">\n<ENAMEX TYPE="X" S_OFF="2">{CANARY}</ENAMEX>\n</DOC>\n'
    source.write_text(text)
    result = run(source, tmp_path / "a.spacy")
    assert result.exit_code == 0
    assert f"a, 2-{len(CANARY)}, X" in result.output
    assert CANARY not in result.output


def test_the_command_fails_with_the_line_and_writes_nothing(tmp_path):
    source = tmp_path / "bad.conll"
    source.write_text(f"{CANARY} O\n{CANARY}\n")
    output = tmp_path / "a.spacy"
    result = run(source, output, "--format", "conll")
    assert result.exit_code == 1
    assert "line 2: no token with an entity tag" in " ".join(result.output.split())
    assert CANARY not in result.output
    assert not output.exists()


def test_the_options_of_the_command_reach_the_reader(tmp_path, nlp):
    output = tmp_path / "a.spacy"
    source = FORMATS / "multinerd_tner.jsonl"
    result = run(source, output, "--languages", "de, fr", "--label-order", "tner")
    assert result.exit_code == 0
    assert [doc.user_data["lang"] for doc in load(output, nlp)] == ["de"]
    assert run(source, output, "--label-order", "babelscape").exit_code == 1
    ids = tmp_path / "test.id"
    ids.write_text("bc/demo/00/demo_0002\n")
    assert run(FORMATS / "demo.name", output, "--documents-list", ids).exit_code == 0
    assert [of(doc) for doc in load(output, nlp)] == expected("ontonotes")[3:]


def test_the_command_lists_the_formats():
    result = run("--formats")
    assert result.exit_code == 0
    assert all(name in result.output for name in TABLE)


# Reader


CONFIG = """
[corpus]
@readers = "ner_components.Corpus.v1"
path = "{path}"
format = "conll"
documents = true
"""


def test_the_reader_is_made_by_a_config(nlp):
    if "ner_components.Corpus.v1" not in registry.readers:
        registry.readers.register("ner_components.Corpus.v1", func=make_corpus_reader)
    text = CONFIG.format(path=FORMATS / "conll2003_iob1.txt")
    reader = registry.resolve(spacy.util.Config().from_str(text))["corpus"]
    first, second = reader(nlp)
    assert [len(first.reference), len(second.reference)] == [27, 11]
    assert [e.label_ for e in first.reference.ents] == ["PER", "ORG", "LOC"]
    assert [t.text for t in first.predicted] == [t.text for t in first.reference]
    assert first.predicted.text == first.reference.text
    assert not first.predicted.has_annotation("ENT_IOB")
    assert not first.predicted.has_annotation("SENT_START")


def test_the_reader_can_be_read_again_and_limited():
    reader = make_corpus_reader(FORMATS / "conll2003_iob1.txt")
    nlp = spacy.blank("en")
    assert [len(list(reader(nlp))) for _ in range(2)] == [4, 4]
    limited = make_corpus_reader(FORMATS / "conll2003_iob1.txt", limit=3)
    assert len(list(limited(nlp))) == 3


def test_the_reader_warns_once_of_what_is_dropped(nlp):
    reader = make_corpus_reader(FORMATS / "demo.gold_conll", format="ontonotes")
    with pytest.warns(UserWarning, match=f"demo.gold_conll.*{NO_NAMES}: 1"):
        assert len(list(reader(nlp))) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(reader(nlp))) == 4


def test_a_pipeline_is_initialized_and_updated_from_the_reader():
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    reader = make_corpus_reader(FORMATS / "conll2003_iobes.txt")
    nlp.initialize(lambda: reader(nlp))
    assert nlp.get_pipe("ner").labels == ("LOC", "MISC", "ORG", "PER")
    losses = nlp.update(list(reader(nlp)))
    assert losses["ner"] > 0
    assert nlp.evaluate(list(reader(nlp)))["ents_f"] is not None
