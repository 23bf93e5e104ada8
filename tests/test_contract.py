"""The contract, once for each factory: what makes the engines interchangeable."""

import copy
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import spacy
from conftest import FACTORIES, FILLER, LABELS, SENTENCES, gold_entities, make_examples
from spacy.tokens import Doc, DocBin, Span
from spacy.util import load_model_from_config

from ner_components.entities import REASONS, STATES

GROUP_KEYS = {
    "ner_components",
    "starts",
    "ends",
    "labels",
    "scores",
    "states",
    "counts",
    "rejected",
}
SHARED_SETTINGS = {
    "labels",
    "schema",
    "threshold",
    "alignment_mode",
    "overlap",
    "preset_ents",
    "spans_key",
    "max_rejections",
    "buffer_size",
}
CANARY = "Zqxwvbanana"

SHORT = [text for text, _ in SENTENCES]
LONG = " ".join(f"{text} {FILLER}" for text in SHORT * 20)  # some 3,600 tokens
EDGES = [
    "",
    " ",
    "\n\n \t",
    "😀",
    "👩‍🚀 Tim Cook 👨‍👩‍👧",
    "\u200b",
    "Tim\u200bCook",
    "İstanbul",
    ".",
]
TEXTS = [*SHORT[:4], *EDGES, LONG, *SHORT[4:], "", FILLER * 12, *reversed(SHORT)]


def facts(doc):
    return [(x.start_char, x.end_char, x.label_) for x in doc.ents]


def scores(doc):
    return [x._.ner_score for x in doc.ents]


def assert_same(found, expected):
    """Equal entities, groups and counts; scores within 1e-4."""
    assert found.text == expected.text
    assert facts(found) == facts(expected)
    assert scores(found) == pytest.approx(scores(expected), abs=1e-4)
    assert set(found.spans) == set(expected.spans)
    for key in found.spans:
        a, b = dict(found.spans[key].attrs), dict(expected.spans[key].attrs)
        assert a.pop("scores") == pytest.approx(b.pop("scores"), abs=1e-4)
        assert a == b


def assert_all_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert_same(a, b)


def poison(pipe, monkeypatch, error=None):
    """Make every prediction with a canary in the batch fail, as a crash in a model does.

    RETURNS: the sizes of the batches that were tried."""
    if hasattr(pipe, "converse"):
        return poison_conversation(pipe, monkeypatch, error)
    sizes, predict = [], pipe.predict

    def fragile(docs):
        docs = list(docs)
        sizes.append(len(docs))
        if any(CANARY in doc.text for doc in docs):
            raise error or RuntimeError("no text in here")
        return predict(docs)

    monkeypatch.setattr(pipe, "predict", fragile)
    return sizes


def poison_conversation(pipe, monkeypatch, error):
    """The same for an engine that is asked about one document at a time."""
    sizes, converse = [], pipe.converse

    def fragile(doc):
        sizes.append(1)
        if CANARY in doc.text:
            raise error or RuntimeError("no text in here")
        return converse(doc)

    monkeypatch.setattr(pipe, "converse", fragile)
    return sizes


def test_the_pipelines_under_test_find_what_they_were_taught(nlp):
    """Without this, every comparison below could hold between empty results."""
    for doc, gold in zip(nlp.pipe(SHORT), gold_entities(), strict=True):
        assert {(x.text, x.label_) for x in doc.ents} == gold
        assert all(0.0 < x._.ner_score <= 1.0 for x in doc.ents)
    assert {x.label_ for x in nlp(LONG).ents} == set(LABELS)


# The same for every document, whatever its company


def test_pipe_equals_call_in_order_for_any_batch_size(nlp):
    expected = [nlp(text) for text in TEXTS]
    for batch_size in (1, 3, 1000):
        assert_all_same(list(nlp.pipe(TEXTS, batch_size=batch_size)), expected)
    nlp.get_pipe("ner").cfg["buffer_size"] = 2
    assert_all_same(list(nlp.pipe(TEXTS)), expected)


def test_neighbours_do_not_matter(nlp):
    target = SHORT[4]
    expected = nlp(target)
    assert facts(expected)
    for company in (["", "."], [LONG], [" "] * 5, [FILLER * 30, "😀"], SHORT):
        docs = list(nlp.pipe([*company, target, *company]))
        assert_same(docs[len(company)], expected)


