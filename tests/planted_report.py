"""Reports of planted systems, for tests of what is made from a report."""

import random

import spacy
from spacy.tokens import Doc, Span

from ner_components.entities import Candidate, Rules, annotate, resolve
from ner_components.evaluation.compare import About, make_report
from ner_components.evaluation.compare_figures import Question
from ner_components.evaluation.costs import Costs
from ner_components.evaluation.runs import Run
from ner_components.schema import EntitySchema

NLP = spacy.blank("en")
CANARY = "Zyxwolf"
LABELS = ["ORG", "PERSON", "DRUG", "TICKER"]
HOSTILE = "<script>alert(1)</script>|`$x_1$\u2028\x00\n# \U0001f600"
# Name, share that is right, milliseconds, cost, whether it has scores, wrong schema.
SYSTEMS = [
    ("encoder", 0.9, 11.0, 0.0, True, 0.0),
    ("gliner", 0.8, 45.0, 0.0, True, 0.02),
    ("llm", 0.88, 900.0, 3.2, False, 0.08),
]


def make_gold(documents=60, labels=LABELS, seed=0):
    rng = random.Random(seed)
    docs = []
    for i in range(documents):
        words = [f"{CANARY}{rng.randrange(900)}" for _ in range(40)]
        doc = Doc(NLP.vocab, words=words, user_data={"id": f"d{i}", "tags": ["short"]})
        doc.ents = [
            Span(
                doc, j, j + 2, label=labels[min(int(rng.expovariate(0.4)), len(labels) - 1)]
            )
            for j in range(0, 36, 6)
        ]
        docs.append(doc)
    return docs


def predict(gold, labels, right, scores, schema_errors, seed):
    """A document with entities right by chance, else of a wrong kind."""
    rng = random.Random(seed)
    doc = Doc(NLP.vocab, words=[x.text for x in gold])
    found = []
    for ent in gold.ents:
        start, end, label = ent.start_char, ent.end_char, ent.label_
        is_right = rng.random() < right
        if not is_right:
            kind = rng.randrange(4)
            if kind == 0:
                continue
            if kind == 1:
                label = rng.choice([x for x in labels if x != label] or [label])
            if kind == 2:
                end = doc[ent.end].idx + len(doc[ent.end])
            if kind == 3:
                start, end = (doc[ent.end + 1].idx + y for y in (0, len(doc[ent.end + 1])))
        if rng.random() < schema_errors:
            label = "never heard of"
        score = 0.5 + rng.random() / 2 if is_right else 0.3 + 0.6 * rng.random()
        found.append(Candidate(start, end, label, score if scores else None))
    rules = Rules()
    annotate(doc, resolve(doc, found, EntitySchema.from_labels(labels), rules), rules)
    return doc


def make_run(gold, labels, system, index):
    name, right, latency, cost, scores, schema_errors = system
    docs = [
        predict(doc, labels, right, scores, schema_errors, 1000 * index + i)
        for i, doc in enumerate(gold)
    ]
    n = len(gold)
    usage = {"requests": n, "prompt_tokens": 300 * n, "completion_tokens": 40 * n}
    return Run(
        name,
        source=f"en_{index}",
        factories={"ner": "ner_llm" if cost else "ner_encoder"},
        meta={"lang": "en", "name": "x", "version": "1.0.0", "license": "MIT"},
        load_seconds=1.5,
        latency_ms={
            "p50": latency / 2,
            "p95": latency,
            "p99": 2 * latency,
            "mean": latency / 2,
            "documents": 10,
        },
        throughput={
            "words_per_second": 1e6 / latency,
            "documents_per_second": 1e3 / latency,
            "documents": 49,
            "seconds": 0.049 * latency,
        },
        peak_memory_mb=512.0,
        usage={**usage, "cached_tokens": 0, "cost": cost * n / 1000} if cost else None,
        docs=docs,
    )


def planted_report(systems=SYSTEMS, labels=LABELS, documents=60, costs=False, limits=None):
    """The report of systems, each (name, share right, milliseconds, cost, scores, share of
    schema errors)."""
    from ner_components.evaluation.decision import Limits

    gold = make_gold(documents, labels)
    runs = [make_run(gold, labels, x, i) for i, x in enumerate(systems)]
    table = Costs(default={"missed": 5, "spurious": 1}, unit="minutes") if costs else None
    limits = limits or {}
    question = Question(limits=Limits(**limits), costs=table, resamples=200)
    names = ("max_latency", "max_cost", "max_schema_errors")
    command = {"limits": {x: limits.get(x) for x in names}, "seed": 0, "confidence": 0.95}
    about = About({"name": "gold.spacy", "sha256": 64 * "0"}, command, 1)
    return make_report(gold, runs, question=question, about=about)
