"""JSON lines of tokens with tags as numbers or names: `{"tokens": [...], "tags": [...]}`.

What a number means is a convention of who published the file. This module holds the
conventions, finds the names where a file beside the data gives them, and refuses tags
that can't be in the convention.
"""

import json
from collections import Counter
from pathlib import Path
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from spacy.language import Language

from ..errors import Errors
from .files import Notes, error_at, note, read_lines, refuse
from .sentences import Annotated, Sentence
from .tags import MIXED_SHARE, STRAY, TagCensus, decode_tags, is_tag


def _pairs(labels: str) -> List[str]:
    """RETURNS (List[str]): O, then B- and I- of each label in turn."""
    return ["O"] + [f"{x}-{label}" for label in labels.split() for x in "BI"]


# Names of the numbers, by corpus and by who published it.
ORDERS: Dict[str, Dict[str, List[str]]] = {
    "ontonotes": {
        "tner": [
            "O",
            "B-CARDINAL",
            "B-DATE",
            "I-DATE",
            "B-PERSON",
            "I-PERSON",
            "B-NORP",
            "B-GPE",
            "I-GPE",
            "B-LAW",
            "I-LAW",
            "B-ORG",
            "I-ORG",
            "B-PERCENT",
            "I-PERCENT",
            "B-ORDINAL",
            "B-MONEY",
            "I-MONEY",
            "B-WORK_OF_ART",
            "I-WORK_OF_ART",
            "B-FAC",
            "B-TIME",
            "I-CARDINAL",
            "B-LOC",
            "B-QUANTITY",
            "I-QUANTITY",
            "I-NORP",
            "I-LOC",
            "B-PRODUCT",
            "I-TIME",
            "B-EVENT",
            "I-EVENT",
            "I-FAC",
            "B-LANGUAGE",
            "I-PRODUCT",
            "I-ORDINAL",
            "I-LANGUAGE",
        ],
        "conll2012": _pairs(
            "PERSON NORP FAC ORG GPE LOC PRODUCT DATE TIME PERCENT MONEY QUANTITY ORDINAL "
            "CARDINAL EVENT WORK_OF_ART LAW LANGUAGE"
        ),
    },
    "multinerd": {
        "babelscape": _pairs(
            "PER ORG LOC ANIM BIO CEL DIS EVE FOOD INST MEDIA MYTH PLANT TIME VEHI"
        ),
        "tner": _pairs(
            "PER LOC ORG ANIM BIO CEL DIS EVE FOOD INST MEDIA PLANT MYTH TIME VEHI SUPER "
            "PHY"
        ),
    },
}
TOKEN_FIELDS = ("tokens", "words")
TAG_FIELDS = ("ner_tags", "tags", "named_entities", "labels")
# One stray I- can be a slip of the annotators; two, in a share of all, are an order.
_LEAST_BREAKS = 2
NAMES_FILES = (
    "label.json",
    "label2id.json",
    "dataset_info.json",
    "dataset_infos.json",
)


class TagRow(NamedTuple):
    """A sentence before its tags have names.

    words (List[str]): Its tokens.
    tags (List[Union[int, str]]): A number or a name for each.
    line (int): Where it is in the file.
    field (str): What the file calls the tags.
    id (Optional[str]), lang (Optional[str]): Its document and language, if named.
    """

    words: List[str]
    tags: List[Union[int, str]]
    line: int
    field: str
    id: Optional[str] = None
    lang: Optional[str] = None

    def names(self, path: Path, order: Optional[Sequence[str]]) -> List[str]:
        """Give the tags their names.

        path (Path): The file, for the error.
        order (Optional[Sequence[str]]): The name of each number.
        RETURNS (List[str]): The tags.
        RAISES (ValueError): A number without a name, or a name that is no tag.
        """
        return [self._name(path, tag, order) for tag in self.tags]

    def _name(
        self, path: Path, tag: Union[int, str], order: Optional[Sequence[str]]
    ) -> str:
        if isinstance(tag, str):
            if not is_tag(tag):
                remedy = "Tags are O, or B-LABEL, I-LABEL and so on."
                refuse(path, self.line, "a tag that is none", remedy)
            return tag
        if order is None or not 0 <= tag < len(order):
            known = f"0 to {len(order) - 1}" if order else "names"
            remedy = (
                f"The tags known here are {known}: check the format and the label order."
            )
            refuse(path, self.line, f"the tag number {tag} is unknown", remedy)
        return order[tag]


def read_rows(path: Path) -> Iterator[TagRow]:
    """Read sentences, flat or inside documents (`{"document_id", "sentences"}`).

    path (Path): A `.jsonl` file, UTF-8, plain or gzipped.
    YIELDS (TagRow): Each sentence.
    RAISES (ValueError): A line that can't be read, with its number.
    """
    for number, line in read_lines(path):
        if line.strip():
            yield from parse_rows(path, number, line)


def parse_rows(path: Path, number: int, line: str) -> Iterator[TagRow]:
    """YIELDS (TagRow): The sentences of one line."""
    remedy = 'Each line is {"tokens", "tags"} or {"document_id", "sentences"}.'
    problem = ""
    try:
        data = json.loads(line)
        sentences = data.get("sentences", [data])
        rows = [_make_row(x, number, data.get("document_id")) for x in sentences]
    except json.JSONDecodeError as e:
        # The cause holds the line: it is not chained.
        problem = f"not JSON (column {e.colno}: {e.msg})"
    except (KeyError, TypeError, AttributeError) as e:
        problem = f"not in the format ({type(e).__name__})"
    except ValueError as e:
        problem = str(e)
    if problem:
        raise error_at(path, number, problem, remedy)
    yield from rows


