"""`ner_llm`: entities of any labels, asked from an LLM and proved, in the `ner` slot."""

import base64
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Union

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Config

from ..entities import DEFAULT_SPANS_KEY, Candidate
from ..errors import Errors, Warnings
from ..evaluation.scorer import ner_score
from ..pipe import NerPipe, logger
from ..schema import EntitySchema, LabelConfig
from .adapters import adapt_model, adapt_task
from .driver import Driver, Talk
from .protocol import Conversation, Usage

# spacy-llm makes these registries when it is imported, if they aren't there. They are made
# here too, so that without it the message is about the extra that is missing.
for _registry in ("llm_tasks", "llm_models"):
    if _registry not in registry.get_registry_names():
        registry.create(_registry, entry_points=True)

DEFAULT_CONFIG = """
[task]
@llm_tasks = "ner_components.NER.v1"

[model]
@llm_models = "ner_components.OpenAICompatible.v1"
"""

DEFAULT_BLOCKS = Config().from_str(DEFAULT_CONFIG)

# Where a document says what its requests took.
USAGE_KEY = "ner_llm_usage"
# Documents read ahead for each request in flight.
AHEAD = 2


@Language.factory(
    "ner_llm",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config={
        "task": DEFAULT_BLOCKS["task"],
        "model": DEFAULT_BLOCKS["model"],
        "labels": None,
        "schema": None,
        "threshold": 0.0,
        "concurrency": None,
        "alignment_mode": "strict",
        "overlap": "score",
        "preset_ents": "keep",
        "spans_key": DEFAULT_SPANS_KEY,
        "max_rejections": 100,
        "buffer_size": 512,
        "scorer": {"@scorers": "ner_components.ner_scorer.v1"},
    },
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_macro_f": 0.0,
        "ents_per_type": None,
        "ner_schema_error_rate": None,
    },
)
def make_ner_llm(
    nlp: Language,
    name: str,
    task: Any,
    model: Any,
    labels: Optional[List[LabelConfig]],
    schema: Optional[str],
    threshold: float,
    concurrency: Optional[int],
    alignment_mode: str,
    overlap: str,
    preset_ents: str,
    spans_key: Optional[str],
    max_rejections: int,
    buffer_size: int,
    scorer: Optional[Callable],
) -> "NerLLM":
    """Make the component; see `NerLLM`."""
    return NerLLM(
        nlp.vocab,
        model,
        name,
        task=task,
        labels=labels,
        schema=schema,
        threshold=threshold,
        concurrency=concurrency,
        alignment_mode=alignment_mode,
        overlap=overlap,
        preset_ents=preset_ents,
        spans_key=spans_key,
        max_rejections=max_rejections,
        buffer_size=buffer_size,
        scorer=scorer,
    )


