"""A system's run over documents: what it found, what failed, what it took.

Every document is run once. A document that fails is a document without entities: nothing
of it is left out.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..entities import DEFAULT_SPANS_KEY, get_ner_score
from ..errors import Errors
from .feeder import Feeder, Progress, Source

RUN_FILE, DOCS_FILE = "run.json", "predictions.spacy"
MOST_ALONE = 100  # documents timed one at a time
META = ("lang", "name", "version", "license")
USAGE = ("requests", "prompt_tokens", "completion_tokens", "cached_tokens", "cost")


@dataclass
class Run:
    """What a system did with the documents.

    name (str): The system.
    source (str): Name of the folder or package.
    key (str): Hash of all that decides the result; see `run_jobs.make_key`.
    factories (Dict[str, str]): Factory of each pipe.
    meta (Dict[str, str]): Language, name, version and licence.
    spans_key (Optional[str]): The group that the pipe writes.
    can_err (bool): Whether the engine can make schema errors at all.
    threshold (Optional[Dict[str, Any]]): The threshold chosen on dev.
    mapping (Optional[Dict[str, Any]]): The label mapping, and what it doesn't have.
    failures (List[Dict[str, Any]]): Number and error (a name of a type) of each document
        that failed.
    load_seconds (float), warmup_seconds (float): Loading, and the first document.
    latency_ms (Optional[Dict[str, Any]]): One document at a time.
    throughput (Optional[Dict[str, Any]]): By `nlp.pipe`.
    peak_memory_mb (float): Of the process, in the machine's memory.
    usage (Optional[Dict[str, Any]]): Requests and tokens, of pipes that count them.
    gpu (Optional[str]): Name of the GPU.
    docs (List[Doc]): The documents with their entities, in order.
    """

    name: str
    source: str = ""
    key: str = ""
    factories: Dict[str, str] = field(default_factory=dict)
    meta: Dict[str, str] = field(default_factory=dict)
    spans_key: Optional[str] = DEFAULT_SPANS_KEY
    can_err: bool = True
    threshold: Optional[Dict[str, Any]] = None
    mapping: Optional[Dict[str, Any]] = None
    failures: List[Dict[str, Any]] = field(default_factory=list)
    load_seconds: float = 0.0
    warmup_seconds: float = 0.0
    latency_ms: Optional[Dict[str, Any]] = None
    throughput: Optional[Dict[str, Any]] = None
    peak_memory_mb: float = 0.0
    usage: Optional[Dict[str, Any]] = None
    gpu: Optional[str] = None
    docs: List[Doc] = field(default_factory=list, repr=False)

    @property
    def has_scores(self) -> bool:
        """RETURNS (bool): Whether any entity has a score."""
        return any(get_ner_score(x) is not None for doc in self.docs for x in doc.ents)

    @property
    def seconds_per_thousand(self) -> Optional[float]:
        """RETURNS (Optional[float]): Seconds for 1,000 documents by `nlp.pipe`, or one at a
        time where none was left for that; `None` without a timed document."""
        if self.throughput is not None:
            return 1000 * self.throughput["seconds"] / self.throughput["documents"]
        return None if self.latency_ms is None else self.latency_ms["mean"]

    def to_disk(self, folder: Path) -> None:
        """Save the run; `run.json` comes last, so that half a run is none.

        folder (Path): Is made where it is not there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RUN_FILE).unlink(missing_ok=True)
        DocBin(attrs=["ENT_IOB", "ENT_TYPE"], docs=self.docs).to_disk(folder / DOCS_FILE)
        names = [x.name for x in fields(self) if x.name != "docs"]
        part = folder / f"{RUN_FILE}.part"
        # Not srsly: it rounds, and a threshold must stay what it is.
        data = {name: getattr(self, name) for name in names}
        part.write_text(json.dumps(data, indent=2), encoding="utf8")
        os.replace(part, folder / RUN_FILE)

    @classmethod
    def from_disk(cls, folder: Path, vocab: Vocab) -> "Run":
        """Load a run.

        folder (Path): Where it was saved.
        vocab (Vocab): For its documents.
        RETURNS (Run): The run.
        RAISES (ValueError): There is none that can be read.
        """
        try:
            data = json.loads((folder / RUN_FILE).read_text(encoding="utf8"))
            docs = list(DocBin().from_disk(folder / DOCS_FILE).get_docs(vocab))
            return cls(**data, docs=docs)
        except Exception as e:  # whatever zlib, msgpack or JSON raise: it is no run
            problem = type(e).__name__
        raise ValueError(Errors.N200.format(name=folder.name, problem=problem))


