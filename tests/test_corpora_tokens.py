"""Token corpora: every variant gives the same entities, and a broken file gives none."""

import gzip
import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from ner_components.corpora import multinerd, ontonotes, tags
from ner_components.corpora.conll import read_conll, survey
from ner_components.corpora.files import read_lines
from ner_components.corpora.multinerd import find_label_order, read_multinerd
from ner_components.corpora.ontonotes import read_document_ids, read_ontonotes
from ner_components.corpora.sentences import join_documents
from ner_components.corpora.tag_ids import ORDERS, read_tags
from ner_components.corpora.tags import count_breaks, decode_tags, encode_spans

FORMATS = Path(__file__).resolve().parent / "formats"
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("NER_DATA", ROOT.parent / "shared" / "data"))
CANARY = "Quillfeather"

needs_data = pytest.mark.skipif(
    not (DATA / "formats").is_dir(), reason="no data: set NER_DATA to the data folder"
)


@pytest.fixture
def nlp():
    return spacy.blank("en")


def expected(folder, name):
    """RETURNS: Tokens and entities of each sentence of an expected result."""
    lines = (folder / f"expected.{name}.jsonl").read_text(encoding="utf8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["tokens"], [tuple(x) for x in row["ents"]]) for row in rows]


def found(pairs):
    """RETURNS: Tokens and entities of each document; no entity is cut."""
    docs = []
    for doc, cut in pairs:
        assert cut == []
        ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        docs.append(([token.text for token in doc], ents))
    return docs


def error_of(reader, path, nlp, **options):
    """RETURNS: The message, once it is sure that nothing was read and no text leaked."""
    docs = []
    with pytest.raises(ValueError) as e:  # noqa: PT011, the caller checks the message
        docs.extend(reader(path, nlp, **options))
    assert docs == []
    message = str(e.value)
    assert CANARY not in message
    assert e.value.__cause__ is None
    return message


def write(path, text):
    path.write_text(text, encoding="utf8", newline="")
    return path


# Tags


@pytest.mark.parametrize(
    ("sequence", "spans"),
    [
        ("B-A I-A O B-A", [(0, 2, "A"), (3, 4, "A")]),
        ("I-A I-A B-A I-B", [(0, 2, "A"), (2, 3, "A"), (3, 4, "B")]),
        ("B-A E-A S-A S-B", [(0, 2, "A"), (2, 3, "A"), (3, 4, "B")]),
        ("B-A I-A L-A U-A O", [(0, 3, "A"), (3, 4, "A")]),
        ("E-A I-A B-A O", [(0, 1, "A"), (1, 2, "A"), (2, 3, "A")]),
        ("B-A E-B", [(0, 1, "A"), (1, 2, "B")]),
        ("I-A I-A", [(0, 2, "A")]),
        ("O O", []),
        ("", []),
    ],
)
def test_one_decoder_reads_every_scheme(sequence, spans):
    assert decode_tags(sequence.split()) == spans


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(["O", *(f"{p}-{x}" for p in "BIES" for x in "AB")])))
def test_any_sequence_is_decoded_as_seqeval_does(sequence):
    wanted = [(start, end + 1, label) for label, start, end in get_entities(sequence)]
    assert decode_tags(sequence) == wanted
    bilou = [x.replace("E-", "L-").replace("S-", "U-") for x in sequence]
    assert decode_tags(bilou) == wanted


def test_spans_to_tags_and_back():
    spans = [(0, 2, "A"), (2, 3, "A"), (4, 5, "B")]
    assert encode_spans(6, spans) == ["B-A", "I-A", "B-A", "O", "B-B", "O"]
    assert decode_tags(encode_spans(6, spans)) == spans


@pytest.mark.parametrize(
    ("sequences", "scheme", "breaks"),
    [
        (["I-A I-A B-A O I-B"], "IOB1", {}),
        (["B-A I-A B-A O B-B"], "IOB2", {}),
        (["B-A O I-B", "B-B B-A"], "IOB2", {tags.NO_BEGINNING: 1}),
        (["I-A O I-B", "I-B I-A O B-A"], "IOB1", {tags.NEEDLESS_B: 1}),
        (["I-A I-A O", "I-B"], "IO", {}),
        (["B-A I-A E-A S-B"], "IOBES", {}),
        # B-A has no end, I-B and E-A no beginning, and I-B no end either.
        (["B-A O I-B E-A S-A"], "IOBES", {tags.NO_BEGINNING: 2, tags.NO_END: 2}),
        (["B-A L-A U-B", "L-A"], "BILOU", {tags.NO_BEGINNING: 1}),
        (["O O"], "IOB2", {}),
        ([], "IOB2", {}),
    ],
)
def test_breaks_are_those_of_the_scheme_of_the_whole_file(sequences, scheme, breaks):
    assert count_breaks([x.split() for x in sequences]) == (scheme, breaks)


