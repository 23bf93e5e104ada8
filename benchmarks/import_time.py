"""What the package costs everybody who has it installed: `spacy.blank("en")` imports every
registered factory. CPU time of fresh processes, our entry points shown and hidden in turn.

    python benchmarks/import_time.py [--rounds 15] [--output FILE.json]
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

# Hiding is done in both arms, so that it costs both the same.
CODE = """
import sys, time
import importlib.metadata as metadata
original = metadata.distributions
hidden = sys.argv[1] == "hidden"
def distributions(**params):
    for found in original(**params):
        ours = found.metadata["Name"].replace("-", "_") == "ner_components"
        if not (hidden and ours):
            yield found
metadata.distributions = distributions
start = time.process_time()
import spacy
spacy.blank("en")
seconds = time.process_time() - start
assert hidden == ("ner_components" not in sys.modules)
print(seconds)
"""


def main(
    rounds: Annotated[int, typer.Option(help="Processes of each kind")] = 15,
    output: Annotated[Path | None, typer.Option(help="Where to write the JSON")] = None,
) -> None:
    """Print the median cost in milliseconds."""
    times: dict[str, list[float]] = {"shown": [], "hidden": []}
    for _ in range(rounds):
        for kind, values in times.items():
            values.append(1000 * seconds(kind))
    medians = {kind: round(statistics.median(values), 1) for kind, values in times.items()}
    extra = statistics.median(
        a - b for a, b in zip(times["shown"], times["hidden"], strict=True)
    )
    result = {"milliseconds": medians, "extra": round(extra, 1), "rounds": rounds}
    print(json.dumps(result))
    if output is not None:
        output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")


def seconds(kind: str) -> float:
    """RETURNS (float): time of one fresh process, start-up of Python left out."""
    command = [sys.executable, "-c", CODE, kind]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


if __name__ == "__main__":
    typer.run(main)
