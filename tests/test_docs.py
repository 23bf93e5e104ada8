"""The README's code runs, in order, in one name space per file."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(path, language):
    text = path.read_text(encoding="utf8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_python_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for i, code in enumerate(_blocks(path, "python")):
        exec(compile(code, f"{path.name}, block {i + 1}", "exec"), names)


def test_the_readme_begins_with_exactly_two_set_up_commands():
    blocks = _blocks(ROOT / "README.md", "bash")
    first, second = (block.strip() for block in blocks[:2])
    assert "\n" not in first
    assert "\n" not in second
    assert first.endswith("python -m spacy project run all")
    assert second.endswith("python -m pytest")


def test_ci_reads_the_command_from_the_readme():
    path = ROOT / "scripts" / "readme_command.py"
    spec = importlib.util.spec_from_file_location("readme_command", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.shell_blocks()[1].strip().endswith("python -m pytest")


def test_the_readme_figures_are_those_of_the_files():
    command = [sys.executable, ROOT / "scripts" / "readme_figures.py", "--check"]
    assert subprocess.run(command, check=False).returncode == 0


def test_tracked_text_holds_no_machine_path():
    # Built so that this line does not find itself.
    machine = re.compile(
        "(?:^|[^A-Za-z0-9_.-])/(?:" + "|".join(["work", "root", "home"]) + ")/"
    )
    for folder in ("ner_components", "configs", "scripts", "benchmarks", "docs", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".cfg", ".md", ".yml", ""} and path.is_file():
                assert not machine.search(path.read_text(encoding="utf8")), path
