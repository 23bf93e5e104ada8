"""The threshold of a system, chosen on a dev set and never on the documents it is judged
on."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from spacy.language import Language
from spacy.tokens import Doc

from ..corpora.mapping import LabelMapping
from ..entities import get_ner_score
from .costs import Costs
from .feeder import Feeder, Progress, Source
from .metrics import _Tokens, evaluate_spans
from .runs import find_pipe, get_setting
from .spans import Key

MOST_TRIED = 200  # thresholds whose cost is computed
ENOUGH = 20  # entities without a score, after which none is waited for


class Found(NamedTuple):
    """An entity of a document.

    key (Tuple[int, int, str]): Its characters and label, mapped.
    score (Optional[float]): Its score.
    moves (bool): Whether the threshold holds for it: its label has none of its own.
    """

    key: Key
    score: Optional[float]
    moves: bool

    def stays(self, threshold: float) -> bool:
        """RETURNS (bool): Whether it would be an entity with the threshold."""
        return not self.moves or self.score is None or self.score >= threshold


def choose_threshold(
    nlp: Language,
    dev: Sequence[Doc],
    *,
    mapping: Optional[LabelMapping] = None,
    costs: Optional[Costs] = None,
    progress: Progress = lambda done: None,
) -> Optional[Dict[str, float]]:
    """Set the threshold with the best micro F1 on dev, or the least cost of mistakes. It is
    a score that an entity has, or the one that is set, and never lower than that: what
    scored less was not seen. Of equally good ones the lowest is taken.

    nlp (Language): The pipeline, whose threshold is changed.
    dev (Sequence[Doc]): Annotated documents.
    mapping (Optional[LabelMapping]): Of the pipeline's labels to those of dev.
    costs (Optional[Costs]): What mistakes cost.
    progress (Callable[[int], None]): Is told how many documents are done.
    RETURNS (Optional[Dict[str, float]]): `value`, `dev_f`, `dev_f_before`; `None` where the
        pipe has no threshold or its entities have no scores.
    """
    pipe = find_pipe(nlp)
    saved = get_setting(pipe, "threshold")
    if isinstance(saved, bool) or not isinstance(saved, (int, float)):
        return None
    found = _predict(nlp, pipe, dev, mapping, progress)
    scores = sorted({x.score for row in found for x in row if x.moves and x.score})
    if not scores:
        return None
    gold = [[(x.start_char, x.end_char, x.label_) for x in doc.ents] for doc in dev]
    tried = [float(saved), *(x for x in scores if x > saved)]
    if costs is None:
        losses = [-f for f in _f_scores(gold, found, tried)]
    else:
        tried = _thin(tried)
        losses = [_cost(gold, found, x, costs) for x in tried]
    _, best = min((round(loss, 12), x) for loss, x in zip(losses, tried, strict=True))
    pipe.cfg["threshold"] = best
    before, after = _f_scores(gold, found, [float(saved), best])
    return {"value": best, "dev_f": after, "dev_f_before": before}


def _predict(
    nlp: Language,
    pipe: Any,
    dev: Sequence[Doc],
    mapping: Optional[LabelMapping],
    progress: Progress,
) -> List[List[Found]]:
    sources = [Source(doc.text, doc.user_data.get("id"), len(doc)) for doc in dev]
    feeder = Feeder(nlp, sources, progress)
    # Few at first: an LLM gives no scores, and asking it costs money.
    found: List[List[Found]] = []
    for numbers in (range(min(ENOUGH, len(dev))), range(ENOUGH, len(dev))):
        feeder.run_stream(numbers)
        rows = [_read(feeder, i, dev[i], pipe, mapping) for i in numbers]
        found += rows
        seen = [x for row in found for x in row]
        if len(seen) >= ENOUGH and all(x.score is None for x in seen):
            return []
    return found


def _read(
    feeder: Feeder, i: int, gold: Doc, pipe: Any, mapping: Optional[LabelMapping]
) -> List[Found]:
    if i in feeder.errors:
        return []
    tokens = _Tokens(gold)
    own: Any = getattr(getattr(pipe, "schema", None), "threshold", None)
    found = []
    for ent in feeder.docs[i].ents:
        label = ent.label_ if mapping is None else mapping.map(ent.label_)
        if label is None or not tokens.is_annotated((ent.start_char, ent.end_char, label)):
            continue
        # A label's own threshold, where the schema has one, answers whatever is asked.
        moves = own is None or own(ent.label_, -1.0) == -1.0
        key = (ent.start_char, ent.end_char, label)
        found.append(Found(key, get_ner_score(ent), moves))
    return found


def _f_scores(
    gold: Sequence[Sequence[Key]], found: Sequence[Sequence[Found]], tried: Sequence[float]
) -> List[float]:
    judged: List[Tuple[Found, bool]] = []
    for of_gold, row in zip(gold, found, strict=True):
        keys = set(of_gold)
        judged += [(x, x.key in keys) for x in row]
    total = sum(map(len, gold))
    fixed = [right for x, right in judged if not x.moves or x.score is None]
    moving = [(x.score, right) for x, right in judged if x.moves and x.score is not None]
    moving.sort(reverse=True)
    result = {}
    right, count, i = sum(fixed), len(fixed), 0
    for threshold in sorted(set(tried), reverse=True):
        while i < len(moving) and moving[i][0] >= threshold:
            right, count, i = right + moving[i][1], count + 1, i + 1
        result[threshold] = 2 * right / (count + total) if count + total else 0.0
    return [result[x] for x in tried]


def _cost(
    gold: Sequence[Sequence[Key]],
    found: Sequence[Sequence[Found]],
    threshold: float,
    costs: Costs,
) -> float:
    kept = [[x.key for x in row if x.stays(threshold)] for row in found]
    return evaluate_spans(gold, kept).cost(costs).total


def _thin(tried: List[float]) -> List[float]:
    if len(tried) <= MOST_TRIED:
        return tried
    step = (len(tried) - 1) / (MOST_TRIED - 1)
    return [tried[round(i * step)] for i in range(MOST_TRIED)]
