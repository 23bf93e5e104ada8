"""Words per second of GLiNER: gliner-spacy, the library's batch call, and ours, with the
same model, texts and threads, round by round in turn; and what labels cost.

    python benchmarks/gliner_speed.py [--model FOLDER] [--texts FILE] [--threads 1,2]
        [--batch-sizes 1,2,4,8,16,32,64] [--label-counts 5,20,100,500] [--output FOLDER]

With one thread the table counts CPU seconds, so that other jobs on the machine count for
less; with more it counts seconds, which is what threads are to save. The JSON has both.
gliner-spacy is left out where it is not installed (`ner_components[gliner-spacy]`).

Without a model a fresh one on the embedded encoder is measured: its scores mean nothing,
its speed is that of a trained one, but for candidates: the threshold is put so high that
nobody has any.
"""

import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import spacy
import torch
import typer

from ner_components.gliner.candidates import Query
from ner_components.gliner.component import NerGliner
from ner_components.gliner.model import build_gliner, build_gliner_from_encoder
from ner_components.gliner.peer import build_gliner_spacy

THRESHOLD = 0.99
PEERS = ("gliner-spacy", "gliner batch")
SENTENCES = [
    "Angela Merkel met Tim Cook in the lobby of the old hotel.",
    "Shares rose.",
    "Analysts at Acme Holdings, who had expected less, now like the bonds that Zork "
    "Industries sold in Berlin, Paris and Oslo last spring, and say so in public.",
    "Nobody complained about the weather, which was fine.",
    "Traders bought ACMH and sold ZORK today, then went home after a long lunch with the "
    "board of the bank.",
]
Run = Callable[[], Any]


def make_texts(path: Path | None, words: int) -> dict[str, list[str]]:
    """RETURNS (dict): sentences, and the same as documents of some 300 words."""
    if path is not None:
        lines = [x for x in path.read_text(encoding="utf8").splitlines() if x.strip()]
    else:
        lines = SENTENCES * 1000
    sentences: list[str] = []
    documents: list[list[str]] = [[]]
    for line in lines:
        if count(sentences) >= words:
            break
        sentences.append(line)
        documents[-1].append(line)
        if count(documents[-1]) >= 300:
            documents.append([])
    return {
        "sentences": sentences,
        "documents": [" ".join(x) for x in documents if x],
    }


def count(texts: list[str]) -> int:
    """RETURNS (int): words, at white space."""
    return sum(len(text.split()) for text in texts)


class Thresholded(NerGliner):
    """Our component, with the threshold of the others as its floor: a random head scores
    about 0.5 everywhere."""

    floor = THRESHOLD


def make_component(model: Any, labels: list[str]) -> tuple[Any, NerGliner]:
    """RETURNS (tuple): a blank pipeline and our component with a model in it."""
    nlp = spacy.blank("en")
    settings = {"labels": labels, "threshold": THRESHOLD, "prompt": "name"}
    return nlp, Thresholded(nlp.vocab, model, **settings)


def make_labels(number: int) -> list[str]:
    """RETURNS (list): that many short labels."""
    kinds = ("person", "organization", "place", "stock symbol", "work of art")
    return [kinds[i % 5] + (f" {i // 5}" if i >= 5 else "") for i in range(number)]


def build(model: str | None, window: int, budget: int) -> Any:
    """RETURNS (Model): ours, loaded."""
    made = (
        build_gliner_from_encoder(window=window, max_batch_items=budget)
        if model is None
        else build_gliner(model, window=window, max_batch_items=budget)
    )
    made.initialize()
    return made


def share(target: Any, source: Any) -> Any:
    """RETURNS (Model): the target, with the source's loaded model in it."""
    target.shims[0].source = source.shims[0].source
    target.shims[0]._set_model(source.shims[0].gliner)
    return target


def make_runs(ours: Any, texts: list[str], labels: list[str], batch: int) -> dict[str, Run]:
    """RETURNS (dict): each system as a function that annotates all texts."""
    gliner = ours.shims[0].gliner
    nlp, pipe = make_component(ours, labels)
    prompts = labels
    has_peer = find_spec("gliner_spacy") is not None
    peer = share(build_gliner_spacy(), ours) if has_peer else None

    def run_peer() -> None:
        assert peer is not None
        peer.predict(Query([nlp.make_doc(x) for x in texts], labels, prompts, THRESHOLD))

    def run_batch() -> None:
        gliner.inference(texts, labels, threshold=THRESHOLD, batch_size=batch)

    def run_ours() -> None:
        for _ in pipe.pipe(nlp.make_doc(x) for x in texts):
            pass

    runs: dict[str, Run] = {"gliner-spacy": run_peer} if has_peer else {}
    return {**runs, "gliner batch": run_batch, "ours": run_ours}


