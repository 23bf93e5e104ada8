"""The conversation about a document: windows, second questions, and what came of them."""

from typing import List, NamedTuple, Optional, Tuple

from spacy.tokens import Doc

from ..entities import Candidate
from .answers import read_answer
from .cuts import Borders, Seen, Stretch, merge
from .driver import OVERFLOW
from .examples import make_shown
from .kit import Kit
from .protocol import Answer, Conversation, Prompt

SECOND_PASS = "second_pass"
# Errors that a model is told about; a longer list wouldn't help it.
MAX_ERRORS = 20


class Ask(NamedTuple):
    """A question about a window.

    stretch (Stretch): The window.
    depth (int): Times it was halved.
    tries (int): Times it was asked before.
    errors (Tuple[str, ...]): What was wrong with the last answer.
    previous (str): That answer.
    readable (Optional[List[Candidate]]): What could be had of it.
    found (Optional[str]): What the first pass found, as JSON, in the second.
    """

    stretch: Stretch
    depth: int = 0
    tries: int = 0
    errors: Tuple[str, ...] = ()
    previous: str = ""
    readable: Optional[List[Candidate]] = None
    found: Optional[str] = None

    def __repr__(self) -> str:
        return f"Ask({self.stretch}, depth={self.depth}, tries={self.tries})"


class Search:
    """Searches a document by asking.

    kit (Kit): Prompts, windows, answers.
    doc (Doc): The document, which is not changed.
    """

    def __init__(self, kit: Kit, doc: Doc) -> None:
        self.kit = kit
        self.doc = doc
        self.text = doc.text
        self.borders = Borders(doc)
        self.seen: List[Seen] = []

    def windows(self) -> List[Stretch]:
        """RETURNS (List[Stretch]): The windows to ask about; none for white space."""
        if not self.text.strip():
            return []
        return self.kit.windows(self.doc, self.borders)

    def converse(self) -> Conversation:
        """Ask about every window until nothing is open.

        YIELDS (List[Prompt]): The prompts of a round.
        RETURNS (List[Candidate]): The candidates of the document.
        """
        asks = [Ask(x) for x in self.windows()]
        while asks:
            answers = yield [self.prompt(x) for x in asks]
            pairs = zip(asks, answers, strict=True)
            asks = [y for ask, answer in pairs for y in self.hear(ask, answer)]
        return self.result()

    def prompt(self, ask: Ask) -> Prompt:
        """RETURNS (Prompt): The prompt of a question."""
        return self.kit.prompt(
            self.doc,
            ask.stretch,
            found=ask.found,
            errors=ask.errors,
            previous=ask.previous,
        )

    def hear(self, ask: Ask, answer: Answer) -> List[Ask]:
        """Take an answer.

        ask (Ask): The question.
        answer (Answer): Its answer.
        RETURNS (List[Ask]): What must be asked then.
        """
        if answer.finish_reason in ("length", OVERFLOW):
            return self._halve(ask)
        parsed = read_answer(str(answer), self.kit.words)
        found = self.kit.candidates(self.text, ask.stretch, answer, parsed)
        errors = tuple([*parsed.errors, *parsed.doubts][:MAX_ERRORS])
        if errors and ask.tries < self.kit.cfg["reasks"]:
            readable = found if parsed.readable else ask.readable
            again = ask._replace(tries=ask.tries + 1, errors=errors, readable=readable)
            return [again._replace(previous=str(answer))]
        if not parsed.readable and ask.readable is not None:
            found = ask.readable
        return self._note(ask, found)

    def result(self) -> List[Candidate]:
        """RETURNS (List[Candidate]): What all answers say, merged."""
        return merge(self.text, sorted(self.seen, key=lambda x: x.stretch[0]))

    def _note(self, ask: Ask, found: List[Candidate]) -> List[Ask]:
        if ask.found is not None:
            marked = [x._replace(via=_second(x.via)) for x in found]
            self.seen.append(Seen(ask.stretch, marked))
            return []
        self.seen.append(Seen(ask.stretch, found))
        if not self.kit.cfg["second_pass"]:
            return []
        return [Ask(ask.stretch, ask.depth, found=self._describe(ask.stretch, found))]

    def _halve(self, ask: Ask) -> List[Ask]:
        halves = None
        if ask.depth < self.kit.cfg["max_splits"]:
            halves = self.borders.halve(ask.stretch, self.kit.cfg["overlap_chars"])
        if halves is None:
            lost = Candidate(None, None, "", reason="invalid_output")
            if ask.found is not None:
                lost = lost._replace(via=SECOND_PASS)
            # Nothing of the window was seen, so it is none.
            self.seen.append(Seen(Stretch(0, 0), [lost]))
            return []
        texts = [self.text[a:b] for a, b in halves]
        depth = ask.depth + 1
        pairs = zip(halves, texts, strict=True)
        return [Ask(x, depth, found=ask.found) for x, text in pairs if text.strip()]

    def _describe(self, stretch: Stretch, found: List[Candidate]) -> str:
        at = stretch.start
        spans = [
            (x.start_char - at, x.end_char - at, x.label)
            for x in found
            if x.start_char is not None and x.end_char is not None
        ]
        return make_shown(self.text[at : stretch.end], spans).answer


def _second(via: Optional[str]) -> str:
    return SECOND_PASS if via is None else f"{via}+{SECOND_PASS}"
