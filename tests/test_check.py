"""`ner check`: a clean corpus has no finding, and each planted defect is found, alone."""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from typer.testing import CliRunner

from ner_components.cli import ner_cli
from ner_components.corpora.check import check_splits, order_splits
from ner_components.corpora.check_kinds import KINDS
from ner_components.corpora.check_report import Split, Unseen
from ner_components.corpora.check_texts import find_leaks, jaccard, make_units
from ner_components.corpora.jsonl import read_jsonl
from ner_components.corpora.offsets import Entity, set_entities
from ner_components.corpora.tags import NO_BEGINNING
from ner_components.errors import Errors
from ner_components.schema import EntitySchema

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("NER_DATA", ROOT.parent / "shared" / "data"))
CANARY = "Quillfeather"
SIZES = {"train": 60, "dev": 20, "test": 20}
SCHEMA = EntitySchema.from_labels([{"name": "PERSON", "aliases": ["PER"]}, "ORG"])
NLP = spacy.blank("en")
SYLLABLES = ["ba", "do", "fi", "gu", "ke", "lo", "mi", "nu", "pa", "re", "so", "tu"]
WORDS = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES[:5]]


def make_corpus():
    """RETURNS: for each split, documents of two sentences with a name in each. A sentence
    is [words, entities], an entity [start, end, label] in tokens of the sentence."""
    rng = random.Random(0)
    corpus = {}
    for split, size in SIZES.items():
        corpus[split] = []
        for i in range(size):
            person = [*rng.sample(WORDS, 3), f"Pim{split}{i}", *rng.sample(WORDS, 4), "."]
            org = [
                *rng.sample(WORDS, 4),
                f"Orb{split}{i}",
                "Inc",
                *rng.sample(WORDS, 3),
                ".",
            ]
            sents = [[person, [[3, 4, "PERSON"]]], [org, [[4, 6, "ORG"]]]]
            corpus[split].append({"id": f"{split}-{i}", "sents": sents})
    return corpus


def make_doc(row):
    words, starts, ents = [], [], []
    for sentence, entities in row["sents"]:
        ents += [(len(words) + a, len(words) + b, label) for a, b, label in entities]
        starts += [i == 0 for i in range(len(sentence))]
        words += sentence
    doc = Doc(NLP.vocab, words=words, sent_starts=starts)
    missing = [doc[a:b] for a, b in row.get("missing", [])]
    doc.set_ents([Span(doc, a, b, label=x) for a, b, x in ents], missing=missing)
    doc.user_data["id"] = row["id"]
    return doc


def make_splits(corpus):
    return [Split(name, [make_doc(row) for row in rows]) for name, rows in corpus.items()]


def find(splits, split, index, words, label=None, group=0):
    """RETURNS: the position of the only occurrence of words in a document, as a tuple."""
    doc = next(x for x in splits if x.name == split).docs[index]
    assert doc.text.count(words) == 1
    start = doc.text.index(words)
    ident = doc.user_data.get("id")
    return (split, index, ident, start, start + len(words), label, group)


def sentence(corpus, split, index, number=0):
    return " ".join(corpus[split][index]["sents"][number][0])


def copy_of(sent):
    return [list(sent[0]), [list(x) for x in sent[1]]]


def add(corpus, split, *sents):
    """Add a document; RETURNS its number."""
    corpus[split].append({"id": f"{split}-new", "sents": list(sents)})
    return len(corpus[split]) - 1


def fresh(seed, length=7):
    """RETURNS: lower-case words that stand together nowhere else."""
    return random.Random(f"fresh {seed}").sample(WORDS, length)


def test_a_clean_corpus_has_no_finding():
    report = check_splits(make_splits(make_corpus()), schema=SCHEMA)
    assert report.findings == []
    assert report.at_least("info") == []
    train, dev, _ = report.splits
    assert (train.documents, train.sentences, train.entities) == (60, 120, 120)
    # Nine tokens in the first sentence of a document, ten in the second.
    assert (train.tokens, train.without_entities, train.unannotated) == (60 * 19, 0, 0)
    assert train.labels == {"PERSON": 60, "ORG": 60}
    assert train.unseen is None
    assert dev.unseen == {"ORG": Unseen(20, 20, 20), "PERSON": Unseen(20, 20, 20)}


