"""What the pages docs/migrate_*.md promise, on the real thing of before and ours."""

import itertools
import json
import logging
import random
import re
import warnings
from pathlib import Path
from typing import Iterable

import pytest
import spacy
from conftest import LABELS, SENTENCES, gold_entities, make_examples
from llm_double import in_chain, say
from spacy.cli.init_config import fill_config
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import registry
from thinc.api import Config
from thinc.config import ConfigValidationError

DOCS = Path(__file__).resolve().parent.parent / "docs"
TEXTS = [text for text, _ in SENTENCES]
CANARY = "Zqxwvbanana"


def block(page, number):
    """RETURNS: the settings of `ner` in one of the page's ini blocks."""
    text = (DOCS / page).read_text(encoding="utf8")
    found = re.findall(r"^```ini\n(.*?)^```$", text, re.M | re.S)
    return Config().from_str(f"[components]\n{found[number]}")["components"]["ner"]


def add(factory, name="ner", **config):
    nlp = spacy.blank("en")
    return nlp, nlp.add_pipe(factory, name=name, config=config)


def spans(doc):
    return [(x.start_char, x.end_char, x.label_) for x in doc.ents]


def swallow(nlp):
    """RETURNS: a list that gets what the error handler is given; the stream goes on."""
    seen = []
    nlp.set_error_handler(lambda name, proc, docs, e: seen.append((len(docs), e)))
    return seen


# spaCy's `ner`: the blocks of the page, the same file of training data, the same rest


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migration")
    docs = [example.reference for example in make_examples(spacy.blank("en"))]
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "train.spacy")
    return folder


def complete(corpus, ner):
    reader = {"@readers": "spacy.Corpus.v1", "path": str(corpus / "train.spacy")}
    config = {
        "nlp": {"lang": "en", "pipeline": ["ner"]},
        "components": {"ner": ner},
        "corpora": {"train": reader, "dev": reader},
        "training": {
            "seed": 0,
            "dropout": 0.0,
            "max_steps": 40,
            "eval_frequency": 20,
            "optimizer": {"@optimizers": "Adam.v1", "learn_rate": 0.01},
        },
    }
    Config(config).to_disk(corpus / "config.cfg")
    _, filled = fill_config(corpus / "filled.cfg", corpus / "config.cfg", silent=True)
    return filled


@pytest.fixture(scope="module")
def saved(corpus):
    """Pipelines trained with the page's two blocks, everything else being the same."""
    for number in (0, 1):
        config = complete(corpus, block("migrate_spacy_ner.md", number))
        nlp, _ = train(init_nlp(config))
        nlp.to_disk(corpus / f"pipeline{number}")
    return corpus


@pytest.fixture
def swapped(saved):
    """Both, loaded afresh."""
    return [spacy.load(saved / f"pipeline{number}") for number in (0, 1)]


def test_only_the_block_is_another_and_both_learn(swapped):
    before, after = swapped
    assert before.get_pipe_meta("ner").factory == "ner"
    assert after.get_pipe_meta("ner").factory == "ner_encoder"
    for nlp in swapped:
        found = [{(x.text, x.label_) for x in doc.ents} for doc in nlp.pipe(TEXTS)]
        assert found == gold_entities()
    assert [x.to_json()["ents"] for x in before.pipe(TEXTS)] == [
        x.to_json()["ents"] for x in after.pipe(TEXTS)
    ]
    rest = [
        {k: v for k, v in nlp.config.items() if k not in ("components", "training")}
        for nlp in swapped
    ]
    assert rest[0] == rest[1]
    weights = [set(nlp.config["training"]["score_weights"]) for nlp in swapped]
    assert weights[0] < weights[1]


