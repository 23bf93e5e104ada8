"""The client: tries, forms, budget, threads and processes, and no secret in sight."""

import asyncio
import copy
import gc
import json
import logging
import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import llm_faults as faults
import pytest
import spacy
from llm_faults import (
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    FaultServer,
    Reply,
    completion,
    reply,
)

from ner_components.errors import Errors, Warnings
from ner_components.llm import exchange
from ner_components.llm.budget import Budget
from ner_components.llm.client import OpenAICompatible, build_openai_compatible
from ner_components.llm.exchange import Call, Trouble, parse_retry_after, read_reply
from ner_components.llm.failures import (
    AnswerMissing,
    CacheFailed,
    LLMError,
    ServerFailed,
    ServerRefused,
)
from ner_components.llm.ladder import MODES, SCHEMA_SENTENCE
from ner_components.llm.protocol import (
    Answer,
    BudgetReached,
    Prompt,
    SubmittingModel,
    Usage,
)
from ner_components.llm.replies import ErrorNames, read_logprobs, read_usage

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
CANARY = "Zqxwvbanana"
KEY_NAME, KEY = "NER_LLM_TEST_KEY", "sk-canary-77aa01f3"
ONE = Usage(1, PROMPT_TOKENS, COMPLETION_TOKENS, 0, 0.0, 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(exchange, "BACKOFF", 0.001)


@pytest.fixture
def server():
    with FaultServer(answer=lambda body: f"re: {body['messages'][-1]['content'][:8]}") as x:
        yield x


def make(server, **settings):
    settings = {"base_url": server.base_url, "model": "tiny", **settings}
    return build_openai_compatible(**settings)


def ask(model, text="hello", **more):
    return model.submit(Prompt(text, **more)).result(timeout=20)


def error_of(model, text=CANARY, **more):
    error = model.submit(Prompt(text, **more)).exception(timeout=20)
    assert error is not None
    for told in chain(error):
        assert CANARY not in f"{told!r} {told}"
    return error


def wait_for(server, requests):
    end = time.monotonic() + 10
    while len(server.requests) < requests:
        assert time.monotonic() < end
        time.sleep(0.005)


def chain(error):
    """YIELDS: the error, and all that hangs on it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


# What is sent, and what comes back


def test_the_body_is_what_the_settings_say(server):
    model = make(server, seed=7, max_tokens=50, logprobs=True, extra={"top_p": 0.5})
    answer = ask(model, "hello", system="be brief")
    assert (answer, answer.finish_reason, answer.usage) == ("re: hello", "stop", ONE)
    assert server.requests[0].path == "/v1/chat/completions"
    assert server.bodies == [
        {
            "model": "tiny",
            "temperature": 0.0,
            "seed": 7,
            "max_tokens": 50,
            "logprobs": True,
            "top_p": 0.5,
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "hello"},
            ],
        }
    ]
    assert server.requests[0].headers["Authorization"] is None


def test_what_is_none_is_not_sent(server):
    ask(make(server, temperature=None))
    assert set(server.bodies[0]) == {"model", "messages"}


def test_plain_text_of_any_kind_goes_out(server):
    model = make(server)
    assert model.submit("héllo 東京").result(5) == "re: héllo 東京"
    # No server could read a lone surrogate.
    assert model.submit("a\ud800b").result(5) == "re: a?b"


def test_usage_adds_up_and_is_priced():
    usage = {**faults.USAGE, "prompt_tokens_details": {"cached_tokens": 4}}
    with FaultServer(answer=lambda body: completion("x", usage=usage)) as server:
        prices = {"prompt": 2.0, "completion": 10.0, "cached_prompt": 0.5}
        model = make(server, prices=prices)
        # 7 x 2 + 4 x 0.5 + 7 x 10 = 86 millionths.
        assert ask(model).usage == Usage(1, 11, 7, 4, pytest.approx(86e-6))
        ask(model)
        assert model.usage == Usage(2, 22, 14, 8, pytest.approx(172e-6), 0)
        model.reset_usage()
        assert model.usage == Usage()


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        {},
        {"prompt_tokens": 11},
        {"prompt_tokens": "11", "completion_tokens": 7},
        {"prompt_tokens": -1, "completion_tokens": 7},
        {"prompt_tokens": True, "completion_tokens": 7},
        {"prompt_tokens": 10**400, "completion_tokens": 7},
    ],
)
def test_odd_usage_counts_as_unknown(usage):
    assert read_usage({"usage": usage}, Budget({}, {})) == Usage(requests=1, unknown=1)


def test_cached_tokens_are_some_of_the_prompt():
    usage = {"prompt_tokens": 5, "completion_tokens": 1}
    for cached, wanted in ((3, 3), (9, 5), ("x", 0), (None, 0)):
        envelope = {"usage": {**usage, "prompt_tokens_details": {"cached_tokens": cached}}}
        assert read_usage(envelope, Budget({}, {})).cached_tokens == wanted


def test_logprobs_are_of_tokens_that_give_the_answer():
    def token(text, logprob, raw=None):
        return {"token": text, "logprob": logprob, "bytes": raw}

    assert read_logprobs({"content": [token("Zü", -1), token("rich", -0.5)]}, "Zürich") == [
        ("Zü", -1.0),
        ("rich", -0.5),
    ]
    # "ü" is two bytes, and here two tokens.
    cut = [token("Z", 0.0, [0x5A]), token("\\xc3", -1.0, [0xC3]), token("?", -2.0, [0xBC])]
    assert read_logprobs({"content": cut}, "Zü") == [("Z", 0.0), ("", -1.0), ("ü", -2.0)]
    assert read_logprobs({"content": [token("a", -1.0)]}, "ab") is None
    assert read_logprobs({"content": [token("a", float("nan"))]}, "a") is None
    assert read_logprobs({"content": [token("a", "sure")]}, "a") is None
    assert read_logprobs(None, "a") is None


def test_logprobs_come_with_the_answer(server):
    body = completion("ab")
    body["choices"][0]["logprobs"] = {"content": [{"token": "ab", "logprob": -0.25}]}
    server.script([reply(body)])
    assert ask(make(server, logprobs=True)).logprobs == [("ab", -0.25)]


# Faults


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_status_that_may_pass_is_tried_again(server, code):
    server.script([faults.status(code), faults.status(code)])
    model = make(server)
    assert ask(model) == "re: hello"
    assert len(server.requests) == 3
    assert model.usage == ONE


PASSING = {
    "html 502": (faults.html_502(), 502, "HTTP 502"),
    "string error": (faults.string_error(500, CANARY), 500, "HTTP 500"),
    "error in 200": (faults.error_in_200(CANARY), 200, "an error with HTTP 200"),
    "429 in 200": (faults.error_in_200({"code": 429, "message": CANARY}), 429, "HTTP 429"),
    "invalid json": (faults.invalid_json(), 200, "no JSON object in the reply"),
    "a list": (Reply(body="[]"), 200, "no JSON object in the reply"),
    "no text": (Reply(body="\u00ff" * 3), 200, "no JSON object in the reply"),
    "deep": (Reply(body="[" * 100000), 200, "no JSON object in the reply"),
    "reset": (faults.reset(), None, "ReadError"),
    "truncated": (faults.truncated(CANARY), None, "RemoteProtocolError"),
}


@pytest.mark.parametrize(("item", "code", "problem"), PASSING.values(), ids=list(PASSING))
def test_a_fault_that_may_pass_is_tried_as_often_as_set(server, item, code, problem):
    model = make(server, max_retries=2)
    server.script([item, item])
    assert ask(model) == "re: hello"
    assert len(server.requests) == 3
    server.script([item] * 9)
    error = error_of(model)
    assert type(error) is ServerFailed
    assert error.status == code
    assert f"/chat/completions: {problem}; tries: 3)" in str(error)
    assert len(server.requests) == 6


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413, 422, 501])
def test_a_refusal_is_not_tried_again(server, code):
    details = {"message": CANARY, "type": "invalid_request_error", "code": "bad_thing"}
    server.script([faults.status(code, details)])
    error = error_of(make(server))
    assert type(error) is ServerRefused
    assert (error.status, error.type, error.code) == (
        code,
        "invalid_request_error",
        "bad_thing",
    )
    assert f"HTTP {code}, invalid_request_error, bad_thing)" in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", [f"{CANARY} said so", CANARY * 9, 7, None, ["x"]])
def test_an_error_is_called_by_short_words_only(server, name):
    server.script([faults.status(400, {"message": "no", "type": name, "code": name})])
    error = error_of(make(server))
    assert (error.type, error.code) == (None, None)


MISSING = {
    "null": (faults.null_content(), "null_content"),
    "refusal": (faults.refusal(CANARY), "refusal"),
    "filter": (faults.content_filter(CANARY), "content_filter"),
    "no choices": (faults.no_choices(), "no_choices"),
    **{f"types {i}": (x, "wrong_type") for i, x in enumerate(faults.wrong_types())},
}


@pytest.mark.parametrize(("item", "kind"), MISSING.values(), ids=list(MISSING))
def test_a_reply_without_answer_is_named_and_paid(server, item, kind):
    server.script([item])
    model = make(server)
    error = error_of(model)
    assert type(error) is AnswerMissing
    assert (error.kind, error.usage) == (kind, ONE)
    assert str(error) == Errors.N158.format(kind=kind)
    assert len(server.requests) == 1
    assert model.usage == ONE


def test_a_strange_reason_to_end_is_none(server):
    server.script([reply(completion("x", finish_reason=r)) for r in (7, CANARY, "length")])
    model = make(server)
    assert [ask(model).finish_reason for _ in range(3)] == [None, None, "length"]


def test_the_last_of_two_keys_counts(server):
    body = json.dumps(completion("second")).replace('{"object"', '{"choices": [], "object"')
    server.script([Reply(body=body)])
    assert ask(make(server)) == "second"


def test_a_server_that_hangs_is_left(server):
    server.script([faults.hang()] * 2)
    error = error_of(make(server, timeout=0.1, max_retries=1))
    assert type(error) is ServerFailed
    assert error.kind == "timeout"
    assert len(server.requests) == 2


def test_nobody_there():
    with FaultServer() as gone:
        pass
    error = error_of(make(gone, max_retries=1))
    assert type(error) is ServerFailed
    assert "ConnectError; tries: 2" in str(error)


def test_all_tries_together_have_a_time(server):
    server.script([faults.hang()] * 99)
    error = error_of(make(server, timeout=0.1, max_total_time=0.25, max_retries=50))
    assert error.kind == "timeout"
    # 0.1 + 0.1 + 0.05 seconds, and waits.
    assert 2 <= len(server.requests) <= 3


def test_retry_after_is_waited_for(server, monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(exchange.asyncio, "sleep", sleep)
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    server.script([faults.rate_limited("17"), faults.rate_limited(at)])
    assert ask(make(server)) == "re: hello"
    assert waits[0] == 17.0
    assert 85 < waits[1] <= 90


def test_a_wait_beyond_the_time_is_not_begun(server):
    server.script([faults.rate_limited("301")])
    error = error_of(make(server))
    assert type(error) is ServerFailed
    assert error.status == 429
    assert len(server.requests) == 1


def test_waits_are_jittered_and_double(monkeypatch):
    monkeypatch.setattr(exchange, "BACKOFF", 0.5)
    monkeypatch.setattr(exchange.random, "uniform", lambda low, high: (low, high))
    waits = [exchange._backoff(tries) for tries in (1, 2, 3, 7, 8, 500)]
    assert waits == [(0.0, x) for x in (0.5, 1.0, 2.0, 30.0, 30.0, 30.0)]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("soon", 0.0), ("-1", 0.0), (None, 0.0), ("nan", 0.0)],
)
def test_retry_after_is_read(value, seconds):
    assert parse_retry_after(value) == seconds
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_a_redirect_elsewhere_is_refused(server):
    with FaultServer() as other:
        host = other.base_url.removeprefix("http://").removesuffix("/v1")
        server.script([faults.redirect(f"{other.base_url}/{CANARY}?q={CANARY}")])
        error = error_of(make(server))
        assert type(error) is ServerRefused
        assert (error.status, error.kind) == (307, "redirect")
        assert f"HTTP 307 to {host})" in str(error)
        assert other.requests == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["https://127.0.0.1/", "", "http://[", "//x.example"])
def test_a_redirect_to_nowhere_is_refused(server, location):
    server.script([faults.redirect(location, 302)])
    assert error_of(make(server)).kind == "redirect"
    assert len(server.requests) == 1


def test_a_redirect_at_home_is_followed_three_times(server):
    server.script([faults.redirect("/other/chat", 308)] * 3)
    assert ask(make(server)) == "re: hello"
    paths = [request.path for request in server.requests]
    assert paths == ["/v1/chat/completions", *["/other/chat"] * 3]
    assert all(body == server.bodies[0] for body in server.bodies)
    server.script([faults.redirect("/other/chat", 308)] * 9)
    assert error_of(make(server)).kind == "redirect"
    assert len(server.requests) == 8


def test_a_neighbour_of_a_failure_is_unharmed(server):
    def sometimes(body):
        text = body["messages"][-1]["content"]
        return faults.status(400) if text.startswith("bad") else f"re: {text}"

    server.answer = sometimes
    model = make(server)
    futures = [model.submit(f"{'bad' if i % 3 == 0 else 'good'} {i}") for i in range(30)]
    for i, future in enumerate(futures):
        if i % 3 == 0:
            assert type(future.exception(20)) is ServerRefused
        else:
            assert future.result(20) == f"re: good {i}"


# Forms


def form(body):
    """RETURNS: which rung of the ladder a body is of."""
    text = body["messages"][-1]["content"]
    told = body.get("response_format")
    if told is None:
        return "prompt" if SCHEMA_SENTENCE in text else "plain"
    if told["type"] == "json_schema":
        assert told["json_schema"] == {"name": "answer", "strict": True, "schema": SCHEMA}
        return "json_schema"
    if "schema" in told:
        assert told == {"type": "json_object", "schema": SCHEMA}
        return "json_object_schema"
    assert told == {"type": "json_object"}
    return "json_object" if SCHEMA_SENTENCE in text else "?"


def taking(*forms, refusal=400):
    """RETURNS: an answer function that takes some forms only."""
    return lambda body: "{}" if form(body) in forms else faults.status(refusal)


@pytest.mark.parametrize("lowest", range(4))
@pytest.mark.parametrize("refusal", [400, 404, 422, 501])
def test_auto_finds_the_highest_form_once(server, lowest, refusal):
    server.answer = taking(*MODES[lowest:], refusal=refusal)
    model = make(server)
    futures = [model.submit(Prompt(f"x{i}", json_schema=SCHEMA)) for i in range(20)]
    assert [future.result(20) for future in futures] == ["{}"] * 20
    # Each form was tried once, though twenty came at once.
    wanted = [*MODES[: lowest + 1], *[MODES[lowest]] * 19]
    assert [form(body) for body in server.bodies] == wanted
    assert model.usage.requests == 20


@pytest.mark.parametrize("mode", MODES)
def test_a_form_that_is_set_is_kept(server, mode):
    server.answer = taking("nothing")
    error = error_of(make(server, output_mode=mode), json_schema=SCHEMA)
    assert error.status == 400
    assert [form(body) for body in server.bodies] == [mode]


def test_a_prompt_without_schema_goes_out_plain(server):
    model = make(server)
    ask(model, "x")
    ask(model, "x", json_schema=SCHEMA)
    ask(model, "x")
    assert [form(body) for body in server.bodies] == ["plain", "json_schema", "plain"]


def test_the_schema_is_told_where_it_is_not_a_parameter(server):
    ask(make(server, output_mode="prompt"), "hello", json_schema=SCHEMA)
    said = server.bodies[0]["messages"][-1]["content"]
    assert said == f"hello{SCHEMA_SENTENCE}{json.dumps(SCHEMA)}"


def test_a_refusal_in_every_form_is_meant_for_the_request(server):
    server.answer = taking("nothing")
    model = make(server)
    error = error_of(model, json_schema=SCHEMA)
    assert (type(error), error.status) == (ServerRefused, 400)
    assert [form(body) for body in server.bodies] == list(MODES)
    # Nothing was learned from it.
    server.answer = taking("json_schema")
    assert ask(model, json_schema=SCHEMA) == "{}"
    assert form(server.bodies[-1]) == "json_schema"


def test_a_refusal_after_the_same_schema_was_taken_is_meant_for_the_request(server):
    model = make(server)
    ask(model, json_schema=SCHEMA)
    server.answer = taking("json_object")
    assert error_of(model, json_schema=SCHEMA).status == 400
    assert [form(body) for body in server.bodies] == ["json_schema"] * 2


def test_a_schema_that_is_too_large_leads_down(server):
    model = make(server)
    ask(model, json_schema=SCHEMA)
    seen = []

    def small_only(body):
        told = body.get("response_format", {})
        seen.append(told.get("type"))
        return faults.status(400) if "schema" in told or "json_schema" in told else "{}"

    server.answer = small_only
    large = {"type": "object", "properties": {"b": {"enum": list("abc")}}}
    assert ask(model, json_schema=large) == "{}"
    assert seen == ["json_schema", "json_object", "json_object"]
    # For good.
    assert ask(model, json_schema=SCHEMA) == "{}"
    assert form(server.bodies[-1]) == "json_object"


def test_too_long_a_prompt_is_not_the_form(server):
    for code in ("context_length_exceeded", "exceed_context_size_error"):
        for names in ({"code": code, "type": "x"}, {"code": 400, "type": code}):
            server.script([faults.status(400, names)])
            error = error_of(make(server), json_schema=SCHEMA)
            assert code in (error.code, error.type)
    assert [form(body) for body in server.bodies] == ["json_schema"] * 4


def test_a_wrong_key_is_not_the_form(server):
    server.script([faults.status(401)])
    assert error_of(make(server), json_schema=SCHEMA).status == 401
    assert len(server.requests) == 1


def test_a_500_that_passes_is_not_the_form(server):
    server.script([faults.status(500)])
    model = make(server)
    for _ in range(2):
        assert ask(model, json_schema=SCHEMA) == "re: hello"
    assert [form(body) for body in server.bodies] == ["json_schema"] * 3


def test_a_500_that_stays_leads_down(server):
    # As older llama-cpp-python answers.
    server.answer = taking("json_object_schema", "json_object", "prompt", refusal=500)
    model = make(server)
    for _ in range(2):
        assert ask(model, json_schema=SCHEMA) == "{}"
    wanted = ["json_schema"] * 2 + ["json_object_schema"] * 2
    assert [form(body) for body in server.bodies] == wanted


def test_a_500_in_every_form_is_tried_on(server):
    server.script([faults.status(500)] * 99)
    error = error_of(make(server, max_retries=4), json_schema=SCHEMA)
    assert (type(error), error.status) == (ServerFailed, 500)
    wanted = [MODES[0]] * 2 + list(MODES[1:]) + [MODES[0]] * 3
    assert [form(body) for body in server.bodies] == wanted


def test_a_500_after_the_form_was_taken_is_tried_on(server):
    model = make(server)
    ask(model, json_schema=SCHEMA)
    server.script([faults.status(500)] * 4)
    ask(model, json_schema=SCHEMA)
    assert [form(body) for body in server.bodies] == ["json_schema"] * 6


# Budget


def test_the_limit_on_requests_is_exact(server):
    server.delay = 0.01
    model = make(server, budget={"requests": 13})
    futures = [model.submit(f"x{i}") for i in range(40)]
    errors = [future.exception(20) for future in futures]
    assert sum(e is None for e in errors) == 13
    refused = [e for e in errors if e is not None]
    assert {type(e) for e in refused} == {BudgetReached}
    assert {str(e) for e in refused} == {Errors.N159.format(name="requests", limit=13)}
    assert len(server.requests) == 13
    assert model.usage.requests == 13
    model.reset_usage()
    assert ask(model) == "re: hello"


def test_tries_count_for_the_limit(server):
    server.script([faults.status(503)] * 2)
    model = make(server, budget={"requests": 2})
    assert type(error_of(model)) is BudgetReached
    assert len(server.requests) == 2


def test_tokens_and_cost_stop_the_run(server):
    # 18 tokens an answer.
    model = make(server, concurrency=1, budget={"tokens": 36})
    errors = [model.submit("x").exception(20) for _ in range(4)]
    assert [e is None for e in errors] == [True, True, False, False]
    assert "tokens = 36" in str(errors[2])
    # 11 + 2 x 7 = 25 millionths an answer.
    prices = {"prompt": 1.0, "completion": 2.0}
    model = make(server, prices=prices, budget={"cost": 26e-6})
    errors = [model.submit("x").exception(20) for _ in range(3)]
    assert [e is None for e in errors] == [True, True, False]
    assert "cost = 2.6e-05" in str(errors[2])


def test_what_is_in_flight_at_a_limit_is_delivered(server):
    server.delay = 0.05
    model = make(server, concurrency=4, budget={"tokens": 1})
    futures = [model.submit(f"x{i}") for i in range(9)]
    answered = [future.exception(20) is None for future in futures]
    assert answered == [True] * 4 + [False] * 5
    assert model.usage.completion_tokens == 4 * COMPLETION_TOKENS


def test_a_limit_that_the_server_does_not_let_us_keep_is_told(server, messages):
    server.answer = lambda body: faults.no_usage("x")
    model = make(server, budget={"tokens": 1})
    assert [ask(model) for _ in range(3)] == ["x"] * 3
    assert (
        messages().count(Warnings.W150.format(url=f"{server.base_url}/chat/completions"))
        == 1
    )
    assert model.usage == Usage(requests=3, unknown=3)


# Side by side


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_no_more_is_in_flight_than_set(concurrency):
    with FaultServer(delay=0.02) as server:
        model = make(server, concurrency=concurrency)
        for future in [model.submit(f"x{i}") for i in range(24)]:
            assert future.result(20) == "{}"
        assert server.most_in_flight == concurrency
        # Connections are used again.
        assert server.connections == concurrency


def test_cancelling_stops_the_request(server):
    server.script([faults.hang()])
    model = make(server, concurrency=1)
    stuck = model.submit("x")
    wait_for(server, 1)
    waiting = model.submit("y")
    assert stuck.cancel()
    # Its place is free again.
    assert waiting.result(5) == "re: y"
    with pytest.raises(CancelledError):
        stuck.result(1)


def test_spacy_llms_form_is_lazy_and_in_order(server):
    taken = []

    def prompts():
        for i in range(40):
            taken.append(i)
            yield [f"{i}a", f"{i}b"]

    answers = make(server, concurrency=4)(prompts())
    assert taken == []
    assert next(answers) == ["re: 0a", "re: 0b"]
    assert len(taken) == 2
    assert list(answers) == [[f"re: {i}a", f"re: {i}b"] for i in range(1, 40)]


def test_spacy_llms_form_ends_early_without_a_trace(server):
    server.answer = lambda body: (
        faults.hang() if body["messages"][0]["content"] != "0" else "x"
    )
    model = make(server, concurrency=3)
    answers = model([str(i)] for i in range(9))
    assert next(answers) == ["x"]
    answers.close()
    # Nothing holds the places of the hanging ones.
    server.answer = lambda body: "y"
    assert ask(model) == "y"


def test_the_stock_pipe_of_spacy_llm_takes_it(server):
    pytest.importorskip("spacy_llm")
    server.answer = lambda body: "PERSON: Ann"
    nlp = spacy.blank("en")
    model = {
        "@llm_models": "ner_components.OpenAICompatible.v1",
        "base_url": server.base_url,
        "model": "tiny",
    }
    task = {"@llm_tasks": "spacy.NER.v2", "labels": ["PERSON"]}
    nlp.add_pipe("llm", config={"task": task, "model": model})
    docs = list(nlp.pipe(["Ann left.", "We saw Ann."]))
    assert [[(e.text, e.label_) for e in doc.ents] for doc in docs] == [
        [("Ann", "PERSON")]
    ] * 2


def test_eight_threads_share_a_model(server):
    model = make(server, concurrency=8)

    def work(i):
        return [ask(model, f"{i} {j}") for j in range(5)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    assert found == [[f"re: {i} {j}" for j in range(5)] for i in range(8)]
    assert model.usage == Usage(40, 40 * PROMPT_TOKENS, 40 * COMPLETION_TOKENS)
    assert len([x for x in threading.enumerate() if x.name == "ner_llm"]) >= 1


def test_a_loop_that_runs_already_is_no_matter(server):
    model = make(server)

    async def cell():
        return ask(model)

    assert asyncio.run(cell()) == "re: hello"


def _ask_in_child(model, queue):
    queue.put((os.getpid(), ask(model, "child"), model.usage.requests))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_makes_its_own_connections(server, method):
    model = make(server)
    ask(model, "parent")
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_ask_in_child, args=(model, queue))
    process.start()
    pid, answer, requests = queue.get(timeout=60)
    process.join(10)
    assert process.exitcode == 0
    assert pid != os.getpid()
    assert answer == "re: child"
    # A forked child goes on counting, a pickled model begins.
    assert requests == (2 if method == "fork" else 1)
    # The parent's connection is as it was, unless it was idle for too long.
    assert ask(model, "parent") == "re: parent"
    assert server.connections == 2 or method == "spawn"
    assert model.usage.requests == 2


def test_a_model_that_is_waited_for_is_not_forgotten(server):
    server.delay = 0.05
    future = make(server).submit("hello")
    gc.collect()
    assert future.result(20) == "re: hello"


def test_a_model_that_is_forgotten_ends_its_thread(server):
    model = make(server)
    ask(model)
    thread = model._worker.thread
    del model
    thread.join(5)
    assert not thread.is_alive()


def test_a_closed_model_can_be_used_again(server):
    server.script([None, faults.hang()])
    model = make(server)
    ask(model)
    stuck = model.submit("x")
    wait_for(server, 2)
    model.close()
    with pytest.raises(CancelledError):
        stuck.result(5)
    assert ask(model) == "re: hello"


# Settings


def test_making_a_model_touches_neither_network_nor_disk(tmp_path):
    path = tmp_path / "folder" / "answers.sqlite"
    before = threading.active_count()
    model = build_openai_compatible(
        "http://nobody.invalid/v1", "m", "NO_SUCH_VARIABLE", cache=str(path)
    )
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="NO_SUCH_VARIABLE"):
        model.check()


def test_the_model_keeps_to_the_protocol():
    model: SubmittingModel = build_openai_compatible()
    assert model.concurrency == 8
    assert model.context_length is None
    assert build_openai_compatible(context_length=4096).context_length == 4096


def test_pickles_and_copies_hold_the_settings(server):
    model = make(server, concurrency=3, extra={"stop": ["x"]})
    ask(model)
    for other in (
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        copy.copy(model),
    ):
        assert type(other) is OpenAICompatible
        assert other.settings == model.settings
        assert other.usage == Usage()
        assert ask(other) == "re: hello"


def test_no_server_no_request():
    for settings, missing in (({}, "base_url and model"), ({"model": "m"}, "base_url")):
        model = build_openai_compatible(**settings)
        error = error_of(model)
        assert type(error) is ValueError
        assert str(error) == Errors.N152.format(missing=missing)
        with pytest.raises(
            ValueError, match="no default, because document text goes there"
        ):
            model.check()


BAD = [
    ({"concurrency": 0}, "concurrency = 0 is not valid. Use a whole number of at least 1."),
    ({"concurrency": 1.5}, "concurrency = 1.5"),
    ({"max_retries": -1}, "max_retries = -1"),
    ({"timeout": 0}, "timeout = 0 is not valid. Use a number above 0."),
    ({"timeout": float("inf")}, "timeout = inf"),
    ({"max_total_time": -1.0}, "max_total_time = -1.0"),
    ({"temperature": -0.1}, "temperature = -0.1"),
    ({"max_tokens": 0}, "max_tokens = 0"),
    ({"context_length": 0}, "context_length = 0"),
    (
        {"output_mode": "xml"},
        'output_mode = \'xml\' is not valid. Use "auto", "json_schema"',
    ),
    ({"cache_mode": "no"}, "cache_mode = 'no'"),
    ({"cache_mode": "read_only"}, "cache = None is not valid. Use the path of a file"),
    ({"cache_ttl": 0}, "cache_ttl = 0"),
    ({"cache_max_mb": 0}, "cache_max_mb = 0"),
    ({"prices": {"tokens": 1.0}}, "prices.tokens = 1.0"),
    ({"prices": {"prompt": -1.0}}, "prices.prompt = -1.0"),
    ({"budget": {"dollars": 1.0}}, "budget.dollars = 1.0"),
    (
        {"budget": {"cost": 1.0}},
        "prices = {} is not valid. Use prices beside a limit on cost",
    ),
    ({"extra": {"messages": []}}, "extra.messages"),
    ({"extra": {"model": "x"}}, "extra.model"),
    ({"extra": {"stream": True}}, "extra.stream"),
    ({"extra": {"api_key": KEY}}, "extra.api_key = '...' is not valid. Use api_key_env"),
    ({"extra": {"Authorization": KEY}}, "extra.Authorization"),
    ({"extra": {"extra_headers": {}}}, "extra.extra_headers"),
    ({"extra": {"x": float("nan")}}, "extra = '...'"),
    ({"api_key_env": KEY}, "api_key_env = '...' is not valid. Use the NAME"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_a_bad_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=r"^\[components\.\*\.model\] ") as caught:
        build_openai_compatible(**settings)
    assert message in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com/v1",
        "ftp://example.com",
        "http://",
        f"http://user:{KEY}@example.com/v1",
        f"http://example.com/v1?key={KEY}",
        "http://example.com:99999/v1",
        "http://exa mple.com/v1",
        "http://[::1/v1",
    ],
)
def test_a_bad_url_is_refused_and_not_repeated(url):
    with pytest.raises(
        ValueError, match="base_url of the model block is not valid"
    ) as caught:
        build_openai_compatible(base_url=url)
    for error in chain(caught.value):
        assert KEY not in str(error)


def test_a_url_with_a_slash_at_its_end_is_the_same(server):
    ask(make(server, base_url=server.base_url + "/"))
    assert server.requests[0].path == "/v1/chat/completions"


def test_httpx_missing_names_the_extra(server, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    model = make(server)
    for call in (model.check, lambda: ask(model)):
        with pytest.raises(ImportError, match=r'pip install "ner_components\[llm\]"'):
            call()


# Secrets


def test_the_key_is_read_at_each_request_and_kept_nowhere(server, monkeypatch):
    model = make(server, api_key_env=KEY_NAME)
    monkeypatch.setenv(KEY_NAME, KEY + "\n")
    ask(model)
    monkeypatch.setenv(KEY_NAME, "other")
    ask(model)
    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == [f"Bearer {KEY}", "Bearer other"]
    monkeypatch.delenv(KEY_NAME)
    error = error_of(model)
    assert str(error) == Errors.N153.format(name=KEY_NAME)
    assert type(error) is ValueError


def test_a_key_that_is_none_is_not_repeated(server, monkeypatch):
    for key in (f"{KEY}\r\nX: y", f"{KEY} {KEY}", f"{KEY}é"):
        monkeypatch.setenv(KEY_NAME, key)
        error = error_of(make(server, api_key_env=KEY_NAME))
        assert [str(x) for x in chain(error)] == [Errors.N154.format(name=KEY_NAME)]
    assert server.requests == []


def every_fault():
    yield from (item for item, *_ in PASSING.values())
    yield from (item for item, *_ in MISSING.values())
    yield from (faults.status(code) for code in (400, 401, 404, 429, 500, 503))
    # Servers that repeat what they were told.
    said = f"{KEY} {CANARY}"
    yield faults.status(401, {"message": said, "type": KEY, "code": KEY})
    yield faults.status(400, {"message": said, "type": said, "code": said})
    yield faults.string_error(400, said)
    yield faults.error_in_200({"message": said, "code": KEY, "type": KEY})
    yield faults.redirect(f"http://{KEY}.example/{CANARY}")
    yield faults.redirect(f"http://{KEY}:{KEY}@host.example/")
    yield Reply(418, said)
    yield Reply(200, said)


def test_neither_key_nor_text_is_told_to_anyone(server, monkeypatch, tmp_path, messages):
    monkeypatch.setenv(KEY_NAME, KEY)
    # What httpcore says of a server's headers when it is debugged is not ours.
    for name in ("httpcore", "httpx"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.INFO)
    path = tmp_path / "answers.sqlite"
    model = make(server, api_key_env=KEY_NAME, max_retries=1, cache=str(path))
    told = [repr(model), repr(Prompt(CANARY)), repr(pickle.dumps(model))]
    for schema in (None, SCHEMA):
        for i, item in enumerate(every_fault()):
            server.script([item] * 12)
            error = error_of(model, f"{CANARY} {i}", json_schema=schema)
            assert isinstance(error, LLMError)
            told += [f"{x!r} {x} {vars(x)}" for x in chain(error)]
            told.append(repr(pickle.dumps(error)))
    server.script([])
    assert ask(model, CANARY) == f"re: {CANARY[:8]}"
    model.close()
    files = list(tmp_path.iterdir())
    assert [x.name for x in files] == ["answers.sqlite"]
    # The answer itself is kept, and what was asked is not.
    told += [repr(x.read_bytes()) for x in files]
    told += [messages(), repr(ask(model, CANARY)), repr(pickle.dumps(model))]
    assert len(told) > 100
    for text in told:
        assert KEY not in text
        assert CANARY not in text
    assert all(x.headers["Authorization"] == f"Bearer {KEY}" for x in server.requests)


# Parts


def test_the_tree_of_errors():
    for kind in (ServerRefused, ServerFailed, AnswerMissing, CacheFailed):
        assert kind.__bases__ == (LLMError,)
        assert kind.__name__ in LLMError.__doc__
        error = pickle.loads(pickle.dumps(kind("m", status=400, code="c", usage=ONE)))
        assert (str(error), error.status, error.code, error.usage) == ("m", 400, "c", ONE)
    assert not issubclass(BudgetReached, LLMError)


def test_a_status_in_the_body_counts_where_http_says_200():
    body = json.dumps({"error": {"code": 503}}).encode()
    trouble = read_reply(200, body, httpx.Headers())
    assert trouble == Trouble("HTTP 503", ErrorNames(503), retry=True)
    assert read_reply(400, body, httpx.Headers()).names.status == 400
    # An error beside an answer is none.
    good = {**completion("x"), "error": None}
    assert read_reply(200, json.dumps(good).encode(), httpx.Headers()) == good


def test_the_time_of_a_call_begins_with_its_first_try():
    call = Call(2, 5.0)
    assert (call.left, call.remaining) == (3, 5.0)
    call.start()
    assert (call.left, call.tries) == (2, 1)
    assert 4.0 < call.remaining < 5.0


def test_answers_are_strings(server):
    answer = ask(make(server))
    assert isinstance(answer, Answer)
    assert repr(answer) == "Answer(9 characters)"
