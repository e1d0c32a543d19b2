"""One thread that does one thing after another, and that nobody waits for when the process ends."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Thread:
    """
    Calls functions in a thread of its own, in their order.

    The standard library's executor waits for its threads at the end of the process: a hung model would keep it alive.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="model", daemon=True).start()

    def call(self, loop: asyncio.AbstractEventLoop, function: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Call *function*, which must not raise, and let *loop* have what it returns."""
        found: asyncio.Future[_Result] = loop.create_future()

        def settle(result: Any) -> None:
            if not found.done():
                found.set_result(result)

        self._calls.put(lambda: self._tell(loop, settle, function()))
        return found

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            try:
                call()
            except BaseException:  # it must go on, or nobody would ever be answered again
                logging.getLogger("serving").exception("the model's thread was interrupted")

    @staticmethod
    def _tell(loop: asyncio.AbstractEventLoop, settle: Callable[[Any], None], result: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result)