# Each plants one defect into the corpus (or the splits made of it) and returns the splits,
# and the finding that is to come out: splits, count, counts, positions.


def plant_no_entities(corpus):
    for row in corpus["dev"]:
        for sent in row["sents"]:
            sent[1].clear()
    return make_splits(corpus), (("dev",), 1, {}, [])


def plant_unknown_label(corpus):
    corpus["test"][3]["sents"][0][1][0][2] = "GADGET"
    splits = make_splits(corpus)
    place = find(splits, "test", 3, "Pimtest3", "GADGET")
    return splits, (("test",), 1, {"GADGET": 1}, [place])


def plant_alias_label(corpus):
    for i in (3, 5):
        corpus["test"][i]["sents"][0][1][0][2] = "PER"
    return make_splits(corpus), (("test",), 2, {"PER -> PERSON": 2}, [])


def plant_edge_space(corpus):
    sent = corpus["dev"][2]["sents"][1]
    sent[0].insert(6, "\n")
    sent[1][0][1] = 7
    splits = make_splits(corpus)
    place = find(splits, "dev", 2, "Orbdev2 Inc \n", "ORG")
    return splits, (("dev",), 1, {"ORG": 1}, [place])


def plant_edge_punctuation(corpus):
    sent = corpus["dev"][2]["sents"][1]
    sent[0].insert(6, ",")
    sent[1][0][1] = 7
    splits = make_splits(corpus)
    place = find(splits, "dev", 2, "Orbdev2 Inc ,", "ORG")
    return splits, (("dev",), 1, {"ORG": 1}, [place])


def plant_odd_character(corpus):
    corpus["train"][7]["sents"][0][0][3] = "Pim\u200b7"
    splits = make_splits(corpus)
    place = find(splits, "train", 7, "Pim\u200b7", "PERSON")
    return splits, (("train",), 1, {"PERSON": 1}, [place])


def plant_crosses_sentence(corpus):
    words, entities = corpus["train"][8]["sents"][0]
    entities[:] = [[3, len(words) + 1, "PERSON"]]
    splits = make_splits(corpus)
    text = " ".join([*words[3:], corpus["train"][8]["sents"][1][0][0]])
    return splits, (
        ("train",),
        1,
        {"PERSON": 1},
        [find(splits, "train", 8, text, "PERSON")],
    )


def plant_long_entity(corpus):
    # 20 tokens are not too many, 21 are.
    names = [f"Ov{i}" for i in range(41)]
    first = [[*fresh(1, 4), *names[:20], "."], [[4, 24, "ORG"]]]
    second = [[*fresh(2, 4), *names[20:], "."], [[4, 25, "ORG"]]]
    index = add(corpus, "train", first, second)
    splits = make_splits(corpus)
    place = find(splits, "train", index, " ".join(names[20:]), "ORG")
    return splits, (("train",), 1, {"ORG": 1}, [place])


def plant_cut_entity(corpus):
    splits = make_splits(corpus)
    doc = NLP("Then apixaban5mg was given to Ann.")
    doc.user_data["id"] = "x"
    cut = set_entities(doc, [Entity(5, 13, "ORG"), Entity(30, 33, "PERSON")])
    splits[0].docs.append(doc)
    splits[0].cut += [(60, entity) for entity in cut]
    return splits, (("train",), 1, {"ORG": 1}, [("train", 60, "x", 5, 13, "ORG", 0)])


def plant_unannotated(corpus):
    # Tokens 1 and 2, and 7, of the first sentence; the name is token 3.
    corpus["dev"][0]["missing"] = [(1, 3), (7, 8)]
    words = corpus["dev"][0]["sents"][0][0]
    splits = make_splits(corpus)
    runs = [find(splits, "dev", 0, " ".join(words[a:b])) for a, b in ((1, 3), (7, 8))]
    return splits, (("dev",), 3, {}, runs)


