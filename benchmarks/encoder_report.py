"""Span F1 of the encoder benchmark, its intervals, and the report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from encoder_data import Sentence, Span, read_split
from encoder_systems import spans_to_tags
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from ner_components.evaluation.metrics import (
    Evaluation,
    Interval,
    compare,
    evaluate_spans,
    interval,
)

OURS = "ours"
# Sentences are drawn with the seeds held fixed, the same ones for both systems.
BOOTSTRAP: dict[str, Any] = {"resamples": 1000, "method": "percentile", "confidence": 0.95}
TUNED_KEYS = ("lr", "epochs", "limit", "seed", "dev_f1")

Run = dict[str, Any]


def span_f1(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> float:
    """RETURNS (float): micro F1 of entities, exact boundaries and label, 0 to 1."""
    return evaluate_spans(gold, predicted).micro.f


def seqeval_f1(sentences: list[Sentence], predicted: list[list[Span]]) -> float:
    """RETURNS (float): the same F1 by seqeval, strict, over IOB2 tags."""
    lengths = [len(sentence.tokens) for sentence in sentences]
    gold = [spans_to_tags(s.ents, n) for s, n in zip(sentences, lengths, strict=True)]
    tags = [spans_to_tags(spans, n) for spans, n in zip(predicted, lengths, strict=True)]
    return float(f1_score(gold, tags, mode="strict", scheme=IOB2))


def summarise_system(
    tuned: list[Run], runs: list[Run]
) -> tuple[dict[str, Any], list[Evaluation]]:
    """Score the test runs of one system on one corpus.

    tuned (list[Run]): its runs on the dev set, one per learning rate.
    runs (list[Run]): its runs on the test set, one per seed.
    RETURNS (tuple): the summary, and the evaluation of each run.
    """
    seeds = [run["seed"] for run in runs]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{runs[0]['system']}: the same seed was tested twice")
    sentences = read_split(runs[0]["dataset"], "test")[: runs[0]["limit"] or None]
    evaluations = [_checked_evaluation(sentences, run) for run in runs]
    per_seed = [x.micro.f for x in evaluations]
    return {
        "f1": float(np.mean(per_seed)),
        "interval": bounds(interval(evaluations, **BOOTSTRAP)),
        "seeds": dict(zip(seeds, per_seed, strict=True)),
        "dev_f1": float(np.mean([run["dev_f1"] for run in runs])),
        "lr": runs[0]["lr"],
        "epochs": runs[0]["epochs"],
        "tuned": [{key: run[key] for key in TUNED_KEYS} for run in tuned],
        "training_seconds": float(np.mean([run["seconds"] for run in runs])),
        "versions": runs[0]["versions"],
    }, evaluations


def bounds(found: Interval) -> tuple[float, float]:
    return found.low, found.high


def _checked_evaluation(sentences: list[Sentence], run: Run) -> Evaluation:
    predicted = [[(s, e, label) for s, e, label in spans] for spans in run["test"]]
    evaluation = evaluate_spans([sentence.ents for sentence in sentences], predicted)
    ours, theirs = evaluation.micro.f, seqeval_f1(sentences, predicted)
    if abs(ours - theirs) > 1e-9:
        raise ValueError(f"{run['system']}: span F1 {ours}, seqeval {theirs}")
    return evaluation


def compare_systems(tuned: list[Run], runs: list[Run]) -> dict[str, Any]:
    """RETURNS (dict): for one corpus, the systems and what `ours` gains over each peer."""
    systems: dict[str, Any] = {}
    evaluations: dict[str, list[Evaluation]] = {}
    for name in dict.fromkeys(run["system"] for run in runs):
        systems[name], evaluations[name] = summarise_system(
            _select(tuned, system=name), _select(runs, system=name)
        )
    differences = {}
    for peer in [name for name in systems if name != OURS and OURS in systems]:
        found = compare(evaluations[OURS], evaluations[peer], **BOOTSTRAP).difference
        differences[peer] = {
            "f1": systems[OURS]["f1"] - systems[peer]["f1"],
            "interval": bounds(found),
            "below_by_more_than_the_interval": found.high < 0,
        }
    return {"systems": systems, "differences": differences}


def write_report(output: Path, tuned: list[Run], runs: list[Run]) -> str:
    """Write report.md and report.json.

    output (Path): their folder.
    tuned (list[Run]): dev runs of any corpora and systems.
    runs (list[Run]): test runs of any corpora and systems.
    RETURNS (str): the Markdown.
    """
    datasets = dict.fromkeys(run["dataset"] for run in runs)
    results = {
        name: compare_systems(_select(tuned, dataset=name), _select(runs, dataset=name))
        for name in datasets
    }
    report = json.dumps(results, indent=2) + "\n"
    (output / "report.json").write_text(report, encoding="utf8")
    markdown = render_report(results)
    (output / "report.md").write_text(markdown, encoding="utf8")
    return markdown


def render_report(results: dict[str, Any]) -> str:
    """RETURNS (str): the results as Markdown."""
    lines = [
        "Strict span F1 in percent on the test set: the mean over the seeds, with the "
        f"{BOOTSTRAP['confidence']:.0%} interval of a paired bootstrap over test sentences "
        f"({BOOTSTRAP['resamples']:,} resamples; the seeds are held fixed). Difference: "
        "`ours` minus the row's system.",
        "",
        "| data | system | dev F1 by lr | lr | dev F1 | test F1 | interval | seeds "
        "| difference | interval | training, s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for dataset, result in results.items():
        for name, system in result["systems"].items():
            difference = result["differences"].get(name)
            cells = [
                dataset,
                name,
                ", ".join(f"{t['lr']:g}: {_percent(t['dev_f1'])}" for t in system["tuned"]),
                f"{system['lr']:g}",
                _percent(system["dev_f1"]),
                _percent(system["f1"]),
                _range(system["interval"]),
                " / ".join(map(_percent, system["seeds"].values())),
                f"{100 * difference['f1']:+.2f}" if difference else "",
                _range(difference["interval"], "+") if difference else "",
                f"{system['training_seconds']:.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _select(runs: list[Run], **values: str) -> list[Run]:
    return [run for run in runs if values.items() <= run.items()]


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _range(ends: Sequence[float], sign: str = "") -> str:
    return " to ".join(f"{100 * bound:{sign}.2f}" for bound in ends)
