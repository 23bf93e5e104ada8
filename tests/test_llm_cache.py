"""The cache of answers: nothing is asked twice, by anyone, and nobody else can read it."""

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import llm_faults as faults
import pytest
from llm_faults import FaultServer
from spacy.cli._util import app
from typer.testing import CliRunner

import ner_components.cli  # noqa: F401, adds the commands
from ner_components.errors import Errors, Warnings
from ner_components.llm import cache as cache_module
from ner_components.llm import exchange
from ner_components.llm.cache import AnswerCache, clear, read_stats
from ner_components.llm.client import build_openai_compatible
from ner_components.llm.failures import AnswerMissing, CacheFailed
from ner_components.llm.ladder import MODES
from ner_components.llm.protocol import BudgetReached, Prompt, Usage

SCHEMA = {"type": "object"}
CANARY = "Zqxwvbanana"
KEYS = [bytes([i]) * 32 for i in range(200)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(exchange, "BACKOFF", 0.001)


@pytest.fixture
def server():
    with FaultServer(answer=lambda body: f"re: {body['messages'][-1]['content'][:8]}") as x:
        yield x


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "answers.sqlite"


def make(server, path, **settings):
    settings = {"base_url": server.base_url, "model": "tiny", **settings}
    return build_openai_compatible(cache=str(path), **settings)


def ask(model, text="hello", **more):
    return model.submit(Prompt(text, **more)).result(timeout=20)


def ask_all(model, count, **more):
    futures = [model.submit(Prompt(f"x{i}", **more)) for i in range(count)]
    return [future.result(20) for future in futures]


@pytest.fixture
def clock(monkeypatch):
    """A time that stands still until it is set."""

    class Clock:
        now = 1_000_000.0
        monotonic = staticmethod(time.monotonic)

        def time(self):
            self.now += 1
            return self.now

    clock = Clock()
    monkeypatch.setattr(cache_module, "time", clock)
    return clock


# With a model


def test_a_second_run_asks_nothing(server, path):
    first = ask_all(make(server, path), 20)
    assert len(server.requests) == 20
    model = make(server, path)
    second = ask_all(model, 20)
    assert second == first == [f"re: x{i}" for i in range(20)]
    assert len(server.requests) == 20
    assert model.usage == Usage()
    assert [(x.finish_reason, x.usage) for x in second] == [("stop", Usage())] * 20


def test_an_answer_comes_back_whole(server, path):
    body = faults.completion('{"\ud800é', finish_reason="length")
    body["choices"][0]["logprobs"] = {
        "content": [{"token": '{"', "logprob": -0.1}, {"token": "\ud800é", "logprob": -2}]
    }
    server.script([faults.reply(body)])
    first = ask(make(server, path, logprobs=True))
    second = ask(make(server, path, logprobs=True))
    assert first == second == '{"\ud800é'
    assert first.finish_reason == second.finish_reason == "length"
    assert first.logprobs == second.logprobs == [('{"', -0.1), ("\ud800é", -2.0)]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"model": "other"},
        {"temperature": 0.5},
        {"seed": 1},
        {"max_tokens": 9},
        {"logprobs": True},
        {"extra": {"top_p": 0.5}},
        {"base_url": "http://localhost:{port}/v1"},
    ],
)
def test_another_request_is_asked(server, path, other):
    ask(make(server, path))
    port = server.base_url.split(":")[2].removesuffix("/v1")
    other = {k: v.format(port=port) if k == "base_url" else v for k, v in other.items()}
    ask(make(server, path, **other))
    assert len(server.requests) == 2


def test_another_prompt_is_asked(server, path):
    model = make(server, path)
    for more in ({}, {"system": "x"}, {"json_schema": SCHEMA}, {"json_schema": {}}):
        ask(model, **more)
        ask(model, **more)
    ask(model, "hello ")
    assert len(server.requests) == 5


def test_what_does_not_change_the_request_does_not_change_the_key(
    server, path, monkeypatch
):
    monkeypatch.setenv("SOME_KEY", "sk-1")
    ask(make(server, path))
    settings = {
        "concurrency": 1,
        "timeout": 3.0,
        "max_retries": 0,
        "budget": {"requests": 0},
    }
    slash = {"base_url": server.base_url + "/", "api_key_env": "SOME_KEY"}
    ask(make(server, path, **settings, **slash))
    assert len(server.requests) == 1


def test_failures_are_not_kept(server, path):
    items = [
        faults.status(400),
        faults.null_content(),
        faults.refusal(),
        faults.no_choices(),
    ]
    server.script(items)
    model = make(server, path)
    for _ in items:
        assert model.submit("hello").exception(20) is not None
    assert ask(model) == "re: hello"
    model.close()
    assert read_stats(path).answers == 1


