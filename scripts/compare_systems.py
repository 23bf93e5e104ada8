"""Compare the systems that are there: the `compare` step of the project.

    python scripts/compare_systems.py GOLD OUTPUT NAME=PIPELINE ... [--options "..."]

A pipeline that was not made (the LLM's, where no server is given) is left out and named.
Where gliner-spacy is installed, its component runs too, on the model of the pipeline that
`--gliner` names, as `gliner_spacy`. What is left goes to `python -m spacy ner compare`.
"""

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import spacy
import typer
from wasabi import msg

NAME = "gliner_spacy"


def main(
    gold: Annotated[Path, typer.Argument(help="Documents with gold entities")],
    output: Annotated[Path, typer.Argument(help="Folder of the report")],
    systems: Annotated[list[str], typer.Argument(help="NAME=PIPELINE, each")],
    gliner: Annotated[Path | None, typer.Option(help="Pipeline with ner_gliner")] = None,
    options: Annotated[str, typer.Option(help="Further options of `compare`")] = "",
) -> None:
    """Leave out what is not there, and compare the rest."""
    there = []
    for system in systems:
        name, path = system.split("=", 1)
        if Path(path).is_dir():
            there.append(system)
        else:
            msg.warn(f"{name} is left out: there is no {path}")
    if gliner is not None and gliner.is_dir():
        if importlib.util.find_spec("gliner_spacy") is None:
            msg.warn(f"{NAME} is left out: gliner-spacy is not installed")
        else:
            there.append(f"{NAME}={make_gliner_spacy(gliner, output / NAME)}")
    command = [sys.executable, "-m", "spacy", "ner", "compare", str(gold), *there]
    command += ["--output", str(output), *shlex.split(options)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def make_gliner_spacy(pipeline: Path, folder: Path) -> Path:
    """Put the model of a pipeline into gliner-spacy's component, as its users have it:
    the same labels, the same threshold, its own cutting and choosing.

    RETURNS (Path): The pipeline.
    """
    source = spacy.load(pipeline)
    ner = source.get_pipe("ner")
    saved = folder.with_name(f"{folder.name}_model")
    ner.model.shims[0].gliner.save_pretrained(saved, safe_serialization=True)
    nlp = spacy.blank(source.lang)
    config = {
        "labels": ner.schema.to_dict()["labels"],
        "threshold": ner.cfg["threshold"],
        "prompt": ner.cfg["prompt"],
        "model": {"@architectures": "ner_components.GlinerSpacy.v1", "name": str(saved)},
    }
    nlp.add_pipe("ner_gliner", name="ner", config=config)
    nlp.initialize()
    nlp.to_disk(folder)
    return folder


if __name__ == "__main__":
    typer.run(main)
