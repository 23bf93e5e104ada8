"""`python -m spacy ner ...`: importing this adds the commands to spaCy's (the entry point
`spacy_cli` does so)."""

import typer
from spacy.cli._util import app

from .cache import cache_cli
from .calibrate import calibrate_cli
from .check import check_cli
from .compare import compare_cli
from .convert import convert_cli
from .drift import drift_cli
from .optimize import optimize_cli
from .test import test_cli

ner_cli = typer.Typer(
    name="ner",
    help="Named entity recognition: convert and check data, test and compare pipelines.",
    no_args_is_help=True,
)
ner_cli.command("convert")(convert_cli)
ner_cli.command("check")(check_cli)
ner_cli.command("test")(test_cli)
ner_cli.command("compare")(compare_cli)
ner_cli.command("calibrate")(calibrate_cli)
ner_cli.command("optimize")(optimize_cli)
ner_cli.command("drift")(drift_cli)
ner_cli.add_typer(cache_cli)
app.add_typer(ner_cli)
