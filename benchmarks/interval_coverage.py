"""How often the intervals of `ner_components.evaluation` hold the true value, and how often
its tests see a difference that is none.

    python benchmarks/interval_coverage.py coverage
    python benchmarks/interval_coverage.py coverage --methods percentile,basic,bca \\
        --figures micro_f,macro_f --trials 500
    python benchmarks/interval_coverage.py size

Documents are simulated, so that the truth is known: five labels of falling frequency,
documents of unequal size, and mistakes that cluster in documents. docs/metrics.md has the
figures of a run.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import typer

from ner_components.evaluation.resampling import CountTable, macro_f, ratio

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)

SHARES = np.array([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]) / (137 / 60)
HARDER = np.array([0.3, 0.1, 0.0, -0.2, -0.4])  # of each label, on the logit scale
FIGURES = ("micro_f", "macro_f", "label_f", "schema_error_rate")
# Mean and spread of the logarithm of the number of entities, and how much harder a longer
# document is. "sentences" hold one to two entities, many of them none.
SIZES = {
    "even": (2.4, 0.5, 0.0),
    "unequal": (2.2, 0.8, -0.25),
    "sentences": (0.0, 0.8, 0.0),
    "extreme": (2.0, 1.1, -0.25),
}
USUAL = "even,unequal,sentences"
ERROR_RATE = 0.03


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    documents (int): How many.
    sizes (str): One of `SIZES`.
    f (float): About the F1.
    spread (float): Of the documents' difficulty, on the logit scale: 0 for mistakes that
        don't cluster.
    """

    documents: int
    sizes: str
    f: float
    spread: float


def simulate(rng: np.random.Generator, setting: Setting, n: int) -> np.ndarray:
    """RETURNS (ndarray): shape (2, n, 6, 3): for two systems, documents, and five labels
    twice the right, predicted with gold, and gold entities; last schema errors, candidates
    and 0."""
    mean, spread, harder = SIZES[setting.sizes]
    expected = rng.lognormal(mean, spread, n)[:, None] * SHARES * rng.gamma(2, 0.5, (n, 5))
    gold = rng.poisson(expected)
    logit = np.log(setting.f / (1 - setting.f)) + HARDER
    logit = logit + harder * np.log((1 + gold.sum(1, keepdims=True)) / 10)
    shared = rng.normal(0, setting.spread, (n, 1))
    result = np.zeros((2, n, 6, 3))
    for counts in result:
        own = rng.normal(0, setting.spread / 2, (n, 1))
        found = 1 / (1 + np.exp(-(logit + shared + own)))
        right = rng.binomial(gold, found)
        predicted = right + rng.poisson(gold * (1 - found) + 0.02 * (1 - setting.f))
        counts[:, :5] = np.stack([2 * right, predicted + gold, gold], axis=-1)
        total = predicted.sum(1)
        wrong = ERROR_RATE * np.exp(rng.normal(0, setting.spread, n))
        counts[:, 5, 0] = rng.binomial(total, np.minimum(wrong, 1))
        counts[:, 5, 1] = total
    return result


def make_table(systems: np.ndarray, figure: str) -> CountTable:
    """RETURNS (CountTable): of a figure, from shape (systems, n, 6, 3)."""
    labels = systems[:, None, :, :5]
    if figure == "macro_f":
        return CountTable(labels.reshape(*labels.shape[:3], -1), macro_f)
    columns = {
        "micro_f": labels[..., :2].sum(axis=3),
        "label_f": labels[..., 0, :2],
        "schema_error_rate": systems[:, None, :, 5, :2],
    }
    return CountTable(columns[figure], ratio)


def simulate_trials(setting: Setting, trials: int, seed: int) -> np.ndarray:
    """RETURNS (ndarray): shape (trials, 2, documents, 6, 3)."""
    n = setting.documents
    many = simulate(np.random.default_rng(seed), setting, trials * n)
    return np.moveaxis(many.reshape(2, trials, n, 6, 3), 1, 0)


def settings_of(documents: str, sizes: str) -> Iterator[Setting]:
    numbers = [int(x) for x in documents.split(",")]
    for x in product(numbers, sizes.split(","), (0.6, 0.8, 0.95), (0.0, 0.8)):
        yield Setting(*x)


@app.command()
def coverage(
    documents: str = "50,100,300",
    sizes: str = USUAL,
    methods: str = "jackknife",
    figures: str = ",".join(FIGURES),
    trials: int = 1000,
    resamples: int = 1000,
) -> None:
    """Print the share of 95% intervals that hold the truth, in percent: least, mean and
    most over the settings. Intervals that are a single point, and say so, don't count; the
    last column is the most of them."""
    shares: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    points: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for setting in settings_of(documents, sizes):
        truth = simulate(np.random.default_rng(1), setting, 400_000)[:1]
        samples = simulate_trials(setting, trials, seed=2)
        for figure, method in product(figures.split(","), methods.split(",")):
            whole = make_table(truth, figure)
            true = float(whole.figure(whole.sums))
            inside = []
            for systems in samples:
                table = make_table(systems[:1], figure)
                found = table.interval(method=method, resamples=resamples)
                if found.low < found.high:
                    inside.append(found.low <= true <= found.high)
            share = 100 * np.mean(inside)
            shares[figure, method, setting.documents].append(share)
            points[figure, method, setting.documents].append(
                100 - 100 * len(inside) / trials
            )
            print(setting, f"{true:.3f}", figure, method, f"{share:.1f}", flush=True)
    print("| figure | interval | documents | least | mean | most | points, most |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for key, share in sorted(shares.items()):
        cells = [min(share), np.mean(share), max(share), max(points[key])]
        print(f"| {' | '.join([*map(str, key), *(f'{x:.1f}' for x in cells)])} |")


@app.command()
def size(
    documents: str = "50,100,300",
    sizes: str = USUAL,
    trials: int = 1000,
    resamples: int = 1000,
) -> None:
    """Print how often two systems that are equally good differ with p < 0.05, in percent,
    and how often the interval of their difference leaves 0 out."""
    print("| documents | sizes | F1 | randomisation | bootstrap | interval |")
    print("|---:|---|---:|---:|---:|---:|")
    for setting in settings_of(documents, sizes):
        if not setting.spread:
            continue
        seen = np.zeros(3)
        for trial, systems in enumerate(simulate_trials(setting, trials, seed=3)):
            found = make_table(systems, "micro_f").compare(resamples=resamples, seed=trial)
            outside = not found.difference.low <= 0 <= found.difference.high
            seen += [found.p < 0.05, found.p_bootstrap < 0.05, outside]
        cells = [setting.documents, setting.sizes, setting.f]
        cells += [f"{100 * x / trials:.1f}" for x in seen]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    app()
