"""What engines share: the stream, the settings, the saved state, the counts."""

import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import spacy
from conftest import LABELS, SENTENCES, make_examples
from spacy.cli.find_threshold import find_threshold
from spacy.tokens import DocBin, Span, SpanGroup
from thinc.api import Model

from ner_components import pipe as pipe_module
from ner_components.entities import Candidate, Rejection, Resolution
from ner_components.evaluation.scorer import ner_score
from ner_components.pipe import NerPipe, NerStats
from ner_components.realign import NerRealign

TEXTS = [text for text, _ in SENTENCES]
PLAIN = {
    "labels": None,
    "schema": None,
    "threshold": 0.0,
    "alignment_mode": "strict",
    "overlap": "score",
    "preset_ents": "keep",
    "spans_key": "ner",
    "max_rejections": 100,
    "buffer_size": 512,
    "scorer": ner_score,
}


class WordList(NerPipe):
    """The smallest engine: every capitalised word, with the labels it was told to use."""

    def predict(self, docs):
        words = [re.finditer(r"\b[A-Z]\w+", doc.text) for doc in docs]
        return [
            [Candidate(*m.span(), label) for m in found for label in self.answers]
            for found in words
        ]

    answers = ("NAME",)


def make_engine(**config):
    model = Model("nothing", lambda model, docs, is_train: (docs, lambda d: d))
    return WordList(spacy.blank("en").vocab, model, "words", **{**PLAIN, **config})


BLANK = spacy.blank("en")


# The stream


def test_the_stream_is_read_ahead_by_the_buffer_and_no_further():
    engine = make_engine(labels=["NAME"], buffer_size=3)
    read = []

    def stream():
        for i in range(10):
            read.append(i)
            yield BLANK.make_doc(f"Ann {i}")

    found = engine.pipe(stream(), batch_size=1000)
    assert next(found).text == "Ann 0"
    assert read == [0, 1, 2]
    assert [doc.text for doc in found] == [f"Ann {i}" for i in range(1, 10)]


def test_long_documents_fill_the_buffer_sooner(monkeypatch):
    monkeypatch.setattr(pipe_module, "MAX_BUFFER_TOKENS", 20)
    engine = make_engine(labels=["NAME"])
    sizes = []
    predict = engine.predict
    monkeypatch.setattr(
        engine, "predict", lambda docs: sizes.append(len(docs)) or predict(docs)
    )
    docs = [BLANK.make_doc("x " * n) for n in (5, 5, 5, 5, 50, 1, 1)]
    assert [len(doc) for doc in engine.pipe(docs)] == [5, 5, 5, 5, 50, 1, 1]
    assert sizes == [4, 1, 2]


def test_an_empty_stream():
    assert list(make_engine(labels=["NAME"]).pipe([])) == []


def test_set_annotations_wants_candidates_for_each_document():
    engine = make_engine(labels=["NAME"])
    with pytest.raises(ValueError, match="zip"):
        engine.set_annotations([BLANK.make_doc("Ann")], [])


def test_an_engine_needs_predict_only():
    engine = make_engine(
        labels=["NAME", {"name": "CITY", "aliases": ["town"]}], spans_key="w"
    )
    engine.answers = ("town", "PLANET")
    doc = engine(BLANK.make_doc("So Ann left."))
    assert [(x.text, x.label_, x._.ner_score) for x in doc.ents] == [
        ("So", "CITY", None),
        ("Ann", "CITY", None),
    ]
    assert engine.stats.to_dict() == {
        "documents": 1,
        "candidates": 4,
        "entities": 2,
        "nested": 0,
        "rejections": {"unknown_label": 2},
        "failures": 0,
        "capped": 0,
    }
    gold = make_examples(BLANK)[:1]
    scores = engine.score([type(gold[0])(doc, doc.copy())])
    assert scores["ner_schema_error_rate"] == 0.5


def test_settings_changed_in_cfg_count_from_the_next_document(cnn):
    pipe = cnn.get_pipe("ner")
    assert len(cnn(TEXTS[0]).ents) == 2
    pipe.cfg["threshold"] = 1.0
    assert pipe.rules.threshold == 1.0
    assert len(cnn(TEXTS[0]).ents) == 0
    assert cnn(TEXTS[0]).spans["ner"].attrs["counts"] == {"below_threshold": 2}


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(
        ValueError, match=r"\[components.words\] threshold = nan is not valid"
    ):
        make_engine(threshold=numpy.nan)


# Counts


def test_stats_add_up_when_threads_share_them():
    stats = NerStats()
    candidate = Candidate(0, 1, "A")
    one = Resolution(
        rejections=[Rejection(candidate, "overlap"), Rejection(candidate, "preset")]
    )

    def work(i):
        for _ in range(200):
            stats.add(one)
            stats.add_failure()
            assert stats.to_dict()["rejections"].keys() <= {"overlap", "preset"}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert stats.to_dict() == {
        "documents": 1600,
        "candidates": 3200,
        "entities": 0,
        "nested": 0,
        "rejections": {"overlap": 1600, "preset": 1600},
        "failures": 1600,
        "capped": 0,
    }


def test_stats_can_go_to_another_process():
    stats = NerStats()
    stats.add(Resolution(rejections=[Rejection(Candidate(0, 1, "A"), "overlap")]))
    copy = pickle.loads(pickle.dumps(stats))
    assert copy.to_dict() == stats.to_dict()
    copy.add_failure()
    assert (copy.failures, stats.failures) == (1, 0)
    assert repr(stats) == f"NerStats({stats.to_dict()})"


