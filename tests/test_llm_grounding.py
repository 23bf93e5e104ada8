"""From answers to offsets: every place is whole words of the text, and says how it was
found. Offsets in the table were counted by hand."""

import itertools
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ner_components.llm.answers import Item, read_answer
from ner_components.llm.grounding import _longest_row, candidates_of, ground
from ner_components.llm.grounding_text import casefold, is_border, normalise

NONE = (None, None, None)
FAMILY = "👩‍👩‍👧"

# text, (what is said, occurrence) in the order of the answer, (start, end, via).
CASES = {
    # exact
    "one": ("Ann met Bob.", ["Bob"], [(8, 11, "exact")]),
    "at both ends": ("Ann", ["Ann"], [(0, 3, "exact")]),
    "with punctuation": (
        "in Washington, D.C. today",
        ["Washington, D.C."],
        [(3, 19, "exact")],
    ),
    "before a full stop": ("in Washington, D.C", ["D.C"], [(15, 18, "exact")]),
    "possessive": ("Bush's plan", ["Bush"], [(0, 4, "exact")]),
    "hyphen is a border": ("New York-based", ["New York"], [(0, 8, "exact")]),
    "underscore is a border": ("a_US_b", ["US"], [(2, 4, "exact")]),
    "currency sign": ("for $5 now", ["$5"], [(4, 6, "exact")]),
    "answers out of order": (
        "Ann met Bob",
        ["Bob", "Ann"],
        [(8, 11, "exact"), (0, 3, "exact")],
    ),
    "nested": (
        "the New York Times",
        ["New York Times", "New York"],
        [(4, 18, "exact"), (4, 12, "exact")],
    ),
    # not there
    "US in USA": ("the USA", ["US"], [NONE]),
    "New York in New Yorkers": ("New Yorkers", ["New York"], [NONE]),
    "end of a word": ("Hannover", ["over"], [NONE]),
    "digits": ("in 20245", ["2024"], [NONE]),
    "letter and digit": ("A380", ["A3"], [NONE]),
    "invented": ("Ann met Bob", ["Carl"], [NONE]),
    "empty": ("Ann", [""], [NONE]),
    "blank": ("Ann met", [" \n"], [NONE]),
    "only what shows nothing": ("Ann\u200b", ["\u200b\u00ad"], [NONE]),
    "in an empty text": ("", ["Ann"], [NONE]),
    "longer than the text": ("Ann", ["Ann Smith"], [NONE]),
    "US after USA": ("USA and US", ["US"], [(8, 10, "exact")]),
    "pattern characters": ("a (b) .*", [".*", "(b)"], [(6, 8, "exact"), (2, 5, "exact")]),
    "NUL": ("a\0b", ["b"], [(2, 3, "exact")]),
    # normalised
    "NBSP in the text": ("in New\u00a0York", ["New York"], [(3, 11, "normalised")]),
    "NBSP in the answer": ("in New York", ["New\u00a0York"], [(3, 11, "normalised")]),
    "line break in a name": ("in New\nYork", ["New York"], [(3, 11, "normalised")]),
    "indented line break": ("in New\r\n   York.", ["New York"], [(3, 15, "normalised")]),
    "blanks around": ("in Rome now", [" Rome\n"], [(3, 7, "normalised")]),
    "curly apostrophe in the text": ("Mr O’Neil", ["O'Neil"], [(3, 9, "normalised")]),
    "curly apostrophe in the answer": ("Mr O'Neil", ["O’Neil"], [(3, 9, "normalised")]),
    "curly quotes": ("an “A” b", ['"A"'], [(3, 6, "normalised")]),
    "low and angle quotes": (
        "„A“ «B»",
        ['"B"', '"A"'],
        [(4, 7, "normalised"), (0, 3, "normalised")],
    ),
    "non-breaking hyphen": ("Jean‑Luc", ["Jean-Luc"], [(0, 8, "normalised")]),
    "en dash": ("A–B", ["A-B"], [(0, 3, "normalised")]),
    "NFD text": ("in Mu\u0308nchen", ["München"], [(3, 11, "normalised")]),
    "NFC text": ("in München", ["Mu\u0308nchen"], [(3, 10, "normalised")]),
    "accent not said": ("Mu\u0308nchen", ["Munchen"], [NONE]),
    "no letter without its mark": ("cafe\u0301", ["cafe"], [NONE]),
    "soft hyphen": ("Am\u00adster\u00addam!", ["Amsterdam"], [(0, 11, "normalised")]),
    "zero-width space": ("New\u200b York", ["New York"], [(0, 9, "normalised")]),
    "BOM before it": ("\ufeffAnn", ["Ann"], [(1, 4, "exact")]),
    "border behind a soft hyphen": ("co\u00adop", ["co"], [NONE]),
    "ligature": (
        "ﬁne oﬃce",
        ["fine", "office"],
        [(0, 3, "normalised"), (4, 8, "normalised")],
    ),
    "part of a ligature": ("oﬃ", ["of"], [NONE]),
    "full width": ("ＡＢＣ社", ["ABC"], [(0, 3, "normalised")]),
    "ellipsis": ("Wait… Ann", ["Wait..."], [(0, 5, "normalised")]),
    "part of an ellipsis": ("Wait…", ["Wait."], [NONE]),
    "half-width kana": ("ｶﾞｽ", ["ガス"], [(0, 3, "normalised")]),
    "Hangul in parts": (
        "\u1109\u1165\u110b\u116e\u11af city",
        ["서울"],
        [(0, 5, "normalised")],
    ),
    # casefolded
    "changed case": ("I like APPLE pie", ["apple"], [(7, 12, "casefolded")]),
    "sharp s": ("in STRASSE", ["Straße"], [(3, 10, "casefolded")]),
    "sharp s in the text": ("Straße 5", ["STRASSE"], [(0, 6, "casefolded")]),
    "half a sharp s": ("a ß", ["s"], [NONE]),
    "İ in the name": ("in İstanbul.", ["i\u0307stanbul"], [(3, 11, "casefolded")]),
    "İ is no I": ("İstanbul", ["Istanbul"], [NONE]),
    "İ before it": ("İİİ ANKARA", ["Ankara"], [(4, 10, "casefolded")]),
    "ß before it": (
        "ßßß Ankara ROM",
        ["Rom", "Ankara"],
        [(11, 14, "casefolded"), (4, 10, "exact")],
    ),
    "final sigma": ("ΟΔΥΣΣΕΥΣ", ["Οδυσσευς"], [(0, 8, "casefolded")]),
    "all at once": ("NEW\u00a0YORK’S", ["New York's"], [(0, 10, "casefolded")]),
    # levels: the first one with a place decides
    "exact before folded": ("the apple came from Apple", ["Apple"], [(20, 25, "exact")]),
    "each its own": (
        "the apple came from Apple",
        ["Apple", "apple"],
        [(20, 25, "exact"), (4, 9, "exact")],
    ),
    "exact before normalised": ("New\nYork, New York", ["New York"], [(10, 18, "exact")]),
    "normalised before folded": ("O’NEIL O’Neil", ["O'Neil"], [(7, 13, "normalised")]),
    # several places
    "occurrence": ("Ann, Ann, Ann", [("Ann", 2)], [(5, 8, "exact+occurrence")]),
    "occurrence counts words": (
        "USA US USA US",
        [("US", 2)],
        [(11, 13, "exact+occurrence")],
    ),
    "occurrence of its level": (
        "ann Ann ANN ann",
        [("ann", 2)],
        [(12, 15, "exact+occurrence")],
    ),
    "occurrence when folded": (
        "ANN x ANN",
        [("Ann", 2)],
        [(6, 9, "casefolded+occurrence")],
    ),
    "too large": ("Ann, Ann", [("Ann", 3)], [(0, 3, "exact+order")]),
    "zero": ("Ann, Ann", [("Ann", 0)], [(0, 3, "exact+order")]),
    "negative": ("Ann, Ann", [("Ann", -1)], [(0, 3, "exact+order")]),
    "one place, any number": ("Ann", [("Ann", 7)], [(0, 3, "exact")]),
    "in order": (
        "Ann, Ann, Ann",
        ["Ann", "Ann"],
        [(0, 3, "exact+order"), (5, 8, "exact+order")],
    ),
    "no place left": (
        "A A",
        ["A", "A", "A"],
        [(0, 1, "exact+order"), (0, 1, "exact+order"), (2, 3, "exact+order")],
    ),
    "same once more": ("Ann", ["Ann", "Ann"], [(0, 3, "exact"), (0, 3, "exact")]),
    "between neighbours": (
        "Al Bo Al Cy Al",
        ["Bo", "Al", "Cy"],
        [(3, 5, "exact"), (6, 8, "exact+order"), (9, 11, "exact")],
    ),
    "after a neighbour": (
        "Al Bo Al",
        ["Bo", "Al"],
        [(3, 5, "exact"), (6, 8, "exact+order")],
    ),
    "before a neighbour": (
        "Al Bo Al",
        ["Al", "Bo"],
        [(0, 2, "exact+order"), (3, 5, "exact")],
    ),
    "not the occurrence's place": (
        "Al Al",
        [("Al", 1), "Al"],
        [(0, 2, "exact+occurrence"), (3, 5, "exact+order")],
    ),
    "the place left over": (
        "Al Al",
        [("Al", 2), "Al"],
        [(3, 5, "exact+occurrence"), (0, 2, "exact+order")],
    ),
    "places don't overlap": (
        "a a a",
        [("a a", 1), ("a a", 2)],
        [(0, 3, "exact"), (0, 3, "exact")],
    ),
    # scripts
    "Chinese": (
        "我在北京大学读书",
        ["北京大学", "北京"],
        [(2, 6, "exact"), (2, 4, "exact")],
    ),
    "Japanese": ("東京タワーへ", ["東京タワー"], [(0, 5, "exact")]),
    "Latin in Chinese": ("在Apple工作", ["Apple"], [(1, 6, "exact")]),
    "part of Latin in Chinese": ("在Apples工作", ["Apple"], [NONE]),
    "Thai": ("ผมอยู่กรุงเทพครับ", ["กรุงเทพ"], [(6, 13, "exact")]),
    "Thai vowel cut off": ("อยู่", ["อย"], [NONE]),
    "Korean particle": ("서울은", ["서울"], [NONE]),
    "Hebrew": ("אני גר בתל אביב", ["אביב"], [(11, 15, "exact")]),
    "Arabic": (
        "زار محمد القاهرة",
        ["القاهرة", "محمد"],
        [(9, 16, "exact"), (4, 8, "exact")],
    ),
    "direction marks": ("\u202bתל\u200f אביב\u202c", ["תל אביב"], [(1, 9, "normalised")]),
    "zero-width non-joiner": ("می\u200cخواهم", ["می"], [NONE]),
    "Devanagari without its vowel": ("दिल्ली", ["दिल"], [NONE]),
    # emoji
    "behind an emoji": ("😀 Ann", ["Ann"], [(2, 5, "exact")]),
    "emoji family": (f"a {FAMILY} b", [FAMILY], [(2, 7, "exact")]),
    "one of a family": (f"{FAMILY}", ["👩"], [NONE]),
    "without its colour": ("👍🏽", ["👍"], [NONE]),
    "heart without selector": ("I ❤\ufe0f NY", ["❤"], [(2, 4, "normalised")]),
    "flag": ("🇩🇪🇫🇷", ["🇫🇷", "🇩🇪"], [(2, 4, "exact"), (0, 2, "exact")]),
    "half of two flags": ("🇩🇪🇫🇷", ["🇪🇫"], [NONE]),
}


