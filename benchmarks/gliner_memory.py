"""Memory of `ner_gliner` by threshold: at 0.0, where `spacy find-threshold` begins, every
span is a candidate. Each threshold is a process of its own; its peak is the whole
process's, model included.

    python benchmarks/gliner_memory.py [--pipeline FOLDER] [--documents 1000]
        [--thresholds 0.5,0.0] [--output FILE]

Without a pipeline a fresh model on the embedded encoder is measured: its head is random, so
that it proposes about half of all spans at 0.5 already.
"""

import json
import resource
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from gliner_speed import make_texts

LABELS = ["PERSON", "ORG", "LOCATION", "PRODUCT", "TICKER"]
MEGABYTE = 2**20
# Linux counts kilobytes, macOS bytes.
UNIT = 1 if sys.platform == "darwin" else 1024


def measure(pipeline: str, documents: int, threshold: float) -> dict[str, Any]:
    """Annotate documents of about 30 words in this process.

    RETURNS (dict): threshold, documents, candidates, and peak memory in megabytes before
        the first document and after the last.
    """
    if pipeline:
        nlp = spacy.load(pipeline)
    else:
        nlp = spacy.blank("en")
        model = {"@architectures": "ner_components.GLiNERFromEncoder.v1"}
        nlp.add_pipe("ner_gliner", name="ner", config={"model": model, "labels": LABELS})
        nlp.initialize()
    ner: Any = nlp.get_pipe("ner")
    ner.cfg["threshold"] = threshold
    sentences = make_texts(None, 30 * documents)["sentences"]
    texts = (" ".join(sentences[i : i + 3]) for i in range(len(sentences)))
    before = peak()
    with nlp.memory_zone():
        for _ in nlp.pipe(islice(texts, documents)):
            pass
    return {
        "threshold": threshold,
        "documents": ner.stats.documents,
        "candidates": ner.stats.candidates,
        "before": before,
        "peak": peak(),
    }


def peak() -> float:
    """RETURNS (float): most memory that this process has had so far, in megabytes."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    return round(used / MEGABYTE, 1)


def main(
    pipeline: Annotated[str, typer.Option(help="Folder of a pipeline")] = "",
    documents: Annotated[int, typer.Option()] = 1000,
    thresholds: Annotated[str, typer.Option()] = "0.5,0.0",
    output: Annotated[Path | None, typer.Option(help="JSON file")] = None,
    one: Annotated[float | None, typer.Option(help="Measure here, print JSON")] = None,
) -> None:
    """Measure each threshold in a process of its own and print the peaks."""
    if one is not None:
        print(json.dumps(measure(pipeline, documents, one)))
        return
    rows = []
    for threshold in thresholds.split(","):
        command = [sys.executable, __file__, "--one", threshold]
        command += ["--pipeline", pipeline, "--documents", str(documents)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(answer.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    times = round(rows[-1]["peak"] / rows[0]["peak"], 3)
    print(f"the last over the first: {times}")
    if output is not None:
        output.write_text(json.dumps({"rows": rows, "last_over_first": times}, indent=2))


if __name__ == "__main__":
    typer.run(main)