def test_the_scores_have_the_same_keys_and_figures(swapped):
    # A mistake of each kind, so that the figures are not all 1.
    wrong = [
        ("Angela Merkel met Tim Cook in the lobby.", ["Tim Cook|ORG"]),
        *SENTENCES[1:],
    ]
    before, after = (nlp.evaluate(make_examples(nlp, wrong)) for nlp in swapped)
    ours = {"ents_macro_f", "ner_counts", "ner_schema_error_rate"}
    assert set(after) - set(before) == ours
    assert set(before) <= set(after)
    for key in ("ents_p", "ents_r", "ents_f", "ents_per_type"):
        assert before[key] == after[key]
    assert before["ents_p"] == 9 / 11


def test_iob_presets_and_scores(swapped):
    found = []
    for nlp in swapped:
        doc = nlp.make_doc(TEXTS[1])
        doc.ents = [Span(doc, 0, 1, label="THING")]
        doc = nlp.get_pipe("ner")(doc)
        found.append([(x.ent_iob_, x.ent_type_) for x in doc])
        assert [x.label_ for x in doc.ents] == ["THING", "ORG"]
    assert found[0] == found[1]
    before, after = (nlp(TEXTS[0]) for nlp in swapped)
    assert [x._.ner_score for x in before.ents] == [None, None]
    assert all(0.5 < x._.ner_score <= 1.0 for x in after.ents)
    assert len(after.ents) == 2
    assert "ner" not in before.spans
    assert "ner" in after.spans
    assert "ner" not in swapped[1](TEXTS[3]).spans  # nothing to record
    assert "THING" in swapped[0].get_pipe("ner").labels
    assert "THING" not in swapped[1].get_pipe("ner").labels
    swapped[1].get_pipe("ner").cfg["spans_key"] = None
    doc = swapped[1](TEXTS[0])
    assert (len(doc.ents), len(doc.spans)) == (2, 0)


def test_labels_and_their_file(swapped):
    before, after = (nlp.get_pipe("ner") for nlp in swapped)
    assert before.labels == after.labels == tuple(sorted(LABELS))
    assert isinstance(before.label_data, dict)
    assert after.label_data == sorted(LABELS)
    ner = block("migrate_spacy_ner.md", 1)
    nlp, pipe = add(**{**ner, "labels": LABELS})
    assert pipe.labels == tuple(LABELS)
    with pytest.raises(ValueError, match="labels must be a list, not dict"):
        add(**ner)[1].initialize(lambda: make_examples(nlp), labels=before.label_data)
    with pytest.raises(ValueError, match="Can't add the label 'SHIP'"):
        after.add_label("SHIP")
    nlp, pipe = add(**{**ner, "labels": ["PERSON"]})
    with pytest.raises(ValueError, match=r"schema of 'ner' doesn't know \(PERSON\)"):
        nlp.initialize(lambda: make_examples(nlp))


def test_spacys_own_pipe_grows():
    nlp, ner = add(**block("migrate_spacy_ner.md", 0))
    nlp.initialize(lambda: make_examples(nlp))
    assert ner.add_label("SHIP") == 1
    assert "SHIP" in ner.labels


@pytest.mark.parametrize(
    "setting", ["moves", "update_with_oracle_cut_size", "incorrect_spans_key"]
)
def test_settings_of_the_parser_are_refused(setting):
    ner = block("migrate_spacy_ner.md", 1)
    with pytest.raises(ConfigValidationError, match=f"unexpected argument: '{setting}'"):
        add(**ner, **{setting: None})


def test_a_document_that_fails_takes_no_neighbours_with_it(swapped, monkeypatch):
    after = swapped[1]
    pipe = after.get_pipe("ner")
    predict = pipe.predict

    def fail(docs):
        if any(doc.text == TEXTS[4] for doc in docs):
            raise ValueError("a fault")
        return predict(docs)

    monkeypatch.setattr(pipe, "predict", fail)
    seen = swallow(after)
    wanted = [text for text in TEXTS if text != TEXTS[4]]
    assert [doc.text for doc in after.pipe(TEXTS)] == wanted
    assert [count for count, _ in seen] == [1]