def items_of(said):
    return [Item(x, "X") if isinstance(x, str) else Item(x[0], "X", x[1]) for x in said]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_places_are_those_counted_by_hand(case):
    text, said, expected = case
    found = ground(text, items_of(said))
    assert [(x.start, x.end, x.via) for x in found] == expected
    assert [x.label for x in found] == ["X"] * len(said)


def test_the_table_is_large_enough():
    assert len(CASES) >= 60


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["FRUIT", "ORG"], [(4, 9), (20, 25)]),
        (["ORG", "FRUIT"], [(4, 9), (20, 25)]),
        # The row ends with the last two; the item left over takes what its label has not.
        (["FRUIT", "FRUIT", "ORG"], [(20, 25), (4, 9), (20, 25)]),
    ],
)
def test_one_text_with_several_labels(labels, expected):
    text = "the apple came from apple"
    found = ground(text, [Item("apple", x) for x in labels])
    assert [(x.start, x.end) for x in found] == expected
    assert [(x.label, x.level, x.choice) for x in found] == [
        (x, "exact", "order") for x in labels
    ]


def test_a_border_of_ones_own():
    found = ground("USA", [Item("US", "X")], lambda text, i: True)
    assert found[0][:2] == (0, 2)


def test_candidates_carry_offsets_of_the_document_labels_scores_and_how():
    answer = '[{"text": "Ann", "label": "P", "occurrence": 2}, {"text": "Zed", "label": "P"}, {"text": "Eve", "label": 1}, 5, {"text": "BOB", "label": "Q"}]'
    parsed = read_answer(answer)
    found = candidates_of("Ann, Ann, Bob", 100, parsed, [0.5, 0.25, None])
    assert [tuple(x) for x in found] == [
        (105, 108, "P", 0.5, None, None, "exact+occurrence"),
        (None, None, "P", 0.25, "Zed", "not_in_text", None),
        (110, 113, "Q", None, None, None, "casefolded"),
        (None, None, "", None, "Eve", "invalid_output", None),
        (None, None, "", None, None, "invalid_output", None),
    ]
    unreadable = candidates_of("Ann", 0, read_answer("I can't do that."))
    assert [tuple(x) for x in unreadable] == [
        (None, None, "", None, None, "invalid_output", None)
    ]


