"""
The ASGI application: finds who answers a path, keeps the limits, and gives every answer its name, count and log line.

Written against ASGI itself: a framework's routing and response classes cost more than the prediction.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from serving import bodies
from serving.answers import Answer, Answers, Header
from serving.bodies import Disconnected, Receive
from serving.errors import Rejected
from serving.keys import Keys
from serving.manifest import Manifest, Settings
from serving.metrics import Metrics
from serving.tracing import Span, nothing

log = logging.getLogger("serving")

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]

_UNKNOWN = "other"
_CLOSE = (b"connection", b"close")
_LONGEST_ID = 128


@dataclass(eq=False, slots=True)
class Request:
    """What a handler sees; *headers* are by name in lower case."""

    id: str
    headers: dict[bytes, bytes]
    _receive: Receive
    _settings: Settings

    async def body(self) -> bytes:
        """The whole body, within the limits. Raises as `bodies.read`."""
        settings = self._settings
        return await bodies.read(
            self._receive, self.headers, limit=settings.max_body_bytes, timeout_s=settings.timeout_s
        )

    async def gone(self) -> None:
        """Come back when the caller has gone away, once the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


Handler = Callable[[Request], Awaitable[Answer]]


class Route(NamedTuple):
    """Who answers a path. *label* names it in the metrics; *open* ones need no API key; *quiet* ones are not logged."""

    handlers: dict[str, Handler]
    label: str
    open: bool = False
    quiet: bool = False


class App:
    """
    Answers requests to `routes`, which may grow until the first request.

    Attributes:
        closing: Set when this process is about to end: connections are closed after their answer.
    """

    def __init__(self, manifest: Manifest, answers: Answers, metrics: Metrics) -> None:
        self.routes: dict[str, Route] = {}
        self.answers = answers
        self.metrics = metrics
        self.keys: Keys | None = None
        self.span: Span = nothing
        self.closing = False
        self._settings = manifest.settings
        self._prefix = os.urandom(6).hex()
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = self._request_id(headers.get(b"x-request-id"))
        route = self.routes.get(scope["path"])
        label = route.label if route else _UNKNOWN
        self.metrics.in_flight.inc()
        try:
            if self.span is nothing:
                answer = await self._answer(scope, receive, headers, request_id, route)
            else:
                with self.span(label, headers):
                    answer = await self._answer(scope, receive, headers, request_id, route)
        except Disconnected:
            return
        finally:
            self.metrics.in_flight.dec()
        seconds = time.perf_counter() - started
        self.metrics.answered(label, answer.status, seconds)
        if answer.status >= 500 or (self._settings.access_log and not (route and route.quiet)):
            self._log(scope, answer, request_id, seconds)
        await self._send(send, answer, request_id, bodyless=scope["method"] == "HEAD")

    def admits(self, scope: Scope) -> bool:
        """Whether the request may go to somebody else: it has a key, where one is demanded."""
        if self.keys is None:
            return True
        try:
            self.keys.demand(dict(scope["headers"]))
        except Rejected:
            return False
        return True

    async def _answer(
        self, scope: Scope, receive: Receive, headers: dict[bytes, bytes], request_id: str, route: Route | None
    ) -> Answer:
        """The answer, whatever happens: a fault is an answer too."""
        try:
            if self.keys is not None and not (route and route.open):
                self.keys.demand(headers)
            handler = self._handler(scope, route)
            return await handler(Request(request_id, headers, receive, self._settings))
        except Rejected as error:
            self.metrics.rejected(error.reason, error.detail)
            return self.answers.rejection(error, request_id)
        except Disconnected:
            raise
        except Exception:
            log.exception("a request failed", extra={"request_id": request_id})
            fault = Rejected(500, "failed", "the service failed; its log says how")
            self.metrics.rejected(fault.reason, [])
            return self.answers.rejection(fault, request_id)

    def _handler(self, scope: Scope, route: Route | None) -> Handler:
        if route is None:
            known = ", ".join(sorted(path for path, each in self.routes.items() if not each.quiet))
            raise Rejected(404, "unknown-path", f"there is no {scope['path']}; there are {known}")
        method = scope["method"]
        handler = route.handlers.get(method) or (route.handlers.get("GET") if method == "HEAD" else None)
        if handler is None:
            raise Rejected(405, "method", f"{scope['path']} takes {' and '.join(sorted(route.handlers))}")
        return handler

    async def _send(self, send: Send, answer: Answer, request_id: str, *, bodyless: bool) -> None:
        headers: list[Header] = [
            *answer.headers,
            (b"content-length", str(len(answer.body)).encode()),
            (b"x-request-id", request_id.encode()),
            *self.answers.headers,
        ]
        if self.closing and _CLOSE not in headers:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if bodyless else answer.body})

    def _request_id(self, given: bytes | None) -> str:
        """The caller's own, if it is a word that a log can hold; else a new one."""
        if given and len(given) <= _LONGEST_ID and given.isascii() and (text := given.decode()).isprintable():
            return text
        return f"{self._prefix}-{next(self._numbers):x}"

    def _log(self, scope: Scope, answer: Answer, request_id: str, seconds: float) -> None:
        said = {
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"],
            "status": answer.status,
            "ms": round(seconds * 1000, 3),
        }
        log.log(logging.ERROR if answer.status >= 500 else logging.INFO, "answered", extra=said)
