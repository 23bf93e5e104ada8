"""JSON lines, or one JSON list, as annotation tools and this package write them.

The forms are told apart record by record where they can't be mistaken (`detect_jsonl`),
and `format` names one otherwise. Offsets are checked and converted to code points, and
whatever is dropped or repaired is counted in `notes`: docs/corpora.md lists the reasons.
"""

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any, Iterable, Iterator, List, NoReturn, Optional, Set, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup

from ..errors import Errors
from .files import error_at, note, read_lines
from .forms import READERS, is_pair, studio_regions
from .markup import NESTED_KEY
from .offsets import Entity, set_entities
from .records import Context, Marked, Record, RecordError
from .units import UNITS

# These may stand in one file: each says what it is.
_MAY_MIX = {"spacy", "prodigy", "tokens"}
_PRODIGY_KEYS = ("_input_hash", "_task_hash", "_view_id")
_ANSWERS = ("accept", "reject", "ignore")


def read_jsonl(
    path: Union[str, Path],
    nlp: Language,
    *,
    format: Optional[str] = None,
    notes: "Optional[Counter[str]]" = None,
    units: Optional[str] = None,
) -> Iterator[Tuple[Doc, List[Entity]]]:
    """Read annotated documents.

    path (Union[str, Path]): JSON lines or a JSON list, UTF-8, gzipped or not.
    nlp (Language): Its tokenizer is used for texts; tokens are taken as they are.
    format (Optional[str]): "spacy", "prodigy", "doccano", "labelstudio" or "tokens";
        `None` to tell each record by its fields.
    notes (Optional[Counter[str]]): Gets what was dropped or repaired, by reason.
    units (Optional[str]): What offsets count: "code points", "utf-16" or "graphemes";
        `None` for what the tool counts: UTF-16 units in doccano, code points elsewhere.
    YIELDS (Tuple[Doc, List[Entity]]): Each document, and its entities that could not be
        set because they don't lie on token borders. Entities inside another are in
        `doc.spans["nested"]`.
    RAISES (ValueError): A record that can't be read, with its line, or no record.
    """
    for name, value, allowed in (("format", format, READERS), ("units", units, UNITS)):
        if value is not None and value not in allowed:
            raise ValueError(Errors.N114.format(name=name, value=value, allowed=[*allowed]))
    context = Context(Counter() if notes is None else notes, units)
    known, read = format, 0
    for number, data in _read_records(path):
        read += 1
        try:
            if format is None:
                known = _settle(detect_jsonl(data), known)
            record = _read(data, known, context)
            made = None if record is None else _make(record, nlp, context.notes)
        except RecordError as e:
            problem, remedy = e.problem, e.remedy
        else:
            if made is not None:
                yield made
            continue
        raise error_at(path, number, problem, remedy)
    if not read:
        raise ValueError(Errors.N071.format(path=path))


def detect_jsonl(record: Any) -> Optional[str]:
    """Tell the form of a record, where it can't be told wrong.

    record (Any): A record of a file, as `json.loads` returns it.
    RETURNS (Optional[str]): "spacy", "prodigy", "doccano", "labelstudio" or "tokens";
        `None` where none fits, or more than one.
    """
    if is_pair(record):
        return "spacy" if "entities" in record[1] else None
    if not isinstance(record, dict):
        return None
    found = [name for name, fits in _FORMS.items() if fits(record)]
    return found[0] if len(found) == 1 else None


def _is_spacy(record: Any) -> bool:
    spans = record.get("spans")
    if not isinstance(record.get("text"), str) or _is_prodigy(record):
        return False
    by_spans = isinstance(spans, list) and all(
        isinstance(x, dict) and {"start", "end", "label"} <= set(x) for x in spans
    )
    return by_spans or _is_triples(record.get("entities"))


def _is_prodigy(record: Any) -> bool:
    tokens = record.get("tokens")
    return isinstance(record.get("text"), str) and (
        any(key in record for key in _PRODIGY_KEYS)
        or (record.get("answer") in _ANSWERS and "spans" in record)
        or (
            isinstance(record.get("spans"), list)
            and isinstance(tokens, list)
            and all(isinstance(x, dict) for x in tokens)
        )
    )


