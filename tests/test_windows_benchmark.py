"""The benchmark of windows: documents joined without losing an entity, and what it counts."""

import pytest
import spacy
from spacy.tokens import Doc, Span

pytest.importorskip("torch")
pytest.importorskip("transformers")

import windows_f1
from windows_f1 import OVERLAP, SENTENCES, annotate, join, make_documents

NLP = spacy.blank("en")


def make(text, *ents, **data):
    doc = NLP(text)
    doc.ents = [Span(doc, *x) for x in ents]
    doc.user_data |= data
    return doc


def test_documents_are_joined_with_their_entities():
    first = make("Ann left.", (0, 1, "PERSON"))
    second = make("She saw Bob Lee in Rome ", (2, 4, "PERSON"), (5, 6, "PLACE"))
    joined = join([first, second, first])
    assert joined.text == "Ann left. She saw Bob Lee in Rome Ann left. "
    assert [(x.text, x.label_) for x in joined.ents] == [
        ("Ann", "PERSON"),
        ("Bob Lee", "PERSON"),
        ("Rome", "PLACE"),
        ("Ann", "PERSON"),
    ]


def test_documents_of_a_corpus_stay_whole():
    docs = [make(text, id=i) for text, i in (("One.", "a"), ("Two.", "a"), ("Three.", "b"))]
    assert [x.text for x in make_documents("ncbi_disease", docs)] == [
        "One. Two. ",
        "Three. ",
    ]
    many = make_documents("gold", docs * 20)
    assert sum(map(len, many)) == 20 * sum(map(len, docs))
    low, high = windows_f1.JOINED["gold"]
    assert all(low * 2 <= len(x) <= high * 2 for x in many[:-1])


def test_windows_overlap_in_a_document_of_one_sentence(trained_transformer):
    nlp = spacy.load(trained_transformer)
    gold = Doc(nlp.vocab, words=["Ann", "met", "Bob", "in", "Rome", "."] * 80)
    _, overlapping = annotate(nlp, [gold], OVERLAP)
    docs, pieces = annotate(nlp, [gold], SENTENCES)
    assert [t.text for t in docs[0]] == [t.text for t in gold]
    # Two windows with two special tokens each, or three, and at each of their two borders
    # 32 pieces of both sides a second time.
    assert pieces == 480 + 2 * 2
    assert overlapping == 480 + 3 * 2 + 2 * 64
