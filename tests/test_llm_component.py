"""The component: the stream, failures, limits, counts, and spacy-llm's tasks and models."""

import pickle
import random
import subprocess
import sys
from concurrent.futures import Future
from itertools import count
from typing import Iterable

import pytest
import spacy
from conftest import LABELS, LLM, SENTENCES, make_examples
from llm_double import Double, find, in_chain, say, text_of
from spacy.tokens import Doc
from spacy.util import load_model_from_config

from ner_components.errors import Errors
from ner_components.llm.protocol import Answer, BudgetReached, Usage

CANARY = "Zqxwvbanana"
NAMES = count()


def make(model, *, task=None, **config):
    """RETURNS: a pipeline whose `ner` asks this model."""
    name = f"ner_components.tests.Double{next(NAMES)}.v1"
    spacy.registry.llm_models.register(name, func=lambda: model)
    nlp = spacy.blank("en")
    config = {"labels": LABELS, **config}
    if task is not None:
        config["task"] = {"@llm_tasks": "ner_components.NER.v1", **task}
    nlp.add_pipe("ner_llm", name="ner", config={"model": {"@llm_models": name}, **config})
    return nlp


def names(prompt):
    return say(*find(text_of(prompt), "Ann", "PERSON"))


def texts(n):
    return [f"Ann met number {i}." for i in range(n)]


def collect(stream, found):
    """Append the texts of a stream, which may end with an error."""
    for doc in stream:
        found.append(doc.text)


def number_of(prompt):
    return int(text_of(prompt).split()[-1].rstrip("."))


# The stream


def test_the_first_document_is_out_when_its_answer_is_there():
    model = Double(lambda p: names(p) if number_of(p) == 0 else Future())
    stream = make(model).pipe(texts(100))
    assert next(stream).text == "Ann met number 0."
    # No further ahead than needed: nothing waits for what isn't asked.
    assert len(model.prompts) <= 2 * model.concurrency
    stream.close()
    assert all(x.done() for x in model.futures)
    assert all(x.cancelled() for x in model.futures[1:])


def test_a_slow_document_in_front_holds_up_no_other_in_the_window():
    first = Future()

    def respond(prompt):
        if number_of(prompt) == 0:
            return first
        if number_of(prompt) == 7:
            # Eight documents are the window of four requests: the slow one comes last.
            first.set_result(say("Ann|PERSON"))
        return names(prompt)

    model = Double(respond)
    read = []

    def source():
        for i, text in enumerate(texts(30)):
            read.append((i, first.done()))
            yield text

    docs = list(make(model).pipe(source()))
    assert [doc.text for doc in docs] == texts(30)
    assert all([x.text for x in doc.ents] == ["Ann"] for doc in docs)
    assert [i for i, done in read if not done] == list(range(8))


def test_read_ahead_keeps_to_the_smaller_bound():
    for concurrency, buffer_size, ahead in ((1, 512, 2), (4, 512, 8), (4, 3, 3)):
        model = Double(lambda p: Future(), concurrency=concurrency)
        nlp = make(model, buffer_size=buffer_size)
        read = []

        def source(read=read, nlp=nlp):
            for i in range(100):
                read.append(i)
                if i == 50:
                    raise AssertionError("read too far")
                yield nlp.make_doc(f"Ann met number {i}.")

        # The first answer comes when the window is full.
        def respond(prompt, model=model, ahead=ahead):
            if len(model.prompts) == ahead:
                model.futures[0].set_result(say())
            return Future()

        model.respond = respond
        stream = nlp.get_pipe("ner").pipe(source())
        next(stream)
        assert len(read) == ahead
        stream.close()


def test_a_document_of_many_windows_hands_over_no_more_than_twice_the_requests():
    waiting = []

    def respond(prompt):
        open_ = [x for x in waiting if not x.done()]
        waiting.append(Future())
        assert len(open_) < 8
        if len(open_) == 7:
            for future in [*open_, waiting[-1]]:
                future.set_result(say())
        return waiting[-1]

    nlp = make(Double(respond), task={"max_window_chars": 50, "overlap_chars": 0})
    doc = nlp("Ann met nobody here at all. " * 32)
    assert len(waiting) >= 32
    assert doc.ents == ()


