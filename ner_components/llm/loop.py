"""An event loop in a thread of its own, so that it doesn't matter what the caller runs."""

import asyncio
import os
from concurrent.futures import Future
from threading import Thread, current_thread
from typing import Any, Awaitable, Callable, Coroutine, TypeVar

T = TypeVar("T")


class LoopThread:
    """A private event loop of this process.

    cleanup (Callable[[], Awaitable[None]]): Run in the loop before it ends.
    """

    def __init__(self, cleanup: Callable[[], Awaitable[None]]) -> None:
        self.pid = os.getpid()
        self.cleanup = cleanup
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self._run, name="ner_llm", daemon=True)
        self.thread.start()

    def submit(self, coroutine: "Coroutine[Any, Any, T]") -> "Future[T]":
        """Run a coroutine in the loop. Cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def stop(self, wait: float = 0.0) -> None:
        """End the loop; what runs in it is cancelled.

        wait (float): Most seconds to wait for it.
        """
        # In a forked child the thread is not there, and the loop's pipe is the parent's.
        if self.pid != os.getpid() or self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        if wait and current_thread() is not self.thread:
            self.thread.join(wait)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        try:
            self.loop.run_until_complete(self._end())
        finally:
            self.loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.cleanup()
