"""
One request and its answer, through PyGithub: time-outs, and whether something may have happened all the same.

Nothing is repeated here, and the token appears in no error.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from mlops_ci.errors import MissingDependency, Refused
from mlops_ci.github.answers import Answer, one_line

if TYPE_CHECKING:
    from github.Requester import Requester

TIMEOUT_S = (5.0, 20.0)  # to connect, and between two bytes read
PER_PAGE = 100
_VERSION = "2022-11-28"
_TOKEN = re.compile(r"[!-~]+")
_HERE = frozenset({"127.0.0.1", "::1", "localhost"})


class Trouble(Exception):
    """
    An attempt that failed and may be made again; its text completes "cannot …: ".

    Attributes:
        happened: Whether GitHub may have done it all the same.
        answer: What came back, if anything did.
    """

    def __init__(self, reason: str, *, happened: bool, answer: Answer | None = None) -> None:
        super().__init__(reason)
        self.happened = happened
        self.answer = answer


class Wire:
    """The way to the API at *api_url* with *token*."""

    def __init__(self, token: str, api_url: str, timeout_s: tuple[float, float]) -> None:
        self._secret = _checked(token.strip(), api_url)
        self._read_s = timeout_s[1]
        self._requester = _requester(self._secret, api_url, timeout_s)
        weakref.finalize(self, self._requester.close)

    @property
    def graphql_url(self) -> str:
        """Where GraphQL is asked."""
        return self._requester.graphql_url

    def send(self, method: str, url: str, *, params: Mapping[str, Any] | None, body: Any) -> Answer:
        """
        Send it once.

        Raises:
            Trouble: There was no answer, or it was cut off.
        """
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  # with PyGithub

        try:
            status, headers, text = self._requester.requestJson(method, url, dict(params or {}), None, body)
        except (OSError, HTTPError, RuntimeError, ValueError) as error:
            raise self._trouble(error) from None  # its own text holds addresses, and more
        if status >= 400:
            text = text.replace(self._secret, "***")
        said, whole = _json(text)
        if status < 300 and not whole:
            raise Trouble("GitHub's answer was cut off, or was no JSON", happened=True)
        return Answer(status, headers, said)

    def _trouble(self, error: Exception) -> Trouble:
        import requests  # noqa: PLC0415  # with PyGithub

        causes = _causes(error)
        if isinstance(error, requests.ConnectTimeout):
            return Trouble("GitHub could not be reached in time", happened=False)
        if any("Timeout" in type(cause).__name__ for cause in causes):
            return Trouble(f"GitHub did not answer within {self._read_s:g} s", happened=True)
        if isinstance(error, requests.exceptions.SSLError):
            return Trouble("GitHub's certificate is not valid for this machine", happened=False)
        if any("NewConnection" in type(cause).__name__ or "NameResolution" in type(cause).__name__ for cause in causes):
            return Trouble("GitHub could not be reached", happened=False)
        if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
            return Trouble("the connection to GitHub broke", happened=True)
        away = isinstance(error, RuntimeError)
        reason = "GitHub redirects to another host, or in a circle" if away else "GitHub's answer could not be read"
        return Trouble(reason, happened=not away)


def _causes(error: BaseException) -> list[object]:
    """The error, and what it wraps: requests and urllib3 hold it as an argument or as a reason."""
    found: list[object] = []
    pending: list[object] = [error]
    while pending and len(found) < 20:
        found.append(current := pending.pop())
        pending += [part for part in getattr(current, "args", ()) if isinstance(part, BaseException)]
        pending += [part for part in [getattr(current, "reason", None)] if isinstance(part, BaseException)]
    return found


def is_safe(url: str) -> bool:
    """Whether what is sent there cannot be read on the way: `https`, or this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _HERE))


def _checked(token: str, api_url: str) -> str:
    if not token:
        raise Refused("there is no token for GitHub", hint="give the step `github-token: ${{ github.token }}`")
    if not _TOKEN.fullmatch(token):
        raise Refused("the token for GitHub holds what no token holds", hint="it is one word of letters and digits")
    if not is_safe(api_url):
        raise Refused(f"{one_line(api_url)!r} is no address for a token", hint="the API's address begins with https://")
    return token


def _requester(token: str, api_url: str, timeout_s: tuple[float, float]) -> Requester:
    try:
        from github import Auth  # noqa: PLC0415  # half a second
        from github.Requester import Requester  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependency("PyGithub", "github") from error
    # PyGithub's own retries would sleep for as long as `Retry-After` says, and repeat a POST blindly.
    return Requester(
        auth=Auth.Token(token),
        base_url=api_url,
        timeout=timeout_s,  # type: ignore[arg-type]  # requests takes the pair
        user_agent="mlops-ci",
        per_page=PER_PAGE,
        verify=True,
        retry=0,
        pool_size=None,
        seconds_between_requests=0,
        seconds_between_writes=0,
        api_version=_VERSION,
    )


def _json(text: str) -> tuple[Any, bool]:
    """What *text* says, and whether it is whole."""
    if not text:
        return None, True
    try:
        return msgspec.json.decode(text), True
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None, False
