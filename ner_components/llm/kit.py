"""What a task needs at hand for every document: made once for its settings and labels."""

import json
import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from spacy.tokens import Doc

from ..entities import Candidate
from ..errors import Errors
from ..schema import EntitySchema
from .answers import ParsedAnswer, answer_schema, fits_enum, item_scores, ngrams
from .cuts import Borders, Stretch, make_windows
from .examples import Chooser, Shown
from .grounding import candidates_of
from .prompts import Writer, Written
from .protocol import Answer, Prompt

# Tokens that chat templates put around the messages, and a little more.
CHAT_TOKENS = 32
# A window smaller than this is no use.
LEAST_ROOM = 16


class Materials(NamedTuple):
    """The texts that prompts are made of.

    template (str): Text of the jinja2 template.
    guidelines (str): Empty for none.
    examples (List[Shown]): Examples to choose from.
    """

    template: str
    guidelines: str
    examples: List[Shown]


class Kit:
    """Makes prompts and windows, and reads answers into candidates.

    cfg (Dict[str, Any]): The task's settings.
    materials (Materials): The texts of prompts.
    schema (EntitySchema): The labels.
    context (Optional[int]): Tokens of prompt and answer together, `None` if not known.
    max_tokens (Optional[int]): Most tokens of an answer, `None` if not known.
    RAISES (ValueError): The context has no room for a text.
    """

    def __init__(
        self,
        cfg: Dict[str, Any],
        materials: Materials,
        schema: EntitySchema,
        context: Optional[int],
        max_tokens: Optional[int],
    ) -> None:
        self.cfg = cfg
        self.schema = schema
        self.guidelines = materials.guidelines
        self.writer = Writer(materials.template)
        n_examples, selection = cfg["n_examples"], cfg["example_selection"]
        self.chooser = Chooser(materials.examples, n_examples, selection)
        self.labels = list(schema.names)
        # Every word that leads to a label: an alias is no reason to ask again.
        self.words = [word for x in schema for word in (x.name, *x.aliases)]
        self.free_schema = answer_schema(self.labels)
        self.context = context
        self.room = self._find_room(max_tokens)

    def windows(self, doc: Doc, borders: Borders) -> List[Stretch]:
        """RETURNS (List[Stretch]): The windows of a document that there is anything to ask
        about."""

        def fits(start: int, end: int) -> bool:
            return self._fits(doc, borders.text, start, end)

        found = make_windows(borders, fits, self.cfg["overlap_chars"])
        if self.cfg["grounding"] == "free":
            return found
        return [x for x in found if self._texts(doc, x.start, x.end) != []]

    def prompt(
        self,
        doc: Doc,
        stretch: Stretch,
        *,
        found: Optional[str] = None,
        errors: Sequence[str] = (),
        previous: str = "",
    ) -> Prompt:
        """Write the prompt for a window.

        doc (Doc): The document.
        stretch (Stretch): The window.
        found (Optional[str]): What a first pass found, as JSON.
        errors (Sequence[str]), previous (str): What was wrong with the answer before, and
            that answer, which is left out where there is no room for it.
        RETURNS (Prompt): The prompt, with its JSON schema.
        """
        text = doc.text[stretch.start : stretch.end]

        def write(previous: str) -> Written:
            return self.writer.write(
                text,
                self.schema,
                guidelines=self.guidelines,
                examples=self.chooser.choose(text),
                found=found,
                errors=errors,
                previous=previous,
            )

        written = write(previous)
        if previous and not self._has_room(written, text):
            written = write("")
        schema = self._answer_schema(doc, stretch)
        return Prompt(written, system=written.system, json_schema=schema)

    def candidates(
        self, text: str, stretch: Stretch, answer: Answer, parsed: ParsedAnswer
    ) -> List[Candidate]:
        """RETURNS (List[Candidate]): What an answer about a window says, with offsets in
        the document; scores where the answer has log probabilities."""
        scores = None
        if answer.logprobs is not None:
            scores = item_scores(str(answer), answer.logprobs, parsed)
        window = text[stretch.start : stretch.end]
        return candidates_of(window, stretch.start, parsed, scores)

    def count(self, text: str) -> int:
        """RETURNS (int): Tokens of a text, by the setting `token_counter`.
        RAISES (RuntimeError): The counter fails."""
        counter: Callable[[str], int] = self.cfg["token_counter"]
        if not callable(counter):
            size = len(text.encode("utf8", "replace"))
            return math.ceil(size / self.cfg["chars_per_token"])
        try:
            return int(counter(text))
        except Exception as e:
            problem = type(e).__name__
        raise RuntimeError(
            Errors.N176.format(part="token_counter", name="task", error=problem)
        )

    def _find_room(self, max_tokens: Optional[int]) -> Optional[int]:
        # Tokens for the text of a window. An answer is taken to need as many as its text,
        # if its limit isn't known; one that needs more is cut, and the window halved.
        if self.context is None:
            return None
        written = self.writer.write(
            "", self.schema, guidelines=self.guidelines, examples=self.chooser.longest()
        )
        used = self.count(written.system) + self.count(written) + CHAT_TOKENS
        used += self.count(json.dumps(self.free_schema))
        left = self.context - used
        room = left // 2 if max_tokens is None else left - max_tokens
        if room < LEAST_ROOM:
            answer = "" if max_tokens is None else f" and the answer {max_tokens}"
            raise ValueError(
                Errors.N175.format(used=used, answer=answer, context=self.context)
            )
        return room

    def _fits(self, doc: Doc, text: str, start: int, end: int) -> bool:
        if end - start > self.cfg["max_window_chars"]:
            return False
        if self.room is not None and self.count(text[start:end]) > self.room:
            return False
        if self.cfg["grounding"] == "free":
            return True
        if end - start > self.cfg["max_enum_chars"]:
            return False
        span = doc.char_span(start, end, alignment_mode="contract")
        return span is None or len(span) <= 1 or self._fits_enum(self._ngrams(span))

    def _has_room(self, written: Written, text: str) -> bool:
        if self.context is None or self.room is None:
            return True
        used = self.count(written.system) + self.count(written) + CHAT_TOKENS
        return used + self.count(text) <= self.context

    def _answer_schema(self, doc: Doc, stretch: Stretch) -> Dict[str, Any]:
        texts = None
        if self.cfg["grounding"] == "enum":
            texts = self._texts(doc, stretch.start, stretch.end)
        return answer_schema(self.labels, texts) if texts else self.free_schema

    def _texts(self, doc: Doc, start: int, end: int) -> Optional[List[str]]:
        # None where they are too many to be held to, as in a single word of a page.
        span = doc.char_span(start, end, alignment_mode="contract")
        if span is None:
            return None
        texts = self._ngrams(span)
        return texts if not texts or self._fits_enum(texts) else None

    def _ngrams(self, span: Any) -> List[str]:
        return ngrams(span, self.cfg["max_words"])

    def _fits_enum(self, texts: List[str]) -> bool:
        # OpenAI's limit is for all enums of a schema, that of the labels too. No text at
        # all fits anywhere: nothing is asked about it.
        values = self.cfg["max_enum_values"] - len(self.labels)
        return not texts or fits_enum(texts, values, self.cfg["max_enum_chars"])
