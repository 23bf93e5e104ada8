"""`python -m spacy ner test`: hold a pipeline to its schema."""
# ruff: noqa: PT028, what is called "test" here is a command

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Dict, List, Optional, Sequence, Tuple

import typer
from wasabi import msg

if TYPE_CHECKING:
    from ..evaluation.schema_report import Check, Limits, SchemaTestReport
    from ..schema import EntitySchema

MOST_LINES = 50

Arg, Opt = typer.Argument, typer.Option
# What the pipeline as a whole has no label for.
NO_LABEL = "(pipeline)"


def test_cli(
    pipeline: Annotated[str, Arg(help="Folder or installed package of a pipeline")],
    schema: Annotated[
        Optional[Path],
        Opt(help="Schema with examples (JSON); default: the pipeline's own"),
    ] = None,
    output: Annotated[
        Optional[Path], Opt("--output", "-o", help="Write the report (JSON)")
    ] = None,
    baseline: Annotated[
        Optional[Path],
        Opt("--baseline", "-b", help="Earlier report: fail where it was better"),
    ] = None,
    min_must: Annotated[
        Optional[float],
        Opt(min=0, max=1, help="Least share of must; default 1.0, 0.0 with --baseline"),
    ] = None,
    min_must_not: Annotated[
        Optional[float], Opt(min=0, max=1, help="Least share of must_not; likewise")
    ] = None,
    min_invariance: Annotated[
        Optional[float],
        Opt(min=0, max=1, help="Least share of perturbed examples; likewise"),
    ] = None,
    skip: Annotated[
        Optional[List[str]],
        Opt(help="Leave out a KIND or LABEL:KIND, such as TICKER:case; repeatable"),
    ] = None,
    names: Annotated[
        Optional[Path],
        Opt(help="Names to swap (JSON: label, group, names); default: persons by origin"),
    ] = None,
    fillers: Annotated[
        Optional[Path],
        Opt(help="Sentences without entities, one a line; default: English"),
    ] = None,
    show: Annotated[bool, Opt("--show", help="Print the examples that failed")] = False,
    gpu_id: Annotated[int, Opt("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
) -> None:
    """
    Test a pipeline against the examples of its schema.

    Checks labels, aliases and thresholds; finds the marked entities of each "must"
    sentence and none in "must_not"; and repeats them with changes that must not change
    the answer. Exits with 1 where a limit is broken or something got worse.
    """
    from ..evaluation.schema_report import Limits

    default = 1.0 if baseline is None else 0.0
    given = [min_must, min_must_not, min_invariance]
    limits = Limits(*(default if x is None else x for x in given))
    try:
        lines = test(
            pipeline,
            schema,
            output=output,
            baseline=baseline,
            limits=limits,
            skip=skip or [],
            names=names,
            fillers=fillers,
            show=show,
            gpu_id=gpu_id,
        )
    except ValueError as e:
        msg.fail(str(e), exits=1)
    for line in lines:
        msg.fail(line)
    if lines:
        raise typer.Exit(1)
    msg.good("The pipeline does what its schema says, as far as it was tested")


def test(
    pipeline: str,
    schema: Optional[Path] = None,
    *,
    output: Optional[Path] = None,
    baseline: Optional[Path] = None,
    limits: "Optional[Limits]" = None,
    skip: Sequence[str] = (),
    names: Optional[Path] = None,
    fillers: Optional[Path] = None,
    show: bool = False,
    gpu_id: int = -1,
) -> List[str]:
    """Test a pipeline against a schema and print what was found.

    pipeline (str): Folder or installed package.
    schema (Optional[Path]): The schema file; `None` for the schema that the pipeline
        carries.
    output (Optional[Path]): Where to write the report.
    baseline (Optional[Path]): An earlier report to hold it against.
    limits (Optional[Limits]): Least shares; `None` for 1.0 each.
    skip (Sequence[str]): Kinds, or labels and kinds, to leave out.
    names (Optional[Path]), fillers (Optional[Path]): Files for the perturbations.
    show (bool): Print the examples that failed, from the schema.
    gpu_id (int): The GPU, -1 for the CPU.
    RETURNS (List[str]): Why the pipeline must not pass, empty if all is well.
    RAISES (ValueError): A file can't be used.
    """
    import srsly
    from spacy import util
    from spacy.cli._util import setup_gpu

    from ..evaluation.perturbations import FILLERS, load_names, read_fillers
    from ..evaluation.schema_report import Limits, SchemaTestReport
    from ..evaluation.schema_tests import run_schema_tests

    # Files first: a mistake in one is known before the pipeline has run.
    earlier = None if baseline is None else SchemaTestReport.from_file(baseline)
    sentences = FILLERS if fillers is None else read_fillers(fillers)
    setup_gpu(gpu_id, silent=True)
    try:
        nlp = util.load_model(pipeline)
    except OSError as e:
        msg.fail(f"Can't load the pipeline {pipeline}", str(e), exits=1)
    tested = _load_schema(nlp, schema)
    if fillers is None and nlp.lang not in ("en", "xx"):
        msg.warn(
            f"The sentences around the examples are English, the pipeline is {nlp.lang}"
        )
    report = run_schema_tests(
        nlp, tested, names=load_names(tested, names), fillers=sentences, skip=skip
    )
    if output is not None:
        srsly.write_json(output, report.to_dict())
        msg.good(f"Saved the report to {output}")
    _print_report(report, tested if show else None)
    _print_baseline(report, earlier)
    return report.findings(limits or Limits(), earlier)


def _load_schema(nlp: object, path: Optional[Path]) -> "EntitySchema":
    from ..errors import Errors
    from ..evaluation.schema_labels import find_entity_pipes, find_schema
    from ..schema import EntitySchema

    if path is not None:
        return EntitySchema.from_file(path)
    for _, pipe in find_entity_pipes(nlp):  # type: ignore[arg-type]
        own = find_schema(pipe)
        if own is not None:
            return own
    raise ValueError(Errors.N126)


def _print_report(report: "SchemaTestReport", schema: "Optional[EntitySchema]") -> None:
    from ..evaluation.schema_report import KINDS

    msg.divider(f"{report.pipeline}, schema {report.schema_version or 'without version'}")
    tally = report.tally()
    kinds = [x for x in KINDS if any(kind == x for _, kind in tally)]
    rows = [
        [label or NO_LABEL, *(_cell(tally.get((label, kind))) for kind in kinds)]
        for label in report.labels
    ]
    total = [_cell(report.count(kind)) for kind in kinds]
    aligns = ["l", *("r" for _ in kinds)]
    msg.table(
        [*rows, ["all", *total]], header=["label", *kinds], divider=True, aligns=aligns
    )
    _print_names(report.tally_names())
    _print_failed(report.failed, schema)
    if report.skipped:
        msg.warn(
            f"{len(report.skipped)} checks could not be made", _problems(report.skipped)
        )
    if report.left_out:
        msg.warn(f"Left out: {', '.join(report.left_out)}")


def _print_names(tally: Dict[str, Tuple[int, int]]) -> None:
    if any(passed < total for passed, total in tally.values()):
        counts = ", ".join(f"{group} {_cell(x)}" for group, x in tally.items())
        msg.info("Names by origin", counts)


def _print_failed(failed: List["Check"], schema: "Optional[EntitySchema]") -> None:
    """One line for each label, kind and example, with its first problem."""
    groups: Dict[Tuple[str, str, str, int], List[Check]] = {}
    for check in failed:
        key = (check.label, check.kind, check.side, check.number)
        groups.setdefault(key, []).append(check)
    for (label, kind, side, number), checks in list(groups.items())[:MOST_LINES]:
        example = f"{side} {number}" if number else ""
        more = f" (+{len(checks) - 1})" if len(checks) > 1 else ""
        said = f"{checks[0].variant}: {checks[0].problem}".removeprefix(": ")
        what = [label, kind, example] if kind != side else [label, example]
        msg.text(" ".join(x for x in what if x) + f", {said}{more}")
        if schema is not None and number:
            msg.text("    " + getattr(schema[label], side)[number - 1])
    if len(groups) > MOST_LINES:
        msg.text(f"... and {len(groups) - MOST_LINES} more: see --output")


def _print_baseline(
    report: "SchemaTestReport", baseline: "Optional[SchemaTestReport]"
) -> None:
    missing = 0 if baseline is None else report.unchecked(baseline)
    if missing:
        msg.warn(f"{missing} checks that passed in the baseline were not made now")


def _problems(checks: List["Check"]) -> str:
    return ", ".join(sorted({x.problem for x in checks}))


def _cell(counts: Optional[Tuple[int, int]]) -> str:
    return "-" if counts is None else f"{counts[0]}/{counts[1]}"