def test_a_long_document_is_annotated_to_its_end(nlp):
    doc = nlp(LONG)
    assert len(doc) > 3000
    last_copy = doc.char_span(LONG.rindex(SHORT[0]), len(LONG), alignment_mode="expand")
    found = {(x.text, x.label_) for x in doc.ents if x.start >= last_copy.start}
    assert {("Angela Merkel", "PERSON"), ("ZORK", "TICKER")} <= found


def test_documents_in_give_the_same_documents_out(nlp):
    docs = [nlp.make_doc(text) for text in TEXTS]
    found = list(nlp.pipe(docs))
    assert [id(x) for x in found] == [id(x) for x in docs]
    assert_all_same(found, [nlp(text) for text in TEXTS])


def test_contexts_stay_with_their_documents(nlp):
    numbered = list(nlp.pipe(((text, i) for i, text in enumerate(TEXTS)), as_tuples=True))
    assert [i for _, i in numbered] == list(range(len(TEXTS)))
    assert [doc.text for doc, _ in numbered] == TEXTS


def test_predict_changes_nothing(nlp):
    docs = [nlp.make_doc(text) for text in SHORT]
    before = [doc.to_bytes() for doc in docs]
    first = nlp.get_pipe("ner").predict(docs)
    assert [doc.to_bytes() for doc in docs] == before
    assert nlp.get_pipe("ner").predict(docs) == first
    assert nlp.get_pipe("ner").stats.documents == 0


def test_running_twice_changes_nothing(nlp):
    docs = list(nlp.pipe(TEXTS))
    before = [doc.to_bytes() for doc in docs]
    again = [nlp.get_pipe("ner")(doc) for doc in docs]
    assert_all_same(again, [Doc(nlp.vocab).from_bytes(x) for x in before])


def test_running_twice_changes_nothing_with_preset_entities(nlp):
    doc = nlp.make_doc(SHORT[0])
    doc.set_ents([Span(doc, 1, 3, label="FIRM")])
    once = nlp(doc)
    assert "FIRM" in {x.label_ for x in once.ents}
    before = once.to_bytes()
    assert_same(nlp(once), Doc(nlp.vocab).from_bytes(before))


def test_eight_threads_share_a_pipeline(nlp):
    texts = TEXTS[:4] + EDGES + TEXTS[-8:]
    expected = [nlp(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: list(nlp.pipe(texts)), range(8)))
        alone = list(pool.map(nlp, texts * 4))
    for found in runs:
        assert_all_same(found, expected)
    assert_all_same(alone, expected * 4)
    assert nlp.get_pipe("ner").stats.documents == len(texts) * 13


def test_two_processes(nlp):
    texts = SHORT + EDGES
    expected = list(nlp.pipe(texts))
    found = list(nlp.pipe(texts, n_process=2, batch_size=4))
    assert_all_same(found, expected)


def test_memory_zone_frees_the_text_and_changes_no_result(nlp):
    texts = [f"{text} {CANARY}{i}" for i, text in enumerate(SHORT)]
    with nlp.memory_zone():
        zoned = [(facts(doc), scores(doc)) for doc in nlp.pipe(texts)]
    assert not any(f"{CANARY}{i}" in nlp.vocab.strings for i in range(len(texts)))
    for text, (found, p) in zip(texts, zoned, strict=True):
        doc = nlp(text)
        assert facts(doc) == found
        assert scores(doc) == pytest.approx(p, abs=1e-4)


# Failures


def test_a_document_that_fails_goes_alone_to_the_error_handler(nlp, monkeypatch, messages):
    texts = [*SHORT[:3], f"{CANARY} met Tim Cook.", "", *SHORT[3:]]
    expected = list(nlp.pipe(SHORT[:3] + [""] + SHORT[3:]))
    pipe = nlp.get_pipe("ner")
    before = pipe.stats.to_dict()
    sizes = poison(pipe, monkeypatch)
    handled = []
    nlp.set_error_handler(lambda name, proc, docs, e: handled.append((name, proc, docs, e)))
    found = list(nlp.pipe(texts))
    assert_all_same(found, expected)
    ((name, proc, docs, error),) = handled
    assert (name, proc) == ("ner", pipe)
    assert [doc.text for doc in docs] == [texts[3]]
    assert str(error) == "no text in here"
    # The fourth of ten fails: halves are tried until it is alone.
    halves = [10, 5, 2, 3, 1, 2, 1, 1, 5]
    assert sizes == ([1] * 10 if hasattr(pipe, "converse") else halves)
    after = pipe.stats.to_dict()
    assert after["failures"] - before["failures"] == 1
    assert after["documents"] - before["documents"] == len(texts) - 1
    assert "a document of 5 tokens failed (RuntimeError)" in messages()
    assert CANARY not in messages()


