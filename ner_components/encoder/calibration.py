"""Calibration on the dev set: how readily a token is taken for outside, what scores mean.

Outside bias: cross entropy makes a tagger cautious where entities are rare or new, and the
decision that maximises F1 is not the one that maximises accuracy: Lipton, Elkan and
Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", 2014.

Temperature scaling: Guo et al., "On calibration of modern neural networks", 2017, with
the log loss taken over the predicted spans being right or wrong.
"""

from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus, Example

from ..entities import Candidate
from ..pipe import logger
from ..types import Floats1d, Floats2d
from .component import NerEncoder

# Wide, because a best value at an end of the range is cut off: on fin_sec's dev set it is
# -4.5, on WNUT-17's 1.5.
BIASES = [x / 2 for x in range(-10, 11)]


def make_calibrate(path: Path, limit: int = 0) -> Callable[[Language], Language]:
    """Make a callback that calibrates every `ner_encoder` of a pipeline, for
    `[training.before_to_disk]` (`@callbacks = "ner_components.calibrate.v1"`).

    path (Path): Annotated documents in spaCy's binary format: the dev set, never the
        test set.
    limit (int): Most documents used, 0 for all.
    RETURNS (Callable[[Language], Language]): The callback.
    """

    def calibrate_pipeline(nlp: Language) -> Language:
        for name, pipe in nlp.pipeline:
            if isinstance(pipe, NerEncoder):
                examples = list(Corpus(path, limit=limit)(nlp))
                before = nlp.select_pipes(
                    enable=nlp.pipe_names[: nlp.pipe_names.index(name)]
                )
                with before:
                    docs = list(nlp.pipe(eg.predicted for eg in examples))
                examples = [
                    Example(doc, eg.reference)
                    for doc, eg in zip(docs, examples, strict=True)
                ]
                calibrate(pipe, examples)
        return nlp

    return calibrate_pipeline


def calibrate(pipe: NerEncoder, examples: Sequence[Example]) -> None:
    """Fit a pipe's outside bias, then its temperature.

    pipe (NerEncoder): The pipe, modified in place.
    examples (Sequence[Example]): Held-out documents with gold entities.
    """
    scores = pipe.tag_scores([eg.predicted for eg in examples])
    pipe.outside_bias = fit_outside_bias(pipe, examples, scores)
    pipe.temperature = fit_temperature(pipe, examples, scores)


def fit_outside_bias(
    pipe: NerEncoder, examples: Sequence[Example], scores: Sequence[Floats2d]
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
    f1 = []
    for bias in BIASES:
        right = score_spans(pipe, examples, scores, 1.0, bias)[1]
        f1.append(2 * right.sum() / (len(right) + gold))
    # The mean with both neighbours: a small dev set has peaks that mean nothing.
    smooth = numpy.convolve(numpy.pad(f1, 1, mode="edge"), numpy.ones(3) / 3, "valid")
    # Where several are as good, the one that changes least.
    best = min(BIASES, key=lambda x: (-round(smooth[BIASES.index(x)], 9), abs(x)))
    logger.info("%s: outside bias %.2f from %d documents", pipe.name, best, len(examples))
    return best


def fit_temperature(
    pipe: NerEncoder,
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

    low, high = numpy.log(0.25), numpy.log(8.0)
    # Rounded, because JSON keeps ten digits: what is saved is what was fitted.
    best = round(_minimise(log_loss, low, high), 6)
    if log_loss(best) >= log_loss(1.0):
        best = 1.0
    logger.info("%s: temperature %.3f from %d documents", pipe.name, best, len(examples))
    return best


def score_spans(
    pipe: NerEncoder,
    examples: Sequence[Example],
    scores: Sequence[Floats2d],
    temperature: float,
    outside_bias: Optional[float] = None,
) -> Tuple[Floats1d, NDArray[numpy.bool_]]:
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
    p: List[float] = []
    right: List[bool] = []
    for candidates, eg in zip(decoded, examples, strict=True):
        ents = eg.reference.ents
        gold = {(x.start_char, x.end_char, pipe.schema.resolve(x.label_)) for x in ents}
        for x in candidates:
            label = pipe.schema.resolve(x.label)
            if label is None or not _is_annotated(eg.reference, x):
                continue
            p.append(x.score or 0.0)
            right.append((x.start_char, x.end_char, label) in gold)
    return numpy.asarray(p), numpy.asarray(right, dtype=bool)


def _is_annotated(reference: Doc, x: Candidate) -> bool:
    assert x.start_char is not None
    assert x.end_char is not None
    span = reference.char_span(x.start_char, x.end_char, alignment_mode="expand")
    return span is not None and all(token.ent_iob for token in span)


def _minimise(loss: Callable[[float], float], low: float, high: float) -> float:
    """Golden-section search over the logarithm of the temperature: Kiefer, "Sequential
    minimax search for a maximum", 1953."""
    ratio = (5**0.5 - 1) / 2
    a, b = low, high
    x, y = b - ratio * (b - a), a + ratio * (b - a)
    loss_x, loss_y = loss(float(numpy.exp(x))), loss(float(numpy.exp(y)))
    while b - a > 0.01:
        if loss_x <= loss_y:
            b, y, loss_y = y, x, loss_x
            x = b - ratio * (b - a)
            loss_x = loss(float(numpy.exp(x)))
        else:
            a, x, loss_x = x, y, loss_y
            y = a + ratio * (b - a)
            loss_y = loss(float(numpy.exp(y)))
    return float(numpy.exp((a + b) / 2))
