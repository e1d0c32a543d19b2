"""GitHub's API with the token that a job, or a person, has in the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlops_ci.ci import Event
from mlops_ci.lifecycle.project import Project, web_address

if TYPE_CHECKING:
    from mlops_ci.github import GitHub

_GITHUB = {"github.com", "ssh.github.com"}
_OWN_LOGIN = "github-actions[bot]"


def hub_of(project: Project, env: Mapping[str, str] | None = None) -> GitHub | None:
    """
    GitHub's API for *project*, with the token of the CI job, or with `GITHUB_TOKEN` or `GH_TOKEN` on a laptop.

    Returns:
        None if there is no token, or the project's repository is not on GitHub. No request is made.

    Raises:
        MissingDependency: PyGithub is not installed.
    """
    way = way_to_hub(project, env)
    return way() if way else None


def way_to_hub(project: Project, env: Mapping[str, str] | None = None) -> Callable[[], GitHub] | None:
    """As `hub_of`, for whoever may never ask it anything: PyGithub is imported when the result is called."""
    found = os.environ if env is None else env
    token = found.get("GITHUB_TOKEN") or found.get("GH_TOKEN") or ""
    api_url, repository = place_of(project, found)
    if not token or not repository:
        return None
    return partial(_open, token, repository, api_url, found)


def place_of(project: Project, env: Mapping[str, str]) -> tuple[str, str]:
    """The API's address and the repository: the event's, what the environment says, else the remote's on GitHub."""
    if project.event is not None:
        return project.event.api_url, project.event.repository
    if env.get("GITHUB_API_URL") and env.get("GITHUB_REPOSITORY"):
        return env["GITHUB_API_URL"], env["GITHUB_REPOSITORY"]
    place = urlsplit(web_address(project.checkout.remote))
    # The token is for one host: it is sent to no other, whatever a remote is called.
    return ("https://api.github.com", place.path.strip("/")) if place.hostname in _GITHUB else ("", "")


def connect(event: Event, env: Mapping[str, str] | None = None) -> GitHub | None:
    """
    GitHub's API with the token of this job; None without one. No request is made.

    Raises:
        MissingDependency: PyGithub is not installed.
    """
    found = os.environ if env is None else env
    token = found.get("GITHUB_TOKEN", "")
    if not token or not event.repository:
        return None
    return _open(token, event.repository, event.api_url, found)


def _open(token: str, repository: str, api_url: str, env: Mapping[str, str]) -> GitHub:
    from mlops_ci import github  # noqa: PLC0415  # a tenth of a second that only GitHub has to cost

    login = _OWN_LOGIN if env.get("MLOPS_CI_OWN_TOKEN") == "true" else ""
    return github.connect(token=token, repository=repository, api_url=api_url, login=login)