def test_a_failure_raises_by_default(nlp, monkeypatch):
    poison(nlp.get_pipe("ner"), monkeypatch)
    with pytest.raises(RuntimeError, match="^no text in here$"):
        nlp(f"{CANARY} met Tim Cook.")
    stream = nlp.pipe([SHORT[0], f"{CANARY}.", SHORT[1]])
    assert facts(next(stream)) == facts(nlp(SHORT[0]))
    with pytest.raises(RuntimeError, match="^no text in here$"):
        next(stream)


def test_a_key_error_is_never_taken_for_a_missing_initialize(nlp, monkeypatch, messages):
    poison(nlp.get_pipe("ner"), monkeypatch, KeyError(CANARY))
    for start in (nlp, lambda text: list(nlp.pipe([SHORT[0], text]))):
        with pytest.raises(RuntimeError) as e:
            start(f"{CANARY}.")
        assert not isinstance(e.value, KeyError)
        assert "E109" not in str(e.value)
        assert CANARY not in str(e.value)
    assert CANARY not in messages()


def test_a_group_of_the_users_fails_its_own_document_only(nlp, messages):
    """A failure behind the model, with nothing simulated."""
    docs = [nlp.make_doc(text) for text in [*SHORT[:2], f"{CANARY} left.", *SHORT[2:4]]]
    docs[2].spans["ner"] = [docs[2][0:1]]
    handled = []
    nlp.set_error_handler(lambda name, proc, docs, e: handled.append((docs, e)))
    found = list(nlp.pipe(docs))
    assert [doc.text for doc in found] == SHORT[:4]
    ((failed, error),) = handled
    assert failed == [docs[2]]
    assert "Set `spans_key` of 'ner' to another name (or null for no group)" in str(error)
    assert CANARY not in str(error)
    assert CANARY not in messages()
    assert [x.text for x in docs[2].spans["ner"]] == [CANARY]


def swallow(name, proc, docs, error):
    """An error handler at module level, as a worker that is not forked needs it."""
    assert not isinstance(error, KeyError)


@pytest.mark.parametrize("error", [RuntimeError(CANARY), KeyError(CANARY)], ids=repr)
def test_failures_in_a_worker_are_logged_there(nlp, monkeypatch, tmp_path, error):
    texts = [*SHORT[:3], f"{CANARY} met Tim Cook.", *SHORT[3:]]
    expected = list(nlp.pipe(SHORT))
    poison(nlp.get_pipe("ner"), monkeypatch, error)
    nlp.set_error_handler(swallow)
    log = tmp_path / "worker.log"
    handler = logging.FileHandler(log)
    logger = logging.getLogger("ner_components")
    logger.addHandler(handler)
    try:
        found = list(nlp.pipe(texts, n_process=2, batch_size=3))
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert_all_same(found, expected)
    kind = type(error).__name__
    assert log.read_text() == f"ner: a document of 5 tokens failed ({kind})\n"


def test_no_text_in_any_log_or_repr(nlp, messages):
    doc = nlp(f"{CANARY} met Tim Cook.")
    pipe = nlp.get_pipe("ner")
    assert CANARY not in messages()
    assert CANARY not in repr(pipe) + repr(pipe.stats) + repr(pipe.schema) + repr(pipe.cfg)
    assert doc.text.startswith(CANARY)


# What a document carries


def test_every_entity_is_in_the_group_with_its_score(nlp):
    for doc in nlp.pipe(SHORT):
        if not doc.ents:
            assert "ner" not in doc.spans
            continue
        attrs = doc.spans["ner"].attrs
        # An engine that looks for the words of an answer says how it found them.
        assert set(attrs) - {"via"} == GROUP_KEYS
        assert set(attrs["counts"]) <= {*STATES, *REASONS}
        rows = zip(
            attrs["starts"],
            attrs["ends"],
            attrs["labels"],
            attrs["scores"],
            attrs["states"],
            strict=True,
        )
        entities = [row[:4] for row in rows if row[4] == "entity"]
        assert entities == [(*x, s) for x, s in zip(facts(doc), scores(doc), strict=True)]
        assert attrs["counts"]["entity"] == len(doc.ents)


def test_bytes_and_docbin_keep_the_scores(nlp):
    doc = nlp(SHORT[0])
    assert len(doc.ents) == 2
    stored = [Doc(nlp.vocab).from_bytes(doc.to_bytes()), doc.copy(), copy.deepcopy(doc)]
    for store_user_data in (False, True):
        data = DocBin(docs=[doc], store_user_data=store_user_data).to_bytes()
        stored.extend(DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab))
    for found in stored:
        assert_same(found, doc)
        assert found.spans["ner"].attrs == doc.spans["ner"].attrs


