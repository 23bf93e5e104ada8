"""How often a decision names a winner: among equal systems, and among unequal ones.

    python benchmarks/decision_rates.py [--trials 500] [--output FILE]

Documents of 1 to 8 entities are made up, harder and easier ones, and each system finds an
entity with its own probability less the document's difficulty, which all share. Equal
systems should have a winner in at most 5% of the trials; where one is better by some
points of recall, the more often the better.
"""

from pathlib import Path
from typing import Annotated

import numpy
import srsly
import typer
from wasabi import msg

from ner_components.evaluation.decision import Contender, decide
from ner_components.evaluation.metrics import Evaluation, evaluate_spans

SHARE = 0.8
ENTITIES = 8
# Most that a document's difficulty takes off or adds.
SPREAD = 0.15


def draw(rng: numpy.random.Generator, shares: list[float], count: int) -> list[Evaluation]:
    """RETURNS (list[Evaluation]): each system on the same documents."""
    sizes = rng.integers(1, ENTITIES + 1, count)
    ease = rng.uniform(-SPREAD, SPREAD, count)
    gold = [[(i, i + 1, "A") for i in range(n)] for n in sizes]
    return [
        evaluate_spans(
            gold,
            [
                [x for x in spans if rng.random() < share + e]
                for spans, e in zip(gold, ease, strict=True)
            ],
        )
        for share in shares
    ]


def rates(systems: int, documents: int, points: int, trials: int) -> dict[str, float]:
    """RETURNS (dict): how often a winner was named, and how often it was the better one,
    the first."""
    rng = numpy.random.default_rng([systems, documents, points])
    shares = [SHARE + points / 100] + [SHARE] * (systems - 1)
    winners = right = 0
    for trial in range(trials):
        found = [Contender(f"{i}", x) for i, x in enumerate(draw(rng, shares, documents))]
        decision = decide(found, resamples=500, seed=trial)
        if len(decision.tied) == 1:
            winners += 1
            right += decision.chosen == "0"
    return {"winner": winners / trials, "right": right / trials}


def main(
    trials: Annotated[int, typer.Option(help="Of each row.")] = 500,
    output: Annotated[Path | None, typer.Option(help="JSON.")] = None,
) -> None:
    """Simulate, and print a table."""
    rows = []
    for points in (0, 2, 5, 10):
        for systems in (2, 3, 5):
            for documents in (60, 200):
                found = rates(systems, documents, points, trials)
                row = {"points": points, "systems": systems, "documents": documents}
                rows.append({**row, **found})
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(output, {"trials": trials, "rows": rows})
    table = []
    for x in rows:
        shares = [f"{x[y]:.1%}" for y in ("winner", "right")]
        table.append([x["points"], x["systems"], x["documents"], *shares])
    header = ["points better", "systems", "documents", "a winner", "the right one"]
    msg.table(table, header=header, divider=True, aligns=["r"] * 5)


if __name__ == "__main__":
    typer.run(main)
