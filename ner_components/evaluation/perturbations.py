"""Changes of a text that must not change its entities, with offsets that follow them.

Every change is a list of edits of the source text, so that any entity of the source can
be found again in the changed text by arithmetic, never by search.
"""

import json
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import (
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Literal,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from ..corpora.offsets import Entity
from ..errors import Errors
from ..schema import EntitySchema

# Label -> group (origin) -> names.
Names = Dict[str, Dict[str, List[str]]]

KINDS = ("case", "quotes", "space", "unicode", "position", "names")
NAMES_FILE = Path(__file__).parent / "names.json"

# Plain sentences without a name in them: a second document around the example.
FILLERS = (
    "The weather was mild, and the paths were still wet from the night before.",
    "Nobody had asked for a second cup, so the kettle went back to its shelf.",
    "It took a while until the last chairs were folded and put away.",
    "A few things were left to do, none of them urgent.",
    "The door had been painted twice and still did not close properly.",
    "They agreed to look at it again as soon as there was time.",
    "Some of the boxes were empty, others held old newspapers and string.",
    "He made a short list, crossed out half of it and went for a walk.",
    "The stairs creaked, which everybody in the house was used to by now.",
    "There was bread on the table, a bowl of fruit and a jug of water.",
    "She had expected more noise, but the afternoon stayed quiet.",
    "In the end the simple answer turned out to be the right one.",
    "The lamp in the corner flickered once and then stayed on.",
    "What had seemed difficult in the morning was easy by the evening.",
)
MOST_WORDS = 200

Form = Literal["NFC", "NFD"]
FORMS: Tuple[Form, ...] = ("NFC", "NFD")

_STRAIGHT = {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "‚": "'"}
_TYPOGRAPHIC = {'"': ("“", "”"), "'": ("‘", "’")}


class Edit(NamedTuple):
    """Characters of the source text, exclusive end, and what stands there instead."""

    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Variant:
    """A changed text.

    kind (str): One of `KINDS`.
    name (str): Which change of that kind ("lower", "polish 3").
    source (str): The text that was changed.
    edits (Tuple[Edit, ...]): The changes, in order, free of overlap.
    """

    kind: str
    name: str
    source: str
    edits: Tuple[Edit, ...]

    @cached_property
    def text(self) -> str:
        """RETURNS (str): The changed text."""
        parts, last = [], 0
        for start, end, new in self.edits:
            parts += [self.source[last:start], new]
            last = end
        return "".join(parts) + self.source[last:]

    def map(self, entities: Iterable[Entity]) -> Optional[List[Entity]]:
        """Find entities of the source again.

        entities (Iterable[Entity]): Entities of the source text.
        RETURNS (Optional[List[Entity]]): The same ones in the changed text, or `None`
            where one begins or ends inside of a replaced stretch: it has no counterpart.
        """
        mapped = []
        for start, end, label in entities:
            first, last = self._move(start, is_end=False), self._move(end, is_end=True)
            if first is None or last is None:
                return None
            mapped.append(Entity(first, last, label))
        return mapped

    def _move(self, border: int, *, is_end: bool) -> Optional[int]:
        moved = border
        for start, end, new in self.edits:
            if is_end and start == end == border:
                continue  # what is inserted at an entity's end stays outside
            if end <= border:
                moved += len(new) - (end - start)
            elif start < border:
                return None
        return moved


def perturb(
    text: str,
    entities: Sequence[Entity],
    *,
    names: Optional[Names] = None,
    fillers: Sequence[str] = FILLERS,
    turn: int = 0,
) -> List[Variant]:
    """Make every variant of a text that differs from it.

    text (str): The text.
    entities (Sequence[Entity]): Its marked entities: those of a label in `names` are
        swapped.
    names (Optional[Names]): Names by label and group; `None` for no swaps.
    fillers (Sequence[str]): Sentences without entities, for `move`.
    turn (int): At which of them to begin.
    RETURNS (List[Variant]): The variants, by kind.
    """
    swapped = list(swap_names(text, entities, names or {}))
    return [
        *change_case(text),
        *change_quotes(text),
        *change_space(text),
        *change_normal_form(text),
        *_change_normal_form_of_names(swapped),
        *move(text, fillers, turn),
        *swapped,
    ]


def change_case(text: str) -> Iterator[Variant]:
    """YIELDS (Variant): The text in lower and in upper case."""
    changes: Dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper}
    for name, change in changes.items():
        # As a whole where that keeps the characters apart: a final sigma needs its word.
        whole = change(text)
        new = whole if len(whole) == len(text) else [change(x) for x in text]
        yield from _variant("case", name, text, _replacements(text, new))


