"""Every shipped config is complete and valid for spaCy's own commands."""

import subprocess
import sys
from pathlib import Path

import pytest
from spacy.cli.debug_config import debug_config
from spacy.cli.init_config import fill_config
from spacy.util import load_config

CONFIGS = sorted((Path(__file__).resolve().parent.parent / "configs").glob("*.cfg"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_debug_config_and_fill_config_are_clean(path, tmp_path):
    overrides = {"paths.train": "train.spacy", "paths.dev": "dev.spacy"}
    debug_config(path, overrides=overrides)
    before, after = fill_config(tmp_path / "filled.cfg", path, silent=True)
    # What a training run reads is all there: filling adds optional defaults only.
    for section in ("components", "training", "corpora", "initialize"):
        assert set(after[section]) - set(before[section]) <= {"score_weights"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_last_step_is_evaluated(path):
    training = load_config(path)["training"]
    assert training["max_epochs"] == 0
    assert training["max_steps"] % training["eval_frequency"] == 0


def test_all_configs_are_named_in_the_project():
    names = {path.stem for path in CONFIGS}
    names_wanted = {"embedded", "encoder", "listener", "cnn", "baseline"}
    assert names == names_wanted | {"gliner", "gliner_train", "llm"}


def test_the_project_file_is_valid():
    root = CONFIGS[0].parent.parent
    result = subprocess.run(
        [sys.executable, "-m", "spacy", "project", "run", "all", "--dry"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for step in ("corpus", "train", "evaluate", "package", "visualize"):
        assert f" {step} " in result.stdout


def test_the_gliner_workflow_goes_from_corpus_to_wheel():
    root = CONFIGS[0].parent.parent
    result = subprocess.run(
        [sys.executable, "-m", "spacy", "project", "run", "gliner", "--dry"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    steps = ["corpus", "train", "calibrate", "evaluate", "test-schema", "package"]
    names = [x if x == "corpus" else f"{x}-gliner" for x in steps]
    places = [result.stdout.index(f" {name} ") for name in names]
    assert places == sorted(places)
    # Every step reads what the one before it wrote.
    assert result.stdout.count("training/gold_gliner/calibrated") >= 5
    assert "--training.max_steps 1500 --training.eval_frequency 250" in result.stdout
