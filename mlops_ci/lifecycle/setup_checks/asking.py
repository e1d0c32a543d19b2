"""Asking GitHub, as far as it can be asked: which repository, with which token, and whom that belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlops_ci.ci import Event
from mlops_ci.errors import MlopsCIError
from mlops_ci.lifecycle.project import web_address
from mlops_ci.lifecycle.setup_checks.findings import Finding, right, unknown, warning

if TYPE_CHECKING:
    from mlops_ci.github import GitHub

_API = "https://api.github.com"
_HOW = (
    "set GITHUB_TOKEN (or GH_TOKEN) to a token that may read this repository: GH_TOKEN=$(gh auth token) mlops-ci doctor"
)


@dataclass(frozen=True)
class Place:
    """
    A repository on GitHub.

    Attributes:
        repository: "owner/name", or "" where the remote is somewhere else.
        server: Where people look at it: "https://github.com".
        api_url: Where its API is. Never taken from the remote, which must not learn of a token.
    """

    repository: str
    server: str = "https://github.com"
    api_url: str = _API

    @property
    def is_public_github(self) -> bool:
        """Whether GitHub Actions has the number there that it has on github.com."""
        return urlsplit(self.server).hostname == "github.com"


def place_of(remote: str, event: Event | None, env: Mapping[str, str]) -> Place:
    """The place of the clone whose remote has the address *remote*, or that CI names."""
    api_url = env.get("GITHUB_API_URL") or _API
    server = env.get("GITHUB_SERVER_URL") or api_url.removesuffix("/api/v3")
    if not env.get("GITHUB_SERVER_URL") and server == api_url:
        server = "https://github.com"
    named = (event.repository if event else "") or env.get("GITHUB_REPOSITORY", "")
    if not named:
        host, _, path = web_address(remote).removeprefix("https://").partition("/")
        same = host.lower() in {urlsplit(server).hostname, "ssh." + (urlsplit(server).hostname or "")}
        named = path if same and re.fullmatch(r"[^/]+/[^/]+", path) else ""
    return Place(named, server.rstrip("/"), api_url)


@dataclass
class Asked:
    """
    Who can be asked, or why nobody can.

    Attributes:
        hub: None where *why* says why.
        login: Whom the token belongs to.
        lacking: The permissions whose lack was met.
    """

    place: Place
    hub: GitHub | None
    why: str = ""
    hint: str = ""
    login: str = ""
    lacking: list[str] = field(default_factory=list)

    def about(self, check: str, what: str, question: Callable[[GitHub], Iterator[Finding]]) -> Iterator[Finding]:
        """
        Yield what *question* finds; where it gets no answer, one line on *what* that says why.

        Args:
            check: The finding's name then.
            what: Completes "could not be asked": "whether main requires the check".
            question: Asks the hub.
        """
        from mlops_ci.github import PermissionMissing  # noqa: PLC0415  # a tenth of a second, where there is a hub

        if self.hub is None:
            yield unknown(check, f"{what} could not be asked: {self.why}")
            return
        try:
            yield from list(question(self.hub))
        except PermissionMissing as error:
            self.lacking.append(error.permission)
            yield unknown(check, f"{what} could not be asked: {error}")
        except MlopsCIError as error:
            yield unknown(check, f"{what} could not be asked: {error}")


def ask(place: Place, env: Mapping[str, str]) -> Asked:
    """Find out whether GitHub answers at *place* with the token of *env*; no failure is raised."""
    from mlops_ci import github  # noqa: PLC0415  # as above

    token = env.get("GITHUB_TOKEN") or env.get("GH_TOKEN") or ""
    if not place.repository:
        how = "set GITHUB_REPOSITORY to owner/name; for a server of your own, GITHUB_API_URL to https://<host>/api/v3"
        return Asked(place, None, "the remote is not on GitHub", how)
    if not token:
        return Asked(place, None, "there is no token", _HOW)
    try:
        hub = github.connect(token=token, repository=place.repository, api_url=place.api_url)
        return Asked(place, hub, login=hub.viewer())
    except MlopsCIError as error:
        return Asked(place, None, str(error), error.hint)


def default_branch(asked: Asked) -> str:
    """The default branch by GitHub's own account; "" if it does not tell."""
    if asked.hub is None:
        return ""
    try:
        found = asked.hub.request("GET", "", what="read the repository", needs="metadata: read")
    except MlopsCIError:
        return ""
    return str(found.get("default_branch") or "") if isinstance(found, dict) else ""


def check(asked: Asked) -> Iterator[Finding]:
    """Yield what is to be said of the token, after everything was asked."""
    if asked.hub is None:
        yield unknown("token.valid", f"GitHub could not be asked: {asked.why}", asked.hint)
        return
    yield right("token.valid", f"the token is {asked.login}'s, for {asked.place.repository}")
    for permission in dict.fromkeys(asked.lacking):
        lacks = f"`{permission}`" if permission else "a permission that GitHub does not name"
        yield warning(
            "token.permissions", f"the token lacks {lacks}", "ask again with one that has it, to know the rest"
        )
