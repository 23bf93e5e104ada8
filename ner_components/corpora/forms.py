"""The forms of an annotated text: spaCy's, Prodigy's, doccano's, Label Studio's, ours.

They are those of spaCy's training data (v2 pairs and v3 JSON lines), Prodigy's `db-out`
(prodi.gy/docs/api-interfaces), doccano's JSONL export and Label Studio's JSON and JSON_MIN
exports (labelstud.io/guide/task_format).
"""

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr

from .files import note
from .records import (
    Context,
    Marked,
    Record,
    RecordError,
    build_record,
    check_form,
    check_object,
    find_lang,
    outside,
    to_name,
)
from .units import UTF_16

Reader = Callable[[Any, Context], Optional[Record]]

# How the name of a view says that only the marked spans were judged, right or wrong.
_BINARY_VIEWS = ("ner", "spans")
# Regions of Label Studio whose offsets don't count the characters of the text.
_OTHER_TEXT = ("hypertextlabels", "paragraphlabels")


class _Span(BaseModel):
    start: StrictInt
    end: StrictInt
    label: StrictStr


class _SpacySpans(BaseModel):
    text: StrictStr = Field(repr=False)
    spans: List[_Span]


class _Triples(BaseModel):
    text: StrictStr = Field(repr=False)
    entities: List[Tuple[StrictInt, StrictInt, StrictStr]]


class _Tokens(BaseModel):
    tokens: List[StrictStr] = Field(repr=False)
    ents: List[Tuple[StrictInt, StrictInt, StrictStr]]


class _ProdigyToken(BaseModel):
    text: StrictStr = Field(repr=False)
    start: StrictInt
    end: StrictInt
    ws: Optional[StrictBool] = None


class _ProdigySpan(BaseModel):
    start: Optional[StrictInt] = None
    end: Optional[StrictInt] = None
    token_start: Optional[StrictInt] = None
    token_end: Optional[StrictInt] = None
    label: StrictStr
    text: Optional[StrictStr] = Field(default=None, repr=False)


class _Prodigy(BaseModel):
    text: StrictStr = Field(repr=False)
    spans: List[_ProdigySpan]
    tokens: Optional[List[_ProdigyToken]] = None


class _DoccanoEntity(BaseModel):
    start_offset: StrictInt
    end_offset: StrictInt
    label: StrictStr


class _DoccanoEntities(BaseModel):
    text: StrictStr = Field(repr=False)
    entities: List[_DoccanoEntity]


class _DoccanoLabel(BaseModel):
    text: StrictStr = Field(repr=False)
    label: List[Tuple[StrictInt, StrictInt, StrictStr]]


class _StudioValue(BaseModel):
    start: StrictInt
    end: StrictInt
    labels: List[StrictStr]
    text: Optional[StrictStr] = Field(default=None, repr=False)


class _StudioRegion(BaseModel):
    type: StrictStr = ""
    value: Optional[Dict[str, Any]] = Field(default=None, repr=False)


class _StudioAnnotation(BaseModel):
    result: List[_StudioRegion] = Field(default_factory=list)
    was_cancelled: Optional[StrictBool] = False
    skipped: Optional[StrictBool] = False


class _StudioTask(BaseModel):
    data: Dict[str, Any] = Field(repr=False)
    annotations: List[_StudioAnnotation]


def read_spacy(data: Any, context: Context) -> Record:
    """Read {"text", "spans"}, {"text", "entities": [[start, end, label]]} or the pair
    [text, {"entities": ...}]."""
    if isinstance(data, list):
        text, annotation = data if is_pair(data) else (None, {})
        data = {**annotation, "text": text}
    data = check_object(data)
    if "entities" in data:
        triples = check_form(_Triples, data).entities
        entities = [Marked(*x) for x in triples]
    else:
        spans = check_form(_SpacySpans, data).spans
        entities = [Marked(x.start, x.end, x.label) for x in spans]
    return build_record(data, data["text"], entities, context)