def plant_empty_document(corpus):
    splits = make_splits(corpus)
    for words in ([], ["\n", "\n"]):
        doc = Doc(NLP.vocab, words=words, spaces=[False] * len(words))
        doc.set_ents([])
        splits[1].docs.append(doc)
    places = [("dev", 20, None, 0, 0, None, 0), ("dev", 21, None, 0, 2, None, 0)]
    return splits, (("dev",), 2, {}, places)


def plant_broken_tags(corpus):
    splits = make_splits(corpus)
    splits[2].notes[NO_BEGINNING] = 4
    return splits, (("test",), 4, {NO_BEGINNING: 4}, [])


def plant_reader_notes(corpus):
    splits = make_splits(corpus)
    splits[2].notes["duplicates"] = 3
    return splits, (("test",), 3, {"duplicates": 3}, [])


def plant_duplicate(corpus):
    sent = corpus["train"][4]["sents"][1]
    index = add(corpus, "train", copy_of(sent), copy_of(sent))
    text = sentence(corpus, "train", 4, 1)
    splits = make_splits(corpus)
    first = find(splits, "train", 4, text)
    new = [
        ("train", index, "train-new", a, a + len(text), None, 0) for a in (0, len(text) + 1)
    ]
    return splits, (("train",), 2, {}, [first, *new])


def plant_short_duplicate(corpus):
    index = add(corpus, "train", [["Two", "more", "words", "."], []])
    again = add(corpus, "train", [["Two", "more", "words", "."], []])
    splits = make_splits(corpus)
    places = [find(splits, "train", i, "Two more words .") for i in (index, again)]
    return splits, (("train",), 1, {}, places)


def plant_conflicting_sentence(corpus):
    words = corpus["train"][4]["sents"][1][0]
    index = add(corpus, "train", [list(words), []])
    splits = make_splits(corpus)
    text = " ".join(words)
    places = [find(splits, "train", 4, text), find(splits, "train", index, text)]
    return splits, (("train",), 1, {}, places)


def plant_exact_leak(corpus):
    index = add(corpus, "test", copy_of(corpus["train"][4]["sents"][1]))
    again = add(corpus, "test", copy_of(corpus["train"][9]["sents"][0]))
    splits = make_splits(corpus)
    one, two = sentence(corpus, "train", 4, 1), sentence(corpus, "train", 9, 0)
    places = [
        find(splits, "test", index, one),
        find(splits, "train", 4, one),
        find(splits, "test", again, two, group=1),
        find(splits, "train", 9, two, group=1),
    ]
    return splits, (("test", "train"), 2, {}, places)


def plant_short_leak(corpus):
    one = add(corpus, "train", [["Two", "more", "words", "."], []])
    two = add(corpus, "dev", [["Two", "more", "words", "."], []])
    splits = make_splits(corpus)
    text = "Two more words ."
    places = [find(splits, "dev", two, text), find(splits, "train", one, text)]
    return splits, (("dev", "train"), 1, {}, places)


def plant_near_leak(corpus):
    # Nine words and one more: 8 of 9 word pairs are shared.
    words, entities = copy_of(corpus["dev"][4]["sents"][0])
    index = add(corpus, "test", [[*words, "Indeed"], entities])
    splits = make_splits(corpus)
    places = [
        find(splits, "test", index, " ".join([*words, "Indeed"])),
        find(splits, "dev", 4, " ".join(words)),
    ]
    return splits, (("test", "dev"), 1, {}, places)


def plant_near_unsure(corpus):
    # One word of ten differs: 7 of 11 word pairs, like enough to be compared, no near leak.
    words = [*fresh(0, 9), "."]
    for i in range(600):
        add(corpus, "train", [[*words[:4], f"Num{i}", *words[5:]], []])
    index = add(corpus, "test", [words, []])
    splits = make_splits(corpus)
    return splits, (
        ("test", "train"),
        1,
        {},
        [find(splits, "test", index, " ".join(words))],
    )