class Meter:
    """Adds up usage; safe to share by threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.usage = Usage()

    def add(self, usage: Usage) -> None:
        """Add the usage of an answer."""
        with self._lock:
            self.usage = self.usage.plus(usage)

    def __getstate__(self) -> Dict[str, Any]:
        return {"usage": self.usage}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())


class NerLLM(NerPipe):
    """Named entity recognition by an LLM, every span of which is proved.

    Documents are asked about side by side, in an ordered window over the stream, and go
    out as soon as they and all before them are done. `doc.user_data["ner_llm_usage"]` says
    what a document's requests took, and `usage` what all of this process took.

    vocab (Vocab): The shared vocabulary.
    model (SubmittingModel): Whom to ask; or a model of spacy-llm's kind.
    name (str): The component's name.
    task (ConversingTask): What to ask, and what to make of the answers; or a task of
        spacy-llm's kind, whose entities are taken from a copy of the document.
    concurrency (Optional[int]): Requests in flight for a model of spacy-llm's kind, asked
        from as many threads; `None` for 1. Our model has a setting of its own.
    buffer_size (int): Most documents read ahead. More than twice the requests in flight
        never are.
    labels, schema, threshold, alignment_mode, overlap, preset_ents, spans_key,
        max_rejections, scorer: see `ner_components.pipe.NerPipe`.
    RAISES (ValueError): A setting is out of range, or task or model are of no known kind.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Any,
        name: str = "ner",
        *,
        task: Any,
        labels: Optional[List[LabelConfig]] = None,
        schema: Optional[str] = None,
        threshold: float = 0.0,
        concurrency: Optional[int] = None,
        alignment_mode: str = "strict",
        overlap: str = "score",
        preset_ents: str = "keep",
        spans_key: Optional[str] = DEFAULT_SPANS_KEY,
        max_rejections: int = 100,
        buffer_size: int = 512,
        scorer: Optional[Callable] = ner_score,
    ) -> None:
        if concurrency is not None and concurrency < 1:
            raise ValueError(Errors.N179.format(name=name, value=concurrency))
        super().__init__(
            vocab,
            adapt_model(model, concurrency, name),
            name,
            labels=labels,
            schema=schema,
            threshold=threshold,
            alignment_mode=alignment_mode,
            overlap=overlap,
            preset_ents=preset_ents,
            spans_key=spans_key,
            max_rejections=max_rejections,
            buffer_size=buffer_size,
            scorer=scorer,
        )
        self.cfg["concurrency"] = concurrency
        self.task = adapt_task(task, name)
        self._bound: Optional[EntitySchema] = None
        self._meter = Meter()
        self._use_labels_of_task()

    # The stream

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream. Ending it early cancels the requests in flight.

        stream (Iterable[Doc]): The documents, read ahead no further than needed.
        batch_size (int): Not used; the model's `concurrency` is.
        YIELDS (Doc): The same documents in order, each as soon as it and all before it
            are done, less those that failed.
        RAISES (BudgetReached): A limit of the run is reached, and every document that
            could be finished is out. Those begun and not finished are not given out.
        """
        return self._annotate(stream)

    def _annotate(self, docs: Iterable[Doc]) -> Iterator[Doc]:
        driver = self._make_driver()
        try:
            for talk in driver.run(docs):
                if self._write(talk):
                    yield talk.doc
        finally:
            if driver.dropped:
                logger.warning(Warnings.W156.format(name=self.name, count=driver.dropped))

    def _write(self, talk: Talk) -> bool:
        if talk.error is not None:
            self._fail(talk.doc, talk.error)
            return False
        try:
            self.set_annotations([talk.doc], [talk.candidates or []])
            if talk.asked:
                talk.doc.user_data[USAGE_KEY] = self._describe(talk)
        except Exception as e:
            self._fail(talk.doc, e)
            return False
        return True

    def _describe(self, talk: Talk) -> Dict[str, Any]:
        added = [x for x in talk.candidates or [] if x.via and "second_pass" in x.via]
        counts = {"prompts": talk.asked, "second_pass": len(added)}
        return {**talk.usage._asdict(), **counts}

    def predict(self, docs: Iterable[Doc]) -> List[List[Candidate]]:
        """Find the entities of documents, changing nothing.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[List[Candidate]]): Candidates of each document.
        RAISES (Exception): The first document that fails, with its own error.
        """
        found = []
        for talk in self._make_driver().run(docs):
            if talk.error is not None:
                raise talk.error
            found.append(talk.candidates or [])
        return found

    def converse(self, doc: Doc) -> Conversation:
        """Begin the conversation about a document.

        doc (Doc): The document.
        RETURNS (Conversation): Its prompts, see `ner_components.llm.protocol`.
        RAISES (ValueError): The pipe has no labels.
        """
        self._bind()
        return self.task.converse(doc)

    def _make_driver(self) -> Driver:
        most = min(self.cfg["buffer_size"], AHEAD * self.model.concurrency)
        return Driver(self.model, self.converse, ahead=most, spend=self._meter.add)

    def _bind(self) -> None:
        schema = self.schema
        if self._bound is schema:
            return
        if hasattr(self.task, "bind"):
            # Our model has all its settings in one place, others as attributes.
            settings = getattr(self.model, "settings", None) or {}
            most = settings.get("max_tokens", getattr(self.model, "max_tokens", None))
            context = getattr(self.model, "context_length", None)
            self.task.bind(schema, context_length=context, max_tokens=most)
        self._bound = schema

    # Usage

    @property
    def usage(self) -> Usage:
        """RETURNS (Usage): What the answers of this process took, since the pipe was made
        or `reset_usage` called."""
        return self._meter.usage

    def reset_usage(self) -> None:
        """Count from nothing again."""
        self._meter = Meter()

    # Labels and life cycle

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[List[str]] = None,
    ) -> None:
        """Check labels, task and model, without asking anything.

        get_examples (Callable[[], Iterable[Example]]): Returns annotated examples, if
            there are any; labels come from them where neither the config nor `labels` has
            any, and few-shot examples where the task is set so.
        nlp (Optional[Language]): The pipeline.
        labels (Optional[List[str]]): Labels, as `label_data` gives them.
        RAISES (ValueError): No labels, the schema lacks one of the data's, or a file of
            the task can't be used.
        """
        found = sorted({x.label_ for eg in get_examples() for x in eg.reference.ents})
        if not self._has_labels:
            where = f"the pipe {self.name!r}"
            self._schema = EntitySchema.from_labels(labels or found, where=where)
        self._check_known([*(labels or []), *found])
        if hasattr(self.task, "take_examples"):
            self.task.take_examples(get_examples)
        self._bound = None
        self._bind()
        if hasattr(self.task, "check"):
            self.task.check()
        self._report_model()

    def update(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, float]:
        """RAISES (ValueError): Always. There are no weights to train."""
        raise ValueError(Errors.N138.format(name=self.name))

    @contextmanager
    def use_params(self, params: Any) -> Iterator[None]:
        """Do nothing: a pipeline calls it for every pipe that is trainable by its type."""
        yield

    def _report_model(self) -> None:
        # Assembled here and given its server elsewhere: no error.
        try:
            if hasattr(self.model, "check"):
                self.model.check()
        except Exception as e:
            logger.warning(Warnings.W155.format(name=self.name, problem=e))

    def _use_labels_of_task(self) -> None:
        # A task of spacy-llm's kind names its own labels.
        labels = list(getattr(self.task, "labels", None) or [])
        if not self._has_labels and labels:
            own = getattr(self.task, "schema", None)
            self._schema = own or EntitySchema.from_labels(labels)

    # Saved state: no weights, but the texts of the task

    def get_state(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): Labels, and the task's state. A file that the task
        names is read now: once saved, it is not looked for again."""
        task = None
        if hasattr(self.task, "get_state"):
            task = self.task.get_state()
        elif hasattr(self.task, "to_bytes"):
            task = base64.b64encode(self.task.to_bytes()).decode("ascii")
        return {**super().get_state(), "task": task}

    def set_state(self, state: Dict[str, Any]) -> None:
        """Restore what `get_state` made. Labels follow the config, where it has changed."""
        task = state.get("task")
        if task is not None and hasattr(self.task, "set_state"):
            self.task.set_state(task)
        elif isinstance(task, str) and hasattr(self.task, "from_bytes"):
            self.task.from_bytes(base64.b64decode(task))
        self._bound = None
        super().set_state(state)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): The serialised pipe. The model is the config's."""
        return super().to_bytes(exclude=[*exclude, "model"])

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "NerLLM":
        """Load the pipe in place.

        bytes_data (bytes): What `to_bytes` returned.
        RETURNS (NerLLM): This pipe.
        """
        super().from_bytes(bytes_data, exclude=[*exclude, "model"])
        return self

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        """Save the pipe to a folder. The model is the config's."""
        super().to_disk(path, exclude=[*exclude, "model"])

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> "NerLLM":
        """Load the pipe in place from a folder.

        path (Union[str, Path]): The folder.
        RETURNS (NerLLM): This pipe.
        """
        super().from_disk(path, exclude=[*exclude, "model"])
        return self
