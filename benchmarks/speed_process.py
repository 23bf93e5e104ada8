"""What the speed benchmark measures in processes of their own: start-up and memory.

    python benchmarks/speed_process.py PART [ARGUMENTS]     prints JSON

Peaks are those of this process alone. getrusage counts that of the process that started it
too, so Linux's own VmHWM is read, which can be reset; elsewhere getrusage must do.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
MEGABYTE = 2**20
# Linux counts kilobytes, macOS bytes.
UNIT = 1 if sys.platform == "darwin" else 1024
ZONE = 1000  # documents in a memory zone
LEAST_SIZES = 5  # that tell growth from noise
TEXT = "Zork{i} met Ann{i} in Oslo."

app = typer.Typer(add_completion=False)


def run_part(*arguments: str) -> dict[str, Any]:
    """RETURNS (dict): what a part prints in a fresh process."""
    command = [sys.executable, __file__, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        lines = [x for x in answer.stderr.splitlines() if x.strip()] or ["no message"]
        raise RuntimeError(lines[-1])
    return json.loads(answer.stdout.splitlines()[-1])


def read_status(field: str) -> float | None:
    """RETURNS (float | None): a size in Linux's account of this process, in megabytes."""
    if not STATUS.is_file():
        return None
    for line in STATUS.read_text(encoding="utf8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return None


def current() -> float:
    """RETURNS (float): memory of this process now, in megabytes; its peak where that can't
    be found out."""
    now = read_status("VmRSS")
    return peak() if now is None else now


def peak() -> float:
    """RETURNS (float): most memory that this process has had, in megabytes."""
    most = read_status("VmHWM")
    if most is None:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / MEGABYTE
    return most


def reset_peak() -> None:
    """Forget the peak, where the system can."""
    if os.access(CLEAR_REFS, os.W_OK):
        CLEAR_REFS.write_text("5")


def load(pipeline: str) -> Any:
    """RETURNS (Language): the pipeline in a folder; spaCy's blank one for an empty name."""
    import spacy

    return spacy.load(pipeline) if pipeline else spacy.blank("en")


@app.command()
def startup(
    step: Annotated[str, typer.Argument(help="python, import, blank, load or first")],
    pipeline: Annotated[str, typer.Argument()] = "",
) -> None:
    """Get as far as the step, and print the CPU seconds and the peak of the process, the
    start of Python included."""
    if step != "python":
        import spacy

        if step == "blank":
            spacy.blank("en")
        if step in ("load", "first"):
            nlp = spacy.load(pipeline)
        if step == "first":
            nlp(TEXT.format(i=0))
    print(json.dumps({"cpu": time.process_time(), "peak": peak()}))


@app.command()
def stream(documents: int, pipeline: Annotated[str, typer.Argument()] = "") -> None:
    """Annotate short documents with new words in each, a memory zone for every thousand,
    and print the growth over the second half, in megabytes per thousand."""
    nlp = load(pipeline)
    texts = (TEXT.format(i=i) for i in range(documents))
    sizes = []
    for part in take_parts(texts, ZONE):
        with nlp.memory_zone():
            for _ in nlp.pipe(part):
                pass
        sizes.append(current())
    half = sizes[len(sizes) // 2 :]
    result = {"peak": peak(), "growth": slope(half), "documents": documents}
    print(json.dumps({**result, "sizes": sizes[:: len(sizes) // 20 or 1]}))


def take_parts(items: Iterator[str], size: int) -> Iterator[list[str]]:
    """YIELDS (list[str]): the items, so many at a time."""
    while part := list(islice(items, size)):
        yield part


def slope(values: list[float]) -> float | None:
    """RETURNS (float | None): what a value is larger than the one before it, by least
    squares; `None` where there are too few to tell."""
    import numpy

    if len(values) < LEAST_SIZES:
        return None
    return float(numpy.polyfit(range(len(values)), values, 1)[0])


@app.command()
def document(pipeline: str, file: Path) -> None:
    """Annotate the document in a file, and print the memory before it and the peak."""
    nlp = load(pipeline)
    text = file.read_text(encoding="utf8")
    # Whatever the first documents make once is not the long one's cost.
    nlp(" ".join(text.split()[:500]))
    reset_peak()
    before = current()
    nlp(text)
    print(json.dumps({"before": before, "peak": peak(), "over": peak() - before}))


if __name__ == "__main__":
    app()
