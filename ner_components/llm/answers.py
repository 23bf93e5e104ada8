"""What an answer must look like, and what one says: text in, checked items out.

Nothing is guessed. An answer that can't be read is one error, an item that breaks a rule
is one, and every other item stays.
"""

import math
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from spacy.tokens import Doc, Span

from ..errors import Errors
from .answers_json import Value, find_rows

_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_RULES = {"text": "a string", "label": "a string", "occurrence": "a whole number"}

CharSpan = Tuple[int, int]


class Item(NamedTuple):
    """One entity of an answer.

    text (str): What it says stands in the document.
    label (str): Its word for the label.
    occurrence (Optional[int]): Which of the places where the text stands is meant, the
        first being 1; `None` where it doesn't say. Not checked: it can be any number.
    """

    text: str
    label: str
    occurrence: Optional[int] = None

    def __repr__(self) -> str:
        return f"Item({len(self.text)} characters)"


class BadItem(NamedTuple):
    """What can be told of an item that is not valid.

    text (Optional[str]): Its text, where that is a string.
    label (str): Its label, empty where that is no string.
    """

    text: Optional[str] = None
    label: str = ""

    def __repr__(self) -> str:
        return "BadItem()"


@dataclass
class ParsedAnswer:
    """What an answer says.

    items (List[Item]): Its valid items, in order.
    errors (List[str]): A line for each item that is not valid, or one for an answer that
        can't be read. For the model to read: number, field and rule, never content.
    bad (List[BadItem]): The same items as `errors`.
    doubts (List[str]): Like `errors`, of items that are kept although their label is none
        of those asked for: the schema decides about them.
    readable (bool): Whether there were items to look at.
    places (List[List[CharSpan]]): For each item the characters of its text and its label
        in the answer, without the quotes.
    """

    items: List[Item] = field(default_factory=list)
    errors: List[str] = field(default_factory=list)
    bad: List[BadItem] = field(default_factory=list)
    doubts: List[str] = field(default_factory=list)
    readable: bool = True
    places: List[List[CharSpan]] = field(default_factory=list)


def answer_schema(
    labels: Sequence[str], texts: Optional[Sequence[str]] = None
) -> Dict[str, Any]:
    """Make the JSON schema of an answer.

    It keeps to what OpenAI's strict mode and llama.cpp's grammars both take: every
    property is required, none is added, and numbers have no least value.

    labels (Sequence[str]): The labels that may be answered.
    texts (Optional[Sequence[str]]): The texts that may be answered, `None` for any.
    RETURNS (Dict[str, Any]): The schema.
    RAISES (ValueError): `texts` is empty: no schema says that nothing may be answered.
    """
    if texts is not None and not texts:
        raise ValueError(Errors.N165)
    text: Dict[str, Any] = {"type": "string"}
    if texts is not None:
        text["enum"] = list(dict.fromkeys(texts))
    item = {
        "text": text,
        "label": {"type": "string", "enum": list(dict.fromkeys(labels))},
        "occurrence": {"type": "integer"},
    }
    return _object({"entities": {"type": "array", "items": _object(item)}})


def ngrams(tokens: "Doc | Span", max_words: int) -> List[str]:
    """List what an entity of a text could be: stretches of its own tokens.

    tokens (Union[Doc, Span]): The text.
    max_words (int): Most tokens in a stretch, white space not counted.
    RETURNS (List[str]): The stretches as they stand in the text, each once, in order of
        their first place and then of length. None begins or ends with white space or is
        punctuation only.
    """
    text = tokens.doc.text
    borders = [(x.idx, x.idx + len(x)) for x in tokens if not x.is_space and len(x)]
    found: Dict[str, None] = {}
    for i, (start, _) in enumerate(borders):
        for _, end in borders[i : i + max_words]:
            found.setdefault(text[start:end])
    return [x for x in found if x == x.strip() and _says_something(x)]


def fits_enum(texts: Sequence[str], max_values: int = 1000, max_chars: int = 15000) -> bool:
    """Tell whether texts fit into an enum of a schema. The limits are OpenAI's; its limit
    of values is for the whole schema, so take the labels off it.

    texts (Sequence[str]): The texts.
    max_values (int): Most texts.
    max_chars (int): Most characters, together.
    RETURNS (bool): Whether they fit. No text at all doesn't.
    """
    return 0 < len(texts) <= max_values and sum(map(len, texts)) <= max_chars