def change_quotes(text: str) -> Iterator[Variant]:
    """YIELDS (Variant): The text with its quotation marks and apostrophes in the other
    style, or the whole in quotation marks where it has none."""
    straight = [_STRAIGHT.get(x, x) for x in text]
    curly = [_typographic(text, i) for i in range(len(text))]
    if any(x in _STRAIGHT or x in _TYPOGRAPHIC for x in text):
        yield from _variant("quotes", "straight", text, _replacements(text, straight))
        yield from _variant("quotes", "typographic", text, _replacements(text, curly))
    else:
        yield from _variant("quotes", "in straight", text, _around(text, '"', '"'))
        yield from _variant("quotes", "in typographic", text, _around(text, "“", "”"))


def change_space(text: str) -> Iterator[Variant]:
    """YIELDS (Variant): The text with its spaces doubled, with no-break spaces, with a
    line break in the middle, and with white space before and behind it."""
    spaces = [i for i, x in enumerate(text) if x == " "]
    double = [Edit(i, i + 1, "  ") for i in spaces]
    hard = [Edit(i, i + 1, "\u00a0") for i in spaces]
    middle = sorted(spaces, key=lambda i: abs(i - len(text) / 2))[:1]
    yield from _variant("space", "double", text, double)
    yield from _variant("space", "no-break", text, hard)
    yield from _variant("space", "line break", text, [Edit(i, i + 1, "\n") for i in middle])
    yield from _variant("space", "leading", text, [Edit(0, 0, "\n  ")])
    yield from _variant("space", "trailing", text, [Edit(len(text), len(text), "  \n")])


def change_normal_form(text: str) -> Iterator[Variant]:
    """YIELDS (Variant): The text in the normal forms NFC and NFD (Unicode Standard Annex
    15) that it is not in yet."""
    for form in FORMS:
        edits = []
        for start, end in _clusters(text, form):
            new = unicodedata.normalize(form, text[start:end])
            if new != text[start:end]:
                edits.append(Edit(start, end, new))
        yield from _variant("unicode", form, text, edits)


def move(text: str, fillers: Sequence[str], turn: int = 0) -> Iterator[Variant]:
    """Place a text in a longer document, of `MOST_WORDS` words at most.

    text (str): The text.
    fillers (Sequence[str]): Sentences without entities.
    turn (int): At which of them to begin.
    YIELDS (Variant): The text behind one sentence, behind, before and between many.
    """
    if not fillers:
        return
    first = turn % len(fillers)
    ordered = [*fillers[first:], *fillers[:first]]
    chosen, words = [ordered[0]], len(ordered[0].split())
    for sentence in ordered[1:]:
        words += len(sentence.split())
        if words > MOST_WORDS:
            break
        chosen.append(sentence)
    half = len(chosen) // 2
    whole, one, two = " ".join(chosen), " ".join(chosen[:half]), " ".join(chosen[half:])
    places = {
        "behind one sentence": (ordered[0] + " ", ""),
        "at the end": (whole + " ", ""),
        "at the beginning": ("", " " + whole),
        "in the middle": (one + " " if one else "", " " + two),
    }
    for name, (before, behind) in places.items():
        yield from _variant("position", name, text, _around(text, before, behind))


def swap_names(text: str, entities: Sequence[Entity], names: Names) -> Iterator[Variant]:
    """YIELDS (Variant): The text with each marked entity of a label in `names` replaced
    by each of that label's names."""
    for label, groups in names.items():
        places = sorted({(x[0], x[1]) for x in entities if x.label == label})
        for group, members in groups.items():
            for i, member in enumerate(members, 1):
                # Two names of one sentence must not become the same.
                edits = [
                    Edit(start, end, members[(i - 1 + k) % len(members)] if k else member)
                    for k, (start, end) in enumerate(places)
                ]
                yield from _variant("names", f"{group} {i}", text, edits)


