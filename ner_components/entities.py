"""Candidates in, annotation out: the contract that makes the engines interchangeable.

Every candidate ends in exactly one state: an entity, nested, or rejected with a reason.
This module is the only writer of `doc.ents` and of the group in `doc.spans`.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy
from spacy.attrs import ENT_IOB, ENT_TYPE, IDX, IS_SPACE, LENGTH
from spacy.tokens import Doc, Span, SpanGroup

from .errors import Errors
from .schema import EntitySchema

FORMAT = 1
MARK = "ner_components"
DEFAULT_SPANS_KEY = "ner"
SCHEMA_ERRORS = ("unknown_label", "not_in_text", "misaligned", "invalid_output")
DECISIONS = ("below_threshold", "overlap", "duplicate", "preset")
REASONS = SCHEMA_ERRORS + DECISIONS
STATES = ("entity", "nested")
ALIGNMENT_MODES = ("strict", "contract", "expand")
OVERLAPS = ("score", "longest", "first")
PRESET_ENTS = ("keep", "replace")

Key = Tuple[int, int, str]


class Candidate(NamedTuple):
    """One entity that an engine proposes.

    start_char (Optional[int]): First character in `doc.text`; `None` if not in it.
    end_char (Optional[int]): One past the last character.
    label (str): The engine's word for the label.
    score (Optional[float]): 0 to 1, `None` where the engine gives none.
    text (Optional[str]): What the engine says stands there, checked if given.
    reason (Optional[str]): A schema error that the engine already found.
    via (Optional[str]): How the offsets were found, where the engine had to look for them.
    """

    start_char: Optional[int]
    end_char: Optional[int]
    label: str
    score: Optional[float] = None
    text: Optional[str] = None
    reason: Optional[str] = None
    via: Optional[str] = None


class Located(NamedTuple):
    """A candidate that has a schema label and lies on token borders."""

    start: int
    end: int
    start_char: int
    end_char: int
    label: str
    score: Optional[float]
    via: Optional[str] = None


class Rejection(NamedTuple):
    """A candidate that was not kept, why, and the token borders it should have had."""

    candidate: Candidate
    reason: str
    cut: Optional[List[Tuple[int, int]]] = None


@dataclass(frozen=True)
class Rules:
    """How candidates become annotation: the settings that every engine shares.

    threshold (float): Least score, 0 to 1; a label's own threshold goes first and a
        score of `None` passes.
    alignment_mode (str): What happens to a candidate that cuts a token: "strict"
        rejects it, "contract" keeps the whole tokens inside, "expand" takes the cut
        tokens in.
    overlap (str): Which of two overlapping candidates stays: "score", "longest" or
        "first". Without a score on each, "score" works as "longest".
    preset_ents (str): Entities set before: "keep" them, or "replace" those that a new
        entity overlaps.
    spans_key (Optional[str]): The group in `doc.spans`, `None` for no group.
    max_rejections (int): Most rejections stored with a document; counts stay complete.
    """

    threshold: float = 0.0
    alignment_mode: str = "strict"
    overlap: str = "score"
    preset_ents: str = "keep"
    spans_key: Optional[str] = DEFAULT_SPANS_KEY
    max_rejections: int = 100


@dataclass
class Resolution:
    """Where every candidate of a document ended.

    entities (List[Located]): What goes to `doc.ents`, in text order, free of overlap.
    nested (List[Located]): Candidates inside an entity, kept in the group only.
    rejections (List[Rejection]): The rest.
    """

    entities: List[Located] = field(default_factory=list)
    nested: List[Located] = field(default_factory=list)
    rejections: List[Rejection] = field(default_factory=list)

    @property
    def counts(self) -> Dict[str, int]:
        """RETURNS (Dict[str, int]): Candidates by state and reason, zeros left out."""
        counts = Counter(x.reason for x in self.rejections)
        counts.update({"entity": len(self.entities), "nested": len(self.nested)})
        return {key: counts[key] for key in STATES + REASONS if counts[key]}


class _Tokens:
    """Character borders of a document's tokens, read once."""

    def __init__(self, doc: Doc) -> None:
        array = doc.to_array([IDX, LENGTH, IS_SPACE]).astype(numpy.int64)
        self.starts: List[int] = array[:, 0].tolist()
        self.ends: List[int] = (array[:, 0] + array[:, 1]).tolist()
        # A token of no characters can't begin or end an entity either.
        self.blank: List[bool] = ((array[:, 2] == 1) | (array[:, 1] == 0)).tolist()

    def align(self, start: int, end: int, mode: str) -> Optional[Tuple[int, int]]:
        """Find the tokens of a stretch of characters.

        start (int): First character.
        end (int): One past the last character.
        mode (str): One of `ALIGNMENT_MODES`.
        RETURNS (Optional[Tuple[int, int]]): First token and one past the last, neither
            edge white space, or `None` where the mode can't have it.
        """
        if mode == "contract":
            i, j = bisect_left(self.starts, start), bisect_right(self.ends, end)
        else:
            i, j = bisect_right(self.ends, start), bisect_left(self.starts, end)
        i, j = self._trim(i, j)
        if i >= j:
            return None
        if mode == "strict" and (self.starts[i] != start or self.ends[j - 1] != end):
            return None
        return i, j

    def cut(self, start: int, end: int) -> List[Tuple[int, int]]:
        """RETURNS (List[Tuple[int, int]]): Borders of the tokens that are cut in two."""
        i, j = bisect_right(self.ends, start), bisect_left(self.starts, end)
        edges = sorted({k for k in (i, j - 1) if i <= k < j})
        borders = [(self.starts[k], self.ends[k]) for k in edges]
        return [(a, b) for a, b in borders if a < start or b > end]

    def _trim(self, i: int, j: int) -> Tuple[int, int]:
        while i < j and self.blank[i]:
            i += 1
        while j > i and self.blank[j - 1]:
            j -= 1
        return i, j