def read_answer(
    text: str, labels: Sequence[str] = (), *, complete: bool = True
) -> ParsedAnswer:
    """Read an answer: an object with a list "entities", or a bare list of objects.

    Prose, reasoning in `<think>` tags and code fences around it, commas after a last
    member and line breaks in strings are put up with. Other members than "text", "label"
    and "occurrence" are ignored. An answer that is cut, that is there twice and not
    alike, or that is broken anywhere gives no item.

    text (str): The answer.
    labels (Sequence[str]): The labels that were asked for, compared as
        `EntitySchema.resolve` does; empty to have no `doubts`.
    complete (bool): False for an answer that was cut off: nothing of it is kept.
    RETURNS (ParsedAnswer): What it says.
    """
    if not complete:
        return _unreadable("it was cut off")
    text = _SURROGATE.sub("\ufffd", text)
    try:
        rows = find_rows(text)
    except (ValueError, RecursionError):
        rows = None
    if rows is None:
        return _unreadable("it is not one whole JSON object")
    result = ParsedAnswer()
    known = {_fold(x) for x in labels}
    for number, row in enumerate(rows, start=1):
        _add_row(result, number, row, known)
    return result


def item_scores(
    answer: str, logprobs: Optional[Sequence[Tuple[str, float]]], parsed: ParsedAnswer
) -> List[Optional[float]]:
    """Score the items of an answer by the probability of the tokens that name them.

    An item's score is exp(mean of the log probabilities) of the tokens that overlap the
    characters of its text or its label in the answer: the geometric mean of their
    probabilities. How sure the model was of these words, at this place, after all that
    it had written before: no probability that the entity is right, not calibrated, and
    blind to entities that are missing. Tokens that a grammar forced can count as sure,
    and servers differ in whether they report what was before or after the grammar, so
    scores are to be compared for one server and one way of output only.

    answer (str): The answer.
    logprobs (Optional[Sequence[Tuple[str, float]]]): Its tokens and their natural log
        probabilities.
    parsed (ParsedAnswer): What `read_answer` made of the same answer.
    RETURNS (List[Optional[float]]): A score for each item, 0 to 1, or `None`: for all,
        where the tokens don't give the answer character by character (one that ends
        inside a character is often shown as U+FFFD), and for an item with a token whose
        log probability is not a number up to 0.
    """
    nothing: List[Optional[float]] = [None] * len(parsed.items)
    if not logprobs or "".join(token for token, _ in logprobs) != answer:
        return nothing
    owner = [i for i, (token, _) in enumerate(logprobs) for _ in token]
    values = [value for _, value in logprobs]
    found = []
    for places in parsed.places:
        tokens = {i for start, end in places for i in owner[start:end]}
        found.append(_mean_probability([values[i] for i in sorted(tokens)]))
    return found


class _Row(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    text: str
    label: str
    occurrence: Optional[int] = None

    @field_validator("occurrence", mode="before")
    @classmethod
    def _whole_number(cls, value: Any) -> Any:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return int(value)
        # To JSON, 2.0 is a whole number.
        return int(value) if isinstance(value, float) and value.is_integer() else value


def _object(properties: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _says_something(text: str) -> bool:
    return any(unicodedata.category(x)[0] not in "PZC" for x in text)


def _unreadable(problem: str) -> ParsedAnswer:
    error = Errors.N166.format(problem=problem)
    return ParsedAnswer(errors=[error], bad=[BadItem()], readable=False)


def _add_row(result: ParsedAnswer, number: int, row: Value, known: "set[str]") -> None:
    pairs = dict(row.pairs or [])
    said = {k: _clean(pairs[k].value) for k in _RULES if k in pairs}
    problem = _structure_problem(row)
    if problem is None:
        try:
            made = _Row.model_validate(said)
        except ValidationError as e:
            problem = _field_problem(e)
    if problem is not None:
        text, label = said.get("text"), said.get("label")
        result.errors.append(Errors.N167.format(number=number, problem=problem))
        result.bad.append(
            BadItem(
                text if isinstance(text, str) else None,
                label if isinstance(label, str) else "",
            )
        )
        return
    result.items.append(Item(made.text, made.label, made.occurrence))
    values = (pairs["text"], pairs["label"])
    result.places.append([(x.start + 1, x.end - 1) for x in values])
    if known and _fold(made.label) not in known:
        problem = "label must be one of the labels asked for"
        result.doubts.append(Errors.N167.format(number=number, problem=problem))


def _structure_problem(row: Value) -> Optional[str]:
    if row.pairs is None:
        return 'it must be an object with "text", "label" and "occurrence"'
    keys = [key for key, _ in row.pairs]
    return "a key is there twice" if len(set(keys)) < len(keys) else None


def _field_problem(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "missing":
        return f"{name} is missing"
    return f"{name} must be {_RULES[name]}"


def _clean(value: Any) -> Any:
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def _fold(label: str) -> str:
    return label.strip().casefold()


def _mean_probability(values: Sequence[float]) -> Optional[float]:
    if not values or not all(x <= 0.0 for x in values):
        return None
    return math.exp(math.fsum(values) / len(values))