# CoNLL


@pytest.mark.parametrize("scheme", ["iob1", "iob2", "iobes", "bilou"])
def test_conll_in_every_scheme_and_header(nlp, scheme):
    notes = Counter()
    path = FORMATS / f"conll2003_{scheme}.txt"
    pairs = list(read_conll(path, nlp, notes=notes))
    assert found(pairs) == expected(FORMATS, "conll")
    assert [doc.user_data["id"] for doc, _ in pairs] == ["1", "1", "1", "2"]
    assert notes == {}
    assert survey(path).scheme == scheme.upper()


def test_conll_documents_have_the_sentences_of_their_parts(nlp):
    first, second = read_conll(FORMATS / "conll2003_iob1.txt", nlp, documents=True)
    assert [[t.text for t in s][:2] for s in first[0].sents] == [
        ["Ines", "Vidal"],
        ["It", "earned"],
        ["Nothing", "else"],
    ]
    assert [(e.text, e.label_) for e in first[0].ents] == [
        ("Ines Vidal", "PER"),
        ("Harbour & Sons Ltd.", "ORG"),
        ("Porto", "LOC"),
    ]
    assert first[0].user_data == {"id": "1"}
    assert (len(second[0]), second[0].user_data) == (11, {"id": "2"})


@pytest.mark.parametrize(
    "header",
    [
        "-DOCSTART- -X- O O",
        "-DOCSTART- -X- -X- O",
        "-DOCSTART- -X- O",
        "-DOCSTART-",
        "-DOCSTART-\tO",
    ],
)
def test_no_header_becomes_a_token(tmp_path, nlp, header):
    text = f"{header}\n\na b I-A\n{header}\nc d O\n\n{header}\n\n{header}\n\ne f O\n"
    notes = Counter()
    pairs = list(read_conll(write(tmp_path / "a.txt", text), nlp, notes=notes))
    assert [doc.text.strip() for doc, _ in pairs] == ["a", "c", "e"]
    assert [doc.user_data["id"] for doc, _ in pairs] == ["1", "2", "4"]
    assert sum(notes.values()) == 1
    assert "document without sentences" in next(iter(notes))


def test_a_header_may_name_its_document(tmp_path, nlp):
    text = "-DOCSTART- (1 NEWS day)\n\na O\n\n-DOCSTART-\n\nb O\n"
    pairs = list(read_conll(write(tmp_path / "a.txt", text), nlp))
    assert [doc.user_data["id"] for doc, _ in pairs] == ["1 NEWS day", "2"]


def test_without_headers_there_are_no_ids(tmp_path, nlp):
    pairs = list(read_conll(write(tmp_path / "a.txt", "a O\n\nb O"), nlp, documents=True))
    assert [doc.user_data for doc, _ in pairs] == [{}, {}]


def test_odd_characters_are_tokens_and_no_line_ends(tmp_path, nlp):
    words = [
        "#",
        "#tag",
        "\u00a0",
        "a\u2028b",
        "\u3000",
        "New York",
        "\u200b",
        "\x0c",
        "\ufeffx",
    ]
    text = "".join(f"{word}\tO\n" for word in words) + "\t\nend\tB-X\r\n \t \r\n"
    first, second = read_conll(write(tmp_path / "a.txt", text), nlp)
    # The byte order mark belongs to the file only where the file begins.
    assert [token.text for token in first[0]] == words
    assert [(e.text, e.label_) for e in second[0].ents] == [("end", "X")]


def test_a_byte_order_mark_is_no_text(tmp_path, nlp):
    path = write(tmp_path / "a.txt", "\ufeff-DOCSTART- O\n\nZoe B-PER\n")
    ((doc, _),) = read_conll(path, nlp)
    assert [(e.text, e.label_) for e in doc.ents] == [("Zoe", "PER")]


def test_conll_reads_gzip(tmp_path, nlp):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress((FORMATS / "conll2003_iob2.txt").read_bytes()))
    assert found(read_conll(path, nlp)) == expected(FORMATS, "conll")