def test_gold_that_cuts_a_token_is_named_once():
    nlp, _ = add(**block("migrate_spacy_ner.md", 1))
    words = ["Meet", "me", "@", "acme", ".org", "or", "Ann", "."]
    spaces = [True, False, False, False, True, True, False, False]
    reference = Doc(nlp.vocab, words=words, spaces=spaces)
    reference.ents = [Span(reference, 3, 4, "ORG"), Span(reference, 6, 7, "PERSON")]
    with pytest.warns(UserWarning, match=r"can't be learned .* ORG at 8-12 of document 0"):
        nlp.initialize(lambda: [Example(nlp.make_doc(reference.text), reference)])


# A Hugging Face checkpoint: a tiny BERT with random weights

NAMES = ["ann", "merkel", "cook", "paris", "oslo", "acme", "zork"]
WORDS = [*NAMES, "met", "in", "and", "left", "hired", "the", "lobby"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
LIMIT = 64


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("bert")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = [*special, *WORDS, "un", "##lob", "##by", "_"]
    (folder / "vocab.txt").write_text("\n".join(vocab), encoding="utf8")
    tokenizer = transformers.BertTokenizerFast(
        str(folder / "vocab.txt"), model_max_length=LIMIT
    )
    config = transformers.BertConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LIMIT,
        # Wide enough for tags of all kinds to win somewhere.
        initializer_range=0.5,
        id2label=dict(enumerate(TAGS)),
        label2id={tag: i for i, tag in enumerate(TAGS)},
    )
    torch.manual_seed(0)
    transformers.BertForTokenClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def theirs(checkpoint):
    from transformers import pipeline

    found = pipeline(
        "token-classification", model=str(checkpoint), aggregation_strategy="simple"
    )
    return lambda text: [(x["start"], x["end"], x["entity_group"]) for x in found(text)]


def of_checkpoint(folder, scheme="auto", **config):
    name = "ner_components.HFTokenClassifier.v1"
    model = {"@architectures": name, "name": str(folder), "scheme": scheme}
    return add("ner_encoder", model=model, **config)


def legal(tags):
    return all(
        b[0] != "I" or (a[0] in "BI" and a[2:] == b[2:])
        for a, b in itertools.pairwise(["O", *tags])
    )


def test_same_entities_as_the_pipeline_where_its_tags_are_legal(checkpoint, theirs):
    nlp, ner = of_checkpoint(checkpoint)
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(2, 6))) for _ in range(120)]
    compared, labels, broken = 0, set(), []
    for text in texts:
        (scores,) = ner.tag_scores([nlp.make_doc(text)])
        tags = [TAGS[i] for i in scores.argmax(axis=1)]
        if not legal(tags):
            broken.append((text, tags))
            continue
        wanted = theirs(text)
        assert spans(nlp(text)) == wanted, text
        compared += len(wanted)
        labels |= {label for _, _, label in wanted}
    assert compared > 50
    assert labels == {"PER", "LOC"}
    assert len(broken) > 10


def test_a_sequence_that_is_not_legal_is_never_taken(checkpoint, theirs):
    """An I- behind O begins an entity for the pipeline. Ours is the best sequence of all
    that are legal, found here by trying every one."""
    nlp, ner = of_checkpoint(checkpoint)
    other, _ = of_checkpoint(checkpoint, scheme="plain")
    differ = 0
    for words in itertools.islice(itertools.permutations(WORDS, 3), 0, 600, 15):
        text = " ".join(words)
        (scores,) = ner.tag_scores([nlp.make_doc(text)])
        tags = [TAGS[i] for i in scores.argmax(axis=1)]
        if legal(tags):
            continue
        best = max(
            (x for x in itertools.product(TAGS, repeat=3) if legal(x)),
            key=lambda x: sum(scores[i, TAGS.index(tag)] for i, tag in enumerate(x)),
        )
        starts = [0, len(words[0]) + 1, len(words[0]) + len(words[1]) + 2]
        wanted = []
        for start, word, tag in zip(starts, words, best, strict=True):
            if tag[0] == "B":
                wanted.append((start, start + len(word), tag[2:]))
            elif tag[0] == "I":
                wanted[-1] = (wanted[-1][0], start + len(word), tag[2:])
        assert spans(nlp(text)) == wanted
        differ += spans(nlp(text)) != theirs(text)
        assert {label for _, _, label in spans(other(text))} <= {"PER", "LOC"}
    assert differ > 3


