"""The process of one system: `python -m ner_components.evaluation.run_worker JOB.json`.

It says how far it is by JSON lines on its standard output. What the pipeline prints goes
nowhere: it may be text of documents.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import spacy
from spacy import util
from spacy.language import Language
from spacy.tokens import DocBin

from ..corpora.mapping import LabelMapping
from .costs import Costs
from .feeder import Source
from .run_thresholds import choose_threshold
from .runs import Run, run_system

EVERY = 0.2  # seconds between two lines

Say = Callable[..., None]


def main(path: str) -> int:
    """Do a job.

    path (str): Its file; see `run_jobs.Job`.
    RETURNS (int): 0, or 1 where the pipeline can't be loaded or the run not saved.
    """
    say = _make_say()
    job: Dict[str, Any] = json.loads(Path(path).read_text(encoding="utf8"))
    say(stage="load")
    start = time.perf_counter()
    try:
        nlp = _load(job)
    except Exception as e:
        # No document was read: the message is about the pipeline.
        say(stage="failed", error=type(e).__name__, message=str(e))
        return 1
    seconds = time.perf_counter() - start
    try:
        run = _run(nlp, job, say)
    except Exception as e:
        say(stage="failed", error=type(e).__name__, message="")
        return 1
    run.load_seconds, run.key, run.source = seconds, job["key"], job["source"]
    run.gpu = _name_gpu(job["gpu_id"])
    run.to_disk(Path(job["folder"]))
    say(stage="saved")
    return 0


def _load(job: Dict[str, Any]) -> Language:
    if job["gpu_id"] >= 0:
        spacy.require_gpu(job["gpu_id"])
    if job["code"] is not None:
        util.import_file("python_code", job["code"])
    return util.load_model(job["pipeline"])


def _run(nlp: Language, job: Dict[str, Any], say: Say) -> Run:
    threshold = _choose(nlp, job, say)
    rows: List[Any] = json.loads(Path(job["sources"]).read_text(encoding="utf8"))
    say(stage="gold", of=len(rows))
    run = run_system(
        nlp,
        [Source(**row) for row in rows],
        name=job["name"],
        batch_size=job["batch_size"],
        progress=_make_progress(say, "gold", len(rows)),
    )
    run.threshold = threshold
    return run


def _choose(nlp: Language, job: Dict[str, Any], say: Say) -> Optional[Dict[str, Any]]:
    if job["dev"] is None:
        return None
    dev = list(DocBin(store_user_data=True).from_disk(job["dev"]).get_docs(nlp.vocab))
    mapping, costs = job["mapping"], job["costs"]
    found = choose_threshold(
        nlp,
        dev,
        mapping=None if mapping is None else LabelMapping.load(mapping),
        costs=None if costs is None else Costs.model_validate(costs),
        progress=_make_progress(say, "dev", len(dev)),
    )
    if found is None:
        return None
    return {"value": found["value"], "chosen_on": job["dev_name"], **found}


def _make_progress(say: Say, stage: str, of: int) -> Callable[[int], None]:
    last = [0.0]

    def progress(done: int) -> None:
        now = time.perf_counter()
        if done == of or now - last[0] > EVERY:
            last[0] = now
            say(stage=stage, done=done, of=of)

    return progress


def _make_say() -> Say:
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(**message: Any) -> None:
        own.write(json.dumps(message) + "\n")
        own.flush()

    return say


def _name_gpu(gpu_id: int) -> Optional[str]:
    torch = sys.modules.get("torch")  # only where the pipeline itself uses it
    if gpu_id < 0:
        return None
    return f"GPU {gpu_id}" if torch is None else str(torch.cuda.get_device_name(gpu_id))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