def resolve(
    doc: Doc, candidates: Sequence[Candidate], schema: EntitySchema, rules: Rules
) -> Resolution:
    """Decide the state of every candidate, changing nothing.

    doc (Doc): The document.
    candidates (Sequence[Candidate]): What an engine proposed for it, in any order.
    schema (EntitySchema): The labels that may come out.
    rules (Rules): The settings.
    RETURNS (Resolution): Each candidate exactly once.
    """
    result = Resolution()
    if not candidates:
        return result
    tokens, text = _Tokens(doc), doc.text
    located: List[Tuple[Located, Candidate]] = []
    for candidate in candidates:
        found = _locate(candidate, text, tokens, schema, rules)
        if isinstance(found, Rejection):
            result.rejections.append(found)
        else:
            located.append((found, candidate))
    owner: List[Optional[Located]] = [None] * len(doc)
    taken = _taken_tokens(doc, rules)
    seen: Set[Tuple[int, int, str]] = set()
    for span, candidate in _by_priority(located, rules.overlap):
        key = (span.start, span.end, span.label)
        if key in seen:
            result.rejections.append(Rejection(candidate, "duplicate"))
            continue
        seen.add(key)
        if taken and not taken.isdisjoint(range(span.start, span.end)):
            result.rejections.append(Rejection(candidate, "preset"))
            continue
        others = {x for x in owner[span.start : span.end] if x is not None}
        if not others:
            owner[span.start : span.end] = [span] * (span.end - span.start)
            result.entities.append(span)
        elif any(_is_inside(span, other) for other in others):
            result.nested.append(span)
        else:
            result.rejections.append(Rejection(candidate, "overlap"))
    result.entities.sort()
    result.nested.sort(key=lambda x: x[:5])
    return result


