"""The examples of a schema: sentences that must, or must not, have an entity."""

from typing import Iterable, List, NamedTuple

from ..corpora.markup import parse_marked
from ..corpora.offsets import Entity
from ..errors import Errors
from ..schema import EntitySchema, Label
from .schema_report import FAILED, PASSED, Check


class Example(NamedTuple):
    """An example of the schema.

    label (str): The label it belongs to.
    side (str): "must" or "must_not".
    number (int): Its place in that list, from 1.
    text (str): The text without marks.
    entities (List[Entity]): Its outermost marked entities.
    """

    label: str
    side: str
    number: int
    text: str
    entities: List[Entity]


def read_examples(schema: EntitySchema) -> List[Example]:
    """Read the examples of a schema.

    schema (EntitySchema): The schema.
    RETURNS (List[Example]): Its examples, by label, `must` before `must_not`.
    RAISES (ValueError): An example is marked wrongly, or there is none at all.
    """
    examples = []
    for label in schema:
        for side, marked in (("must", label.must), ("must_not", label.must_not)):
            for number, line in enumerate(marked, 1):
                examples.append(_read_example(schema, label, side, number, line))
    if not examples:
        raise ValueError(Errors.N124)
    return examples


def _read_example(
    schema: EntitySchema, label: Label, side: str, number: int, line: str
) -> Example:
    def refuse(problem: str) -> ValueError:
        where = f"{label.name}, {side} example {number}"
        return ValueError(Errors.N120.format(where=where, problem=problem))

    try:
        text, marked = parse_marked(line)
    except ValueError as e:
        raise refuse(str(e)) from e
    entities = []
    for start, end, word in marked:
        name = schema.resolve(word)
        if name is None:
            raise refuse("a mark has a label that the schema doesn't know")
        entities.append(Entity(start, end, name))
    outer = _outermost(entities)
    has_label = any(x.label == label.name for x in outer)
    if side == "must" and not has_label:
        raise refuse("no entity of its label is marked (inside another does not count)")
    if side == "must_not" and any(x.label == label.name for x in entities):
        raise refuse("an entity of its own label is marked")
    return Example(label.name, side, number, text, outer)


def _outermost(entities: Iterable[Entity]) -> List[Entity]:
    outer: List[Entity] = []
    for entity in sorted(entities, key=lambda x: (x.start_char, -x.end_char)):
        if not outer or entity.start_char >= outer[-1].end_char:
            outer.append(entity)
    return outer


def make_check(
    kind: str, example: Example, variant: str, right: bool, problem: str
) -> Check:
    return Check(
        kind,
        example.label,
        example.side,
        example.number,
        variant,
        PASSED if right else FAILED,
        "" if right else problem,
    )
