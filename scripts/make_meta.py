"""Write the meta.json of a package: the `package` step of the project.

    python scripts/make_meta.py MODEL OUT.json --name NAME --version VERSION
        --license LICENSE --data FILE --data-license LICENSE [--data FILE ...]

It adds to the pipeline's own meta what `spacy package` can't know: the requirement with
its extra, and name, licence and SHA-256 of the data. The base model's are there already.
"""

from pathlib import Path
from typing import Annotated

import srsly
import typer

from ner_components import __version__
from ner_components.pretrained import hash_file

# spaCy's components come with spaCy; only ours need their engine's libraries.
EXTRAS = {
    "ner_encoder": "encoder",
    "ner_gliner": "gliner",
    "ner_gliner_spacy": "gliner-spacy",
    "ner_llm": "llm",
}


def main(
    model: Path,
    output: Path,
    name: Annotated[str, typer.Option(help="Without the language: ner_encoder")],
    version: Annotated[str, typer.Option()],
    license: Annotated[str, typer.Option(help="Of the packaged weights")],
    data: Annotated[list[Path], typer.Option(help="A file it was trained on")],
    data_license: Annotated[str, typer.Option()],
    data_name: Annotated[str, typer.Option()] = "corpus",
) -> None:
    """Write OUTPUT for `spacy package --meta-path`."""
    meta = srsly.read_json(model / "meta.json")
    config = (model / "config.cfg").read_text(encoding="utf8")
    extras = [extra for factory, extra in EXTRAS.items() if f'"{factory}"' in config]
    if 'precision = "int8"' in config or 'backend = "onnxruntime"' in config:
        extras.append("onnx")
    requirement = f"ner_components[{','.join(extras)}]" if extras else "ner_components"
    sources = meta.get("sources") or []
    sources += [
        {"name": f"{data_name}/{x.name}", "license": data_license, "sha256": hash_file(x)}
        for x in data
    ]
    meta |= {
        "name": name,
        "version": version,
        "license": license,
        "author": meta.get("author") or "trained with ner_components",
        "description": f"Named entities: {', '.join(meta['labels'].get('ner', []))}",
        "requirements": [f"{requirement}>={__version__}"],
        "sources": sources,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, meta)


if __name__ == "__main__":
    typer.run(main)
