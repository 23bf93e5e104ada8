"""`python -m spacy ner optimize`: a pipeline in less than float32, with what that costs."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
)

import typer
from wasabi import msg

from ..errors import Errors
from .calibrate import annotate

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..evaluation.results import Evaluation

# Architectures with the settings `precision` and `backend`.
ARCHITECTURES = (
    "ner_components.Transformer.v1",
    "ner_components.HFTokenClassifier.v1",
    "ner_components.GLiNER.v1",
    "ner_components.GLiNERFromEncoder.v1",
)
META_KEY = "ner_optimize"
# Texts that are annotated alone, together and in another order.
MOST_TEXTS = 2000

Arg, Opt = typer.Argument, typer.Option
Entities = List[Set[Tuple[int, int, str]]]


@dataclass(frozen=True)
class Optimized:
    """What a precision does to a pipe on the dev set.

    name (str): The pipe.
    before (Evaluation), after (Evaluation): Figures of the pipeline as it was, and now.
    kept (int), lost (int), added (int): Entities that both find, only the former, only
        the latter.
    texts (int): Texts that were annotated alone, in batches, and in another order.
    entities (int), unstable (int): Entities found alone, and those that any of the other
        ways lacks or has beside them.
    """

    name: str
    before: "Evaluation"
    after: "Evaluation"
    kept: int
    lost: int
    added: int
    texts: int
    entities: int
    unstable: int

    @property
    def loss(self) -> float:
        """RETURNS (float): F1 before less F1 after, 0 to 1."""
        return self.before.micro.f - self.after.micro.f

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The figures, for a package's meta."""
        found = self.kept + self.lost
        return {
            "documents": len(self.before.documents),
            "ents_f": {"before": self.before.micro.f, "after": self.after.micro.f},
            "ece": {
                "before": self.before.calibration.ece(),
                "after": self.after.calibration.ece(),
            },
            "unchanged": self.kept / found if found else None,
            "added": self.added,
            "neighbours": {
                "texts": self.texts,
                "entities": self.entities,
                "unstable": self.unstable,
            },
        }


def optimize_cli(
    pipeline: Annotated[str, Arg(help="Folder or installed package of a pipeline")],
    output: Annotated[Path, Arg(help="Folder for the result")],
    dev: Annotated[
        Path,
        Opt("--dev", "-d", help="Annotated documents (.spacy), never the test set"),
    ],
    precision: Annotated[
        str, Opt("--precision", "-p", help="float32, bfloat16 or int8")
    ] = "int8",
    backend: Annotated[
        Optional[str], Opt("--backend", "-b", help="torch or onnxruntime")
    ] = None,
    max_loss: Annotated[
        float,
        Opt("--max-loss", "-m", min=0, max=1, help="Most F1 that may be lost, 0 to 1"),
    ] = 0.005,
    limit: Annotated[
        int, Opt("--limit", "-l", min=0, help="Most documents used, 0 for all")
    ] = 0,
) -> None:
    """
    Make a pipeline faster by computing in less than float32, if that costs little F1.

    Compares both on a dev set (F1, calibration, which entities change) and saves the new
    one, which loads as any other, with the figures in its meta. Saves nothing if more F1
    is lost than --max-loss.
    """
    try:
        results = optimize(
            pipeline, output, dev, precision, backend, max_loss=max_loss, limit=limit
        )
    except (ValueError, ImportError) as e:
        msg.fail("Nothing was saved", str(e), exits=1)
    for result in results:
        _print(result)
    if any(x.loss > max_loss for x in results):
        msg.fail(
            f"Nothing was saved: more F1 is lost than --max-loss {max_loss}",
            "Try bfloat16, or allow more if the speed is worth it.",
            exits=1,
        )
    msg.good(f"Saved the pipeline to {output}")


def optimize(
    pipeline: str,
    output: Path,
    dev: Path,
    precision: str,
    backend: Optional[str] = None,
    *,
    max_loss: float = 0.005,
    limit: int = 0,
) -> List[Optimized]:
    """Load a pipeline in another precision, compare, and save it unless F1 suffers.

    pipeline (str): Folder or installed package.
    output (Path): Where to save it.
    dev (Path): Annotated documents, in spaCy's binary format.
    precision (str), backend (Optional[str]): See `ner_components.precision`.
    max_loss (float): Most F1 that may be lost, 0 to 1: above it nothing is saved.
    limit (int): Most documents, 0 for all.
    RETURNS (List[Optimized]): The figures, pipe by pipe.
    RAISES (ValueError): The pipeline, the documents or the settings can't be used.
    """
    from spacy import util

    from ..calibration import read_examples
    from ..precision import make_precision

    if not dev.is_file():
        _refuse(pipeline, f"there is no file {dev}", "Give the dev set with --dev.")
    chosen = make_precision(precision, backend)
    try:
        plain = util.load_model(pipeline)
        paths = find_settings(plain)
        overrides = {
            f"{path}.{key}": value
            for path in paths.values()
            for key, value in (("precision", precision), ("backend", backend))
        }
        reduced = util.load_model(pipeline, config=overrides)
    except OSError as e:
        # spaCy's message names the pipeline only.
        _refuse(pipeline, f"it can't be loaded ({e})", "Check the name.")
    results = []
    for name in paths:
        examples = read_examples(plain, name, dev, limit)
        if not any(eg.reference.ents for eg in examples):
            _refuse(pipeline, f"{dev} has no entities", "Give annotated documents.")
        results.append(_compare(name, plain, reduced, examples))
    reduced.meta[META_KEY] = {
        **chosen._asdict(),
        "pipes": {x.name: x.to_dict() for x in results},
    }
    if all(x.loss <= max_loss for x in results):
        reduced.to_disk(output)
    return results