def test_refresh_asks_again_and_keeps(server, path):
    ask(make(server, path))
    server.answer = lambda body: "new"
    assert ask(make(server, path)) == "re: hello"
    assert ask(make(server, path, cache_mode="refresh")) == "new"
    assert ask(make(server, path)) == "new"
    assert len(server.requests) == 2
    assert read_stats(path).answers == 1


def test_a_budget_that_is_used_up_still_serves_what_is_kept(server, path):
    ask_all(make(server, path), 3)
    model = make(server, path, budget={"requests": 2})
    futures = [model.submit(f"x{i}") for i in range(10)]
    errors = [future.exception(20) for future in futures]
    assert [e is None for e in errors].count(True) == 5
    assert all(e is None for e in errors[:3])
    assert {type(e) for e in errors if e} == {BudgetReached}
    assert len(server.requests) == 5
    # What was paid for is kept.
    assert ask(model, "x0") == "re: x0"
    model.close()
    assert read_stats(path).answers == 5


@pytest.mark.parametrize("lowest", range(4))
def test_a_replay_finds_answers_in_whatever_form_they_were_asked(path, lowest):
    def answer(body):
        told = body.get("response_format", {})
        forms = ["json_schema" in told, "schema" in told, bool(told), True]
        return "{}" if forms.index(True) >= lowest else faults.status(400)

    with FaultServer(answer=answer) as server:
        assert ask_all(make(server, path), 5, json_schema=SCHEMA) == ["{}"] * 5
        asked = len(server.requests)
        assert asked == lowest + 5
        # What was found out is known to the next run too.
        model = make(server, path)
        assert ask_all(model, 6, json_schema=SCHEMA) == ["{}"] * 6
        assert len(server.requests) == asked + 1
        assert model._link.ladder.mode == MODES[lowest]
    # The server is gone.
    model = make(server, path, cache_mode="read_only")
    assert ask_all(model, 6, json_schema=SCHEMA) == ["{}"] * 6


# Read only


def test_read_only_says_what_is_missing_and_asks_nobody(server, path):
    ask(make(server, path))
    model = make(server, path, cache_mode="read_only", api_key_env="NO_SUCH_VARIABLE")
    model.check()
    assert ask(model) == "re: hello"
    error = model.submit(CANARY).exception(20)
    assert type(error) is AnswerMissing
    assert error.kind == "not_cached"
    assert str(error) == Errors.N164.format(path=path)
    assert len(server.requests) == 1


def test_read_only_makes_no_file(server, path):
    error = make(server, path, cache_mode="read_only").submit("x").exception(20)
    assert type(error) is CacheFailed
    assert str(error) == Errors.N162.format(path=path, problem="SQLITE_CANTOPEN")
    assert not path.parent.exists()


def test_read_only_leaves_file_and_folder_alone(server, path):
    writer = make(server, path)
    ask(writer)
    writer.close()
    before = path.read_bytes(), path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns
    reader = make(server, path, cache_mode="read_only")
    assert ask(reader) == "re: hello"
    assert list(path.parent.iterdir()) == [path]
    reader.close()
    after = path.read_bytes(), path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns
    assert before == after


def test_read_only_sees_what_a_writer_has_not_merged(server, path):
    writer = make(server, path)
    ask(writer)
    assert Path(f"{path}-wal").stat().st_size > 0
    assert ask(make(server, path, cache_mode="read_only")) == "re: hello"
    writer.close()


def _replay_as_nobody(path, base_url, queue):
    if os.getuid() == 0:
        # For the superuser, everything can be written.
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    writable = os.access(path, os.W_OK) or os.access(path.parent, os.W_OK)
    settings = {"cache": str(path), "cache_mode": "read_only"}
    model = build_openai_compatible(base_url, "tiny", **settings)
    queue.put((writable, str(model.submit("hello").result(20))))


def test_read_only_works_where_nothing_can_be_written(server):
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "answers.sqlite"
        model = make(server, path)
        ask(model)
        model.close()
        path.chmod(0o444)
        folder.chmod(0o555)
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        args = (path, server.base_url, queue)
        process = context.Process(target=_replay_as_nobody, args=args)
        process.start()
        assert queue.get(timeout=30) == (False, "re: hello")
        process.join(10)
        assert process.exitcode == 0
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


# The file


