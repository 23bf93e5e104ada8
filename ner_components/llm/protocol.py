"""What passes between the parts of the LLM engine: prompts out, answers back.

Prompts and answers are strings that know more, so that spacy-llm's tasks and models, which
pass strings, work with ours, and ours with its own.
"""

from concurrent.futures import Future
from typing import (
    Any,
    Dict,
    Generator,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Tuple,
)

from spacy.tokens import Doc

from ..entities import Candidate


class Usage(NamedTuple):
    """What requests took. Adding two is adding their numbers.

    requests (int): Answers that came from the server; one from the cache is none.
    prompt_tokens (int), completion_tokens (int): As the server counted them.
    cached_tokens (int): Prompt tokens that the server had in its own cache.
    cost (float): In the currency of the prices that were set; 0.0 without prices.
    unknown (int): Requests for which the server gave no usage.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    unknown: int = 0

    def plus(self, other: "Usage") -> "Usage":
        """RETURNS (Usage): The sum."""
        return Usage._make(a + b for a, b in zip(self, other, strict=True))


NO_USAGE = Usage()


class Prompt(str):
    """A request's user message.

    system (str): Instructions that go before it, empty for none.
    json_schema (Optional[Dict[str, Any]]): What the answer must look like.
    """

    system: str
    json_schema: Optional[Dict[str, Any]]

    def __new__(
        cls, text: str, *, system: str = "", json_schema: Optional[Dict[str, Any]] = None
    ) -> "Prompt":
        prompt = super().__new__(cls, text)
        prompt.system = system
        prompt.json_schema = json_schema
        return prompt

    def __repr__(self) -> str:
        return f"Prompt({len(self)} characters)"


class Answer(str):
    """A server's answer to a prompt.

    finish_reason (Optional[str]): Why it ends, in the protocol's words: "stop", "length",
        "content_filter"; None where the server or model doesn't say.
    usage (Usage): What it took.
    logprobs (Optional[List[Tuple[str, float]]]): Its tokens and their natural log
        probabilities, which joined give the answer; None where there are none.
    """

    finish_reason: Optional[str]
    usage: Usage
    logprobs: Optional[List[Tuple[str, float]]]

    def __new__(
        cls,
        text: str,
        *,
        finish_reason: Optional[str] = None,
        usage: Usage = NO_USAGE,
        logprobs: Optional[List[Tuple[str, float]]] = None,
    ) -> "Answer":
        answer = super().__new__(cls, text)
        answer.finish_reason = finish_reason
        answer.usage = usage
        answer.logprobs = logprobs
        return answer

    def __repr__(self) -> str:
        return f"Answer({len(self)} characters)"


# Yields the prompts of a round, is sent their answers in the same order, and returns the
# candidates of the document.
Conversation = Generator[List[Prompt], List[Answer], List[Candidate]]


class ConversingTask(Protocol):
    """A task that asks as often as it needs to. It never changes the document."""

    def converse(self, doc: Doc) -> Conversation: ...


class SubmittingModel(Protocol):
    """A model that answers prompts side by side.

    concurrency (int): Most requests in flight.
    """

    concurrency: int

    def submit(self, prompt: str) -> "Future[Answer]":
        """Ask, without waiting. Cancelling the future stops the request. Its exception is
        a `BudgetReached` where the run must end, and otherwise concerns this prompt alone.
        """

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[Answer]]:
        """Answer the prompts of many documents, lazily and in order: spacy-llm's form."""


class BudgetReached(Exception):
    """A limit of a run is reached: what is done is delivered, and nothing more is asked."""
