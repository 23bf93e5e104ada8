"""Clocks, rates, ratios and the machine: what every part of the speed benchmark shares."""

import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from thinc.util import get_torch_default_device

from ner_components import __version__
from ner_components.precision import FEATURES, processor_flags, processor_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "torch",
    "onnxruntime",
    "spacy",
    "transformers",
    "gliner",
    "gliner-spacy",
    "spacy-llm",
)
FLAGS = ("avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
# Ours in each setting: what is added to the model block.
SETTINGS: dict[str, dict[str, str]] = {
    "ours": {},
    "ours bfloat16": {"precision": "bfloat16"},
    "ours int8": {"precision": "int8"},
    "ours onnxruntime": {"backend": "onnxruntime"},
}

Run = Callable[[], Any]
Row = dict[str, Any]


def describe_machine(threads: int) -> dict[str, Any]:
    """RETURNS (dict): what the rows are measured on: GPU, where it is used, processor, its
    features, versions of the packages ("-" for those not installed) and threads."""
    flags = processor_flags()
    gpu = {"gpu": torch.cuda.get_device_name(device())} if on_gpu() else {}
    return {
        **gpu,
        "processor": processor_name(),
        "flags": [x for x in FLAGS if x in flags],
        "versions": {
            "ner_components": __version__,
            **{x: version_of(x) for x in PACKAGES},
        },
        "threads": threads,
    }


def device() -> torch.device:
    """RETURNS (torch.device): where spaCy was told to compute."""
    return get_torch_default_device()


def on_gpu() -> bool:
    return device().type == "cuda"


def finish() -> None:
    """Wait for what a GPU still computes: its calls return before they are done."""
    if on_gpu():
        torch.cuda.synchronize(device())


def version_of(package: str) -> str:
    """RETURNS (str): the version that is installed, "-" for none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def describe_feature(system: str) -> str:
    """RETURNS (str): what a system in less than float32 wants of a processor, and whether
    this one has it; empty for the others."""
    names = FEATURES.get(SETTINGS.get(system, {}).get("precision", ""), ())
    if not names:
        return ""
    return f"{' or '.join(names)}: {'yes' if processor_flags() & set(names) else 'no'}"


def count_words(texts: Iterable[str]) -> int:
    """RETURNS (int): words, at white space."""
    return sum(len(text.split()) for text in texts)


def describe_error(error: Exception) -> str:
    """RETURNS (str): the error's class and its first line, without this machine's paths."""
    lines = [x.strip() for x in str(error).splitlines() if x.strip()] or [""]
    return f"{type(error).__name__}: {lines[0]}".replace(f"{ROOT}/", "")


def choose_clock() -> str:
    """RETURNS (str): "cpu" with one thread, where it is wall time without what else the
    machine does; "wall" with more, or a GPU, which are to save time, not work."""
    return "cpu" if torch.get_num_threads() == 1 and not on_gpu() else "wall"


def time_run(run: Run) -> dict[str, float]:
    """RETURNS (dict): seconds that a run takes, by both clocks."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    finish()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def warm_up(runs: dict[str, Run]) -> tuple[dict[str, Run], dict[str, str]]:
    """Run each system once.

    RETURNS (tuple): the systems that ran, and why the others didn't.
    """
    working, left_out = {}, {}
    for name, run in runs.items():
        try:
            run()
            working[name] = run
        except Exception as e:
            left_out[name] = describe_error(e)
    return working, left_out


def interleave(runs: dict[str, Run], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Time the systems in turn, round by round, so that a slow minute hits all of them.

    RETURNS (dict): seconds of each round, by system.
    """
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(time_run(run))
    return seconds


def measure(
    runs: dict[str, Run],
    words: dict[str, int],
    rounds: int,
    peers: Iterable[str] = (),
    clock: str | None = None,
) -> list[Row]:
    """Measure systems after a warm-up.

    runs (dict[str, Run]): each system as a function that annotates its texts.
    words (dict[str, int]): words in them.
    rounds (int): timed rounds.
    peers (Iterable[str]): the systems that ratios are against.
    clock (str | None): "cpu" or "wall"; see `choose_clock`.
    RETURNS (list[Row]): a row for each system, those that failed included.
    """
    working, left_out = warm_up(runs)
    seconds = interleave(working, rounds)
    clock = clock or choose_clock()
    rates = {
        name: {x: [words[name] / s[x] for s in values] for x in ("cpu", "wall")}
        for name, values in seconds.items()
    }
    rows: list[Row] = []
    for name in runs:
        row: Row = {"system": name, "words": words[name], "wants": describe_feature(name)}
        if name in left_out:
            rows.append({**row, "left_out": left_out[name]})
            continue
        row["words_per_second"] = median(rates[name][clock])
        row["clock"] = clock
        row["rounds"] = rates[name]
        row["ratios"] = {
            peer: compare(rates[name][clock], rates[peer][clock])
            for peer in peers
            if peer in rates
        }
        rows.append(row)
    return rows


def compare(mine: list[float], peer: list[float]) -> dict[str, float]:
    """RETURNS (dict): the ratio within a round: median, least and greatest."""
    ratios = [a / b for a, b in zip(mine, peer, strict=True)]
    return {"median": median(ratios), "min": min(ratios), "max": max(ratios)}
