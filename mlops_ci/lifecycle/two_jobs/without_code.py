"""
A repository to work in where a job has no checkout: it holds commits to read from, and no file of anybody's.

Who may write must not run what others wrote, so nothing is checked out; configuration, waivers and history are read
from git's objects. The repository has the project's remote, and so its ledger.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mlops_ci import git
from mlops_ci.ci import Event
from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.git import Checkout
from mlops_ci.lifecycle.project import lent_by_ci

# Configuration is small; what is larger is fetched if somebody asks for it.
_FILTER = "--filter=blob:limit=100k"
_BROUGHT = "refs/mlops/brought/"


def make(event: Event, folder: Path) -> Checkout:
    """
    Make a repository in *folder* whose remote is the event's repository, or take the one that is there.

    Raises:
        UsageError: The event names no repository.
    """
    if not event.repository:
        raise UsageError("CI does not say which repository this is", hint="GITHUB_REPOSITORY names it")
    if not (folder / ".git").exists():
        folder.mkdir(parents=True, exist_ok=True)
        git.run(["init", "--quiet", "--template=", "."], cwd=folder)
        git.run(["remote", "add", "origin", f"{event.server_url}/{event.repository}.git"], cwd=folder)
    return Checkout.find(folder, lent=lent_by_ci(os.environ))


def bring(checkout: Checkout, revisions: Sequence[str]) -> None:
    """
    Bring the commits *revisions* with their trees and small files, without their history.

    Raises:
        ServiceError: The remote did not answer, or does not have one of them.
    """
    # A partial repository would ask the remote for what it lacks: refs tell what is here.
    here = checkout.run(["for-each-ref", "--format=%(refname)", _BROUGHT]).decode().split()
    missing = [revision for revision in git.unique(revisions) if _BROUGHT + revision not in here]
    if not missing:
        return
    specs = [f"+{revision}:{_BROUGHT}{revision}" for revision in missing]
    try:
        checkout.run(["fetch", "--quiet", "--no-tags", "--depth=1", _FILTER, "--", "origin", *specs])
    except git.GitError as error:
        raise ServiceError(
            f"{', '.join(one[:12] for one in missing)} could not be fetched: {error}",
            hint="check the network and the token's `contents: read`; the same command may be run again",
        ) from error


def stand_at(checkout: Checkout, sha: str) -> None:
    """Let HEAD name *sha*, of which no file is there."""
    checkout.run(["update-ref", "--no-deref", "HEAD", sha])
