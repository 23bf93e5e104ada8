"""`ner_components.NER.v1`: the task that asks an LLM for entities and proves them."""

from importlib.util import find_spec
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Optional,
    Tuple,
    Union,
)

import srsly
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..entities import Rules, annotate, resolve
from ..errors import Errors
from ..evaluation.scorer import ner_score
from ..schema import EntitySchema, LabelConfig
from .cuts import Stretch
from .examples import SELECTIONS, Shown, gold_examples, read_examples, read_text
from .kit import Kit, Materials
from .prompts import LANGUAGES, read_template
from .protocol import Answer, Conversation
from .search import Ask, Search

GROUNDINGS = ("free", "enum")
STATE_FORMAT = 1
# Instead of a file of examples: those that the pipe is initialized with.
FROM_TRAINING = "train"
# Settings whose files are read into the saved state.
SAVED = ("template", "guidelines", "examples")
LEAST = {
    "n_examples": 0,
    "max_words": 1,
    "max_enum_values": 1,
    "max_enum_chars": 1,
    "context_tokens": 1,
    "max_window_chars": 1,
    "overlap_chars": 0,
    "reasks": 0,
    "max_splits": 0,
}


def make_ner_task(
    labels: Optional[List[LabelConfig]] = None,
    template: Optional[str] = None,
    language: str = "en",
    guidelines: Optional[str] = None,
    examples: Optional[str] = None,
    n_examples: int = 3,
    example_selection: str = "first",
    grounding: str = "free",
    max_words: int = 5,
    max_enum_values: int = 1000,
    max_enum_chars: int = 15000,
    context_tokens: Optional[int] = None,
    token_counter: Union[str, Callable[[str], int]] = "chars",
    chars_per_token: float = 1.0,
    max_window_chars: int = 8000,
    overlap_chars: int = 200,
    reasks: int = 1,
    second_pass: bool = False,
    max_splits: int = 6,
) -> "NERTask":
    """Make the task; see `NERTask`. No file is read yet.

    RETURNS (NERTask): The task.
    RAISES (ImportError): The extra `llm` is not installed.
    """
    cfg = dict(locals())
    for package in ("spacy_llm", "jinja2"):
        if find_spec(package) is None:
            raise ImportError(Errors.N170.format(package=package, extra="llm"))
    return NERTask(cfg)


class Shards(List[Doc]):
    """A document, once for each of its windows, and the windows.

    windows (List[Stretch]): The windows.
    """

    def __init__(self, doc: Doc, windows: List[Stretch]) -> None:
        super().__init__([doc] * max(1, len(windows)))
        self.windows = windows


