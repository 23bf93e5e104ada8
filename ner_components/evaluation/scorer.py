"""`ner_components.ner_scorer.v1`: spaCy's entity scores, macro F1 and schema errors."""

from collections import Counter
from typing import Any, Callable, Dict, Iterable, List, Optional

from spacy.scorer import get_ner_prf
from spacy.tokens import Doc
from spacy.training import Example

from ..entities import DEFAULT_SPANS_KEY, MARK, REASONS, SCHEMA_ERRORS, STATES


def make_ner_scorer() -> Callable[..., Dict[str, Any]]:
    """RETURNS (Callable): `ner_score`."""
    return ner_score


def ner_score(examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
    """Score entities against the reference.

    examples (Iterable[Example]): Predictions and references. References without entity
        annotation don't count, nor predictions on tokens whose annotation is missing.
    spans_key (Optional[str]): The group that the pipe writes.
    can_err (bool): Whether the engine can make schema errors at all.
    RETURNS (Dict[str, Any]): `ents_p`, `ents_r`, `ents_f` (micro) and `ents_per_type`,
        equal to spaCy's; `ents_macro_f`, the mean F1 over the labels of the references;
        `ner_schema_error_rate`, 0 to 1, `None` where it can't be known or can't be
        other than 0; `ner_counts`, candidates by state and reason.
    """
    examples = list(examples)
    scores = get_ner_prf(examples)
    scores["ents_macro_f"] = _macro_f(examples, scores["ents_per_type"])
    spans_key = kwargs.get("spans_key", DEFAULT_SPANS_KEY)
    counts = count_candidates((eg.predicted for eg in examples), spans_key)
    scores["ner_counts"] = dict(counts)
    scores["ner_schema_error_rate"] = (
        schema_error_rate(counts) if kwargs.get("can_err", True) else None
    )
    return scores


def schema_error_rate(counts: Dict[str, int]) -> Optional[float]:
    """Share of the candidates at or above their threshold that break the schema.

    counts (Dict[str, int]): Candidates by state and reason.
    RETURNS (Optional[float]): 0 to 1, `None` without any such candidate.
    """
    total = sum(counts.values()) - counts.get("below_threshold", 0)
    return sum(counts.get(x, 0) for x in SCHEMA_ERRORS) / total if total else None


def count_candidates(docs: Iterable[Doc], spans_key: Optional[str]) -> "Counter[str]":
    """Add up what our groups say of the candidates.

    docs (Iterable[Doc]): Predictions.
    spans_key (Optional[str]): The group that the pipe writes, `None` for none.
    RETURNS (Counter[str]): Candidates by state and reason, zeros left out.
    """
    counts: Counter[str] = Counter()
    for doc in docs:
        if spans_key is not None and spans_key in doc.spans:
            attrs = doc.spans[spans_key].attrs
            if MARK in attrs:
                counts.update(attrs["counts"])
    order = (*STATES, *REASONS)
    return Counter({key: counts[key] for key in order if counts[key]})


def _macro_f(
    examples: List[Example], per_type: Optional[Dict[str, Any]]
) -> Optional[float]:
    gold = {ent.label_ for eg in examples for ent in eg.reference.ents}
    if not gold or per_type is None:
        return None
    return sum(per_type[label]["f"] for label in sorted(gold)) / len(gold)
