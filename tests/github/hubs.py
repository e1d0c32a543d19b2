"""Our client at the testbed, with the token of a test's choice, and without the waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_ci.github import GitHub
from tests.github.emulator import ACTIONS
from tests.github.gateway import GitHubServer

# What the job that records has.
OF_THE_JOB = {"contents": "read", "pull-requests": "write", "checks": "write", "statuses": "write", "actions": "read"}


def connected(
    github: GitHubServer,
    who: str = ACTIONS,
    *,
    permissions: Mapping[str, str] | None = None,
    login: str | None = None,
    timeout_s: tuple[float, float] = (5, 20),
    slept: list[float] | None = None,
) -> GitHub:
    """
    Return our client as *who*; what it would have slept is added to *slept*.

    Args:
        github: The server.
        who: Whose token; the workflow's has the permissions of the job that records.
        permissions: Others.
        login: Whom the client takes itself for; "" has it ask.
        timeout_s: To connect, and to read.
        slept: Seconds.
    """
    if permissions is None and who.endswith("[bot]"):
        permissions = OF_THE_JOB
    return GitHub(
        token=github.token(who, permissions),
        repository=github.repository,
        api_url=github.url,
        login=who if login is None else login,
        sleep=(slept if slept is not None else []).append,
        timeout_s=timeout_s,
    )


def new_pull(github: GitHubServer, **facts: Any) -> int:
    """Open a pull request whose commits do not matter, unless *facts* say which."""
    return github.open_pull_request(**{"head_sha": "a" * 40, "base_sha": "b" * 40, **facts})


def bodies(github: GitHubServer, number: int) -> list[str]:
    """What the comments of a pull request say, oldest first."""
    return [comment["body"] for comment in github.comments(number)]
