"""How often the verdict on drift is wrong: false alarms where both sides are of one source,
and detection where they are not.

    python benchmarks/drift_rates.py
    python benchmarks/drift_rates.py --splits 1000 --seed 1 --output drift.json

The pipeline is an entity ruler over spaCy's English tokenizer, the same for all sources, so
that neither label names nor a corpus' own tokens give a source away. Documents are drawn
anew for every split. Corpora are in corpus/ and in $NER_DATA (shared/data beside the
repository). docs/drift.md has the figures of a run.
"""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import srsly
import typer
from encoder_data import ROOT, data_folder
from spacy.language import Language
from wasabi import msg

from ner_components.corpora.formats import read_corpus
from ner_components.evaluation.drift import compare_profiles
from ner_components.evaluation.shifts import Profile, make_profile

# What the ruler finds: names by their shape, of no use but to have something to compare.
PATTERNS = [
    {"label": "NAME", "pattern": [{"IS_TITLE": True, "OP": "{2,4}"}]},
    {"label": "WORD", "pattern": [{"IS_TITLE": True}]},
    {"label": "ACRONYM", "pattern": [{"IS_UPPER": True, "LENGTH": {">": 1}}]},
    {"label": "AMOUNT", "pattern": [{"IS_CURRENCY": True}, {"LIKE_NUM": True}]},
    {"label": "NUMBER", "pattern": [{"LIKE_NUM": True}]},
    {"label": "HANDLE", "pattern": [{"TEXT": {"REGEX": "^@."}}]},
]
# Sources, documents a side, and share of the new documents that is of the second source.
# None of them: false alarms.
PAIRS = [
    ("gold", "gold", 164, 0.0),
    ("wnut17", "wnut17", 200, 0.0),
    ("btc", "btc", 200, 0.0),
    ("gold", "wnut17", 200, 1.0),
    ("gold", "wnut17", 50, 1.0),
    ("gold", "wnut17", 20, 1.0),
    ("wnut17", "btc", 200, 1.0),
    ("wnut17-train", "wnut17-test", 200, 1.0),
    ("gold", "wnut17", 100, 0.1),
    ("gold", "wnut17", 100, 0.3),
]
SPLITS = {
    "gold": ("train", "dev", "test"),
    "wnut17": ("train", "dev", "test"),
    "btc": ("dev", "test"),
    "wnut17-train": ("train",),
    "wnut17-test": ("test",),
}


def main(
    splits: Annotated[int, typer.Option(help="Random splits of each pair")] = 200,
    seed: Annotated[int, typer.Option(help="Of the splits")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write the figures (JSON)")] = None,
) -> None:
    """Measure the two rates."""
    sources = read_sources()
    rows = []
    for first, second, size, share in PAIRS:
        start = time.process_time()
        row = measure(sources, first, second, size, share, splits, seed)
        row["cpu_seconds"] = round(time.process_time() - start, 1)
        rows.append(row)
        msg.text(f"{first} / {second}, {size}, {share:.0%}: {row['drift']:.1%} drift")
    show(rows)
    if output is not None:
        srsly.write_json(output, rows)


def read_sources() -> dict[str, list[Profile]]:
    """RETURNS (dict): the counts of each source's documents, annotated by the ruler."""
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(PATTERNS)  # type: ignore[attr-defined]
    return {name: read_source(nlp, name) for name in SPLITS}


def read_source(nlp: Language, name: str) -> list[Profile]:
    """RETURNS (list): the counts of a source's documents."""
    folder = data_folder() / name.partition("-")[0]
    texts = []
    for split in SPLITS[name]:
        path = folder / f"{split}.jsonl.gz"
        if name == "gold":
            path = ROOT / "corpus" / f"{split}.txt"
        texts += [doc.text for doc, _ in read_corpus(path, nlp)]
    return [make_profile(doc, None) for doc in nlp.pipe(texts)]


def measure(
    sources: dict[str, list[Profile]],
    first: str,
    second: str,
    size: int,
    share: float,
    splits: int,
    seed: int,
) -> dict[str, Any]:
    """RETURNS (dict): how often drift was found, and how often each test found it."""
    rng = np.random.default_rng(seed)
    moved = round(share * size)
    found: Counter[str] = Counter()
    alarms = 0
    for i in range(splits):
        drawn = [sources[first][j] for j in rng.permutation(len(sources[first]))]
        others = drawn if first == second else sources[second]
        places = [] if first == second else rng.permutation(len(others))[:moved]
        new = drawn[size : 2 * size - moved] + [others[j] for j in places]
        drift = compare_profiles(drawn[:size], new, seed=seed + i)
        alarms += drift.is_drift
        found.update(drift.shifted)
    return {
        "reference": first,
        "new": second,
        "documents": size,
        "share": share,
        "splits": splits,
        "alarms": alarms,
        "drift": alarms / splits,
        "tests": {name: n / splits for name, n in found.most_common()},
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rates as a table.

    rows (list): what `measure` gave.
    """
    table = []
    for row in rows:
        tests = ", ".join(f"{name} {share:.0%}" for name, share in row["tests"].items())
        names = [row["reference"], row["new"], row["documents"], f"{row['share']:.0%}"]
        rates = [row["splits"], f"{row['drift']:.1%}", row["cpu_seconds"]]
        table.append((*names, *rates, tests))
    header = ("reference", "new", "a side", "share", "splits", "drift", "CPU s", "tests")
    msg.table(table, header=header, divider=True)


if __name__ == "__main__":
    typer.run(main)
