"""How often a decision names a winner: among equal systems, where it should be 5 in 100 at
most, and where one is better.

    python benchmarks/decision_rates.py
    python benchmarks/decision_rates.py --trials 2000 --systems 5 --documents 60 --points 0

Documents are simulated: about eight entities each, harder and easier ones, which all
systems feel, and mistakes of each system's own. docs/report.md has the figures of a run.
"""

import time
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import typer

from ner_components.evaluation.decision import Contender, decide
from ner_components.evaluation.metrics import (
    Costs,
    DocumentCounts,
    Evaluation,
    Outcome,
    SpanScore,
)

F1 = 0.8
RIGHT, WRONG = Outcome("correct", "A", "A"), Outcome("wrong_label", "A", "B")
MISSED, SPURIOUS = Outcome("missed", "A", "O"), Outcome("spurious", "O", "A")
COSTS = Costs(default={"missed": 5, "spurious": 1, "wrong_label": 2})


def simulate(
    rng: np.random.Generator, systems: int, documents: int, points: float
) -> list[Contender]:
    """Make systems of F1 about .8, the first one better by some points.

    rng (Generator): Random numbers.
    systems (int), documents (int): How many.
    points (float): How much better the first is, in points of F1.
    RETURNS (list): The systems.
    """
    gold = rng.poisson(rng.lognormal(1.9, 0.6, documents))
    shared = rng.normal(0, 0.1, documents)
    return [
        Contender(f"s{i}", _system(rng, gold, F1 + shared + (points / 100) * (i == 0)))
        for i in range(systems)
    ]


def _system(rng: np.random.Generator, gold: np.ndarray, share: np.ndarray) -> Evaluation:
    share = np.clip(share + rng.normal(0, 0.05, len(gold)), 0, 1)
    right = rng.binomial(gold, share)
    missed = rng.binomial(gold - right, 0.5)
    spurious = rng.poisson((1 - share) * gold / 2)
    rows = zip(gold, right, missed, spurious, strict=True)
    return Evaluation(tuple(_document(*map(int, row)) for row in rows))


def _document(gold: int, right: int, missed: int, spurious: int) -> DocumentCounts:
    wrong = gold - right - missed
    counts = {RIGHT: right, WRONG: wrong, MISSED: missed, SPURIOUS: spurious}
    labels = {
        "A": SpanScore(right, right + spurious, gold),
        "B": SpanScore(0, wrong, 0),
    }
    return DocumentCounts(labels=labels, outcomes={k: n for k, n in counts.items() if n})


def measure(
    systems: int,
    documents: int,
    points: float,
    trials: int,
    resamples: int,
    costs: Costs | None = None,
) -> tuple[float, float]:
    """RETURNS (tuple): how often a winner was named, and how often it was the first."""
    rng = np.random.default_rng([systems, documents, int(10 * points)])
    named = first = 0
    for trial in range(trials):
        found = decide(
            simulate(rng, systems, documents, points),
            costs=costs,
            resamples=resamples,
            seed=trial,
        )
        named += found.reason == "best"
        first += found.reason == "best" and found.chosen == "s0"
    return named / trials, first / trials


def main(
    trials: Annotated[int, typer.Option(help="Decisions of each row")] = 500,
    resamples: Annotated[int, typer.Option(help="Draws of a decision")] = 500,
    systems: Annotated[str, typer.Option(help="How many, comma-separated")] = "2,3,5",
    documents: Annotated[str, typer.Option(help="How many")] = "60,200",
    points: Annotated[str, typer.Option(help="How much better one is")] = "0,2,5,10",
    costs: Annotated[bool, typer.Option(help="Decide by cost of mistakes")] = False,
) -> None:
    """Print how often a winner is named, in percent."""
    start = time.process_time()
    print("| systems | documents | points | a winner is named | the better one |")
    print("|---:|---:|---:|---:|---:|")
    table = COSTS if costs else None
    for n in _numbers(systems):
        for size in _numbers(documents):
            for apart in _numbers(points):
                rates = measure(n, size, apart, trials, resamples, table)
                shown = [f"{100 * x:.1f}" for x in rates]
                if not apart:
                    shown[1] = "-"
                print(f"| {n} | {size} | {apart} | {' | '.join(shown)} |", flush=True)
    print(f"{time.process_time() - start:.0f} s of CPU")


def _numbers(text: str) -> Sequence[int]:
    return [int(x) for x in text.split(",")]


if __name__ == "__main__":
    typer.run(main)
