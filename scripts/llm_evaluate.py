"""Score an `ner_llm` pipeline and say what it took: the `llm-evaluate` step of the project.

    python scripts/llm_evaluate.py MODEL DATA.spacy OUT.json [--cache FILE]

With a cache a second run, or one that goes on after an interruption, asks only for what is
missing; its report then counts only the requests that it made.
"""

from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from readme_figures import percent
from score_cuts import score_cuts
from spacy.tokens import DocBin
from spacy.training import Example
from wasabi import msg

CACHE = "components.ner.model.cache"


def main(
    model: Path,
    data: Path,
    output: Path,
    cache: Annotated[Path | None, typer.Option(help="SQLite file for answers")] = None,
) -> None:
    """Score MODEL on DATA and write OUTPUT."""
    nlp = spacy.load(model, config={} if cache is None else {CACHE: str(cache)})
    ner = nlp.get_pipe("ner")
    golds = list(DocBin().from_disk(data).get_docs(nlp.vocab))
    found = list(nlp.pipe(gold.text for gold in golds))
    pairs = zip(golds, found, strict=True)
    report = {
        "scores": ner.score([Example(doc, gold) for gold, doc in pairs]),
        "cuts": score_cuts(golds, found),
        "usage": describe(ner.usage, len(golds)),
        "stats": ner.stats.to_dict(),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, report)
    show(report)


def describe(usage: Any, documents: int) -> dict[str, Any]:
    """RETURNS (dict): the counts of a run, and what 1,000 such documents would cost."""
    per_thousand = 1000 * usage.cost / documents if documents else 0.0
    return {"documents": documents, **usage._asdict(), "cost_per_1000": per_thousand}


def show(report: dict[str, Any]) -> None:
    """Print scores, errors and cost."""
    scores, usage = report["scores"], report["usage"]
    rate = scores["ner_schema_error_rate"]
    counts = [f"{name} {x}" for name, x in scores["ner_counts"].items()]
    rows = [
        ("F1", percent(scores["ents_f"])),
        ("precision", percent(scores["ents_p"])),
        ("recall", percent(scores["ents_r"])),
        ("schema error rate", "n/a" if rate is None else percent(rate)),
        ("candidates", ", ".join(counts) or "none"),
        ("documents", usage["documents"]),
        ("requests in this run", usage["requests"]),
        ("prompt tokens", usage["prompt_tokens"]),
        ("of them cached by the server", usage["cached_tokens"]),
        ("completion tokens", usage["completion_tokens"]),
        ("requests without usage", usage["unknown"]),
        ("cost", f"{usage['cost']:.4f}"),
        ("cost of 1,000 documents", f"{usage['cost_per_1000']:.4f}"),
    ]
    msg.table(rows, divider=True, aligns=("l", "r"))


if __name__ == "__main__":
    typer.run(main)