def measure(runs: dict[str, Run], words: int, rounds: int, clock: str) -> dict[str, Any]:
    """Time the systems in turn.

    RETURNS (dict): for each system the median rate by the clock ("cpu" or "wall"), and the
        rates of each round by both, words per second.
    """
    rates: dict[str, dict[str, list[float]]] = {x: {"cpu": [], "wall": []} for x in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            rates[name]["cpu"].append(words / (time.process_time() - cpu))
            rates[name]["wall"].append(words / (time.perf_counter() - wall))
    result: dict[str, Any] = {
        name: {
            "median": round(median(x[clock]), 1),
            "cpu": [round(r, 1) for r in x["cpu"]],
            "wall": [round(r, 1) for r in x["wall"]],
        }
        for name, x in rates.items()
    }
    for peer in set(PEERS) & set(rates):
        if "ours" in rates:
            pairs = zip(rates["ours"][clock], rates[peer][clock], strict=True)
            result[peer]["ours_over_it"] = round(median(a / b for a, b in pairs), 2)
    return result


def render(results: dict[str, Any]) -> str:
    """RETURNS (str): the results as Markdown."""
    lines = [
        f"Words per second, {results['model']}: medians of {results['rounds']} rounds in "
        "turn; CPU seconds with one thread, seconds with more.",
        "",
        "| threads | texts | batch | gliner-spacy | gliner batch | ours | ours over the "
        "first | over the second |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["systems"]:
        cells = [row["threads"], row["texts"], row["batch"]]
        cells += [row[x]["median"] if x in row else "-" for x in (*PEERS, "ours")]
        cells += [row[x]["ours_over_it"] if x in row else "-" for x in PEERS]
        lines.append(f"| {' | '.join(str(x) for x in cells)} |")
    lines += ["", "| threads | texts | labels | groups | ours |", "|---|---|---|---|---|"]
    for row in results["labels"]:
        cells = [row[x] for x in ("threads", "texts", "labels", "groups")]
        cells.append(row["ours"]["median"])
        lines.append(f"| {' | '.join(str(x) for x in cells)} |")
    return "\n".join(lines) + "\n"


def numbers(text: str) -> list[int]:
    """RETURNS (list): the numbers in a list with commas."""
    return [int(x) for x in text.split(",") if x]


def main(
    model: Annotated[str | None, typer.Option(help="Folder or hub id")] = None,
    texts: Annotated[Path | None, typer.Option(help="One text a line")] = None,
    words: Annotated[int, typer.Option(help="Words measured")] = 3000,
    threads: Annotated[str, typer.Option(help="Numbers of threads")] = "1,2",
    batch_sizes: Annotated[
        str, typer.Option(help="Of the library's call")
    ] = "1,2,4,8,16,32,64",
    label_counts: Annotated[str, typer.Option()] = "5,20,100,500",
    rounds: Annotated[int, typer.Option()] = 3,
    window: Annotated[int, typer.Option(help="Our window")] = 64,
    budget: Annotated[int, typer.Option(help="Our max_batch_items")] = 512,
    output: Annotated[Path | None, typer.Option(help="Folder for JSON and table")] = None,
) -> None:
    """Measure, print the table, write JSON beside it."""
    ours = build(model, window, budget)
    results: dict[str, Any] = {
        "model": model or "fresh GLiNER on all-MiniLM-L6-v2",
        "threads": numbers(threads),
        "rounds": rounds,
        "window": window,
        "budget": budget,
        "processor": platform.processor() or platform.machine(),
        "versions": {x: version(x) for x in ("torch", "transformers", "gliner", "spacy")},
        "systems": [],
        "labels": [],
    }
    made = make_texts(texts, words)
    for number in numbers(threads):
        torch.set_num_threads(number)
        clock = "cpu" if number == 1 else "wall"
        for name, chosen in made.items():
            here = {"threads": number, "texts": name}
            for batch in numbers(batch_sizes):
                runs = make_runs(ours, chosen, make_labels(5), batch)
                row = measure(runs, count(chosen), rounds, clock)
                results["systems"].append({**here, "batch": batch, **row})
            few = chosen[: max(1, len(chosen) // 10)]
            for size in numbers(label_counts):
                labels = make_labels(size)
                runs = {"ours": make_runs(ours, few, labels, 8)["ours"]}
                groups = len(ours.shims[0].frontend.make_groups(labels, labels))
                row = measure(runs, count(few), 1, clock)
                results["labels"].append({**here, "labels": size, "groups": groups, **row})
    table = render(results)
    print(table)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "gliner_speed.json").write_text(json.dumps(results, indent=2) + "\n")
        (output / "gliner_speed.md").write_text(table)


if __name__ == "__main__":
    typer.run(main)
