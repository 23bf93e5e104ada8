"""What a run took, and how much it may take."""

from threading import Lock
from typing import Dict, Optional

from ..errors import Errors
from .protocol import BudgetReached, Usage

LIMITS = ("requests", "tokens", "cost")
PRICES = ("prompt", "completion", "cached_prompt")


class Budget:
    """Counts a run's requests and usage and holds them to limits; safe to share by threads.

    Every request sent to the server counts for the limit on requests, those that failed and
    were tried again too: that limit is never passed. Tokens and cost are known when an
    answer is there, so that what is in flight can pass those limits. A process counts for
    itself: with `n_process`, each worker has the whole budget.

    limits (Dict[str, float]): Most "requests", "tokens" (prompt and completion), "cost".
    prices (Dict[str, float]): Of a million tokens: "prompt", "completion" and
        "cached_prompt", which is "prompt" if it isn't given.
    """

    def __init__(self, limits: Dict[str, float], prices: Dict[str, float]) -> None:
        self.limits = limits
        self.prices = prices
        self._lock = Lock()
        self._started = 0
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        """RETURNS (Usage): What the answers of the run took."""
        with self._lock:
            return self._usage

    @property
    def counts_tokens(self) -> bool:
        """RETURNS (bool): Whether a limit needs the server's usage."""
        return "tokens" in self.limits or "cost" in self.limits

    def reset(self) -> None:
        """Begin a new run."""
        with self._lock:
            self._started = 0
            self._usage = Usage()

    def renew_lock(self) -> None:
        """Go on in a forked child, where nobody would release the lock."""
        self._lock = Lock()

    def take(self) -> None:
        """Count a request that is about to be sent.

        RAISES (BudgetReached): A limit is reached, so that it must not be sent.
        """
        with self._lock:
            name = self._reached()
            if name is None:
                self._started += 1
                return
        raise BudgetReached(Errors.N159.format(name=name, limit=self.limits[name]))

    def add(self, usage: Usage) -> None:
        """Count what an answer took."""
        with self._lock:
            self._usage = self._usage.plus(usage)

    def price(self, prompt: int, completion: int, cached: int) -> float:
        """RETURNS (float): The cost of so many tokens; `cached` are some of `prompt`."""
        full = self.prices.get("prompt", 0.0)
        less = self.prices.get("cached_prompt", full)
        cost = (prompt - cached) * full + cached * less
        return (cost + completion * self.prices.get("completion", 0.0)) / 1e6

    def _reached(self) -> Optional[str]:
        usage = self._usage
        spent = {
            "requests": self._started,
            "tokens": usage.prompt_tokens + usage.completion_tokens,
            "cost": usage.cost,
        }
        reached = (name for name in LIMITS if spent[name] >= self.limits.get(name, 1e300))
        return next(reached, None)
