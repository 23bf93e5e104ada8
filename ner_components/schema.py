"""The schema: which labels may come out, and everything that is known about each."""

import json
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import Errors

LabelConfig = Union[str, Dict[str, Any]]


class Label(BaseModel):
    """One label of a schema.

    name (str): The label as it comes out in `ent.label_`.
    description (str): What it means, in words for annotators and zero-shot engines.
    aliases (Tuple[str, ...]): Other words that engines use for it.
    threshold (Optional[float]): Least score an entity of it needs, 0 to 1; `None` for
        the pipe's own threshold.
    must (Tuple[str, ...]): Sentences with one marked entity ("I met [[Ann|PERSON]].").
    must_not (Tuple[str, ...]): Sentences that have no entity of this label.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = ""
    aliases: Tuple[str, ...] = ()
    threshold: Optional[float] = Field(default=None, ge=0.0, le=1.0)
    must: Tuple[str, ...] = ()
    must_not: Tuple[str, ...] = ()


class EntitySchema:
    """An ordered set of labels, and the one way from an engine's word to a label.

    labels (Iterable[Label]): The labels.
    version (str): Version of the schema, for people.
    where (str): What to call the source in error messages.
    RAISES (ValueError): No label, an empty or duplicate name, or an alias that two
        labels claim.
    """

    def __init__(
        self, labels: Iterable[Label], *, version: str = "", where: str = "labels"
    ) -> None:
        self.version = version
        self._labels: Dict[str, Label] = {}
        self._exact: Dict[str, str] = {}
        self._folded: Dict[str, Optional[str]] = {}
        for label in labels:
            self._add(label, where)
        for label in self._labels.values():
            self._add_aliases(label, where)
        if not self._labels:
            raise ValueError(Errors.N001.format(where=where))

    @classmethod
    def from_labels(
        cls, labels: Sequence[LabelConfig], *, version: str = "", where: str = "labels"
    ) -> "EntitySchema":
        """Make a schema from config values.

        labels (Sequence[Union[str, Dict[str, Any]]]): Names, or mappings with the fields
            of `Label`.
        where (str): What to call the source in error messages.
        RETURNS (EntitySchema): The schema.
        RAISES (ValueError): As the constructor, and for a field that is unknown or of
            the wrong type or range.
        """
        if isinstance(labels, (str, dict)) or not isinstance(labels, Iterable):
            problem = f"labels must be a list, not {type(labels).__name__}"
            raise ValueError(Errors.N002.format(where=where, problem=problem))
        made = [_make_label(item, i, where) for i, item in enumerate(labels)]
        return cls(made, version=version, where=where)

    @classmethod
    def from_file(cls, path: Union[str, Path]) -> "EntitySchema":
        """Read a schema from a JSON file: `{"version": ..., "labels": [...]}` or a list.

        path (Union[str, Path]): The file.
        RETURNS (EntitySchema): The schema.
        RAISES (ValueError): The file can't be read, isn't JSON, or isn't a valid schema.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf8"))
        except (OSError, UnicodeDecodeError) as e:
            raise ValueError(Errors.N007.format(path=path, problem=_reason(e))) from e
        except json.JSONDecodeError as e:
            problem = f"line {e.lineno}, column {e.colno}: {e.msg}"
            raise ValueError(Errors.N007.format(path=path, problem=problem)) from e
        if isinstance(data, list):
            data = {"labels": data}
        if not isinstance(data, dict) or not isinstance(data.get("labels"), list):
            raise ValueError(Errors.N007.format(path=path, problem='no list "labels"'))
        return cls.from_labels(
            data["labels"], version=str(data.get("version", "")), where=str(path)
        )

    @classmethod
    def from_dict(cls, data: Dict[str, Any]) -> "EntitySchema":
        """Restore what `to_dict` made."""
        return cls.from_labels(data["labels"], version=data.get("version", ""))

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): JSON-serialisable copy, defaults left out."""
        labels = [x.model_dump(mode="json", exclude_defaults=True) for x in self]
        return {"version": self.version, "labels": labels}

    @property
    def names(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The label names, in order."""
        return tuple(self._labels)

    def resolve(self, label: str) -> Optional[str]:
        """Find the schema's label for an engine's word.

        An exact name or alias wins; else one that differs in case or surrounding white
        space only, where exactly one label has it.

        label (str): Label name, alias, or anything an engine answered.
        RETURNS (Optional[str]): The label's name, or `None` for an unknown label.
        """
        found = self._exact.get(label)
        return found if found is not None else self._folded.get(_fold(label))

    def threshold(self, label: Optional[str], default: float) -> float:
        """RETURNS (float): The label's own threshold, or the default where it has none."""
        own = self._labels[label].threshold if label in self._labels else None
        return default if own is None else own

    def with_label(self, name: str) -> "EntitySchema":
        """RETURNS (EntitySchema): A copy with one more label at the end."""
        label = _make_label(name, len(self), "add_label")
        return EntitySchema([*self, label], version=self.version, where="add_label")

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels.values())

    def __getitem__(self, name: str) -> Label:
        return self._labels[name]

    def __contains__(self, name: object) -> bool:
        return name in self._labels

    def __len__(self) -> int:
        return len(self._labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EntitySchema) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        return f"EntitySchema({list(self.names)})"

    def _add(self, label: Label, where: str) -> None:
        if not label.name or label.name != label.name.strip():
            raise ValueError(Errors.N003.format(where=where, name=label.name))
        if label.name in self._labels:
            raise ValueError(Errors.N004.format(where=where, name=label.name))
        self._labels[label.name] = label
        self._exact[label.name] = label.name
        self._add_folded(label.name, label.name)

    def _add_aliases(self, label: Label, where: str) -> None:
        for alias in label.aliases:
            if not alias.strip():
                raise ValueError(Errors.N006.format(where=where, name=label.name))
            first = self._exact.setdefault(alias, label.name)
            if first != label.name:
                raise ValueError(
                    Errors.N005.format(
                        where=where, alias=alias, first=first, second=label.name
                    )
                )
            self._add_folded(alias, label.name)

    def _add_folded(self, word: str, name: str) -> None:
        # None marks a word that two labels share but for case: no guess is made there.
        folded = _fold(word)
        if self._folded.setdefault(folded, name) != name:
            self._folded[folded] = None


def _fold(word: str) -> str:
    return word.strip().casefold()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _make_label(item: LabelConfig, i: int, where: str) -> Label:
    if isinstance(item, str):
        return Label(name=item)
    try:
        return Label.model_validate(item)
    except ValidationError as e:
        first = e.errors()[0]
        field = ".".join(str(x) for x in first["loc"])
        problem = f"label {i + 1}, {field or 'the item'}: {first['msg']}"
        raise ValueError(Errors.N002.format(where=where, problem=problem)) from e


def load_schema(
    labels: Optional[List[LabelConfig]], schema: Optional[str]
) -> Optional[EntitySchema]:
    """Make the schema that a pipe's `labels` or `schema` setting describes.

    labels (Optional[List[Union[str, Dict[str, Any]]]]): The setting `labels`.
    schema (Optional[str]): The setting `schema`, path of a JSON file.
    RETURNS (Optional[EntitySchema]): The schema, or `None` where neither is set.
    RAISES (ValueError): Both are set, or what is set is not valid.
    """
    if labels is not None and schema is not None:
        raise ValueError(Errors.N008)
    if schema is not None:
        return EntitySchema.from_file(schema)
    if labels is not None:
        return EntitySchema.from_labels(labels)
    return None
