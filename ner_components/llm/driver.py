"""Many conversations with a model side by side, their results in the stream's order."""

from collections import deque
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Tuple

from spacy.tokens import Doc

from ..entities import Candidate
from .protocol import Answer, BudgetReached, Conversation, Prompt, SubmittingModel, Usage

# What an answer's finish_reason says where the prompt didn't fit the model.
OVERFLOW = "context_length"
# What servers call that error: OpenAI and most others; llama.cpp; our client.
OVERFLOW_CODES = {"context_length_exceeded", "exceed_context_size_error", OVERFLOW}
# Requests handed to the model for each that it has in flight, so that it goes on while the
# consumer is busy with a document.
HANDED = 2


class Talk:
    """A document's conversation: what was asked, and how it ended.

    doc (Doc): The document.
    conversation (Optional[Conversation]): Its prompts, once begun.
    candidates (Optional[List[Candidate]]): The result, once there is one.
    error (Optional[Exception]): Why there is none.
    asked (int): Prompts so far.
    usage (Usage): What the answers took.
    done (bool): Nothing more is asked.
    dropped (bool): It was broken off at a limit of the run.
    """

    def __init__(self, doc: Doc) -> None:
        self.doc = doc
        self.conversation: Optional[Conversation] = None
        self.candidates: Optional[List[Candidate]] = None
        self.error: Optional[Exception] = None
        self.asked = 0
        self.usage = Usage()
        self.done = False
        self.dropped = False
        self.queue: Deque[Tuple[int, Prompt]] = deque()
        self.answers: List[Answer] = []
        self.missing = 0

    def begin(self, start: Callable[[Doc], Conversation]) -> None:
        """Ask for the first prompts."""
        try:
            self.conversation = start(self.doc)
        except Exception as e:
            self.fail(e)
        else:
            self._go_on(self.conversation, None)

    def _go_on(self, talk: Conversation, answers: Optional[List[Answer]]) -> None:
        try:
            # A generator is begun with None.
            prompts = talk.send(answers)  # type: ignore[arg-type]
            while not prompts:
                prompts = talk.send([])
        except StopIteration as e:
            self.candidates = e.value or []
            self.done = True
        except Exception as e:
            self.fail(e)
        else:
            self.asked += len(prompts)
            self.answers = [Answer("")] * len(prompts)
            self.missing = len(prompts)
            self.queue.extend(enumerate(prompts))

    def take(self, i: int, answer: Answer) -> None:
        """Note an answer, and go on when all of the round are there."""
        self.answers[i] = answer
        self.missing -= 1
        if not self.missing and self.conversation is not None:
            self._go_on(self.conversation, self.answers)

    def fail(self, error: Exception) -> None:
        """End it with an error."""
        self.error = error
        self.stop()

    def stop(self) -> None:
        """Ask nothing more."""
        self.done = True
        self.queue.clear()