def _is_doccano(record: Any) -> bool:
    if not isinstance(record.get("text"), str) or "annotation_id" in record:
        return False
    entities = record.get("entities")
    labels = record.get("label", record.get("labels"))
    if isinstance(entities, list) and all(isinstance(x, dict) for x in entities):
        # Only doccano's relation projects write relations, and "Comments" with a capital.
        marks = [x for x in entities if "start_offset" in x]
        return bool(marks) or "Comments" in record or "relations" in record
    return _is_triples(labels) or (labels == [] and "Comments" in record)


def _is_labelstudio(record: Any) -> bool:
    if isinstance(record.get("data"), dict):
        return isinstance(record.get("annotations", record.get("completions")), list)
    return "annotation_id" in record or bool(studio_regions(record))


def _is_tokens(record: Any) -> bool:
    tokens = record.get("tokens")
    is_words = isinstance(tokens, list) and all(isinstance(x, str) for x in tokens)
    return is_words and isinstance(record.get("ents"), list)


_FORMS = {
    "spacy": _is_spacy,
    "prodigy": _is_prodigy,
    "doccano": _is_doccano,
    "labelstudio": _is_labelstudio,
    "tokens": _is_tokens,
}


def _is_triples(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(x, list) and len(x) == 3 for x in value)
    )


def _settle(found: Optional[str], before: Optional[str]) -> Optional[str]:
    if found is None or before is None or found == before or {found, before} <= _MAY_MIX:
        return found or before
    problem = f"a record in the form of {found} among those of {before}"
    raise RecordError(problem, "Make a file of each, or name the format.")


def _read(data: Any, known: Optional[str], context: Context) -> Optional[Record]:
    if known is not None:
        return READERS[known](data, context)
    if isinstance(data, dict) and [] in (
        data.get(x) for x in ("label", "labels", "entities")
    ):
        # No entity, in whatever form: all read it alike.
        return READERS["spacy"]({**data, "entities": []}, context)
    problem = "not in the format: none of the known forms, or more than one"
    raise RecordError(problem, f"Name the format: {', '.join(READERS)}.")


def _read_records(path: Union[str, Path]) -> Iterator[Tuple[int, Any]]:
    """YIELDS (Tuple[int, Any]): Line in which a record begins, and the record."""
    lines = read_lines(path)
    first = next(((n, x) for n, x in lines if x.strip()), None)
    if first is None:
        return
    if _begins_list(first[1]):
        text = "\n".join([first[1], *(x for _, x in lines)])
        yield from _read_list(path, first[0], text.rstrip())
        return
    for number, line in chain([first], lines):
        if line.strip():
            yield number, _decode(path, number, line.strip())[0]


def _begins_list(line: str) -> bool:
    """Whether a file with this first line is one JSON list, or one object over lines."""
    try:
        data = json.loads(line)
    except json.JSONDecodeError:
        return line.strip() == "{" or line.lstrip().startswith("[")
    return isinstance(data, list) and not is_pair(data)


def _read_list(path: Union[str, Path], first: int, text: str) -> Iterator[Tuple[int, Any]]:
    """Records of one JSON list, or a JSON object over several lines, with their lines."""
    is_list = text.startswith("[")
    at = _skip(text, int(is_list))
    while is_list and text[at : at + 1] != "]":
        line = first + text.count("\n", 0, at)
        record, at = _decode(path, first, text, at, whole=False)
        yield line, record
        at = _skip(text, at)
        if text[at : at + 1] not in (",", "]") or at == len(text):
            line = first + text.count("\n", 0, at)
            _refuse_json(path, line, "the JSON list goes wrong here, or is cut off")
        at = _skip(text, at + (text[at] == ","))
    if not is_list:
        yield first, _decode(path, first, text)[0]
    elif at + 1 < len(text):
        line = first + text.count("\n", 0, _skip(text, at + 1))
        _refuse_json(path, line, "more text after the JSON list")