def test_pieces_and_tokens(checkpoint, theirs):
    nlp, _ = of_checkpoint(checkpoint)
    inside = 0
    for left, right in itertools.product(WORDS, ["unlobby", "ann_merkel", "zork_oslo"]):
        text = f"{left} {right} and"
        doc = nlp(text)
        borders = {x.idx for x in doc} | {x.idx + len(x) for x in doc}
        assert {c for x in spans(doc) for c in x[:2]} <= borders
        inside += any(not {a, b} <= borders for a, b, _ in theirs(text))
    assert inside > 10


def test_long_texts_are_read_to_the_end(checkpoint, theirs):
    nlp, _ = of_checkpoint(checkpoint)
    draw = random.Random(1)
    words = draw.choices(WORDS, k=300)
    seen = len(" ".join(words[: LIMIT - 2]))
    text = " ".join(words)
    assert max(end for _, end, _ in theirs(text)) <= seen
    assert sum(start > seen for start, _, _ in spans(nlp(text))) > 20


def test_names_of_the_schema_and_a_folder_that_is_gone(checkpoint, tmp_path):
    plain, _ = of_checkpoint(checkpoint)
    labels = [{"name": "PERSON", "aliases": ["PER"]}]
    nlp, _ = of_checkpoint(checkpoint, labels=labels)
    for text in ["ann merkel met cook in paris", "oslo and ann", "paris left zork"]:
        was = spans(plain(text))
        assert was
        doc = nlp(text)
        wanted = [(a, b, "PERSON") for a, b, label in was if label == "PER"]
        assert spans(doc) == wanted
        counts = doc.spans["ner"].attrs["counts"]
        assert counts.get("unknown_label", 0) == len(was) - len(wanted)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in checkpoint.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    moved, _ = of_checkpoint(copy)
    moved.to_disk(tmp_path / "saved")
    for file in copy.iterdir():
        file.unlink()
    copy.rmdir()
    again = spacy.load(tmp_path / "saved")
    assert [spans(x) for x in again.pipe(TEXTS)] == [spans(x) for x in plain.pipe(TEXTS)]


# gliner-spacy: its own component, its block under our factory's name, and ours

THRESHOLD = 0.3


@pytest.fixture(scope="module")
def gliner(trained_gliner, tmp_path_factory):
    """A folder of the gliner library, on an encoder whose folder is here."""
    from ner_components.pretrained import make_embedded

    folder = tmp_path_factory.mktemp("gliner") / "taught"
    shim = spacy.load(trained_gliner).get_pipe("ner").model.shims[0]
    shim.gliner.save_pretrained(folder, safe_serialization=True)
    file = folder / "gliner_config.json"
    config = json.loads(file.read_text(encoding="utf8"))
    config["model_name"] = make_embedded().name
    file.write_text(json.dumps(config), encoding="utf8")
    return folder


def moved(folder, **changes):
    """RETURNS: the page's block of gliner-spacy, for the model of the tests."""
    config = block("migrate_gliner_spacy.md", 0)
    assert config.pop("factory") == "gliner_spacy"
    labels = ["person", "org", "ticker"]
    wanted = {"gliner_model": str(folder), "labels": labels, "threshold": THRESHOLD}
    return {**config, **wanted, **changes}