def test_an_empty_token_outside_entities_is_counted(tmp_path, nlp):
    notes = Counter()
    path = write(tmp_path / "a.txt", "Ann\tB-PER\n\tO\nleft\tO\n")
    ((doc, _),) = read_conll(path, nlp, notes=notes)
    assert [token.text for token in doc] == ["Ann", "left"]
    assert list(notes.values()) == [1]


def test_repairs_are_counted(tmp_path, nlp):
    notes = Counter()
    path = write(tmp_path / "a.txt", "a B-X\nb O\nc I-X\n\nd B-X\ne I-X\n")
    assert found(read_conll(path, nlp, notes=notes)) == [
        (["a", "b", "c"], [(0, 1, "X"), (2, 3, "X")]),
        (["d", "e"], [(0, 2, "X")]),
    ]
    assert notes == {tags.NO_BEGINNING: 1}


IOB1_THEN_IOB2 = "a I-X\n\n" * 6 + "b O\nc B-X\n\n" * 5


@pytest.mark.parametrize(
    ("text", "line", "problem", "options"),
    [
        ("C O\nx\n", 2, "no token with an entity tag", {}),
        ("C\tO\nx\tNN\n", 2, "no token with an entity tag", {}),
        ("C\tO\nx\tB-\n", 2, "no token with an entity tag", {}),
        ("C\tO\nx y\tX-PER\n", 2, "no token with an entity tag", {}),
        ("C NN I-NP O\nC NN O\n", 2, "3 columns where the lines before have 4", {}),
        ("C\tO\tO\n\nC\tO\n", 3, "2 columns where the lines before have 3", {}),
        ("C\tO\n\tB-PER\n", 2, "an entity tag without a token", {}),
        ("C S-X\nC B-X\nC L-X\n", 3, "E-/S- in a file of the scheme|S- in a file", {}),
        (IOB1_THEN_IOB2, 14, "mixed or wrong tags: 5 of 11 entities", {}),
        ("C I-X\nC O\n", 1, "1 of 1 entities break the scheme IOB2", {"scheme": "iob2"}),
        ("C I-X\nC E-X\n", 2, "E- in a file of the scheme IOB1", {"scheme": "IOB1"}),
    ],
)
def test_conll_refuses_the_line(tmp_path, nlp, text, line, problem, options):
    path = write(tmp_path / "bad.txt", text.replace("C", CANARY))
    message = error_of(read_conll, path, nlp, **options)
    assert message.startswith(f"{path}, line {line}: ")
    assert any(x in message for x in problem.split("|"))


def test_every_cut_inside_a_line_is_refused(tmp_path, nlp):
    lines = "Ann NN I-NP B-PER\nleft NN I-NP O\nRome NN I-NP B-LOC\n\nBo NN I-NP B-PER"
    start = lines.index("Bo")
    for end in range(start + 1, len(lines)):
        message = error_of(read_conll, write(tmp_path / "cut.txt", lines[:end]), nlp)
        assert "cut.txt, line 5: " in message
    assert len(list(read_conll(write(tmp_path / "whole.txt", lines), nlp))) == 2
    # A line feed behind it says that the label is whole.
    path = write(tmp_path / "short.txt", lines[:-1] + "\n")
    assert len(list(read_conll(path, nlp))) == 2


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (
            f"{CANARY} O\nM\xfcller B-PER\n".encode("latin1"),
            2,
            "byte 2 of the line is not UTF-8",
        ),
        (f"{CANARY} O\n".encode("utf-16"), 1, "not UTF-8"),
    ],
)
def test_other_encodings_are_refused(tmp_path, nlp, data, line, problem):
    path = tmp_path / "bad.txt"
    path.write_bytes(data)
    message = error_of(read_conll, path, nlp)
    assert f"bad.txt, line {line}: " in message
    assert problem in message


def test_a_cut_gzip_file_is_refused(tmp_path, nlp):
    path = tmp_path / "cut.txt.gz"
    text = "".join(f"{random.Random(i).random()} O\n" for i in range(2000))
    path.write_bytes(gzip.compress(text.encode())[:-3000])
    message = error_of(read_conll, path, nlp)
    assert "cut.txt.gz, line " in message
    assert "the gzipped data is damaged" in message
    assert int(message.split("line ")[1].split(":")[0]) > 1


def test_an_unknown_scheme_is_named(nlp):
    message = error_of(read_conll, FORMATS / "conll2003_iob1.txt", nlp, scheme="IOBX")
    assert "scheme = 'IOBX' is not valid. Use IOB1, IOB2, IO, IOBES, BILOU." in message


