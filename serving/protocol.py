"""uvicorn's HTTP protocol, for callers who say nothing, or half of it, or something in the last moment."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEADERS_S = 20.0
_LAST_WORD_S = 1.0


class Joined:
    """
    A transport that sends the head of an answer together with its body, which uvicorn writes one after the other.

    What nothing follows in the same turn of the loop is sent at its end. Two packets for each answer cost a tenth of
    the time that a small prediction takes, here and at the caller.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        """What else a transport can do."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send *data*, behind what waits, or in a moment."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        else:
            self._head = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Send what waits, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)


class Protocol(HttpToolsProtocol):
    """Closes a connection whose next request's headers are not there in time; uvicorn waits for them for ever."""

    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect a request."""
        joined: Any = Joined(transport, self.loop)
        super().connection_made(joined)
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