def test_the_file_is_the_owners_alone(path):
    old = os.umask(0)
    try:
        cache = AnswerCache(path)
        cache.put(KEYS[0], "m", {"content": "x"})
        modes = {x.name: stat.S_IMODE(x.stat().st_mode) for x in path.parent.iterdir()}
    finally:
        os.umask(old)
    ends = ("", "-shm", "-wal")
    assert modes == {f"answers.sqlite{end}": 0o600 for end in ends}
    cache.close()
    assert list(path.parent.iterdir()) == [path]


def test_an_answer_gets_too_old(path, clock):
    cache = AnswerCache(path, ttl=2)
    cache.put(KEYS[0], "m", {"content": "x"})
    clock.now += 2 * 86400 - 10
    assert cache.get(KEYS[:1]) == (0, {"content": "x"})
    clock.now += 20
    assert cache.get(KEYS[:1]) is None
    assert AnswerCache(path).get(KEYS[:1]) == (0, {"content": "x"})
    # Asked again, it is young again.
    cache.put(KEYS[0], "m", {"content": "y"})
    assert cache.get(KEYS[:1]) == (0, {"content": "y"})


def test_the_first_key_counts(path):
    cache = AnswerCache(path)
    cache.put(KEYS[2], "m", {"content": "2"})
    assert cache.get(KEYS[:4]) == (2, {"content": "2"})
    cache.put(KEYS[1], "m", {"content": "1"})
    assert cache.get(KEYS[:4]) == (1, {"content": "1"})


def test_what_was_not_used_for_longest_goes(path, clock):
    cache = AnswerCache(path, max_mb=1)
    for i in range(60):
        cache.put(KEYS[i], "m", {"content": "x" * 20_000})
        # The first one is asked for again and again.
        assert cache.get(KEYS[:1]) is not None
        assert path.stat().st_size <= 1.1 * 2**20
    kept = [i for i in range(60) if cache.get([KEYS[i]])]
    assert 10 < len(kept) < 55
    assert kept == [0, *range(60 - len(kept) + 1, 60)]


def test_more_than_the_limit_at_once_is_not_kept(path):
    cache = AnswerCache(path, max_mb=0.1)
    cache.put(KEYS[0], "m", {"content": "x" * 200_000})
    assert cache.get(KEYS[:1]) is None
    cache.put(KEYS[1], "m", {"content": "x"})
    assert cache.get(KEYS[1:2]) is not None