def test_documents_without_text_ask_nothing():
    model = Double(names)
    docs = list(make(model).pipe(["", " ", "\n\t", "Ann", ""]))
    assert [doc.text for doc in docs] == ["", " ", "\n\t", "Ann", ""]
    assert model.texts == ["Ann"]
    assert ["ner_llm_usage" in doc.user_data for doc in docs] == [0, 0, 0, 1, 0]


def test_predict_changes_nothing_and_keeps_the_order():
    model = Double(names)
    nlp = make(model)
    docs = [nlp.make_doc(x) for x in [*texts(20), ""]]
    before = [doc.to_bytes() for doc in docs]
    found = nlp.get_pipe("ner").predict(docs)
    assert [len(x) for x in found] == [1] * 20 + [0]
    assert [doc.to_bytes() for doc in docs] == before


# Failures


def test_a_failure_in_the_middle_goes_alone_to_the_handler():
    def respond(prompt):
        return ValueError("no text in here") if number_of(prompt) == 5 else names(prompt)

    nlp = make(Double(respond))
    handled = []
    nlp.set_error_handler(lambda name, proc, docs, e: handled.append((docs, e)))
    docs = list(nlp.pipe(texts(12)))
    assert [doc.text for doc in docs] == [x for i, x in enumerate(texts(12)) if i != 5]
    ((failed, error),) = handled
    assert [doc.text for doc in failed] == ["Ann met number 5."]
    assert str(error) == "no text in here"
    assert nlp.get_pipe("ner").stats.failures == 1


def test_a_failed_window_cancels_the_others_of_its_document():
    futures = []

    def respond(prompt):
        futures.append(Future())
        if len(futures) == 3:
            futures[0].set_exception(ValueError("no text in here"))
        return futures[-1]

    nlp = make(Double(respond), task={"max_window_chars": 30, "overlap_chars": 0})
    with pytest.raises(ValueError, match="no text in here"):
        nlp("Ann met nobody here at all. " * 3)
    assert [x.cancelled() for x in futures] == [False, True, True]


def test_what_the_stream_itself_raises_comes_after_what_was_read():
    nlp = make(Double(names))

    def source():
        yield from texts(3)
        raise OSError("the disk is gone")

    ner = nlp.get_pipe("ner")
    stream, found = ner.pipe(nlp.make_doc(x) for x in source()), []
    with pytest.raises(OSError, match="the disk is gone"):
        collect(stream, found)
    assert found == texts(3)


def test_a_limit_of_the_run_delivers_what_is_done(messages):
    def respond(prompt):
        if len(model.prompts) > 10:
            return BudgetReached("requests: 10 of 10")
        return names(prompt)

    model = Double(respond)
    nlp = make(model)
    found = []
    with pytest.raises(BudgetReached, match="10 of 10"):
        collect(nlp.pipe(texts(500)), found)
    assert found == texts(10)
    assert nlp.get_pipe("ner").usage.requests == 10
    # It is noticed with the first refusal: little more was read.
    assert len(model.prompts) <= 10 + 8
    assert nlp.get_pipe("ner").stats.failures == 0
    assert "that were begun are not finished" in messages()


def test_a_limit_waits_for_what_is_in_flight():
    slow = Future()

    def respond(prompt):
        if number_of(prompt) == 2:
            slow.set_result(say("Ann|PERSON"))
            return BudgetReached("cost")
        return slow if number_of(prompt) == 0 else names(prompt)

    found = []
    with pytest.raises(BudgetReached):
        collect(make(Double(respond)).pipe(texts(9)), found)
    assert found == texts(2)


def test_what_is_done_behind_a_document_that_is_broken_off_is_given_out():
    """It is paid for. The one that needed one more answer is not given out half done."""
    slow = Future()

    def respond(prompt):
        if "broke the rules" in prompt:
            return BudgetReached("requests")
        if number_of(prompt) == 3:
            slow.set_result(Answer("I am sorry."))
        return slow if number_of(prompt) == 1 else names(prompt)

    found = []
    with pytest.raises(BudgetReached):
        collect(make(Double(respond)).pipe(texts(9)), found)
    assert found[:3] == [texts(9)[i] for i in (0, 2, 3)]
    assert texts(9)[1] not in found


