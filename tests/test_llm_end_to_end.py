"""`ner_llm` over streams of hundreds of documents: order, an interrupted run, and keys."""

import json
import logging
import pickle
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
import traceback

import pytest
import spacy
from llm_faults import FaultServer, Reply, redirect, refusal, status, string_error
from spacy.tokens import DocBin

KEY_NAME, KEY = "NER_LLM_TEST_KEY", "sk-canary-0f9c71d2b6"
NAME = re.compile(r"Bob\d{4} Stone")
# Run in a process of its own, which is killed.
STREAM = """
import sys
import spacy

base_url, cache, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
nlp = spacy.blank("en")
model = {
    "@llm_models": "ner_components.OpenAICompatible.v1",
    "base_url": base_url,
    "model": "tiny",
    "cache": cache,
}
nlp.add_pipe("ner_llm", name="ner", config={"labels": ["PERSON"], "model": model})
for doc in nlp.pipe(f"On Monday Bob{i:04d} Stone left." for i in range(count)):
    print(len(doc.ents), flush=True)
"""


def answer(body):
    """RETURNS: the answer of a model that knows our names."""
    text = body["messages"][-1]["content"]
    items = [{"text": x, "label": "PERSON", "occurrence": 1} for x in NAME.findall(text)]
    return json.dumps({"entities": items})


def make_texts(count):
    return [f"On Monday Bob{i:04d} Stone left." for i in range(count)]


def make_nlp(server, **settings):
    nlp = spacy.blank("en")
    model = {
        "@llm_models": "ner_components.OpenAICompatible.v1",
        "base_url": server.base_url,
        "model": "tiny",
        **settings,
    }
    nlp.add_pipe("ner_llm", name="ner", config={"labels": ["PERSON"], "model": model})
    return nlp


def found(docs):
    return [[(e.text, e.label_) for e in doc.ents] for doc in docs]


def wanted(count):
    return [[(f"Bob{i:04d} Stone", "PERSON")] for i in range(count)]


def test_640_documents_come_out_in_order(tmp_path):
    rng = random.Random(0)

    def slowly(body):
        # Answers overtake each other.
        time.sleep(rng.choice([0.0, 0.0, 0.01, 0.05]))
        return answer(body)

    texts = make_texts(640)
    with FaultServer(answer=slowly) as server:
        nlp = make_nlp(server, concurrency=32)
        docs = list(nlp.pipe(texts))
        assert len(server.requests) == 640
        assert 8 < server.most_in_flight <= 32
    assert [doc.text for doc in docs] == texts
    assert found(docs) == wanted(640)
    assert nlp.get_pipe("ner").usage.requests == 640


def _answers_in(cache):
    with sqlite3.connect(cache) as db:
        return db.execute("SELECT count(*) FROM answers").fetchone()[0]


def test_a_killed_run_asks_only_for_what_is_missing(tmp_path):
    cache, count = tmp_path / "answers.sqlite", 500
    with FaultServer(answer=answer, delay=0.02) as server:
        command = [sys.executable, "-c", STREAM, server.base_url, cache, count]
        process = subprocess.Popen([str(x) for x in command], stdout=subprocess.PIPE)
        # After 150 documents it is killed, in the middle of requests.
        for _ in range(150):
            assert process.stdout.readline() == b"1\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        asked, kept = len(server.requests), _answers_in(cache)
        # What came out had been kept; what was asked and not kept was in flight.
        assert 150 <= kept <= asked <= kept + 8
        nlp = make_nlp(server, cache=str(cache))
        docs = list(nlp.pipe(make_texts(count)))
        assert len(server.requests) == asked + count - kept
        assert nlp.get_pipe("ner").usage.requests == count - kept
        assert found(docs) == wanted(count)
        # A third run asks for nothing.
        again = make_nlp(server, cache=str(cache))
        assert found(again.pipe(make_texts(count))) == wanted(count)
        assert len(server.requests) == asked + count - kept


def _told(error):
    """RETURNS: everything that an error says, with those it came from."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


def _logged(caplog):
    """RETURNS: what was logged, by anyone but httpcore, whose level DEBUG is a trace of
    what goes over the wire: replies' headers, and so whatever a server puts there."""
    records = [x for x in caplog.records if not x.name.startswith("httpcore")]
    return [f"{x.getMessage()} {x.exc_text or ''}" for x in records]


def _echoes():
    """RETURNS: replies of a server that repeats the key wherever it can."""
    error = {"message": f"bad key {KEY}", "type": KEY, "code": KEY, "param": KEY}
    return {
        "refused": status(401, error),
        "failed": string_error(500, f"Bearer {KEY}"),
        "redirected": redirect(f"https://{KEY}.example.com/?key={KEY}"),
        "no answer": refusal(KEY),
        "no JSON": Reply(body=KEY),
        "in a header": status(400, error, headers={"X-Key": KEY}),
    }


def test_the_key_is_sent_and_found_nowhere(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(KEY_NAME, KEY)
    cache = str(tmp_path / "answers.sqlite")
    errors = []
    with FaultServer(answer=answer) as server:
        settings = {"api_key_env": KEY_NAME, "cache": cache, "max_retries": 0}
        nlp = make_nlp(server, **settings)
        docs = list(nlp.pipe(make_texts(20)))
        assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
        for name, reply in _echoes().items():
            server.script([reply] * 10)
            with pytest.raises(Exception, match=r".") as caught:
                nlp(f"Nobody was {name}.")
            errors.append(caught.value)
    with pytest.raises(Exception, match=r".") as caught:
        nlp("Nobody is there.")
    errors.append(caught.value)
    nlp.to_disk(tmp_path / "pipeline")
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "docs.spacy")
    (tmp_path / "bytes").write_bytes(nlp.to_bytes())
    (tmp_path / "pickle").write_bytes(pickle.dumps(nlp.get_pipe("ner").model))
    said = [*_logged(caplog), repr(nlp.get_pipe("ner").model), *map(_told, errors)]
    (tmp_path / "said").write_text("\n".join(said), encoding="utf8")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
    # Each of them failed in its own way.
    kinds = [(type(x).__name__, x.status, x.kind) for x in errors]
    assert len(set(kinds)) >= 5