def test_no_text_in_a_repr():
    parsed = read_answer('[{"text": "Zqxwvbanana", "label": "P"}, {"text": "Zqxwvbanana"}]')
    assert "Zqx" not in repr(parsed)
    assert "Zqx" not in repr(ground("Zqxwvbanana", parsed.items))
    assert len(parsed.items) == len(parsed.bad) == 1


# Few letters, so that places repeat; and what grounding has rules for.
PIECES = st.sampled_from(
    [
        "a",
        "A",
        "b",
        "ß",
        "SS",
        "İ",
        "i\u0307",
        "e\u0301",
        "é",
        "\u0301",
        "ﬁ",
        "fi",
        " ",
        "\n",
        "\u00a0",
        "\u00ad",
        "\u200d",
        "’",
        "'",
        "…",
        ".",
        "北",
        "京",
        "กำ",
        "👩",
        "🏽",
        "\ufe0f",
        "1",
        "\u1109",
        "\u1165",
        "\ud800",
    ]
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)


@given(
    TEXTS, st.lists(st.tuples(TEXTS, st.one_of(st.none(), st.integers(-1, 4))), max_size=6)
)
@example("\u00ad a", [("\u00ad a", None)])
def test_what_is_found_is_what_was_asked_for(text, said):
    items = [Item(x, "X", n) for x, n in said]
    found = ground(text, items)
    assert len(found) == len(items)
    for item, x in zip(items, found, strict=True):
        if x.start is None:
            assert x == (None, None, "X", None, None)
            continue
        assert 0 <= x.start < x.end <= len(text)
        assert is_border(text, x.start)
        assert is_border(text, x.end)
        piece = text[x.start : x.end]
        assert piece == piece.strip()
        assert (piece == item.text) == (x.level == "exact")
        make = normalise if x.level != "casefolded" else casefold
        wanted = make(item.text).text
        # What is found as it is keeps a blank behind a character that shows nothing.
        assert make(piece).text == (wanted if x.level == "exact" else wanted.strip())


