"""
What clients take for GitHub: a server on this machine, in front of the emulator and of what it lacks.

Every request is noted and held against GitHub's description of its API, and so is every answer; what breaks it stands
in `violations`. Faults happen where a test has planned them.
"""

from __future__ import annotations

import re
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.github import fake, mended, runs
from tests.github.arranged import Arranged
from tests.github.contract import contract
from tests.github.emulator import ACTIONS, APP, PEOPLE, Emulator
from tests.github.faults import Fault, Plan, Planned
from tests.github.identities import Identity, Kind, identity, refused
from tests.github.listening import Handler, Server
from tests.github.messages import Reply, Request, refusal
from tests.github.world import World

_NO_ANSWER = 0
_LONGEST_S = 60.0
_XML = {"content-type": "application/xml"}


@dataclass(frozen=True)
class Call:
    """
    One request that came, in the order of its coming.

    Attributes:
        path: Without the query.
        status: Of the answer; 0 where a fault left the client without one.
        login: Whose token it carried, "" for none that is known.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int
    login: str
    headers: Mapping[str, str]


class GitHubServer(Arranged):
    """
    GitHub, with one repository of a test's own.

    Attributes:
        url: The API's root, for `GITHUB_API_URL` and as PyGithub's `base_url`.
        repository: "owner/name".
        calls: What was asked, storage excepted; the helpers here ask without being noted.
        downloads: The paths that were asked of the storage, where archives are kept.
        violations: What broke GitHub's description, a line each.
        allowed: Patterns of violations that a test expects, each with its reason.
    """

    def __init__(self, emulator: Emulator, name: str, *, owner: str = "octocat", private: bool = False) -> None:
        """Make the repository *owner*/*name*."""
        self.calls: list[Call] = []
        self.downloads: list[str] = []
        self.violations: list[str] = []
        self.allowed: dict[str, str] = {}
        self.repository = f"{owner}/{name}"
        self.world = World(emulator, self.repository, private=private)
        self._tokens: dict[str, Identity] = {}
        self._plan = Plan()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._servers = [self._serve(_api_handler(self)), self._serve(_storage_handler(self))]
        self.url, self.world.storage = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)
        self.world.url = self.url
        place = "/user/repos" if owner == "octocat" else f"/orgs/{owner}/repos"
        self.world.do("POST", place, {"name": name, "auto_init": True, "private": private})
        # The emulator lets strangers do everything, but not where it is private.
        for login in PEOPLE if private else ():
            self.world.ask("PUT", f"{self.world.place}/collaborators/{login}", {"permission": "push"})

    def close(self) -> None:
        """Stop listening; whoever still waits for an answer gets none."""
        self._closing.set()
        for server in self._servers:
            server.shutdown()
            server.hang_up()
            server.server_close()

    def token(
        self,
        login: str = ACTIONS,
        permissions: Mapping[str, str] | None = None,
        *,
        kind: Kind | None = None,
        value: str = "",
    ) -> str:
        """
        Return a token of *login*.

        Args:
            login: Of an App or the workflow ("…[bot]"), or of a person.
            permissions: As a workflow writes them: {"pull-requests": "write"}. Without them an App may only read what
                everybody may, and a person does what their role allows.
            kind: "installation" unless the login is a person's.
            value: The token itself, if a test must choose it.
        """
        kind = kind or ("installation" if login.endswith("[bot]") else "user")
        prefix = "ghs_" if kind == "installation" else "github_pat_" if permissions is not None else "ghp_"
        value = value or f"{prefix}{self.world.next_id():036d}"
        self._tokens[value] = identity(login, permissions, kind)
        return value

    def revoke(self, token: str) -> None:
        """Make *token* one that GitHub does not know (any more)."""
        del self._tokens[token]

    def fault(self, *, method: str = ".*", path: str = "", times: int = 1, kind: Fault, after: int = 0) -> Planned:
        """
        Plan a fault of a *kind* of `tests.github.faults`.

        Args:
            method: A regular expression for the whole method.
            path: A regular expression that is searched for in the path and the query.
            times: How often it happens.
            kind: What happens.
            after: How many such requests go well before.
        """
        planned = Planned(method, path, times, kind, skip=after)
        self._plan.planned.append(planned)
        return planned

    def allow(self, pattern: str, reason: str) -> None:
        """Expect violations that match *pattern*; *reason* says why."""
        self.allowed[pattern] = reason

    def unexpected(self) -> list[str]:
        """The violations that nobody allowed."""
        return [line for line in self.violations if not any(re.search(pattern, line) for pattern in self.allowed)]

    def answer(self, request: Request) -> tuple[Reply | None, Fault | None]:
        """Answer *request* and note it; no reply where the connection is just to be closed, or kept waiting."""
        who = self._tokens.get(_token(request))
        with self._lock:
            self._note(request, "request", contract().of_request(request))
            place = len(self.calls)
            call = Call(
                request.method,
                request.path,
                request.params,
                request.body,
                _NO_ANSWER,
                who.login if who else "",
                request.headers,
            )
            self.calls.append(call)
        fault = self._plan.take(request)
        reply = self._carried_out(request, who) if fault is None or fault.happens else None
        if fault and fault.after_s:
            self._closing.wait(fault.after_s)
        if fault and fault.answers == "reply":
            reply = fault.reply
        if fault is None or fault.answers in {"reply", "as asked"}:
            assert reply is not None
            with self._lock:
                self.calls[place] = Call(**{**call.__dict__, "status": reply.status})
        return reply, fault

    def wait(self) -> None:
        """Let a client wait, until it or the server gives up."""
        self._closing.wait(_LONGEST_S)

    def archive(self, path: str, headers: Mapping[str, str]) -> Reply:
        """What the storage answers; it wants no token, and refuses one as GitHub's does."""
        self.downloads.append(path)
        found = re.fullmatch(r"/archives/(\d+)\.zip\?sig=for-a-minute", path)
        if "authorization" in headers:
            return Reply(401, b"<Error><Code>InvalidAuthenticationInfo</Code></Error>", _XML)
        if found is None or int(found[1]) not in self.world.tables.archives:
            return Reply(404, b"<Error><Code>BlobNotFound</Code></Error>", _XML)
        return Reply(200, self.world.tables.archives[int(found[1])], {"content-type": "application/zip"})

    def storage_fault(self, request: Request) -> Fault | None:
        """What happens to a download; faults are planned for both hosts alike."""
        return self._plan.take(request)

    def _carried_out(self, request: Request, who: Identity | None) -> Reply:
        try:
            with self.world.lock:
                reply = self._reply(request, who)
            problems = contract().of_reply(request, reply)
            if reply.status >= 500:
                problems.append(f"the emulator failed: {reply.body}")
        except Exception:  # noqa: BLE001  # the test shall hear of it, and not only its client
            reply, problems = refusal(500, "Server Error"), [f"the testbed failed: {traceback.format_exc()}"]
        with self._lock:
            self._note(request, f"answer {reply.status}", problems)
        return Reply(reply.status, reply.body, {**_limits(self.calls), **reply.headers})

    def _reply(self, request: Request, who: Identity | None) -> Reply:
        documentation = contract().documentation(request)
        if re.match("/app(/|$)", request.path) and _token(request).startswith("eyJ"):
            return self._of_an_app(request)
        if who is None:
            said = "Bad credentials" if request.headers.get("authorization") else "Requires authentication"
            return refusal(401, said)
        no = refused(who, request, self._role(request, who), documentation)
        if no is not None:
            return no
        for routes in (fake.ROUTES, runs.ROUTES, mended.ROUTES):
            if answering := routes.find(self.world, request, who):
                return _documented(answering(), documentation)
        path = f"{request.path}?{request.query}" if request.query else request.path
        return _documented(self.world.ask(request.method, path, request.body, login=who.login), documentation)

    def _of_an_app(self, request: Request) -> Reply:
        """What the emulator answers to an App that shows its own signature; the tokens that it hands out are known."""
        reply = self.world.as_app(request)
        if reply.status == 201 and request.path.endswith("/access_tokens"):
            self._tokens[reply.body["token"]] = identity(APP, reply.body["permissions"], "installation")
        return reply

    def _role(self, request: Request, who: Identity) -> str:
        """The role of a person in what is asked for; that of an App is what its permissions say."""
        at_home = request.path.lower().startswith(f"{self.world.place.lower()}/") or request.path == self.world.place
        return self.world.role(who.login) if who.kind == "user" and at_home else ""

    def _note(self, request: Request, what: str, problems: list[str]) -> None:
        self.violations += [f"{what}: {request.method} {request.path}?{request.query}: {line}" for line in problems]

    def _serve(self, handler: type[BaseHTTPRequestHandler]) -> Server:
        server = Server(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server


def _token(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() in {"bearer", "token"} else ""


def _documented(reply: Reply, documentation: str) -> Reply:
    """*reply*, with the page of GitHub's manual where it is an error."""
    if reply.status < 400 or not isinstance(reply.body, dict):
        return reply
    return Reply(reply.status, {**reply.body, "documentation_url": documentation}, reply.headers)


def _limits(calls: list[Call]) -> dict[str, str]:
    return {
        "x-github-api-version-selected": "2022-11-28",
        "x-github-request-id": f"0000:0000:{len(calls)}",
        "x-ratelimit-limit": "1000",
        "x-ratelimit-remaining": str(max(1000 - len(calls), 1)),
        "x-ratelimit-used": str(len(calls)),
        "x-ratelimit-reset": str(int(time.time()) + 3600),
        "x-ratelimit-resource": "core",
    }


def _api_handler(server: GitHubServer) -> type[Handler]:
    class OfTheApi(Handler):
        def handled(self) -> None:
            reply, fault = server.answer(self.asked())
            _send(self, server, reply, fault)

    return OfTheApi


def _storage_handler(server: GitHubServer) -> type[Handler]:
    class OfTheStorage(Handler):
        def handled(self) -> None:
            request = self.asked()
            fault = server.storage_fault(request)
            reply = server.archive(self.path, request.headers)
            _send(self, server, (fault.reply if fault else None) or reply, fault)

    return OfTheStorage


def _send(handler: Handler, server: GitHubServer, reply: Reply | None, fault: Fault | None) -> None:
    answers = fault.answers if fault else "as asked"
    if answers == "never":
        server.wait()
    if answers in {"never", "closed"} or reply is None:
        handler.close_connection = True
        return
    handler.say(reply, cut=answers == "cut")