def annotate(doc: Doc, resolution: Resolution, rules: Rules, *, name: str = "ner") -> None:
    """Write a resolution into its document.

    doc (Doc): The document, modified in place.
    resolution (Resolution): What `resolve` decided for it.
    rules (Rules): The same settings.
    name (str): Name of the pipe, for error messages.
    RAISES (ValueError): `spans_key` names a group that somebody else wrote.
    """
    key = rules.spans_key
    if key is not None and key in doc.spans and MARK not in doc.spans[key].attrs:
        raise ValueError(Errors.N021.format(key=key, name=name))
    entities = [Span(doc, x.start, x.end, label=x.label) for x in resolution.entities]
    covered = {i for x in resolution.entities for i in range(x.start, x.end)}
    kept = [x for x in preset_ents(doc, key) if covered.isdisjoint(range(x.start, x.end))]
    _clear_ids(doc, kept)
    doc.set_ents([*kept, *entities], blocked=_blocked(doc), default="outside")
    if key is not None:
        _write_group(doc, key, resolution, rules.max_rejections)


def preset_ents(doc: Doc, spans_key: Optional[str]) -> List[Span]:
    """RETURNS (List[Span]): The entities of `doc.ents` that are not in our group."""
    ours: Set[Key] = set()
    if spans_key is not None and spans_key in doc.spans:
        attrs = doc.spans[spans_key].attrs
        if MARK in attrs:
            ours = set(zip(attrs["starts"], attrs["ends"], attrs["labels"], strict=True))
    ents = doc.ents
    return [x for x in ents if (x.start_char, x.end_char, x.label_) not in ours]


def get_ner_score(span: Span) -> Optional[float]:
    """Look up the score of an entity by its characters and label: `span._.ner_score`.

    span (Span): Any span.
    RETURNS (Optional[float]): Its score, 0 to 1, or `None` where it is not one of ours
        or its engine gives no score.
    """
    start, end = span.start_char, span.end_char
    for group in span.doc.spans.values():
        attrs = group.attrs
        if MARK not in attrs:
            continue
        starts = attrs["starts"]
        i = bisect_left(starts, start)
        while i < len(starts) and starts[i] == start:
            if attrs["ends"][i] == end and attrs["labels"][i] == span.label_:
                return attrs["scores"][i]
            i += 1
    return None


Span.set_extension("ner_score", getter=get_ner_score, force=True)


def realign(doc: Doc) -> None:
    """Rebuild our groups from their characters after the tokens have changed.

    A pipe that retokenises (`merge_entities`) leaves group spans with stale token
    numbers, which spaCy then refuses to serialise or copy (E035). Spans that no longer
    lie on token borders leave the group; what `attrs` says stays.

    doc (Doc): The document, modified in place.
    """
    for key in list(doc.spans):
        attrs = doc.spans[key].attrs
        if MARK in attrs:
            doc.spans[key] = _make_group(doc, key, attrs)


def clean_text(text: str) -> str:
    """RETURNS (str): The text with lone surrogates replaced, so that it can be stored."""
    return text.encode("utf8", "replace").decode("utf8")


def _locate(
    candidate: Candidate,
    text: str,
    tokens: _Tokens,
    schema: EntitySchema,
    rules: Rules,
) -> "Located | Rejection":
    start, end, label, score, said, reason, via = candidate
    if reason is not None:
        return Rejection(candidate, reason if reason in SCHEMA_ERRORS else "invalid_output")
    if score is not None and not (math.isfinite(score) and 0.0 <= score <= 1.0):
        return Rejection(candidate, "invalid_output")
    name = schema.resolve(label)
    if score is not None and score < schema.threshold(name, rules.threshold):
        return Rejection(candidate, "below_threshold")
    if name is None:
        return Rejection(candidate, "unknown_label")
    if start is None or end is None or not 0 <= start < end <= len(text):
        return Rejection(candidate, "not_in_text")
    if said is not None and text[start:end] != said:
        return Rejection(candidate, "not_in_text")
    found = tokens.align(start, end, rules.alignment_mode)
    if found is None:
        return Rejection(candidate, "misaligned", tokens.cut(start, end))
    i, j = found
    return Located(
        i,
        j,
        tokens.starts[i],
        tokens.ends[j - 1],
        name,
        None if score is None else float(score),
        via,
    )


