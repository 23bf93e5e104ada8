"""The gold set is held to its rules, and the scripts that hold it find what is planted."""

import json
import subprocess
import sys
from pathlib import Path

import agreement
import check_gold
import pytest
import score_cuts
import spacy
from spacy.tokens import Doc, Span

from ner_components.corpora.markup import MarkedDocument, parse_marked, read_markup

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "corpus"


def _run(script, *arguments):
    command = [sys.executable, ROOT / "scripts" / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _document(*lines, name="news-1", genre="news", tags=()):
    document = MarkedDocument(name, genre, list(tags))
    for line in lines:
        document.add_sentence(*parse_marked(line.replace("¶", "\n")))
    return document


def _breaches(*lines, exceptions=frozenset(), **kwargs):
    found = check_gold.check_marks([_document(*lines, **kwargs)], set(exceptions))
    return [(breach.surface, breach.why) for breach in found]


def test_the_gold_set_holds():
    result = _run("check_gold.py", CORPUS)
    assert result.returncode == 0, result.stdout


def test_the_datasheet_counts_what_is_there():
    splits = [list(read_markup(CORPUS / f"{split}.txt")) for split in check_gold.SPLITS]

    def row(name, count):
        counts = [count(documents) for documents in splits]
        return f"| {name} | {' | '.join(map(str, [*counts, sum(counts)]))} |"

    page = (CORPUS / "README.md").read_text(encoding="utf8")
    assert row("documents", len) in page
    assert row("entities (outermost)", lambda x: sum(len(d.entities) for d in x)) in page
    for label in check_gold.LABELS:
        assert row(label, lambda x: check_gold.count_labels(x)[label]) in page  # noqa: B023
    for tag in check_gold.TAGS:
        assert row(tag, lambda x: sum(tag in d.tags for d in x)) in page  # noqa: B023


def test_the_annotators_differences_are_settled(tmp_path):
    result = _run("agreement.py", CORPUS, tmp_path / "agreement.json")
    assert result.returncode == 0, result.stdout
    published = ROOT / "metrics" / "published" / "agreement.json"
    found = (tmp_path / "agreement.json").read_text(encoding="utf8")
    assert json.loads(found) == json.loads(published.read_text(encoding="utf8"))


@pytest.mark.parametrize(
    ("line", "surface", "why"),
    [
        ("[[Lyon,|LOCATION]] rains.", "Lyon,", "LOCATION: punctuation at an edge"),
        ("[[Ana's|PERSON]] keys.", "Ana's", "PERSON: a possessive is inside"),
        ("[[the Senate|ORG]] met.", "the Senate", "ORG: a leading article is inside"),
        ("[[Dr. Obi|PERSON]] came.", "Dr. Obi", "PERSON: a title is inside"),
        ("[[$AMD|TICKER]] fell.", "$AMD", "TICKER: the sign of a ticker is inside"),
        ("[[Acme Corp|TICKER]] fell.", "Acme Corp", "TICKER: is no symbol"),
        ("[[aspirin 75 mg|DRUG]] daily.", "aspirin 75 mg", "DRUG: a dose is inside"),
        (
            "[[severe asthma|DISEASE]] again.",
            "severe asthma",
            "DISEASE: a severity, stage or spread is inside",
        ),
        (
            "At [[12 Baker Street|LOCATION]] now.",
            "12 Baker Street",
            "LOCATION: a house number is inside",
        ),
        (
            "My [[Pixel 8 128 GB|PRODUCT]] broke.",
            "Pixel 8 128 GB",
            "PRODUCT: a storage size is inside",
        ),
        (
            "Under [[section 5|STATUTE]] only.",
            "section 5",
            "STATUTE: is no law, or a provision without its law",
        ),
        ("It cost [[over $5|MONEY]] then.", "over $5", "MONEY: a modifier is inside"),
        ("Sales of [[3.2|MONEY]] then.", "3.2", "MONEY: has no currency"),
        ("It cost $5 then.", "$5", "not marked as MONEY"),
        ("See § 823 there.", "§ 8", "not marked as STATUTE"),
        ("[[Ann|PERSON]] met Ann.", "Ann", "marked here, but not every time"),
        ("[[Ann.|PERSON]] came.", "Ann.", "PERSON: a full stop is inside"),
        ("[[Acme (UK|ORG]]) fell.", "Acme (UK", "ORG: half of a pair of brackets"),
        ("[[bad|WORD]] word.", "WORD", "no such label"),
        ("Un[[break|ORG]]able.", "break", "cuts a token"),
        ("[[Mel [[Bond|PERSON]]|PERSON]] sang.", "Bond", "PERSON inside PERSON"),
    ],
)
def test_a_planted_breach_is_found(line, surface, why):
    tags = ["nested"] if line.count("[[") == 2 and "]]|" in line else []
    assert (surface, why) in _breaches(line, tags=tags)


@pytest.mark.parametrize(
    "line",
    [
        "[[Acme Inc.|ORG]] and [[Washington, D.C.|LOCATION]] met [[J. R. R. Tolkien|PERSON]].",
        "[[Art. 6(1)(f) GDPR|STATUTE]] and [[§ 823 Abs. 1 BGB|STATUTE]] and [[FOIA|STATUTE]].",
        "$[[AMD|TICKER]] costs [[$4.2 million|MONEY]], [[20 bucks|MONEY]] or [[two euros|MONEY]].",
        "[[SAP.DE|TICKER]], [[BRK.B|TICKER]]; 40 mg of [[metformin XR|DRUG]] in [[5th Avenue|LOCATION]].",
    ],
)
def test_right_marks_pass(line):
    assert _breaches(line) == []


def test_an_exception_is_of_one_surface_and_one_document_or_all():
    line = "[[The Hague|LOCATION]] sits."
    assert _breaches(line) == [("The Hague", "LOCATION: a leading article is inside")]
    assert _breaches(line, exceptions={("*", "The Hague")}) == []
    assert _breaches(line, exceptions={("news-1", "The Hague")}) == []
    assert len(_breaches(line, exceptions={("news-2", "The Hague")})) == 1


def test_exceptions_are_read_with_their_reason(tmp_path):
    path = tmp_path / "exceptions.txt"
    path.write_text("# why\n* | The Hague | officially\nnews-1 | Save¶the | cut\n")
    assert check_gold.read_exceptions(path) == {("*", "The Hague"), ("news-1", "Save\nthe")}
    assert check_gold.read_exceptions(tmp_path / "none.txt") == set()


def test_counts_of_a_set_by_hand():
    gold = {
        "train": [_document("[[Ann|PERSON]] met [[Bob|PERSON]].", "Nobody came.")],
        "dev": [_document("[[Acme|ORG]] fell.", name="b")],
        "test": [_document("[[ann|PERSON]] sat.", "[[Cy|PERSON]] sat.", name="c")],
    }
    rows = {row.name: row for row in check_gold.check_set(gold)}
    assert (rows["documents"].found, rows["documents"].holds) == ("3", False)
    assert rows["sentences"].found == "5"
    assert rows["entities"].found == "5"
    assert rows["sentences without an entity, %"].found == "20"
    # "PERSON sat" twice
    assert rows["a masked sentence, times"].found == "2 PERSON sat"
    assert not rows["a masked sentence, times"].holds
    # Ann was seen, Cy was not
    assert rows["test entities unseen in train, %"].found == "50"
    assert rows["test entities unseen in train, %"].holds
    assert rows["PERSON: a name, % of them"].found.startswith("25 ")


# Agreement


def _documents(*lines):
    return {"a": _document(*lines, name="a")}


FIRST = _documents("[[Ann Lee|PERSON]] of [[Acme|ORG]] saw [[Paris|LOCATION]].")
SECOND = _documents("[[Ann|PERSON]] Lee of [[Acme|ORG]] saw [[Paris|PERSON]].")


def test_agreement_by_hand():
    report = agreement.measure(FIRST, SECOND)
    assert {k: (x["first"], x["second"], x["same"]) for k, x in report.items()} == {
        "LOCATION": (1, 0, 0),
        "ORG": (1, 1, 1),
        "PERSON": (1, 2, 0),
        "micro": (3, 3, 1),
    }
    assert report["micro"]["f"] == 1 / 3
    assert report["ORG"]["f"] == 1.0


def test_differences_are_stretches():
    assert list(agreement.differences(FIRST["a"], SECOND["a"])) == [(0, 7), (20, 25)]
    assert list(agreement.differences(FIRST["a"], FIRST["a"])) == []


def test_each_difference_needs_a_decision_that_the_gold_set_follows(tmp_path):
    path = tmp_path / "adjudication.jsonl"

    def problems(*rows):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return list(agreement.check(FIRST, SECOND, FIRST, path))

    def row(start, end, gold, reason="because"):
        chars = {"start_char": start, "end_char": end}
        return {"document": "a", **chars, "gold": gold, "reason": reason}

    name, place = row(0, 7, [[0, 7, "PERSON"]]), row(20, 25, [[20, 25, "LOCATION"]])
    assert problems(name, place) == []
    assert problems(name) == ["a, 20-25: no decision in adjudication.jsonl"]
    assert problems(name, {**place, "reason": ""}) == problems(name)
    wrong = row(20, 25, [[20, 25, "PERSON"]])
    assert problems(name, wrong) == ["a, 20-25: test.txt is not what was decided"]
    extra = row(11, 15, [[11, 15, "ORG"]])
    assert problems(name, place, extra) == ["a, 11-15: a decision without a difference"]


# Scores by label, tag and genre


def test_cuts_by_hand():
    nlp = spacy.blank("en")

    def make(ents, tags, missing=()):
        doc = Doc(nlp.vocab, words=["Ann", "met", "Acme", "in", "Oslo"])
        doc.user_data = {"tags": tags, "genre": "news"}
        spans = [Span(doc, i, i + 1, label=label) for i, label in ents]
        doc.set_ents(spans, missing=[doc[i : i + 1] for i in missing])
        return doc

    golds = [
        make([(0, "PERSON"), (2, "ORG")], ["trap", "alias"]),
        make([(0, "PERSON")], ["trap"], missing=[4]),
    ]
    found = [
        make([(0, "PERSON"), (2, "LOCATION")], []),
        # The last token's annotation is missing: what is found there does not count.
        make([(2, "ORG"), (4, "LOCATION")], []),
    ]
    report = score_cuts.score_cuts(golds, found)
    counts = {
        (cut, name): (x["documents"], x["right"], x["predicted"], x["gold"])
        for cut, by_name in report.items()
        for name, x in by_name.items()
    }
    assert counts == {
        ("all", "micro"): (2, 1, 3, 3),
        ("label", "ORG"): (2, 0, 1, 1),
        ("label", "PERSON"): (2, 1, 1, 2),
        ("tag", "alias"): (1, 1, 2, 2),
        ("tag", "trap"): (2, 1, 3, 3),
        ("genre", "news"): (2, 1, 3, 3),
    }
    assert report["all"]["micro"]["f"] == 1 / 3


def test_the_micro_cut_is_what_spacy_evaluate_says(trained_cnn, tmp_path):
    from spacy.tokens import DocBin
    from spacy.training import Example

    nlp = spacy.load(trained_cnn)
    docs = [d.to_doc(spacy.blank("en"))[0] for d in list(read_markup(CORPUS / "dev.txt"))]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "dev.spacy")
    score_cuts.main(trained_cnn, tmp_path / "dev.spacy", tmp_path / "out.json")
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf8"))
    expected = nlp.evaluate([Example(nlp.make_doc(doc.text), doc) for doc in docs])
    assert report["all"]["micro"]["f"] == pytest.approx(expected["ents_f"], abs=1e-9)
    assert report["all"]["micro"]["predicted"] > 0