def tag_field(data: Dict[str, Any]) -> Optional[str]:
    """RETURNS (Optional[str]): The name of the field that holds the tags of a sentence."""
    return next((x for x in TAG_FIELDS if isinstance(data.get(x), list)), None)


def find_names(path: Path) -> Optional[Tuple[str, List[str]]]:
    """Find the names of the tags in a file beside the data, as published with it.

    path (Path): The data.
    RETURNS (Optional[Tuple[str, List[str]]]): Name of the file, and the name of each
        number; `None` where there is no such file.
    RAISES (ValueError): There is one that can't be read.
    """
    for name in NAMES_FILES:
        if (path.parent / name).is_file():
            names = _read_names(path.parent / name)
            if names is not None:
                return name, names
    return None


def survey_rows(
    path: Path, rows: Iterable[TagRow], order: Optional[Sequence[str]]
) -> Counter[str]:
    """Check that all tags have names and fit together: numbers read in the wrong order
    start entities with I-, and all of these publishers write IOB2.

    path (Path): The data, for the errors.
    rows (Iterable[TagRow]): Its sentences.
    order (Optional[Sequence[str]]): The name of each number.
    RETURNS (Counter[str]): Breaks of the scheme that are repaired, by reason.
    RAISES (ValueError): A number without a name, no tag at all, or too many breaks.
    """
    census, numbers = TagCensus(), False
    for row in rows:
        census.add(row.names(path, order), [row.line] * len(row.tags))
        numbers = numbers or any(not isinstance(x, str) for x in row.tags)
    if not census.prefixes:
        raise ValueError(Errors.N071.format(path=path))
    problem = census.problem()
    breaks = census.breaks("IOB2" if numbers else None)
    if numbers and breaks.total() >= max(_LEAST_BREAKS, MIXED_SHARE * census.entities):
        wrong = f"{breaks.total()} of {census.entities} entities begin with an I- tag"
        problem = census.first[STRAY], f"{wrong}, the first of them here"
    if problem is not None:
        remedy = "Check the format and the label order: the numbers mean something else."
        refuse(path, *problem, remedy)
    return breaks


def _make_row(data: Dict[str, Any], line: int, document: Optional[str]) -> TagRow:
    field = tag_field(data)
    tokens = next((data[x] for x in TOKEN_FIELDS if x in data), None)
    if field is None or not isinstance(tokens, list):
        raise KeyError
    tags = data[field]
    if len(tokens) != len(tags):
        raise ValueError(f"{len(tokens)} tokens and {len(tags)} tags")
    if not all(isinstance(x, str) for x in tokens):
        raise TypeError
    if not all(type(x) in (int, str) for x in tags):
        raise TypeError
    if not _is_text(tokens):
        raise ValueError("a token that is empty or half a character (lone surrogate)")
    return TagRow(tokens, tags, line, field, document, data.get("lang"))


def _is_text(tokens: Sequence[str]) -> bool:
    try:
        return all(x.encode("utf8") for x in tokens)
    except UnicodeEncodeError:
        return False


def _read_names(path: Path) -> Optional[List[str]]:
    try:
        data = json.loads(path.read_text(encoding="utf8"))
    except ValueError as e:
        problem = f"not JSON ({type(e).__name__})"
        raise ValueError(Errors.N078.format(path=path, problem=problem)) from None
    found = _find_names(data)
    if found is None or all(isinstance(x, str) and is_tag(x) for x in found):
        return found
    raise ValueError(Errors.N078.format(path=path, problem="a name is no tag"))


def _find_names(data: Any) -> Optional[List[str]]:
    """{"O": 0, "B-PER": 1}, or the first list of "names" that begins with O, however
    deep: dataset_info.json nests it under the features."""
    if not isinstance(data, dict):
        return None
    if data and sorted(x for x in data.values() if type(x) is int) == list(
        range(len(data))
    ):
        return sorted(data, key=lambda name: data[name])
    names = data.get("names")
    if isinstance(names, list) and "O" in names:
        return list(names)
    nested = (_find_names(value) for value in data.values())
    return next((x for x in nested if x is not None), None)


def read_tags(
    path: Union[str, Path], nlp: Language, *, notes: Notes = None
) -> Iterator[Annotated]:
    """Read `{"tokens", "tags"}` whose tags are names, or numbers that a file beside it
    names (label.json, dataset_info.json), as many data sets are published.

    path (Union[str, Path]): The JSON lines, UTF-8.
    nlp (Language): Its vocabulary is used; tokens are taken as they are.
    notes (Optional[Counter[str]]): What is dropped or repaired is added, by reason.
    YIELDS (Tuple[Doc, List[Entity]]): Each sentence, and an empty list: no entity is cut.
    RAISES (ValueError): A line that can't be read, with its number, or no sentence.
    """
    path = Path(path)
    found = find_names(path)
    order = found and found[1]
    for reason, count in survey_rows(path, read_rows(path), order).items():
        note(notes, reason, count)
    for row in read_rows(path):
        spans = decode_tags(row.names(path, order))
        yield Sentence(row.words, spans, row.id, row.lang).to_doc(nlp), []
