"""Tokens to text: the spaces a writer would set, and no word or entity changed."""

import sys
from collections import Counter
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span, SpanGroup

from ner_components.corpora.detokenize import (
    _detokenizer,
    detokenize,
    to_text,
    unescape,
)
from ner_components.corpora.markup import read_markup
from ner_components.corpora.offsets import Entity

pytest.importorskip("sacremoses")


EN = spacy.blank("en")
CORPUS = Path(__file__).resolve().parent.parent / "corpus"


def join(words, spaces):
    return "".join(w + " " * s for w, s in zip(words, spaces, strict=True))


# Language, tokens as corpora write them, the text as its writer did.
SENTENCES = [
    ("en", "I do n't think she 'll come .", "I don't think she'll come."),
    ("en", "We ca n’t say it ’s ours .", "We can’t say it’s ours."),
    ("en", "They 're gon na win , are n't they ?", "They're gonna win, aren't they?"),
    ("en", "It isn ' t Mia ' s turn .", "It isn't Mia's turn."),
    ("en", "The Jones ' house and Mia 's car", "The Jones' house and Mia's car"),
    ("en", "`` Go , '' he said , `` now . ''", '"Go," he said, "now."'),
    ("en", "He said `` go `` and `` stop `` .", 'He said "go" and "stop".'),
    ("en", "He said '' go '' .", 'He said "go".'),
    ("en", '" Stop ! " cried Ann ; " please " .', '"Stop!" cried Ann; "please".'),
    ("en", "“ Stop ” , she said : ‘ no ’ .", "“Stop”, she said: ‘no’."),
    ("en", "Acme -LRB- Lima -RRB- and -LSB- 3 -RSB- fell", "Acme (Lima) and [3] fell"),
    ("en", "It costs $ 50 , or US$ 40 , up 3 % .", "It costs $50, or US$40, up 3%."),
    ("en", "RT @lee_k : see # rain ... :) ok", "RT @lee_k: see #rain... :) ok"),
    ("en", "%um , we met him at noon /.", "um, we met him at noon."),
    ("en", "and\\/or 5\\*5 -- get 'em", "and/or 5*5 -- get 'em"),
    ("de", "„ Ja “ , sagte er , „ 5 % für 50 € . “", "„Ja“, sagte er, „5 % für 50 €.“"),
    ("de", "Die » Zeit « ( Wien ) schrieb : nein !", "Die »Zeit« (Wien) schrieb: nein!"),
    ("pt", "O réu , ( João ) , pagou R$ 50 ; 10 % .", "O réu, (João), pagou R$ 50; 10%."),
    ("pt", "Art. 5º , § 2º , d' Oliveira .", "Art. 5º, § 2º, d'Oliveira."),
    ("fr", "L' eau d' Évian est là .", "L'eau d'Évian est là."),
    ("es", "¿ Vienes , Ana ? ¡ Sí !", "¿Vienes, Ana? ¡Sí!"),
    ("zh", "林 先生 用 iPhone Pro 拍照 。", "林先生用iPhone Pro拍照。"),
    ("ja", "田中 さん は 東京 に いる 。", "田中さんは東京にいる。"),
]


@pytest.mark.parametrize(("lang", "tokens", "text"), SENTENCES)
def test_the_text_as_its_writer_wrote_it(lang, tokens, text):
    words, spaces = detokenize(tokens.split(), lang)
    assert join(words, spaces) == text
    assert words == [unescape(word) for word in tokens.split()]


@pytest.mark.parametrize(
    ("hyphens", "text"),
    [(False, "anti - war up 3 / 4 - a lot"), (True, "anti-war up 3/4-a lot")],
)
def test_hyphens_are_glued_where_the_corpus_splits_words_at_them(hyphens, text):
    words = ["anti", "-", "war", "up", "3", "/", "4", "-", "a", "lot"]
    assert join(*detokenize(words, "en", hyphens=hyphens)) == text


