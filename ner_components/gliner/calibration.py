"""What a GLiNER model's scores mean: temperature and bias of their logits.

Trained with more weight on entities than on the rest (alpha, label sampling), its scores
are too high or too low as a whole, not only too sure, so a bias goes with the temperature:
Platt, "Probabilistic outputs for support vector machines", 1999; temperature alone: Guo et
al., "On calibration of modern neural networks", 2017.
"""

import math
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from ..calibration import minimise
from ..types import Floats1d

# Spans below this are no part of the fit: there are so many that they would be all it sees.
FIT_FLOOR = 0.1
TEMPERATURES = (0.25, 8.0)
BIASES = (-8.0, 8.0)
# Scores nearer to 0 or 1 than this count as that near when numbers are fitted.
NEAREST = 1e-6


class Scale(NamedTuple):
    """A map of scores that keeps their order: p -> sigmoid(logit(p) / temperature + bias).

    temperature (float): Above 0; above 1 makes scores less sure.
    bias (float): Added to the logit.
    """

    temperature: float = 1.0
    bias: float = 0.0

    def apply(self, scores: Floats1d) -> Floats1d:
        """RETURNS (Floats1d): The scores on this scale; the same array where nothing was
        fitted."""
        if self == Scale():
            return scores
        p = numpy.asarray(scores, dtype="float64")
        with numpy.errstate(divide="ignore", over="ignore"):
            # log(p / (1 - p)): minus infinity at 0, infinity at 1.
            logits = numpy.log(p) - numpy.log1p(-p)
            return 1.0 / (1.0 + numpy.exp(-(logits / self.temperature + self.bias)))

    def invert(self, score: float) -> float:
        """RETURNS (float): The model's own score that this scale turns into a score, a hair
        lower, so that rounding loses nothing."""
        if self == Scale() or score in (0.0, 1.0):
            return score
        logit = math.log(score) - math.log1p(-score)
        raw = (logit - self.bias) * self.temperature
        # Beyond that exp overflows.
        return (1 - 1e-6) / (1.0 + math.exp(-raw)) if raw > -700 else 0.0


def fit_scale(scores: Floats1d, right: NDArray[Any]) -> Scale:
    """Find the scale on which scores are most likely, given which spans are right.

    scores (Floats1d): The model's own scores, 0 to 1.
    right (Bools1d): Whether each span is right; there must be both.
    RETURNS (Scale): Temperature 0.25 to 8 and bias -8 to 8; no change where that is no
        better.
    """
    p = numpy.clip(numpy.asarray(scores, dtype="float64"), NEAREST, 1 - NEAREST)
    logits = numpy.log(p) - numpy.log1p(-p)
    sign = numpy.where(right, -1.0, 1.0)

    def loss(temperature: float, bias: float) -> float:
        return float(numpy.logaddexp(0.0, sign * (logits / temperature + bias)).mean())

    def best_bias(temperature: float) -> float:
        return minimise(lambda b: loss(temperature, b), *BIASES, tolerance=1e-6)

    # Convex in 1 / temperature and bias together, so one search inside the other finds it.
    low, high = (math.log(x) for x in TEMPERATURES)
    found = minimise(
        lambda x: loss(math.exp(x), best_bias(math.exp(x))), low, high, tolerance=1e-5
    )
    # Rounded, because JSON keeps ten digits: what is saved is what was fitted.
    temperature = round(math.exp(found), 6)
    scale = Scale(temperature, round(best_bias(temperature), 6))
    return scale if loss(*scale) < loss(1.0, 0.0) else Scale()
