"""Perturbations: what they make of a text, and that offsets follow exactly."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_components.corpora.offsets import Entity
from ner_components.evaluation.perturbations import (
    FILLERS,
    KINDS,
    MOST_WORDS,
    Edit,
    Variant,
    change_case,
    change_normal_form,
    change_quotes,
    change_space,
    load_names,
    move,
    perturb,
    read_fillers,
    swap_names,
)
from ner_components.schema import EntitySchema

CANARY = "Zqxwvbanana"
TEXT = "Mia's cat met José."
MIA, JOSE = Entity(0, 3, "PERSON"), Entity(14, 18, "PERSON")
NAMES = {"PERSON": {"one": ["Ann Ba", "Çem Su"], "two": ["Ida"]}}


def texts_of(variants):
    return {x.name: x.text for x in variants}


def surfaces(variant, entities):
    return [variant.text[start:end] for start, end, _ in variant.map(entities)]


def test_case():
    lower, upper = change_case(TEXT)
    assert lower.text == "mia's cat met josé."
    assert upper.text == "MIA'S CAT MET JOSÉ."
    assert surfaces(upper, [MIA, JOSE]) == ["MIA", "JOSÉ"]


def test_case_that_changes_the_length():
    _, upper = change_case("Die Straße von Weiß.")
    assert upper.text == "DIE STRASSE VON WEISS."
    assert upper.map([Entity(15, 19, "PERSON")]) == [Entity(16, 21, "PERSON")]
    lower = next(change_case("İ x"))
    assert lower.text == "i\u0307 x"
    assert lower.map([Entity(0, 1, "A"), Entity(2, 3, "B")]) == [
        Entity(0, 2, "A"),
        Entity(3, 4, "B"),
    ]


def test_a_final_sigma_stays_final():
    assert next(change_case("ΟΔΟΣ Α")).text == "οδος α"


def test_quotes_that_are_there_change_their_style():
    text = """He said "it's Ann" ('no')."""
    assert texts_of(change_quotes(text)) == {"typographic": "He said “it’s Ann” (‘no’)."}
    assert texts_of(change_quotes("„Ann’s“ and “Bo”")) == {"straight": '"Ann\'s" and "Bo"'}


def test_a_text_without_quotes_is_put_in_quotes():
    variants = list(change_quotes("Ann left."))
    assert [x.text for x in variants] == ['"Ann left."', "“Ann left.”"]
    assert variants[0].map([Entity(0, 3, "A"), Entity(0, 9, "B")]) == [
        Entity(1, 4, "A"),
        Entity(1, 10, "B"),
    ]


def test_white_space():
    variants = {x.name: x for x in change_space("New York is big.")}
    assert {name: x.text for name, x in variants.items()} == {
        "double": "New  York  is  big.",
        "no-break": "New\u00a0York\u00a0is\u00a0big.",
        "line break": "New York\nis big.",
        "leading": "\n  New York is big.",
        "trailing": "New York is big.  \n",
    }
    place = [Entity(0, 8, "LOCATION")]
    assert surfaces(variants["double"], place) == ["New  York"]
    assert surfaces(variants["leading"], place) == ["New York"]


def test_white_space_at_the_edge_of_an_entity_stays_outside():
    variant = Variant("space", "x", "ab", (Edit(1, 1, " "),))
    assert variant.text == "a b"
    assert variant.map([Entity(0, 1, "A"), Entity(1, 2, "B"), Entity(0, 2, "C")]) == [
        Entity(0, 1, "A"),
        Entity(2, 3, "B"),
        Entity(0, 3, "C"),
    ]


def test_normal_forms():
    (nfd,) = change_normal_form(TEXT)
    assert (nfd.name, nfd.text) == ("NFD", "Mia's cat met Jose\u0301.")
    assert surfaces(nfd, [MIA, JOSE]) == ["Mia", "Jose\u0301"]
    (nfc,) = change_normal_form(nfd.text)
    assert (nfc.name, nfc.text) == ("NFC", TEXT)
    assert list(change_normal_form("plain")) == []


def test_positions():
    fillers = ["One two.", "Three four."]
    variants = list(move("Ann left.", fillers, turn=1))
    assert texts_of(variants) == {
        "behind one sentence": "Three four. Ann left.",
        "at the end": "Three four. One two. Ann left.",
        "at the beginning": "Ann left. Three four. One two.",
        "in the middle": "Three four. Ann left. One two.",
    }
    for variant in variants:
        assert surfaces(variant, [Entity(0, 3, "A"), Entity(4, 9, "B")]) == ["Ann", "left."]


def test_a_longer_document_is_no_longer_than_that():
    ten = ["a b c d e f g h i j"]
    longest = max(len(x.text.split()) for x in move("Ann", ten * 30))
    assert longest == MOST_WORDS + 1
    assert list(move("Ann", [])) == []


def test_names_are_swapped_in_every_place_and_stay_two_people():
    entities = [MIA, JOSE, Entity(6, 9, "ANIMAL")]
    variants = list(swap_names(TEXT, entities, NAMES))
    assert texts_of(variants) == {
        "one 1": "Ann Ba's cat met Çem Su.",
        "one 2": "Çem Su's cat met Ann Ba.",
        "two 1": "Ida's cat met Ida.",
    }
    assert surfaces(variants[0], entities) == ["Ann Ba", "Çem Su", "cat"]


def test_an_entity_that_cuts_a_swapped_name_has_no_counterpart():
    (variant, *_) = swap_names("Ann Lee left.", [Entity(0, 7, "PERSON")], NAMES)
    assert variant.map([Entity(4, 7, "PERSON")]) is None
    assert variant.map([Entity(0, 3, "PERSON")]) is None
    assert variant.map([Entity(0, 12, "PERSON")]) == [Entity(0, 11, "PERSON")]
    assert variant.map([]) == []


def test_every_kind_is_made_and_none_is_the_text_itself():
    variants = perturb(TEXT, [MIA], names=NAMES)
    assert {x.kind for x in variants} == set(KINDS)
    assert TEXT not in {x.text for x in variants}
    assert "names" not in {x.kind for x in perturb(TEXT, [MIA])}


def test_names_bring_accents_into_a_plain_text():
    variants = perturb("Mia left.", [MIA], names=NAMES)
    (accents,) = [x for x in variants if x.kind == "unicode"]
    assert (accents.name, accents.source) == ("NFD, one 2", "Çem Su left.")
    assert accents.text == "C\u0327em Su left."
    assert surfaces(accents, [Entity(0, 6, "PERSON")]) == ["C\u0327em Su"]


# The mapped surface is the perturbed surface, whatever the text.

ALPHABET = st.one_of(
    st.sampled_from(" \n\u00a0aAbZ.,'\"“”‘’„éÉßİıΣσς ǅﬁ\u0301\u0323\u0307\u0f73각각"),
    st.characters(exclude_categories=["Cs"]),
)
EXPECTED = {
    ("case", "lower"): str.lower,
    ("case", "upper"): str.upper,
    ("space", "double"): lambda x: x.replace(" ", "  "),
    ("space", "no-break"): lambda x: x.replace(" ", "\u00a0"),
    ("unicode", "NFC"): lambda x: unicodedata.normalize("NFC", x),
    ("unicode", "NFD"): lambda x: unicodedata.normalize("NFD", x),
}
STRAIGHT = str.maketrans("“”„‘’‚", "\"\"\"'''")


@st.composite
def marked(draw):
    text = draw(st.text(ALPHABET, min_size=1, max_size=30))
    borders = draw(st.lists(st.integers(0, len(text)), unique=True, max_size=6))
    borders = sorted(borders)[: len(borders) // 2 * 2]
    pairs = zip(borders[::2], borders[1::2], strict=True)
    return text, [Entity(start, end, "PERSON") for start, end in pairs]


def is_word_cut(text, start, end):
    """A border inside a word: sigma and normal forms depend on the other side."""
    cuts = {start, end} - {0, len(text)}
    return any(
        text[i - 1].isalnum() or unicodedata.combining(text[i]) or text[i].isalnum()
        for i in cuts
    )


@given(marked())
def test_a_mapped_surface_is_the_perturbed_surface(sample):
    text, entities = sample
    for variant in perturb(text, entities, names=NAMES):
        for entity in entities:
            mapped = variant.map([entity])
            before = variant.source[entity.start_char : entity.end_char]
            if variant.source != text:
                continue  # offsets of another text
            if mapped is None:
                assert variant.kind == "unicode"
                assert is_word_cut(text, entity.start_char, entity.end_char)
                continue
            ((start, end, label),) = mapped
            after = variant.text[start:end]
            assert label == "PERSON"
            if (variant.kind, variant.name) in EXPECTED:
                expected = EXPECTED[variant.kind, variant.name](before)
                if variant.kind == "case":
                    # A word's end is not a part's end.
                    expected, after = (x.replace("ς", "σ") for x in (expected, after))
                assert after == expected
            elif variant.kind == "names":
                group, number = variant.name.split()
                members = NAMES["PERSON"][group]
                place = entities.index(entity) + int(number) - 1
                assert after == members[place % len(members)]
            elif variant.kind == "quotes":
                assert after.translate(STRAIGHT) == before.translate(STRAIGHT)
            elif variant.name == "line break":
                assert after.replace("\n", " ") == before.replace("\n", " ")
            else:
                assert after == before


@given(marked())
def test_the_perturbed_text_is_what_the_name_says(sample):
    text, entities = sample
    for variant in perturb(text, entities):
        if (variant.kind, variant.name) in EXPECTED:
            expected = EXPECTED[variant.kind, variant.name](variant.source)
            found = variant.text
            if variant.kind == "case":
                expected, found = (x.replace("ς", "σ") for x in (expected, found))
            assert found == expected
        elif variant.kind == "position":
            ((start, end, _),) = variant.map([Entity(0, len(text), "A")])
            assert variant.text[start:end] == text
            around = f"{variant.text[:start]} {variant.text[end:]}".split()
            assert set(around) <= set(" ".join(FILLERS).split())
            assert around


# Names and sentences of the user


def test_the_names_that_come_with_the_package():
    names = load_names(EntitySchema.from_labels(["ORG", "PERSON"]))
    (groups,) = names.values()
    assert list(names) == ["PERSON"]
    assert len(groups) == 12
    assert {len(x) for x in groups.values()} == {8}
    flat = [x for members in groups.values() for x in members]
    assert len(set(flat)) == 96
    assert all(unicodedata.is_normalized("NFC", x) for x in flat)
    aliased = EntitySchema.from_labels([{"name": "Human", "aliases": ["PER"]}])
    assert load_names(aliased) == {"Human": groups}
    assert load_names(EntitySchema.from_labels(["ORG"])) == {}


def test_names_of_the_user_for_any_label(tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"company": {"old": ["Acme", "Zork"]}}))
    schema = EntitySchema.from_labels([{"name": "ORG", "aliases": ["company"]}, "PERSON"])
    assert load_names(schema, path) == {"ORG": {"old": ["Acme", "Zork"]}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "no JSON"),
        ("[]", "another layout"),
        ('{"ORG": ["Zqxwvbanana"]}', "another layout"),
        ('{"ORG": {"old": []}}', "another layout"),
        ('{"ORG": {"old": ["Zqxwvbanana", " x"]}}', "another layout"),
        ('{"FIRM": {"old": ["Zqxwvbanana"]}}', "the schema has no label 'FIRM'"),
    ],
)
def test_names_that_can_not_be_used(tmp_path, content, problem):
    path = tmp_path / "names.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="Can't use the names in ") as e:
        load_names(EntitySchema.from_labels(["ORG"]), path)
    assert f"names.json: {problem}. It must be a JSON file" in str(e.value)
    assert CANARY not in str(e.value)


def test_a_missing_file_of_names(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        load_names(EntitySchema.from_labels(["ORG"]), tmp_path / "names.json")


def test_sentences_of_the_user(tmp_path):
    path = tmp_path / "fillers.txt"
    path.write_text("Es regnet.\n\n Es ist spät. \n", encoding="utf8")
    assert read_fillers(path) == ["Es regnet.", "Es ist spät."]
    path.write_bytes(b"\n")
    with pytest.raises(ValueError, match=r"fillers\.txt: it is empty"):
        read_fillers(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"fillers\.txt: UnicodeDecodeError"):
        read_fillers(path)
    with pytest.raises(ValueError, match="No such file"):
        read_fillers(tmp_path / "missing.txt")