def plant_shared_document(corpus):
    corpus["test"][6]["id"] = "train-9"
    splits = make_splits(corpus)
    places = [
        find(splits, "test", 6, splits[2].docs[6].text),
        find(splits, "train", 9, splits[0].docs[9].text),
    ]
    return splits, (("test", "train"), 1, {}, places)


def plant_numbered_documents(corpus):
    for split in ("train", "test"):
        for i in range(5):
            corpus[split][i]["id"] = str(i)
    return make_splits(corpus), (("test", "train"), 5, {}, [])


def plant_few_examples(corpus):
    for i in range(3):
        add(corpus, "train", [[*fresh(i), f"Fest{i}", "."], [[7, 8, "EVENT"]]])
    return make_splits(corpus), (("train",), 1, {"EVENT": 3}, [])


def plant_label_not_in_train(corpus):
    for i in range(2):
        add(corpus, "test", [[*fresh(i), f"Fest{i}", "."], [[7, 8, "EVENT"]]])
    splits = make_splits(corpus)
    place = find(splits, "test", 20, "Fest0", "EVENT")
    return splits, (("test", "train"), 1, {"EVENT": 2}, [place])


def plant_suspect_label(corpus):
    for i in range(10):
        label = "PERSON" if i == 9 else "ORG"
        add(
            corpus, "train" if i < 5 else "dev", [[*fresh(i), "Zork", "."], [[7, 8, label]]]
        )
    splits = make_splits(corpus)
    places = [
        find(splits, "train", 60, "Zork", "ORG"),
        find(splits, "dev", 24, "Zork", "PERSON"),
    ]
    return splits, (("train", "dev"), 1, {"PERSON": 1}, places)


def plant_suspect_missed(corpus):
    for i in range(10):
        entities = [] if i == 9 else [[7, 8, "ORG"]]
        add(corpus, "train" if i < 5 else "dev", [[*fresh(i), "Zork", "."], entities])
    splits = make_splits(corpus)
    return splits, (("dev",), 1, {"ORG": 1}, [find(splits, "dev", 24, "Zork", "ORG")])


def plant_ambiguous_surface(corpus):
    for i, label in enumerate(["ORG", "PERSON", "ORG", "ORG"]):
        add(corpus, "train", [[*fresh(i), "Zork", "."], [[7, 8, label]]])
    splits = make_splits(corpus)
    places = [
        find(splits, "train", 60, "Zork", "ORG"),
        find(splits, "train", 61, "Zork", "PERSON"),
    ]
    return splits, (("train",), 1, {}, places)


PLANTS = {name[6:]: x for name, x in list(globals().items()) if name.startswith("plant_")}
# The schema would report the label EVENT first.
WITHOUT_SCHEMA = {"few_examples", "label_not_in_train"}


def test_every_kind_of_finding_is_planted():
    assert set(PLANTS) == set(KINDS)


@pytest.mark.parametrize("code", KINDS)
def test_a_planted_defect_is_found_and_nothing_else(code):
    splits, (names, count, counts, positions) = PLANTS[code](make_corpus())
    schema = None if code in WITHOUT_SCHEMA else SCHEMA
    (finding,) = check_splits(splits, schema=schema).findings
    assert finding.code == code
    assert (finding.splits, finding.count, finding.counts) == (names, count, counts)
    assert [tuple(x) for x in finding.positions] == positions
    assert finding.left_out == 0
    assert CANARY not in repr(finding)
    json.dumps(finding.to_dict())


def test_a_label_of_the_schema_without_any_example_is_reported():
    schema = EntitySchema.from_labels(["PERSON", "ORG", "EVENT"])
    (finding,) = check_splits(make_splits(make_corpus()), schema=schema).findings
    assert (finding.code, finding.counts) == ("few_examples", {"EVENT": 0})