class Unasked(Double):
    """A model that can't be asked as it is set."""

    def check(self):
        raise ValueError("Set base_url.")


def test_a_model_that_cant_be_asked_is_no_failure_of_a_document(messages):
    nlp = make(Unasked(names))
    handled = []
    nlp.set_error_handler(lambda *args: handled.append(args))
    with pytest.raises(ValueError, match=r"Set base_url\."):
        list(nlp.pipe(texts(3)))
    assert handled == []
    # To assemble it here, and to give it its server there, is fine.
    nlp.initialize()
    assert "the model can't be asked as it is set: Set base_url." in messages()
    assert nlp("").ents == ()


# Counts


def test_usage_of_documents_and_of_the_run():
    def respond(prompt):
        return say("Ann|PERSON", usage=Usage(1, 100, 7, 20, 0.5, 0))

    nlp = make(Double(respond), task={"max_window_chars": 40, "overlap_chars": 0})
    doc = nlp("Ann met nobody here at all. Ann met nobody here at all.")
    assert doc.user_data["ner_llm_usage"] == {
        "requests": 2,
        "prompt_tokens": 200,
        "completion_tokens": 14,
        "cached_tokens": 40,
        "cost": 1.0,
        "unknown": 0,
        "prompts": 2,
        "second_pass": 0,
    }
    stored = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert stored.user_data == doc.user_data
    ner = nlp.get_pipe("ner")
    list(nlp.pipe(["Ann left."] * 3))
    assert ner.usage == Usage(5, 500, 35, 100, 2.5, 0)
    ner.reset_usage()
    assert ner.usage == Usage()


def test_what_failed_is_counted_too():
    class Refused(Exception):
        usage = Usage(1, 50, 0)

    nlp = make(Double(lambda p: Refused("no")))
    with pytest.raises(Refused):
        nlp("Ann left.")
    assert nlp.get_pipe("ner").usage == Usage(1, 50, 0)


def test_the_second_pass_is_counted():
    def respond(prompt):
        second = "were found in the text before" in prompt
        return say("Bob|PERSON", "Ann|PERSON") if second else say("Ann|PERSON")

    nlp = make(Double(respond), task={"second_pass": True})
    doc = nlp("Ann met Bob.")
    assert [x.text for x in doc.ents] == ["Ann", "Bob"]
    assert doc.user_data["ner_llm_usage"]["second_pass"] == 1
    assert doc.spans["ner"].attrs["via"] == ["exact", "exact+second_pass"]


PLANTED = ("unknown_label", "not_in_text", "misaligned", "invalid_output")


def plant(rate, seed=7):
    """RETURNS: texts, what is answered about each, and how many items of each kind there
    are. Each text has a name for every item, and a web address that holds one more."""
    rng = random.Random(seed)
    rows, kinds = {}, {**dict.fromkeys(PLANTED, 0), "entity": 0}
    for i in range(200):
        words = [f"Name{i}x{j}" for j in range(4)]
        hosts = [f"host{i}x{j}" for j in range(4)]
        mails = " ".join(f"me@{x}.org" for x in hosts)
        items = []
        for word, host in zip(words, hosts, strict=True):
            kind = rng.choice(PLANTED) if rng.random() < rate else "entity"
            kinds[kind] += 1
            item = {"text": word, "label": "PERSON", "occurrence": 1}
            changes = {
                "unknown_label": {"label": "FOO"},
                "not_in_text": {"text": f"Ghost{word}"},
                "misaligned": {"text": host},
                "invalid_output": {"label": 7},
                "entity": {},
            }
            items.append({**item, **changes[kind]})
        rows[f"{' and '.join(words)} at {mails} left ."] = items
    return rows, kinds


