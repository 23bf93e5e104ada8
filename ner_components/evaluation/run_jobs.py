"""Systems in processes of their own: what is asked of one, and whether it was done."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from spacy import util
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from .. import __version__
from ..errors import Errors
from .compare_figures import find_versions
from .feeder import Source
from .runs import Run

NOT_FOUND = "NotFound"
WORKER = "ner_components.evaluation.run_worker"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
# Folders that can't be on Windows, whatever follows a dot.
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Listen = Callable[[Dict[str, Any]], None]


class RunFailed(Exception):
    """A system could not be run at all.

    message (str): For people; it has no text of documents.
    error (str): A type or a signal, for the report.
    """

    def __init__(self, message: str, error: str) -> None:
        super().__init__(message)
        self.error = error


@dataclass(frozen=True)
class Settings:
    """What all systems of a comparison share.

    code (Optional[Path]): A file with registered functions, imported first.
    gpu_id (int): The GPU, -1 for the CPU.
    threads (Optional[int]): Of each system; `None` leaves it to the libraries.
    batch_size (Optional[int]): For `nlp.pipe`; `None` for the pipeline's own.
    dev (Sequence[Doc]): Annotated documents to choose thresholds on, none for none.
    dev_name (Optional[str]): Their file.
    costs (Optional[Dict[str, Any]]): The costs that thresholds are chosen by.
    """

    code: Optional[Path] = None
    gpu_id: int = -1
    threads: Optional[int] = None
    batch_size: Optional[int] = None
    dev: Sequence[Doc] = ()
    dev_name: Optional[str] = None
    costs: Optional[Dict[str, Any]] = None


@dataclass(frozen=True)
class System:
    """A system to compare.

    name (str): In the report, and of its folder.
    pipeline (str): A folder or an installed package.
    mapping (Optional[str]): A label mapping: a file, or a name of one that is shipped.
    """

    name: str
    pipeline: str
    mapping: Optional[str] = None

    @property
    def source(self) -> str:
        """RETURNS (str): Name of the package or of the folder, without its path."""
        folder = Path(self.pipeline)
        return folder.resolve().name if folder.is_dir() else folder.name


def check_names(names: Sequence[str]) -> None:
    """RAISES (ValueError): A name can't be a folder, or is given twice."""
    seen = set()
    for name in names:
        if not NAME.fullmatch(name) or DEVICES.fullmatch(name):
            raise ValueError(Errors.N202.format(name=name))
        if name.lower() in seen:
            raise ValueError(Errors.N203.format(name=name))
        seen.add(name.lower())


def make_sources(gold: Sequence[Doc]) -> List[Source]:
    """RETURNS (List[Source]): What systems are given of gold documents: no annotation, no
    tokens."""
    return [Source(doc.text, doc.user_data.get("id"), len(doc)) for doc in gold]


def make_key(system: System, sources: Sequence[Source], settings: Settings) -> str:
    """Hash all that decides the result of a run.

    system (System): The system; of its files names, sizes and times are read, and the
        whole of its meta and config. Versions of the libraries are in it too.
    sources (Sequence[Source]): The documents.
    settings (Settings): The settings.
    RETURNS (str): SHA-256.
    """
    values = dict(vars(settings))
    values["code"] = settings.code and _digest(settings.code.read_bytes())
    values["dev"] = [_facts(doc) for doc in settings.dev]
    # With no dev set neither has a part in the run.
    mapping = system.mapping if settings.dev else None
    values["costs"] = settings.costs if settings.dev else None
    path = None if mapping is None else Path(mapping)
    values["mapping"] = _digest(path.read_bytes()) if path and path.is_file() else mapping
    values["pipeline"] = _identify(system.pipeline)
    values["documents"] = [tuple(x) for x in sources]
    values["versions"] = {"package": __version__, **find_versions()}
    return _digest(json.dumps(values, default=str, sort_keys=True).encode())


