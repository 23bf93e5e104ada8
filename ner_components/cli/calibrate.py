"""`python -m spacy ner calibrate`: fit the scores of a pipeline to a dev set."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Dict, List, Optional, Sequence

import typer
from wasabi import msg

from ..errors import Errors

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example

    from ..evaluation.results import Evaluation
    from ..pipe import NerPipe

# What an engine says of thresholds, where calibration moves them.
OLD_THRESHOLD = "threshold of before"

Arg, Opt = typer.Argument, typer.Option


@dataclass(frozen=True)
class Fitted:
    """What calibration did to a pipe.

    name (str): The pipe.
    values (Dict[str, float]): What was fitted, by name.
    threshold (Optional[float]): The threshold that was set, `None` if it was left alone.
    before (Evaluation), after (Evaluation): Figures on the dev set.
    same (Optional[Evaluation]): Figures of the new scores at what the threshold of before
        is now: of the same entities. `None` where that is not known.
    """

    name: str
    values: Dict[str, float]
    threshold: Optional[float]
    before: "Evaluation"
    after: "Evaluation"
    same: "Optional[Evaluation]" = None


def calibrate_cli(
    pipeline: Annotated[str, Arg(help="Folder or installed package of a pipeline")],
    dev: Annotated[
        Path, Arg(help="Annotated documents (.spacy), never the test set", exists=True)
    ],
    output: Annotated[
        Optional[Path],
        Opt("--output", "-o", help="Folder for the result; default: PIPELINE itself"),
    ] = None,
    limit: Annotated[
        int, Opt("--limit", "-l", min=0, help="Most documents used, 0 for all")
    ] = 0,
    best_threshold: Annotated[
        bool,
        Opt("--best-threshold", "-t", help="Then set the threshold with the best F1 too"),
    ] = False,
    gpu_id: Annotated[int, Opt("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
) -> None:
    """
    Fit the scores of a pipeline to a dev set, so that a score is the chance of being right.

    Saves the pipeline, and prints what was fitted, and counts, F1, calibration error (ECE)
    and Brier score of its entities on the dev set, before and after.
    """
    try:
        fitted = calibrate(
            pipeline,
            dev,
            output=output,
            limit=limit,
            best_threshold=best_threshold,
            gpu_id=gpu_id,
        )
    except (ValueError, ImportError) as e:
        msg.fail("Nothing was saved", str(e), exits=1)
    for result in fitted:
        _print(result)
    msg.good(f"Saved the pipeline to {output or pipeline}")


def calibrate(
    pipeline: str,
    dev: Path,
    *,
    output: Optional[Path] = None,
    limit: int = 0,
    best_threshold: bool = False,
    gpu_id: int = -1,
) -> List[Fitted]:
    """Calibrate every pipe of a pipeline that can be, and save the pipeline.

    pipeline (str): Folder or installed package.
    dev (Path): Annotated documents, in spaCy's binary format.
    output (Optional[Path]): Where to save it; the pipeline's own folder by default.
    limit (int): Most documents, 0 for all.
    best_threshold (bool): Whether to set the threshold with the best F1 afterwards.
    gpu_id (int): The GPU, -1 for the CPU.
    RETURNS (List[Fitted]): What was fitted, pipe by pipe.
    RAISES (ValueError): The pipeline, the documents or the output can't be used, or no
        pipe can be calibrated. Nothing is saved then.
    """
    from spacy import util
    from spacy.cli._util import setup_gpu

    if output is None and not Path(pipeline).is_dir():
        _refuse(pipeline, "it is no folder", "Say with --output where to save it.")
    setup_gpu(gpu_id, silent=True)
    try:
        nlp = util.load_model(pipeline)
    except OSError as e:
        # spaCy's message names the pipeline only.
        _refuse(pipeline, f"it can't be loaded ({e})", "Check the name.")
    fitted = calibrate_pipeline(nlp, dev, limit=limit, best_threshold=best_threshold)
    nlp.to_disk(pipeline if output is None else output)
    return fitted


def calibrate_pipeline(
    nlp: "Language", dev: Path, *, limit: int = 0, best_threshold: bool = False
) -> List[Fitted]:
    """Calibrate a pipeline in place; see `calibrate`."""
    from ..calibration import find_best_threshold, find_pipes, read_examples
    from ..evaluation.metrics import evaluate
    from ..pipe import NerPipe

    pipes = find_pipes(nlp)
    if not pipes:
        for _, pipe in nlp.pipeline:
            if isinstance(pipe, NerPipe):
                pipe.calibrate([])  # says why not
        raise ValueError(Errors.N148.format(pipes=", ".join(nlp.pipe_names) or "none"))
    fitted = []
    for name, pipe in pipes:
        examples = read_examples(nlp, name, dev, limit)
        if not any(eg.reference.ents for eg in examples):
            _refuse(name, f"{dev} has no entities", "Give annotated documents.")
        before = measure(pipe, examples)
        values = pipe.calibrate(examples)
        same = None
        if OLD_THRESHOLD in values:
            saved = pipe.cfg["threshold"]
            pipe.cfg["threshold"] = values[OLD_THRESHOLD]
            same = measure(pipe, examples)
            pipe.cfg["threshold"] = saved
        threshold = None
        if best_threshold:
            threshold = find_best_threshold(pipe, examples)
            # What is saved is the config's, what is used the pipe's.
            nlp.get_pipe_config(name)["threshold"] = threshold
            pipe.cfg["threshold"] = threshold
        scored = annotate(pipe, examples)
        after = evaluate(scored, spans_key=pipe.cfg["spans_key"], can_err=pipe.can_err)
        # What training wrote there was measured before.
        performance = nlp.meta.get("performance") or {}
        scores = pipe.score(scored)
        performance.update({k: scores[k] for k in performance if k in scores})
        fitted.append(Fitted(name, values, threshold, before, after, same))
    return fitted


def measure(pipe: "NerPipe", examples: "Sequence[Example]") -> "Evaluation":
    """RETURNS (Evaluation): Figures of a pipe, on copies of the documents."""
    from ..evaluation.metrics import evaluate

    scored = annotate(pipe, examples)
    return evaluate(scored, spans_key=pipe.cfg["spans_key"], can_err=pipe.can_err)


def annotate(pipe: "NerPipe", examples: "Sequence[Example]") -> "List[Example]":
    """RETURNS (List[Example]): The examples with what the pipe finds, the documents
    copied."""
    from spacy.training import Example

    docs = pipe.pipe(eg.predicted.copy() for eg in examples)
    pairs = zip(docs, examples, strict=True)
    return [Example(doc, eg.reference) for doc, eg in pairs]


def _refuse(pipeline: str, problem: str, remedy: str) -> None:
    raise ValueError(
        Errors.N149.format(pipeline=pipeline, problem=problem, remedy=remedy)
    ) from None


def _print(result: Fitted) -> None:
    msg.divider(result.name)
    for name, value in result.values.items():
        typer.echo(f"  {name}: {value:.4g}")
    if result.threshold is not None:
        typer.echo(f"  threshold set: {result.threshold:.4g}")
    header = ["dev", "documents", "gold", "entities", "right", "P", "R", "F1"]
    header += ["ECE", "Brier"]
    named = {"before": result.before, "same spans": result.same, "after": result.after}
    rows = [_row(name, x) for name, x in named.items() if x is not None]
    aligns = ["l", *("r" for _ in header[1:])]
    msg.table(rows, header=header, divider=True, aligns=aligns)
    changed = result.before.micro != result.after.micro
    if changed and result.threshold is None and OLD_THRESHOLD in result.values:
        msg.warn(
            "The threshold now holds for the new scores, so other spans are entities",
            f"{result.values[OLD_THRESHOLD]:.4g} gives those of before; --best-threshold, "
            "or `spacy find-threshold` on the result, finds the best",
        )


def _row(name: str, x: "Evaluation") -> List[str]:
    micro, calibration = x.micro, x.calibration
    counts = [len(x.documents), micro.gold, micro.predicted, micro.right]
    shares = [f"{100 * y:.2f}" for y in (micro.p, micro.r, micro.f)]
    errors = [calibration.ece(), calibration.brier]
    means = ["-" if y is None else f"{y:.4f}" for y in errors]
    return [name, *(str(y) for y in counts), *shares, *means]
