"""GitHub's API with the token that a job, or a person, has in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_ci.ci import Event

if TYPE_CHECKING:
    from mlops_ci.github import GitHub

_OWN_LOGIN = "github-actions[bot]"


def connect(event: Event, env: Mapping[str, str] | None = None) -> GitHub | None:
    """
    GitHub's API with the token of this job; None without one. No request is made.

    Raises:
        MissingDependency: PyGithub is not installed.
    """
    from mlops_ci import github  # noqa: PLC0415  # a tenth of a second that only CI has to pay

    found = os.environ if env is None else env
    token = found.get("GITHUB_TOKEN", "")
    if not token or not event.repository:
        return None
    login = _OWN_LOGIN if found.get("MLOPS_CI_OWN_TOKEN") == "true" else ""
    return github.connect(token=token, repository=event.repository, api_url=event.api_url, login=login)
