"""The ruler: entities against the reference, and how far chance may have moved a figure.

`evaluate` counts, an `Evaluation` derives every figure, `interval` and `compare` say what
chance does to it. This module is the door: everything public is named here.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from itertools import pairwise
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Sequence, Set, Tuple

import numpy
from spacy.attrs import ENT_IOB, IDX, LENGTH
from spacy.tokens import Doc
from spacy.training import Example

from ..entities import DEFAULT_SPANS_KEY, get_ner_score
from ..errors import Errors
from .calibration import Calibration, ReliabilityBin
from .costs import Cost, Costs, LabelCosts
from .resampling import Comparison, CountTable, Interval
from .results import LENGTHS, DocumentCounts, Evaluation, MacroScore
from .scorer import count_candidates, schema_error_rate
from .spans import (
    ErrorCounts,
    Key,
    Outcome,
    SemevalScore,
    SpanScore,
    classify,
    count_semeval,
    count_spans,
    match_spans,
)
from .statistics import compare, interval

__all__ = [
    "Calibration",
    "Comparison",
    "Cost",
    "Costs",
    "CountTable",
    "DocumentCounts",
    "ErrorCounts",
    "Evaluation",
    "Interval",
    "LabelCosts",
    "MacroScore",
    "Outcome",
    "ReliabilityBin",
    "SemevalScore",
    "SpanScore",
    "classify",
    "compare",
    "count_semeval",
    "count_spans",
    "evaluate",
    "evaluate_spans",
    "interval",
    "match_spans",
    "schema_error_rate",
    "surfaces",
]


def evaluate(
    examples: Iterable[Example],
    *,
    train_surfaces: Optional[FrozenSet[str]] = None,
    spans_key: Optional[str] = DEFAULT_SPANS_KEY,
    can_err: bool = True,
) -> Evaluation:
    """Compare the entities of predictions with those of references, by characters. The two
    may be tokenised differently. Predictions that touch a token whose annotation is missing
    are left out and counted, as in spaCy's scorer.

    examples (Iterable[Example]): Predictions and references. The references' `user_data`
        may have "id" (of the source document, shared by its sentences), "lang", "genre" and
        "tags".
    train_surfaces (Optional[FrozenSet[str]]): What `surfaces` found in the training data;
        `None` for no split into seen and unseen.
    spans_key (Optional[str]): The group that the pipe writes.
    can_err (bool): Whether the engine can make schema errors at all.
    RETURNS (Evaluation): The counts.
    RAISES (ValueError): The texts of a prediction and its reference differ.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> text, gold = "Ann Lee left Acme", [(0, 7, "PERSON"), (13, 17, "ORG")]
    >>> example = Example.from_dict(nlp(text), {"entities": gold})
    >>> example.predicted.ents = [example.predicted.char_span(0, 7, label="PERSON")]
    >>> evaluation = evaluate([example], train_surfaces=frozenset({"acme"}))
    >>> evaluation.micro.p, evaluation.micro.r, round(evaluation.micro.f, 4)
    (1.0, 0.5, 0.6667)
    >>> evaluation.by_surface["seen"].r, evaluation.by_surface["unseen"].r
    (0.0, 1.0)
    """
    documents = tuple(
        _count_example(eg, i, train_surfaces, spans_key) for i, eg in enumerate(examples)
    )
    return Evaluation(documents, can_err)


def evaluate_spans(
    gold: Sequence[Iterable[Key]],
    predicted: Sequence[Iterable[Key]],
    *,
    ids: Optional[Sequence[Any]] = None,
) -> Evaluation:
    """Compare plain spans, for annotation that is in no `Doc`.

    gold (Sequence[Iterable[Tuple[int, int, str]]]): For each document its spans: start, end
        (exclusive) and label, in characters or in tokens, free of overlap.
    predicted (Sequence[Iterable[Tuple[int, int, str]]]): Predicted spans in the same form.
    ids (Optional[Sequence[Any]]): Of the source documents; equal ones are drawn together.
    RETURNS (Evaluation): The counts, without lengths, surfaces and candidates.
    RAISES (ValueError): Not as many predictions as documents, or spans overlap.

    >>> evaluate_spans([[(0, 3, "ORG")]], [[(0, 3, "ORG"), (5, 9, "ORG")]]).micro
    SpanScore(right=1, predicted=2, gold=1)
    """
    if len(gold) != len(predicted) or (ids is not None and len(ids) != len(gold)):
        raise ValueError(Errors.N088.format(gold=len(gold), predicted=len(predicted)))
    documents = []
    for i, (of_gold, of_predicted) in enumerate(zip(gold, predicted, strict=True)):
        keys = [_sorted_keys(of_gold, i), _sorted_keys(of_predicted, i)]
        documents.append(
            DocumentCounts(id=None if ids is None else ids[i], **_count_keys(*keys))
        )
    return Evaluation(tuple(documents))


def surfaces(docs: Iterable[Doc]) -> FrozenSet[str]:
    """Collect the surface forms of entities: case folded, any white space as one space,
    whatever the label. An entity whose form is among them is seen (Augenstein, Derczynski
    and Bontcheva, "Generalisation in named entity recognition", 2017).

    docs (Iterable[Doc]): Training documents.
    RETURNS (FrozenSet[str]): The forms.

    >>> import spacy
    >>> doc = spacy.blank("en")("New  York grew")
    >>> doc.ents = [doc.char_span(0, 9, label="LOCATION")]
    >>> surfaces([doc])
    frozenset({'new york'})
    """
    return frozenset(_surface(ent.text) for doc in docs for ent in doc.ents)


def _surface(text: str) -> str:
    return " ".join(text.casefold().split())


class _Tokens:
    """Borders and annotation of the tokens of a reference."""

    def __init__(self, doc: Doc) -> None:
        array = doc.to_array([IDX, LENGTH, ENT_IOB]).astype(numpy.int64).reshape(-1, 3)
        self.starts: List[int] = array[:, 0].tolist()
        self.ends: List[int] = (array[:, 0] + array[:, 1]).tolist()
        self.known: List[bool] = (array[:, 2] != 0).tolist()

    def touched(self, key: Key) -> Tuple[int, int]:
        """RETURNS (Tuple[int, int]): First token of a span and one past the last."""
        return bisect_right(self.ends, key[0]), bisect_left(self.starts, key[1])

    def is_annotated(self, key: Key) -> bool:
        """RETURNS (bool): Whether no token of the span lacks annotation."""
        i, j = self.touched(key)
        return all(self.known[i:j])

    def length(self, key: Key) -> str:
        """RETURNS (str): One of `LENGTHS`."""
        i, j = self.touched(key)
        return LENGTHS[min(max(j - i, 1), len(LENGTHS)) - 1]


def _count_example(
    example: Example,
    index: int,
    train_surfaces: Optional[FrozenSet[str]],
    spans_key: Optional[str],
) -> DocumentCounts:
    reference, found = example.reference, example.predicted
    text = reference.text
    if found.text != text:
        raise ValueError(Errors.N081.format(index=index))
    tokens = _Tokens(reference)
    gold = [(x.start_char, x.end_char, x.label_) for x in reference.ents]
    ents = {(x.start_char, x.end_char, x.label_): x for x in found.ents}
    predicted = [key for key in ents if tokens.is_annotated(key)]
    right = set(gold)
    scores = [(get_ner_score(ents[key]), key in right) for key in predicted]
    data = reference.user_data
    return DocumentCounts(
        id=data.get("id"),
        lang=data.get("lang") or "",
        genre=data.get("genre") or "",
        tags=tuple(data.get("tags") or ()),
        annotated=any(tokens.known),
        lengths=_count_by(gold, predicted, tokens.length),
        surfaces={}
        if train_surfaces is None
        else _count_by(
            gold,
            predicted,
            lambda x: "seen" if _surface(text[x[0] : x[1]]) in train_surfaces else "unseen",
        ),
        scored=tuple((x, is_right) for x, is_right in scores if x is not None),
        unscored=sum(x is None for x, _ in scores),
        unannotated=len(ents) - len(predicted),
        candidates=dict(count_candidates([found], spans_key)),
        **_count_keys(gold, predicted),
    )


def _count_keys(gold: List[Key], predicted: List[Key]) -> Dict[str, Any]:
    pairs = match_spans(gold, predicted)
    return {
        "labels": _count_by(gold, predicted, lambda x: x[2]),
        "outcomes": dict(Counter(classify(pair) for pair in pairs)),
        "semeval": count_semeval(gold, predicted, pairs),
    }


def _count_by(gold: List[Key], predicted: List[Key], name_of: Any) -> Dict[str, SpanScore]:
    of_gold: Dict[str, Set[Key]] = {}
    of_predicted: Dict[str, Set[Key]] = {}
    for keys, parts in ((gold, of_gold), (predicted, of_predicted)):
        for key in keys:
            parts.setdefault(name_of(key), set()).add(key)
    return {
        name: count_spans(of_gold.get(name, ()), of_predicted.get(name, ()))
        for name in sorted({*of_gold, *of_predicted})
    }


def _sorted_keys(spans: Iterable[Key], index: int) -> List[Key]:
    keys = sorted({(start, end, label) for start, end, label in spans})
    for one, other in pairwise(keys):
        if other[0] < one[1]:
            first, second = f"{one[0]}-{one[1]}", f"{other[0]}-{other[1]}"
            raise ValueError(Errors.N086.format(index=index, first=first, second=second))
    return keys