def find_settings(nlp: "Language") -> Dict[str, str]:
    """Find the model blocks that have a precision.

    nlp (Language): The pipeline.
    RETURNS (Dict[str, str]): For the name of each such pipe, the path of the block in the
        pipeline's config.
    RAISES (ValueError): There is none.
    """
    found = {}
    for name in nlp.pipe_names:
        path = _find_block(nlp.get_pipe_config(name).get("model"), "model")
        if path:
            found[name] = f"components.{name}.{path}"
    if not found:
        pipes = ", ".join(nlp.pipe_names) or "none"
        raise ValueError(Errors.N230.format(pipes=pipes, known=", ".join(ARCHITECTURES)))
    return found


def _find_block(block: Any, path: str) -> Optional[str]:
    if not isinstance(block, dict):
        return None
    if block.get("@architectures") in ARCHITECTURES:
        return path
    inner = (_find_block(value, f"{path}.{key}") for key, value in block.items())
    return next((x for x in inner if x), None)


def _compare(
    name: str, plain: "Language", reduced: "Language", examples: Sequence[Any]
) -> Optimized:
    from ..evaluation.metrics import evaluate

    pipes: Any = [x.get_pipe(name) for x in (plain, reduced)]
    pipe = pipes[1]
    scored = [annotate(x, examples) for x in pipes]
    before, after = (
        evaluate(x, spans_key=pipe.cfg["spans_key"], can_err=pipe.can_err) for x in scored
    )
    old, new = (find_entities(eg.predicted for eg in x) for x in scored)
    texts, entities, unstable = count_unstable(pipe, [eg.predicted for eg in examples], new)
    return Optimized(
        name,
        before,
        after,
        kept=sum(len(x & y) for x, y in zip(old, new, strict=True)),
        lost=sum(len(x - y) for x, y in zip(old, new, strict=True)),
        added=sum(len(y - x) for x, y in zip(old, new, strict=True)),
        texts=texts,
        entities=entities,
        unstable=unstable,
    )


def count_unstable(
    pipe: Any, docs: "Sequence[Doc]", together: Entities
) -> Tuple[int, int, int]:
    """Count the entities that depend on what is annotated beside a text.

    pipe (Union[NerPipe, Language]): What annotates documents, alone and in a stream.
    docs (Sequence[Doc]): The documents as it gets them; the first 2,000 are taken.
    together (Entities): What it found in all of them, in one stream in their order.
    RETURNS (Tuple[int, int, int]): Documents; entities in them, each annotated alone;
        those that are not found, or are found besides, together or in another order.
    """
    some = docs[:MOST_TEXTS]
    alone = find_entities(pipe(doc.copy()) for doc in some)
    order = random.Random(0).sample(range(len(some)), len(some))
    mixed = find_entities(pipe.pipe(some[i].copy() for i in order))
    shuffled = dict(zip(order, mixed, strict=True))
    unstable = sum(
        len((x ^ y) | (x ^ shuffled[i]))
        for i, (x, y) in enumerate(zip(alone, together[: len(some)], strict=True))
    )
    return len(some), sum(map(len, alone)), unstable


def find_entities(docs: "Iterable[Doc]") -> Entities:
    """RETURNS (Entities): Of each document its entities as start, end, label."""
    return [{(x.start_char, x.end_char, x.label_) for x in doc.ents} for doc in docs]


def _refuse(pipeline: str, problem: str, remedy: str) -> None:
    raise ValueError(
        Errors.N231.format(pipeline=pipeline, problem=problem, remedy=remedy)
    ) from None


def _print(result: Optimized) -> None:
    msg.divider(result.name)
    header = ["dev", "documents", "gold", "entities", "P", "R", "F1", "ECE"]
    rows = []
    for name, x in (("before", result.before), ("after", result.after)):
        micro, ece = x.micro, x.calibration.ece()
        shares = [f"{100 * y:.2f}" for y in (micro.p, micro.r, micro.f)]
        counts = [len(x.documents), micro.gold, micro.predicted]
        rows.append([name, *counts, *shares, "-" if ece is None else f"{ece:.4f}"])
    msg.table(rows, header=header, divider=True, aligns=["l", *("r" for _ in header[1:])])
    typer.echo(
        f"  entities kept {result.kept}, lost {result.lost}, added {result.added}; of "
        f"{result.entities} in {result.texts} texts, {result.unstable} depend on what is "
        "annotated beside them"
    )