def load_names(schema: EntitySchema, path: Optional[Union[str, Path]] = None) -> Names:
    """Read names to swap.

    schema (EntitySchema): The labels.
    path (Optional[Union[str, Path]]): A JSON file `{label: {group: [name, ...]}}`; `None`
        for names of persons by origin, used where the schema has PERSON or PER.
    RETURNS (Names): Names by label of the schema and group.
    RAISES (ValueError): The file can't be read, or names a label that the schema doesn't
        have.
    """
    data = _read_names(NAMES_FILE if path is None else Path(path))
    if path is None:
        label = schema.resolve("PERSON") or schema.resolve("PER")
        return {} if label is None else {label: data["PERSON"]}
    names: Names = {}
    for word, groups in data.items():
        label = schema.resolve(word)
        if label is None:
            problem = f"the schema has no label {word!r}"
            raise ValueError(Errors.N121.format(path=path, problem=problem))
        names.setdefault(label, {}).update(groups)
    return names


def read_fillers(path: Union[str, Path]) -> List[str]:
    """Read sentences to place an example among.

    path (Union[str, Path]): A text file, one sentence a line.
    RETURNS (List[str]): The sentences.
    RAISES (ValueError): The file can't be read or is empty.
    """
    try:
        text = Path(path).read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError) as e:
        problem = getattr(e, "strerror", None) or type(e).__name__
        raise ValueError(Errors.N127.format(path=path, problem=problem)) from e
    sentences = [line.strip() for line in text.splitlines() if line.strip()]
    if not sentences:
        raise ValueError(Errors.N127.format(path=path, problem="it is empty"))
    return sentences


def _read_names(path: Path) -> Names:
    try:
        data = json.loads(path.read_text(encoding="utf8"))
    except OSError as e:
        problem = e.strerror or type(e).__name__
        raise ValueError(Errors.N121.format(path=path, problem=problem)) from e
    except ValueError as e:
        raise ValueError(Errors.N121.format(path=path, problem="no JSON")) from e
    if not _is_names(data):
        raise ValueError(Errors.N121.format(path=path, problem="another layout"))
    return data


def _is_names(data: object) -> bool:
    if not isinstance(data, dict) or not data:
        return False
    groups = [x for x in data.values() if isinstance(x, dict)]
    lists = [x for group in groups for x in group.values()]
    names = [x for members in lists if isinstance(members, list) for x in members]
    right = len(groups) == len(data) and all(isinstance(x, list) and x for x in lists)
    return right and all(isinstance(x, str) and x.strip() == x != "" for x in names)


def _change_normal_form_of_names(swapped: List[Variant]) -> Iterator[Variant]:
    # Most sentences are plain ASCII, where no normal form changes anything: one name of
    # each group that has an accent brings one in.
    seen = set()
    for variant in swapped:
        group = variant.name.rpartition(" ")[0]
        made = [] if group in seen else list(change_normal_form(variant.text))
        for x in made:
            seen.add(group)
            yield Variant(x.kind, f"{x.name}, {variant.name}", x.source, x.edits)


def _variant(kind: str, name: str, text: str, edits: Sequence[Edit]) -> Iterator[Variant]:
    variant = Variant(kind, name, text, tuple(edits))
    if variant.text != text:
        yield variant


def _replacements(text: str, new: Sequence[str]) -> List[Edit]:
    pairs = enumerate(zip(text, new, strict=True))
    return [Edit(i, i + 1, y) for i, (x, y) in pairs if x != y]


def _around(text: str, before: str, behind: str) -> List[Edit]:
    n = len(text)
    return [Edit(i, i, x) for i, x in ((0, before), (n, behind)) if x]


def _typographic(text: str, i: int) -> str:
    if text[i] not in _TYPOGRAPHIC:
        return text[i]
    opens = i == 0 or text[i - 1].isspace() or text[i - 1] in "([{“‘\"'"
    return _TYPOGRAPHIC[text[i]][0 if opens else 1]


def _clusters(text: str, form: Form) -> List[Tuple[int, int]]:
    """RETURNS (List[Tuple[int, int]]): The smallest stretches that normalise alone as
    they do in the whole."""
    borders = [0]
    for i in range(1, len(text)):
        before, x = text[borders[-1] : i], text[i]
        parts = unicodedata.normalize(form, before) + unicodedata.normalize(form, x)
        if not unicodedata.combining(x) and parts == unicodedata.normalize(
            form, before + x
        ):
            borders.append(i)
    return list(zip(borders, [*borders[1:], len(text)], strict=True))