# OntoNotes


@pytest.mark.parametrize(
    ("name", "notes", "lang"),
    [
        ("demo.name", {}, "en"),
        ("demo.gold_conll", {ontonotes.NO_NAMES: 1}, None),
        ("ontonotes_conll2012.jsonl", {}, None),
    ],
)
def test_ontonotes_with_documents(nlp, name, notes, lang):
    counts = Counter()
    pairs = list(read_ontonotes(FORMATS / name, nlp, notes=counts))
    assert found(pairs) == expected(FORMATS, "ontonotes")
    assert [doc.user_data["id"] for doc, _ in pairs] == [
        *["nw/demo/00/demo_0001"] * 3,
        "bc/demo/00/demo_0002",
    ]
    assert {doc.user_data.get("lang") for doc, _ in pairs} == {lang}
    assert counts == notes


def test_ontonotes_as_tner_has_it(nlp):
    pairs = list(read_ontonotes(FORMATS / "ontonotes_tner.jsonl", nlp))
    assert found(pairs) == expected(FORMATS, "ontonotes")
    # No ids: a sentence without names stays, nobody can say what it is from.
    assert [doc.user_data for doc, _ in pairs] == [{}] * 4


def test_the_language_is_in_the_path(tmp_path, nlp):
    folder = tmp_path / "chinese" / "annotations"
    folder.mkdir(parents=True)
    path = write(folder / "a.gold_conll", (FORMATS / "demo.gold_conll").read_text())
    assert next(read_ontonotes(path, nlp))[0].user_data["lang"] == "zh"


def test_a_part_without_names_stays_with_its_document(tmp_path, nlp):
    row = "nw/a   {part}   0   {word}   NN   *   -   -   -   S   {name}   -\n"
    begin = "#begin document (nw/a); part 00{part}\n"
    parts = [
        (begin + row).format(part=i, word=w, name=n)
        for i, w, n in [(0, "hi", "*"), (1, "Ann", "(PERSON)")]
    ]
    path = write(tmp_path / "a.gold_conll", "".join(f"{x}\n#end document\n" for x in parts))
    notes = Counter()
    assert found(read_ontonotes(path, nlp, notes=notes)) == [
        (["hi"], []),
        (["Ann"], [(0, 1, "PERSON")]),
    ]
    assert notes == {}


def test_names_that_cut_a_token_are_named_and_not_annotated(tmp_path, nlp):
    text = (
        '<DOC DOCNO="nw/a@1@x@nw@en@on">\n'
        '<ENAMEX TYPE="GPE" S_OFF="4">non-EU</ENAMEX> talks in '
        '<ENAMEX TYPE="NORP" E_OFF="4">Swiss-led</ENAMEX> '
        '<ENAMEX TYPE="GPE">Bern</ENAMEX> , pro-<ENAMEX TYPE="PERSON">Ann</ENAMEX>\n</DOC>\n'
    )
    notes = Counter()
    ((doc, cut),) = read_ontonotes(write(tmp_path / "a.name", text), nlp, notes=notes)
    assert doc.text.strip() == "non-EU talks in Swiss-led Bern , pro-Ann"
    assert [(e.text, e.label_) for e in doc.ents] == [("Bern", "GPE")]
    assert [(doc.text[a:b], label) for a, b, label in cut] == [
        ("EU", "GPE"),
        ("Swiss", "NORP"),
        ("Ann", "PERSON"),
    ]
    assert [t.ent_iob for t in doc] == [0, 2, 2, 0, 3, 2, 0]
    assert notes == {ontonotes.INSIDE_TOKEN: 3}


def test_names_inside_names_are_counted(tmp_path, nlp):
    text = (
        '<DOC DOCNO="a@1">\n<ENAMEX TYPE="ORG">Bank of <ENAMEX TYPE="GPE">Rome</ENAMEX>'
        "</ENAMEX> &lt;b&gt;\n</DOC>\n"
    )
    notes = Counter()
    path = write(tmp_path / "a.name", text)
    assert found(read_ontonotes(path, nlp, notes=notes)) == [
        (["Bank", "of", "Rome", "<b>"], [(0, 3, "ORG")])
    ]
    assert notes == {ontonotes.NESTED: 1}
    row = "a 0 {} {} NN * - - - S {} -\n"
    rows = [
        row.format(i, w, n)
        for i, (w, n) in enumerate([("Rome", "(ORG(GPE)"), ("Bank", "*)")])
    ]
    path = write(
        tmp_path / "a.gold_conll",
        "#begin document (a); part 000\n" + "".join(rows) + "\n#end document\n",
    )
    assert found(read_ontonotes(path, nlp, notes=notes)) == [
        (["Rome", "Bank"], [(0, 2, "ORG")])
    ]
    assert notes == {ontonotes.NESTED: 2}


