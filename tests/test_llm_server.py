"""`ner_llm` and its client against a real llama.cpp server, with a model of random weights:
nothing can be said of what it finds, everything of what is asked and answered."""

import json
import random
import traceback
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import spacy
from llama_server import CONTEXT, PARALLEL, run_llama

from ner_components.llm.failures import ServerRefused

WRONG_KEY = "sk-wrong-4711"
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["entities"],
    "properties": {
        "entities": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["text", "label", "occurrence"],
                "properties": {
                    "text": {"type": "string", "enum": ["Ann Lee", "Zürich", "Bonn"]},
                    "label": {"type": "string", "enum": ["PERSON", "CITY"]},
                    "occurrence": {"type": "integer"},
                },
            },
        }
    },
}


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    with run_llama(tmp_path_factory.mktemp("llama")) as server:
        yield server


# The server itself: what the client has to reckon with


def _ask(llama, text, *, key=None, **settings):
    body = {"model": llama.model, "messages": [{"role": "user", "content": text}]}
    return httpx.post(
        f"{llama.base_url}/chat/completions",
        json={"temperature": 1.0, "seed": 0, **body, **settings},
        headers={"Authorization": f"Bearer {key or llama.key}"},
        timeout=60,
    )


def _format(schema=SCHEMA):
    wrapped = {"name": "entities", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": wrapped}


def test_answers_keep_to_the_json_schema(llama):
    found = []
    for seed in range(20):
        reply = _ask(
            llama, "Ann Lee likes Zürich.", seed=seed, response_format=_format()
        ).json()["choices"][0]
        assert reply["finish_reason"] == "stop"
        found += json.loads(reply["message"]["content"])["entities"]
    assert len(found) > 10
    assert {x["text"] for x in found} == {"Ann Lee", "Zürich", "Bonn"}
    assert {x["label"] for x in found} <= {"PERSON", "CITY"}


def test_a_wrong_key_is_answered_401(llama):
    reply = _ask(llama, "Ann", key=WRONG_KEY)
    assert reply.status_code == 401
    assert reply.json()["error"]["type"] == "authentication_error"


def test_a_prompt_beyond_the_context_is_answered_400(llama):
    reply = _ask(llama, "x" * (CONTEXT + 1))
    assert reply.status_code == 400
    error = reply.json()["error"]
    # No word as `code`, as hosted servers have it: the type says it.
    assert error["code"] == 400
    assert error["type"] == "exceed_context_size_error"


def test_a_small_max_tokens_ends_the_answer_by_length(llama):
    reply = _ask(llama, "Ann", max_tokens=5, response_format=_format()).json()
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 5


def test_usage_counts_tokens(llama):
    # Bytes are tokens here: ten of them more in the prompt, ten tokens more.
    short, long = (
        _ask(llama, text).json()["usage"] for text in ("Zürich", "Zürich" + 10 * "x")
    )
    assert long["prompt_tokens"] == short["prompt_tokens"] + 10


def test_eight_requests_at_once_are_all_answered(llama):
    def ask(i):
        return _ask(llama, f"Ann Lee {i}", seed=i, response_format=_format())

    with ThreadPoolExecutor(PARALLEL) as pool:
        replies = list(pool.map(ask, range(PARALLEL)))
    assert [x.status_code for x in replies] == [200] * PARALLEL
    for reply in replies:
        json.loads(reply.json()["choices"][0]["message"]["content"])


# Through `ner_llm`

KEY_NAME = "NER_LLM_LLAMA_KEY"
TEXT = "Ann Lee met Bob Stone in Zürich on Monday and flew to 東京 with Acme Holdings"


@pytest.fixture
def make_nlp(llama, monkeypatch):
    """A function that makes a pipeline for the server."""
    monkeypatch.setenv(KEY_NAME, llama.key)

    def make(*, task=None, **settings):
        nlp = spacy.blank("en")
        model = {
            "@llm_models": "ner_components.OpenAICompatible.v1",
            "base_url": llama.base_url,
            "model": llama.model,
            "api_key_env": KEY_NAME,
            # Random weights say something else for every seed, and nothing at 0.
            "temperature": 1.0,
            "seed": 0,
            "max_retries": 0,
            **settings,
        }
        task = {"@llm_tasks": "ner_components.NER.v1", **(task or {})}
        config = {"labels": ["PERSON", "CITY"], "task": task, "model": model}
        nlp.add_pipe("ner_llm", name="ner", config=config)
        return nlp

    return make


def make_texts(count):
    rng = random.Random(0)
    return [" ".join(rng.sample(TEXT.split(), 12)) for _ in range(count)]


def test_with_enum_every_answer_is_in_the_text(make_nlp):
    nlp = make_nlp(task={"grounding": "enum"})
    docs = list(nlp.pipe(make_texts(25)))
    assert [doc.text for doc in docs] == make_texts(25)
    stats = nlp.get_pipe("ner").stats
    assert stats.entities > 10
    # What is left are decisions among what stands in the text.
    assert set(stats.rejections) <= {"overlap", "duplicate"}


def test_without_enum_random_weights_invent(make_nlp):
    nlp = make_nlp()
    list(nlp.pipe(make_texts(25)))
    stats = nlp.get_pipe("ner").stats
    assert stats.rejections["not_in_text"] > 10
    # The labels are held to the schema either way.
    assert "unknown_label" not in stats.rejections


def test_a_wrong_key_is_an_error_that_does_not_name_it(make_nlp, monkeypatch, messages):
    nlp = make_nlp()
    monkeypatch.setenv(KEY_NAME, WRONG_KEY)
    with pytest.raises(ServerRefused) as caught:
        nlp(TEXT)
    assert caught.value.status == 401
    told = "".join(traceback.format_exception(caught.value)) + messages()
    assert WRONG_KEY not in told
    assert "Zürich" not in told


def test_a_document_beyond_the_context_is_halved_until_it_fits(make_nlp):
    # Neither the task nor the model is told how much the server takes.
    nlp = make_nlp(
        task={
            "grounding": "enum",
            "max_enum_values": 10**6,
            "max_enum_chars": 10**6,
            "max_words": 1,
            "max_window_chars": 10**6,
        }
    )
    text = " ".join(make_texts(150))
    doc = nlp(text)
    assert CONTEXT < len(text) < 2 * CONTEXT
    usage = doc.user_data["ner_llm_usage"]
    # The whole, which is refused, and what was answered: at least its halves.
    assert usage["prompts"] > usage["requests"] >= 2
    assert nlp.get_pipe("ner").stats.rejections.get("invalid_output", 0) == 0


def test_an_answer_cut_off_by_length_is_never_taken(make_nlp):
    nlp = make_nlp(task={"max_splits": 1}, max_tokens=8)
    nlp("Ann Lee went to Zürich. Then Bob Stone did.")
    # The whole and its two halves; each half is one unreadable answer.
    ner = nlp.get_pipe("ner")
    assert ner.usage.requests == 3
    assert ner.usage.completion_tokens == 3 * 8
    assert ner.stats.candidates == 2
    assert ner.stats.rejections == {"invalid_output": 2}


def test_usage_is_what_the_server_counted(make_nlp, llama):
    nlp = make_nlp(task={"grounding": "enum"})
    doc = nlp("Ann Lee went to Zürich.")
    ner = nlp.get_pipe("ner")
    (prompt,) = next(ner.converse(nlp.make_doc(doc.text)))
    # A token for each byte, and for the start and the two ends of turns.
    said = f"system: {prompt.system}\nuser: {prompt}\nassistant: "
    assert doc.user_data["ner_llm_usage"]["requests"] == 1
    assert ner.usage.prompt_tokens == len(said.encode()) + 3
    assert ner.usage.unknown == 0