DAMAGES = {
    "text": b"this is no database, but text that is long enough to be one" * 100,
    "another database": None,
    "cut": 3000,
    "answer": "UPDATE answers SET answer = '{broken'",
    "kind": "UPDATE answers SET answer = '[]'",
    "content": "UPDATE answers SET answer = '{\"content\": 7}'",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
@pytest.mark.parametrize("mode", ["use", "read_only"])
def test_a_damaged_file_is_named_before_anything_is_paid(server, path, damage, mode):
    model = make(server, path)
    ask(model)
    model.close()
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    elif isinstance(damage, int):
        path.write_bytes(path.read_bytes()[:damage])
    else:
        if damage is None:
            path.unlink()
        with sqlite3.connect(path) as db:
            db.execute(damage or "CREATE TABLE mine (x)")
        db.close()
    before = path.read_bytes()
    error = make(server, path, cache_mode=mode).submit("hello").exception(20)
    assert type(error) is CacheFailed
    assert (str(error), error.kind) == (Errors.N161.format(path=path), "damaged")
    assert error.__cause__ is None
    assert error.__context__ is None
    assert len(server.requests) == 1
    if not isinstance(damage, str):
        assert path.read_bytes() == before


def test_a_file_of_a_later_version_is_left_alone(path):
    AnswerCache(path).put(KEYS[0], "m", {"content": "x"})
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(CacheFailed, match="its format isn't 1, which this version reads"):
        AnswerCache(path).get(KEYS[:1])


def test_a_path_that_cannot_be_used(server, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    error = make(server, folder).submit("x").exception(20)
    assert type(error) is CacheFailed
    assert str(error) == Errors.N162.format(path=folder, problem="SQLITE_CANTOPEN")
    file = tmp_path / "file"
    file.write_text("x", encoding="utf8")
    error = make(server, file / "answers.sqlite").submit("x").exception(20)
    assert "can't be used: " in str(error)
    assert server.requests == []


def test_an_answer_that_cannot_be_kept_is_given_out(server, path, monkeypatch, messages):
    def fail(*args):
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(AnswerCache, "_put", fail)
    assert ask(make(server, path)) == "re: hello"
    assert Warnings.W151.format(path=path) in messages()


# Many at once


def test_threads_share_a_cache(path):
    cache = AnswerCache(path)

    def work(i):
        for j in range(20):
            cache.put(KEYS[i * 20 + j], "m", {"content": f"{i} {j}"})
            assert cache.get([KEYS[i * 20 + j]]) == (0, {"content": f"{i} {j}"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert [cache.get([KEYS[k]])[1]["content"] for k in range(160)] == [
        f"{k // 20} {k % 20}" for k in range(160)
    ]


def _fill(path, barrier, own, shared):
    cache = AnswerCache(path)
    barrier.wait(30)
    for key in own:
        cache.put(key, "m", {"content": key.hex()})
    for key in shared:
        cache.put(key, "m", {"content": "shared"})
        assert cache.get([key]) is not None


def test_processes_share_a_cache_and_may_make_it_at_once(path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    parts = [KEYS[:50], KEYS[50:100], KEYS[100:150]]
    args = [(path, barrier, own, KEYS[150:]) for own in parts]
    processes = [context.Process(target=_fill, args=x) for x in args]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    cache = AnswerCache(path)
    for key in KEYS[:150]:
        assert cache.get([key]) == (0, {"content": key.hex()})
    assert read_stats(path).answers == 200


RUN = """
import sys
import time
from ner_components.llm.client import build_openai_compatible
model = build_openai_compatible(sys.argv[1], "tiny", cache=sys.argv[2])
for (answer,) in model([f"x{i}"] for i in range(100)):
    print(answer, flush=True)
"""


def test_a_killed_run_goes_on_where_it_was(server, path):
    server.delay = 0.005
    command = [sys.executable, "-c", RUN, server.base_url, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for i in range(30):
        assert process.stdout.readline() == f"re: x{i}\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    asked, kept = len(server.requests), read_stats(path).answers
    # What came out had been kept; no more than the requests in flight are lost.
    assert 30 <= kept <= asked <= kept + 8
    assert ask_all(make(server, path), 100) == [f"re: x{i}" for i in range(100)]
    assert len(server.requests) == asked + 100 - kept
    assert read_stats(path).answers == 100


# The command


@pytest.fixture
def run():
    return lambda *args: CliRunner().invoke(app, ["ner", "cache", *map(str, args)])


def test_show_counts_and_tells_no_text(server, path, run):
    server.answer = lambda body: json.dumps({"text": CANARY})
    ask_all(make(server, path), 3)
    ask(make(server, path, model="other"))
    done = run("show", path)
    assert done.exit_code == 0
    rows = [line.split() for line in done.output.splitlines() if line.strip()]
    assert ["answers", "4"] in rows
    assert ["answers", "of", "tiny", "3"] in rows
    assert ["answers", "of", "other", "1"] in rows
    assert [row[0] for row in rows[:4]] == ["answers", "size", "oldest", "newest"]
    assert CANARY not in done.output


def test_show_of_an_empty_cache(path, run):
    AnswerCache(path).get(KEYS[:1])
    done = run("show", path)
    assert done.exit_code == 0
    assert ["oldest", "-"] in [line.split() for line in done.output.splitlines()]


def test_clear_leaves_no_answer_and_no_trace(server, path, run):
    server.answer = lambda body: CANARY
    model = make(server, path)
    ask_all(model, 3)
    files = [x.read_bytes() for x in path.parent.iterdir()]
    assert any(CANARY.encode() in x for x in files)
    done = run("clear", path)
    assert done.exit_code == 0
    assert "Deleted 3 answers" in done.output
    for file in path.parent.iterdir():
        assert CANARY.encode() not in file.read_bytes()
    # The model that has it open goes on.
    ask(model, "x0")
    assert len(server.requests) == 4
    model.close()
    assert read_stats(path).answers == 1


@pytest.mark.parametrize("command", ["show", "clear"])
def test_commands_say_what_is_wrong(path, run, command):
    done = run(command, path)
    assert done.exit_code == 1
    assert "no such file" in done.output
    assert not path.exists()
    path.parent.mkdir()
    path.write_bytes(b"text" * 1000)
    done = run(command, path)
    assert done.exit_code == 1
    assert "is damaged, or no cache of LLM answers" in " ".join(done.output.split())
    assert path.read_bytes() == b"text" * 1000


def test_stats_and_clear(path, clock):
    cache = AnswerCache(path)
    for i in range(3):
        cache.put(KEYS[i], f"m{i % 2}", {"content": "x"})
    cache.close()
    stats = read_stats(path)
    assert stats.answers == 3
    assert stats.models == {"m0": 2, "m1": 1}
    assert stats.size == path.stat().st_size
    assert (stats.oldest, stats.newest) == (1_000_001.0, 1_000_003.0)
    assert clear(path) == 3
    assert read_stats(path)._replace(size=0) == (0, 0, None, None, {})