B = "#begin document (a); part 000\n"
ROW = "a 0 {} ~ NN * - - - S {} -\n"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (B + ROW.format(0, "*").replace("~", "[WORD]"), 2, "the words are not filled in"),
        (B + ROW.format(0, "*"), 3, "the document before has no end"),
        (B + ROW.format(0, "*") + B, 3, "the document before has no end"),
        (B + ROW.format(1, "*"), 2, "token 0 of the sentence is missing"),
        (
            B + ROW.format(0, "*") + ROW.format(2, "*"),
            3,
            "token 1 of the sentence is missing",
        ),
        (B + ROW.format(0, "*") + "a 0 1 ~\n", 3, "4 columns where the sentence has 12"),
        (B + "a 0 0 ~ NN\n", 2, "5 columns, 12 at least are needed"),
        (B + ROW.format(0, "*").replace("a 0", "b 0"), 2, "not the id of the document"),
        (B + ROW.format(0, "(GPE") + "\n", 2, "a name has no end in its sentence"),
        (B + ROW.format(0, "*)") + "\n", 2, "a name ends that has not begun"),
        (B + ROW.format(0, "GPE"), 2, "the name column (11) can't be read"),
        ("#end document\n" + ROW.format(0, "*"), 2, "text outside a document"),
        ('<DOC DOCNO="a@1">\n~ <ENAMEX TYPE="X">~\n</DOC>\n', 2, "<ENAMEX> without"),
        ('<DOC DOCNO="a@1">\n~</ENAMEX>\n</DOC>\n', 2, "</ENAMEX> without"),
        ('<DOC DOCNO="a@1">\n~ <b>~</b>\n</DOC>\n', 2, "mark-up other than ENAMEX"),
        (
            '<DOC DOCNO="a@1">\n~ <ENAMEX TYPE="X"> </ENAMEX>\n</DOC>\n',
            2,
            "without characters",
        ),
        (
            '<DOC DOCNO="a@1">\n~ <ENAMEX TYPE="X" S_OFF="12">~</ENAMEX>\n</DOC>\n',
            2,
            "without characters",
        ),
        ('<DOC DOCNO="a@1">\n~\n', 3, "the document before has no end"),
        ('<DOC DOCNO="a@1">\n</DOC>\n~\n', 3, "text outside a document"),
        ("~\n", 1, "not a file of OntoNotes"),
        ('{"tokens": ["~"], "tags": [37]}\n', 1, "the tag number 37 is unknown"),
        ('{"tokens": ["~"], "tags": [-1]}\n', 1, "the tag number -1 is unknown"),
        ('{"tokens": ["~", "~"], "tags": [0]}\n', 1, "2 tokens and 1 tags"),
        ('{"tokens": ["~"], "tags": [0]}\n{"tokens": ["~"', 2, "not JSON"),
        ('{"tokens": ["~"]}\n', 1, "not in the format"),
        ('{"tokens": ["~\\ud800"], "tags": [0]}\n', 1, "half a character"),
        ('{"document_id": "a", "sentences": [["~"]]}\n', 1, "not in the format"),
    ],
)
def test_ontonotes_refuses_the_line(tmp_path, nlp, text, line, problem):
    path = write(tmp_path / "bad.x", text.replace("~", CANARY))
    message = error_of(read_ontonotes, path, nlp)
    assert f"bad.x, line {line}: " in message
    assert problem in message


def test_a_skeleton_names_the_remedy(nlp):
    assert "skeleton2conll" in error_of(read_ontonotes, FORMATS / "demo.gold_skel", nlp)


