"""`python -m spacy ner cache`: what a cache of LLM answers holds, in numbers, and away
with it."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Optional

import typer
from wasabi import msg

cache_cli = typer.Typer(
    name="cache", help="Show or clear a cache of LLM answers.", no_args_is_help=True
)
CachePath = Annotated[Path, typer.Argument(help="File that `cache` of a model names")]


@cache_cli.command("show")
def show_cli(path: CachePath) -> None:
    """
    Show how many answers a cache holds, of which models, and since when. Never text.
    """
    from ..llm.cache import read_stats
    from ..llm.failures import CacheFailed

    try:
        stats = read_stats(path)
    except CacheFailed as e:
        msg.fail(str(e), exits=1)
    rows = [
        ("answers", stats.answers),
        ("size", f"{stats.size / 2**20:.2f} MiB"),
        ("oldest", _date(stats.oldest)),
        ("newest", _date(stats.newest)),
        *((f"answers of {model}", count) for model, count in stats.models.items()),
    ]
    msg.table(rows)


@cache_cli.command("clear")
def clear_cli(path: CachePath) -> None:
    """
    Delete all answers of a cache. The file stays.
    """
    from ..llm.cache import clear
    from ..llm.failures import CacheFailed

    try:
        count = clear(path)
    except CacheFailed as e:
        msg.fail(str(e), exits=1)
    msg.good(f"Deleted {count} answers")


def _date(seconds: Optional[float]) -> str:
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
