"""Write annotated documents as examples for an LLM's prompt: part of `llm-assemble`.

    python scripts/llm_examples.py TRAIN.spacy OUT.jsonl [--limit 500]

Rows of "text" and "entities" ([start, end, label], in characters). The file's examples all
travel in the saved pipeline; the task's setting `n_examples` says how many of them a prompt
shows.
"""

from pathlib import Path
from typing import Annotated

import spacy
import srsly
import typer
from spacy.tokens import DocBin
from wasabi import msg


def main(
    data: Path,
    output: Path,
    limit: Annotated[int, typer.Option(help="Most examples")] = 500,
) -> None:
    """Write the first LIMIT documents of DATA that have entities to OUTPUT."""
    docs = DocBin().from_disk(data).get_docs(spacy.blank("en").vocab)
    rows = [
        {
            "text": doc.text,
            "entities": [(x.start_char, x.end_char, x.label_) for x in doc.ents],
        }
        for doc in docs
        if doc.ents
    ][:limit]
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_jsonl(output, rows)
    msg.good(f"{output}: {len(rows)} examples")


if __name__ == "__main__":
    typer.run(main)