def read_tokens(data: Any, context: Context) -> Record:
    """Read {"tokens": [...], "ents": [[start, end, label]], "doc": id}, ends exclusive."""
    data = check_object(data)
    form = check_form(_Tokens, data)
    if not all(form.tokens):
        raise RecordError("a token is empty", "Remove it.")
    entities = [Marked(*x) for x in form.ents]
    last = 0
    for start, end, *_ in sorted(entities):
        if not 0 <= start < end <= len(form.tokens):
            raise outside(start, end, "tokens")
        if start < last:
            remedy = "Give each token to one entity at most, ends exclusive."
            raise RecordError("entities overlap", remedy)
        last = end
    source = data.get("doc") if data.get("doc") is not None else data.get("id")
    return Record("", entities, words=form.tokens, id=to_name(source), lang=find_lang(data))


def read_prodigy(data: Any, context: Context) -> Optional[Record]:
    """Read Prodigy's tasks. Answers other than "accept" are dropped and counted; where
    single spans were accepted, nothing is known about the other tokens."""
    data = check_object(data)
    answer = data.get("answer", "accept")
    if answer in ("reject", "ignore"):
        note(context.notes, f"answer: {answer}")
        return None
    if answer != "accept":
        raise RecordError("answer is not accept, reject or ignore", "Export it again.")
    view = str(data.get("_view_id", ""))
    if data.get("spans") is None and view.startswith(("ner", "spans")):
        data = {**data, "spans": []}
    form = check_form(_Prodigy, data)
    entities = [_prodigy_span(x, form.tokens or []) for x in form.spans]
    record = build_record(data, form.text, entities, context)
    if form.tokens is not None:
        record.words, record.spaces = _prodigy_tokens(form.text, form.tokens)
    record.partial = view in _BINARY_VIEWS
    note(context.notes, "accepted alone: other tokens left unannotated", record.partial)
    return record


def read_doccano(data: Any, context: Context) -> Record:
    """Read {"text", "label": [[start, end, label]]} or {"text", "entities":
    [{"start_offset", "end_offset", "label"}]}. Offsets are JavaScript's, UTF-16 units."""
    data = check_object(data)
    if "entities" in data:
        found = check_form(_DoccanoEntities, data).entities
        entities = [Marked(x.start_offset, x.end_offset, x.label) for x in found]
    else:
        label = data.get("label", data.get("labels"))
        triples = check_form(_DoccanoLabel, {**data, "label": label}).label
        entities = [Marked(*x) for x in triples]
    return build_record(data, data["text"], entities, context, UTF_16)


def read_labelstudio(data: Any, context: Context) -> Optional[Record]:
    """Read a task of the JSON export, or a record of JSON_MIN. The first annotation that
    was not cancelled counts. Without any the task is dropped and counted."""
    data = check_object(data)
    if isinstance(data.get("data"), dict):
        values = _studio_task(data, context)
        text = _studio_text(data["data"])
    else:
        values = _studio_min(data, context)
        text = _studio_text({k: v for k, v in data.items() if k not in _MIN_KEYS})
    if values is None:
        return None
    entities = []
    for i, item in enumerate(values):
        value = check_form(_StudioValue, item, f"region {i + 1}: ")
        note(context.notes, "region without a label", not value.labels)
        entities += [Marked(value.start, value.end, x, value.text) for x in value.labels]
    return build_record(data, text, entities, context)


READERS: Dict[str, Reader] = {
    "spacy": read_spacy,
    "prodigy": read_prodigy,
    "doccano": read_doccano,
    "labelstudio": read_labelstudio,
    "tokens": read_tokens,
}


def is_pair(data: Any) -> bool:
    """RETURNS (bool): Whether this is spaCy's older [text, {"entities": ...}]."""
    return (
        isinstance(data, list)
        and len(data) == 2
        and isinstance(data[0], str)
        and isinstance(data[1], dict)
    )


