"""GLiNER's systems of the speed benchmark: a fresh span model of the size of published ones
on the embedded encoder, the same weights in each system."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gliner import GLiNER
from gliner_speed import make_labels, make_runs, share
from speed_measure import SETTINGS, Row, Run, count_words, describe_error, measure

from ner_components.gliner.model import build_gliner, build_gliner_from_encoder
from ner_components.pretrained import make_embedded

PEERS = ("gliner-spacy", "gliner batch")
SYSTEMS = (*PEERS, *SETTINGS)
SIZE = {"hidden_size": 512, "max_width": 12}
LABELS = 4
BATCH = 8  # of the library's call
KINDS = ("span", "bi-encoder")


def build_span(settings: dict[str, str]) -> Any:
    """RETURNS (Model): the span model in a setting, not loaded."""
    return build_gliner_from_encoder(**SIZE, **settings)


def measure_systems(
    texts: dict[str, list[str]], names: Iterable[str], rounds: int
) -> list[Row]:
    """RETURNS (list[Row]): a row for each of the texts and systems."""
    wanted = list(names)
    ours = build_span({})
    ours.initialize()
    rows = []
    for kind, chosen in texts.items():
        runs, left_out = make_system_runs(ours, chosen, wanted)
        words = dict.fromkeys(runs, count_words(chosen))
        for row in measure(runs, words, rounds, PEERS):
            rows.append({"texts": kind, **row})
        for name, reason in left_out.items():
            rows.append({"texts": kind, "system": name, "left_out": reason})
    return rows


def make_system_runs(
    ours: Any, texts: list[str], names: list[str]
) -> tuple[dict[str, Run], dict[str, str]]:
    """RETURNS (tuple): the systems as runs, and why the others can't be had."""
    labels = make_labels(LABELS)
    runs = make_runs(ours, texts, labels, BATCH)
    left_out = {}
    for name in names:
        if name in runs:
            continue
        if name not in SETTINGS:
            left_out[name] = "not installed"
            continue
        try:
            model = share(build_span(SETTINGS[name]), ours)
            runs[name] = make_runs(model, texts, labels, BATCH)["ours"]
        except Exception as e:
            left_out[name] = describe_error(e)
    return {name: runs[name] for name in names if name in runs}, left_out


def measure_labels(
    folder: Path, counts: list[int], texts: list[str], rounds: int
) -> list[Row]:
    """RETURNS (list[Row]): `ours` with so many labels, for a span model and a bi-encoder;
    ratios are to the first number."""
    rows = []
    for kind in KINDS:
        try:
            rows += measure_kind(kind, folder, counts, texts, rounds)
        except Exception as e:
            rows.append({"system": "ours", "kind": kind, "left_out": describe_error(e)})
    return rows


def measure_kind(
    kind: str, folder: Path, counts: list[int], texts: list[str], rounds: int
) -> list[Row]:
    """RETURNS (list[Row]): the rows of one kind of model."""
    model = build_span({}) if kind == "span" else build_bi_encoder(folder)
    model.initialize()
    runs, groups = {}, {}
    for number in counts:
        labels = make_labels(number)
        runs[str(number)] = make_runs(model, texts, labels, BATCH)["ours"]
        groups[str(number)] = len(model.shims[0].frontend.make_groups(labels, labels))
    words = dict.fromkeys(runs, count_words(texts))
    return [
        {
            **row,
            "system": "ours",
            "kind": kind,
            "labels": int(row["system"]),
            "groups": groups[row["system"]],
        }
        for row in measure(runs, words, rounds, list(runs)[:1])
    ]


def build_bi_encoder(folder: Path) -> Any:
    """RETURNS (Model): a fresh bi-encoder whose two encoders are the embedded one."""
    name = make_embedded().name
    config = {"model_name": name, "labels_encoder": name, "max_len": 384, **SIZE}
    gliner = GLiNER.from_config({**config, "num_rnn_layers": 0})
    gliner.save_pretrained(folder, safe_serialization=True)
    return build_gliner(str(folder))