class Driver:
    """Runs the conversations of a stream of documents in an ordered, sliding window.

    model (SubmittingModel): Who is asked. It keeps to `concurrency` requests in flight
        itself; it is handed twice as many, so that a slow consumer doesn't idle it.
    start (Callable[[Doc], Conversation]): Begins the conversation of a document.
    ahead (int): Most documents read and not yet given out.
    spend (Callable[[Usage], None]): Is told what each answer took.
    """

    def __init__(
        self,
        model: SubmittingModel,
        start: Callable[[Doc], Conversation],
        *,
        ahead: int,
        spend: Callable[[Usage], None],
    ) -> None:
        self.model = model
        self.start = start
        self.ahead = ahead
        self.spend = spend
        self.most = HANDED * model.concurrency
        self.talks: Deque[Talk] = deque()
        self.flying: Dict[Future[Answer], Tuple[Talk, int]] = {}
        # As `concurrent.futures.wait` does, at a cost that doesn't grow with their number.
        self.landed: SimpleQueue[Future[Answer]] = SimpleQueue()
        self.reading = True
        self.checked = False
        # Leaves `run` once everything that can be finished is given out.
        self.ending: Optional[Exception] = None
        self.dropped = 0

    def run(self, docs: Iterable[Doc]) -> Iterator[Talk]:
        """Hold the conversations. Ending the iteration early cancels what is in flight.

        docs (Iterable[Doc]): The documents, read no further ahead than needed.
        YIELDS (Talk): The finished ones in order, each as soon as it and all before it
            are finished. Those broken off by a limit are left out.
        RAISES (BudgetReached): After the last that could be finished. So is an error of
            the stream itself.
        """
        source = iter(docs)
        try:
            while True:
                self._harvest(block=False)
                while self.talks and self.talks[0].done:
                    talk = self.talks.popleft()
                    if talk.dropped:
                        self.dropped += 1
                    else:
                        yield talk
                if self.reading and len(self.talks) < self.ahead:
                    self._read(source)
                elif self.flying or self.talks:
                    self._harvest(block=True)
                else:
                    break
                self._submit()
        finally:
            self._cancel()
        if self.ending is not None:
            raise self.ending

    def _read(self, source: Iterator[Doc]) -> None:
        try:
            doc = next(source)
        except StopIteration:
            self.reading = False
        except Exception as e:
            self._end(e)
        else:
            talk = Talk(doc)
            self.talks.append(talk)
            talk.begin(self.start)

    def _submit(self) -> None:
        for talk in self.talks:
            while talk.queue and len(self.flying) < self.most:
                self._check()
                i, prompt = talk.queue.popleft()
                try:
                    future = self.model.submit(prompt)
                except Exception as e:
                    self._refused(talk, e)
                else:
                    self.flying[future] = (talk, i)
                    future.add_done_callback(self.landed.put)
            if len(self.flying) >= self.most:
                return

    def _check(self) -> None:
        # A model that can't be asked at all is no failure of a document.
        if not self.checked:
            self.checked = True
            check = getattr(self.model, "check", None)
            if check is not None:
                check()

    def _harvest(self, *, block: bool) -> None:
        while self.flying:
            try:
                future = self.landed.get(block)
            except Empty:
                return
            block = False
            # Another of the same talk may have failed and taken this one with it.
            talk, i = self.flying.pop(future, (None, 0))
            if talk is None:
                continue
            try:
                answer = future.result()
            except Exception as e:
                self._count(talk, getattr(e, "usage", None))
                if not is_overflow(e):
                    self._refused(talk, e)
                    continue
                answer = Answer("", finish_reason=OVERFLOW)
            self._count(talk, answer.usage)
            if not talk.done:
                talk.take(i, answer)

    def _count(self, talk: Talk, usage: Optional[Usage]) -> None:
        # What failed can have been paid for too.
        if usage is not None:
            talk.usage = talk.usage.plus(usage)
            self.spend(usage)

    def _refused(self, talk: Talk, error: Exception) -> None:
        if isinstance(error, BudgetReached):
            self._end(error)
            if not talk.done:
                talk.dropped = True
                talk.stop()
            # What is in flight ends by itself: it is paid for, and may be cached.
            return
        if not talk.done:
            talk.fail(error)
        for future in [x for x, (owner, _) in self.flying.items() if owner is talk]:
            if future.cancel():
                del self.flying[future]

    def _end(self, error: Exception) -> None:
        self.reading = False
        if self.ending is None:
            self.ending = error

    def _cancel(self) -> None:
        for future in self.flying:
            future.cancel()
        self.flying.clear()
        for talk in self.talks:
            if talk.conversation is not None:
                talk.conversation.close()


def is_overflow(error: Exception) -> bool:
    """RETURNS (bool): Whether a server refused a prompt because it is too long."""
    names: List[Any] = [getattr(error, key, None) for key in ("code", "type", "kind")]
    return any(isinstance(x, str) and x in OVERFLOW_CODES for x in names)