def _decode(
    path: Union[str, Path], first: int, text: str, at: int = 0, *, whole: bool = True
) -> Tuple[Any, int]:
    """RETURNS (Tuple[Any, int]): The JSON value that begins there, and its end."""
    try:
        record, end = json.JSONDecoder().raw_decode(text, at)
        if whole and end < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
        return record, end
    except json.JSONDecodeError as e:
        line, problem = first + e.lineno - 1, f"not JSON (column {e.colno}: {e.msg})"
    _refuse_json(path, line, problem)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _refuse_json(path: Union[str, Path], line: int, problem: str) -> NoReturn:
    remedy = "Write one JSON object per line, or one JSON list."
    # Called outside of a handler: the decoder's error holds the text, and must not follow.
    raise error_at(path, line, problem, remedy)


def _make(record: Record, nlp: Language, notes: "Counter[str]") -> Tuple[Doc, List[Entity]]:
    _check_characters(record)
    if record.words is None:
        doc = nlp.make_doc(record.text)
    else:
        doc = Doc(nlp.vocab, words=record.words, spaces=record.spaces)
    if record.text or not record.words:
        cut = _set_entities(doc, record.entities, notes)
    else:
        cut = []
        doc.set_ents([Span(doc, x.start, x.end, label=x.label) for x in record.entities])
    if record.partial:
        doc.set_ents(list(doc.ents), default="missing")
    named = {"id": record.id, "lang": record.lang}
    doc.user_data.update({key: value for key, value in named.items() if value is not None})
    return doc, cut


def _check_characters(record: Record) -> None:
    labels = [x.label for x in record.entities]
    if not all(label.strip() for label in labels):
        raise RecordError("an entity has an empty label", "Name its label.")
    try:
        "".join([record.text, *(record.words or ()), *labels]).encode("utf8")
        return
    except UnicodeEncodeError:
        problem = "half a character: a surrogate without its pair"
    raise RecordError(problem, "Export it again, or remove the character.")


def _set_entities(
    doc: Doc, marked: Iterable[Marked], notes: "Counter[str]"
) -> List[Entity]:
    """The longest, then the first of overlapping entities is set; those inside of it make
    a group; the others are counted."""
    kept: List[Entity] = []
    nested: List[Entity] = []
    entities = _trim(doc.text, marked, notes)
    for entity in sorted(entities, key=lambda x: (x.start_char - x.end_char, x.start_char)):
        start, end, label = entity
        over = [x for x in kept if x.start_char < end and start < x.end_char]
        if not over:
            kept.append(entity)
        elif over[0].start_char <= start and end <= over[0].end_char:
            nested.append(entity)
        else:
            note(notes, f"overlap: {label}")
    _set_nested(doc, sorted(nested), notes)
    return set_entities(doc, sorted(kept))


def _set_nested(doc: Doc, nested: List[Entity], notes: "Counter[str]") -> None:
    found = [doc.char_span(a, b, label=label) for a, b, label in nested]
    spans = [span for span in found if span is not None]
    note(notes, "nested", len(spans))
    note(notes, "nested, cut", len(found) - len(spans))
    if spans:
        doc.spans[NESTED_KEY] = SpanGroup(doc, name=NESTED_KEY, spans=spans)


def _trim(text: str, marked: Iterable[Marked], notes: "Counter[str]") -> List[Entity]:
    """Entities without white space at their borders, which people select by mistake and
    every tokenizer cuts; each once."""
    seen: Set[Entity] = set()
    entities: List[Entity] = []
    for start, end, label, _ in marked:
        words = text[start:end]
        left = len(words) - len(words.lstrip())
        entity = Entity(start + left, start + len(words.rstrip()), label)
        if not words.strip():
            note(notes, "white space only")
        elif entity in seen:
            note(notes, "duplicate")
        else:
            note(notes, "white space trimmed", len(words) > len(words.strip()))
            seen.add(entity)
            entities.append(entity)
    return entities