def run_system(
    nlp: Language,
    sources: Sequence[Source],
    *,
    name: str = "",
    batch_size: Optional[int] = None,
    progress: Progress = lambda done: None,
) -> Run:
    """Run a pipeline over documents, timing it. The first document warms it up, then up to
    `MOST_ALONE`, half of all at most, go one at a time, the rest as a stream. Time includes
    tokenisation.

    nlp (Language): The pipeline. Its error handlers are replaced.
    sources (Sequence[Source]): The documents.
    name (str): Of the system.
    batch_size (Optional[int]): For `nlp.pipe`; the pipeline's own by default.
    progress (Callable[[int], None]): Is told how many documents are done.
    RETURNS (Run): What it found.
    """
    pipe = find_pipe(nlp)
    before = read_usage(nlp)
    feeder = Feeder(nlp, sources, progress)
    alone = min(MOST_ALONE, len(sources) // 2)
    seconds = [_timed(feeder.run_one, i) for i in range(min(1 + alone, len(sources)))]
    rest = range(1 + alone, len(sources))
    taken = _timed(feeder.run_stream, rest, batch_size)
    spans_key = get_setting(pipe, "spans_key", DEFAULT_SPANS_KEY)
    docs = feeder.finish(spans_key)
    return Run(
        name=name,
        factories={x: nlp.get_pipe_meta(x).factory for x in nlp.pipe_names},
        meta={x: str(nlp.meta.get(x) or "") for x in META},
        spans_key=spans_key,
        can_err=bool(getattr(pipe, "can_err", True)),
        failures=feeder.failures,
        warmup_seconds=seconds[0] if seconds else 0.0,
        latency_ms=_summarise(seconds[1:]),
        throughput=_rates(rest, sources, taken),
        peak_memory_mb=peak_memory(),
        usage=_subtract(read_usage(nlp), before),
        docs=docs,
    )


def find_pipe(nlp: Language) -> Any:
    """RETURNS (Any): The last pipe that says it sets entities, or the last of all; `None`
    in a pipeline without pipes."""
    from .schema_labels import find_entity_pipes

    try:
        return find_entity_pipes(nlp)[-1][1]
    except ValueError:  # a pipe of somebody's need not say what it assigns
        return nlp.pipeline[-1][1] if nlp.pipeline else None


def get_setting(pipe: Any, name: str, default: Any = None) -> Any:
    """RETURNS (Any): A setting of a pipe that keeps them in `cfg`."""
    cfg = getattr(pipe, "cfg", None)
    return cfg.get(name, default) if isinstance(cfg, dict) else default


def read_usage(nlp: Language) -> Optional[Dict[str, Any]]:
    """RETURNS (Optional[Dict[str, Any]]): Sum of what the pipes say of requests and tokens,
    `None` where no pipe does."""
    found = [getattr(pipe, "usage", None) for _, pipe in nlp.pipeline]
    counted = [x for x in found if hasattr(x, "prompt_tokens")]
    if not counted:
        return None
    names = (*USAGE, "unknown")
    return {name: sum(getattr(x, name, 0) for x in counted) for name in names}


def peak_memory() -> float:
    """RETURNS (float): Most memory of this process so far, in MB of 2**20 bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would tell of the process that started this one too.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 1024)


def _timed(function: Callable[..., None], *args: Any) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def _summarise(seconds: Sequence[float]) -> Optional[Dict[str, Any]]:
    if not seconds:
        return None
    ms = 1000 * numpy.array(seconds)
    names = {f"p{x}": float(numpy.percentile(ms, x)) for x in (50, 95, 99)}
    return {**names, "mean": float(ms.mean()), "documents": len(ms)}


def _rates(
    numbers: Sequence[int], sources: Sequence[Source], seconds: float
) -> Optional[Dict[str, Any]]:
    if not numbers:
        return None
    words = sum(sources[i].words for i in numbers)
    return {
        "words_per_second": words / seconds,
        "documents_per_second": len(numbers) / seconds,
        "documents": len(numbers),
        "seconds": seconds,
    }


def _subtract(
    after: Optional[Dict[str, Any]], before: Optional[Dict[str, Any]]
) -> Optional[Dict[str, Any]]:
    return after and {name: x - (before or {}).get(name, 0) for name, x in after.items()}
