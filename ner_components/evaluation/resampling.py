"""Tables of counts by document, and what leaving out, drawing or swapping documents does
to a figure. Arrays only: `statistics` makes the tables.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Callable, Dict, List, Tuple

import numpy
from numpy.typing import NDArray

from ..errors import Errors

METHODS = ("jackknife", "percentile", "basic", "bca")
RESAMPLES = 1000
RELIABLE = 50
CELLS = 4_000_000  # of one block of drawn documents: 32 MB

Counts = NDArray[numpy.float64]
Statistic = Callable[[Counts], Counts]


@dataclass(frozen=True)
class Interval:
    """A figure and its interval.

    value (float): The figure itself; for several seeds the mean.
    low (float), high (float): Bounds.
    confidence (float): Share of such intervals that hold the true value, 0 to 1.
    documents (int): Documents that say something about the figure.
    seeds (Tuple[float, ...]): The figure of each seed, in order.
    method (str): One of `METHODS`.
    """

    value: float
    low: float
    high: float
    confidence: float
    documents: int
    seeds: Tuple[float, ...]
    method: str

    @property
    def reliable(self) -> bool:
        """RETURNS (bool): Whether there are documents enough, `RELIABLE`, for the interval
        to mean what it says, and it is no single point. See docs/metrics.md."""
        return self.documents >= RELIABLE and self.low < self.high

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The fields and `reliable`."""
        return {**vars(self), "seeds": list(self.seeds), "reliable": self.reliable}


