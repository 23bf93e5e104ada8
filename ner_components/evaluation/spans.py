"""Spans of one document against each other: counts, the matching, and what it says."""

from dataclasses import dataclass, fields
from typing import (
    Any,
    Dict,
    Hashable,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

SEMEVAL = ("strict", "exact", "partial", "type")
ERROR_CLASSES = (
    "correct",
    "wrong_label",
    "wrong_boundary",
    "both_wrong",
    "missed",
    "spurious",
)
NO_LABEL = "O"

Key = Tuple[int, int, str]
Pair = Tuple[Optional[Key], Optional[Key]]


class Outcome(NamedTuple):
    """What became of a gold entity, or of a prediction that is none.

    kind (str): One of `ERROR_CLASSES`.
    gold (str): Gold label, `NO_LABEL` for a spurious prediction.
    predicted (str): Predicted label, `NO_LABEL` for a missed entity.
    """

    kind: str
    gold: str
    predicted: str


@dataclass(frozen=True)
class SpanScore:
    """Counts of spans, and what follows from them.

    right (int): Predicted spans that are gold spans, same boundaries and label.
    predicted (int): Predicted spans.
    gold (int): Gold spans.

    >>> score = SpanScore(right=1, predicted=4, gold=2)
    >>> score.p, score.r, round(score.f, 4)
    (0.25, 0.5, 0.3333)
    """

    right: int = 0
    predicted: int = 0
    gold: int = 0

    @property
    def p(self) -> float:
        """RETURNS (float): Precision, 0 to 1; 0.0 where nothing was predicted."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def r(self) -> float:
        """RETURNS (float): Recall, 0 to 1; 0.0 where there is nothing to find."""
        return self.right / self.gold if self.gold else 0.0

    @property
    def f(self) -> float:
        """RETURNS (float): F1, 0 to 1; 0.0 where nothing is right. Computed from `p` and
        `r`, as seqeval, spaCy and nervaluate do: the last digit is theirs."""
        return harmonic_mean(self.p, self.r)

    def __add__(self, other: "SpanScore") -> "SpanScore":
        return SpanScore(
            self.right + other.right,
            self.predicted + other.predicted,
            self.gold + other.gold,
        )

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): `p`, `r`, `f`, `right`, `predicted`, `gold`."""
        return {"p": self.p, "r": self.r, "f": self.f, **vars(self)}


@dataclass(frozen=True)
class SemevalScore:
    """Counts of one view of SemEval-2013, task 9, and its measures (Segura-Bedmar,
    Martínez and Herrero-Zazo, "SemEval-2013 task 9", 2013, section 4).

    correct (int), incorrect (int), partial (int): Pairs of a gold and a predicted span.
    missed (int): Gold spans without a partner.
    spurious (int): Predicted spans without a partner.

    >>> score = SemevalScore(correct=3, partial=2, missed=1, spurious=3)
    >>> score.p, score.r, round(score.f, 4)
    (0.5, 0.6666666666666666, 0.5714)
    """

    correct: int = 0
    incorrect: int = 0
    partial: int = 0
    missed: int = 0
    spurious: int = 0

    @property
    def possible(self) -> int:
        """RETURNS (int): Gold spans."""
        return self.correct + self.incorrect + self.partial + self.missed

    @property
    def actual(self) -> int:
        """RETURNS (int): Predicted spans."""
        return self.correct + self.incorrect + self.partial + self.spurious

    @property
    def p(self) -> float:
        """RETURNS (float): (correct + partial / 2) / actual, 0 to 1."""
        return (self.correct + 0.5 * self.partial) / self.actual if self.actual else 0.0

    @property
    def r(self) -> float:
        """RETURNS (float): (correct + partial / 2) / possible, 0 to 1."""
        return (self.correct + 0.5 * self.partial) / self.possible if self.possible else 0.0

    @property
    def f(self) -> float:
        """RETURNS (float): Harmonic mean of `p` and `r`, 0 to 1."""
        return harmonic_mean(self.p, self.r)

    def __add__(self, other: "SemevalScore") -> "SemevalScore":
        names = [x.name for x in fields(self)]
        return SemevalScore(*(getattr(self, x) + getattr(other, x) for x in names))

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): `p`, `r`, `f` and the counts."""
        return {"p": self.p, "r": self.r, "f": self.f, **vars(self)}


@dataclass(frozen=True)
class ErrorCounts:
    """Every gold entity once, by what became of it, and the spurious predictions.

    correct (int): Boundaries and label are right.
    wrong_label (int): Boundaries right, label wrong.
    wrong_boundary (int): Overlaps its partner, label right.
    both_wrong (int): Overlaps its partner, label wrong.
    missed (int): Gold entities that no prediction was matched to.
    spurious (int): Predictions that were matched to no gold entity.

    >>> ErrorCounts(correct=7, missed=2, spurious=1).wrong
    3
    """

    correct: int = 0
    wrong_label: int = 0
    wrong_boundary: int = 0
    both_wrong: int = 0
    missed: int = 0
    spurious: int = 0

    @property
    def wrong(self) -> int:
        """RETURNS (int): Mistakes: everything but `correct`."""
        return sum(vars(self).values()) - self.correct

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(*(getattr(self, x) + getattr(other, x) for x in ERROR_CLASSES))

    def to_dict(self) -> Dict[str, int]:
        """RETURNS (Dict[str, int]): The six counts."""
        return {x: getattr(self, x) for x in ERROR_CLASSES}


def harmonic_mean(p: float, r: float) -> float:
    """RETURNS (float): F1 of precision and recall; 0.0 where both are 0."""
    return 2 * (p * r) / (p + r) if p + r else 0.0


def count_spans(gold: Iterable[Hashable], predicted: Iterable[Hashable]) -> SpanScore:
    """Compare the spans of one document. A span given twice counts once.

    gold (Iterable[Hashable]): Gold spans, such as (start, end, label).
    predicted (Iterable[Hashable]): Predicted spans in the same form.
    RETURNS (SpanScore): The counts.

    >>> count_spans([(0, 3, "ORG"), (5, 9, "PERSON")], [(0, 3, "ORG"), (5, 8, "PERSON")])
    SpanScore(right=1, predicted=2, gold=2)
    """
    of_gold, of_predicted = set(gold), set(predicted)
    return SpanScore(len(of_gold & of_predicted), len(of_predicted), len(of_gold))


def match_spans(gold: Sequence[Key], predicted: Sequence[Key]) -> List[Pair]:
    """Give each gold span of a document at most one predicted span that overlaps it.

    Of all such matchings it is the one with the most pairs of one label, then with the
    most pairs, then with the most characters in common; what is still equal is settled
    from left to right.

    gold (Sequence[Tuple[int, int, str]]): First character, one past the last, label;
        sorted and free of overlap.
    predicted (Sequence[Tuple[int, int, str]]): Predicted spans in the same form.
    RETURNS (List[Tuple[Optional[Key], Optional[Key]]]): Pairs, `None` for no partner.

    >>> match_spans([(0, 9, "ORG")], [(0, 3, "PERSON"), (4, 9, "ORG")])
    [((0, 9, 'ORG'), (4, 9, 'ORG')), (None, (0, 3, 'PERSON'))]
    """
    pairs: List[Pair] = []
    for some_gold, some_predicted in _components(gold, predicted):
        if len(some_gold) == len(some_predicted) == 1:
            pairs.append((some_gold[0], some_predicted[0]))
        elif some_gold and some_predicted:
            pairs += _best_matching(some_gold, some_predicted)
        else:
            pairs += [(x, None) for x in some_gold] + [(None, x) for x in some_predicted]
    return pairs


def classify(pair: Pair) -> Outcome:
    """RETURNS (Outcome): The error class of a pair that `match_spans` made.

    >>> classify(((0, 9, "ORG"), (4, 9, "ORG")))
    Outcome(kind='wrong_boundary', gold='ORG', predicted='ORG')
    """
    gold, predicted = pair
    if predicted is None:
        assert gold is not None
        return Outcome("missed", gold[2], NO_LABEL)
    if gold is None:
        return Outcome("spurious", NO_LABEL, predicted[2])
    same_borders, same_label = gold[:2] == predicted[:2], gold[2] == predicted[2]
    if same_borders:
        kind = "correct" if same_label else "wrong_label"
    else:
        kind = "wrong_boundary" if same_label else "both_wrong"
    return Outcome(kind, gold[2], predicted[2])


def count_semeval(
    gold: Sequence[Key], predicted: Sequence[Key], pairs: Sequence[Pair]
) -> Dict[str, SemevalScore]:
    """Count the four views of one document. Each view takes the matching that is best for
    it: the most correct pairs, then the most pairs. Counts of documents are added; spans
    are never matched across documents.

    gold (Sequence[Tuple[int, int, str]]): Gold spans, sorted and free of overlap.
    predicted (Sequence[Tuple[int, int, str]]): Predicted spans, likewise.
    pairs (Sequence[Tuple[Optional[Key], Optional[Key]]]): What `match_spans` made of them.
    RETURNS (Dict[str, SemevalScore]): By the names in `SEMEVAL`.

    >>> gold, predicted = [(0, 9, "ORG")], [(4, 9, "ORG")]
    >>> views = count_semeval(gold, predicted, match_spans(gold, predicted))
    >>> {name: score.f for name, score in views.items()}
    {'strict': 0.0, 'exact': 0.0, 'partial': 0.5, 'type': 1.0}
    """
    found = _most_pairs(gold, predicted)
    exact = len({x[:2] for x in gold} & {x[:2] for x in predicted})
    strict = len(set(gold) & set(predicted))
    typed = [(g, p) for g, p in pairs if g is not None and p is not None]
    same_label = sum(g[2] == p[2] for g, p in typed)

    def view(paired: int, correct: int, partial: int = 0) -> SemevalScore:
        incorrect = paired - correct - partial
        missed, spurious = len(gold) - paired, len(predicted) - paired
        return SemevalScore(correct, incorrect, partial, missed, spurious)

    return {
        "strict": view(found, strict),
        "exact": view(found, exact),
        "partial": view(found, exact, found - exact),
        "type": view(len(typed), same_label),
    }


def _overlap(one: Key, other: Key) -> int:
    return min(one[1], other[1]) - max(one[0], other[0])


def _components(
    gold: Sequence[Key], predicted: Sequence[Key]
) -> List[Tuple[List[Key], List[Key]]]:
    """Split a document into stretches whose spans overlap nothing outside of them."""
    result: List[Tuple[List[Key], List[Key]]] = []
    sides = [(x, 0) for x in gold] + [(x, 1) for x in predicted]
    end = -1
    for span, side in sorted(sides):
        if span[0] >= end:
            result.append(([], []))
        result[-1][side].append(span)
        end = max(end, span[1])
    return result


def _most_pairs(gold: Sequence[Key], predicted: Sequence[Key]) -> int:
    # From left to right, because of two partners the one that ends first is never needed
    # later: spans of one side don't overlap.
    i = j = pairs = 0
    while i < len(gold) and j < len(predicted):
        if _overlap(gold[i], predicted[j]) > 0:
            i, j, pairs = i + 1, j + 1, pairs + 1
        elif gold[i][1] <= predicted[j][0]:
            i += 1
        else:
            j += 1
    return pairs


def _best_matching(gold: List[Key], predicted: List[Key]) -> List[Pair]:
    """The best matching keeps the order, as two pairs of overlapping spans never cross:
    so it is an alignment, found from its end."""
    n, m = len(gold), len(predicted)
    best = [[(0, 0, 0)] * (m + 1) for _ in range(n + 1)]
    step = [[0] * (m + 1) for _ in range(n + 1)]
    for i in reversed(range(n)):
        for j in reversed(range(m)):
            options = [(best[i + 1][j], 1), (best[i][j + 1], 0)]
            common = _overlap(gold[i], predicted[j])
            if common > 0:
                same, pairs, characters = best[i + 1][j + 1]
                same += gold[i][2] == predicted[j][2]
                options.append(((same, pairs + 1, characters + common), 2))
            best[i][j], step[i][j] = max(options)
    pairs_made: List[Pair] = []
    alone: List[Pair] = []
    i = j = 0
    while i < n and j < m:
        taken = step[i][j]
        if taken == 2:
            pairs_made.append((gold[i], predicted[j]))
        else:
            alone.append((gold[i], None) if taken == 1 else (None, predicted[j]))
        i, j = i + (taken != 0), j + (taken != 1)
    alone += [(x, None) for x in gold[i:]] + [(None, x) for x in predicted[j:]]
    return pairs_made + alone
