"""
What a test's GitHub knows beside the emulator, and the way to the emulator.

The emulator's answers are told here as GitHub tells them wherever they appear: addresses, bots, times.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.github.emulator import BASE, PEOPLE, Emulator
from tests.github.identities import Identity
from tests.github.messages import Reply, Request, refusal
from tests.repositories import git

WEB = "https://github.com"
_API = re.compile("/(repos|users|orgs|teams|app|installation|user|organizations|repositories)(/|$)")
_OF_THE_WEB = {"html_url", "avatar_url", "clone_url", "svn_url", "diff_url", "patch_url", "blob_href"}
_SIMPLE_USER = [
    "login",
    "id",
    "node_id",
    "avatar_url",
    "gravatar_id",
    "url",
    "html_url",
    "followers_url",
    "following_url",
    "gists_url",
    "starred_url",
    "subscriptions_url",
    "organizations_url",
    "repos_url",
    "events_url",
    "received_events_url",
    "type",
    "site_admin",
    "user_view_type",
]
_LEGACY = {"admin": "admin", "maintain": "write", "write": "write", "triage": "read", "read": "read", "none": "none"}


@dataclass(frozen=True)
class Answering:
    """One request on its way to an answer; *found* are the parts of its path, as they were before encoding."""

    world: World
    request: Request
    who: Identity
    found: dict[str, str]

    def forward(self, body: Any = None) -> Reply:
        """What the emulator answers, to the same request or to one with another *body*."""
        asked = self.request.body if body is None else body
        path = f"{self.request.path}?{self.request.query}" if self.request.query else self.request.path
        return self.world.ask(self.request.method, path, asked, login=self.who.login)

    def number(self, name: str) -> int:
        """A part of the path that is a number; 0 if it is none."""
        return int(self.found[name]) if self.found[name].isdecimal() else 0


Answer = Callable[[Answering], Reply]


@dataclass
class Pull:
    """What the emulator cannot hold of a pull request: commits that are in no repository of its own."""

    head_sha: str
    base_sha: str
    head_branch: str
    head_repository: str | None
    base_branch: str
    merge_sha: str | None


@dataclass
class Tables:
    """What the emulator has no place for."""

    pulls: dict[int, Pull] = field(default_factory=dict)
    comment_times: dict[int, str] = field(default_factory=dict)
    reactions: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    edits: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    checks: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    annotations: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    deployments: dict[int, dict[str, Any]] = field(default_factory=dict)
    deployment_statuses: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    approvals: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    pending: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    artifacts: dict[int, dict[str, Any]] = field(default_factory=dict)
    archives: dict[int, bytes] = field(default_factory=dict)
    rules: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    protection: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    roles: dict[str, str] = field(default_factory=dict)


class World:
    """
    One repository, in *emulator* and beside it.

    Attributes:
        repository: "owner/name".
        url: The API's root, as clients know it.
        storage: Where archives are kept: a host of its own, as GitHub's is.
        git: The bare repository whose commits GitHub knows; without one it takes every SHA.
    """

    def __init__(self, emulator: Emulator, repository: str, *, private: bool) -> None:
        self.emulator = emulator
        self.private = private
        self.repository = repository
        self.url = self.storage = ""
        self.git: Path | None = None
        self.tables = Tables()
        self.lock = threading.RLock()
        self._ids = count(1001)
        self._users: dict[str, dict[str, Any]] = {}

    @property
    def place(self) -> str:
        """The path of the repository."""
        return f"/repos/{self.repository}"

    @property
    def owner(self) -> str:
        return self.repository.partition("/")[0]

    def next_id(self) -> int:
        return next(self._ids)

    def ask(self, method: str, path: str, body: Any = None, *, login: str = "octocat") -> Reply:
        """What the emulator answers, told as GitHub does."""
        return self._as_told(self.emulator.ask(method, path, body, login=login))

    def as_app(self, request: Request) -> Reply:
        """What the emulator answers to an App, which signs its requests itself."""
        authorization = request.headers.get("authorization", "")
        return self._as_told(self.emulator.send(request.method, request.path, request.data or None, authorization))

    def _as_told(self, reply: Reply) -> Reply:
        headers = {name: self._address(value) for name, value in reply.headers.items()}
        told = reply.body if isinstance(reply.body, bytes) else self.told(reply.body)
        if reply.status >= 400 and isinstance(told, dict):
            told = refusal(reply.status, str(told.get("message", "Not Found"))).body
        return Reply(reply.status, told, headers)

    def do(self, method: str, path: str, body: Any = None, *, login: str = "octocat") -> Any:
        """What the emulator answers to a request that must be right."""
        reply = self.ask(method, path, body, login=login)
        assert reply.status < 300, (method, path, reply)
        return reply.body

    def everything(self, path: str) -> Iterator[Any]:
        """The entries of a list of the emulator, over all its pages."""
        mark = "&" if "?" in path else "?"
        for number in count(1):
            entries = self.do("GET", f"{path}{mark}per_page=100&page={number}")
            yield from entries
            if len(entries) < 100:
                return

    def told(self, value: Any, key: str = "") -> Any:
        """*value* with addresses, bots and times as GitHub writes them."""
        if isinstance(value, dict):
            told = {name: self.told(part, name) for name, part in value.items()}
            if str(told.get("login", "")).endswith("[bot]"):
                told["type"] = "Bot"
                told["html_url"] = f"{WEB}/apps/{told['login'].removesuffix('[bot]')}"
            return told
        if isinstance(value, list):
            return [self.told(part, key) for part in value]
        if not isinstance(value, str) or key in {"body", "summary", "text", "title", "name", "message", "description"}:
            return value
        if "emulator.invalid" in value:
            return self._address(value, web=key in _OF_THE_WEB)
        return re.sub(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z$", r"\1Z", value)

    def user(self, login: str) -> dict[str, Any]:
        """A user as other things hold them."""
        if login not in self._users:
            found = self.do("GET", f"/users/{quote(login, safe='')}")
            self._users[login] = {name: found[name] for name in _SIMPLE_USER if name in found}
        return dict(self._users[login])

    def repo(self) -> dict[str, Any]:
        """The repository as other things hold it."""
        return dict(self.do("GET", self.place))

    def role(self, login: str) -> str:
        """What *login* may do: the name of a role."""
        if login == self.owner:
            return "admin"
        return self.tables.roles.get(login, "none" if self.private else "read")

    def legacy(self, role: str) -> str:
        """What the API called *role* before there were five."""
        return _LEGACY.get(role, "read")

    def association(self, login: str) -> str:
        """What a comment says of its author."""
        if login == self.owner:
            return "OWNER"
        return "COLLABORATOR" if self.tables.roles.get(login, "none") != "none" else "NONE"

    def knows(self, sha: str) -> bool:
        """Whether there is such a commit."""
        if self.git is None:
            return True
        return git(self.git, "cat-file", "--batch-check", stdin=f"{sha}^{{commit}}\n").split(" ")[1:2] == ["commit"]

    def commit_of(self, ref: str) -> str:
        """The commit that a branch or a tag names; *ref* itself where there is no repository to look in."""
        if self.git is None:
            return ref
        found = git(self.git, "cat-file", "--batch-check", stdin=f"{ref}^{{commit}}\n").split(" ")
        return found[0] if found[1:2] == ["commit"] else ""

    def is_person(self, login: str) -> bool:
        return login in PEOPLE and not login.endswith("[bot]")

    def _address(self, value: str, *, web: bool = False) -> str:
        def replaced(match: re.Match[str]) -> str:
            rest = match[1]
            return f"{self.url if _API.match(rest) and not web else WEB}{rest}"

        value = value.replace(f"http://127.0.0.1:{self.emulator.port}", BASE)
        value = re.sub(re.escape(BASE) + r"([^\s>]*)", replaced, value)
        return value.replace("emulator.invalid", "github.com").replace("[bot]", "%5Bbot%5D")


@dataclass
class Routes:
    """Which function answers what."""

    entries: list[tuple[str, re.Pattern[str], Answer]] = field(default_factory=list)

    def add(self, method: str, template: str) -> Callable[[Answer], Answer]:
        """Answer *method* at *template*: `{name}` is a part of the path, `{name+}` may have slashes."""
        pattern = template.replace("{repo}", "/repos/(?P<repo>[^/]+/[^/]+)")
        pattern = re.sub(r"{(\w+)\+}", r"(?P<\1>.+)", pattern)
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", pattern)

        def added(function: Answer) -> Answer:
            self.entries.append((method, re.compile(pattern), function))
            return function

        return added

    def find(self, world: World, request: Request, who: Identity) -> Callable[[], Reply] | None:
        """Whoever answers *request*; None if the emulator does."""
        for method, pattern, function in self.entries:
            found = pattern.fullmatch(request.path) if method == request.method else None
            if found:
                parts = {name: unquote(value) for name, value in found.groupdict().items()}
                if parts.get("repo", world.repository).lower() != world.repository.lower():
                    return lambda: refusal(404, "Not Found")
                answering = Answering(world, request, who, parts)
                return lambda function=function: function(answering)  # type: ignore[misc]
        return None


def now() -> str:
    """As GitHub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_id(kind: str, number: int) -> str:
    """An id of GraphQL's; nobody looks inside."""
    return f"{kind}_kwDO{number:08d}"


def not_found() -> Reply:
    return refusal(404, "Not Found")


def invalid(said: str, /, **error: str) -> Reply:
    """A request that GitHub understands and does not accept."""
    reply = refusal(422, said)
    return Reply(422, {**reply.body, "errors": [error]}) if error else reply
