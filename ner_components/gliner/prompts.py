"""What a GLiNER model is shown in place of a label: a few plain words, or a description."""

from typing import Dict, List, Tuple

from ..errors import Errors
from ..schema import EntitySchema, Label

PROMPTS = ("alias", "name", "description")


def make_prompts(schema: EntitySchema, form: str) -> List[str]:
    """Find the words that stand for each label.

    schema (EntitySchema): The labels.
    form (str): "alias" takes a label's first alias, or without one its name in lower
        case with underscores as blanks; "name" the name as it is; "description" the
        description.
    RETURNS (List[str]): The words for each label, in the schema's order.
    RAISES (ValueError): Two labels have the same words, or one has no description.
    """
    prompts = [_prompt(label, form) for label in schema]
    owner: Dict[str, str] = {}
    for label, prompt in zip(schema.names, prompts, strict=True):
        first = owner.setdefault(prompt, label)
        if first != label:
            raise ValueError(Errors.N137.format(first=first, second=label, prompt=prompt))
    return prompts


def _prompt(label: Label, form: str) -> str:
    if form == "name":
        return label.name
    if form == "description":
        if not label.description.strip():
            raise ValueError(Errors.N140.format(label=label.name))
        return label.description.strip()
    if label.aliases:
        return label.aliases[0].strip()
    return label.name.replace("_", " ").lower()


def make_groups(lengths: List[int], room: int) -> List[Tuple[int, int]]:
    """Cut a list of labels into groups whose prompts fit, of about equal length.

    lengths (List[int]): Word pieces of each label's prompt, none above the room.
    room (int): Most word pieces of a group.
    RETURNS (List[Tuple[int, int]]): First label of each group and one past its last.
    """
    at_least = max(1, -(-sum(lengths) // room))
    # Equal shares leave no group that is nearly empty and costs a forward pass all the
    # same; where they don't work out, the room itself is the limit.
    share = max(-(-sum(lengths) // at_least), max(lengths, default=0))
    for limit in (share, room):
        groups = _fill(lengths, limit)
        if len(groups) == at_least:
            return groups
    return groups


def _fill(lengths: List[int], limit: int) -> List[Tuple[int, int]]:
    groups, first, used = [], 0, 0
    for i, length in enumerate(lengths):
        if i > first and used + length > limit:
            groups.append((first, i))
            first, used = i, 0
        used += length
    groups.append((first, len(lengths)))
    return groups