@pytest.mark.parametrize("reasks", [0, 1])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 0.5])
def test_the_schema_error_rate_is_the_planted_one(rate, reasks):
    rows, kinds = plant(rate)
    model = Double(lambda p: say(*rows[text_of(p)]))
    nlp = make(model, task={"reasks": reasks})
    docs = list(nlp.pipe(rows))
    stats = nlp.get_pipe("ner").stats
    expected = {kind: kinds[kind] for kind in PLANTED if kinds[kind]}
    assert stats.rejections == expected
    assert stats.entities == kinds["entity"]
    assert stats.candidates == 800
    examples = [spacy.training.Example(doc, nlp.make_doc(doc.text)) for doc in docs]
    scores = nlp.get_pipe("ner").score(examples)
    assert scores["ner_schema_error_rate"] == sum(expected.values()) / 800
    assert (sum(expected.values()) > 0) == (rate > 0)


def test_an_answer_that_cant_be_read_counts_once():
    nlp = make(Double(lambda p: Answer("I am sorry.")))
    doc = nlp("Ann met Bob.")
    assert doc.spans["ner"].attrs["counts"] == {"invalid_output": 1}


# spacy-llm's tasks and models


def test_a_task_of_spacy_llms():
    def respond(prompt):
        return Answer("PERSON: Tim Cook, Angela Merkel\nORG: Acme Holdings\nFOO: lobby")

    nlp = make(Double(respond), task={"@llm_tasks": "spacy.NER.v2"})
    found = {
        doc.text: [(x.text, x.label_) for x in doc.ents]
        for doc in nlp.pipe([text for text, _ in SENTENCES[:2]])
    }
    assert found == {
        SENTENCES[0][0]: [("Angela Merkel", "PERSON"), ("Tim Cook", "PERSON")],
        SENTENCES[1][0]: [("Acme Holdings", "ORG")],
    }
    ner = nlp.get_pipe("ner")
    assert set(ner.task.task.labels) == set(LABELS)
    # Nothing is set on the document by the task itself.
    doc = nlp.make_doc(SENTENCES[0][0])
    before = doc.to_bytes()
    assert [x[:4] for x in ner.predict([doc])[0]] == [
        (0, 13, "PERSON", None),
        (18, 26, "PERSON", None),
    ]
    assert doc.to_bytes() == before


def test_a_task_of_spacy_llms_brings_its_labels_and_shards(tmp_path):
    def respond(prompt):
        rows = ["1. Tim Cook | True | PERSON | a name"]
        return Answer("\n".join(rows if "Tim Cook" in prompt.split("Text:")[-1] else []))

    task = {"@llm_tasks": "spacy.NER.v3", "labels": ["PERSON"], "examples": None}
    model = Double(respond, context_length=400)
    nlp = make(model, task=task, labels=None)
    assert nlp.get_pipe("ner").labels == ("PERSON",)
    text = "Nobody was there but Tim Cook, who had nothing to say today. " * 30
    doc = nlp(text.strip())
    assert len(model.prompts) > 1
    assert {x.text for x in doc.ents} == {"Tim Cook"}
    assert all(x.label_ == "PERSON" for x in doc.ents)
    again = load_model_from_config(nlp.config)
    again.from_bytes(nlp.to_bytes())
    assert again.get_pipe("ner").labels == ("PERSON",)


def test_a_task_of_spacy_llms_that_fails_doesnt_quote_the_text():
    class Bad:
        def generate_prompts(self, docs: Iterable[Doc]) -> Iterable[str]:
            for doc in docs:
                yield doc.text

        def parse_responses(
            self, docs: Iterable[Doc], responses: Iterable[str]
        ) -> Iterable[Doc]:
            raise KeyError([doc.text for doc in docs])

    spacy.registry.llm_tasks.register("ner_components.tests.Bad.v1", func=Bad)
    task = {"@llm_tasks": "ner_components.tests.Bad.v1"}
    nlp = make(Double(lambda p: Answer("")), task=task)
    with pytest.raises(RuntimeError, match=r"The task of 'ner' failed \(KeyError\)") as e:
        nlp(f"{CANARY} left.")
    assert not in_chain(e.value, CANARY)


class Plain:
    """A model in spacy-llm's form."""

    def __init__(self, error=None):
        self.error, self.asked = error, []

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        for some in prompts:
            self.asked += some
            if self.error is not None:
                raise self.error
            yield [str(names(x)) for x in some]


