"""What forced grounding does to precision: `grounding = "enum"` against "free".

    python benchmarks/llm_grounding.py [--rates 0,0.1,0.25,0.5]
        [--words 5,8,12] [--output FILE]

The model of the planted rows knows the gold test set. It names every entity, and beside
them inventions: entities of other documents, so many that they are a given share of its
answer. Held to an enum, it is decoded as servers do it, greedily under a mask: each
character is the one it wants while that is allowed, then one that is allowed. So an
invention becomes the stretch of the document that begins most like it. How often a real
model invents has to be measured on it; what becomes of inventions is what this shows.
"""

import json
import random
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from encoder_data import ROOT
from spacy.tokens import Doc
from spacy.training import Example
from wasabi import msg

from ner_components.corpora.formats import read_corpus
from ner_components.evaluation.metrics import Evaluation, evaluate, interval
from ner_components.llm.protocol import Answer, Prompt

SCHEMA = ROOT / "corpus" / "schema.json"
TEXT = re.compile(r"<(text[-\d]*)>\n(.*)\n</\1>", re.S)

Item = tuple[str, str, int]


class PlantedModel:
    """Names the gold entities of a text, and inventions among them.

    gold (list): The documents, with their entities.
    rate (float): Share of the answer that is invented, 0 to below 1.
    """

    concurrency, context_length, max_tokens = 1, None, None

    def __init__(self, gold: list[Doc], rate: float) -> None:
        self.gold = gold
        self.rate = rate
        self.names = sorted({(e.text, e.label_) for doc in gold for e in doc.ents})

    def submit(self, prompt: Prompt) -> "Future[Answer]":
        text = TEXT.findall(prompt)[-1][1]
        items = self.answer(text)
        allowed = find_enum(prompt.json_schema)
        if allowed:
            items = [(constrain(name, allowed), *rest) for name, *rest in items]
        rows = [dict(zip(("text", "label", "occurrence"), x, strict=True)) for x in items]
        future: Future[Answer] = Future()
        future.set_result(Answer(json.dumps({"entities": rows}), finish_reason="stop"))
        return future

    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterator[list[Answer]]:
        for some in prompts:
            yield [self.submit(x).result() for x in some]

    def answer(self, text: str) -> list[Item]:
        """RETURNS (list[Item]): Gold entities and inventions, the same for both modes."""
        rng = random.Random(text)
        doc = next(x for x in self.gold if text in x.text)
        start = doc.text.index(text)
        end = start + len(text)
        ents = [e for e in doc.ents if start <= e.start_char and e.end_char <= end]
        items = [
            (e.text, e.label_, occurrence(e.text, text, e.start_char - start)) for e in ents
        ]
        wanted = len(items) * self.rate / (1 - self.rate)
        count = int(wanted) + (rng.random() < wanted % 1)
        here = text.casefold()
        absent = [(*x, 1) for x in self.names if x[0].casefold() not in here]
        items += rng.sample(absent, count)
        rng.shuffle(items)
        return items


def find_enum(schema: Any) -> list[str]:
    """RETURNS (list[str]): The values that the text of an item can have; empty without."""
    if isinstance(schema, dict):
        text = schema.get("properties", {}).get("text", {})
        if "enum" in text:
            return text["enum"]
    children = schema.values() if isinstance(schema, dict) else schema
    if not isinstance(schema, dict | list):
        return []
    return next(filter(None, map(find_enum, children)), [])


def occurrence(name: str, text: str, start: int) -> int:
    """RETURNS (int): Which of the places of a name, as a word, begins at `start`."""
    found = re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text)
    return 1 + sum(match.start() < start for match in found)


def shared(a: str, b: str) -> int:
    """RETURNS (int): Characters that two texts begin with."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y),
        min(len(a), len(b)),
    )


def constrain(wanted: str, allowed: list[str]) -> str:
    """RETURNS (str): What greedy decoding of a text makes of it where only some texts are
    allowed; what follows where it has to leave its text is drawn."""
    if wanted in allowed:
        return wanted
    most = max(shared(wanted, x) for x in allowed)
    near = [x for x in allowed if shared(wanted, x) == most]
    return random.Random(wanted).choice(sorted(near))


def run(model: PlantedModel, grounding: str, gold: list[Doc], words: int) -> Evaluation:
    """RETURNS (Evaluation): Of a model, held to the text or not."""
    nlp = spacy.blank("en")
    spacy.registry.llm_models.register("planted.v1", func=lambda: model)
    task = {
        "@llm_tasks": "ner_components.NER.v1",
        "grounding": grounding,
        "max_words": words,
        "reasks": 0,
    }
    block = {"@llm_models": "planted.v1"}
    config = {"schema": str(SCHEMA), "task": task, "model": block}
    nlp.add_pipe("ner_llm", name="ner", config=config)
    found = nlp.pipe([doc.text for doc in gold])
    pairs = zip(found, gold, strict=True)
    return evaluate([Example(x, y) for x, y in pairs])


def describe(name: str, mode: str, words: int, evaluation: Evaluation) -> dict[str, Any]:
    """RETURNS (dict): A row of the table."""
    micro, counts = evaluation.micro, evaluation.candidates
    return {
        "answers": name,
        "grounding": mode if mode == "free" else f"{mode}, {words} words",
        "documents": len(evaluation.documents),
        "proposed": sum(counts.values()),
        "entities": micro.predicted,
        "not_in_text": counts.get("not_in_text", 0),
        "schema_error_rate": evaluation.schema_error_rate,
        "p": interval(evaluation, "micro_p").to_dict(),
        "r": micro.r,
        "f": micro.f,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = []
    for x in rows:
        p, rate = x["p"], x["schema_error_rate"]
        bounds = f"{100 * p['value']:.1f} ({100 * p['low']:.1f}-{100 * p['high']:.1f})"
        shares = ["n/a" if y is None else f"{100 * y:.1f}" for y in (rate, x["r"], x["f"])]
        counts = [x["proposed"], x["entities"], x["not_in_text"]]
        table.append(
            [x["answers"], x["grounding"], *counts, shares[0], bounds, *shares[1:]]
        )
    names = ("proposed", "entities", "not in text", "schema errors %")
    header = ("answers", "grounding", *names, "precision %", "recall %", "F1 %")
    msg.table(table, header=header, divider=True, aligns=("l", "l", *"rrrrrrr"))


def main(
    rates: Annotated[str, typer.Option(help="Shares of inventions")] = "0,0.1,0.25,0.5",
    words: Annotated[str, typer.Option(help="`max_words` of enums")] = "5,8,12",
    output: Annotated[Path | None, typer.Option(help="JSON")] = None,
) -> None:
    """Answer the gold test set in both modes, and score."""
    blank = spacy.blank("en")
    gold = [doc for doc, _ in read_corpus(ROOT / "corpus" / "test.txt", blank)]
    # What is free has no enum, and any number will do.
    modes = [("free", 1), *(("enum", int(x)) for x in words.split(","))]
    rows = []
    for rate in map(float, rates.split(",")):
        for mode, most in modes:
            found = run(PlantedModel(gold, rate), mode, gold, most)
            rows.append(describe(f"{rate:.0%} invented", mode, most, found))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(output, rows)
    show(rows)


if __name__ == "__main__":
    typer.run(main)
