"""Speed and memory of the engines and their peers, in one run: systems side by side with
the same weights, texts and threads; start-up; memory; and how cost grows with labels, with
the length of a document and of the stream, and with processes.

    python benchmarks/speed.py [--threads 1] [--rounds 5] [--words 6000] [--systems a,b]
        [--only systems,llm,startup,memory,labels,length,stream,processes]
        [--output FOLDER] [--gpu-id 0]

Systems take turns, round by round, in one process. With one thread CPU time counts, so that
other jobs on the machine count for less; with more, or on a GPU, wall time. The JSON has
both. The models are trained at the first run, in minutes, and kept in `--models`; the
corpora are looked for in $NER_DATA. A system that can't be had here is left out with the
reason. The options for a GPU have not been tried on one yet.

Memory over a stream is that of its second half: the allocator settles within some 10,000
documents, so a stream of less than 20,000 shows that, and no leak. What the package adds to
`spacy.blank` is a hundredth of what is timed: beside other jobs its spread is larger than
the bar.

After the warm-up spaCy's tokenizer has seen every word; what words cost that are new to it
is in the table of the time outside the forward.
"""

import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import import_time
import spacy
import speed_encoder
import speed_gliner
import speed_llm
import torch
import typer
from speed_measure import (
    ROOT,
    SETTINGS,
    Row,
    Run,
    describe_error,
    describe_machine,
    warm_up,
)
from speed_process import run_part
from speed_report import judge, render

PARTS = (
    "systems",
    "llm",
    "startup",
    "memory",
    "labels",
    "length",
    "stream",
    "processes",
)
# The bars, and what is measured in other processes, are a processor's.
GPU_PARTS = ("systems", "labels", "length", "stream")
DOCUMENT_SIZES = (1_000, 10_000, 50_000)
# GLiNER takes several times as long for a word.
GLINER_SHARE = 3
LABELS_SHARE = 30
# Workers take a second to start.
PROCESSES_TIMES = 10
IMPORT_ROUNDS = 15


def split(text: str) -> list[str]:
    """RETURNS (list[str]): the items of a list with commas."""
    return [x.strip() for x in text.split(",") if x.strip()]


