"""One annotated text, as any tool's record is read: checked, offsets as code points.

What is wrong is told by the name of a field, never by its content.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Set, Type, TypeVar

from pydantic import BaseModel, ValidationError

from .files import note
from .units import CODE_POINTS, UTF_16, OffsetError, count_units, to_code_points


class RecordError(ValueError):
    """A record that can't be read: what is wrong, and what to do.

    problem (str), remedy (str): For the message; never text of a document.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class Marked(NamedTuple):
    """An entity as a tool writes it: offsets in its unit, exclusive end, label, and the
    text that the tool says stands there (`None` for unknown)."""

    start: int
    end: int
    label: str
    surface: Optional[str] = None

    def __repr__(self) -> str:
        return f"Marked({self.start}, {self.end}, {self.label!r})"


@dataclass
class Record:
    """An annotated text.

    text (str): The text; empty where `words` are given without it.
    entities (List[Marked]): Its entities, in the order of the file, as code points; in
        tokens for the form "tokens".
    words (Optional[List[str]]), spaces (Optional[List[bool]]): Its tokens, where the form
        has them.
    id (Optional[str]), lang (Optional[str]): Where the form names them.
    partial (bool): Whether nothing is known about what isn't marked.
    """

    text: str = field(repr=False)
    entities: List[Marked]
    words: Optional[List[str]] = field(default=None, repr=False)
    spaces: Optional[List[bool]] = None
    id: Optional[str] = None
    lang: Optional[str] = None
    partial: bool = False


@dataclass
class Context:
    """What the records of one file share.

    notes (Counter[str]): What was dropped or repaired, by reason.
    units (Optional[str]): What offsets count, `None` for what the tool counts.
    seen (Set[str]): The tasks read so far.
    """

    notes: "Counter[str]"
    units: Optional[str] = None
    seen: Set[str] = field(default_factory=set)


Model = TypeVar("Model", bound=BaseModel)


def build_record(
    data: Mapping[str, Any],
    text: str,
    entities: List[Marked],
    context: Context,
    units: str = CODE_POINTS,
) -> Record:
    """Make the record of a text, with its id and language, offsets converted and checked.

    data (Mapping[str, Any]): The tool's record.
    text (str): Its text.
    entities (List[Marked]): Its entities.
    context (Context): Of the file.
    units (str): What the tool's offsets count.
    RETURNS (Record): The record.
    RAISES (RecordError): An offset lies outside the text or inside a character, or the
        text there isn't the one the tool says.
    """
    tries = [context.units or units]
    if context.units is None and any(x.surface is not None for x in entities):
        # Label Studio counted UTF-16 units until 2021; the surface text tells.
        tries = [CODE_POINTS, UTF_16]
    entities = _convert(text, entities, tries, context.notes)
    meta = data.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    names = (data.get("id"), meta.get("id"), data.get("_input_hash"))
    found = next((x for x in map(to_name, names) if x is not None), None)
    return Record(text, entities, id=found, lang=find_lang(data) or find_lang(meta))


def _convert(
    text: str, entities: List[Marked], tries: List[str], notes: "Counter[str]"
) -> List[Marked]:
    """Offsets as code points: in the first unit in which every surface text fits."""
    for unit in tries:
        try:
            offsets = to_code_points(text, [x[:2] for x in entities], unit)
        except OffsetError:
            continue
        pairs = zip(offsets, entities, strict=True)
        found = [x._replace(start=a, end=b) for (a, b), x in pairs]
        if all(x.surface is None or _same(text[x.start : x.end], x.surface) for x in found):
            note(notes, f"offsets converted from {unit}", found != entities)
            return found
    longest = max(count_units(text, unit) for unit in tries)
    for start, end, *_ in entities:
        if not 0 <= start < end <= longest:
            raise outside(start, end, "characters")
    if all(x.surface is None for x in entities):
        remedy = "Give the unit that the tool counts: code points, utf-16 or graphemes."
        raise RecordError("an offset lies inside a character", remedy)
    problem = "a span's own text is not what stands at its offsets"
    remedy = "Export it again: the text was changed after it was annotated."
    raise RecordError(problem, remedy)


def _same(text: str, surface: str) -> bool:
    # Label Studio writes line breaks of a surface as a backslash and an n.
    pattern = r"\\n|\s"
    return re.sub(pattern, "", text) == re.sub(pattern, "", surface)


def outside(start: int, end: int, unit: str) -> RecordError:
    """RETURNS (RecordError): For an entity outside the text, by its offsets."""
    problem = f"an entity ({start} to {end}) is empty or lies outside the text"
    return RecordError(problem, f"Offsets count {unit} from 0, ends exclusive.")


def to_name(value: Any) -> Optional[str]:
    """RETURNS (Optional[str]): A text or number that names a source, as text."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def find_lang(data: Mapping[str, Any]) -> Optional[str]:
    """RETURNS (Optional[str]): The language code that a record names."""
    lang = data.get("lang")
    return lang if isinstance(lang, str) and lang else None


def check_object(data: Any) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): The record, if it is a JSON object.
    RAISES (RecordError): It is none."""
    if not isinstance(data, dict):
        problem = "not in the format: no JSON object"
        raise RecordError(problem, "Each record is an object {...}.")
    return data


def check_form(model: Type[Model], data: Any, where: str = "") -> Model:
    """Check a part of a record.

    model (Type[BaseModel]): The fields it must have.
    data (Any): The part.
    where (str): Begins the name of the field in the message.
    RETURNS (BaseModel): The part, checked.
    RAISES (RecordError): A field is missing or of the wrong type.
    """
    try:
        return model.model_validate(data)
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        fields = ".".join(str(x) for x in first["loc"])
        problem = f"not in the format: {where}{fields}: {first['msg']}"
    # Outside of the handler: the validation error holds the text and must not be chained.
    raise RecordError(problem, "Compare it with the format, or name another format.")