@given(TEXTS)
def test_whole_words_of_a_text_are_found_in_it(text):
    borders = [i for i in range(len(text) + 1) if is_border(text, i)]
    for start, end in itertools.combinations(borders, 2):
        piece = text[start:end]
        if piece == piece.strip():
            (found,) = ground(text, [Item(piece, "X")])
            assert found.level == "exact"
            assert text[found.start : found.end] == piece


@given(TEXTS)
def test_the_normal_form_is_that_of_the_whole_text(text):
    # The pieces that the rest of the rules concern are plain here: blanks, quotes, what
    # is dropped.
    for piece in ("\n", "\u00a0", "\u00ad", "\u200d", "’", "\ufe0f", " "):
        text = text.replace(piece, "x")
    mapped = normalise(text)
    assert mapped.text == unicodedata.normalize("NFKC", text)
    assert len(mapped.text) == len(mapped.starts) == len(mapped.ends)


def test_every_character_that_melts_with_the_one_before_stays_with_it():
    for code in range(sys.maxunicode + 1):
        decomposed = unicodedata.decomposition(chr(code))
        if decomposed and not decomposed.startswith("<") and " " in decomposed:
            pair = "".join(chr(int(x, 16)) for x in decomposed.split())
            mapped = normalise(pair)
            if len(unicodedata.normalize("NFC", pair)) == 1:
                assert mapped.text == unicodedata.normalize("NFKC", pair), hex(code)
                assert set(mapped.starts) == {0}, hex(code)
                assert set(mapped.ends) == {2}, hex(code)