def test_json_as_doc_and_from_docs_keep_the_entities_but_not_our_record(nlp):
    doc = nlp(SHORT[0])
    cut = doc[:].as_doc()
    joined = Doc.from_docs([doc, nlp(SHORT[1])])
    read = Doc(nlp.vocab).from_json(doc.to_json())
    assert facts(cut) == facts(read) == facts(doc) == facts(joined)[:2]
    for found in (cut, joined, read):
        # No score beats a score that might be another's.
        assert set(scores(found)) == {None}


def test_the_score_is_looked_up_not_stored(nlp):
    doc = nlp(SHORT[0])
    ent = doc.ents[0]
    assert ent._.ner_score == doc.spans["ner"].attrs["scores"][0]
    assert doc[ent.start : ent.end]._.ner_score is None  # the same tokens, no label
    assert doc[0:1]._.ner_score is None
    assert not any(key[0] == "._." for key in doc.user_data)


def test_preset_entities_are_kept_or_replaced(nlp):
    ruler = nlp.add_pipe("entity_ruler", before="ner")
    ruler.add_patterns([{"label": "FIRM", "pattern": "Tim Cook", "id": "tim"}])
    text = SHORT[0]
    doc = nlp(text)
    assert [(x.text, x.label_, x.ent_id_) for x in doc.ents] == [
        ("Angela Merkel", "PERSON", ""),
        ("Tim Cook", "FIRM", "tim"),
    ]
    assert doc.spans["ner"].attrs["counts"] == {"entity": 1, "preset": 1}
    assert_same(list(nlp.pipe(["", text]))[1], doc)
    nlp.get_pipe("ner").cfg["preset_ents"] = "replace"
    assert [(x.text, x.label_, x.ent_id_) for x in nlp(text).ents] == [
        ("Angela Merkel", "PERSON", ""),
        ("Tim Cook", "PERSON", ""),
    ]


def test_blocked_tokens_are_never_entities(nlp):
    text = SHORT[0]
    free = nlp(text)
    doc = nlp.make_doc(text)
    target = free.ents[0]
    doc.set_ents([], blocked=[doc[target.start : target.end]], default="missing")
    doc = nlp(doc)
    assert facts(doc) == facts(free)[1:]
    assert doc.spans["ner"].attrs["counts"] == {"entity": 1, "preset": 1}


def test_no_group_with_a_null_spans_key(nlp):
    expected = facts(nlp(SHORT[0]))
    pipe = nlp.get_pipe("ner")
    pipe.cfg["spans_key"] = None
    doc = nlp(SHORT[0])
    assert facts(doc) == expected
    assert len(doc.spans) == 0
    assert_same(pipe(doc), nlp(SHORT[0]))


def test_another_spans_key(nlp):
    nlp.get_pipe("ner").cfg["spans_key"] = "found"
    doc = nlp.make_doc(SHORT[0])
    doc.spans["ner"] = [doc[0:1]]
    doc = nlp(doc)
    assert set(doc.spans) == {"ner", "found"}
    assert None not in scores(doc)


