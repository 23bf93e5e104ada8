"""`python -m spacy ner compare`: which system to ship."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Dict, List, Optional, Tuple

import typer
from wasabi import msg

from ..errors import Errors
from .compare_report import name_files, print_report, write_all

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ..evaluation.run_jobs import Settings, System
    from ..evaluation.runs import Run

Arg, Opt = typer.Argument, typer.Option
LINES_EVERY = 30.0  # seconds, where the output is no terminal


def compare_cli(
    gold: Annotated[Path, Arg(help="Annotated documents, a file or folder", exists=True)],
    systems: Annotated[
        List[str], Arg(help="NAME=PIPELINE ...: folders or installed packages")
    ],
    output: Annotated[
        Path, Opt("--output", "-o", help="Folder for report and runs", file_okay=False)
    ],
    dev: Annotated[
        Optional[Path], Opt(help="Choose thresholds on these documents", exists=True)
    ] = None,
    mapping: Annotated[
        Optional[List[str]],
        Opt("--mapping", "-m", help="Label mapping: FILE for all, NAME=FILE for one"),
    ] = None,
    costs: Annotated[
        Optional[Path], Opt(help="JSON file: what mistakes cost", exists=True)
    ] = None,
    max_latency: Annotated[
        Optional[float], Opt(help="Most milliseconds for a document (p95)")
    ] = None,
    max_cost: Annotated[Optional[float], Opt(help="Most money for 1,000 documents")] = None,
    max_schema_errors: Annotated[
        Optional[float], Opt(min=0, max=1, help="Most schema errors, as a share")
    ] = None,
    hourly_price: Annotated[
        Optional[float], Opt(min=0, help="Of the machine, in the money of the prices")
    ] = None,
    train: Annotated[
        Optional[Path],
        Opt(help="Training data, to tell names seen from unseen", exists=True),
    ] = None,
    code: Annotated[
        Optional[Path],
        Opt("--code", "-c", help="Python file with registered functions", exists=True),
    ] = None,
    gpu_id: Annotated[int, Opt("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
    threads: Annotated[
        Optional[int], Opt(min=1, help="Of each system; default: as libraries like")
    ] = None,
    batch_size: Annotated[
        Optional[int], Opt(min=1, help="For nlp.pipe; default: the pipeline's own")
    ] = None,
    limit: Annotated[int, Opt("--limit", "-l", min=0, help="Most documents, 0: all")] = 0,
    no_html: Annotated[bool, Opt("--no-html", help="Write no report.html")] = False,
    fresh: Annotated[bool, Opt("--fresh", help="Run also what has been run")] = False,
    seed: Annotated[int, Opt(help="Of the random draws")] = 0,
    format: Annotated[
        str, Opt("--format", "-f", help="Format of the data (`ner convert --formats`)")
    ] = "auto",
) -> None:
    """
    Compare pipelines on the same documents, and say which one to ship.

    Each runs in a process of its own; one that was run already with the same files,
    documents and settings is not run again. Writes report.json, report.md, report.html and
    plots. Exits with 0, or 1 where a system failed, 2 where there is nothing to compare.
    """
    from ..evaluation.compare import About, Question
    from ..evaluation.costs import Costs
    from ..evaluation.decision import Limits
    from ..evaluation.metrics import surfaces
    from ..evaluation.run_jobs import Settings

    try:
        chosen = read_systems(systems, mapping or [])
        gold_docs = read_docs(gold, format, limit)
        table = None if costs is None else Costs.from_file(costs)
        question = Question(
            limits=Limits(
                max_latency=max_latency,
                max_cost=max_cost,
                max_schema_errors=max_schema_errors,
            ),
            costs=table,
            hourly_price=hourly_price,
            train_surfaces=None if train is None else surfaces(read_docs(train, format)),
            seed=seed,
        )
        settings = Settings(
            code=code,
            gpu_id=gpu_id,
            threads=threads,
            batch_size=batch_size,
            dev=[] if dev is None else read_docs(dev, format),
            dev_name=None if dev is None else dev.name,
            costs=None if table is None else table.model_dump(),
        )
        runs, failed = run_all(chosen, gold_docs, settings, output, fresh=fresh)
        command = {
            "limits": dict(vars(question.limits)),
            **name_files(costs=costs, dev=dev, train=train, code=code),
            "mapping": {x.name: x.mapping and Path(x.mapping).name for x in chosen},
            "hourly_price": hourly_price,
            "limit": limit,
            "gpu_id": gpu_id,
            "batch_size": batch_size,
            "seed": seed,
            "confidence": question.confidence,
            "resamples": question.resamples,
        }
        about = About(name_files(gold=gold)["gold"] or {}, command, threads, failed)
        report = write_all(
            output, gold_docs, runs, question=question, about=about, html=not no_html
        )
    except (ValueError, ImportError) as e:
        msg.fail("The comparison did not come to its end", str(e))
        raise typer.Exit(2) from None
    print_report(report)
    msg.good(f"Report written to {output}")
    if failed:
        raise typer.Exit(1)


def read_systems(arguments: List[str], mappings: List[str]) -> "List[System]":
    """Read what the command line says of the systems.

    arguments (List[str]): NAME=PIPELINE.
    mappings (List[str]): FILE or NAME=FILE.
    RETURNS (List[System]): The systems.
    RAISES (ValueError): An argument isn't valid.
    """
    from ..corpora.mapping import LabelMapping
    from ..evaluation.run_jobs import System, check_names

    pairs = []
    for argument in arguments:
        name, _, pipeline = argument.partition("=")
        if not name or not pipeline:
            raise ValueError(Errors.N201.format(argument=argument))
        pairs.append((name, pipeline))
    names = [name for name, _ in pairs]
    check_names(names)
    of_system: Dict[str, str] = {}
    for item in mappings:
        name, separator, file = item.partition("=")
        if separator and name not in names:
            known = ", ".join(names)
            raise ValueError(Errors.N209.format(argument=item, names=known))
        for x in [name] if separator else [x for x in names if x not in of_system]:
            of_system[x] = file if separator else item
    for file in of_system.values():
        LabelMapping.load(file)
    return [System(name, pipeline, of_system.get(name)) for name, pipeline in pairs]


def read_docs(path: Path, format: str = "auto", limit: int = 0) -> "List[Doc]":
    """RETURNS (List[Doc]): Annotated documents, as many as the limit at most, 0 for all."""
    from itertools import islice

    import spacy

    from ..corpora.formats import read_corpus

    found = read_corpus(path, spacy.blank("xx"), format=format)
    return [doc for doc, _ in islice(found, limit or None)]


def run_all(
    systems: "List[System]",
    gold_docs: "List[Doc]",
    settings: "Settings",
    output: Path,
    *,
    fresh: bool = False,
) -> "Tuple[List[Run], List[Dict[str, Any]]]":
    """Run the systems one after the other, or read what they did before.

    systems (List[System]): The systems.
    gold_docs (List[Doc]): The documents.
    settings (Settings): What the systems share.
    output (Path): The comparison's folder.
    fresh (bool): Whether to run all of them again.
    RETURNS (Tuple[List[Run], List[Dict[str, Any]]]): The runs, labels mapped, and the
        systems that failed.
    RAISES (ValueError): All failed.
    """
    from ..corpora.mapping import LabelMapping
    from ..evaluation.compare import map_run
    from ..evaluation.run_jobs import RunFailed, find_run, make_key, make_sources, start_run

    vocab, sources = gold_docs[0].vocab, make_sources(gold_docs)
    runs, failed = [], []
    for system in systems:
        folder = output / "systems" / system.name
        key = make_key(system, sources, settings)
        run = None if fresh else find_run(folder, key, vocab)
        if run is not None:
            msg.info(f"{system.name}: run before, not run again")
        else:
            listen = Listener(system.name)
            try:
                run = start_run(
                    system, sources, settings, folder, vocab, key=key, listen=listen
                )
            except RunFailed as e:
                row = {"name": system.name, "source": system.source, "error": e.error}
                failed.append(row)
                msg.fail(str(e))
                continue
            finally:
                listen.close()
        run.source = system.source
        if system.mapping is not None:
            labels = LabelMapping.load(system.mapping)
            map_run(run, labels, Path(system.mapping).name)
        runs.append(run)
    if not runs:
        raise ValueError(Errors.N207)
    return runs, failed


class Listener:
    """Shows how far a system is: a bar on a terminal, a line now and then elsewhere.

    name (str): The system.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None
        self.stage = ""
        self.last = time.monotonic()

    def __call__(self, message: Dict[str, Any]) -> None:
        stage, done, of = message["stage"], message.get("done", 0), message.get("of")
        if not of:
            return
        if sys.stderr.isatty():
            self._draw(stage, done, of)
        elif done == of or time.monotonic() - self.last > LINES_EVERY:
            self.last = time.monotonic()
            typer.echo(f"{self.name}, {stage}: {done} of {of} documents", err=True)

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _draw(self, stage: str, done: int, of: int) -> None:
        from tqdm import tqdm

        if self.bar is None or stage != self.stage:
            self.close()
            self.stage = stage
            self.bar = tqdm(total=of, desc=f"{self.name}, {stage}", unit=" docs")
        self.bar.update(done - self.bar.n)