def _prodigy_span(span: _ProdigySpan, tokens: Sequence[_ProdigyToken]) -> Marked:
    """Offsets by characters, checked against those by tokens (inclusive) if both exist."""
    start, end = span.start, span.end
    if span.token_start is not None and span.token_end is not None and tokens:
        if not 0 <= span.token_start <= span.token_end < len(tokens):
            raise outside(span.token_start, span.token_end, "tokens")
        by_tokens = (tokens[span.token_start].start, tokens[span.token_end].end)
        if (start, end) not in (by_tokens, (None, None)):
            problem = "a span's start and end contradict its token_start and token_end"
            raise RecordError(problem, "Export it again, or remove the tokens.")
        start, end = by_tokens
    if start is None or end is None:
        problem = "not in the format: a span without start and end"
        raise RecordError(problem, "Export it again with Prodigy's db-out.")
    return Marked(start, end, span.label, span.text)


def _prodigy_tokens(
    text: str, tokens: Sequence[_ProdigyToken]
) -> Tuple[List[str], List[bool]]:
    words = [x.text for x in tokens]
    spaces = [text[x.end : x.end + 1] == " " if x.ws is None else x.ws for x in tokens]
    joined = "".join(w + " " * s for w, s in zip(words, spaces, strict=True))
    if joined != text or any(text[x.start : x.end] != x.text for x in tokens):
        problem = "the tokens joined by their white space are not the text"
        raise RecordError(
            problem, 'Remove "tokens": then the pipeline\'s tokenizer is used.'
        )
    return words, spaces


def _studio_task(data: Mapping[str, Any], context: Context) -> Optional[List[Any]]:
    # Before Label Studio 1.0 annotations were called completions.
    annotations = data.get("annotations", data.get("completions"))
    task = check_form(_StudioTask, {**data, "annotations": annotations})
    done = [x for x in task.annotations if not (x.was_cancelled or x.skipped)]
    if not done:
        note(context.notes, "not annotated")
        return None
    note(context.notes, "other annotation of the same text", len(done) - 1)
    values: List[Any] = []
    for region in done[0].result:
        if region.type in _OTHER_TEXT:
            problem = f"a region of type {region.type}: its offsets don't count this text"
            raise RecordError(problem, "Export a project whose object tag is Text.")
        if region.type == "labels":
            values.append(region.value)
        else:
            note(context.notes, f"region of type {region.type or 'unknown'}")
    return values


_MIN_KEYS = ("annotator", "created_at", "updated_at", "lead_time", "id", "annotation_id")


def _studio_min(data: Mapping[str, Any], context: Context) -> Optional[List[Any]]:
    if data.get("annotation_id", "") is None:
        note(context.notes, "not annotated")
        return None
    task = to_name(data.get("id"))
    if task is not None and task in context.seen:
        note(context.notes, "other annotation of the same text")
        return None
    context.seen.update([] if task is None else [task])
    found = studio_regions(data)
    if (
        not found
        and "annotation_id" not in data
        and not isinstance(data.get("label"), list)
    ):
        remedy = 'Export "JSON" or "JSON_MIN" from Label Studio.'
        raise RecordError("not in the format: no annotations", remedy)
    return found


def studio_regions(data: Mapping[str, Any]) -> List[Any]:
    """RETURNS (List[Any]): The regions of a JSON_MIN record, whatever their key: it is
    the name that the project gave its Labels tag."""
    lists = [x for x in data.values() if isinstance(x, list)]
    return [
        x
        for items in lists
        for x in items
        if isinstance(x, dict) and {"start", "end", "labels"} <= set(x)
    ]


def _studio_text(data: Mapping[str, Any]) -> str:
    texts = [x for x in data.values() if isinstance(x, str)]
    text = data.get("text", texts[0] if len(texts) == 1 else None)
    if not isinstance(text, str):
        problem = "not in the format: which of the fields is the text is unclear"
        raise RecordError(problem, 'Name it "text" and export again.')
    return text