@pytest.mark.parametrize("concurrency", [None, 3])
def test_a_model_of_spacy_llms(concurrency):
    model = Plain()
    nlp = make(model, concurrency=concurrency)
    docs = list(nlp.pipe(texts(20)))
    assert [doc.text for doc in docs] == texts(20)
    assert all([x.text for x in doc.ents] == ["Ann"] for doc in docs)
    assert len(model.asked) == 20
    ner = nlp.get_pipe("ner")
    assert ner.model.concurrency == (concurrency or 1)
    copy = pickle.loads(pickle.dumps(ner.model))
    assert copy.submit(model.asked[3]).result() == names(model.asked[3])


def test_a_model_of_spacy_llms_that_fails_doesnt_quote_the_text():
    nlp = make(Plain(ValueError(CANARY)))
    with pytest.raises(
        RuntimeError, match=r"The model of 'ner' failed \(ValueError\)"
    ) as e:
        nlp("Ann left.")
    assert not in_chain(e.value, CANARY)


def test_spacy_llms_own_model_for_tests():
    nlp = spacy.blank("en")
    config = {"labels": LABELS, "model": {"@llm_models": "spacy.NoOp.v1"}}
    nlp.add_pipe("ner_llm", name="ner", config=config)
    doc = nlp("Ann left.")
    assert doc.spans["ner"].attrs["counts"] == {"invalid_output": 1}


def test_spacy_llms_task_and_model_together():
    nlp = spacy.blank("en")
    config = {
        "task": {"@llm_tasks": "spacy.NER.v2", "labels": LABELS},
        "model": {"@llm_models": "spacy.NoOp.v1"},
    }
    nlp.add_pipe("ner_llm", name="ner", config=config)
    assert set(nlp.get_pipe("ner").labels) == set(LABELS)
    assert nlp("Ann left.").ents == ()


@pytest.mark.parametrize("part", ["task", "model"])
def test_something_else_is_refused(part):
    spacy.registry.llm_tasks.register("ner_components.tests.Int.v1", func=lambda: 7)
    spacy.registry.llm_models.register("ner_components.tests.Int.v1", func=lambda: 7)
    block = {f"@llm_{part}s": "ner_components.tests.Int.v1"}
    config = {"model": LLM, part: block}
    with pytest.raises(ValueError, match=rf"{part}: a int is neither one of ours"):
        spacy.blank("en").add_pipe("ner_llm", name="ner", config=config)


# Life cycle


def test_labels_come_from_examples_where_none_are_set():
    nlp = make(Double(names), labels=None)
    with pytest.raises(ValueError, match="has no labels"):
        nlp("Ann left.")
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe("ner").labels == tuple(sorted(LABELS))
    nlp = make(Double(names), labels=["PERSON"])
    with pytest.raises(ValueError, match="the label 'ORG'") as e:
        nlp.initialize(lambda: make_examples(nlp))
    assert str(e.value) == Errors.N035.format(label="ORG", name="ner", known="PERSON")


def test_an_added_label_is_asked_for():
    model = Double(lambda p: say("Paris|CITY"))
    nlp = make(model, task={"reasks": 0})
    ner = nlp.get_pipe("ner")
    assert nlp("Paris").spans["ner"].attrs["counts"] == {"unknown_label": 1}
    assert (ner.add_label("CITY"), ner.add_label("CITY")) == (1, 0)
    assert [x.label_ for x in nlp("Paris").ents] == ["CITY"]
    assert "CITY" in str(model.prompts[-1].json_schema)
    assert "CITY" not in str(model.prompts[0].json_schema)


def test_labels_follow_the_config_at_load(tmp_path):
    nlp = make(Double(names))
    nlp.get_pipe("ner").add_label("CITY")
    nlp.to_disk(tmp_path / "saved")
    assert spacy.load(tmp_path / "saved").get_pipe("ner").labels == (*LABELS, "CITY")
    config = {"components": {"ner": {"labels": ["DRUG"]}}}
    again = spacy.load(tmp_path / "saved", config=config)
    assert again.get_pipe("ner").labels == ("DRUG",)