@dataclass(frozen=True)
class Comparison:
    """What a system gains over another one on the same documents.

    difference (Interval): First minus second.
    p (float): Two-sided p of approximate randomisation, 0 to 1: the one to report.
    p_bootstrap (float): Two-sided p of the paired bootstrap, 0 to 1, for comparison with
        papers that give it; too small below 100 documents, see docs/metrics.md.
    """

    difference: Interval
    p: float
    p_bootstrap: float

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The fields."""
        return {**vars(self), "difference": self.difference.to_dict()}


@dataclass(frozen=True)
class CountTable:
    """What a figure of one system, or the difference of two, is computed from.

    counts (ndarray): Shape (systems, seeds, documents, columns).
    statistic (Callable): From counts (..., columns) to figures (...): `ratio`, `macro_f`.
    share (bool): Whether the figure of a system lies between 0 and 1, and so its bounds.

    >>> table = CountTable(numpy.array([[[[2.0, 2.0], [0.0, 2.0]] * 50]]), ratio)
    >>> found = table.interval()
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (0.5, 0.4, 0.6)
    """

    counts: Counts
    statistic: Statistic
    share: bool = True

    def figure(self, sums: Counts) -> Counts:
        """From sums (..., systems, seeds, columns) to the mean over the seeds, or the
        first system's less the second's: shape (...)."""
        means = self.statistic(sums).mean(axis=-1)
        return means[..., 0] - means[..., 1] if means.shape[-1] == 2 else means[..., 0]

    @property
    def sums(self) -> Counts:
        """Shape (systems, seeds, columns)."""
        return self.counts.sum(axis=2)

    @property
    def left_out(self) -> Counts:
        """Shape (documents,): the figure without each document."""
        return self.figure(numpy.moveaxis(self.sums[:, :, None] - self.counts, 2, 0))

    @property
    def documents(self) -> int:
        """RETURNS (int): Documents that say something about the figure."""
        return int((self.counts != 0).any(axis=(0, 1, 3)).sum())

    def interval(
        self,
        *,
        confidence: float = 0.95,
        method: str = METHODS[0],
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> Interval:
        """RETURNS (Interval): Of the figure. The settings are those of
        `statistics.interval`."""
        if method not in METHODS:
            raise ValueError(Errors.N087.format(method=method, allowed=", ".join(METHODS)))
        value = float(self.figure(self.sums))
        if method == "jackknife":
            low, high = _jackknife(self, value, confidence)
        else:
            drawn = draw(self, resamples, seed)
            low, high = _bootstrap(self, value, drawn, confidence, method)
        per_seed = self.statistic(self.sums)
        seeds = per_seed[0] - per_seed[1] if len(per_seed) == 2 else per_seed[0]
        return Interval(
            value, low, high, confidence, self.documents, tuple(seeds.tolist()), method
        )

    def compare(
        self, *, resamples: int = RESAMPLES, seed: int = 0, **kwargs: Any
    ) -> Comparison:
        """RETURNS (Comparison): Of the two systems. The settings are those of
        `statistics.compare`."""
        found = self.interval(resamples=resamples, seed=seed, **kwargs)
        # A draw that changes nothing may come out a rounding error nearer to 0.
        least = abs(found.value) - 1e-12
        drawn, swapped = draw(self, resamples, seed), swap(self, resamples, seed)
        return Comparison(
            found,
            _p_value(numpy.abs(swapped) >= least),
            _p_value(numpy.abs(drawn - found.value) >= least),
        )


def ratio(sums: Counts) -> Counts:
    """RETURNS (Counts): First column over second, 0.0 where that is 0."""
    above, below = numpy.moveaxis(sums, -1, 0)
    return above / numpy.maximum(below, 1)


def macro_f(sums: Counts) -> Counts:
    """RETURNS (Counts): Mean F1 over the labels that have gold spans, of three columns for
    each label: twice the right ones, predicted and gold together, gold."""
    right, total, gold = numpy.moveaxis(sums.reshape(*sums.shape[:-1], -1, 3), -1, 0)
    # The mean over the labels that are there, as in the figure itself.
    return (right / numpy.maximum(total, 1) * (gold > 0)).sum(axis=-1) / numpy.maximum(
        (gold > 0).sum(axis=-1), 1
    )


def draw(table: CountTable, resamples: int, seed: int) -> Counts:
    """RETURNS (Counts): Shape (resamples,): the figure in sets of documents drawn with
    replacement. Equally many documents and the same seed give the same draws, so that
    systems can be subtracted draw by draw."""
    counts = table.counts
    n = counts.shape[2]
    flat = numpy.moveaxis(counts, 2, 0).reshape(n, -1)
    shape = (*counts.shape[:2], counts.shape[3])
    rng = numpy.random.default_rng(seed)
    result: List[Counts] = []
    block = max(1, CELLS // n)
    for first in range(0, resamples, block):
        size = min(block, resamples - first)
        times = rng.multinomial(n, numpy.full(n, 1 / n), size=size)
        result.append(table.figure((times.astype(float) @ flat).reshape(size, *shape)))
    return numpy.concatenate(result)


def swap(table: CountTable, resamples: int, seed: int) -> Counts:
    """RETURNS (Counts): Shape (resamples,): the difference after documents drawn by a coin
    have changed sides."""
    first, second = table.counts
    seeds, n, columns = first.shape
    change = (second - first).transpose(1, 0, 2).reshape(n, -1)
    sums = table.sums
    rng = numpy.random.default_rng(seed)
    result: List[Counts] = []
    block = max(1, CELLS // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        coin = rng.integers(0, 2, size=(size, n)).astype(float)
        moved = (coin @ change).reshape(size, seeds, columns)
        sides = numpy.stack([sums[0] + moved, sums[1] - moved], axis=1)
        result.append(table.figure(sides))
    return numpy.concatenate(result)


def _jackknife(table: CountTable, value: float, confidence: float) -> Tuple[float, float]:
    away = table.left_out.mean() - table.left_out
    n, spread = len(away), float((away**2).sum())
    is_share = table.share and len(table.counts) == 1
    if n < 2 or spread < 1e-20 or (is_share and not 0 < value < 1):
        return value, value
    # Var(s^2) / s^4 is 2 / df. Each square has one degree of freedom, and a fourth power
    # is three times the squared variance: so one document that outweighs the others
    # leaves few.
    freedom = min(max(3 * spread**2 / float((away**4).sum()), 1.0), n - 1.0)
    reach = _student(freedom, (1 + confidence) / 2) * math.sqrt((n - 1) / n * spread)
    if not is_share:
        return value - reach, value + reach
    middle, reach = math.log(value / (1 - value)), reach / (value * (1 - value))
    return _expit(middle - reach), _expit(middle + reach)


def _student(freedom: float, share: float) -> float:
    try:
        from scipy.special import stdtrit
    except ImportError as e:
        raise ImportError(Errors.N084.format(package="scipy")) from e
    return float(stdtrit(freedom, share))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _bootstrap(
    table: CountTable, value: float, drawn: Counts, confidence: float, method: str
) -> Tuple[float, float]:
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    if method == "bca":
        tails = _bca_tails(table, value, drawn, tails)
    low, high = (float(x) for x in numpy.percentile(drawn, [100 * x for x in tails]))
    return (2 * value - high, 2 * value - low) if method == "basic" else (low, high)


def _bca_tails(
    table: CountTable, value: float, drawn: Counts, tails: List[float]
) -> List[float]:
    """Move the percentiles for bias and skew: Efron 1987, section 3."""
    normal = NormalDist()
    below = float((drawn < value).mean() + (drawn == value).mean() / 2)
    if not 0 < below < 1:
        return tails
    bias = normal.inv_cdf(below)
    away = table.left_out.mean() - table.left_out
    spread = float((away**2).sum())
    skew = float((away**3).sum()) / (6 * spread**1.5) if spread else 0.0
    moved = [bias + normal.inv_cdf(tail) for tail in tails]
    return [normal.cdf(bias + z / (1 - skew * z)) for z in moved]


def _p_value(as_far: NDArray[numpy.bool_]) -> float:
    # The data themselves are one of the draws, so that p is never 0: Noreen 1989.
    return (int(as_far.sum()) + 1) / (len(as_far) + 1)
