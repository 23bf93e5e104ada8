"""spacy-llm's own tasks and models, or anyone's in its form, as `ner_llm` uses them."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, Dict, Iterable, List, Optional, Tuple

from spacy.tokens import Doc

from ..entities import Candidate
from ..errors import Errors
from ..schema import EntitySchema
from .driver import OVERFLOW
from .protocol import Answer, Conversation, ConversingTask, Prompt, SubmittingModel


def adapt_model(model: Any, concurrency: Optional[int], name: str) -> SubmittingModel:
    """Make a model that can be asked side by side out of any model.

    model (Any): One of ours, or a callable in spacy-llm's form.
    concurrency (Optional[int]): Threads for such a callable, `None` for its own
        `concurrency`, or else 1.
    name (str): The component's name, for messages.
    RETURNS (SubmittingModel): The model itself where it can be asked side by side.
    RAISES (ValueError): It is neither.
    """
    if hasattr(model, "submit") and hasattr(model, "concurrency"):
        return model
    if not callable(model):
        raise ValueError(
            Errors.N177.format(name=name, setting="model", kind=type(model).__name__)
        )
    return ModelAdapter(
        model, concurrency or getattr(model, "concurrency", None) or 1, name
    )


def adapt_task(task: Any, name: str) -> ConversingTask:
    """Make a task that holds conversations out of any task.

    task (Any): One of ours, or a task of spacy-llm's kind, sharding or not.
    name (str): The component's name, for messages.
    RETURNS (ConversingTask): The task itself where it can converse.
    RAISES (ValueError): It is neither.
    """
    if hasattr(task, "converse"):
        return task
    if not (hasattr(task, "generate_prompts") and hasattr(task, "parse_responses")):
        raise ValueError(
            Errors.N177.format(name=name, setting="task", kind=type(task).__name__)
        )
    return TaskAdapter(task, name)


class ModelAdapter:
    """A callable in spacy-llm's form, asked from threads, one prompt a call.

    model (Callable): Takes prompts for each document, returns answers for each.
    concurrency (int): Threads. More than one needs a model that is safe for them.
    name (str): The component's name, for messages.
    """

    def __init__(self, model: Any, concurrency: int, name: str) -> None:
        self.model = model
        self.concurrency = concurrency
        self.name = name
        self._lock = Lock()
        self._pool: Optional[ThreadPoolExecutor] = None
        self._pid = 0

    @property
    def context_length(self) -> Optional[int]:
        """RETURNS (Optional[int]): Tokens that the model takes, if it says so."""
        return getattr(self.model, "context_length", None)

    def submit(self, prompt: str) -> "Future[Answer]":
        """Ask, without waiting."""
        with self._lock:
            # Threads don't live on in a forked worker.
            if self._pool is None or self._pid != os.getpid():
                self._pool = ThreadPoolExecutor(self.concurrency, "ner_llm")
                self._pid = os.getpid()
            return self._pool.submit(self._ask, prompt)

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[Answer]]:
        """Answer the prompts of many documents, in order."""
        for some in prompts:
            futures = [self.submit(x) for x in some]
            yield [x.result() for x in futures]

    def _ask(self, prompt: str) -> Answer:
        try:
            # Lists, because some models count them.
            answer = next(iter(next(iter(self.model([[str(prompt)]])))))
            if isinstance(answer, Answer):
                return answer
            if isinstance(answer, str):
                return Answer(answer)
            problem = f"{type(answer).__name__} instead of str"
        except Exception as e:
            problem = type(e).__name__
        # Raised out here, so that the first error isn't its context.
        raise RuntimeError(Errors.N176.format(part="model", name=self.name, error=problem))

    def __getstate__(self) -> Dict[str, Any]:
        state = {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_pool")}
        return {**state, "_pid": 0}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock(), _pool=None)


class TaskAdapter:
    """A task of spacy-llm's kind: one round of prompts, entities set on a copy.

    task (Any): With `generate_prompts` and `parse_responses`, sharding or not.
    name (str): The component's name, for messages.
    """

    def __init__(self, task: Any, name: str) -> None:
        from spacy_llm.ty import supports_sharding

        self.task = task
        self.name = name
        self.sharding = supports_sharding(task)
        self.context_length: Optional[int] = None

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels that the task names itself."""
        return tuple(getattr(self.task, "labels", None) or ())

    def bind(
        self,
        schema: EntitySchema,
        *,
        context_length: Optional[int] = None,
        max_tokens: Optional[int] = None,
    ) -> None:
        """Give labels to a task that has none of its own, and the model's limit.

        schema (EntitySchema): The labels.
        context_length (Optional[int]): Tokens that the model takes, if known.
        max_tokens (Optional[int]): Not used.
        """
        self.context_length = context_length
        if not self.labels and hasattr(self.task, "add_label"):
            for label in schema:
                self.task.add_label(label.name, label.description or None)

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The task's own state, empty where it has none."""
        save = getattr(self.task, "to_bytes", None)
        return b"" if save is None else save()

    def from_bytes(self, bytes_data: bytes) -> None:
        """Load the task's own state."""
        if bytes_data and hasattr(self.task, "from_bytes"):
            self.task.from_bytes(bytes_data)

    def converse(self, doc: Doc) -> Conversation:
        """Ask the task's prompts, and take the entities that it sets on a copy.

        doc (Doc): The document, left as it is.
        RETURNS (List[Candidate]): The entities, without scores.
        RAISES (RuntimeError): The task fails. Its message could hold text: only the
            error's type is named.
        """
        copy = doc.copy()
        copy.set_ents([])
        if not doc.text.strip():
            return []
        prompts, shards = self._guard(lambda: self._prompts(copy))
        answers = yield [x if isinstance(x, Prompt) else Prompt(x) for x in prompts]
        if any(x.finish_reason == OVERFLOW for x in answers):
            raise RuntimeError(Errors.N178.format(name=self.name))
        parsed = self._guard(lambda: self._parse(shards, answers))
        return self._guard(lambda: _read_entities(doc, parsed))

    def _prompts(self, doc: Doc) -> Any:
        if not self.sharding:
            return list(self.task.generate_prompts([doc])), doc
        (found,) = self.task.generate_prompts([doc], self.context_length)
        return list(found[0]), list(found[1])

    def _parse(self, shards: Any, answers: List[Answer]) -> Doc:
        said = [str(x) for x in answers]
        (doc,) = self.task.parse_responses([shards], [said])
        return doc

    def _guard(self, function: Any) -> Any:
        try:
            return function()
        except Exception as e:
            problem = type(e).__name__
        raise RuntimeError(Errors.N176.format(part="task", name=self.name, error=problem))


def _read_entities(doc: Doc, parsed: Doc) -> List[Candidate]:
    if len(parsed) != len(doc):
        # The text is checked, so that entities of another text are no entities of this.
        return [
            Candidate(x.start_char, x.end_char, x.label_, None, x.text) for x in parsed.ents
        ]
    # By token: shards that are put together again can have gained white space.
    spans = [(doc[x.start : x.end], x.label_) for x in parsed.ents]
    return [Candidate(x.start_char, x.end_char, label) for x, label in spans]