def test_a_saved_pipeline_needs_no_files(tmp_path):
    guidelines = tmp_path / "rules.md"
    guidelines.write_text("Titles stay outside.", encoding="utf8")
    model = Double(names)
    nlp = make(model, task={"guidelines": str(guidelines)})
    nlp.initialize()
    nlp.to_disk(tmp_path / "saved")
    guidelines.unlink()
    again = spacy.load(tmp_path / "saved")
    assert [x.text for x in again("Ann left.").ents] == ["Ann"]
    assert model.prompts[-1].system.endswith("Titles stay outside.")


def test_a_missing_file_is_named_at_initialize(tmp_path):
    nlp = make(Double(names), task={"guidelines": str(tmp_path / "none.md")})
    with pytest.raises(ValueError, match=r"Can't read the guidelines .*none\.md"):
        nlp.initialize()


def test_it_cant_be_trained_and_stands_beside_what_is():
    nlp = make(Double(names))
    examples = make_examples(nlp)
    with pytest.raises(ValueError, match="it can't be trained here"):
        nlp.get_pipe("ner").update(examples)
    tagger = nlp.add_pipe("tagger")
    tagger.add_label("X")
    optimizer = nlp.initialize()
    nlp.update(
        [spacy.training.Example.from_dict(nlp.make_doc("Ann"), {"tags": ["X"]})],
        sgd=optimizer,
        exclude=["ner"],
    )
    with nlp.use_params(optimizer.averages):
        assert [x.text for x in nlp("Ann left.").ents] == ["Ann"]


def test_a_bad_concurrency_is_named():
    with pytest.raises(ValueError, match="concurrency = 0 is not valid"):
        make(Plain(), concurrency=0)


def test_the_component_pickles():
    ner = make(Plain()).get_pipe("ner")
    copy = pickle.loads(pickle.dumps(ner))
    doc = Doc(copy.vocab, ["Ann"])
    assert [x[:3] for x in copy.predict([doc])[0]] == [(0, 3, "PERSON")]


# Privacy


@pytest.mark.parametrize(
    "answer",
    [
        Answer(f"{CANARY} is all I say"),
        Answer(f'{{"entities": [{{"text": "{CANARY}", "label": ["{CANARY}"]}}]}}'),
        say(f"{CANARY}{CANARY}|PERSON", f"Ann|{CANARY}"),
        Answer(CANARY, finish_reason="length"),
        RuntimeError("no text in here"),
    ],
    ids=range(5),
)
def test_no_text_in_any_log_repr_or_error(answer, messages, recwarn):
    nlp = make(Double(lambda p: answer), task={"second_pass": True})
    text = f"Ann met {CANARY} and left."
    if isinstance(answer, Exception):
        with pytest.raises(RuntimeError, match="no text in here") as e:
            nlp(text)
        assert not in_chain(e.value, CANARY)
    else:
        assert [x.text for x in nlp(text).ents] in ([], ["Ann"])
    ner = nlp.get_pipe("ner")
    assert CANARY not in messages()
    assert not any(CANARY in str(x.message) for x in recwarn)
    said = [ner, ner.cfg, ner.stats, ner.task, ner.usage, ner.model.prompts, answer]
    assert CANARY not in repr(said)


# What is not installed


def test_without_the_extra_the_message_names_it():
    code = """
import sys
sys.modules["spacy_llm"] = None
import catalogue, spacy
from importlib.metadata import distribution
catalogue.AVAILABLE_ENTRY_POINTS = distribution("ner_components").entry_points
nlp = spacy.blank("en")
try:
    nlp.add_pipe("ner_llm", name="ner", config={"labels": ["PERSON"]})
except ImportError as e:
    print(e)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = Errors.N170.format(package="spacy_llm", extra="llm")
    assert done.stdout.strip() == expected, done.stderr


def test_the_registries_are_there_before_spacy_llm():
    """And its own names join them when it is imported."""
    code = """
import sys
import ner_components.llm.component
print("spacy_llm" in sys.modules)
import spacy_llm
from spacy import registry
print("spacy.NER.v3" in registry.llm_tasks, "spacy.NoOp.v1" in registry.llm_models)
print("ner_components.NER.v1" in registry.llm_tasks, "llm_misc" in dir(registry))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = ["False", "True True", "True True"]
    assert done.stdout.splitlines() == expected, done.stderr