def original(folder, *, mend=True, **changes):
    """RETURNS: gliner-spacy's own component, with the checkpoint's own tokenizer."""
    pytest.importorskip("gliner_spacy", reason="gliner-spacy is not installed")
    from gliner import GLiNER

    nlp, pipe = add("gliner_spacy", **moved(folder, **changes))
    if mend:
        pipe.model = GLiNER.from_pretrained(str(folder), load_tokenizer=True)
    return nlp


def step_1(folder, **changes):
    pytest.importorskip("gliner_spacy", reason="gliner-spacy is not installed")
    return add("ner_gliner_spacy", **moved(folder, **changes))[0]


def step_2(folder, **changes):
    model = {"@architectures": "ner_components.GLiNER.v1", "name": str(folder)}
    config = {"labels": ["person", "org", "ticker"], "threshold": THRESHOLD}
    return add("ner_gliner", prompt="name", model=model, **{**config, **changes})[0]


def test_every_key_of_gliner_spacy_is_in_the_block():
    pytest.importorskip("gliner_spacy", reason="gliner-spacy is not installed")
    from gliner_spacy.pipeline import DEFAULT_SPACY_CONFIG

    config = block("migrate_gliner_spacy.md", 0)
    assert set(config) - {"factory"} == set(DEFAULT_SPACY_CONFIG)


def test_step_1_finds_what_gliner_spacy_found(gliner):
    before, after = original(gliner), step_1(gliner)
    count = 0
    for text in [*TEXTS, " ".join(TEXTS)]:
        was, doc = before(text), after(text)
        assert spans(doc) == spans(was)
        for old, new in zip(was.ents, doc.ents, strict=True):
            assert new._.ner_score == pytest.approx(old._.score, abs=1e-4)
            assert old._.ner_score is None
            assert new._.score == 0  # gliner-spacy's own default
        count += len(was.ents)
    assert count > 15


def test_step_2_finds_the_same_on_short_texts(gliner):
    from gliner import GLiNER

    after = step_2(gliner)
    assert after.get_pipe("ner").prompts == ["person", "org", "ticker"]
    library = GLiNER.from_pretrained(str(gliner))
    count = 0
    for text in TEXTS:
        rows = library.predict_entities(
            text, ["person", "org", "ticker"], threshold=THRESHOLD
        )
        doc = after(text)
        assert spans(doc) == [(x["start"], x["end"], x["label"]) for x in rows]
        for ent, row in zip(doc.ents, rows, strict=True):
            assert ent._.ner_score == pytest.approx(row["score"], abs=1e-4)
        count += len(rows)
    assert count > 9


def cut_texts():
    """RETURNS: texts with "Angela Merkel" across the first cut at 250 characters."""
    filler = "the weather was fine and we had coffee . " * 7
    return [f"{filler[:length].rstrip()} . {TEXTS[0]}" for length in range(238, 247, 2)]


def test_step_1_loses_what_lies_on_a_cut(gliner):
    before, after = original(gliner), step_1(gliner)
    texts = cut_texts()
    was = [{x.text for x in before(text).ents} for text in texts]
    assert [{x.text for x in doc.ents} for doc in after.pipe(texts)] == was
    assert any("Angela Merkel" not in x for x in was)


def test_step_2_loses_nothing_there(gliner):
    for doc in step_2(gliner).pipe(cut_texts()):
        assert {"Angela Merkel", "Tim Cook"} <= {x.text for x in doc.ents}


def test_entities_set_before(gliner):
    found = []
    for nlp in (original(gliner), step_1(gliner)):
        doc = nlp.make_doc(TEXTS[0])
        doc.ents = [Span(doc, 3, 4, label="THING"), Span(doc, 6, 7, label="THING")]
        doc = nlp.get_pipe("ner")(doc)
        found.append([(x.text, x.label_) for x in doc.ents])
    person = ("Angela Merkel", "person")
    assert found[0] == [person, ("Tim Cook", "person")]
    assert found[1] == [person, ("Tim", "THING"), ("the", "THING")]
    assert doc.spans["ner"].attrs["counts"] == {"entity": 1, "preset": 1}


