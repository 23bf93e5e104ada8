"""A packaged pipeline is its source: installed elsewhere, it finds the same entities."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import spacy
from conftest import CNN, SENTENCES
from spacy.tokens import DocBin

from ner_components.colors import COLORS
from ner_components.gliner.calibration import Scale

ROOT = Path(__file__).resolve().parent.parent
TEXT = "Ann Lee met Bob Stone in Paris. The Bank of England hired John Smith."
PREDICT = """
import json, sys, spacy
doc = spacy.load("en_tiny_ner")(sys.argv[1])
print(json.dumps([[e.start_char, e.end_char, e.label_, e._.ner_score] for e in doc.ents]))
"""
PREDICT_ALL = """
import json, sys, spacy
nlp = spacy.load("{name}")
rows = [
    [[e.start_char, e.end_char, e.label_, e._.ner_score] for e in doc.ents]
    for doc in nlp.pipe(sys.argv[1:])
]
print(json.dumps(rows))
"""


def _run(*command, **kwargs):
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        **kwargs,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_wheel_predicts_what_its_source_predicts(trained_transformer, tmp_path):
    data = tmp_path / "train.jsonl"
    data.write_text("{}\n")
    meta = tmp_path / "meta.json"
    _run(
        ROOT / "scripts" / "make_meta.py",
        trained_transformer,
        meta,
        *("--name", "tiny_ner", "--version", "1.2.3", "--license", "Apache-2.0"),
        *("--data", data, "--data-license", "CC BY 4.0", "--data-name", "tiny"),
    )
    (tmp_path / "packages").mkdir()
    _run(
        *("-m", "spacy", "package", trained_transformer, tmp_path / "packages"),
        *("--meta-path", meta, "--build", "wheel"),
    )
    (wheel,) = tmp_path.glob("packages/en_tiny_ner-1.2.3/dist/*.whl")
    site = tmp_path / "site"
    _run("-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel)
    env = {**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    found = json.loads(_run("-c", PREDICT, TEXT, cwd=tmp_path, env=env))
    doc = spacy.load(trained_transformer)(TEXT)
    assert len(doc.ents) > 0
    assert [x[:3] for x in found] == [
        [e.start_char, e.end_char, e.label_] for e in doc.ents
    ]
    for (*_, score), ent in zip(found, doc.ents, strict=True):
        assert abs(score - ent._.ner_score) < 1e-5
    packaged = json.loads((site / "en_tiny_ner" / "meta.json").read_text(encoding="utf8"))
    assert any(x.startswith("ner_components[encoder]>=") for x in packaged["requirements"])
    base, tiny = packaged["sources"]
    assert base["name"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert base["license"] == "apache-2.0"
    assert base["sha256"].startswith("53aa51172d142c89d9012cce15ae4d6c")
    assert tiny["license"] == "CC BY 4.0"
    assert len(tiny["sha256"]) == 64
    assert str(tmp_path) not in (site / "en_tiny_ner" / "meta.json").read_text(
        encoding="utf8"
    )


def test_a_gliner_wheel_needs_neither_network_nor_training_folder(trained_gliner, tmp_path):
    """As the project's `package-gliner` makes it, scores calibrated."""
    nlp = spacy.load(trained_gliner)
    nlp.get_pipe("ner").scale = Scale(2.0, 0.25)
    nlp.to_disk(tmp_path / "source")
    texts = [text for text, _ in SENTENCES]
    wanted = [
        [[e.start_char, e.end_char, e.label_, e._.ner_score] for e in doc.ents]
        for doc in nlp.pipe(texts)
    ]
    data = tmp_path / "train.jsonl"
    data.write_text("{}\n")
    _run(
        *(ROOT / "scripts" / "make_meta.py", tmp_path / "source", tmp_path / "meta.json"),
        *("--name", "tiny_gliner", "--version", "1.2.3", "--license", "Apache-2.0"),
        *("--data", data, "--data-license", "CC BY 4.0", "--data-name", "tiny"),
    )
    (tmp_path / "packages").mkdir()
    _run(
        *("-m", "spacy", "package", tmp_path / "source", tmp_path / "packages"),
        *("--meta-path", tmp_path / "meta.json", "--build", "wheel"),
    )
    (wheel,) = tmp_path.glob("packages/*/dist/*.whl")
    site = tmp_path / "site"
    _run("-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel)
    shutil.rmtree(tmp_path / "source")
    shutil.rmtree(tmp_path / "packages")
    (tmp_path / "home").mkdir()
    env = {**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    env |= {"HF_HOME": str(tmp_path / "home"), "HOME": str(tmp_path / "home")}
    code = PREDICT_ALL.format(name="en_tiny_gliner")
    found = json.loads(_run("-c", code, *texts, cwd=tmp_path, env=env))
    assert sum(map(len, wanted)) == 11
    assert [[x[:3] for x in row] for row in found] == [[x[:3] for x in r] for r in wanted]
    for row, expected in zip(found, wanted, strict=True):
        for x, y in zip(row, expected, strict=True):
            assert abs(x[3] - y[3]) < 1e-5
    packaged = json.loads((site / "en_tiny_gliner" / "meta.json").read_text("utf8"))
    assert any(x.startswith("ner_components[gliner]>=") for x in packaged["requirements"])
    base, tiny = packaged["sources"]
    assert (base["license"], tiny["license"]) == ("apache-2.0", "CC BY 4.0")
    assert base["sha256"].startswith("53aa51172d142c89d9012cce15ae4d6c")
    for path in (site / "en_tiny_gliner").rglob("*"):
        if path.suffix in {".json", ".cfg"}:
            assert str(tmp_path) not in path.read_text(encoding="utf8"), path


def test_visualize_writes_predictions_in_our_colours(trained_cnn, tmp_path):
    nlp = spacy.load(trained_cnn)
    DocBin(docs=[nlp.make_doc("Angela Merkel met Tim Cook in the lobby.")]).to_disk(
        tmp_path / "dev.spacy"
    )
    page = tmp_path / "page.html"
    _run(ROOT / "scripts" / "visualize.py", trained_cnn, tmp_path / "dev.spacy", page)
    html = page.read_text(encoding="utf8")
    assert html.count(f"background: {COLORS['PERSON']}") == 2
    assert "Document 1" in html


def test_a_pipeline_needs_its_schema_file_no_more_once_saved(tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"labels": [{"name": "X", "aliases": ["Y"]}]}', encoding="utf8")
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_encoder", name="ner", config={"model": CNN, "schema": str(schema)})
    nlp.initialize()
    nlp.to_disk(tmp_path / "saved")
    schema.unlink()
    again = spacy.load(tmp_path / "saved")
    assert again.get_pipe("ner").labels == ("X",)
    assert again.get_pipe("ner").schema.resolve("Y") == "X"