def test_a_threshold_rejects_and_counts(nlp):
    open_ents = [doc.ents for doc in nlp.pipe(SHORT)]
    found = sorted(x._.ner_score for ents in open_ents for x in ents)
    middle = found[len(found) // 2]
    nlp.get_pipe("ner").cfg["threshold"] = middle
    docs = list(nlp.pipe(SHORT))
    kept = [x._.ner_score for doc in docs for x in doc.ents]
    assert min(kept) >= middle
    counts = [doc.spans["ner"].attrs["counts"] for doc in docs if "ner" in doc.spans]
    below = sum(x.get("below_threshold", 0) for x in counts)
    assert below > 0
    assert len(kept) + below == len(found)


# Retokenising


def test_merging_entities_leaves_a_document_that_can_be_stored(nlp):
    text = "Zork Industries hired Tim Cook"
    expected = nlp(text)
    assert expected.ents[-1].end == len(expected)
    nlp.add_pipe("merge_entities", after="ner")
    broken = nlp(text)
    for store in (Doc.to_bytes, Doc.copy):
        with pytest.raises(IndexError, match="E035"):
            store(broken)
    nlp.add_pipe("ner_realign", after="merge_entities")
    doc = nlp(text)
    assert [t.text for t in doc] == ["Zork Industries", "hired", "Tim Cook"]
    assert facts(doc) == facts(expected)
    assert scores(doc) == pytest.approx(scores(expected), abs=1e-4)
    for found in (Doc(nlp.vocab).from_bytes(doc.to_bytes()), doc.copy()):
        assert_same(found, doc)
        assert [x.text for x in found.spans["ner"]] == ["Zork Industries", "Tim Cook"]
    assert nlp.analyze_pipes()["problems"]["ner_realign"] == []


# The same settings, counts and files for every engine


def test_settings_are_the_same_in_every_factory(nlp):
    assert set(nlp.get_pipe("ner").cfg) >= SHARED_SETTINGS
    meta = nlp.get_pipe_meta("ner")
    assert set(meta.default_config) >= SHARED_SETTINGS | {"scorer", "model"}
    assert {"doc.ents", "doc.spans"} <= set(meta.assigns)


@pytest.mark.parametrize("factory", FACTORIES)
def test_only_the_factory_name_changes(factory):
    """The shared settings are accepted, with the same meaning, by every factory."""
    config = {
        "labels": ["PERSON", {"name": "TICKER", "description": "a stock symbol"}],
        "threshold": 0.25,
        "alignment_mode": "expand",
        "overlap": "longest",
        "preset_ents": "replace",
        "spans_key": "found",
        "max_rejections": 7,
        "buffer_size": 64,
    }
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe(factory, name="ner", config=config)
    assert pipe.labels == ("PERSON", "TICKER")
    shared = {key: pipe.cfg[key] for key in SHARED_SETTINGS}
    assert shared == {**config, "schema": None}
    assert pipe.schema["TICKER"].description == "a stock symbol"
    rules = pipe.rules
    assert (rules.threshold, rules.alignment_mode, rules.overlap) == (
        0.25,
        "expand",
        "longest",
    )
    assert (rules.preset_ents, rules.spans_key, rules.max_rejections) == (
        "replace",
        "found",
        7,
    )
    again = load_model_from_config(nlp.config)
    assert again.get_pipe("ner").cfg == pipe.cfg


def test_stats_count_what_was_seen(nlp):
    pipe = nlp.get_pipe("ner")
    docs = list(nlp.pipe([*SHORT, ""]))
    stats = pipe.stats.to_dict()
    assert stats["documents"] == len(SHORT) + 1
    assert stats["entities"] == sum(len(doc.ents) for doc in docs)
    rejected = sum(stats["rejections"].values())
    assert stats["candidates"] == stats["entities"] + stats["nested"] + rejected
    assert stats["failures"] == 0


def test_analyze_pipes_finds_no_problem(nlp):
    analysis = nlp.analyze_pipes()
    assert analysis["problems"] == {"ner": []}
    assert not any(analysis["attrs"]["doc.ents"]["requires"])
    assert analysis["attrs"]["doc.ents"]["assigns"] == ["ner"]
    assert analysis["attrs"]["doc.spans"]["assigns"] == ["ner"]


@pytest.mark.parametrize("form", ["bytes", "disk"])
def test_a_saved_pipeline_is_the_same_pipeline(nlp, form, tmp_path):
    if form == "disk":
        nlp.to_disk(tmp_path / "saved")
        again = spacy.load(tmp_path / "saved")
    else:
        again = load_model_from_config(nlp.config)
        again.from_bytes(nlp.to_bytes())
    assert again.get_pipe("ner").labels == nlp.get_pipe("ner").labels
    assert again.get_pipe("ner").cfg == nlp.get_pipe("ner").cfg
    for a, b in zip(again.pipe(SHORT), nlp.pipe(SHORT), strict=True):
        assert facts(a) == facts(b)
        assert scores(a) == scores(b)


def test_settings_can_be_overridden_at_load_and_are_not_saved_over(nlp, tmp_path):
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(
        tmp_path / "saved",
        config={"components": {"ner": {"threshold": 1.0, "spans_key": "x"}}},
    )
    assert again.get_pipe("ner").rules.threshold == 1.0
    assert again.get_pipe("ner").rules.spans_key == "x"


def test_evaluate_gives_the_scores_of_the_factory(nlp):
    examples = make_examples(nlp)
    result = nlp.evaluate(examples)
    weights = nlp.get_pipe_meta("ner").default_score_weights
    assert set(weights) <= set(result)
    assert result["ents_f"] == result["ents_macro_f"] == 1.0
    assert set(result["ents_per_type"]) == set(LABELS)
    assert result["ner_counts"]["entity"] == sum(len(marked) for _, marked in SENTENCES)