@pytest.mark.parametrize(
    ("word", "plain"),
    [
        ("-LRB-", "("),
        ("-rsb-", "]"),
        ("-LCB-", "{"),
        ("``", '"'),
        ("/?", "?"),
        ("%uh", "uh"),
        ("1\\/2", "1/2"),
        # Words that only look like escapes.
        ("%", "%"),
        ("%d", "%d"),
        ("/", "/"),
        ("LRB", "LRB"),
        ("C:\\temp", "C:\\temp"),
        ("&amp;", "&amp;"),
        ("@-@", "@-@"),
    ],
)
def test_unescape(word, plain):
    assert unescape(word) == plain


@pytest.mark.parametrize("answer", ["Ann wentaway.", "", "Ann went away , and", TypeError])
def test_where_moses_fails_single_spaces_stand_and_are_counted(monkeypatch, answer):
    class Broken:
        def detokenize(self, words, unescape):
            if answer is TypeError:
                raise TypeError
            return answer

    monkeypatch.setattr(
        "ner_components.corpora.detokenize._detokenizer", lambda _: Broken()
    )
    notes = Counter()
    words, spaces = detokenize(["Ann", "left", "."], "en", notes)
    assert join(words, spaces) == "Ann left ."
    assert notes == {"spaces unknown": 1}


def test_without_sacremoses_the_error_names_the_extra(monkeypatch):
    _detokenizer.cache_clear()
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(ImportError, match=r"ner_components\[eval\]"):
        detokenize(["a"], "en")


def test_nothing_gives_nothing():
    assert detokenize([], "en") == ([], [])
    assert detokenize([], "zh") == ([], [])
    new, cut = to_text(Doc(EN.vocab), EN)
    assert (new.text, cut) == ("", [])


def make_doc(nlp, words, entities, missing=(), starts=(0,)):
    doc = Doc(nlp.vocab, words=words, sent_starts=[i in starts for i in range(len(words))])
    spans = [Span(doc, i, j, label=label) for i, j, label in entities]
    doc.set_ents(spans, missing=[doc[i : i + 1] for i in missing])
    return doc


def test_to_text_carries_everything_over():
    words = [
        "``",
        "Acme",
        "Corp.",
        "''",
        "fell",
        "-LRB-",
        "3",
        "%",
        "-RRB-",
        ".",
        "Ann",
        "Li",
        "'s",
        "car",
        "is",
        "n't",
        "here",
        ".",
    ]
    doc = make_doc(EN, words, [(1, 3, "ORG"), (10, 12, "PERSON")], [4], [0, 10])
    doc.user_data.update({"id": "d-1", "lang": "en", ("._.", "x", None, None): 1})
    doc.spans["nested"] = SpanGroup(doc, spans=[Span(doc, 1, 2, label="BRAND")])
    new, cut = to_text(doc, EN)
    assert new.text == "\"Acme Corp.\" fell (3%). Ann Li's car isn't here."
    assert cut == []
    assert [(e.text, e.label_) for e in new.ents] == [
        ("Acme Corp.", "ORG"),
        ("Ann Li", "PERSON"),
    ]
    assert [t.text for t in new if t.ent_iob == 0] == ["fell"]
    assert [s.text for s in new.sents] == [
        '"Acme Corp." fell (3%).',
        "Ann Li's car isn't here.",
    ]
    assert [(s.text, s.label_) for s in new.spans["nested"]] == [("Acme", "BRAND")]
    assert new.user_data == {"id": "d-1", "lang": "en"}
    assert doc.text.startswith("`` Acme")


def test_an_entity_that_the_tokenizer_cuts_is_returned_and_missing():
    notes = Counter()
    doc = make_doc(EN, ["It", "needs", "vitamin", "D", "."], [(2, 4, "DRUG")])
    doc.spans["nested"] = SpanGroup(doc, spans=[Span(doc, 3, 4, label="LETTER")])
    new, cut = to_text(doc, EN, notes)
    # English "D." is one token, an abbreviation.
    assert [t.text for t in new] == ["It", "needs", "vitamin", "D."]
    assert cut == [Entity(9, 18, "DRUG")]
    assert [t.ent_iob for t in new] == [2, 2, 0, 0]
    assert notes == {"nested, cut": 1}


