"""JSON lines: one annotated text or sentence per line, plain or gzipped.

Two forms are read: `{"text": ..., "spans": [{"start", "end", "label"}]}` with characters
(spaCy, Prodigy), and `{"tokens": [...], "ents": [[start, end, label]]}` with tokens.
"""

import gzip
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..errors import Errors
from .offsets import Entity, set_entities


def read_jsonl(path: Path, nlp: Language) -> Iterator[Tuple[Doc, List[Entity]]]:
    """Read annotated documents.

    path (Path): A `.jsonl` or `.jsonl.gz` file, UTF-8.
    nlp (Language): Its tokenizer is used for texts; tokens are taken as they are.
    YIELDS (Tuple[Doc, List[Entity]]): Each document, and its entities that could not be
        set because they don't lie on token borders.
    RAISES (ValueError): A line that can't be read, with its number, or no document.
    """
    path = Path(path)
    opener = gzip.open if path.suffix == ".gz" else open
    empty = True
    with opener(path, "rt", encoding="utf8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _read_line(path, number, line, nlp)
                empty = False
    if empty:
        raise ValueError(Errors.N071.format(path=path))


def _read_line(
    path: Path, number: int, line: str, nlp: Language
) -> Tuple[Doc, List[Entity]]:
    problem, remedy = "", 'Each line is {"text", "spans"} or {"tokens", "ents"}.'
    try:
        data = json.loads(line)
        if "tokens" in data:
            return _from_tokens(data, nlp), []
        return _from_text(data, nlp)
    except json.JSONDecodeError as e:
        problem = f"not JSON (column {e.colno}: {e.msg})"
    except (KeyError, TypeError) as e:
        problem = f"not in the format ({type(e).__name__})"
    except (ValueError, IndexError):
        problem = "entities overlap or lie outside the text"
        remedy = "Give each token to one entity at most, ends exclusive."
    raise ValueError(
        Errors.N070.format(path=path, line=number, problem=problem, remedy=remedy)
    )


def _from_tokens(data: Dict[str, Any], nlp: Language) -> Doc:
    doc = Doc(nlp.vocab, words=data["tokens"])
    for start, end, _ in data["ents"]:
        if not 0 <= start < end <= len(doc):
            raise IndexError
    doc.set_ents([Span(doc, start, end, label=label) for start, end, label in data["ents"]])
    if data.get("doc") is not None:
        doc.user_data["id"] = data["doc"]
    return doc


def _from_text(data: Dict[str, Any], nlp: Language) -> Tuple[Doc, List[Entity]]:
    doc = nlp.make_doc(data["text"])
    entities = [Entity(x["start"], x["end"], x["label"]) for x in data["spans"]]
    if not all(0 <= x.start_char < x.end_char <= len(doc.text) for x in entities):
        raise IndexError
    return doc, set_entities(doc, entities)
