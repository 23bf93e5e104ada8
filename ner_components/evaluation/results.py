"""What an evaluation is: counts by document, and every figure that follows from them."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import add
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple

import numpy

from ..entities import REASONS, STATES
from .calibration import Calibration
from .costs import Cost, Costs, sum_costs
from .scorer import schema_error_rate
from .spans import NO_LABEL, SEMEVAL, ErrorCounts, Outcome, SemevalScore, SpanScore

LENGTHS = ("1", "2", "3", "4+")
SURFACES = ("seen", "unseen")


@dataclass(frozen=True)
class DocumentCounts:
    """Counts of one document, or of one sentence of it. No text is kept.

    id (Any): Of the source document; several sentences share it. `None`: on its own.
    lang (str), genre (str), tags (Tuple[str, ...]): From the reference's `user_data`.
    annotated (bool): Whether the reference has any entity annotation.
    labels (Dict[str, SpanScore]): By label.
    lengths (Dict[str, SpanScore]): By length in tokens of the reference.
    surfaces (Dict[str, SpanScore]): By "seen" and "unseen"; empty if that is not asked.
    outcomes (Dict[Outcome, int]): How often each outcome happened.
    semeval (Dict[str, SemevalScore]): The four views.
    scored (Tuple[Tuple[float, bool], ...]): Score of predictions, and if they are right.
    unscored (int): Predictions without a score.
    unannotated (int): Predictions left out, because they touch tokens without annotation.
    candidates (Dict[str, int]): Candidates by state and reason.
    """

    id: Any = None
    lang: str = ""
    genre: str = ""
    tags: Tuple[str, ...] = ()
    annotated: bool = True
    labels: Dict[str, SpanScore] = field(default_factory=dict)
    lengths: Dict[str, SpanScore] = field(default_factory=dict)
    surfaces: Dict[str, SpanScore] = field(default_factory=dict)
    outcomes: Dict[Outcome, int] = field(default_factory=dict)
    semeval: Dict[str, SemevalScore] = field(default_factory=dict)
    scored: Tuple[Tuple[float, bool], ...] = ()
    unscored: int = 0
    unannotated: int = 0
    candidates: Dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MacroScore:
    """Means over the labels of the gold data, each label as heavy as any other.

    p (float), r (float), f (float): Mean precision, recall and F1, 0 to 1; 0.0 without
        a gold label.
    """

    p: float
    r: float
    f: float

    def to_dict(self) -> Dict[str, float]:
        """RETURNS (Dict[str, float]): `p`, `r`, `f`."""
        return dict(vars(self))


@dataclass(frozen=True)
class Evaluation:
    """Counts of documents; everything else is derived from them.

    documents (Tuple[DocumentCounts, ...]): In the order of the examples.
    can_err (bool): Whether the engine can make schema errors at all.

    >>> from ner_components.evaluation.metrics import evaluate_spans
    >>> gold = [[(0, 3, "ORG"), (8, 12, "PERSON")], [(5, 9, "ORG")]]
    >>> predicted = [[(0, 3, "ORG"), (8, 12, "ORG")], [(4, 9, "ORG")]]
    >>> evaluation = evaluate_spans(gold, predicted)
    >>> evaluation.micro.right, evaluation.micro.predicted, evaluation.micro.gold
    (1, 3, 3)
    >>> {label: round(score.f, 2) for label, score in evaluation.per_label.items()}
    {'ORG': 0.4, 'PERSON': 0.0}
    >>> evaluation.macro.f
    0.2
    >>> evaluation.errors.wrong_label, evaluation.errors.wrong_boundary
    (1, 1)
    >>> evaluation.confusion["PERSON"]
    {'ORG': 1}
    >>> round(evaluation.semeval["partial"].f, 3)
    0.833
    """

    documents: Tuple[DocumentCounts, ...] = field(default=(), repr=False)
    can_err: bool = True

    @cached_property
    def per_label(self) -> Dict[str, SpanScore]:
        """RETURNS (Dict[str, SpanScore]): By label, gold or predicted, sorted."""
        return dict(sorted(_sum_dicts(x.labels for x in self.documents).items()))

    @cached_property
    def micro(self) -> SpanScore:
        """RETURNS (SpanScore): Of all labels together."""
        return sum(self.per_label.values(), SpanScore())

    @cached_property
    def macro(self) -> MacroScore:
        """RETURNS (MacroScore): Mean over the labels of the gold data. spaCy has none, and
        seqeval takes the labels that are in gold or in the predictions."""
        return macro_score(self.per_label)

    @cached_property
    def semeval(self) -> Dict[str, SemevalScore]:
        """RETURNS (Dict[str, SemevalScore]): "strict", "exact", "partial" and "type"."""
        found = _sum_dicts(x.semeval for x in self.documents)
        return {name: found.get(name, SemevalScore()) for name in SEMEVAL}

    @cached_property
    def outcomes(self) -> "Counter[Outcome]":
        """RETURNS (Counter[Outcome]): How often each outcome happened."""
        result: Counter[Outcome] = Counter()
        for document in self.documents:
            result.update(document.outcomes)
        return result

    @cached_property
    def errors(self) -> ErrorCounts:
        """RETURNS (ErrorCounts): The six error classes."""
        return sum(self.errors_per_label.values(), ErrorCounts())

    @cached_property
    def errors_per_label(self) -> Dict[str, ErrorCounts]:
        """RETURNS (Dict[str, ErrorCounts]): By gold label, of spurious predictions
        by theirs."""
        result: Dict[str, ErrorCounts] = {}
        for (kind, gold, predicted), times in self.outcomes.items():
            label = predicted if kind == "spurious" else gold
            result[label] = result.get(label, ErrorCounts()) + ErrorCounts(**{kind: times})
        return dict(sorted(result.items()))

    @cached_property
    def confusion(self) -> Dict[str, Dict[str, int]]:
        """RETURNS (Dict[str, Dict[str, int]]): Matched pairs by gold label, then predicted
        label, zeros left out; "O" stands for no entity."""
        result: Dict[str, Dict[str, int]] = {}
        for (_, gold, predicted), times in sorted(self.outcomes.items()):
            row = result.setdefault(gold, {})
            row[predicted] = row.get(predicted, 0) + times
        order = sorted(result, key=lambda x: (x == NO_LABEL, x))
        return {x: dict(sorted(result[x].items())) for x in order}

    @cached_property
    def by_length(self) -> Dict[str, SpanScore]:
        """RETURNS (Dict[str, SpanScore]): By length in tokens of the reference: `LENGTHS`.
        Gold spans count by theirs, predicted spans by theirs."""
        found = _sum_dicts(x.lengths for x in self.documents)
        return {x: found[x] for x in LENGTHS if x in found}

    @cached_property
    def by_surface(self) -> Dict[str, SpanScore]:
        """RETURNS (Dict[str, SpanScore]): By "seen" and "unseen" in training; empty where
        no surface forms were given."""
        found = _sum_dicts(x.surfaces for x in self.documents)
        return {x: found[x] for x in SURFACES if x in found}

    @cached_property
    def by_tag(self) -> Dict[str, "Evaluation"]:
        """RETURNS (Dict[str, Evaluation]): The documents of each tag, sorted."""
        return self._split(lambda x: x.tags)

    @cached_property
    def by_genre(self) -> Dict[str, "Evaluation"]:
        """RETURNS (Dict[str, Evaluation]): The documents of each genre, sorted."""
        return self._split(lambda x: (x.genre,) if x.genre else ())

    @cached_property
    def by_lang(self) -> Dict[str, "Evaluation"]:
        """RETURNS (Dict[str, Evaluation]): The documents of each language, sorted."""
        return self._split(lambda x: (x.lang,) if x.lang else ())

    @cached_property
    def calibration(self) -> Calibration:
        """RETURNS (Calibration): Scores of the predictions. Those without one, and those on
        tokens without annotation, are left out."""
        scored = [pair for x in self.documents for pair in x.scored]
        return Calibration(
            tuple(score for score, _ in scored),
            tuple(right for _, right in scored),
            sum(x.unscored for x in self.documents),
        )

    @cached_property
    def candidates(self) -> Dict[str, int]:
        """RETURNS (Dict[str, int]): Candidates by state and reason, zeros left out."""
        found = _sum_dicts(x.candidates for x in self.documents)
        return {x: found[x] for x in (*STATES, *REASONS) if x in found}

    @property
    def schema_error_rate(self) -> Optional[float]:
        """RETURNS (Optional[float]): Share of candidates that break the schema, 0 to 1;
        `None` where it can't be known, or the engine can't err."""
        return schema_error_rate(self.candidates) if self.can_err else None

    @property
    def unannotated(self) -> int:
        """RETURNS (int): Predictions left out, on tokens without annotation."""
        return sum(x.unannotated for x in self.documents)

    def cost(self, costs: Costs) -> Cost:
        """RETURNS (Cost): What the mistakes cost by a table."""
        return sum_costs(self.outcomes, len(self.documents), costs)

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): All figures, JSON-serialisable. The keys are in
        docs/metrics.md."""
        documents = self.documents
        return {
            "documents": len(documents),
            "without_annotation": sum(not x.annotated for x in documents),
            "unannotated_predictions": self.unannotated,
            "micro": self.micro.to_dict(),
            "macro": self.macro.to_dict(),
            "per_label": _to_dicts(self.per_label),
            "semeval": _to_dicts(self.semeval),
            "errors": self.errors.to_dict(),
            "errors_per_label": _to_dicts(self.errors_per_label),
            "confusion": self.confusion,
            "by_length": _to_dicts(self.by_length),
            "by_surface": _to_dicts(self.by_surface),
            **{
                name: {x: part.micro.to_dict() for x, part in parts.items()}
                for name, parts in (
                    ("by_tag", self.by_tag),
                    ("by_genre", self.by_genre),
                    ("by_lang", self.by_lang),
                )
            },
            "candidates": self.candidates,
            "schema_error_rate": self.schema_error_rate,
            "calibration": self.calibration.to_dict(),
        }

    def _split(
        self, names_of: Callable[[DocumentCounts], Tuple[str, ...]]
    ) -> Dict[str, "Evaluation"]:
        parts: Dict[str, Tuple[DocumentCounts, ...]] = {}
        for name in sorted({name for x in self.documents for name in names_of(x)}):
            parts[name] = tuple(x for x in self.documents if name in names_of(x))
        return {name: Evaluation(x, self.can_err) for name, x in parts.items()}


def macro_score(per_label: Mapping[str, SpanScore]) -> MacroScore:
    """Average over the labels that have gold spans.

    per_label (Mapping[str, SpanScore]): By label.
    RETURNS (MacroScore): Means of precision, recall and F1.

    >>> gold_and_found = {"A": SpanScore(1, 1, 1), "B": SpanScore(0, 0, 2)}
    >>> macro_score({**gold_and_found, "never gold": SpanScore(0, 5, 0)})
    MacroScore(p=0.5, r=0.5, f=0.5)
    """
    scores = [score for _, score in sorted(per_label.items()) if score.gold]
    if not scores:
        return MacroScore(0.0, 0.0, 0.0)
    means = numpy.mean([(x.p, x.r, x.f) for x in scores], axis=0)
    return MacroScore(*means.tolist())


def _sum_dicts(dicts: Iterable[Mapping[str, Any]]) -> Dict[str, Any]:
    values: Dict[str, Any] = {}
    for one in dicts:
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    return {name: reduce(add, found) for name, found in values.items()}


def _to_dicts(results: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: x.to_dict() for name, x in results.items()}
