"""Documents per second of `ner_llm` against a server with a fixed latency, and of
spacy-llm's stock `llm` pipe in the same run.

    python benchmarks/llm_throughput.py [--documents 640] [--latencies 0.2,0.5]
        [--concurrencies 1,8,32] [--serial-documents 40] [--output FILE]

The server is a process of its own on this machine. It answers every request after exactly
the latency L, however many there are: c requests in flight make at most c / L documents a
second. With one request in flight at a time, as in the stock pipe, fewer documents are
measured (`--serial-documents`), since 640 of them take minutes and tell nothing more.
"""

import asyncio
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer

LABELS = ["PERSON", "LOCATION"]
FOUND = ["Ann Lee|PERSON", "Bob Stone|PERSON", "Paris|LOCATION"]
TEXT = (
    "On day {i} of the fair, Ann Lee met Bob Stone in Paris. They spoke about the weather, "
    "which was fine, and about prices, which were not, had lunch near the river with a few "
    "colleagues from the office, and went home by train before the rain began."
)
# A bar for throughput, as a share of c / L, and one for the first document, in L.
LEAST_SHARE, MOST_FIRST = 0.9, 1.5
KEY_NAME = "AZURE_OPENAI_KEY"

# The server


def make_answer(path: str) -> bytes:
    """RETURNS (bytes): the body of a chat completion: spacy.NER.v2's lines on the route
    that its model uses, our JSON on the other."""
    if "/deployments/" in path:
        content = "PERSON: Ann Lee, Bob Stone\nLOCATION: Paris"
    else:
        items = [dict(zip(("text", "label"), x.split("|"), strict=True)) for x in FOUND]
        content = json.dumps({"entities": [{**x, "occurrence": 1} for x in items]})
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360}
    return json.dumps({"choices": [{"index": 0, **choice}], "usage": usage}).encode()


