"""Words per second of the systems of the encoder benchmark.

spaCy pipelines get Docs made from words beforehand, so their tokeniser is not measured;
Hugging Face's pipeline takes strings only, so its rate includes its splitting into words.
"""

import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import spacy
from encoder_data import Sentence, join_sentences
from encoder_systems import MAX_PIECES, PREDICT_BATCH, make_doc
from spacy.language import Language
from transformers import AutoTokenizer, pipeline

PEER = "spacy"  # what the ratios are against
DOCUMENT_WORDS = 300
HF_STRIDE = 64  # word pieces that neighbouring windows of a long text share

Prepare = Callable[[list[list[str]]], Any]
Annotate = Callable[[Any], Any]
Rates = dict[str, list[float]]


def write_speed(
    output: Path, dataset: str, models: Path, sentences: list[Sentence], rounds: int
) -> str:
    """Measure on the sentences and on the same words as longer documents.

    output (Path): the folder of the report.
    dataset (str): the name of the corpus.
    models (Path): a folder with one model per system, named after it.
    sentences (list[Sentence]): what to annotate.
    rounds (int): timed rounds.
    RETURNS (str): the report as Markdown.
    """
    runners = {path.name: load_runner(path) for path in sorted(models.iterdir())}
    texts = {
        "sentences": [sentence.tokens for sentence in sentences],
        "documents": join_sentences(sentences, DOCUMENT_WORDS),
    }
    measured = {name: measure(runners, words, rounds) for name, words in texts.items()}
    results = {
        "dataset": dataset,
        "rounds": rounds,
        "texts": {name: len(words) for name, words in texts.items()},
        "words": sum(len(words) for words in texts["sentences"]),
        "processor": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "spacy")},
        "words_per_second": {name: summarise(rates) for name, rates in measured.items()},
    }
    (output / f"speed-{dataset}.json").write_text(json.dumps(results, indent=2) + "\n")
    markdown = render(results)
    (output / f"speed-{dataset}.md").write_text(markdown)
    return markdown


def load_runner(folder: Path) -> tuple[Prepare, Annotate]:
    """RETURNS (tuple): what makes the input from words (untimed), and what annotates it."""
    if (folder / "meta.json").exists():
        return _spacy_runner(spacy.load(folder))
    return _hf_runner(folder)


def _spacy_runner(nlp: Language) -> tuple[Prepare, Annotate]:
    return (
        lambda texts: [make_doc(nlp.vocab, words) for words in texts],
        lambda docs: list(nlp.pipe(docs)),
    )


def _hf_runner(folder: Path) -> tuple[Prepare, Annotate]:
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=MAX_PIECES)
    annotate = pipeline(
        "token-classification",
        model=str(folder),
        tokenizer=tokenizer,
        aggregation_strategy="simple",
        stride=HF_STRIDE,
        batch_size=PREDICT_BATCH,
    )
    return lambda texts: [" ".join(words) for words in texts], annotate


def measure(
    runners: dict[str, tuple[Prepare, Annotate]], texts: list[list[str]], rounds: int
) -> Rates:
    """Time the systems in turn, round by round, so that a slow minute hits all of them. CPU
    time, because in one thread it is wall time without what else the machine does.

    RETURNS (dict): each system's words per second in each round but the warm-up.
    """
    n_words = sum(len(words) for words in texts)
    rates: Rates = {name: [] for name in runners}
    for number in range(rounds + 1):
        for name, (prepare, annotate) in runners.items():
            inputs = prepare(texts)
            start = time.process_time()
            annotate(inputs)
            seconds = time.process_time() - start
            if number > 0:
                rates[name].append(n_words / seconds)
    return rates


def summarise(rates: Rates) -> dict[str, Any]:
    """RETURNS (dict): each system's rates, and their ratios to the peer's by round."""
    summary: dict[str, Any] = {}
    for name, values in rates.items():
        ratios = [mine / peer for mine, peer in zip(values, rates[PEER], strict=True)]
        summary[name] = {
            "median": median(values),
            "rounds": values,
            "ratio": median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return summary


def render(results: dict[str, Any]) -> str:
    """RETURNS (str): the results as Markdown."""
    lines = [
        f"Words per CPU second on {results['dataset']}, one thread: medians of "
        f"{results['rounds']} interleaved rounds after a warm-up. Ratio to `{PEER}` within "
        "a round: median (least to greatest).",
        "",
        "| texts | number | system | words/s | ratio |",
        "|---|---|---|---|---|",
    ]
    for texts, systems in results["words_per_second"].items():
        for name, rate in systems.items():
            spread = f"{rate['ratio_min']:.2f} to {rate['ratio_max']:.2f}"
            lines.append(
                f"| {texts} | {results['texts'][texts]} | {name} | {rate['median']:.0f} "
                f"| {rate['ratio']:.2f} ({spread}) |"
            )
    return "\n".join(lines) + "\n"