def test_a_document_binary_keeps_what_the_check_needs():
    corpus = make_corpus()
    corpus["dev"][0]["missing"] = [(1, 3)]
    splits = make_splits(corpus)
    again = []
    for split in splits:
        data = DocBin(docs=split.docs, store_user_data=True).to_bytes()
        again.append(Split(split.name, list(DocBin().from_bytes(data).get_docs(NLP.vocab))))
    assert check_splits(again).to_dict() == check_splits(splits).to_dict()


def doc_of(words, entities=(), **kwargs):
    doc = Doc(NLP.vocab, words=words, **kwargs)
    doc.set_ents([Span(doc, a, b, label=x) for a, b, x in entities])
    return doc


def codes(docs, **settings):
    report = check_splits([Split("train", docs)], min_examples=0, **settings)
    return {x.code: x.count for x in report.findings}


@pytest.mark.parametrize(
    ("words", "is_reported"),
    [
        ("Acme Inc .", False),
        ("Yahoo !", False),
        ("# spaCy", False),
        ("§ 7 UWG", False),
        ("§§ 7 UWG", False),
        ("Smith (Hull )", False),
        ("1030(a)(2 )", False),
        ("( - ) menthol", False),
        ("« Le Monde »", False),
        ("`` Titanic ''", False),
        ("' Titanic '", False),
        ("Acme ,", True),
        ("Acme :", True),
        ("Acme )", True),
        ("( Acme", True),
        ("Smith (Hull ) )", True),
        ('" Acme', True),
        ("Acme “", True),
        ("- -", True),
        ("!", True),
    ],
)
def test_marks_at_an_edge(words, is_reported):
    words = words.split()
    doc = doc_of(["see", *words, "there"], [(1, 1 + len(words), "X")])
    assert codes([doc]) == ({"edge_punctuation": 1} if is_reported else {})


@pytest.mark.parametrize(
    ("word", "is_reported"),
    [
        ("Müller-Łukasz", False),
        ("می\u200cخواهم", False),  # a non-joiner inside of a word is spelling
        ("👩\u200d🔬", False),
        ("❤\ufe0f", False),
        ("Ann\u200d", True),
        ("\u200cAnn", True),
        ("An\u00adn", True),
        ("\ufeffAnn", True),
        ("An\ufffdn", True),
        ("An\x07n", True),
        ("\u202eAnn", True),
    ],
)
def test_odd_characters(word, is_reported):
    doc = doc_of(["see", word, "there"], [(1, 2, "X")])
    assert codes([doc]) == ({"odd_character": 1} if is_reported else {})


def names(*uses):
    """RETURNS: a document for each use of "Big Zork": a label, or "" for none."""
    return [
        doc_of([*fresh(i), "Big", "Zork", "."], [(7, 9, label)] if label else [])
        for i, label in enumerate(uses)
    ]


def test_names_become_suspects_at_five_times_and_nine_in_ten():
    assert codes(names(*["X"] * 9, "")) == {"suspect_missed": 1}
    assert codes(names(*["X"] * 8, "")) == {}
    assert codes(names(*["X"] * 17, "", "")) == {}
    assert codes(names(*["X"] * 18, "", "")) == {"suspect_missed": 2}
    assert codes(names(*["X"] * 9, "Y")) == {"suspect_label": 1}
    assert codes(names(*["X"] * 8, "Y")) == {"ambiguous_surface": 1}
    # Both at once: 9 of 10 labels are X, 10 of 11 occurrences are annotated.
    both = {"suspect_label": 1, "suspect_missed": 1}
    assert codes(names(*["X"] * 9, "Y", "")) == both


def test_an_occurrence_counts_on_token_borders_outside_of_entities_only():
    usual = names(*["X"] * 20)
    other_case = doc_of([*fresh("a"), "big", "zork"])
    half = doc_of([*fresh("b"), "Big", "Zorkers"])
    inside = doc_of([*fresh("c"), "Bank", "of", "Big", "Zork"], [(7, 11, "X")])
    overlap = doc_of([*fresh("d"), "Big", "Zork", "Inc"], [(8, 10, "X")])
    missing = doc_of([*fresh("e"), "Big", "Zork"])
    missing.set_ents([], missing=[missing[8:9]])
    docs = [*usual, other_case, half, inside, overlap, missing]
    assert codes(docs) == {"unannotated": 1}
    spaced = doc_of([*fresh("f"), "Big", "\n", "Zork"])
    assert codes([*docs, spaced]) == {"unannotated": 1, "suspect_missed": 1}