def test_numbers_in_the_order_of_the_other_layout_are_refused(tmp_path, nlp):
    swapped = {
        "ontonotes_tner.jsonl": ("tner", "conll2012"),
        "ontonotes_conll2012.jsonl": ("conll2012", "tner"),
    }
    for name, (right, wrong) in swapped.items():
        text = (FORMATS / name).read_text(encoding="utf8")
        rows = [json.loads(line) for line in text.splitlines()]
        for row in rows:
            for sentence in row.get("sentences", [row]):
                field = "named_entities" if "named_entities" in sentence else "tags"
                names = [ORDERS["ontonotes"][right][x] for x in sentence[field]]
                sentence[field] = [ORDERS["ontonotes"][wrong].index(x) for x in names]
        path = write(tmp_path / name, "".join(json.dumps(row) + "\n" for row in rows))
        message = error_of(read_ontonotes, path, nlp)
        assert "begin with an I- tag" in message
        assert "label order" in message


def test_a_documents_list_is_a_file_or_a_folder_of_the_release(tmp_path, nlp):
    lines = "# test\nbc/demo/00/demo_0002\n\nx/data/english/annotations/nw/a/00/a_1.gold_skel\nbc/p2.5_a2e/00/p2.5_a2e_0009\n"
    ids = read_document_ids(write(tmp_path / "test.id", lines))
    assert ids == {"bc/demo/00/demo_0002", "nw/a/00/a_1", "bc/p2.5_a2e/00/p2.5_a2e_0009"}
    folder = tmp_path / "data" / "english" / "annotations" / "nw" / "a" / "00"
    folder.mkdir(parents=True)
    write(folder / "a_1.gold_skel", "")
    write(folder / "a_2.v4_gold_conll", "")
    write(folder / "a_3.parse", "")
    assert read_document_ids(tmp_path / "data") == {"nw/a/00/a_1", "nw/a/00/a_2"}
    notes = Counter()
    pairs = list(
        read_ontonotes(FORMATS / "demo.name", nlp, notes=notes, documents_list=ids)
    )
    assert found(pairs) == expected(FORMATS, "ontonotes")[3:]
    assert notes == {ontonotes.UNLISTED: 1}


def test_the_tag_orders_are_the_published_ones():
    # First, some in the middle, and last, as tner/ontonotes5 and conll2012_ontonotesv5
    # publish them.
    tner, conll = ORDERS["ontonotes"]["tner"], ORDERS["ontonotes"]["conll2012"]
    assert (len(tner), len(conll), set(tner) == set(conll)) == (37, 37, True)
    assert [
        tner.index(x) for x in ("O", "B-CARDINAL", "B-GPE", "I-CARDINAL", "I-LANGUAGE")
    ] == [0, 1, 7, 22, 36]
    assert [conll.index(x) for x in ("O", "B-PERSON", "B-GPE", "B-DATE", "I-LANGUAGE")] == [
        0,
        1,
        9,
        15,
        36,
    ]


@needs_data
def test_the_tag_orders_are_those_of_the_data():
    ids = json.loads((DATA / "formats" / "label_ids.json").read_text(encoding="utf8"))
    names = {
        "tner/ontonotes5": ("ontonotes", "tner"),
        "conll2012_ontonotesv5": ("ontonotes", "conll2012"),
        "Babelscape/multinerd": ("multinerd", "babelscape"),
        "tner/multinerd": ("multinerd", "tner"),
    }
    for published, (corpus, order) in names.items():
        assert {x: i for i, x in enumerate(ORDERS[corpus][order])} == ids[published]


# MultiNERD


def rows_of(field, rows):
    return "".join(json.dumps({"tokens": words, field: ids}) + "\n" for words, ids in rows)


@pytest.mark.parametrize("name", ["babelscape", "tner"])
def test_multinerd_in_both_orders(nlp, name):
    path = FORMATS / f"multinerd_{name}.jsonl"
    assert find_label_order(path) == name
    for order in (None, name):
        pairs = list(read_multinerd(path, nlp, label_order=order))
        assert found(pairs) == expected(FORMATS, "multinerd")
        assert [doc.user_data["lang"] for doc, _ in pairs] == ["en", "de", "en"]


def test_multinerd_tsv(nlp):
    pairs = list(read_multinerd(FORMATS / "multinerd_en.tsv", nlp))
    assert found(pairs) == [expected(FORMATS, "multinerd")[i] for i in (0, 2)]
    assert {doc.user_data["lang"] for doc, _ in pairs} == {"en"}


def test_languages_are_kept_apart_and_counted(nlp):
    notes = Counter()
    path = FORMATS / "multinerd_tner.jsonl"
    pairs = list(read_multinerd(path, nlp, notes=notes, languages=["de"]))
    assert [doc.user_data["lang"] for doc, _ in pairs] == ["de"]
    assert notes == {multinerd.OTHER_LANGUAGE: 2}


