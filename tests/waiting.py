"""Waits for what another process does, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(true: Callable[[], object], *, within_s: float = 60, every_s: float = 0.02) -> None:
    """Wait until it is; a test that fails takes as long as *within_s*."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, f"this was not so within {within_s:g} s"
        time.sleep(every_s)
