"""The documents of a comparison as data for the browser in report.html."""

import json
import math
from bisect import bisect_left
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set

from ..entities import SCHEMA_ERRORS
from .spans import ERROR_CLASSES

NOT_COUNTED = "not_counted"
COLORS = 12  # classes c0 to c11 in report.css

Offset = Callable[[Optional[int]], Optional[int]]


def pack_documents(
    documents: Sequence[Dict[str, Any]], systems: Sequence[str]
) -> Dict[str, Any]:
    """Write the documents with numbers in place of names, and offsets as JavaScript counts.

    documents (Sequence[Dict[str, Any]]): As `compare.make_documents` gives them.
    systems (Sequence[str]): Names of the systems, in the order of the report.
    RETURNS (Dict[str, Any]): `systems`, `labels`, `kinds`, `tags`, `genres`: names, and
        `documents`, which has their positions.
    """
    names = {
        "systems": list(systems),
        "labels": list_labels(documents),
        "kinds": [*ERROR_CLASSES, NOT_COUNTED, *_list_reasons(documents)],
        "tags": sorted({x for doc in documents for x in doc["tags"]}),
        "genres": sorted({doc["genre"] for doc in documents if doc["genre"]}),
    }
    places = {key: {x: i for i, x in enumerate(found)} for key, found in names.items()}
    packed = [_pack_document(doc, systems, places) for doc in documents]
    return {**names, "colors": COLORS, "documents": packed}


def list_labels(documents: Iterable[Dict[str, Any]]) -> List[str]:
    """RETURNS (List[str]): Labels of gold, of the systems, and of what was rejected."""
    labels: Set[Optional[str]] = set()
    for doc in documents:
        labels.update(x[2] for x in doc["gold"])
        for found in doc["systems"].values():
            labels.update(x[2] for x in (*found["ents"], *found["rejected"]))
    return sorted(x for x in labels if x is not None)


def to_json(data: Any) -> str:
    """Write JSON that is harmless inside of a script element: ASCII only, no '<', '>', '&'.

    data (Any): JSON-serialisable.
    RETURNS (str): The JSON.

    >>> to_json("</script>\\u2028")
    '"\\\\u003c/script\\\\u003e\\\\u2028"'
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def make_offset(text: str) -> Offset:
    """Python counts characters, JavaScript counts UTF-16 units: an emoji is two.

    text (str): The text.
    RETURNS (Callable): From an offset of Python's to JavaScript's; `None` stays.

    >>> offset = make_offset("a😀b")
    >>> [offset(x) for x in (0, 1, 2, 3)]
    [0, 1, 3, 4]
    """
    wide = [i for i, x in enumerate(text) if x > "\uffff"] if not text.isascii() else []
    if not wide:
        return lambda x: x
    return lambda x: None if x is None else x + bisect_left(wide, x)


def _list_reasons(documents: Iterable[Dict[str, Any]]) -> List[str]:
    found = {
        row[3]
        for doc in documents
        for system in doc["systems"].values()
        for row in system["rejected"]
    }
    first = [x for x in SCHEMA_ERRORS if x in found]
    return first + sorted(found.difference(first))


def _pack_document(
    doc: Dict[str, Any], systems: Sequence[str], places: Dict[str, Dict[str, int]]
) -> Dict[str, Any]:
    offset, labels = make_offset(doc["text"]), places["labels"]
    return {
        "id": doc["id"],
        "text": doc["text"],
        "tags": [places["tags"][x] for x in doc["tags"]],
        "genre": places["genres"].get(doc["genre"], -1),
        "gold": [[offset(i), offset(j), labels[label]] for i, j, label in doc["gold"]],
        "systems": [_pack_system(doc["systems"].get(x), offset, places) for x in systems],
    }


def _pack_system(
    found: Optional[Dict[str, Any]], offset: Offset, places: Dict[str, Dict[str, int]]
) -> Optional[Dict[str, Any]]:
    if found is None:
        return None
    labels, kinds = places["labels"], places["kinds"]
    return {
        "failed": found["failed"],
        "ents": [
            [offset(i), offset(j), labels[label], _round(score)]
            for i, j, label, score in found["ents"]
        ],
        "outcomes": [[kinds[kind], i, j] for kind, i, j in found["outcomes"]],
        "rejected": [
            [offset(i), offset(j), -1 if x is None else labels[x], kinds[reason]]
            for i, j, x, reason in found["rejected"]
        ],
    }


def _round(score: Optional[float]) -> Optional[float]:
    return round(score, 3) if score is not None and math.isfinite(score) else None