def test_duplicates_are_dropped_and_counted(tmp_path, nlp):
    rows = [(["Ann", "left"], [1, 0]), (["Ann", "left"], [0, 0]), (["Ann", "left"], [1, 0])]
    path = write(tmp_path / "a.jsonl", rows_of("tags", rows))
    notes = Counter()
    assert found(read_multinerd(path, nlp, notes=notes)) == [
        (["Ann", "left"], [(0, 1, "PER")]),
        (["Ann", "left"], []),
    ]
    assert notes == {multinerd.DUPLICATE: 1}


PLACES = [([x], [3]) for x in ("Germany", "Paris", "日本", "Москва", "Roma")]


@pytest.mark.parametrize(
    ("field", "rows", "order", "problem"),
    [
        # Nothing but the field's custom speaks: the other order is refused.
        ("ner_tags", [(["Tölz"], [5])], "tner", "babelscape by the name of the field"),
        ("tags", [(["Tölz"], [3])], "babelscape", "tner by the name of the field"),
        ("labels", [(["Tölz"], [3])], None, "nothing shows in which order"),
        ("ner_tags", [(["x"], [33])], "babelscape", "tner by a tag number above 30"),
        # Five places that have the number of organisations.
        ("ner_tags", PLACES, None, "tner by the labels of well-known names"),
        ("ner_tags", PLACES, "babelscape", "tner by the labels of well-known names"),
        ("labels", PLACES, "babelscape", "tner by the labels of well-known names"),
        ("tags", PLACES, "alphabetical", "label_order = 'alphabetical' is not valid"),
    ],
)
def test_a_wrong_or_unknown_order_is_refused(tmp_path, nlp, field, rows, order, problem):
    path = write(tmp_path / "a.jsonl", rows_of(field, [*rows, ([CANARY], [0])]))
    message = error_of(read_multinerd, path, nlp, label_order=order)
    assert problem in message
    if order is None:
        assert "--label-order" in message


@pytest.mark.parametrize(
    ("field", "rows", "order", "wanted"),
    [
        ("labels", [(["Tölz"], [3])], "tner", "tner"),
        ("ner_tags", [(["x"], [31])], None, "tner"),
        ("ner_tags", PLACES, "tner", "tner"),
        ("labels", PLACES, None, "tner"),
        # Four known names are too few, and one of five may be wrong.
        ("ner_tags", PLACES[:4], None, "babelscape"),
        ("tags", [*PLACES[:4], (["NATO"], [3])], None, "tner"),
        ("tags", [*PLACES[:3], (["NATO"], [3]), (["Rom"], [5])], None, "tner"),
    ],
)
def test_the_order_is_told_by_what_is_there(tmp_path, field, rows, order, wanted):
    path = write(tmp_path / "a.jsonl", rows_of(field, rows))
    assert find_label_order(path, order) == wanted


def test_label_names_beside_the_file_prove_the_order(tmp_path):
    path = write(tmp_path / "a.jsonl", rows_of("ner_tags", [(["Tölz"], [3])]))
    names = {x: i for i, x in enumerate(ORDERS["multinerd"]["tner"])}
    write(tmp_path / "label.json", json.dumps(names))
    assert find_label_order(path) == "tner"
    with pytest.raises(ValueError, match="tner by the label names beside the file"):
        find_label_order(path, "babelscape")
    (tmp_path / "label.json").unlink()
    info = {
        "features": {"ner_tags": {"feature": {"names": ORDERS["multinerd"]["babelscape"]}}}
    }
    write(tmp_path / "dataset_info.json", json.dumps(info))
    assert find_label_order(path) == "babelscape"
    write(tmp_path / "dataset_info.json", json.dumps({"names": ["O", "B-PER", "I-PER"]}))
    with pytest.raises(ValueError, match="names other tags than MultiNERD has"):
        find_label_order(path)


def test_known_names_have_one_label_each():
    names = [*multinerd._LOCATIONS.split(), *multinerd._ORGANISATIONS.split()]
    names += [*multinerd._LONG_ORGANISATIONS, *multinerd._MYTHS.split()]
    names += multinerd._PLANTS.split()
    assert len(names) == len(set(names)) == len(multinerd.KNOWN)
    assert min(Counter(multinerd.KNOWN.values())[x] for x in ("LOC", "ORG")) >= 40


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("0\tC\tO\n2\tC\tO\n", 2, "token 2 follows token 0"),
        ("0\tC\tO\n0\tC\tO\n", 2, "token 0 follows token 0"),
        ("0\tC\tO\nx\tC\tO\n", 2, "no token number"),
        ("0\tC\tO\n1\tC\n", 2, "no token with an entity tag"),
    ],
)
def test_multinerd_tsv_refuses_the_line(tmp_path, nlp, text, line, problem):
    path = write(tmp_path / "bad_en.tsv", text.replace("C", CANARY))
    message = error_of(read_multinerd, path, nlp)
    assert f"bad_en.tsv, line {line}: " in message
    assert problem in message