class NERTask:
    """Asks for the entities of a document as JSON, window by window, and proves them.

    cfg (Dict[str, Any]): The settings:
        labels (Optional[List[Union[str, Dict[str, Any]]]]): Only where the task runs in
            spacy-llm's `llm`; in `ner_llm` the component's labels go.
        template (Optional[str]): A jinja2 template, as a path or as text; see
            `ner_components.llm.prompts.Writer`. `None` for the package's own.
        language (str): Language of the package's own template, "en" or "de".
        guidelines (Optional[str]): A text file that is put into the prompt.
        examples (Optional[str]): A JSON or JSONL file, or "train" for the examples that
            the pipe is initialized with.
        n_examples (int): Most examples in a prompt.
        example_selection (str): "first" or "similar"; see
            `ner_components.llm.examples.Chooser`.
        grounding (str): "free", or "enum": the answer's texts are an enum of the
            document's own words, for servers that enforce schemas.
        max_words (int): Most words of an entity with "enum".
        max_enum_values (int), max_enum_chars (int): Most that the server allows.
        context_tokens (Optional[int]): Tokens of prompt and answer together, `None` for
            the model's own `context_length`.
        token_counter (Union[str, Callable[[str], int]]): "chars", or a function.
        chars_per_token (float): UTF-8 bytes that "chars" takes for a token. 1.0 is never
            too many; English has about 4.
        max_window_chars (int): Most characters of a window, whatever the context.
        overlap_chars (int): Most characters that two windows share.
        reasks (int): Times that an answer which breaks the rules is asked for again.
        second_pass (bool): Ask a second time for what is missing.
        max_splits (int): Times that a window is halved whose answer is too long.
    RAISES (ValueError): A setting is out of range.
    """

    def __init__(self, cfg: Dict[str, Any]) -> None:
        self.cfg = cfg
        self._check()
        labels = self.cfg["labels"]
        self._schema = None if labels is None else EntitySchema.from_labels(labels)
        self._context: Optional[int] = None
        self._max_tokens: Optional[int] = None
        self._parts: Dict[str, Any] = {}
        self._kit: Optional[Kit] = None

    # In `ner_llm`

    def bind(
        self,
        schema: EntitySchema,
        *,
        context_length: Optional[int] = None,
        max_tokens: Optional[int] = None,
    ) -> None:
        """Say which labels to ask for, and of which model.

        schema (EntitySchema): The labels.
        context_length (Optional[int]): Tokens that the model takes, if known.
        max_tokens (Optional[int]): Most tokens of an answer, if known.
        """
        self._schema = schema
        self._context, self._max_tokens = context_length, max_tokens
        self._kit = None

    def converse(self, doc: Doc) -> Conversation:
        """Search a document: windows, asked again where the answer breaks the rules, halved
        where it is cut off.

        doc (Doc): The document, which is not changed. Without text nothing is asked.
        YIELDS (List[Prompt]): The prompts of a round.
        RETURNS (List[Candidate]): The candidates.
        """
        return (yield from Search(self.kit, doc).converse())

    @property
    def kit(self) -> Kit:
        """RETURNS (Kit): What prompts are made with.
        RAISES (ValueError): No labels, a file can't be read, or the context is too small.
        """
        kit = self._kit
        if kit is None:
            kit = self._kit = self._make_kit(self._context)
        return kit

    def check(self) -> None:
        """Read the files and see that a prompt can be made of them."""
        self.kit.writer.write("", self.kit.schema)

    # In spacy-llm's `llm`: one round, nothing is asked again

    def generate_prompts(
        self, docs: Iterable[Doc], context_length: Optional[int] = None
    ) -> Iterable[Tuple[Iterable[Any], Iterable[Doc]]]:
        """Write the prompts of documents.

        docs (Iterable[Doc]): The documents.
        context_length (Optional[int]): Tokens that the model takes.
        YIELDS (Tuple[Iterable[Prompt], Iterable[Doc]]): A prompt for each window, and the
            document as often.
        """
        kit = self._make_kit(context_length)
        for doc in docs:
            search = Search(kit, doc)
            windows = search.windows()
            yield [search.prompt(Ask(x)) for x in windows], Shards(doc, windows)

    def parse_responses(
        self, shards: Iterable[Iterable[Doc]], responses: Iterable[Iterable[Any]]
    ) -> Iterable[Doc]:
        """Annotate documents. An answer that is cut off or can't be read is a counted
        `invalid_output`.

        shards (Iterable[Iterable[Doc]]): What `generate_prompts` gave with the prompts.
        responses (Iterable[Iterable[str]]): The answers.
        YIELDS (Doc): The same documents, with `doc.ents` and the group "ner".
        RAISES (ValueError): The shards are not those of `generate_prompts`.
        """
        rules = Rules()
        for group, answers in zip(shards, responses, strict=False):
            if not isinstance(group, Shards):
                raise ValueError(Errors.N180)
            doc = group[0]
            search = Search(self.kit, doc)
            said = [x if isinstance(x, Answer) else Answer(str(x)) for x in answers]
            # One that is missing is as one that can't be read.
            said += [Answer("")] * (len(group.windows) - len(said))
            last = {"depth": self.cfg["max_splits"], "tries": self.cfg["reasks"]}
            for stretch, answer in zip(group.windows, said, strict=False):
                search.hear(Ask(stretch, **last), answer)
            annotate(doc, resolve(doc, search.result(), self.schema, rules), rules)
            yield doc

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The label names, empty before there are any."""
        return () if self._schema is None else self._schema.names

    @property
    def schema(self) -> EntitySchema:
        """RETURNS (EntitySchema): The labels.
        RAISES (ValueError): There are none.
        """
        if self._schema is None:
            raise ValueError(Errors.N171)
        return self._schema

    def add_label(self, label: str, label_definition: Optional[str] = None) -> int:
        """Add a label.

        label (str): The label.
        label_definition (Optional[str]): What it means.
        RETURNS (int): 1 if it was added, 0 if it was there.
        """
        if label in self.labels:
            return 0
        labels: List[LabelConfig] = [] if self._schema is None else _to_config(self._schema)
        labels.append({"name": label, "description": label_definition or ""})
        self._schema = EntitySchema.from_labels(labels, where="add_label")
        self._kit = None
        return 1

    def clear(self) -> None:
        """Forget the labels."""
        self._schema = self._kit = None

    def scorer(self, examples: Iterable[Example]) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The scores of `ner_components.ner_scorer.v1`."""
        return ner_score(examples)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        nlp: Optional[Language] = None,
        labels: Optional[List[str]] = None,
    ) -> None:
        """Take labels and few-shot examples from training data, where they are to come
        from there, and check the files.

        get_examples (Callable[[], Iterable[Example]]): Returns the examples.
        nlp (Optional[Language]): Not used.
        labels (Optional[List[str]]): The labels.
        RAISES (ValueError): There are no labels, or a file can't be used.
        """
        if labels or self._schema is None:
            found = {x.label_ for eg in get_examples() for x in eg.reference.ents}
            where = "ner_components.NER.v1"
            self._schema = EntitySchema.from_labels(labels or sorted(found), where=where)
        self.take_examples(get_examples)
        self._kit = None
        self.check()

    def take_examples(self, get_examples: Callable[[], Iterable[Example]]) -> None:
        """Keep training examples to show, if the setting `examples` is "train"."""
        if self.cfg["examples"] == FROM_TRAINING:
            self._parts["examples"] = gold_examples(get_examples())
            self._kit = None

    # Saved state: the texts of the files, so that a package works without them

    @property
    def prompt_template(self) -> str:
        """RETURNS (str): The text of the template, empty where it can't be read: spacy-llm
        asks for it before a saved task is restored."""
        try:
            return self._part("template")
        except ValueError:
            return ""

    @property
    def materials(self) -> Materials:
        """RETURNS (Materials): The texts of prompts, read when they are first needed.
        RAISES (ValueError): A file can't be read.
        """
        return Materials(**{part: self._part(part) for part in SAVED})

    def get_state(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): JSON-serialisable state."""
        template, guidelines, examples = self.materials
        return {
            "format": STATE_FORMAT,
            "config": {key: self.cfg[key] for key in (*SAVED, "language")},
            "template": template,
            "guidelines": guidelines,
            "examples": [list(x) for x in examples],
            "schema": None if self._schema is None else self._schema.to_dict(),
        }

    def set_state(self, state: Dict[str, Any]) -> None:
        """Restore what `get_state` made, but for what the settings now name otherwise.

        state (Dict[str, Any]): The saved state.
        RAISES (ValueError): It has another format.
        """
        if state.get("format") != STATE_FORMAT:
            found, expected = state.get("format"), STATE_FORMAT
            name = "ner_components.NER.v1"
            raise ValueError(Errors.N037.format(name=name, found=found, expected=expected))
        config = state["config"]
        kept = [x for x in SAVED if config[x] == self.cfg[x]]
        if config["language"] != self.cfg["language"] and self.cfg["template"] is None:
            kept.remove("template")
        self._parts = {part: state[part] for part in kept}
        if "examples" in kept:
            self._parts["examples"] = [Shown(*x) for x in state["examples"]]
        if self.cfg["labels"] is None and state["schema"] is not None:
            self._schema = EntitySchema.from_dict(state["schema"])
        self._kit = None

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): The serialised state."""
        return util.to_bytes({"task": lambda: srsly.json_dumps(self.get_state())}, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "NERTask":
        """Load the state in place.

        bytes_data (bytes): What `to_bytes` returned.
        RETURNS (NERTask): This task.
        """
        load = {"task": lambda b: self.set_state(srsly.json_loads(b))}
        util.from_bytes(bytes_data, load, exclude)
        return self

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        """Save the state to a folder.

        path (Union[str, Path]): The folder, made if it is not there.
        """
        save = {"task.json": lambda p: srsly.write_json(p, self.get_state())}
        util.to_disk(path, save, exclude)

    def from_disk(
        self, path: Union[str, Path], *, exclude: Iterable[str] = ()
    ) -> "NERTask":
        """Load the state in place from a folder.

        path (Union[str, Path]): The folder.
        RETURNS (NERTask): This task.
        """
        load = {"task.json": lambda p: self.set_state(srsly.read_json(p))}
        util.from_disk(path, load, exclude)
        return self

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_kit": None}

    def __repr__(self) -> str:
        return f"NERTask({list(self.labels)})"

    def _make_kit(self, context_length: Optional[int]) -> Kit:
        own = self.cfg["context_tokens"]
        context = own if own is not None else context_length
        return Kit(self.cfg, self.materials, self.schema, context, self._max_tokens)

    def _part(self, part: str) -> Any:
        if part not in self._parts:
            self._parts[part] = self._read(part)
        return self._parts[part]

    def _read(self, part: str) -> Any:
        value = self.cfg[part]
        if part == "template":
            return read_template(value, self.cfg["language"])
        if part == "guidelines":
            return "" if value is None else read_text(value, "guidelines")
        return [] if value in (None, FROM_TRAINING) else read_examples(value)

    def _check(self) -> None:
        choices = {
            "language": LANGUAGES,
            "example_selection": SELECTIONS,
            "grounding": GROUNDINGS,
        }
        for setting, allowed in choices.items():
            if self.cfg[setting] not in allowed:
                self._refuse(setting, ", ".join(f'"{x}"' for x in allowed))
        for setting, least in LEAST.items():
            value = self.cfg[setting]
            if value is not None and value < least:
                self._refuse(setting, f"a whole number of at least {least}")
        if not self.cfg["chars_per_token"] > 0:
            self._refuse("chars_per_token", "a number above 0")
        if not callable(self.cfg["token_counter"]) and self.cfg["token_counter"] != "chars":
            self._refuse("token_counter", '"chars" or a registered function')

    def _refuse(self, setting: str, allowed: str) -> None:
        value = self.cfg[setting]
        setting = f"task.{setting}"
        raise ValueError(
            Errors.N020.format(name="ner", setting=setting, value=value, allowed=allowed)
        )


def _to_config(schema: EntitySchema) -> List[LabelConfig]:
    return list(schema.to_dict()["labels"])