def rows_of(places):
    # Every choice of an item left out or at one of its places, with starts that go up.
    options = [[None, *range(len(x))] for x in places]
    for choice in itertools.product(*options):
        row = [(i, k) for i, k in enumerate(choice) if k is not None]
        starts = [places[i][k][0] for i, k in row]
        if all(a < b for a, b in itertools.pairwise(starts)):
            yield starts


@given(
    st.lists(
        st.tuples(
            st.sets(st.integers(0, 7), max_size=4).map(sorted),
            st.one_of(st.none(), st.integers(0, 3)),
        ),
        max_size=5,
    )
)
def test_the_order_of_an_answer_is_the_best_that_trying_everything_finds(rows):
    places = [[(x, x + 1) for x in starts] for starts, _ in rows]
    settled = [k if k is not None and k < len(x) else None for x, k in rows]
    offered = [x if k is None else [x[k]] for x, k in zip(places, settled, strict=True)]
    # The longest; of these the one with the smallest last start, then the one before it.
    best = min(rows_of(offered), key=lambda starts: (-len(starts), starts[::-1]))
    row = _longest_row(places, settled)
    assert [places[i][k][0] for i, k in row] == best[::-1]
    assert [i for i, _ in row] == sorted({i for i, _ in row}, reverse=True)
    assert all(settled[i] in (None, k) for i, k in row)


def test_many_items_in_a_long_text():
    words = [f"w{i}" for i in range(18_000)]
    text = " ".join(words)
    assert len(text) > 100_000
    items = [Item(f"w{i}", "X") for i in range(5000)]
    items += [Item(f"gone{i}", "X") for i in range(5000)]
    found = ground(text, items)
    assert all(text[x.start : x.end] == words[i] for i, x in enumerate(found[:5000]))
    assert all(x.start is None for x in found[5000:])


def test_one_word_without_end():
    # Every prefix is everywhere and nowhere a word.
    text = "a" * 100_000
    assert all(
        x.start is None for x in ground(text, [Item("a" * i, "X") for i in range(1, 1000)])
    )
    # More places than the order is worked out for: the first item gets the first place.
    found = ground("a " * 20_000, [Item("a", "X")] * 10_000)
    assert [x.start for x in found] == list(range(0, 20_000, 2))