# Labels


def test_labels_and_label_data(cnn):
    pipe = cnn.get_pipe("ner")
    assert pipe.labels == tuple(LABELS)
    assert pipe.label_data == LABELS
    assert make_engine().labels == ()
    assert make_engine().label_data == []


# Saved state


@pytest.mark.parametrize("form", ["bytes", "disk"])
def test_state_is_saved_and_settings_are_not(form, tmp_path):
    labels = ["NAME", {"name": "CITY", "description": "a town", "threshold": 0.3}]
    engine = make_engine(labels=labels)
    other = make_engine(labels=labels, threshold=0.9, overlap="first")
    if form == "bytes":
        other.from_bytes(engine.to_bytes())
    else:
        engine.to_disk(tmp_path / "pipe")
        assert (tmp_path / "pipe" / "state.json").is_file()
        other.from_disk(tmp_path / "pipe")
    assert other.schema == engine.schema
    assert (other.cfg["threshold"], other.cfg["overlap"]) == (0.9, "first")


def test_labels_of_the_config_that_changed_since_saving_win_where_they_can():
    """What a zero-shot engine does; the encoder refuses (see test_errors)."""
    data = make_engine(labels=["NAME"]).to_bytes()
    assert make_engine(labels=["NAME", "CITY"]).from_bytes(data).labels == ("NAME", "CITY")
    assert make_engine(labels=["NAME"]).from_bytes(data).labels == ("NAME",)
    # No labels in the config is not a wish for none.
    assert make_engine().from_bytes(data).labels == ("NAME",)


def test_a_dollar_in_a_label_survives_that_configs_double_it():
    """Writing a config makes "$" of a list "$$", and reading leaves it so."""
    label = {"name": "MONEY", "description": "as in $5"}
    data = make_engine(labels=[label]).to_bytes()
    doubled = make_engine(labels=[{**label, "description": "as in $$$$5"}])
    assert doubled.from_bytes(data).schema["MONEY"].description == "as in $5"
    other = make_engine(labels=[{**label, "description": "as in 5"}])
    assert other.from_bytes(data).schema["MONEY"].description == "as in 5"


def test_a_saved_schema_does_not_need_its_file_again(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text('[{"name": "NAME", "description": "a name"}]', encoding="utf8")
    engine = make_engine(schema=str(path))
    assert engine.labels == ("NAME",)
    data = engine.to_bytes()
    path.unlink()
    again = make_engine(schema=str(path)).from_bytes(data)
    assert again.schema == engine.schema


def test_a_schema_file_is_saved_even_if_it_was_never_read(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text('["NAME"]', encoding="utf8")
    data = make_engine(schema=str(path)).to_bytes()
    path.unlink()
    again = make_engine(schema=str(path)).from_bytes(data)
    assert again.labels == ("NAME",)


@pytest.mark.parametrize("part", ["vocab", "model", "state"])
def test_parts_can_be_left_out(cnn, part, tmp_path):
    pipe = cnn.get_pipe("ner")
    pipe.to_disk(tmp_path / "pipe", exclude=[part])
    saved = {x.stem for x in (tmp_path / "pipe").iterdir()}
    assert saved == {"vocab", "model", "state"} - {part}
    pipe.from_disk(tmp_path / "pipe", exclude=[part])
    pipe.from_bytes(pipe.to_bytes(exclude=[part]), exclude=[part])
    assert len(cnn(TEXTS[0]).ents) == 2


# spaCy's own tools


def test_find_threshold_moves_the_setting(trained_cnn, tmp_path):
    nlp = spacy.load(trained_cnn)
    data = tmp_path / "dev.spacy"
    DocBin(docs=[eg.reference for eg in make_examples(nlp)]).to_disk(data)
    best, score, tried = find_threshold(
        str(trained_cnn), data, "ner", "threshold", "ents_f", n_trials=3, silent=True
    )
    assert list(tried) == [0.0, 0.5, 1.0]
    assert tried[0.0] == 1.0
    # A threshold of 1 keeps nothing but certainty.
    assert tried[1.0] < tried[0.0]
    assert score == 1.0
    assert best in (0.0, 0.5)


# Realignment as a component


def test_realign_leaves_other_groups_alone(cnn):
    doc = cnn("Zork Industries hired Tim Cook.")
    doc.spans["mine"] = SpanGroup(doc, name="mine", spans=[doc[0:1]], attrs={"a": 1})
    assert NerRealign()(doc) is doc
    assert doc.spans["mine"].attrs == {"a": 1}
    assert [x.text for x in doc.spans["ner"]] == ["Zork Industries", "Tim Cook"]


def test_realign_without_a_group_changes_nothing():
    doc = BLANK.make_doc("Ann left.")
    before = doc.to_bytes()
    assert NerRealign()(doc).to_bytes() == before


def test_realign_after_tokens_were_split(cnn):
    doc = cnn("Zork Industries hired Tim Cook.")
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["Zo", "rk"], [doc[1], doc[1]])
    doc = NerRealign()(doc)
    assert [(x.start, x.end, x.text) for x in doc.spans["ner"]] == [
        (0, 3, "Zork Industries"),
        (4, 6, "Tim Cook"),
    ]
    assert (
        Span(doc, 4, 6, label="PERSON")._.ner_score == doc.spans["ner"].attrs["scores"][1]
    )
