"""Systems side by side: the figures of a comparison's report, and its documents.

The report holds no text of documents. Its keys are in docs/report.md.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Dict, List, Optional, Sequence

from spacy.tokens import Doc
from spacy.training import Example

from ..corpora.mapping import LabelMapping
from ..entities import MARK, get_ner_score
from ..errors import Errors
from .compare_figures import (
    Question,
    describe_gold,
    describe_system,
    find_machine,
    find_versions,
)
from .drift_report import holm
from .metrics import _Tokens, classify, compare, evaluate, match_spans
from .results import Evaluation
from .runs import Run

FORMAT = 1
ROWS = ("starts", "ends", "labels", "scores", "states", "via")


@dataclass(frozen=True)
class About:
    """What a report says of its making.

    gold (Dict[str, Any]): `name` and `sha256` of the gold file.
    command (Dict[str, Any]): The settings that matter.
    threads (Optional[int]): Of each system.
    failed (List[Dict[str, Any]]): `name`, `source` and `error` of systems that could not
        be run.
    """

    gold: Dict[str, Any] = field(default_factory=dict)
    command: Dict[str, Any] = field(default_factory=dict)
    threads: Optional[int] = None
    failed: List[Dict[str, Any]] = field(default_factory=list)


def map_run(run: Run, mapping: LabelMapping, file: str) -> None:
    """Map the labels of a run's entities, and those of their scores.

    run (Run): The run, modified in place. Labels that the mapping doesn't have stay.
    mapping (LabelMapping): The mapping.
    file (str): Its name, for the report.
    """
    unmapped = Counter(
        x.label_ for doc in run.docs for x in doc.ents if x.label_ not in mapping.labels
    )
    run.mapping = {"file": file, "unmapped": dict(sorted(unmapped.items()))}
    for doc in run.docs:
        mapping.apply(doc)
        for group in doc.spans.values():
            if MARK in group.attrs:
                group.attrs = _map_attrs(group.attrs, mapping)


def make_report(
    gold_docs: Sequence[Doc],
    runs: Sequence[Run],
    *,
    question: Optional[Question] = None,
    about: Optional[About] = None,
) -> Dict[str, Any]:
    """Compare runs on the same documents, and decide.

    gold_docs (Sequence[Doc]): The gold documents.
    runs (Sequence[Run]): The runs, labels mapped.
    question (Optional[Question]): What is asked; `None` for no limits and no costs.
    about (Optional[About]): What the report says of its making.
    RETURNS (Dict[str, Any]): The report.
    RAISES (ValueError): A run is not of these documents.
    """
    from .decision import Contender, Limits, decide

    question, about = question or Question(), about or About()
    evaluations = evaluate_runs(gold_docs, runs, question)
    systems = [
        describe_system(run, evaluation, question)
        for run, evaluation in zip(runs, evaluations, strict=True)
    ]
    decision = decide(
        [
            Contender(
                run.name,
                evaluation,
                None if run.latency_ms is None else run.latency_ms["p95"],
                system["per_thousand_documents"]["cost"],
                run.seconds_per_thousand,
            )
            for run, evaluation, system in zip(runs, evaluations, systems, strict=True)
        ],
        limits=question.limits or Limits(),
        costs=question.costs,
        confidence=question.confidence,
        resamples=question.resamples,
        seed=question.seed,
    )
    return {
        "format": FORMAT,
        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "versions": find_versions(),
        "machine": find_machine(about.threads, runs),
        "gold": {**about.gold, **describe_gold(gold_docs)},
        "command": about.command,
        "systems": systems,
        "failed_systems": about.failed,
        "comparisons": compare_pairs(runs, evaluations, question),
        "decision": decision.to_dict(),
    }


def evaluate_runs(
    gold_docs: Sequence[Doc], runs: Sequence[Run], question: Question
) -> List[Evaluation]:
    """RETURNS (List[Evaluation]): One for each run.
    RAISES (ValueError): A run is not of these documents."""
    result = []
    for run in runs:
        if [x.text for x in run.docs] != [x.text for x in gold_docs]:
            counts = {"found": len(run.docs), "expected": len(gold_docs)}
            raise ValueError(Errors.N208.format(name=run.name, **counts))
        examples = [
            Example(doc, gold) for doc, gold in zip(run.docs, gold_docs, strict=True)
        ]
        evaluation = evaluate(
            examples,
            train_surfaces=question.train_surfaces,
            spans_key=run.spans_key,
            can_err=run.can_err,
        )
        result.append(evaluation)
    return result


def compare_pairs(
    runs: Sequence[Run], evaluations: Sequence[Evaluation], question: Question
) -> List[Dict[str, Any]]:
    """RETURNS (List[Dict[str, Any]]): Every two systems by micro F1, p corrected after
    Holm for all of them."""
    settings = {"confidence": question.confidence, "resamples": question.resamples}
    rows = []
    for (one, first), (other, second) in combinations(
        zip(runs, evaluations, strict=True), 2
    ):
        found = compare(first, second, "micro_f", seed=question.seed, **settings)  # type: ignore[arg-type]
        names = {"first": one.name, "second": other.name, "metric": "micro_f"}
        rows.append({**names, **found.to_dict()})
    corrected = holm([x["p"] for x in rows])
    return [{**x, "p_corrected": p} for x, p in zip(rows, corrected, strict=True)]


def make_documents(gold_docs: Sequence[Doc], runs: Sequence[Run]) -> List[Dict[str, Any]]:
    """Put gold and every system side by side, with the texts: for report.html only.

    gold_docs (Sequence[Doc]): The gold documents.
    runs (Sequence[Run]): The runs, labels mapped.
    RETURNS (List[Dict[str, Any]]): The documents, in order.
    """
    failed = [{x["document"]: x["error"] for x in run.failures} for run in runs]
    documents = []
    for i, gold in enumerate(gold_docs):
        data = gold.user_data
        name = data.get("id")
        documents.append(
            {
                "id": str(i if name is None else name),
                "text": gold.text,
                "tags": [str(x) for x in data.get("tags") or ()],
                "genre": str(data.get("genre") or ""),
                "gold": [[x.start_char, x.end_char, x.label_] for x in gold.ents],
                "systems": {
                    run.name: _show(gold, run.docs[i], run.spans_key, errors.get(i))
                    for run, errors in zip(runs, failed, strict=True)
                },
            }
        )
    return documents


def _show(
    gold: Doc, found: Doc, spans_key: Optional[str], failed: Optional[str]
) -> Dict[str, Any]:
    ents = list(found.ents)
    keys = [(x.start_char, x.end_char, x.label_) for x in ents]
    of_gold = [(x.start_char, x.end_char, x.label_) for x in gold.ents]
    tokens = _Tokens(gold)
    # As in `evaluate`: what touches a token without annotation has no outcome.
    counted = [key for key in keys if tokens.is_annotated(key)]
    outcomes = [
        [
            classify(pair).kind,
            None if pair[0] is None else of_gold.index(pair[0]),
            None if pair[1] is None else keys.index(pair[1]),
        ]
        for pair in match_spans(of_gold, counted)
    ]
    rejected = []
    if spans_key is not None and spans_key in found.spans:
        rejected = found.spans[spans_key].attrs.get("rejected", [])
    names = ("start_char", "end_char", "label", "reason")
    return {
        "ents": [[*key, get_ner_score(x)] for key, x in zip(keys, ents, strict=True)],
        "failed": failed,
        "outcomes": outcomes,
        "rejected": [[row.get(name) for name in names] for row in rejected],
    }


def _map_attrs(attrs: Dict[str, Any], mapping: LabelMapping) -> Dict[str, Any]:
    labels = [mapping.map(x) for x in attrs["labels"]]
    kept = [i for i, x in enumerate(labels) if x is not None]
    rows = {**attrs, "labels": labels}
    names = [x for x in ROWS if x in attrs]
    return {**attrs, **{name: [rows[name][i] for i in kept] for name in names}}
