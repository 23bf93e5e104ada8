"""A model behind any server that speaks the OpenAI chat protocol."""

import os
import weakref
from collections import deque
from concurrent.futures import Future
from threading import Lock
from typing import Any, Deque, Dict, Iterable, List, Optional

from .budget import Budget
from .exchange import import_httpx
from .link import Link, answer_prompt
from .loop import LoopThread
from .protocol import Answer, Prompt, Usage
from .settings import check_ready, check_settings


def build_openai_compatible(
    base_url: Optional[str] = None,
    model: Optional[str] = None,
    api_key_env: Optional[str] = None,
    concurrency: int = 8,
    timeout: float = 60.0,
    max_retries: int = 5,
    max_total_time: float = 300.0,
    temperature: Optional[float] = 0.0,
    seed: Optional[int] = None,
    max_tokens: Optional[int] = None,
    output_mode: str = "auto",
    logprobs: bool = False,
    extra: Dict[str, Any] = {},  # noqa: B006, copied and never changed
    context_length: Optional[int] = None,
    prices: Dict[str, float] = {},  # noqa: B006
    budget: Dict[str, float] = {},  # noqa: B006
    cache: Optional[str] = None,
    cache_mode: str = "use",
    cache_ttl: Optional[float] = None,
    cache_max_mb: float = 1024,
) -> "OpenAICompatible":
    """Make a model of a server that speaks the OpenAI chat protocol. Nothing is asked, and
    no file is touched, before the first prompt.

    base_url (Optional[str]): The server's URL up to "/chat/completions". No default: text
        goes to nobody unasked.
    model (Optional[str]): The model's name there.
    api_key_env (Optional[str]): Name of the environment variable that holds the key.
    concurrency (int): Most requests in flight.
    timeout (float): Seconds for a try.
    max_retries (int): Most further tries of a request, after a failure that may pass.
    max_total_time (float): Seconds for all tries of a request, waits included.
    temperature (Optional[float]), seed (Optional[int]), max_tokens (Optional[int]): As the
        protocol has them; `None` is not sent.
    output_mode (str): How JSON is asked for: "json_schema", "json_object_schema" (as
        llama.cpp has it), "json_object", "prompt", or "auto", the first of these that the
        server takes. Until the first answer is there, "auto" asks for one at a time.
    logprobs (bool): Ask for the log probabilities of the answer's tokens.
    extra (Dict[str, Any]): Further parameters of the request's body.
    context_length (Optional[int]): Tokens that prompt and answer can have together.
    prices (Dict[str, float]): Of a million tokens: "prompt", "completion", "cached_prompt".
    budget (Dict[str, float]): Most "requests", "tokens", "cost" of a run: see `Budget`.
    cache (Optional[str]): File that keeps answers; they can hold document text.
    cache_mode (str): "use", "refresh" (ask again, and keep) or "read_only" (never ask).
    cache_ttl (Optional[float]): Days after which an answer is asked for again.
    cache_max_mb (float): Size of the file; answers not used for longest go.
    RETURNS (OpenAICompatible): The model.
    RAISES (ValueError): A setting is out of range; the message names it.
    """
    return OpenAICompatible(**locals())


class OpenAICompatible:
    """A model behind a server: see `build_openai_compatible` for its settings.

    It can be used from any thread, in a process that forks, and where an event loop runs
    already: requests run in a loop of its own, which each process makes when it first asks.
    Pickles and copies hold the settings alone, which never hold a key.
    """

    def __init__(self, **settings: Any) -> None:
        maps = {name: dict(settings[name]) for name in ("extra", "prices", "budget")}
        self.settings: Dict[str, Any] = {**settings, **maps}
        check_settings(self.settings)
        self.concurrency: int = settings["concurrency"]
        self.context_length: Optional[int] = settings["context_length"]
        self._budget = Budget(maps["budget"], maps["prices"])
        self._lock = Lock()
        self._worker: Optional[LoopThread] = None
        self._link: Optional[Link] = None
        _models.add(self)

    def submit(self, prompt: str) -> "Future[Answer]":
        """Ask, without waiting. Cancelling the future stops the request.

        prompt (str): A `Prompt`, or plain text.
        RETURNS (Future[Answer]): The answer, or an `LLMError`, a `BudgetReached` (from
            which on nothing is asked), or a `ValueError` where no server can be asked.
        """
        asked = prompt if isinstance(prompt, Prompt) else Prompt(prompt)
        with self._lock:
            if self._worker is None or self._link is None:
                self._link = Link(self.settings, self._budget)
                self._worker = LoopThread(self._link.close)
                self._finalizer = weakref.finalize(self, self._worker.stop, 1.0)
            return self._worker.submit(self._answer(self._link, asked))

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[Answer]]:
        """Answer the prompts of many documents, lazily and in order: spacy-llm's form.

        prompts (Iterable[Iterable[str]]): The prompts of each document, read ahead until
            `concurrency` of them are asked.
        YIELDS (Iterable[Answer]): The answers of each document.
        """
        window: Deque[List[Future[Answer]]] = deque()
        try:
            for some in prompts:
                window.append([self.submit(x) for x in some])
                while sum(map(len, window)) >= self.concurrency:
                    yield self._collect(window)
            while window:
                yield self._collect(window)
        finally:
            for futures in window:
                for future in futures:
                    future.cancel()

    def check(self) -> None:
        """Check that a server can be asked, without asking it.

        RAISES (ValueError): No server or model is named, or the key is not there.
            (ImportError): httpx is not installed.
        """
        check_ready(self.settings)
        import_httpx()

    @property
    def usage(self) -> Usage:
        """RETURNS (Usage): What the answers of this run and process took."""
        return self._budget.usage

    def reset_usage(self) -> None:
        """Begin a new run: usage and what was used of the budget are 0."""
        self._budget.reset()

    def close(self) -> None:
        """Cancel what is in flight and close connections and cache. The model can be used
        again.
        """
        with self._lock:
            worker, self._worker, self._link = self._worker, None, None
        if worker is not None:
            self._finalizer.detach()
            worker.stop(wait=5.0)

    async def _answer(self, link: Link, prompt: Prompt) -> Answer:
        # A method, so that the model lives as long as somebody waits for its answer.
        return await answer_prompt(link, prompt)

    def _collect(self, window: "Deque[List[Future[Answer]]]") -> List[Answer]:
        # Left in the window until all are there: what fails or stops here is cancelled.
        answers = [future.result() for future in window[0]]
        window.popleft()
        return answers

    def _forget(self) -> None:
        """Go on in a forked child, which has neither the threads of its parent nor the
        right to its connections: it makes its own, and never closes what it inherits.
        """
        if self._worker is not None:
            self._finalizer.detach()
            _inherited.append((self._worker, self._link))
        self._lock, self._worker, self._link = Lock(), None, None
        self._budget.renew_lock()

    def __repr__(self) -> str:
        url, model = self.settings["base_url"], self.settings["model"]
        return f"OpenAICompatible(base_url={url!r}, model={model!r})"

    def __getstate__(self) -> Dict[str, Any]:
        return self.settings

    def __setstate__(self, settings: Dict[str, Any]) -> None:
        self.__init__(**settings)  # type: ignore[misc]


_models: "weakref.WeakSet[OpenAICompatible]" = weakref.WeakSet()
_inherited: List[Any] = []


def _forget_all() -> None:
    for model in list(_models):
        model._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