def test_missing_annotation_stays_missing():
    new, _ = to_text(Doc(EN.vocab, words=["No", "layer", "here", "."]), EN)
    assert new.text == "No layer here."
    assert not new.has_annotation("ENT_IOB")
    # The tokenizer makes one token of "D" (annotated) and "." (missing): it is missing.
    new, _ = to_text(make_doc(EN, ["vitamin", "D", "."], [], [2]), EN)
    assert [t.ent_iob for t in new] == [2, 0]


def test_sentence_starts_that_are_lost_are_counted():
    nlp = spacy.blank("zh")
    notes = Counter()
    words = ["A1", "b2", "c"]
    doc = make_doc(nlp, words, [], starts=[0, 1])
    nlp.tokenizer = lambda text: Doc(EN.vocab, words=[text], spaces=[False])
    new, _ = to_text(doc, nlp, notes)
    assert new.text == "A1b2 c"
    assert notes == {"sentence start inside a token": 1}


def test_the_language_of_the_document_comes_first():
    doc = make_doc(EN, ["5", "%"], [])
    assert to_text(doc, EN)[0].text == "5%"
    doc.user_data["lang"] = "de"
    assert to_text(doc, EN)[0].text == "5 %"


WORDS = st.one_of(
    st.sampled_from(
        [
            *("``", "''", '"', "'", "’", "(", ")", "-LRB-", "-RRB-", "[", "$", "%", "#"),
            *(".", ",", "...", ":", ":)", "/.", "-", "--", "@-@", "n't", "'s", "do", "can"),
            *("«", "»", "„", "“", "50", "Ann", "l'", "北", "京", "😀", "&amp;", "\\/"),
        ]
    ),
    st.text(min_size=1, max_size=6).filter(lambda x: "\x00" not in x),
    st.sampled_from(["\u00a0", " ", "5\u00a0000", "a b", "\u200b", "\x1c", "\n"]),
)


@given(
    words=st.lists(WORDS, min_size=1, max_size=12),
    lang=st.sampled_from(
        ["en", "de", "fr", "it", "cs", "fi", "zh", "ja", "ko", "pt", "xx"]
    ),
    hyphens=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_word_is_changed_lost_or_moved(words, lang, hyphens):
    plain, spaces = detokenize(words, lang, hyphens=hyphens)
    assert plain == [unescape(word) for word in words]
    assert len(spaces) == len(words)
    assert not spaces[-1]


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_every_entity_keeps_its_words(data):
    words = data.draw(st.lists(WORDS, min_size=1, max_size=10))
    borders = data.draw(st.sets(st.integers(0, len(words)), max_size=6))
    borders = sorted(borders)
    pairs = list(zip(borders[::2], borders[1::2], strict=False))
    lang = data.draw(st.sampled_from(["en", "fr", "zh"]))
    doc = make_doc(EN, words, [(i, j, f"L{i}") for i, j in pairs])
    doc.user_data["lang"] = lang
    new, cut = to_text(doc, EN)
    found = {e.label_: e.text for e in new.ents} | {
        x.label: new.text[x[0] : x[1]] for x in cut
    }
    assert len(new.ents) + len(cut) == len(pairs)
    for i, j in pairs:
        expected = "".join("".join(unescape(w) for w in words[i:j]).split())
        assert "".join(found[f"L{i}"].split()) == expected


@pytest.mark.parametrize(("hyphens", "least"), [(True, 0.99), (False, 0.98)])
def test_spaces_of_the_gold_set_come_back(hyphens, least):
    """spaCy's tokens of texts whose spaces are known; docs/corpora.md has the figures."""
    right = total = 0
    for document in read_markup(CORPUS / "dev.txt"):
        for start, end in document.sentences:
            tokens = [t for t in EN(document.text[start:end]) if not t.is_space]
            _, spaces = detokenize([t.text for t in tokens], "en", hyphens=hyphens)
            pairs = list(zip(tokens, spaces, strict=True))[:-1]
            right += sum(bool(t.whitespace_) == space for t, space in pairs)
            total += len(pairs)
    assert total > 5000
    assert right / total > least