def test_of_overlapping_names_the_longer_one_is_missed():
    usual = names(*["X"] * 9)
    short = [doc_of([*fresh(f"s{i}"), "Zork", "."], [(7, 8, "X")]) for i in range(9)]
    report = check_splits([Split("train", [*usual, *short, *names("")])], min_examples=0)
    found = {x.code: x for x in report.findings}
    # The text of names("") is that of the first of the usual ones, without the entity.
    assert set(found) == {"suspect_missed", "conflicting_sentence"}
    (place,) = found["suspect_missed"].positions
    doc = names("")[0]
    assert (place.start_char, place.end_char) == (doc[7].idx, doc[8].idx + 4)


def test_copies_that_are_not_annotated_contradict_nothing():
    words = [*fresh(0), "Zork"]
    one, two = doc_of(words, [(7, 8, "X")]), doc_of(words)
    three = Doc(NLP.vocab, words=words)
    found = codes([one, three])
    assert found == {"duplicate": 1, "unannotated": 8}
    assert codes([one, two]) == {"conflicting_sentence": 1}
    assert codes([one, two, three, one]) == {
        "conflicting_sentence": 1,
        "duplicate": 2,
        "unannotated": 8,
    }


def test_more_white_space_makes_no_other_text_and_no_other_annotation():
    one = doc_of([*fresh(0), "Big", "Zork"], [(7, 9, "X")])
    two = doc_of([*fresh(0), "\n", "Big", "\n", "Zork"], [(8, 11, "X")])
    assert codes([one, two]) == {"duplicate": 1}


def test_unseen_counts_surface_forms_and_their_labels():
    train = [doc_of([*fresh(0), "Zork", "met", "Ann"], [(7, 8, "ORG"), (9, 10, "PERSON")])]
    words = [*fresh(1), "Zork", "Ann", "Bo", "ann", "Zork"]
    marked = ["PERSON", "PERSON", "PERSON", "PERSON", "ORG"]
    test = [doc_of(words, [(7 + i, 8 + i, label) for i, label in enumerate(marked)])]
    report = check_splits([Split("test", test), Split("train", train)])
    assert [x.name for x in report.splits] == ["train", "test"]
    # Zork is known, but not as a PERSON; Bo and ann are new; Ann is known.
    expected = {"ORG": Unseen(1, 0, 0), "PERSON": Unseen(4, 2, 3)}
    assert report.splits[1].unseen == expected
    total = report.splits[1].unseen_total
    assert total == Unseen(5, 2, 3)
    assert (total.surface_share, total.pair_share) == (0.4, 0.6)


def test_the_training_split_comes_first():
    def order(*given):
        return [x.name for x in order_splits([Split(name, []) for name in given])]

    assert order("test", "dev", "train") == ["train", "dev", "test"]
    assert order("en_test", "en_validation", "en_train") == [
        "en_train",
        "en_validation",
        "en_test",
    ]
    assert order("a", "b", "devset") == ["a", "devset", "b"]


def test_near_leaks_are_those_of_comparing_all_pairs():
    rng = random.Random(1)
    known = [rng.sample(WORDS, rng.randint(5, 30)) for _ in range(150)]
    new = []
    for words in known:
        changed = list(words)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.choice(WORDS)
        new.append(changed)
    splits = [
        Split("train", [doc_of(x) for x in known]),
        Split("test", [doc_of(x) for x in new]),
    ]
    pairs = [[set(itertools.pairwise(x)) for x in texts] for texts in (known, new)]

    def near(a):
        return any(len(a & b) / len(a | b) >= 0.8 for b in pairs[0])

    expected = [i for i, a in enumerate(pairs[1]) if near(a) and new[i] not in known]
    found = {x.code: x for x in find_leaks(splits, [make_units(x) for x in splits], 0.8)}
    positions = found["near_leak"].positions
    assert [x.doc_index for x in positions if x.split == "test"] == expected
    # Neither all nor none: the test would say nothing then.
    assert 10 < len(expected) < 140


