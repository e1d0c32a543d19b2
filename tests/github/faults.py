"""What can go wrong between a client and GitHub; `GitHubServer.fault` plans it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.github.messages import Reply, Request, refusal

_SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach out to "
    "GitHub Support for help, please include the request ID 0000:000000:0000000:0000000:00000000."
)
_SECONDARY_URL = (
    "https://docs.github.com/free-pro-team@latest/rest/overview/rate-limits-for-the-rest-api"
    "#about-secondary-rate-limits"
)
_LIMITS_URL = "https://docs.github.com/rest/overview/resources-in-the-rest-api#rate-limiting"
_MESSAGES = {
    401: "Bad credentials",
    403: "Resource not accessible by integration",
    404: "Not Found",
    409: "Conflict",
    422: "Validation Failed",
    429: "too many requests",
    500: "Server Error",
    502: "Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class Fault:
    """
    A kind of fault.

    Attributes:
        happens: Whether the request is carried out all the same.
        answers: With what it is asked for ("as asked"), with *reply*, with half of it ("cut"), or not at all: the
            connection is closed ("closed"), or stays open until the client gives up ("never").
        after_s: Seconds before the answer.
    """

    happens: bool
    answers: Literal["as asked", "reply", "cut", "closed", "never"]
    reply: Reply | None = None
    after_s: float = 0.0


def status(code: int, headers: Mapping[str, str] | None = None, body: Any = None, *, happens: bool = False) -> Fault:
    """
    Answer with *code*; without a *body*, with GitHub's own words.

    Args:
        code: Of the answer.
        headers: Added to it.
        body: JSON, or bytes that are sent as they are (a proxy's page).
        happens: Whether the request is carried out all the same, as it may be with a 502.
    """
    said = refusal(code, _MESSAGES.get(code, "Error")).body if body is None else body
    return Fault(happens, "reply", Reply(code, said, dict(headers or {})))


def rate_limit(reset_in_s: int = 1, code: int = 403) -> Fault:
    """The limit of an hour is spent; it is reset after some seconds."""
    headers = {
        "x-ratelimit-limit": "1000",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-used": "1000",
        "x-ratelimit-reset": str(int(time.time()) + reset_in_s),
        "x-ratelimit-resource": "core",
    }
    return status(code, headers, refusal(code, "API rate limit exceeded for installation ID 77.", _LIMITS_URL).body)


def secondary_limit(retry_after_s: int | None = 1, code: int = 403) -> Fault:
    """Too much at once; without *retry_after_s* it is not said when to come again."""
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    return status(code, headers, refusal(code, _SECONDARY, _SECONDARY_URL).body)


def retry_after(seconds: int = 1, code: int = 429) -> Fault:
    """Come again after *seconds*."""
    return status(code, {"retry-after": str(seconds)})


def slow(seconds: float) -> Fault:
    """Carried out, and answered after *seconds*."""
    return Fault(happens=True, answers="as asked", after_s=seconds)


def timeout(*, happens: bool = False) -> Fault:
    """Never answered; the connection stays open until the client, or the server, ends it."""
    return Fault(happens, "never")


def cut_body() -> Fault:
    """Carried out; the answer says that it is longer than what is sent of it."""
    return Fault(happens=True, answers="cut")


def refused_connection() -> Fault:
    """Not carried out; the connection is closed without an answer."""
    return Fault(happens=False, answers="closed")


def done_then_dropped() -> Fault:
    """Carried out; the connection is closed without an answer."""
    return Fault(happens=True, answers="closed")


def web_page(code: int = 200) -> Fault:
    """Not carried out; something between here and GitHub answers with a page for people."""
    return status(code, {"content-type": "text/html"}, b"<!DOCTYPE html><title>Sign in</title><p>Who are you?")


@dataclass
class Planned:
    """
    A fault that will happen *times* more, to requests of *method* whose path has *path*.

    Attributes:
        method: A regular expression for the whole of it.
        path: A regular expression that is searched for in the path and the query.
        skip: How many such requests go well before.
        happened: How often it did.
    """

    method: str
    path: str
    times: int
    kind: Fault
    skip: int = 0
    happened: int = 0

    def fits(self, request: Request) -> bool:
        line = f"{request.path}?{request.query}" if request.query else request.path
        return self.happened < self.times and bool(
            re.fullmatch(self.method, request.method) and re.search(self.path, line)
        )


@dataclass
class Plan:
    """The faults that a test has asked for; the one planned first happens first."""

    planned: list[Planned] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Request) -> Fault | None:
        """The fault that happens to *request*; it is one less then."""
        with self._lock:
            for one in self.planned:
                if not one.fits(request):
                    continue
                if one.skip > 0:
                    one.skip -= 1
                    return None
                one.happened += 1
                return one.kind
        return None
