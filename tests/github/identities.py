"""
Ours: whose token it is, and what it may do. The emulator lets everybody do everything, GitHub does not.

What a request takes is written down as GitHub says it in the header `X-Accepted-GitHub-Permissions`: alternatives are
separated by semicolons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tests.github.messages import Reply, Request, refusal

Kind = Literal["installation", "user"]
_LEVELS = ("none", "read", "write", "admin")
_REPOSITORY = "/repos/[^/]+/[^/]+"
_COMMENTS = "issues={0}; pull_requests={0}"
# The first that fits rules.
_ACCEPTED = [
    ("GET", f"{_REPOSITORY}/issues/(comments/)?\\d+(/comments|/reactions)?", _COMMENTS.format("read")),
    (".*", f"{_REPOSITORY}/issues/(comments/)?\\d+(/comments|/reactions.*)?", _COMMENTS.format("write")),
    ("GET", f"{_REPOSITORY}/issues(/.*)?", _COMMENTS.format("read")),
    (".*", f"{_REPOSITORY}/issues(/.*)?", "issues=write"),
    ("PUT", f"{_REPOSITORY}/pulls/\\d+/merge", "contents=write"),
    ("GET", f"{_REPOSITORY}/pulls(/.*)?", "pull_requests=read"),
    (".*", f"{_REPOSITORY}/pulls(/.*)?", "pull_requests=write"),
    ("GET", f"{_REPOSITORY}/(check-runs|check-suites|commits/.*/check-(runs|suites))(/.*)?", "checks=read"),
    (".*", f"{_REPOSITORY}/(check-runs|check-suites)(/.*)?", "checks=write"),
    ("GET", f"{_REPOSITORY}/commits/[^/]+/pulls", "pull_requests=read"),
    ("GET", f"{_REPOSITORY}/commits/.*/status(es)?", "statuses=read"),
    ("POST", f"{_REPOSITORY}/statuses/.*", "statuses=write"),
    ("GET", f"{_REPOSITORY}/deployments(/.*)?", "deployments=read"),
    (".*", f"{_REPOSITORY}/deployments(/.*)?", "deployments=write"),
    ("POST", f"{_REPOSITORY}/actions/runs/\\d+/pending_deployments", "deployments=write"),
    ("GET", f"{_REPOSITORY}/(actions|environments)(/.*)?", "actions=read"),
    (".*", f"{_REPOSITORY}/actions(/.*)?", "actions=write"),
    ("GET", f"{_REPOSITORY}/branches/.*/protection(/.*)?", "administration=read"),
    (".*", f"{_REPOSITORY}/(branches/.*/protection|environments|rulesets)(/.*)?", "administration=write"),
    ("GET", f"{_REPOSITORY}(/collaborators/[^/]+/permission|/rules/branches/.*)?", "metadata=read"),
    ("GET", f"{_REPOSITORY}/.*", "contents=read"),
    (".*", f"{_REPOSITORY}/.*", "contents=write"),
    ("GET", "/orgs/[^/]+/teams(/.*)?", "members=read"),
    (".*", "/orgs/[^/]+/teams(/.*)?", "members=write"),
]
_WRITERS = frozenset({"write", "maintain", "admin"})
# What everybody may do who can read a public repository.
_OPEN_TO_ALL = re.compile(f"POST {_REPOSITORY}/(issues|issues/\\d+/comments|issues/comments/\\d+/reactions|pulls)")


@dataclass(frozen=True)
class Identity:
    """
    Whom a token belongs to.

    Attributes:
        permissions: By name, as GitHub's headers write it; None for a classic token of a user, who may do what
            their role allows.
        kind: Of an App (the workflow's own is one), or of a person.
    """

    login: str
    permissions: Mapping[str, str] | None = None
    kind: Kind = "installation"


def identity(login: str, permissions: Mapping[str, str] | None, kind: Kind) -> Identity:
    """As a workflow writes *permissions*, or as GitHub's API does."""
    if permissions is None:
        return Identity(login, {} if kind == "installation" else None, kind)
    return Identity(login, {name.replace("-", "_"): level for name, level in permissions.items()}, kind)


def accepted(request: Request) -> str:
    """What *request* takes; "" if nothing in particular."""
    for method, path, needs in _ACCEPTED:
        if re.fullmatch(method, request.method) and re.fullmatch(path, request.path):
            return needs
    return ""


def refused(who: Identity, request: Request, role: str, documentation: str) -> Reply | None:
    """What GitHub answers if *who*, whose role in the repository is *role*, may not; None if they may."""
    if who.kind == "user" and role == "none":
        return refusal(404, "Not Found", documentation)
    if who.kind == "installation" and (request.path == "/user" or request.path.startswith("/user/")):
        return refusal(403, "Resource not accessible by integration", documentation)
    if who.kind == "user" and re.fullmatch(f"(POST|PATCH) {_REPOSITORY}/check-(runs|suites).*", _line(request)):
        return refusal(403, "You must authenticate via a GitHub App.", documentation)
    needs = accepted(request)
    if who.permissions is not None and needs and not _holds(who.permissions, needs):
        what = "integration" if who.kind == "installation" else "personal access token"
        said = refusal(403, f"Resource not accessible by {what}", documentation)
        return Reply(said.status, said.body, {"x-accepted-github-permissions": needs})
    writes = request.method != "GET" and not _OPEN_TO_ALL.fullmatch(_line(request))
    if who.kind == "user" and writes and request.path.startswith("/repos/") and role not in _WRITERS:
        return refusal(403, "Must have write access to repository.", documentation)
    return None


def _holds(permissions: Mapping[str, str], needs: str) -> bool:
    return any(_has(permissions, way.strip()) for way in needs.split(";"))


def _has(permissions: Mapping[str, str], need: str) -> bool:
    name, _, level = need.partition("=")
    held = "read" if name == "metadata" else permissions.get(name, "none")
    return _LEVELS.index(held) >= _LEVELS.index(level)


def _line(request: Request) -> str:
    return f"{request.method} {request.path}"
