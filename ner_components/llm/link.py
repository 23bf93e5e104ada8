"""How a prompt is answered: from the cache, or by the server in a form that it takes."""

import asyncio
import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Optional, Tuple

from ..errors import Errors, Warnings
from .budget import Budget
from .cache import AnswerCache
from .driver import OVERFLOW_CODES
from .exchange import Call, Exchange, Outcome, Trouble, make_error
from .failures import AnswerMissing, CacheFailed, LLMError
from .ladder import STEPS_DOWN, Ladder, make_body
from .protocol import Answer, BudgetReached, Prompt
from .replies import read_answer, read_usage
from .settings import check_ready, read_key

logger = logging.getLogger("ner_components")

# Tries of a form that is answered with status 500, before a lower form is tried.
MOST_500 = 2


class Link:
    """What belongs to a loop: connections, the cache, and what was found out of the server.
    It knows the model's settings and not the model, which can so be forgotten.
    """

    def __init__(self, settings: Dict[str, Any], budget: Budget) -> None:
        self.settings = settings
        self.budget = budget
        self.ladder = Ladder(settings["output_mode"])
        self.parameters = make_parameters(settings)
        self.cache: Optional[AnswerCache] = None
        if settings["cache"] is not None:
            ttl, most = settings["cache_ttl"], settings["cache_max_mb"]
            mode = settings["cache_mode"]
            self.cache = AnswerCache(settings["cache"], mode=mode, ttl=ttl, max_mb=most)
        # The cache has a thread: another process that writes must not hold up requests.
        self._pool = ThreadPoolExecutor(1, "ner_llm_cache")
        self._exchange: Optional[Exchange] = None
        self._warned = False
        # A place for each request in flight, given to the next once the answer is kept:
        # a run that is killed has paid for no more answers than that in vain.
        self.slots = asyncio.Semaphore(settings["concurrency"])
        # Held by the request that finds out which form the server takes.
        self.gate = asyncio.Lock()

    @property
    def url(self) -> str:
        """RETURNS (str): Where requests are posted."""
        return f"{self.settings['base_url'].rstrip('/')}/chat/completions"

    @property
    def exchange(self) -> Exchange:
        """RETURNS (Exchange): The connections, made in the loop at the first request."""
        if self._exchange is None:
            self._exchange = Exchange(self.url, self.settings["timeout"], self.budget)
        return self._exchange

    async def find(self, prompt: Prompt) -> Optional[Answer]:
        """RETURNS (Optional[Answer]): The answer in the cache, in whatever form it was
        asked for, the highest first.
        """
        cache, modes = self.cache, self.ladder.modes
        if cache is None:
            return None
        modes = modes if prompt.json_schema is not None else modes[:1]
        keys = [self.key(prompt, mode) for mode in modes]
        found = await self._in_pool(lambda: cache.get(keys))
        if found is None:
            if cache.mode == "read_only":
                raise AnswerMissing(Errors.N164.format(path=cache.path), kind="not_cached")
            return None
        place, kept = found
        if prompt.json_schema is not None and not self.ladder.proven:
            # What an earlier run found out.
            self.ladder.accept(place, prompt)
        return _restore(kept, cache)

    async def keep(self, prompt: Prompt, mode: str, answer: Answer) -> None:
        """Put an answer into the cache. One that is paid for is given out in any case."""
        cache, model = self.cache, self.settings["model"]
        if cache is None:
            return
        key, kept = self.key(prompt, mode), _store(answer)
        try:
            await asyncio.shield(self._in_pool(lambda: cache.put(key, model, kept)))
        except CacheFailed:
            logger.warning(Warnings.W151.format(path=cache.path))

    def key(self, prompt: Prompt, mode: str) -> bytes:
        """RETURNS (bytes): What an answer is kept under: a hash of all that is asked."""
        body = make_body(self.parameters, prompt, mode)
        text = json.dumps([self.url, body], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).digest()

    async def send(
        self, call: Call, prompt: Prompt, mode: str, *, most_500: int = 0
    ) -> Outcome:
        """RETURNS (Outcome): What the server replies to a prompt in a form."""
        body = make_body(self.parameters, prompt, mode)
        key = read_key(self.settings["api_key_env"])
        return await self.exchange.ask(call, body, key, most_500=most_500)

    def read(self, envelope: Dict[str, Any]) -> Answer:
        """RETURNS (Answer): The answer in a reply, its usage counted."""
        usage = read_usage(envelope, self.budget)
        self.budget.add(usage)
        if usage.unknown and self.budget.counts_tokens and not self._warned:
            self._warned = True
            logger.warning(Warnings.W150.format(url=self.url))
        return read_answer(envelope, usage)

    def make_call(self) -> Call:
        """RETURNS (Call): A request that had no try yet."""
        return Call(self.settings["max_retries"], self.settings["max_total_time"])

    async def close(self) -> None:
        """Close connections and cache."""
        if self._exchange is not None:
            await self._exchange.close()
        self._pool.shutdown()
        if self.cache is not None:
            self.cache.close()

    async def _in_pool(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)