async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of a connection, each after the latency that its path names."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            lines = [x.split(":", 1) for x in head.split("\r\n")[1:] if ":" in x]
            headers = {name.lower(): value.strip() for name, value in lines}
            # From the moment that the request is here whole.
            await reader.readexactly(int(headers.get("content-length", 0)))
            await asyncio.sleep(float(path.split("/")[1]))
            body = make_answer(path)
            start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
            writer.write(f"{start}{len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def serve(ports: Any) -> None:
    """Run the server until the process is ended."""

    async def run() -> None:
        server = await asyncio.start_server(serve_client, "127.0.0.1", 0, backlog=256)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def run_server() -> Iterator[str]:
    """YIELDS (str): the server's URL, to which a latency is appended."""
    context = multiprocessing.get_context("spawn")
    ports = context.Queue()
    process = context.Process(target=serve, args=(ports,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ports.get(timeout=60)}"
    finally:
        process.terminate()
        process.join()


# The systems


def make_ours(url: str, latency: float, concurrency: int) -> Any:
    """RETURNS (Language): a pipeline of `ner_llm`, which has opened no connection yet."""
    nlp = spacy.blank("en")
    model = {
        "@llm_models": "ner_components.OpenAICompatible.v1",
        "base_url": f"{url}/{latency}/v1",
        "model": "none",
        "concurrency": concurrency,
    }
    nlp.add_pipe("ner_llm", name="ner", config={"labels": LABELS, "model": model})
    return nlp


def make_stock(url: str, latency: float) -> Any:
    """RETURNS (Language): a pipeline of spacy-llm's `llm` with its own task, and its own
    model for Azure: the only one that takes another server without code. Making it costs
    a request."""
    os.environ.setdefault(KEY_NAME, "none")
    nlp = spacy.blank("en")
    model = {
        "@llm_models": "spacy.Azure.v2",
        "base_url": f"{url}/{latency}",
        "deployment_name": "none",
        "name": "none",
        "model_type": "chat",
        "context_length": 8192,
    }
    task = {"@llm_tasks": "spacy.NER.v2", "labels": LABELS}
    nlp.add_pipe("llm", name="ner", config={"task": task, "model": model})
    return nlp


def measure(nlp: Any, documents: int) -> tuple[float, float]:
    """RETURNS (tuple): seconds until the first document is out, and the last one.
    RAISES (RuntimeError): a document is missing, or has other entities than it should.
    """
    first, wrong, seen = 0.0, 0, 0
    start = time.perf_counter()
    for doc in nlp.pipe(TEXT.format(i=i) for i in range(documents)):
        first = first or time.perf_counter() - start
        wrong += [f"{e.text}|{e.label_}" for e in doc.ents] != FOUND
        wrong += f"day {seen} of" not in doc.text
        seen += 1
    last = time.perf_counter() - start
    if wrong or seen != documents:
        raise RuntimeError(f"{seen} of {documents} documents, {wrong} wrong")
    return first, last


def make_row(system: str, c: int, latency: float, documents: int, nlp: Any) -> dict:
    """RETURNS (dict): a row of the report."""
    cpu = time.process_time()
    first, last = measure(nlp, documents)
    cpu = time.process_time() - cpu
    return {
        "system": system,
        "concurrency": c,
        "latency": latency,
        "documents": documents,
        "seconds": round(last, 3),
        "documents_per_second": round(documents / last, 2),
        "share_of_bound": round(documents / last / (c / latency), 3),
        "first_in_latencies": round(first / latency, 2),
        "cpu_ms_per_document": round(1000 * cpu / documents, 2),
    }


def run_all(
    url: str, documents: int, serial: int, latencies: list[float], concurrencies: list[int]
) -> list[dict]:
    """RETURNS (list): the rows: for each latency the stock pipe, then ours."""
    rows = []
    # Imports and templates are loaded before anything is timed.
    measure(make_ours(url, 0.01, 1), 2)
    for latency in latencies:
        stock = make_stock(url, latency)
        rows.append(make_row("spacy-llm `llm`", 1, latency, serial, stock))
        for c in concurrencies:
            number = documents if c > 1 else serial
            nlp = make_ours(url, latency, c)
            rows.append(make_row("ner_llm", c, latency, number, nlp))
    return rows


def passes(row: dict) -> bool:
    """RETURNS (bool): whether a row of ours meets the bars."""
    quick = row["first_in_latencies"] <= MOST_FIRST
    return bool(quick and row["share_of_bound"] >= LEAST_SHARE)


def render(rows: list[dict]) -> str:
    """RETURNS (str): the rows as a Markdown table."""
    lines = [
        "| system | c | L, s | documents | s | docs/s | of c/L | first, in L | CPU ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(str(x) for x in row.values()) + " |" for row in rows]
    return "\n".join(lines)


def main(
    documents: Annotated[int, typer.Option()] = 640,
    serial_documents: Annotated[int, typer.Option(help="With one in flight")] = 40,
    latencies: Annotated[str, typer.Option(help="Seconds")] = "0.2,0.5",
    concurrencies: Annotated[str, typer.Option()] = "1,8,32",
    output: Annotated[Path, typer.Option()] = Path("metrics/llm_throughput.json"),
) -> None:
    """Measure, print a table, and save the figures. Ends with 1 if a bar is missed."""
    with run_server() as url:
        rows = run_all(
            url,
            documents,
            serial_documents,
            [float(x) for x in latencies.split(",")],
            [int(x) for x in concurrencies.split(",")],
        )
    missed = [row for row in rows if row["system"] == "ner_llm" and not passes(row)]
    names = ("ner_components", "spacy", "spacy-llm", "httpx")
    report = {
        "rows": rows,
        "bars": {"share_of_bound": LEAST_SHARE, "first_in_latencies": MOST_FIRST},
        "missed": len(missed),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, report)
    print(render(rows))
    print(f"{len(missed)} rows of ner_llm miss a bar")
    raise typer.Exit(1 if missed else 0)


if __name__ == "__main__":
    typer.run(main)