# Tags as names, and numbers with a file of names


def test_tags_as_names_or_with_a_file_of_names(tmp_path, nlp):
    path = write(
        tmp_path / "a.jsonl", '{"tokens": ["Ann", "Lee"], "ner_tags": ["B-P", "I-P"]}\n'
    )
    assert found(read_tags(path, nlp)) == [(["Ann", "Lee"], [(0, 2, "P")])]
    write(path, '{"tokens": ["Ann", "Lee"], "tags": [2, 1]}\n')
    assert "the tag number 2 is unknown" in error_of(read_tags, path, nlp)
    write(tmp_path / "label.json", '{"O": 0, "I-P": 1, "B-P": 2}')
    assert found(read_tags(path, nlp)) == [(["Ann", "Lee"], [(0, 2, "P")])]
    write(tmp_path / "label.json", '{"O": 0, "P": 1, "Q": 2}')
    assert "a name is no tag" in error_of(read_tags, path, nlp)


# Documents


def test_joining_keeps_what_is_missing_and_moves_what_is_cut(tmp_path, nlp):
    text = '<DOC DOCNO="a@1">\nAnn left\n<ENAMEX TYPE="X" S_OFF="2">abcd</ENAMEX> in <ENAMEX TYPE="GPE">Rome</ENAMEX>\n</DOC>\n'
    pairs = read_ontonotes(write(tmp_path / "a.name", text), nlp)
    ((doc, cut),) = join_documents(pairs)
    assert [t.ent_iob for t in doc] == [2, 2, 0, 2, 3]
    assert [doc.text[a:b] for a, b, _ in cut] == ["cd"]
    assert [t.i for t in doc if t.is_sent_start] == [0, 2]
    assert [(e.text, e.label_) for e in doc.ents] == [("Rome", "GPE")]


# Real data


@needs_data
@pytest.mark.parametrize(
    ("name", "reader", "wanted"),
    [
        ("conll2003.iob1.original_train.txt", read_conll, "conll4"),
        ("conll2003.iob1.original_testb.txt", read_conll, "conll4"),
        ("conll2003.iob2.hf.txt", read_conll, "conll4"),
        ("ontonotes.name", read_ontonotes, "ontonotes"),
        ("ontonotes.gold_conll", read_ontonotes, "ontonotes"),
        ("tner_ontonotes5.jsonl", read_ontonotes, "ontonotes"),
        ("hf_conll2012_ontonotesv5.jsonl", read_ontonotes, "ontonotes"),
        ("multinerd.jsonl", read_multinerd, "multinerd"),
        ("multinerd_en.tsv", read_multinerd, "multinerd"),
    ],
)
def test_the_samples_give_their_expected_result(nlp, name, reader, wanted):
    rows = expected(DATA / "formats", wanted)
    pairs = list(reader(DATA / "formats" / name, nlp))
    assert found(pairs) == (rows[:1] if name == "multinerd_en.tsv" else rows)


@needs_data
def test_the_wrong_order_of_the_sample_is_detected(nlp):
    path = DATA / "formats" / "multinerd.jsonl"
    assert "is in doubt" in error_of(read_multinerd, path, nlp, label_order="tner")


@needs_data
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_wnut17_as_tokens_per_line_equals_its_json_lines(tmp_path, nlp, split):
    lines = [line for _, line in read_lines(DATA / "wnut17" / f"{split}.jsonl.gz")]
    rows = [json.loads(line) for line in lines]
    wanted = [(row["tokens"], [tuple(x) for x in row["ents"]]) for row in rows]
    text = "".join(
        "".join(
            f"{w}\t{t}\n"
            for w, t in zip(words, encode_spans(len(words), ents), strict=True)
        )
        + "\n"
        for words, ents in wanted
    )
    notes = Counter()
    path = write(tmp_path / "a.conll", text)
    assert found(read_conll(path, nlp, notes=notes)) == wanted
    assert notes == {}
