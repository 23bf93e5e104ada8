"""One schema's labels onto another's, with every loss named.

A mapping is a JSON file: `{"source": "ontonotes", "target": "conll2003", "labels":
{"PERSON": "PER", "DATE": null}, "lossy": {"NORP": "why"}}`. `null` says that a label lies
outside of the target on purpose: its entities are dropped and counted. A label that the
file doesn't have is unmapped: its entities stay as they are, so that a gold label no
system can find, or a prediction that is wrong, is scored as such. Entities side by side
are never merged, and no boundary is moved.
"""

import json
from collections import Counter
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from spacy.tokens import Doc, Span, SpanGroup

from ..errors import Errors

_FOLDER = "mappings"


class LabelMapping(BaseModel):
    """A mapping from one schema's labels to another's.

    source (str): Name of the schema that the labels come from.
    target (str): Name of the schema that they go to.
    labels (Dict[str, Optional[str]]): The target's label for each of the source's, `None`
        for a label that lies outside of the target.
    lossy (Dict[str, str]): What gets lost or doesn't compare, by label of the source; "*"
        for what concerns them all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: str = Field(min_length=1)
    target: str = Field(min_length=1)
    labels: Dict[str, Optional[str]] = Field(min_length=1)
    lossy: Dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "LabelMapping":
        for label, target in self.labels.items():
            if not label.strip() or (target is not None and not target.strip()):
                raise ValueError(f"labels: {label!r} or its target is empty")
        for label, reason in self.lossy.items():
            if label != "*" and label not in self.labels:
                raise ValueError(f"lossy: {label!r} is not in labels")
            if not reason.strip():
                raise ValueError(f"lossy: the reason for {label!r} is empty")
        return self

    @classmethod
    def from_file(cls, path: Union[str, Path]) -> "LabelMapping":
        """Read a mapping.

        path (Union[str, Path]): A JSON file.
        RETURNS (LabelMapping): The mapping.
        RAISES (ValueError): The file can't be read, isn't JSON, has a label twice, or
            isn't a valid mapping.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
            data = json.loads(text, object_pairs_hook=_no_duplicates)
            return cls.model_validate(data)
        except ValidationError as e:
            problem = _first_problem(e)
        except json.JSONDecodeError as e:
            problem = f"not JSON (line {e.lineno}, column {e.colno}: {e.msg})"
        except UnicodeDecodeError:
            problem = "not UTF-8"
        except OSError as e:
            problem = e.strerror or type(e).__name__
        except ValueError as e:
            problem = str(e)
        raise ValueError(Errors.N110.format(path=path, problem=problem))

    @classmethod
    def from_name(cls, name: str) -> "LabelMapping":
        """Read one of the mappings that come with the package.

        name (str): Such as "ontonotes-conll2003"; `shipped_mappings()` lists them.
        RETURNS (LabelMapping): The mapping.
        RAISES (ValueError): There is none of that name.
        """
        known = shipped_mappings()
        if name not in known:
            raise ValueError(Errors.N111.format(name=name, known=", ".join(known)))
        with resources.as_file(_folder() / f"{name}.json") as path:
            return cls.from_file(path)

    @classmethod
    def load(cls, name_or_path: Union[str, Path]) -> "LabelMapping":
        """Read a mapping that comes with the package, by name, or your own, by path.

        name_or_path (Union[str, Path]): Such as "ontonotes-conll2003", or a JSON file.
        RETURNS (LabelMapping): The mapping.
        RAISES (ValueError): As `from_file` and `from_name`.
        """
        if Path(name_or_path).suffix == ".json":
            return cls.from_file(name_or_path)
        return cls.from_name(str(name_or_path))

    def map(self, label: str) -> Optional[str]:
        """Map one label.

        label (str): A label of the source.
        RETURNS (Optional[str]): The target's label; `None` where it lies outside of the
            target; the label itself where the mapping doesn't have it.
        """
        return self.labels.get(label, label)

    def apply(self, doc: Doc, notes: "Optional[Counter[str]]" = None) -> Doc:
        """Map the entities of a document, in place.

        doc (Doc): The document, modified in place: `doc.ents` and the labelled spans of
            `doc.spans`. Tokens without annotation stay without.
        notes (Optional[Counter[str]]): Gets "outside: LABEL" for each entity that is
            dropped, "unmapped: LABEL" for each that stays because the mapping doesn't
            have its label, and "lossy: LABEL" for each of a label named in `lossy`.
        RETURNS (Doc): The same document.
        """
        counts: Counter[str] = Counter() if notes is None else notes
        missing = [doc[t.i : t.i + 1] for t in doc if t.ent_iob == 0]
        doc.set_ents(self._map_spans(doc.ents, counts), missing=missing)
        for key, group in list(doc.spans.items()):
            spans = self._map_spans(group, counts)
            doc.spans[key] = SpanGroup(doc, name=key, spans=spans, attrs=group.attrs)
        return doc

    def _map_spans(self, spans: Iterable[Span], counts: "Counter[str]") -> List[Span]:
        mapped: List[Span] = []
        for span in spans:
            label = self.map(span.label_)
            if span.label_ and span.label_ not in self.labels:
                counts[f"unmapped: {span.label_}"] += 1
            elif label is None:
                counts[f"outside: {span.label_}"] += 1
            elif span.label_ in self.lossy:
                counts[f"lossy: {span.label_}"] += 1
            if label is not None:
                new = Span(
                    span.doc,
                    span.start,
                    span.end,
                    label=label,
                    kb_id=span.kb_id,
                    span_id=span.id,
                )
                mapped.append(new)
        return mapped


def shipped_mappings() -> List[str]:
    """RETURNS (List[str]): Names of the mappings that come with the package."""
    names = (item.name for item in _folder().iterdir())
    return sorted(name[: -len(".json")] for name in names if name.endswith(".json"))


def _folder() -> Traversable:
    return resources.files(__package__) / _FOLDER


def _no_duplicates(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    # JSON keeps the last of two equal keys without a word: the first would be lost.
    seen: Dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} is given twice")
        seen[key] = value
    return seen


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(x) for x in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
