"""Write a static displaCy page of a pipeline's predictions: the `visualize` step.

python scripts/visualize.py MODEL CORPUS.spacy OUT.html [--limit 50]
"""

from itertools import islice
from pathlib import Path

import spacy
import typer
from spacy import displacy
from spacy.tokens import Doc, DocBin
from wasabi import msg


def main(model: str, corpus: Path, output: Path, limit: int = 50) -> None:
    """Predict the first LIMIT documents of CORPUS with MODEL and write OUTPUT."""
    nlp = spacy.load(model)
    gold = islice(DocBin().from_disk(corpus).get_docs(nlp.vocab), limit)
    # The gold entities must not reach the pipeline: only the text does.
    docs = [title(doc, i) for i, doc in enumerate(nlp.pipe(doc.text for doc in gold), 1)]
    html = displacy.render(docs, style="ent", page=True, jupyter=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(html, encoding="utf8")
    msg.good(f"{output}: {len(docs)} documents")


def title(doc: Doc, number: int) -> Doc:
    """RETURNS (Doc): The document with a heading for displaCy."""
    doc.user_data["title"] = f"Document {number}"
    return doc


if __name__ == "__main__":
    typer.run(main)