def test_an_entity_that_cuts_a_token_is_counted(gliner):
    found = []
    for nlp in (original(gliner), step_1(gliner), step_2(gliner)):
        # One token from the middle of a name to the next word.
        words = ["Angela", "Merkel met", "Tim", "Cook", "in", "the", "lobby", "."]
        doc = Doc(nlp.vocab, words=words, spaces=[True] * 6 + [False] * 2)
        assert doc.text == TEXTS[0]
        found.append(nlp.get_pipe("ner")(doc))
    assert [[x.text for x in doc.ents] for doc in found] == [["Tim Cook"]] * 3
    assert "ner" not in found[0].spans
    for doc in found[1:]:
        assert doc.spans["ner"].attrs["counts"] == {"entity": 1, "misaligned": 1}


def test_style_span_writes_entities_too(gliner):
    was = original(gliner, style="span")(TEXTS[0])
    doc = step_1(gliner, style="span")(TEXTS[0])
    wanted = [("Angela Merkel", "person"), ("Tim Cook", "person")]
    assert was.ents == ()
    assert [(x.text, x.label_) for x in was.spans["sc"]] == wanted
    assert [(x.text, x.label_) for x in doc.spans["sc"]] == wanted
    assert [(x.text, x.label_) for x in doc.ents] == wanted


def test_gliner_cat_gets_zeros(gliner):
    pytest.importorskip("gliner_spacy", reason="gliner-spacy is not installed")
    totals = []
    for factory in ("gliner_spacy", "ner_gliner_spacy"):
        nlp, pipe = add(factory, name="gliner_spacy", **moved(gliner))
        if factory == "gliner_spacy":
            pipe.model = original(gliner).get_pipe("ner").model
        nlp.add_pipe("sentencizer", first=True)
        config = {"cat_data": {"people": ["person"]}, "style": "ent"}
        nlp.add_pipe("gliner_cat", config=config)
        (sentence,) = nlp(TEXTS[0]).sents
        totals.append(sentence._.sent_cats["people"])
    assert totals[0] > 1.0
    assert totals[1] == 0


def test_gliner_spacy_takes_the_base_encoders_tokenizer(gliner):
    """Why figures can change in step 1; when this fails, gliner-spacy or gliner has mended
    it, and the page should say so."""
    nlp = original(gliner, mend=False)
    tokenizer = nlp.get_pipe("ner").model.data_processor.transformer_tokenizer
    mark = tokenizer.convert_tokens_to_ids("<<ENT>>")
    assert mark == tokenizer.unk_token_id
    assert [len(nlp(text).ents) for text in TEXTS] == [0] * len(TEXTS)
    assert len(step_1(gliner)(TEXTS[0]).ents) == 2


def test_onnx_is_refused(gliner):
    with pytest.raises(ValueError, match="ONNX models are not loaded here"):
        step_1(gliner, load_onnx_model=True)


# spacy-llm: its task and a model in its form, in both components


class Canned:
    """A model in spacy-llm's form. What it says is set by a test."""

    context_length = 4000
    answer = staticmethod(lambda prompt: "")

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        for some in prompts:
            yield [str(type(self).answer(prompt)) for prompt in some]


@pytest.fixture
def answer(monkeypatch):
    """A function that sets what the model answers: a text, or a function of the prompt."""
    pytest.importorskip("spacy_llm")
    registry.llm_models.register("ner_components.tests.Canned.v1", func=Canned)

    def set_answer(said):
        function = said if callable(said) else lambda prompt: said
        monkeypatch.setattr(Canned, "answer", staticmethod(function))

    return set_answer


