"""Whether documents are still like those a pipeline was judged on.

`find_drift` compares two sets of annotated documents and gives one verdict. With gold it
also says what became of F1. See docs/drift.md.
"""

import math
from typing import Dict, List, Optional, Sequence, Tuple

from spacy.tokens import Doc
from spacy.training import Example

from ..entities import DEFAULT_SPANS_KEY
from ..errors import Errors
from .drift_report import FEW, MARGIN, Change, Drift, holm
from .metrics import Evaluation, evaluate, interval
from .resampling import RESAMPLES
from .shift_tests import GOLD_TESTS, TESTS, Case, Found, Shift, measure_gold
from .shifts import Profile, Splits, make_profile, number_documents

__all__ = ["FEW", "Change", "Drift", "Shift", "find_drift", "holm"]

ALPHA = 0.05
LEAST = 20  # documents a side
CHANGES = ("micro_f", "macro_f", "schema_error_rate")


def find_drift(
    reference: List[Doc],
    new: List[Doc],
    *,
    reference_gold: Optional[List[Doc]] = None,
    new_gold: Optional[List[Doc]] = None,
    alpha: float = ALPHA,
    resamples: Optional[int] = None,
    seed: int = 0,
    spans_key: Optional[str] = DEFAULT_SPANS_KEY,
    can_err: bool = True,
) -> Drift:
    """Compare two sets of documents that one pipeline has annotated.

    Every test is a permutation test by document, named in `Shift.test`; rows that share
    `user_data["id"]` are one document. All are corrected together by Holm's method, and
    what counts is a corrected p up to half of `alpha`: so the share of false alarms stays
    under `alpha` with room to spare, however the tests depend on each other.

    reference (List[Doc]): Documents like those the pipeline was judged on.
    new (List[Doc]): The documents in question, annotated by the same pipeline.
    reference_gold (Optional[List[Doc]]), new_gold (Optional[List[Doc]]): The same
        documents with gold entities, both or none: F1 is tested too.
    alpha (float): Highest chance of a false alarm, above 0 and below 1.
    resamples (Optional[int]): Random splits; `None` for as many as `alpha` needs.
    seed (int): Of the random splits: the same call gives the same result.
    spans_key (Optional[str]): The group that the pipe writes, `None` for none.
    can_err (bool): Whether the engine can make schema errors at all.
    RETURNS (Drift): What was found.
    RAISES (ValueError): A side has fewer than `LEAST` documents, a setting is not valid, or
        gold and documents don't match.
    RAISES (ImportError): scipy is not installed.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> old = [nlp.make_doc(f"We met in the office on day {i}") for i in range(30)]
    >>> new = [nlp.make_doc(f"lol who even are u {i}") for i in range(30)]
    >>> find_drift(old, new).verdict, find_drift(old[:25], old[5:]).verdict
    ('drift', 'no drift')
    """
    gold = _evaluate(reference, new, reference_gold, new_gold, spans_key, can_err)
    sides = []
    for docs, of_gold in ((reference, reference_gold), (new, new_gold)):
        numbers = number_documents(x.user_data.get("id") for x in of_gold or docs)
        sides.append((merge([make_profile(x, spans_key) for x in docs], numbers), numbers))
    (first, numbers), (second, others) = sides
    return compare_profiles(
        first,
        second,
        alpha=alpha,
        resamples=resamples,
        seed=seed,
        gold=gold,
        numbers=[*numbers, *(len(first) + x for x in others)],
    )


def compare_profiles(
    reference: Sequence[Profile],
    new: Sequence[Profile],
    *,
    alpha: float = ALPHA,
    resamples: Optional[int] = None,
    seed: int = 0,
    gold: Sequence[Evaluation] = (),
    numbers: Sequence[int] = (),
) -> Drift:
    """Compare counts of documents; `find_drift` makes them.

    reference (Sequence[Profile]), new (Sequence[Profile]): One for each document.
    alpha, resamples, seed: As in `find_drift`.
    gold (Sequence[Evaluation]): Of both sides, or none.
    numbers (Sequence[int]): The number of the document of each of their rows.
    RETURNS (Drift): What was found.
    RAISES (ValueError): As `find_drift`.
    """
    documents = len(reference), len(new)
    if min(documents) < LEAST:
        message = Errors.N190.format(reference=documents[0], new=documents[1], least=LEAST)
        raise ValueError(message)
    resamples = _choose_resamples(alpha, resamples)
    splits = Splits.draw(*documents, resamples, seed)
    case = Case([*reference, *new], documents, splits)
    results: Dict[str, Found] = {name: measure(case) for name, measure in TESTS.items()}
    if gold:
        rows = [x for evaluation in gold for x in evaluation.documents]
        results.update(measure_gold(rows, numbers, splits))
    return Drift(
        documents,
        alpha,
        resamples,
        tuple(x for x in results.values() if isinstance(x, Shift)),
        {name: x for name, x in results.items() if isinstance(x, str)},
        _changes(gold) if gold else (),
    )


def merge(profiles: Sequence[Profile], numbers: Sequence[int]) -> List[Profile]:
    """RETURNS (List[Profile]): For each document the sum of its rows, which have its
    number."""
    merged: Dict[int, Profile] = {}
    for number, profile in zip(numbers, profiles, strict=True):
        merged[number] = merged[number] + profile if number in merged else profile
    return list(merged.values())


def _choose_resamples(alpha: float, resamples: Optional[int]) -> int:
    if not 0 < alpha < 1:
        raise ValueError(Errors.N192.format(alpha=alpha))
    # The smallest p of a two-sided test, times the number of tests, must count.
    needed = math.ceil(2 * (len(TESTS) + len(GOLD_TESTS)) * MARGIN / alpha)
    if resamples is None:
        return max(RESAMPLES, 2 * needed)
    if resamples < needed:
        message = Errors.N193.format(resamples=resamples, alpha=alpha, needed=needed)
        raise ValueError(message)
    return resamples


def _evaluate(
    reference: List[Doc],
    new: List[Doc],
    reference_gold: Optional[List[Doc]],
    new_gold: Optional[List[Doc]],
    spans_key: Optional[str],
    can_err: bool,
) -> List[Evaluation]:
    if reference_gold is None and new_gold is None:
        return []
    result = []
    for side, docs, gold in (
        ("reference", reference, reference_gold),
        ("new", new, new_gold),
    ):
        if gold is None or len(gold) != len(docs):
            of_gold = "no" if gold is None else len(gold)
            raise ValueError(Errors.N194.format(side=side, count=len(docs), gold=of_gold))
        examples = (Example(x, y) for x, y in zip(docs, gold, strict=True))
        result.append(evaluate(examples, spans_key=spans_key, can_err=can_err))
    return result


def _changes(gold: Sequence[Evaluation]) -> Tuple[Change, ...]:
    changes = []
    for name in CHANGES:
        try:
            changes.append(Change(name, *(interval(x, name) for x in gold)))
        except ValueError:  # no candidates are counted, or there can be no schema error
            continue
    return tuple(changes)
