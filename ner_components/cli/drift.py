"""`python -m spacy ner drift`: are new documents still like the old ones?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Iterator, List, Optional, Tuple

import typer
from wasabi import msg

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..evaluation.drift import Change, Drift

Arg, Opt = typer.Argument, typer.Option
MOST_PARTS = 5


def drift_cli(
    reference: Annotated[
        Path, Arg(help="File or folder of documents as they were", exists=True)
    ],
    new: Annotated[Path, Arg(help="File or folder of the new documents", exists=True)],
    pipeline: Annotated[
        str, Opt("--pipeline", "-p", help="Folder or installed package of a pipeline")
    ],
    output: Annotated[
        Optional[Path],
        Opt("--output", "-o", help="Write the report as JSON", dir_okay=False),
    ] = None,
    alpha: Annotated[
        float, Opt("--alpha", "-a", help="Chance of a false alarm, of all tests together")
    ] = 0.05,
    no_gold: Annotated[
        bool, Opt("--no-gold", help="Use the texts only, also where both sides have gold")
    ] = False,
    format: Annotated[
        str, Opt("--format", "-f", help="Format of both (`ner convert --formats`)")
    ] = "auto",
    resamples: Annotated[
        Optional[int], Opt(help="Random splits per test; default: as alpha needs")
    ] = None,
    seed: Annotated[int, Opt(help="Of the random splits")] = 0,
    gpu_id: Annotated[int, Opt("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
) -> None:
    """
    Compare new documents with those a pipeline was judged on.

    Runs the pipeline on both, tests labels, scores, names, words and lengths by document,
    and gives one verdict; with gold in both it also says what became of F1. Exits with 0
    for no drift, 1 for drift, 2 where it can't be told.
    """
    import srsly

    from ..evaluation.drift import FEW

    try:
        found = drift(
            reference,
            new,
            pipeline,
            alpha=alpha,
            use_gold=not no_gold,
            format=format,
            resamples=resamples,
            seed=seed,
            gpu_id=gpu_id,
        )
    except (ValueError, ImportError) as e:
        msg.fail("Not tested for drift", str(e))
        raise typer.Exit(2) from None
    print_drift(found)
    if min(found.documents) < FEW:
        msg.warn(f"Fewer than {FEW} documents on a side: small shifts stay unseen")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(output, found.to_dict())
        msg.good(f"Report written to {output}")
    if found.is_drift:
        msg.fail(found.statement, exits=1)
    msg.good(found.statement)


def drift(
    reference: Path,
    new: Path,
    pipeline: str,
    *,
    alpha: float = 0.05,
    use_gold: bool = True,
    format: str = "auto",
    resamples: Optional[int] = None,
    seed: int = 0,
    gpu_id: int = -1,
) -> "Drift":
    """Run a pipeline on two corpora and compare them.

    reference (Path), new (Path): Files or folders that `read_corpus` reads.
    pipeline (str): Folder or installed package.
    alpha (float): Chance of a false alarm, above 0 and below 1.
    use_gold (bool): Whether to use gold entities where both sides have them.
    format (str): A name of `corpora.formats.FORMATS`, or "auto".
    resamples (Optional[int]): Random splits per test; `None` for as many as alpha needs.
    seed (int): Of the random splits.
    gpu_id (int): The GPU, -1 for the CPU.
    RETURNS (Drift): What was found.
    RAISES (ValueError): A file, the pipeline or a setting can't be used, or documents are
        too few.
    """
    from spacy import util
    from spacy.cli._util import setup_gpu

    from ..corpora.formats import read_corpus
    from ..errors import Errors
    from ..evaluation.drift import find_drift
    from ..evaluation.schema_labels import find_entity_pipes

    setup_gpu(gpu_id, silent=True)
    try:
        nlp = util.load_model(pipeline)
    except OSError as e:
        raise ValueError(Errors.N195.format(pipeline=pipeline, problem=e)) from None
    _, pipe = find_entity_pipes(nlp)[-1]
    paths = [reference, new]
    gold = [[doc for doc, _ in read_corpus(x, nlp, format=format)] for x in paths]
    with_gold = use_gold and all(has_gold(docs) for docs in gold)
    msg.info("Gold on both sides is used" if with_gold else "No gold is used")
    first, second = (annotate(nlp, docs) for docs in gold)
    return find_drift(
        first,
        second,
        reference_gold=gold[0] if with_gold else None,
        new_gold=gold[1] if with_gold else None,
        alpha=alpha,
        resamples=resamples,
        seed=seed,
        spans_key=_setting(pipe, "spans_key", "ner"),
        can_err=getattr(pipe, "can_err", True),
    )


def has_gold(docs: "List[Doc]") -> bool:
    """RETURNS (bool): Whether any document has an entity."""
    return any(doc.ents for doc in docs)


def annotate(nlp: "Language", docs: "List[Doc]") -> "List[Doc]":
    """Run a pipeline on the texts of documents, as its own tokenizer splits them.

    nlp (Language): The pipeline.
    docs (List[Doc]): The documents. Their ids go with the texts, their annotation not.
    RETURNS (List[Doc]): The annotated documents, in order.
    RAISES (ValueError): The pipeline fails, or leaves a document out.
    """
    from ..errors import Errors

    def inputs() -> "Iterator[Doc]":
        for doc in docs:
            made = nlp.make_doc(doc.text)
            if "id" in doc.user_data:
                made.user_data["id"] = doc.user_data["id"]
            yield made

    try:
        found = list(nlp.pipe(inputs()))
    except Exception as e:  # its message may quote the document
        raise ValueError(Errors.N196.format(error=type(e).__name__)) from None
    if len(found) != len(docs):
        raise ValueError(Errors.N197.format(found=len(found), count=len(docs)))
    return found


def print_drift(found: "Drift") -> None:
    """Print what was found.

    found (Drift): The result.
    """
    msg.divider("Drift")
    corrected = found.p_corrected
    rows = []
    for x in found.shifts:
        sides = [_number(x.reference), _number(x.new), f"{x.statistic:.3f}"]
        mark = "shifted" if x.name in found.shifted else ""
        rows.append((x.name, *sides, f"{x.p:.4f}", f"{corrected[x.name]:.4f}", mark))
    header = ("", "reference", "new", "statistic", "p", "p corrected", "")
    msg.table(rows, header=header, divider=True, aligns=("l", *"rrrrr", "l"))
    for shift in found.shifts:
        if shift.name in found.shifted and shift.parts:
            _print_parts(shift.name, list(shift.parts.items()))
    for name, reason in found.not_tested.items():
        typer.echo(f"  not tested: {name}, {reason}")
    if found.changes:
        _print_changes(found.changes)


def _print_parts(name: str, parts: List[Tuple[str, Tuple[float, float]]]) -> None:
    shown = [f"{x} {_number(a)} to {_number(b)}" for x, (a, b) in parts[:MOST_PARTS]]
    more = len(parts) - MOST_PARTS
    typer.echo(f"  {name}: {', '.join(shown)}{f' and {more} more' if more > 0 else ''}")


def _print_changes(changes: "Tuple[Change, ...]") -> None:
    rows = []
    for x in changes:
        bounds = f"{x.low:+.3f} to {x.high:+.3f}"
        sides = (f"{x.reference.value:.3f}", f"{x.new.value:.3f}", f"{x.difference:+.3f}")
        rows.append((x.name, *sides, bounds, "" if x.reliable else "not reliable"))
    msg.divider("Against gold")
    header = ("", "reference", "new", "change", "95% interval", "")
    msg.table(rows, header=header, divider=True, aligns=("l", *"rrrr", "l"))
    micro = changes[0]
    if not micro.reference.value and not micro.new.value:
        msg.warn("No entity is right: the labels of gold and pipeline may differ")


def _number(x: Optional[float]) -> str:
    return "" if x is None else f"{x:.4g}"


def _setting(pipe: Any, name: str, default: Any) -> Any:
    cfg = getattr(pipe, "cfg", None)
    return cfg.get(name, default) if isinstance(cfg, dict) else default
