"""
One repository on GitHub, and the way there: requests, pages, retries, limits, and errors that say what to do.

A request is repeated where that cannot do harm. One that creates something and may have happened is looked up
first. What the answers mean is the business of the modules beside this one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from mlops_ci.errors import Refused, ServiceError, UsageError
from mlops_ci.github import limits
from mlops_ci.github.answers import Answer, failure, one_line, read
from mlops_ci.github.wire import PER_PAGE, TIMEOUT_S, Trouble, Wire

_ATTEMPTS = 4
_PATIENCE_S = 60.0
_MOST_PAGES = 1_000
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?!\.{1,2}$)[A-Za-z0-9._-]+")
_AGAIN = "https://www.githubstatus.com tells how GitHub is; run the same again"
_AGAIN_THEN = "run the same again then"


@dataclass(frozen=True)
class _Call:
    method: str
    url: str
    body: Any
    params: Mapping[str, Any] | None
    what: str
    needs: str
    look_up: Callable[[], Any] | None = None


class _Viewer(msgspec.Struct):
    login: str


class _ViewerField(msgspec.Struct):
    viewer: _Viewer


class _ViewerAnswer(msgspec.Struct):
    data: _ViewerField


def connect(*, token: str, repository: str, api_url: str = "https://api.github.com", login: str = "") -> GitHub:
    """
    Return the *repository* ("owner/name") as the *token* sees it. No request is made.

    Args:
        token: Any of GitHub's.
        repository: Its full name.
        api_url: `https`, or `http` on this machine.
        login: Whom the token writes as, where it is known: "github-actions[bot]" for the workflow's own.

    Raises:
        MissingDependency: PyGithub is not installed.
        Refused: There is no token, or it would be sent in the clear.
        UsageError: The repository or the address cannot be one.
    """
    return GitHub(token=token, repository=repository, api_url=api_url, login=login)


class GitHub:
    """
    One repository through GitHub's API.

    Attributes:
        repository: "owner/name".
        calls: How many requests were sent, repeated ones included.
    """

    def __init__(
        self,
        *,
        token: str,
        repository: str,
        api_url: str,
        login: str = "",
        sleep: Callable[[float], None] = time.sleep,
        timeout_s: tuple[float, float] = TIMEOUT_S,
    ) -> None:
        """See `connect`. *sleep* is told seconds; *timeout_s* are those to connect, and between two bytes read."""
        if not _REPOSITORY.fullmatch(repository):
            raise UsageError(f"{one_line(repository)!r} is no repository", hint="write it as owner/name")
        self.repository = repository
        self.calls = 0
        self._login = login
        self._sleep = sleep
        self._patience_s = _PATIENCE_S
        self._wire = Wire(token, api_url.rstrip("/"), timeout_s)

    @property
    def owner(self) -> str:
        """The user or organisation that the repository belongs to."""
        return self.repository.partition("/")[0]

    def viewer(self) -> str:
        """
        Who the token writes as; asked once, of GraphQL, which answers every kind of token.

        Raises:
            Refused: The token is not valid.
            ServiceError: GitHub did not answer.
        """
        if not self._login:
            what = "ask whom the token belongs to"
            call = _Call(
                "POST", self._wire.graphql_url, {"query": "{ viewer { login } }"}, None, what, "", harmless_twice
            )
            self._login = read(self._answer(call).body, _ViewerAnswer, what=what).data.viewer.login
        return self._login

    def ask(self, query: str, *, what: str, **variables: str | int) -> Any:
        """
        Ask GraphQL what REST does not tell, and return the answer's data; *query* must change nothing.

        Raises:
            Refused: GitHub did not answer this, or not to this token.
            ServiceError: GitHub did not answer.
        """
        body = {"query": query, "variables": variables}
        call = _Call("POST", self._wire.graphql_url, body, None, what, "", harmless_twice)
        told = self._answer(call).body
        errors = told.get("errors") if isinstance(told, dict) else None
        if errors:
            said = "; ".join(str(one.get("message", "")) for one in errors if isinstance(one, dict))
            raise Refused(f"cannot {what}: {one_line(said)}", hint="look whether the token may read that")
        return read(told, dict[str, Any], what=what).get("data")

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        what: str,
        needs: str = "",
        look_up: Callable[[], Any] | None = None,
    ) -> Any:
        """
        Send one request, again where that helps, and return the answer's JSON.

        Args:
            method: In capitals.
            path: Below the repository; with a slash at its beginning, below the whole API.
            body: Sent as JSON.
            params: The query.
            what: Completes "cannot …" in an error.
            needs: The permission it takes: "pull-requests: write".
            look_up: Asked before something that may have happened is repeated; what it returns, unless None, is
                the answer then. Without it a POST that may have happened is not repeated.

        Raises:
            PermissionMissing: The token may not.
            Refused: The token is not valid.
            NotFound: There is no such thing.
            Conflict: GitHub says that something else is in the way.
            UsageError: GitHub does not accept what was sent.
            ServiceError: GitHub did not answer, or wants us to wait for longer than a minute.
        """
        answer = self._answer(_Call(method, self._url(path), body, params, what, needs, look_up))
        if answer.status >= 300:
            raise failure(answer, what=what, needs=needs)
        return answer.body

    def pages(
        self, path: str, *, key: str = "", params: Mapping[str, Any] | None = None, what: str, needs: str = ""
    ) -> Iterator[Any]:
        """
        Yield every entry of a list, over all its pages; *key* names it where the answer is an object.

        Raises:
            ServiceError: An answer is no such list; and as `request`.
        """
        url, query = self._url(path), {**(params or {}), "per_page": PER_PAGE}
        for _ in range(_MOST_PAGES):
            answer = self._answer(_Call("GET", url, None, query, what, needs))
            page = answer.body.get(key) if key and isinstance(answer.body, dict) else answer.body
            yield from read(page, list[Any], what=what)
            url, query = next_page(answer.headers.get("link", "")), {}
            if not url:
                return
        raise ServiceError(f"cannot {what}: there are more than {_MOST_PAGES:,} pages")

    def location(self, path: str, *, what: str, needs: str = "") -> str:
        """Where GitHub sends whoever asks for *path*; nobody goes there."""
        answer = self._answer(_Call("GET", self._url(path), None, None, what, needs))
        place = answer.headers.get("location", "")
        if answer.status != 302 or not place:
            raise ServiceError(f"cannot {what}: GitHub does not say where it is ({answer.status})")
        return place

    def pause(self, attempt: int) -> None:
        """Wait before the next attempt after number *attempt*, at something that is no request of ours to the API."""
        self._sleep(limits.backoff_s(attempt))

    def _url(self, path: str) -> str:
        return path if path.startswith("/") else f"/repos/{self.repository}/{path}".rstrip("/")

    def _answer(self, call: _Call) -> Answer:
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._once(call)
            except Trouble as trouble:
                last = attempt == _ATTEMPTS
                if not last:
                    self._wait(call, trouble, attempt)
                if trouble.happened and (call.look_up or call.method == "POST"):
                    found = self._looked_up(call, trouble)
                    if found is not None:
                        return Answer(200, {}, found)
                if last:
                    raise _gave_up(call, trouble) from trouble

    def _looked_up(self, call: _Call, trouble: Trouble) -> Any:
        if call.look_up is None:
            raise ServiceError(
                f"cannot say whether GitHub did {call.what}: {trouble}", hint="look whether it did, then run it again"
            ) from trouble
        return call.look_up()

    def _once(self, call: _Call) -> Answer:
        self.calls += 1
        answer = self._wire.send(call.method, call.url, params=call.params, body=call.body)
        if limits.limited(answer):
            raise Trouble(answer.message or f"GitHub answered {answer.status}", happened=False, answer=answer)
        if answer.status in limits.TRANSIENT:
            raise Trouble(f"GitHub answered {answer.status}", happened=True, answer=answer)
        if answer.status >= 400:
            raise failure(answer, what=call.what, needs=call.needs)
        return answer

    def _wait(self, call: _Call, trouble: Trouble, attempt: int) -> None:
        asked = limits.wait_s(trouble.answer) if trouble.answer else None
        if asked is not None:
            if asked > self._patience_s:
                raise _gave_up(call, trouble) from trouble
            self._patience_s -= asked
        self._sleep(max(asked or 0.0, limits.backoff_s(attempt)))


def segment(value: str) -> str:
    """
    *value* as one part of a path.

    Raises:
        UsageError: It would name another place.
    """
    if value in {"", ".", ".."}:
        raise UsageError(f"{value!r} is no name that GitHub could know")
    return quote(value, safe="")


def next_page(link: str) -> str:
    """The address of the page after this one, from the header `Link`; "" if this is the last."""
    from requests.utils import parse_header_links  # noqa: PLC0415  # with PyGithub

    found = (entry.get("url", "") for entry in parse_header_links(link) if entry.get("rel") == "next")
    return next(found, "")


def _gave_up(call: _Call, trouble: Trouble) -> ServiceError:
    asked = limits.wait_s(trouble.answer) if trouble.answer else None
    if trouble.answer and asked:
        until = limits.until(trouble.answer, asked)
        return ServiceError(f"cannot {call.what}: {trouble}; GitHub asks to wait until {until}", hint=_AGAIN_THEN)
    return ServiceError(f"cannot {call.what}: {trouble}", hint=_AGAIN)


def harmless_twice() -> None:
    """Look nothing up: twice does no harm."""
