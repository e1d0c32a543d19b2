"""
Ends a service without losing a request.

Told to end, it goes on for a while (`drain_s`): /readyz says that requests are not welcome any more, and each
connection is closed after its answer, so that whoever routes requests sends them elsewhere before the door is shut.
Works under any server that ends on SIGTERM, for its handler is only kept waiting.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

_RETIRE_S = 1.0

End = Callable[[], None]


def install(drain: Callable[[], None], drain_s: float) -> End | None:
    """
    Keep the present handler of SIGTERM waiting for *drain_s* seconds; *drain* is called first.

    To be called in the server's event loop. A second SIGTERM, or an interrupt from the keyboard, ends it at once.

    Returns:
        What ends this process a moment after it was called, and nothing before; None where no server is.
    """
    end = signal.getsignal(signal.SIGTERM)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a test or a tool made the service, and no server
        return None
    if threading.current_thread() is not threading.main_thread() or not callable(end):
        return None
    handle = end

    def begin() -> None:
        drain()
        loop.call_later(drain_s, handle, signal.SIGTERM, None)

    def handler(number: int, frame: Any) -> None:
        signal.signal(number, handle)
        del frame
        loop.call_soon_threadsafe(begin)

    signal.signal(signal.SIGTERM, handler)
    return lambda: _later(loop, handle)


def _later(loop: asyncio.AbstractEventLoop, handle: Callable[[int, Any], Any]) -> None:
    loop.call_later(_RETIRE_S, handle, signal.SIGTERM, None)
