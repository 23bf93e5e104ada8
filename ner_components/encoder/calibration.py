"""Calibration on the dev set: how readily a token is taken for outside, what scores mean.

Outside bias: cross entropy makes a tagger cautious where entities are rare or new, and the
decision that maximises F1 is not the one that maximises accuracy: Lipton, Elkan and
Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", 2014.

Temperature scaling: Guo et al., "On calibration of modern neural networks", 2017, with
the log loss taken over the predicted spans being right or wrong.
"""

from typing import TYPE_CHECKING, Dict, List, Optional, Sequence

import numpy
from spacy.training import Example

from ..calibration import Judged, choose, judge, make_calibrate, minimise
from ..pipe import logger
from ..types import Floats2d

if TYPE_CHECKING:
    from .component import NerEncoder

__all__ = ["calibrate", "fit_outside_bias", "fit_temperature", "make_calibrate"]

# Wide, because a best value at an end of the range is cut off: on fin_sec's dev set it is
# -4.5, on WNUT-17's 1.5.
BIASES = [x / 2 for x in range(-10, 11)]


def calibrate(pipe: "NerEncoder", examples: Sequence[Example]) -> Dict[str, float]:
    """Fit a pipe's outside bias, then its temperature.

    pipe (NerEncoder): The pipe, modified in place.
    examples (Sequence[Example]): Held-out documents with gold entities.
    RETURNS (Dict[str, float]): Both, by name.
    """
    scores = pipe.tag_scores([eg.predicted for eg in examples])
    pipe.outside_bias = fit_outside_bias(pipe, examples, scores)
    pipe.temperature = fit_temperature(pipe, examples, scores)
    return {"temperature": pipe.temperature, "outside_bias": pipe.outside_bias}


def fit_outside_bias(
    pipe: "NerEncoder", examples: Sequence[Example], scores: Sequence[Floats2d]
) -> float:
    """Find what to take off the scores of "outside" so that F1 is best.

    pipe (NerEncoder): The pipe; it is not changed.
    examples (Sequence[Example]): Held-out documents with gold entities.
    scores (Sequence[Floats2d]): What `tag_scores` returned for the documents.
    RETURNS (float): The bias, -5 to 5; 0.0 without gold entities to fit it on.
    """
    gold = sum(len(eg.reference.ents) for eg in examples)
    if not gold:
        return 0.0
    f1: List[float] = []
    for bias in BIASES:
        right = score_spans(pipe, examples, scores, 1.0, bias)[1]
        f1.append(2 * right.sum() / (len(right) + gold))
    best = choose(BIASES, f1, 0.0)
    logger.info("%s: outside bias %.2f from %d documents", pipe.name, best, len(examples))
    return best


def fit_temperature(
    pipe: "NerEncoder",
    examples: Sequence[Example],
    scores: Optional[Sequence[Floats2d]] = None,
) -> float:
    """Find the temperature that makes the scores of predicted spans most likely.

    pipe (NerEncoder): The pipe; it is not changed.
    examples (Sequence[Example]): Held-out documents with gold entities. Predictions on
        unannotated tokens don't count.
    scores (Optional[Sequence[Floats2d]]): What `tag_scores` returned for the documents,
        if that is known.
    RETURNS (float): The temperature, 0.25 to 8; 1.0 without a prediction to fit it on.
    """
    if scores is None:
        scores = pipe.tag_scores([eg.predicted for eg in examples])

    def log_loss(temperature: float) -> float:
        p, right = score_spans(pipe, examples, scores, temperature)
        if not len(p):
            return 0.0
        p = numpy.clip(p, 1e-6, 1 - 1e-6)
        return float(-numpy.log(numpy.where(right, p, 1 - p)).mean())

    # Over the logarithm: half and twice are as far away.
    low, high = float(numpy.log(0.25)), float(numpy.log(8.0))
    found = minimise(lambda x: log_loss(float(numpy.exp(x))), low, high)
    # Rounded, because JSON keeps ten digits: what is saved is what was fitted.
    best = round(float(numpy.exp(found)), 6)
    if log_loss(best) >= log_loss(1.0):
        best = 1.0
    logger.info("%s: temperature %.3f from %d documents", pipe.name, best, len(examples))
    return best


def score_spans(
    pipe: "NerEncoder",
    examples: Sequence[Example],
    scores: Sequence[Floats2d],
    temperature: float,
    outside_bias: Optional[float] = None,
) -> Judged:
    """Score predicted spans at a temperature. Left out are those that say nothing about
    it: spans on unannotated tokens, and spans whose tag leads to no label.

    pipe (NerEncoder): The pipe; it is not changed.
    examples (Sequence[Example]): Documents with gold entities.
    scores (Sequence[Floats2d]): What `tag_scores` returned for the documents.
    temperature (float): What the scores are divided by.
    outside_bias (Optional[float]): What is taken off the scores of "outside"; the
        pipe's own by default.
    RETURNS (Tuple[Floats1d, Bools1d]): Score of each predicted span, and whether the
        span is right.
    """
    saved = pipe.temperature, pipe.outside_bias
    pipe.temperature = temperature
    pipe.outside_bias = pipe.outside_bias if outside_bias is None else outside_bias
    try:
        decoded = pipe.decode([eg.predicted for eg in examples], scores)
    finally:
        pipe.temperature, pipe.outside_bias = saved
    return judge(examples, decoded, pipe.schema)