def _by_priority(
    located: List[Tuple[Located, Candidate]], overlap: str
) -> List[Tuple[Located, Candidate]]:
    if overlap == "score" and any(x.score is None for x, _ in located):
        overlap = "longest"

    def priority(item: Tuple[Located, Candidate]) -> Tuple[float, ...]:
        span = item[0]
        length = span.end_char - span.start_char
        score = -1.0 if span.score is None else span.score
        if overlap == "score":
            return (-score, -length, span.start_char)
        if overlap == "longest":
            return (-length, -score, span.start_char)
        return (span.start_char, -length, -score)

    # The label breaks the last tie, so that the engine's order never decides.
    return sorted(located, key=lambda x: (*priority(x), x[0].label))


def _is_inside(inner: Located, outer: Located) -> bool:
    shorter = inner.end - inner.start < outer.end - outer.start
    return shorter and outer.start <= inner.start and inner.end <= outer.end


def _taken_tokens(doc: Doc, rules: Rules) -> Set[int]:
    taken = {i for span in _blocked(doc) for i in range(span.start, span.end)}
    if rules.preset_ents == "keep":
        for ent in preset_ents(doc, rules.spans_key):
            taken.update(range(ent.start, ent.end))
    return taken


def _blocked(doc: Doc) -> List[Span]:
    array = doc.to_array([ENT_IOB, ENT_TYPE])
    blocked = (array[:, 0] == 3) & (array[:, 1] == 0)
    return [doc[int(i) : int(i) + 1] for i in numpy.flatnonzero(blocked)]


def _clear_ids(doc: Doc, kept: List[Span]) -> None:
    # set_ents leaves both ids of a token that is in no entity any more.
    staying = {i for x in kept for i in range(x.start, x.end)}
    for ent in doc.ents:
        for token in ent:
            if token.i not in staying:
                token.ent_id = token.ent_kb_id = 0


def _write_group(doc: Doc, key: str, resolution: Resolution, most: int) -> None:
    counts = resolution.counts
    if not counts:
        # Any group triples the cost of Doc.to_bytes: none where there is nothing to say.
        if key in doc.spans:
            del doc.spans[key]
        return
    rows = [(x, "entity") for x in resolution.entities]
    rows += [(x, "nested") for x in resolution.nested]
    rows.sort(key=lambda row: row[0][:5])
    text = doc.text
    attrs: Dict[str, Any] = {
        MARK: FORMAT,
        "starts": [x.start_char for x, _ in rows],
        "ends": [x.end_char for x, _ in rows],
        "labels": [x.label for x, _ in rows],
        "scores": [x.score for x, _ in rows],
        "states": [state for _, state in rows],
        "counts": counts,
        "rejected": [_rejection_dict(text, x) for x in resolution.rejections[:most]],
    }
    if any(x.via is not None for x, _ in rows):
        attrs["via"] = [x.via for x, _ in rows]
    doc.spans[key] = _make_group(doc, key, attrs)


def _make_group(doc: Doc, key: str, attrs: Dict[str, Any]) -> SpanGroup:
    tokens = _Tokens(doc)
    spans = []
    for start, end, label in zip(
        attrs["starts"], attrs["ends"], attrs["labels"], strict=True
    ):
        found = tokens.align(start, end, "strict")
        if found is not None:
            spans.append(Span(doc, *found, label=label))
    return SpanGroup(doc, name=key, attrs=attrs, spans=spans)


def _rejection_dict(text: str, rejection: Rejection) -> Dict[str, Any]:
    start, end, label, score, said = rejection.candidate[:5]
    if said is None and start is not None and end is not None and 0 <= start < end:
        said = text[start:end]
    row: Dict[str, Any] = {
        "start_char": _storable(start),
        "end_char": _storable(end),
        "label": clean_text(label),
        "score": None if score is None or not math.isfinite(score) else float(score),
        "reason": rejection.reason,
        "text": None if said is None else clean_text(said),
    }
    if rejection.cut is not None:
        row["cut"] = [list(borders) for borders in rejection.cut]
    return row


def _storable(offset: Optional[int]) -> Optional[int]:
    # An engine may answer any number; msgpack has no integers above 64 bits.
    return None if offset is None or abs(offset) >= 2**63 else int(offset)