async def answer_prompt(link: Link, prompt: Prompt) -> Answer:
    """Answer a prompt.

    link (Link): The connection to the server.
    prompt (Prompt): The prompt.
    RETURNS (Answer): The answer.
    RAISES (LLMError): There is none. (BudgetReached): A limit of the run is reached.
        (ValueError, ImportError): The model can't be asked as it is set.
    """
    check_ready(link.settings)
    try:
        answer = await link.find(prompt)
        if answer is not None:
            return answer
        async with link.slots:
            mode, envelope = await _ask(link, prompt)
            answer = link.read(envelope)
            await link.keep(prompt, mode, answer)
        return answer
    except (LLMError, BudgetReached, ImportError):
        raise
    except Exception as e:
        problem = type(e).__name__
    # Raised out here: what it was can hold text.
    raise LLMError(Errors.N160.format(problem=problem))


async def _ask(link: Link, prompt: Prompt) -> Tuple[str, Dict[str, Any]]:
    """Ask the server in the highest form that it takes.

    A refusal of a form, or a second reply of status 500 to it, leads to the next lower one,
    unless the server has taken the same schema in this form before: then it is meant for
    the document. What works is remembered.
    """
    ladder, call = link.ladder, link.make_call()
    if prompt.json_schema is None:
        # It has one form only.
        return ladder.modes[0], _settle(await link.send(call, prompt, "prompt"), link, call)
    if not ladder.proven:
        # Not each of those that come at once is to find it out.
        async with link.gate:
            if not ladder.proven:
                return await _descend(link, prompt, call)
    rung, suspect = ladder.rung, ladder.is_suspect(prompt)
    most = MOST_500 if suspect else 0
    outcome = await link.send(call, prompt, ladder.modes[rung], most_500=most)
    if suspect and _steps_down(outcome):
        async with link.gate:
            known = outcome if ladder.rung == rung else None
            return await _descend(link, prompt, call, known)
    if not isinstance(outcome, Trouble):
        ladder.accept(rung, prompt)
    return ladder.modes[rung], _settle(outcome, link, call)


async def _descend(
    link: Link, prompt: Prompt, call: Call, first: Optional[Outcome] = None
) -> Tuple[str, Dict[str, Any]]:
    """Ask in form after form, until one is taken.

    first (Optional[Outcome]): The outcome in the present form, if it was tried.
    """
    ladder, top = link.ladder, link.ladder.rung
    below = ladder.below()
    if first is None:
        most = MOST_500 if below else 0
        first = await link.send(call, prompt, ladder.modes[top], most_500=most)
    outcome, rung = first, top
    for lower in below:
        if not _steps_down(outcome):
            break
        rung, mode = lower, ladder.modes[lower]
        outcome = await link.send(link.make_call(), prompt, mode, most_500=1)
    if _steps_down(outcome):
        # No form is taken, so the form is not the reason: the first refusal stands.
        rung, outcome = top, first
        if isinstance(first, Trouble) and first.retry and call.left > 0:
            outcome = await link.send(call, prompt, ladder.modes[top])
    if not isinstance(outcome, Trouble):
        ladder.accept(rung, prompt)
    return ladder.modes[rung], _settle(outcome, link, call)


def _steps_down(outcome: Outcome) -> bool:
    if not isinstance(outcome, Trouble) or outcome.names.status not in STEPS_DOWN:
        return False
    # Too long a prompt is too long in any form.
    return not {outcome.names.code, outcome.names.type} & OVERFLOW_CODES


def _settle(outcome: Outcome, link: Link, call: Call) -> Dict[str, Any]:
    if isinstance(outcome, Trouble):
        raise make_error(outcome, call, link.url)
    return outcome


def make_parameters(settings: Dict[str, Any]) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): What every request's body has beside the messages."""
    names = ("model", "temperature", "seed", "max_tokens")
    sent = {name: settings[name] for name in names if settings[name] is not None}
    return {
        **sent,
        **({"logprobs": True} if settings["logprobs"] else {}),
        **settings["extra"],
    }


def _store(answer: Answer) -> Dict[str, Any]:
    return {
        "content": str(answer),
        "finish_reason": answer.finish_reason,
        "usage": answer.usage._asdict(),
        "logprobs": answer.logprobs,
    }


def _restore(kept: Dict[str, Any], cache: AnswerCache) -> Answer:
    content, reason = kept.get("content"), kept.get("finish_reason")
    if not isinstance(content, str):
        raise CacheFailed(Errors.N161.format(path=cache.path), kind="damaged")
    logprobs = kept.get("logprobs")
    logprobs = None if logprobs is None else [(x, p) for x, p in logprobs]
    return Answer(content, finish_reason=reason, logprobs=logprobs)