MODEL = {"@llm_models": "ner_components.tests.Canned.v1"}
STOCK = {"@llm_tasks": "spacy.NER.v3", "labels": ["PERSON", "ORG"]}
OWN = {"@llm_tasks": "ner_components.NER.v1", "labels": ["PERSON", "ORG"]}
REASONED = """
1. Angela Merkel | True | PERSON | a name
2. lobby | False | ==NONE== | a room
3. Nobody Else | True | PERSON | not there
4. Tim Cook | True | ALIEN | not a label
"""


def test_the_pages_task_works_in_both(answer):
    config = block("migrate_spacy_llm.md", 0)
    assert config.pop("factory") == "llm"
    task = config["task"]
    answer(REASONED)
    for factory in ("llm", "ner_llm"):
        nlp, ner = add(factory, task=task, model=MODEL)
        doc = nlp(TEXTS[0])
        assert spans(doc) == [(0, 13, "PERSON")]
        assert set(ner.labels) == {"PERSON", "ORG"}
        assert [x._.ner_score for x in doc.ents] == [None]
    # What the stock task drops is not seen.
    assert doc.spans["ner"].attrs["counts"] == {"entity": 1}
    assert ner.usage.requests == 0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("save_io", True),
        ("validate_types", True),
        ("cache", {"@llm_misc": "spacy.BatchCache.v1"}),
    ],
)
def test_what_goes_in_step_1(answer, setting, value):
    with pytest.raises(ConfigValidationError, match=f"unexpected argument: '{setting}'"):
        add("ner_llm", task=STOCK, model=MODEL, **{setting: value})


def test_our_task_counts_what_the_stock_one_drops(answer):
    items = ["Angela Merkel|PERSON", "Nobody Else|PERSON", "Tim Cook|ALIEN"]
    answer(say(*items))
    counts = {"entity": 1, "unknown_label": 1, "not_in_text": 1}
    config = {"labels": ["PERSON", "ORG"], "model": MODEL}
    for nlp, _ in (add("ner_llm", **config), add("llm", task=OWN, model=MODEL)):
        doc = nlp(TEXTS[0])
        assert spans(doc) == [(0, 13, "PERSON")]
        assert doc.spans["ner"].attrs["counts"] == counts


def test_words_as_they_are_written(answer):
    text = "The apple came from Apple."
    labels = ["ORG"]
    answer("1. Apple | True | ORG | a company")
    stock = {**STOCK, "labels": labels}
    for factory in ("llm", "ner_llm"):
        assert spans(add(factory, task=stock, model=MODEL)[0](text)) == [(4, 9, "ORG")]
    answer(say("Apple|ORG"))
    assert spans(add("ner_llm", labels=labels, model=MODEL)[0](text)) == [(20, 25, "ORG")]


def test_narrower_labels_of_the_component_hold(answer):
    answer("1. Angela Merkel | True | PERSON | a name")
    nlp, ner = add("ner_llm", task=STOCK, labels=["ORG"], model=MODEL)
    doc = nlp(TEXTS[0])
    assert ner.labels == ("ORG",)
    assert doc.ents == ()
    assert doc.spans["ner"].attrs["counts"] == {"unknown_label": 1}


def test_preset_entities(answer):
    answer("1. Angela Merkel | True | PERSON | a name")
    found = []
    for factory in ("llm", "ner_llm"):
        nlp, pipe = add(factory, task=STOCK, model=MODEL)
        doc = nlp.make_doc(TEXTS[0])
        doc.ents = [Span(doc, 6, 7, label="THING")]
        found.append([x.label_ for x in pipe(doc).ents])
    assert found == [["PERSON"], ["PERSON", "THING"]]


