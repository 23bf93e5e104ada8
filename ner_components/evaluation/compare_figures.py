"""The figures of one system in a comparison's report, and what all of them ran on."""

import os
import platform
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, Optional, Sequence

from spacy.tokens import Doc

from .costs import Costs
from .metrics import interval
from .results import Evaluation
from .runs import Run

if TYPE_CHECKING:
    from .decision import Limits

PACKAGES = (
    "ner_components",
    "spacy",
    "thinc",
    "numpy",
    "torch",
    "transformers",
    "gliner",
    "gliner-spacy",
    "spacy-llm",
)
# spacy-llm's own factories: they cost money and don't say how much.
UNCOUNTED = ("llm", "llm_ner")


@dataclass(frozen=True)
class Question:
    """What is asked of the systems.

    limits (Optional[Limits]): What a system must keep to; `None` for no limit.
    costs (Optional[Costs]): What mistakes cost.
    hourly_price (Optional[float]): Of the machine, in the money of the pipes' prices.
    train_surfaces (Optional[FrozenSet[str]]): Names of the training data.
    confidence (float): Of all intervals and of the decision, 0 to 1.
    resamples (int): Draws of a test.
    seed (int): Of the draws.
    """

    limits: "Optional[Limits]" = None
    costs: Optional[Costs] = None
    hourly_price: Optional[float] = None
    train_surfaces: Optional[FrozenSet[str]] = None
    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0


def describe_system(run: Run, evaluation: Evaluation, question: Question) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): The report's entry of a system."""
    costs = question.costs
    usage = run.usage
    return {
        "name": run.name,
        "source": run.source,
        "factories": run.factories,
        "meta": run.meta,
        "scores": run.has_scores,
        "mapping": run.mapping,
        "threshold": run.threshold,
        "evaluation": evaluation.to_dict(),
        "intervals": make_intervals(evaluation, question.confidence),
        "failures": [
            {**x, "id": _id_or_none(evaluation.documents[x["document"]].id)}
            for x in run.failures
        ],
        "load_seconds": run.load_seconds,
        "latency_ms": run.latency_ms,
        "throughput": run.throughput,
        "peak_memory_mb": run.peak_memory_mb,
        "usage": usage and {k: x for k, x in usage.items() if k != "unknown"},
        "per_thousand_documents": price_run(run, question.hourly_price),
        "cost_of_mistakes": None
        if costs is None
        else price_mistakes(evaluation, costs, question.confidence),
    }


def make_intervals(evaluation: Evaluation, confidence: float) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): Intervals of the figures, of F1 by gold label too."""
    names = ["micro_f", "micro_p", "micro_r", "macro_f"]
    if evaluation.schema_error_rate is not None:
        names.append("schema_error_rate")
    found: Dict[str, Any] = {
        name: interval(evaluation, name, confidence=confidence).to_dict() for name in names
    }
    labels = [x for x, score in evaluation.per_label.items() if score.gold]
    found["label_f"] = {
        x: interval(evaluation, "label_f", label=x, confidence=confidence).to_dict()
        for x in labels
    }
    return found


def price_run(run: Run, hourly_price: Optional[float]) -> Dict[str, Optional[float]]:
    """Price a system: its requests, and the machine's time where that has a price.

    run (Run): The run.
    hourly_price (Optional[float]): Of the machine.
    RETURNS (Dict[str, Optional[float]]): `tokens` and `cost` of 1,000 documents, `None`
        where they can't be known: no prices, a server or cache that doesn't tell, a pipe
        that doesn't count.
    """
    usage, thousands = run.usage, len(run.docs) / 1000
    tokens = cost = None
    if usage is None:
        cost = None if any(x in UNCOUNTED for x in run.factories.values()) else 0.0
    elif usage["requests"] and not usage.get("unknown"):
        tokens = (usage["prompt_tokens"] + usage["completion_tokens"]) / thousands
        cost = usage["cost"] / thousands if usage["cost"] else None
    if hourly_price is not None and cost is not None:
        seconds = run.seconds_per_thousand
        cost = None if seconds is None else cost + hourly_price * seconds / 3600
    return {"tokens": tokens, "cost": cost}


def price_mistakes(
    evaluation: Evaluation, costs: Costs, confidence: float
) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): The cost of mistakes, with an interval of its mean for
    1,000 documents: jackknife by document, Student's t."""
    found = interval(evaluation, "cost", costs=costs, confidence=confidence)
    # Student's t is symmetric and knows no least cost.
    bounds = {"low": 1000 * max(found.low, 0.0), "high": 1000 * found.high}
    return {**evaluation.cost(costs).to_dict(), **bounds}


def describe_gold(docs: Sequence[Doc]) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): Counts of the gold data."""
    labels = Counter(x.label_ for doc in docs for x in doc.ents)
    return {
        "documents": len(docs),
        "words": sum(map(len, docs)),
        "entities": sum(labels.values()),
        "labels": dict(sorted(labels.items())),
        "without_annotation": sum(not any(t.ent_iob for t in doc) for doc in docs),
    }


def find_versions() -> Dict[str, str]:
    """RETURNS (Dict[str, str]): Of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def find_machine(threads: Optional[int], runs: Sequence[Run]) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): Processor, cores, threads (`None`: as the libraries like)
    and GPU."""
    gpus = [run.gpu for run in runs if run.gpu is not None]
    return {
        "processor": _find_processor(),
        "cores": os.cpu_count() or 1,
        "threads": threads,
        "gpu": gpus[0] if gpus else None,
    }


def _find_processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _id_or_none(value: Any) -> Optional[str]:
    return None if value is None else str(value)
