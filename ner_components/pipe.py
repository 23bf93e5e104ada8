"""What every engine's component shares: the stream, annotation, scoring, saved state."""

import json
import logging
import re
from collections import Counter
from pathlib import Path
from threading import Lock
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import srsly
from spacy import util
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from .entities import (
    ALIGNMENT_MODES,
    OVERLAPS,
    PRESET_ENTS,
    Candidate,
    Resolution,
    Rules,
    annotate,
    resolve,
)
from .errors import Errors
from .schema import EntitySchema, LabelConfig, load_schema

logger = logging.getLogger("ner_components")

STATE_FORMAT = 1
# A buffer is cut at this many tokens too, so that long documents don't fill the memory.
MAX_BUFFER_TOKENS = 32768


class NerStats:
    """What a pipe has seen since it was made, in this process; safe to share by threads.

    documents (int): Documents annotated.
    candidates (int): Candidates of the engine.
    entities (int), nested (int): Candidates kept.
    rejections (Dict[str, int]): Candidates rejected, by reason.
    failures (int): Documents given to the error handler.
    capped (int): Spans that an engine scored high enough and did not propose, because
        it proposes so many at most. Not counted among the candidates.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self.documents = 0
        self.failures = 0
        self.capped = 0

    def add(self, resolution: Resolution) -> None:
        with self._lock:
            self.documents += 1
            self._counts.update(resolution.counts)

    def add_failure(self) -> None:
        with self._lock:
            self.failures += 1

    def add_capped(self, count: int) -> None:
        with self._lock:
            self.capped += count

    @property
    def candidates(self) -> int:
        return sum(self._snapshot().values())

    @property
    def entities(self) -> int:
        return self._snapshot()["entity"]

    @property
    def nested(self) -> int:
        return self._snapshot()["nested"]

    @property
    def rejections(self) -> Dict[str, int]:
        counts = self._snapshot()
        return {k: v for k, v in counts.items() if k not in ("entity", "nested")}

    def _snapshot(self) -> "Counter[str]":
        with self._lock:
            return Counter(self._counts)

    def to_dict(self) -> Dict[str, Any]:
        names = ("documents", "candidates", "entities", "nested", "rejections")
        counts = {name: getattr(self, name) for name in names}
        return {**counts, "failures": self.failures, "capped": self.capped}

    def __repr__(self) -> str:
        return f"NerStats({self.to_dict()})"

    def __getstate__(self) -> Dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = Lock()


class NerPipe(TrainablePipe):
    """Base of the engines' components. An engine adds `predict` and its own state.

    vocab (Vocab): The shared vocabulary.
    model (Any): The engine's model: thinc's, where it has weights.
    name (str): The component's name.
    labels (Optional[List[Union[str, Dict[str, Any]]]]): Label names or mappings.
    schema (Optional[str]): Path of a JSON schema file, instead of `labels`.
    threshold, alignment_mode, overlap, preset_ents, spans_key, max_rejections: see
        `ner_components.entities.Rules`.
    buffer_size (int): Most documents read ahead of the consumer.
    scorer (Optional[Callable]): The scoring method.
    RAISES (ValueError): A setting is out of range; the message names it.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Any,
        name: str,
        *,
        labels: Optional[List[LabelConfig]],
        schema: Optional[str],
        threshold: float,
        alignment_mode: str,
        overlap: str,
        preset_ents: str,
        spans_key: Optional[str],
        max_rejections: int,
        buffer_size: int,
        scorer: Optional[Callable],
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.stats = NerStats()
        # The pipeline's, where the source of the weights is named.
        self.meta: Dict[str, Any] = {}
        self.cfg: Dict[str, Any] = {
            "labels": labels,
            "schema": schema,
            "threshold": threshold,
            "alignment_mode": alignment_mode,
            "overlap": overlap,
            "preset_ents": preset_ents,
            "spans_key": spans_key,
            "max_rejections": max_rejections,
            "buffer_size": buffer_size,
        }
        self._check_settings()
        # A schema file is read when it is needed: a package carries the schema itself.
        self._schema = load_schema(labels, None) if schema is None else None
        if labels is not None and schema is not None:
            raise ValueError(Errors.N008)

    # The stream

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one document in place.

        doc (Doc): The document.
        RETURNS (Doc): The same document.
        """
        for annotated in self._annotate([doc]):
            return annotated
        # As spaCy's own pipes do where the error handler did not raise.
        return None  # type: ignore[return-value]

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream. Documents are read ahead up to the setting `buffer_size`,
        whatever the caller's `batch_size`, so that the engine can sort them by length.

        stream (Iterable[Doc]): The documents.
        batch_size (int): Not used; `buffer_size` is.
        YIELDS (Doc): The same documents, in order, less those that failed.
        """
        for docs in self._buffers(stream):
            yield from self._annotate(docs)

    def set_annotations(
        self, docs: Iterable[Doc], candidates: Iterable[List[Candidate]]
    ) -> None:
        """Write candidates into their documents: `doc.ents` and the group.

        docs (Iterable[Doc]): The documents, modified in place.
        candidates (Iterable[List[Candidate]]): What `predict` returned for them.
        """
        rules = self.rules
        for doc, proposed in zip(docs, candidates, strict=True):
            resolution = resolve(doc, proposed, self.schema, rules)
            annotate(doc, resolution, rules, name=self.name)
            self.stats.add(resolution)

    def _buffers(self, stream: Iterable[Doc]) -> Iterator[List[Doc]]:
        docs: List[Doc] = []
        tokens = 0
        for doc in stream:
            docs.append(doc)
            tokens += len(doc)
            if len(docs) >= self.cfg["buffer_size"] or tokens >= MAX_BUFFER_TOKENS:
                yield docs
                docs, tokens = [], 0
        if docs:
            yield docs

    def _annotate(self, docs: List[Doc]) -> Iterator[Doc]:
        try:
            candidates = self.predict(docs)
        except Exception as e:
            if len(docs) == 1:
                self._fail(docs[0], e)
                return
            # One bad document must not take its neighbours with it, nor their batch.
            half = len(docs) // 2
            yield from self._annotate(docs[:half])
            yield from self._annotate(docs[half:])
            return
        for doc, proposed in zip(docs, candidates, strict=True):
            try:
                self.set_annotations([doc], [proposed])
            except Exception as e:
                self._fail(doc, e)
            else:
                yield doc

    def _fail(self, doc: Doc, error: Exception) -> None:
        self.stats.add_failure()
        # With n_process the handler runs in the worker: this line is what is seen.
        logger.warning(
            "%s: a document of %d tokens failed (%s)",
            self.name,
            len(doc),
            type(error).__name__,
        )
        if isinstance(error, KeyError):
            # spaCy reports a KeyError as "did you forget to initialize".
            # The key could be text of the document, so only the traceback is kept.
            wrapped = RuntimeError(f"{self.name}: internal KeyError")
            wrapped.__suppress_context__ = True
            error = wrapped.with_traceback(error.__traceback__)
        self.get_error_handler()(self.name, self, [doc], error)

    # Labels and settings

    @property
    def rules(self) -> Rules:
        """RETURNS (Rules): The settings as they are now (`cfg` can be changed)."""
        return Rules(**{key: self.cfg[key] for key in Rules.__dataclass_fields__})

    @property
    def schema(self) -> EntitySchema:
        """RETURNS (EntitySchema): The labels that may come out.
        RAISES (ValueError): The pipe has none yet.
        """
        if self._schema is None:
            self._schema = load_schema(self.cfg["labels"], self.cfg["schema"])
        if self._schema is None:
            raise ValueError(Errors.N030.format(name=self.name))
        return self._schema

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The label names, empty before there are any."""
        if self._schema is None and self.cfg["labels"] is None:
            # A package names the schema file it was trained with and carries the schema:
            # spaCy asks for the labels before that is restored, where no such file is.
            path = self.cfg["schema"]
            if path is None or not Path(path).is_file():
                return ()
        return self.schema.names

    @property
    def _has_labels(self) -> bool:
        return self._schema is not None or bool(self.cfg["labels"] or self.cfg["schema"])

    @property
    def label_data(self) -> List[str]:
        """RETURNS (List[str]): What `initialize(labels=...)` takes."""
        return list(self.labels)

    def add_label(self, label: str) -> int:
        """Add a label: it counts from the next document on. An engine whose labels are
        fixed once it is trained has a method of its own.

        label (str): The label.
        RETURNS (int): 1 if it was added, 0 if it was there.
        """
        if label in self.labels:
            return 0
        if self.labels:
            self._schema = self.schema.with_label(label)
        else:
            self._schema = EntitySchema.from_labels([label], where="add_label")
        return 1

    def _check_known(self, labels: Iterable[str]) -> None:
        """RAISES (ValueError): The schema lacks one of the data's labels."""
        for label in labels:
            if self.schema.resolve(label) is None:
                known = ", ".join(self.labels)
                raise ValueError(
                    Errors.N035.format(label=label, name=self.name, known=known)
                )

    @property
    def can_err(self) -> bool:
        """RETURNS (bool): Whether the engine can make schema errors at all."""
        return True

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score predictions with the pipe's scorer.

        examples (Iterable[Example]): Predictions and references.
        RETURNS (Dict[str, Any]): The scores.
        """
        return super().score(examples, can_err=self.can_err, **kwargs)

    @property
    def can_calibrate(self) -> bool:
        """RETURNS (bool): Whether the engine's scores can be fitted to annotation."""
        return False

    def calibrate(self, examples: Sequence[Example]) -> Dict[str, float]:
        """Fit the scores to annotation, so that a score is the chance of being right. An
        engine that can do so says how.

        examples (Sequence[Example]): Held-out documents with gold entities, as the pipe
            gets them.
        RETURNS (Dict[str, float]): What was fitted, by name. The pipe's state keeps it.
        RAISES (ValueError): The engine can't.
        """
        raise ValueError(Errors.N147.format(name=self.name))

    def _check_settings(self) -> None:
        allowed: Dict[str, Tuple[str, ...]] = {
            "alignment_mode": ALIGNMENT_MODES,
            "overlap": OVERLAPS,
            "preset_ents": PRESET_ENTS,
        }
        for setting, values in allowed.items():
            if self.cfg[setting] not in values:
                self._refuse(setting, ", ".join(f'"{x}"' for x in values))
        if not 0.0 <= self.cfg["threshold"] <= 1.0:
            self._refuse("threshold", "a number from 0.0 to 1.0")
        if self.cfg["buffer_size"] < 1:
            self._refuse("buffer_size", "a whole number of at least 1")
        if self.cfg["max_rejections"] < 0:
            self._refuse("max_rejections", "a whole number of at least 0")

    def _refuse(self, setting: str, allowed: str) -> None:
        raise ValueError(
            Errors.N020.format(
                name=self.name, setting=setting, value=self.cfg[setting], allowed=allowed
            )
        )

    # Saved state: labels, schema, weights, calibration. Settings live in the config.

    def get_state(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): JSON-serialisable state beside the weights."""
        # Asking for the labels reads a schema file that was not needed before.
        schema = self.schema if self.labels else None
        return {
            "format": STATE_FORMAT,
            "schema": None if schema is None else schema.to_dict(),
            "config": {"labels": self.cfg["labels"], "schema": self.cfg["schema"]},
        }

    def set_state(self, state: Dict[str, Any]) -> None:
        """Restore what `get_state` made. Where the config's labels are no longer those
        that were saved, the user has overridden them: see `override_labels`.

        state (Dict[str, Any]): The saved state.
        RAISES (ValueError): It has another format, or the labels can't be overridden.
        """
        if state.get("format") != STATE_FORMAT:
            found = state.get("format")
            raise ValueError(
                Errors.N037.format(name=self.name, found=found, expected=STATE_FORMAT)
            )
        saved = state["schema"]
        self._schema = None if saved is None else EntitySchema.from_dict(saved)
        config = {"labels": self.cfg["labels"], "schema": self.cfg["schema"]}
        if _unescape(config) != _unescape(state["config"]):
            wanted = load_schema(config["labels"], config["schema"])
            if wanted is not None and wanted != self._schema:
                self.override_labels(wanted)

    def override_labels(self, schema: EntitySchema) -> None:
        """Take over labels given at load time. An engine that can't raises here."""
        self._schema = schema

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialise the pipe.

        exclude (Iterable[str]): Parts to leave out: "vocab", "state", "model".
        RETURNS (bytes): The serialised pipe.
        """
        self._validate_serialization_attrs()
        serialize = {
            "state": lambda: srsly.json_dumps(self.get_state()),
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "model": lambda: self.model.to_bytes(),
        }
        return util.to_bytes(serialize, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "NerPipe":
        """Load the pipe in place.

        bytes_data (bytes): What `to_bytes` returned.
        exclude (Iterable[str]): Parts to leave out.
        RETURNS (NerPipe): This pipe.
        """
        self._validate_serialization_attrs()
        deserialize = {
            "vocab": lambda b: self.vocab.from_bytes(b, exclude=exclude),
            "model": lambda b: self._load_model(b),
            "state": lambda b: self.set_state(srsly.json_loads(b)),
        }
        util.from_bytes(bytes_data, deserialize, exclude)
        return self

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        """Save the pipe to a folder.

        path (Union[str, Path]): The folder, made if it is not there.
        exclude (Iterable[str]): Parts to leave out: "vocab", "state", "model".
        """
        self._validate_serialization_attrs()
        serialize = {
            "state.json": lambda p: srsly.write_json(p, self.get_state()),
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
            "model": lambda p: p.write_bytes(self.model.to_bytes()),
        }
        util.to_disk(path, serialize, exclude)

    def from_disk(
        self, path: Union[str, Path], *, exclude: Iterable[str] = ()
    ) -> "NerPipe":
        """Load the pipe in place from a folder.

        path (Union[str, Path]): The folder.
        exclude (Iterable[str]): Parts to leave out.
        RETURNS (NerPipe): This pipe.
        """
        self._validate_serialization_attrs()
        deserialize: Dict[str, Callable[[Path], Any]] = {
            "vocab": lambda p: self.vocab.from_disk(p, exclude=exclude),
            "model": lambda p: self._load_model(p.read_bytes()),
            "state.json": lambda p: self.set_state(srsly.read_json(p)),
        }
        util.from_disk(path, deserialize, exclude)
        return self

    def _load_model(self, bytes_data: bytes) -> None:
        # thinc saves a model's settings beside its weights and restores them, but
        # settings are the config's: `spacy.load` can override the window.
        node = self._shim_node
        settings = {} if node is None else dict(node.attrs)
        self.model.from_bytes(bytes_data)
        if node is not None:
            node.attrs.update(settings)

    # Models that bring their own weights

    @property
    def _shim(self) -> Any:
        """RETURNS (Any): The shim that holds pretrained weights, `None` without one."""
        node = self._shim_node
        return None if node is None else node.shims[0]

    @property
    def _shim_node(self) -> Optional[Model]:
        for node in self.model.walk():
            if node.shims and hasattr(node.shims[0], "pretrained"):
                return node
        return None

    def _record_source(self) -> None:
        if self._shim is not None:
            # spaCy's own meta has a null there.
            sources = self.meta.get("sources") or []
            if self._shim.source not in sources:
                self.meta["sources"] = [*sources, self._shim.source]


def _unescape(config: Dict[str, Any]) -> str:
    # thinc doubles every "$" of a list when a config is written, and leaves it so when it
    # is read: after two rounds "$5" is "$$$$5".
    return re.sub(r"\$+", "$", json.dumps(config, sort_keys=True, default=str))