def test_a_failure_costs_a_batch_there_and_a_document_here(answer):
    def respond(prompt):
        if CANARY in prompt:
            raise ValueError(CANARY)
        return "1. Ann | True | PERSON | a name"

    answer(respond)
    texts = ["Ann left.", f"{CANARY} left.", "Ann met nobody."]
    left, errors = [], []
    for factory in ("llm", "ner_llm"):
        nlp, _ = add(factory, task=STOCK, model=MODEL)
        seen = swallow(nlp)
        left.append([doc.text for doc in nlp.pipe(texts)])
        errors += seen
    assert left == [[], [texts[0], texts[2]]]
    assert [count for count, _ in errors] == [3, 1]
    assert [in_chain(error, CANARY) for _, error in errors] == [True, False]


def test_text_in_the_log(answer, messages, monkeypatch):
    # spacy-llm's logger keeps its records to itself.
    monkeypatch.setattr(logging.getLogger("spacy_llm"), "propagate", True)
    logging.getLogger("spacy_llm").setLevel(logging.DEBUG)
    answer("1. Ann | True | PERSON | a name")
    add("ner_llm", task=STOCK, model=MODEL)[0](f"Ann met {CANARY}.")
    assert CANARY not in messages()
    add("llm", task=STOCK, model=MODEL)[0](f"Ann met {CANARY}.")
    assert CANARY in messages()


def test_scores_of_evaluate(answer):
    answer(lambda prompt: "1. Tim Cook | True | PERSON | a name")
    before, after = (
        (lambda nlp: nlp.evaluate(make_examples(nlp)))(add(x, task=STOCK, model=MODEL)[0])
        for x in ("llm", "ner_llm")
    )
    ours = {"ents_macro_f", "ner_counts", "ner_schema_error_rate"}
    assert set(after) - set(before) == ours
    for key in ("ents_p", "ents_r", "ents_f", "ents_per_type"):
        assert before[key] == after[key]
    assert before["ents_p"] == 1.0
    assert 0.0 < before["ents_r"] < 1.0


@pytest.mark.parametrize(
    "old",
    [
        {"entities": {"PERSON": ["Ann"]}},
        {"spans": [{"text": "Ann", "is_entity": True, "label": "PERSON", "reason": "x"}]},
    ],
)
def test_files_of_examples_are_written_again(answer, tmp_path, old):
    file = tmp_path / "examples.json"
    task = {"@llm_tasks": "ner_components.NER.v1", "examples": str(file)}
    file.write_text(json.dumps([{"text": "Ann met Bob.", **old}]), encoding="utf8")
    nlp, _ = add("ner_llm", labels=["PERSON"], task=task, model=MODEL)
    with pytest.raises(ValueError, match="row 1 is no example"):
        nlp.initialize()
    row = {"text": "Ann met Bob.", "entities": [{"text": "Ann", "label": "PERSON"}]}
    file.write_text(json.dumps([row]), encoding="utf8")
    nlp, ner = add("ner_llm", labels=["PERSON"], task=task, model=MODEL)
    nlp.initialize()
    (prompt,) = next(ner.converse(nlp.make_doc("Cleo left.")))
    assert "Ann met Bob." in prompt
    assert "Cleo left." in prompt


def test_threads_for_a_stock_model(answer):
    answer("1. Ann | True | PERSON | a name")
    one, three = (
        add("ner_llm", task=STOCK, model=MODEL, concurrency=x)[0] for x in (None, 3)
    )
    assert one.get_pipe("ner").model.concurrency == 1
    assert three.get_pipe("ner").model.concurrency == 3
    texts = [f"Ann met number {i}." for i in range(9)]
    found = [[(x.text, spans(x)) for x in nlp.pipe(texts)] for nlp in (one, three)]
    assert found[0] == found[1] == [(text, [(0, 3, "PERSON")]) for text in texts]


def test_spacy_llms_short_form_stays_its_own(answer):
    pytest.importorskip("spacy_llm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, pipe = add("llm_ner", task={"labels": ["PERSON"]}, model=MODEL)
    assert type(pipe).__module__.startswith("spacy_llm.")
