"""The LLM engine's systems of the speed benchmark: `ner_llm` with so many requests in
flight, and spacy-llm's stock pipe, against a server that answers after a fixed time."""

from functools import partial

import llm_throughput
from speed_measure import Row, Run, count_words, measure

STOCK = "spacy-llm"
LATENCY = 0.2  # seconds to an answer
CONCURRENCIES = (1, 8, 32)
SERIAL = 20  # documents for each request in flight: 4 seconds


def measure_systems(rounds: int) -> list[Row]:
    """RETURNS (list[Row]): a row for each system, by wall time.
    RAISES (RuntimeError): A system loses a document or an entity.
    """
    with llm_throughput.run_server() as url:
        systems = {STOCK: (llm_throughput.make_stock(url, LATENCY), SERIAL)}
        for c in CONCURRENCIES:
            nlp = llm_throughput.make_ours(url, LATENCY, c)
            systems[f"ours, {c} in flight"] = nlp, c * SERIAL
        runs: dict[str, Run] = {}
        words: dict[str, int] = {}
        for name, (nlp, documents) in systems.items():
            runs[name] = partial(llm_throughput.measure, nlp, documents)
            texts = (llm_throughput.TEXT.format(i=i) for i in range(documents))
            words[name] = count_words(texts)
        rows = measure(runs, words, rounds, [STOCK], clock="wall")
    return [{**row, "latency": LATENCY} for row in rows]
