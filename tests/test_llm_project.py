"""The project's workflow `llm`, run as a user runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from llm_faults import COMPLETION_TOKENS, PROMPT_TOKENS, FaultServer

ROOT = Path(__file__).resolve().parent.parent
STEPS = ("corpus", "llm-assemble", "llm-evaluate", "llm-package")


@pytest.fixture
def project(tmp_path):
    """A copy of the project with two documents in each split."""
    for name in ("scripts", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "project.yml", tmp_path)
    (tmp_path / "corpus").mkdir()
    for name in ("schema.json", "GUIDELINES.md"):
        shutil.copy(ROOT / "corpus" / name, tmp_path / "corpus")
    for name in ("train.txt", "dev.txt", "test.txt"):
        text = (ROOT / "corpus" / name).read_text(encoding="utf8")
        head = "\n\n".join(text.split("\n\n")[:2]) + "\n"
        (tmp_path / "corpus" / name).write_text(head, encoding="utf8")
    return tmp_path


def _run(project, name, *options, **env):
    result = subprocess.run(
        [sys.executable, "-m", "spacy", "project", "run", name, project, *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _read(path):
    return json.loads(path.read_text(encoding="utf8"))


def test_without_a_server_the_workflow_says_so_and_succeeds(project):
    said = _run(project, "llm")
    assert said.count("Skipped: no LLM server is given") == 6
    assert not (project / "training" / "llm").exists()
    assert list((project / "metrics").iterdir()) == []


def test_the_workflow_is_in_the_project_and_names_no_key():
    text = (ROOT / "project.yml").read_text(encoding="utf8")
    assert "\nenv:" not in text
    for step in STEPS:
        assert f"  - name: {step}\n" in text


def test_a_step_ends_as_its_command_does():
    command = [sys.executable, ROOT / "scripts" / "llm_step.py"]
    fail = ["python", "-c", "raise SystemExit(3)"]
    assert subprocess.run([*command, "", *fail], check=False).returncode == 0
    asked = subprocess.run([*command, "http://127.0.0.1/v1", *fail], check=False)
    assert asked.returncode == 3


# The gold entities of the documents that are kept: what a perfect model would find.
MARK = re.compile(r"\[\[([^\[\]]+)\|([A-Z_]+)\]\]")


PRICES = ("prompt 2.0", "completion 8.0")


def gazetteer(project):
    names = {}
    for name in ("dev.txt", "test.txt"):
        names.update(MARK.findall((project / "corpus" / name).read_text(encoding="utf8")))
    return names


def make_answer(names):
    def answer(body):
        text = body["messages"][-1]["content"].rsplit("<text>", 1)[1]
        items = [{"text": x, "label": y, "occurrence": 1} for x, y in names.items()]
        return json.dumps({"entities": [x for x in items if x["text"] in text]})

    return answer


REPLAY = """
import json, sys
import spacy
from spacy.tokens import DocBin

data, cache = sys.argv[1:]
settings = {"cache": cache, "cache_mode": "read_only"}
config = {f"components.ner.model.{key}": value for key, value in settings.items()}
nlp = spacy.load("en_ner_llm", config=config)
golds = list(DocBin().from_disk(data).get_docs(nlp.vocab))
docs = nlp.pipe(gold.text for gold in golds)
print(json.dumps([[[e.start_char, e.end_char, e.label_] for e in doc.ents] for doc in docs]))
print(nlp.get_pipe("ner").usage.requests)
"""


def test_with_a_server_it_is_assembled_scored_packaged_and_replayed(project):
    key = "sk-canary-5d03b7"
    variables = {
        "llm_model": "tiny",
        "llm_api_key_env": "NER_LLM_TEST_KEY",
    }
    # Not from the command line, where spaCy takes the dashes away.
    prices = "".join(f"--components.ner.model.prices.{x} " for x in PRICES)
    path = project / "project.yml"
    text = path.read_text(encoding="utf8")
    assert text.count('llm_options: ""') == 1
    path.write_text(text.replace('llm_options: ""', f'llm_options: "{prices}"'))
    options = [f"--vars.{k}={v}" for k, v in variables.items()]
    with FaultServer(answer=make_answer(gazetteer(project))) as server:
        options.append(f"--vars.llm_base_url={server.base_url}")
        said = _run(project, "llm", *options, NER_LLM_TEST_KEY=key)
        asked = len(server.requests)
        first = _read(project / "metrics" / "llm_test.json")
        # Again: everything is in the cache.
        command = [sys.executable, "scripts/llm_evaluate.py", "training/llm/model"]
        command += ["corpus/gold/test.spacy", "metrics/again.json"]
        command += ["--cache", "training/llm/answers.sqlite"]
        env = {**os.environ, "NER_LLM_TEST_KEY": key}
        subprocess.run(command, cwd=project, check=True, env=env)
        assert len(server.requests) == asked
    assert "Skipped" not in said
    again = _read(project / "metrics" / "again.json")
    assert again["scores"] == first["scores"]
    assert again["scores"]["ents_r"] > 0.5
    # A request for each document, at the prices above.
    assert first["usage"]["requests"] == 2
    cost = 2 * (PROMPT_TOKENS * 2.0 + COMPLETION_TOKENS * 8.0) / 1e6
    assert first["usage"]["cost"] == pytest.approx(cost)
    assert again["usage"]["requests"] == again["usage"]["cost"] == 0
    # The wheel holds what it needs, and no key is anywhere.
    (wheel,) = (project / "packages").glob("en_ner_llm-*/dist/*.whl")
    site = project / "site"
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run([sys.executable, *command], check=True)
    for path in project.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path
    meta = _read(site / "en_ner_llm" / "meta.json")
    assert any(x.startswith("ner_components[llm]>=") for x in meta["requirements"])
    (path,) = site.glob("en_ner_llm/en_ner_llm-*/ner/state.json")
    state = _read(path)
    guidelines = (project / "corpus" / "GUIDELINES.md").read_text(encoding="utf8")
    assert [x["name"] for x in state["schema"]["labels"]][:2] == ["PERSON", "ORG"]
    assert state["task"]["guidelines"] == guidelines
    assert "{% block user %}" in state["task"]["template"]
    assert len(state["task"]["examples"]) == 2
    # Elsewhere, without the project's files, without a server and without the key.
    (moved := project / "elsewhere").mkdir()
    for path in ("training/llm/answers.sqlite", "corpus/gold/test.spacy"):
        shutil.copy(project / path, moved)
    for path in ("training", "corpus", "configs", "scripts"):
        shutil.rmtree(project / path)
    command = [sys.executable, "-c", REPLAY, "test.spacy", "answers.sqlite"]
    env = {k: v for k, v in os.environ.items() if k != "NER_LLM_TEST_KEY"}
    replayed = subprocess.run(
        command,
        cwd=moved,
        capture_output=True,
        text=True,
        check=False,
        env={**env, "PYTHONPATH": str(site)},
    )
    assert replayed.returncode == 0, replayed.stderr
    entities, requests = replayed.stdout.splitlines()
    assert requests == "0"
    assert sum(map(len, json.loads(entities))) == again["stats"]["entities"] > 0