def measure_systems(
    models: Path, words: int, long_words: int, names: list[str], rounds: int
) -> dict[str, list[Row]]:
    """RETURNS (dict): rows of the encoder's systems, of the time outside the forward, and
    of GLiNER's systems. Without names all are measured."""
    texts = speed_encoder.make_texts(words, long_words)
    short = {k: v for k, v in texts.items() if k != "one long document"}
    fewer = speed_encoder.make_texts(max(1, words // GLINER_SHARE), 1)
    few = {k: fewer[k] for k in ("sentences", "documents")}
    encoder = [x for x in speed_encoder.SYSTEMS if not names or x in names]
    gliner = [x for x in speed_gliner.SYSTEMS if not names or x in names]
    return {
        "encoder": speed_encoder.measure_systems(models, texts, encoder, rounds),
        "outside": speed_encoder.measure_outside(models, short, rounds),
        "gliner": speed_gliner.measure_systems(few, gliner, rounds),
    }


def save_pipelines(models: Path, folder: Path) -> tuple[dict[str, Path], list[Row]]:
    """Save ours in every setting.

    RETURNS (tuple): the folders by system, and rows of those that can't be made.
    """
    folders, left_out = {}, []
    for name, settings in SETTINGS.items():
        try:
            nlp = speed_encoder.load_ours(models, settings)
            nlp.to_disk(folder / name)
            folders[name] = folder / name
        except Exception as e:
            left_out.append({"system": name, "left_out": describe_error(e)})
    return folders, left_out


def measure_startup(models: Path, rounds: int) -> dict[str, list[Row]]:
    """RETURNS (dict): rows of each step of the start-up, processes of all steps in turn,
    and what the package adds."""
    with tempfile.TemporaryDirectory() as folder:
        folders, left_out = save_pipelines(models, Path(folder))
        steps: dict[str, Run] = {
            x: partial(run_part, "startup", x) for x in ("python", "import", "blank")
        }
        for name, path in folders.items():
            for step in ("load", "first"):
                steps[f"{step} {name}"] = partial(run_part, "startup", step, str(path))
        working, failed = warm_up(steps)
        found: dict[str, list[Row]] = {key: [] for key in working}
        for _ in range(rounds):
            for key, run in working.items():
                found[key].append(run())
    left_out += [{"system": key, "left_out": reason} for key, reason in failed.items()]
    rows = []
    for key, values in found.items():
        step, _, name = key.partition(" ")
        cpu, peak = (median(x[y] for x in values) for y in ("cpu", "peak"))
        row = {"step": STEPS[step], "system": name or "-", "cpu": cpu, "peak": peak}
        rows.append({**row, "rounds": values})
    return {"startup": [*rows, *left_out], "import": measure_import(rounds)}


STEPS = {
    "python": "nothing but this script",
    "import": "import spacy",
    "blank": 'spacy.blank("en")',
    "load": "spacy.load",
    "first": "spacy.load and a short document",
}


def measure_import(rounds: int) -> list[Row]:
    """Measure what our entry points add to `spacy.blank`: a difference of a hundredth, so
    that it takes more rounds.

    RETURNS (list[Row]): milliseconds.
    """
    number = max(rounds, IMPORT_ROUNDS)
    kinds = ("shown", "hidden")
    pairs = [[import_time.seconds(kind) for kind in kinds] for _ in range(number)]
    extra = [1000 * (shown - hidden) for shown, hidden in pairs]
    spread = {"min": min(extra), "max": max(extra)}
    return [{"system": "ours", "extra": median(extra), **spread, "rounds": extra}]


def measure_memory(models: Path, documents: int) -> dict[str, list[Row]]:
    """RETURNS (dict): rows of the stream, and of single documents."""
    with tempfile.TemporaryDirectory() as folder:
        nlp = speed_encoder.load_ours(models, SETTINGS["ours"])
        nlp.to_disk(Path(folder) / "ours")
        path = str(Path(folder) / "ours")
        streams = [
            {"system": name, **run_part("stream", str(documents), pipeline)}
            for name, pipeline in (("blank", ""), ("ours", path))
        ]
        singles = []
        for words in DOCUMENT_SIZES:
            file = Path(folder) / "document.txt"
            file.write_text(speed_encoder.make_document(words), encoding="utf8")
            found = run_part("document", path, str(file))
            singles.append({"system": "ours", "words": words, **found})
    return {"memory_stream": streams, "memory_document": singles}


def stamp(results: dict[str, Any]) -> None:
    """Write into every row what it was measured on."""
    for rows in results.values():
        if isinstance(rows, list):
            for row in rows:
                row["measured_on"] = results["machine"]


def main(
    threads: Annotated[int, typer.Option(help="Of torch and ONNX Runtime")] = 1,
    rounds: Annotated[int, typer.Option(help="Timed rounds after a warm-up")] = 5,
    words: Annotated[int, typer.Option(help="Words of each kind of text")] = 6000,
    long_words: Annotated[int, typer.Option(help="Words of the long document")] = 50_000,
    systems: Annotated[str, typer.Option(help="Only these, with commas")] = "",
    only: Annotated[str, typer.Option(help="Only these parts")] = ",".join(PARTS),
    stream: Annotated[int, typer.Option(help="Documents for memory")] = 20_000,
    label_counts: Annotated[str, typer.Option()] = "5,20,100,500",
    lengths: Annotated[str, typer.Option(help="Words in a document")] = "30,300,3000,30000",
    streams: Annotated[str, typer.Option(help="Short documents")] = "500,2000,8000",
    gpu_id: Annotated[int, typer.Option(help="-1 for the processor")] = -1,
    models: Annotated[Path, typer.Option(help="Where models are kept")] = ROOT
    / "training"
    / "speed",
    output: Annotated[Path | None, typer.Option(help="Folder for JSON and tables")] = None,
) -> None:
    """Measure, write both files after each part, print the tables."""
    parts = split(only)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"no such part: {', '.join(unknown)}")
    if gpu_id >= 0:
        spacy.require_gpu(gpu_id)
        parts = [x for x in parts if x in GPU_PARTS]
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for the processes of their own
    speed_encoder.make_models(models)
    results: dict[str, Any] = {
        "machine": describe_machine(threads),
        "rounds": rounds,
        "command": f"python {' '.join(['benchmarks/speed.py', *sys.argv[1:]])}",
    }
    few = speed_encoder.take_words("wnut17", max(1, words // LABELS_SHARE))
    measures = {
        "systems": lambda: measure_systems(
            models, words, long_words, split(systems), rounds
        ),
        "llm": lambda: {"llm": speed_llm.measure_systems(rounds)},
        "startup": lambda: measure_startup(models, rounds),
        "memory": lambda: measure_memory(models, stream),
        "labels": lambda: {
            "labels": speed_gliner.measure_labels(
                models / "bi-encoder", numbers(label_counts), few, rounds
            )
        },
        "length": lambda: {
            "length": speed_encoder.measure_length(models, numbers(lengths), words, rounds)
        },
        "stream": lambda: {
            "stream": speed_encoder.measure_stream(models, numbers(streams), rounds)
        },
        "processes": lambda: {
            "processes": speed_encoder.measure_processes(
                models,
                speed_encoder.take_words("wnut17", PROCESSES_TIMES * words),
                rounds,
            )
        },
    }
    for part in parts:
        results.update(measures[part]())
        if gpu_id < 0:
            results["bars"] = judge(results)
        if output is not None:  # after each part: a run that is stopped has what it did
            stamp(results)
            output.mkdir(parents=True, exist_ok=True)
            (output / "speed.json").write_text(json.dumps(results, indent=2) + "\n")
            (output / "speed.md").write_text(render(results))
    print(render(results))


def numbers(text: str) -> list[int]:
    """RETURNS (list[int]): the numbers in a list with commas."""
    return [int(x) for x in split(text)]


if __name__ == "__main__":
    typer.run(main)
