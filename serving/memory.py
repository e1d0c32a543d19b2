"""
Replaces a worker that has grown too large, before the machine ends it in the middle of a request.

It ends of itself: connections are closed after their answer, what is being answered is finished, and whoever connects
meanwhile is answered by another worker, or by the next one: the door belongs to the supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("serving")

_EVERY_S = 1.0
_STATM = Path("/proc/self/statm")


async def watch(limit_bytes: int, retire: Callable[[], None]) -> None:
    """Call *retire* as soon as this process holds more than *limit_bytes* of memory."""
    while True:
        await asyncio.sleep(_EVERY_S)
        if (held := held_bytes()) > limit_bytes:
            break
    log.warning("this worker holds %d MB, more than max_memory_mb: another takes its place", held // 1_000_000)
    retire()


def held_bytes() -> int:
    """The memory that this process holds; where the system does not say, the most that it ever held."""
    try:
        return int(_STATM.read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
