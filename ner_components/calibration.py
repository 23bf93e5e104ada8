"""Calibration on a dev set: what the engines share, and the callback that calls them.

An engine's `calibrate` fits numbers that its scores go through, so that a score is the
chance of being right, and its state keeps them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus, Example

from .entities import Candidate, resolve
from .pipe import NerPipe
from .schema import EntitySchema
from .types import Floats1d

# Thresholds that are tried: 0.05 to 0.95.
THRESHOLDS = [x / 20 for x in range(1, 20)]

Judged = Tuple[Floats1d, NDArray[numpy.bool_]]


def make_calibrate(path: Path, limit: int = 0) -> Callable[[Language], Language]:
    """Make a callback that calibrates every pipe of a pipeline that can be, for
    `[training.before_to_disk]` (`@callbacks = "ner_components.calibrate.v1"`).

    path (Path): Annotated documents in spaCy's binary format: the dev set, never the
        test set.
    limit (int): Most documents used, 0 for all.
    RETURNS (Callable[[Language], Language]): The callback.
    """

    def calibrate_pipeline(nlp: Language) -> Language:
        for name, pipe in find_pipes(nlp):
            pipe.calibrate(read_examples(nlp, name, path, limit))
        return nlp

    return calibrate_pipeline


def find_pipes(nlp: Language) -> List[Tuple[str, NerPipe]]:
    """RETURNS (List[Tuple[str, NerPipe]]): Name and pipe of all that can be calibrated."""
    pipes = [(name, x) for name, x in nlp.pipeline if isinstance(x, NerPipe)]
    return [(name, x) for name, x in pipes if x.can_calibrate]


def read_examples(nlp: Language, name: str, path: Path, limit: int = 0) -> List[Example]:
    """Read annotated documents and run the pipes before one over them: a listener needs
    its upstream.

    nlp (Language): The pipeline.
    name (str): Name of the pipe.
    path (Path): The documents, in spaCy's binary format.
    limit (int): Most documents, 0 for all.
    RETURNS (List[Example]): The documents as the pipe would get them, and the annotation.
    """
    examples = list(Corpus(path, limit=limit)(nlp))
    before = nlp.pipe_names[: nlp.pipe_names.index(name)]
    with nlp.select_pipes(enable=before):
        docs = list(nlp.pipe(eg.predicted for eg in examples))
    return [Example(x, eg.reference) for x, eg in zip(docs, examples, strict=True)]


def judge(
    examples: Sequence[Example],
    candidates: Sequence[Sequence[Candidate]],
    schema: EntitySchema,
) -> Judged:
    """Compare proposed spans with the annotation. Left out are those that say nothing:
    spans on tokens without annotation, and spans of no label of the schema.

    examples (Sequence[Example]): Documents with gold entities.
    candidates (Sequence[Sequence[Candidate]]): What was proposed for each.
    schema (EntitySchema): The labels.
    RETURNS (Tuple[Floats1d, Bools1d]): Score of each span, and whether it is right.
    """
    p: List[float] = []
    right: List[bool] = []
    for found, eg in zip(candidates, examples, strict=True):
        ents = eg.reference.ents
        gold = {(x.start_char, x.end_char, schema.resolve(x.label_)) for x in ents}
        for x in found:
            label = schema.resolve(x.label)
            if label is None or not _is_annotated(eg.reference, x):
                continue
            p.append(x.score or 0.0)
            right.append((x.start_char, x.end_char, label) in gold)
    return numpy.asarray(p), numpy.asarray(right, dtype=bool)


def keep_entities(
    pipe: NerPipe,
    docs: Sequence[Doc],
    candidates: Sequence[List[Candidate]],
    threshold: float,
    schema: Optional[EntitySchema] = None,
) -> List[List[Candidate]]:
    """Decide which candidates would be entities, changing nothing.

    pipe (NerPipe): The pipe, whose other settings hold.
    docs (Sequence[Doc]): The documents.
    candidates (Sequence[List[Candidate]]): What was proposed for each.
    threshold (float): Least score.
    schema (Optional[EntitySchema]): The labels; the pipe's by default.
    RETURNS (List[List[Candidate]]): The entities of each document.
    """
    schema = schema or pipe.schema
    rules = replace(pipe.rules, threshold=threshold)
    pairs = zip(docs, candidates, strict=True)
    kept = [resolve(doc, found, schema, rules).entities for doc, found in pairs]
    return [
        [Candidate(x.start_char, x.end_char, x.label, x.score) for x in row] for row in kept
    ]


def find_best_threshold(pipe: NerPipe, examples: Sequence[Example]) -> float:
    """Find the global threshold with the best F1. Labels that have one of their own keep
    it.

    pipe (NerPipe): The pipe; it is not changed.
    examples (Sequence[Example]): Held-out documents with gold entities.
    RETURNS (float): The threshold, 0.05 to 0.95; the pipe's own without gold entities.
    """
    saved = pipe.cfg["threshold"]
    gold = sum(len(eg.reference.ents) for eg in examples)
    if not gold:
        return saved
    docs = [eg.predicted for eg in examples]
    pipe.cfg["threshold"] = THRESHOLDS[0]
    try:
        candidates = pipe.predict(docs)
    finally:
        pipe.cfg["threshold"] = saved
    f1 = []
    for threshold in THRESHOLDS:
        kept = keep_entities(pipe, docs, candidates, threshold)
        right = judge(examples, kept, pipe.schema)[1]
        f1.append(2 * right.sum() / (len(right) + gold))
    return choose(THRESHOLDS, f1, saved)


def choose(values: Sequence[float], f1: Sequence[float], near: float) -> float:
    """Choose the value with the best F1.

    values (Sequence[float]): What was tried, in order.
    f1 (Sequence[float]): The F1 of each.
    near (float): Where several are as good, the one nearest to this is taken.
    RETURNS (float): The value.
    """
    # The mean with both neighbours: a small dev set has peaks that mean nothing.
    smooth = numpy.convolve(numpy.pad(f1, 1, mode="edge"), numpy.ones(3) / 3, "valid")
    ranked = zip((-smooth).round(9).tolist(), values, strict=True)
    return min((rank, abs(x - near), x) for rank, x in ranked)[2]


def minimise(
    loss: Callable[[float], float], low: float, high: float, tolerance: float = 0.01
) -> float:
    """Golden-section search: Kiefer, "Sequential minimax search for a maximum", 1953.

    loss (Callable[[float], float]): A function with one minimum.
    low (float), high (float): Where it is looked for.
    tolerance (float): Length of the stretch in which it ends.
    RETURNS (float): Where the loss is least.
    """
    ratio = (5**0.5 - 1) / 2
    a, b = low, high
    x, y = b - ratio * (b - a), a + ratio * (b - a)
    loss_x, loss_y = loss(x), loss(y)
    while b - a > tolerance:
        if loss_x <= loss_y:
            b, y, loss_y = y, x, loss_x
            x = b - ratio * (b - a)
            loss_x = loss(x)
        else:
            a, x, loss_x = x, y, loss_y
            y = a + ratio * (b - a)
            loss_y = loss(y)
    return (a + b) / 2


def _is_annotated(reference: Doc, x: Candidate) -> bool:
    assert x.start_char is not None
    assert x.end_char is not None
    span = reference.char_span(x.start_char, x.end_char, alignment_mode="expand")
    return span is not None and all(token.ent_iob for token in span)