def test_a_near_leak_is_found_among_many_that_are_none():
    words = [*fresh(0, 9), "."]
    train = [doc_of([*words[:4], f"Num{i}", *words[5:]]) for i in range(600)]
    train.append(doc_of([*words, "Indeed"]))
    splits = [Split("train", train), Split("test", [doc_of(words)])]
    report = check_splits(splits)
    (finding,) = [x for x in report.findings if x.code.startswith("near")]
    assert (finding.code, finding.count) == ("near_leak", 1)
    assert finding.positions[1].doc_index == 600


def test_case_makes_a_near_leak_and_similarity_moves_the_limit():
    train = [doc_of([*fresh(0, 9), "."])]
    upper = [doc_of([x.upper() for x in [*fresh(0, 9), "."]])]
    one = [doc_of([*fresh(0, 9)[:-1], "else", "."])]  # 7 of 11 word pairs shared

    def near(docs, similarity):
        splits = [Split("train", train), Split("test", docs)]
        report = check_splits(splits, similarity=similarity)
        return [x.count for x in report.findings if x.code == "near_leak"]

    assert near(upper, 1.0) == [1]
    assert near(one, 7 / 11) == [1]
    assert near(one, 0.65) == []
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5


def test_a_text_that_another_tokenizer_cut_is_a_near_leak():
    train = [doc_of([*fresh(0, 3), "state", "-", "of", "-", "the", "-", "art"])]
    test = [doc_of([*fresh(0, 3), "state-of", "-the-art"])]
    report = check_splits([Split("train", train), Split("test", test)])
    assert [x.count for x in report.findings if x.code == "near_leak"] == [1]


def test_positions_are_cut_and_counts_are_not():
    docs = [doc_of([*fresh(i), f"N{i}", ","], [(7, 9, "X")]) for i in range(30)]
    report = check_splits([Split("train", docs)], min_examples=0, max_positions=4)
    (finding,) = report.findings
    assert (finding.count, len(finding.positions), finding.left_out) == (30, 4, 26)


def test_the_most_severe_comes_first():
    corpus = make_corpus()
    corpus["train"][4]["sents"].append([["Ox", "."], []])
    corpus["dev"][4]["sents"].append([["Ox", "."], []])
    PLANTS["edge_punctuation"](corpus)
    splits, _ = PLANTS["exact_leak"](corpus)
    report = check_splits(splits)
    assert [x.severity for x in report.findings] == ["error", "warning", "info"]
    assert [len(report.at_least(x)) for x in ("error", "warning", "info")] == [1, 2, 3]
    assert report.to_dict()["severities"] == {"error": 1, "warning": 1, "info": 1}


@pytest.mark.parametrize(
    ("splits", "settings", "message"),
    [
        ([], {}, Errors.N101),
        (["a", "a"], {}, Errors.N102.format(name="a")),
        (
            ["a"],
            {"similarity": 0},
            "similarity = 0 is not valid. Use a number above 0 up to 1.",
        ),
        (["a"], {"max_tokens": -1}, "max_tokens = -1 is not valid. Use 0 or more."),
    ],
)
def test_what_cannot_be_checked(splits, settings, message):
    with pytest.raises(ValueError) as e:  # noqa: PT011
        check_splits([Split(name, []) for name in splits], **settings)
    assert str(e.value) == message


def test_without_datasketch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    splits = make_splits(make_corpus())
    assert check_splits(splits[:1]).findings == []
    with pytest.raises(ImportError, match=r"ner_components\[eval\]"):
        check_splits(splits)


def write(folder, splits):
    paths = []
    for split in splits:
        paths.append(folder / f"{split.name}.spacy")
        DocBin(docs=split.docs, store_user_data=True).to_disk(paths[-1])
    return [str(path) for path in paths]


