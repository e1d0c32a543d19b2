"""uvicorn's HTTP protocol, for callers who say nothing, or half of it, or something in the last moment."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEADERS_S = 20.0
_LAST_WORD_S = 1.0


class Protocol(HttpToolsProtocol):
    """Closes a connection whose next request's headers are not there in time; uvicorn waits for them for ever."""

    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect a request."""
        super().connection_made(transport)
        self._overdue = self.loop.call_later(_HEADERS_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Read on; what is no whole request yet must become one."""
        super().data_received(data)
        if self._is_idle():
            if self._overdue is None and not self.transport.is_closing():
                self._overdue = self.loop.call_later(_HEADERS_S, self._give_up)
        elif self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def shutdown(self) -> None:
        """Close, but not before a request is read that may be on its way: uvicorn would drop it."""
        if not self._is_idle():
            super().shutdown()
            return
        if self._overdue is not None:
            self._overdue.cancel()
        self._overdue = self.loop.call_later(_LAST_WORD_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        if self._overdue is not None:
            self._overdue.cancel()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)

    def _give_up(self) -> None:
        self._overdue = None
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()