def find_run(folder: Path, key: str, vocab: Vocab) -> Optional[Run]:
    """RETURNS (Optional[Run]): The run in a folder, if it is there and of this key."""
    try:
        run = Run.from_disk(folder, vocab)
    except ValueError:
        return None
    return run if run.key == key else None


def start_run(
    system: System,
    sources: Sequence[Source],
    settings: Settings,
    folder: Path,
    vocab: Vocab,
    *,
    key: str,
    listen: Listen = lambda message: None,
) -> Run:
    """Run a system in a process of its own.

    system (System): The system.
    sources (Sequence[Source]): The documents.
    settings (Settings): The settings.
    folder (Path): Where the run is kept.
    vocab (Vocab): For its documents.
    key (str): As `make_key` says.
    listen (Callable[[Dict[str, Any]], None]): Is told what the process says.
    RETURNS (Run): The run.
    RAISES (RunFailed): The pipeline can't be loaded, or the process ended.
    """
    if not Path(system.pipeline).exists() and not util.is_package(system.pipeline):
        said = "There is no such folder, and no such package is installed."
        raise RunFailed(
            Errors.N204.format(name=system.name, error=NOT_FOUND, message=said), NOT_FOUND
        )
    with tempfile.TemporaryDirectory(prefix="ner_compare") as temporary:
        job = _write_job(Path(temporary), system, sources, settings, folder, key)
        failed: Dict[str, Any] = {}
        status = 0
        for message in _talk(job, settings.threads):
            if message.get("stage") == "failed":
                failed = message
            elif message.get("stage") == "ended":
                status = message["status"]
            listen(message)
    if failed:
        name, error, said = system.name, failed["error"], failed["message"]
        text = Errors.N204 if said else Errors.N206
        raise RunFailed(text.format(name=name, error=error, message=said), error)
    if status != 0:
        ended = _describe(status)
        raise RunFailed(Errors.N205.format(name=system.name, status=ended), ended)
    return Run.from_disk(folder, vocab)


def _write_job(
    temporary: Path,
    system: System,
    sources: Sequence[Source],
    settings: Settings,
    folder: Path,
    key: str,
) -> Path:
    rows = [x._asdict() for x in sources]
    (temporary / "sources.json").write_text(json.dumps(rows), encoding="utf8")
    if settings.dev:
        DocBin(docs=settings.dev, store_user_data=True).to_disk(temporary / "dev.spacy")
    job = {
        **asdict(system),
        "source": system.source,
        "key": key,
        "folder": str(folder),
        "sources": str(temporary / "sources.json"),
        "dev": str(temporary / "dev.spacy") if settings.dev else None,
        "dev_name": settings.dev_name,
        "code": None if settings.code is None else str(settings.code),
        "gpu_id": settings.gpu_id,
        "batch_size": settings.batch_size,
        "costs": settings.costs,
    }
    path = temporary / "job.json"
    path.write_text(json.dumps(job), encoding="utf8")
    return path


def _talk(job: Path, threads: Optional[int]) -> Iterator[Dict[str, Any]]:
    environment = dict(os.environ)
    if threads is not None:
        environment.update({name: str(threads) for name in THREADS})
    with subprocess.Popen(
        [sys.executable, "-m", WORKER, str(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it may quote documents
        env=environment,
        encoding="utf8",
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
            yield {"stage": "ended", "status": process.wait()}
        finally:
            process.kill()


def _describe(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _identify(pipeline: str) -> Any:
    folder = Path(pipeline)
    if not folder.is_dir():
        if not util.is_package(pipeline):
            return pipeline
        folder = util.get_package_path(pipeline)
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name, stat = path.relative_to(folder).as_posix(), path.stat()
            named = path.name in ("meta.json", "config.cfg")
            # What is small and decisive is read, so that a copy is no other pipeline.
            what = _digest(path.read_bytes()) if named else stat.st_mtime_ns
            files.append((name, stat.st_size, what))
    return files


def _facts(doc: Doc) -> Any:
    ents = [(x.start_char, x.end_char, x.label_) for x in doc.ents]
    return doc.text, ents, [(x.idx, x.ent_iob) for x in doc if not x.ent_iob]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