def run(*args):
    return CliRunner().invoke(ner_cli, ["check", *map(str, args)])


def canary_corpus(kind):
    corpus = make_corpus()
    if kind == "error":
        name, comma = corpus["train"][4]["sents"][0], 4
        name[0][3] = CANARY
        name[0].insert(comma, "\n")
        name[1][0][1] = comma + 1
    if kind == "warning":
        name = corpus["train"][4]["sents"][0]
        name[0][3] = CANARY
        name[0].insert(4, ",")
        name[1][0][1] = 5
    return make_splits(corpus)


@pytest.mark.parametrize(
    ("kind", "fail_on", "code"),
    [
        ("clean", "warning", 0),
        ("warning", "error", 0),
        ("warning", "warning", 1),
        ("error", "error", 1),
        ("error", "warning", 1),
        ("error", "never", 0),
    ],
)
def test_the_exit_code_says_whether_it_is_that_bad(tmp_path, kind, fail_on, code):
    paths = write(tmp_path, canary_corpus(kind))
    result = run(*paths, "--fail-on", fail_on)
    assert result.exit_code == code, result.output
    assert CANARY not in result.output
    assert ("Nothing found" in result.output) == (kind == "clean")


def test_text_goes_to_the_terminal_and_only_if_asked(tmp_path):
    paths = write(tmp_path, canary_corpus("error"))
    out = tmp_path / "reports" / "check.json"
    shown = run(*paths, "--show-text", "--output", out)
    assert CANARY in shown.output
    written = out.read_text(encoding="utf8")
    assert CANARY not in written
    report = json.loads(written)
    assert [x["name"] for x in report["splits"]] == ["train", "dev", "test"]
    (finding,) = report["findings"]
    assert (finding["code"], finding["severity"], finding["count"]) == (
        "edge_space",
        "error",
        1,
    )
    position = finding["positions"][0]
    assert position["document"] == "train-4"
    splits = canary_corpus("error")
    text = splits[0].docs[4].text[position["start_char"] : position["end_char"]]
    assert text == f"{CANARY} \n"
    loaded = check_splits(splits)
    assert CANARY not in repr(loaded)
    assert CANARY not in repr(splits)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    splits = make_splits(make_corpus())
    for folder, split in (("a", splits[0]), ("b", splits[1])):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, [Split("train", split.docs)])
    result = run(tmp_path / "a" / "train.spacy", tmp_path / "b" / "train.spacy")
    assert "a/train" in result.output
    assert "b/train" in result.output


def test_what_cannot_be_read_is_said_without_its_text(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(f'{{"tokens": ["{CANARY}"], "ents": []}}\n{{"tokens": ["{CANARY}"\n')
    result = run(path, "--format", "tokens")
    assert result.exit_code == 1
    assert "line 2" in result.output
    assert CANARY not in result.output


def test_it_runs_as_a_command_of_spacy(tmp_path):
    paths = write(tmp_path, make_splits(make_corpus()))
    command = [sys.executable, "-m", "spacy", "ner", "check", *paths]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Nothing found" in result.stdout


# As the README of the data folder says: test sentences that stand in another split.
@pytest.mark.parametrize(
    ("corpus", "leaks"),
    [
        ("crossner_science", {("test", "train"): 1, ("test", "dev"): 15}),
        ("lener_br", {("test", "train"): 43}),
        ("few_nerd", {("test", "dev"): 149}),
    ],
)
def test_published_leaks_are_found(corpus, leaks):
    folder = DATA / corpus
    if not folder.is_dir():
        pytest.skip(f"no {corpus} in NER_DATA")
    splits = []
    for name in ("train", "dev", "test"):
        path = folder / f"{name}.jsonl.gz"
        if any(name in pair for pair in leaks):
            splits.append(Split.from_pairs(name, read_jsonl(path, NLP)))
    units = [make_units(split) for split in splits]
    findings = list(find_leaks(splits, units, None))
    found = {x.splits: x.count for x in findings if x.code == "exact_leak"}
    assert {pair: found[pair] for pair in leaks} == leaks
