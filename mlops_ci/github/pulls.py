"""Pull requests: one by its number, or by the head that it must have."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from mlops_ci.github.answers import read
from mlops_ci.github.client import GitHub

_NEEDS = "pull-requests: read"


@dataclass(frozen=True)
class Pull:
    """
    A pull request as it is now.

    Attributes:
        state: "open" or "closed".
        head_repository: Where its branch is: "owner/name", "" if that is gone.
        merge_sha: The commit that would merge it (or did), "" while GitHub does not know.
    """

    number: int
    state: str
    head_sha: str
    head_branch: str
    head_repository: str
    base_sha: str
    base_branch: str
    author: str
    merge_sha: str
    url: str


class _User(msgspec.Struct):
    login: str = ""


class _Repository(msgspec.Struct):
    full_name: str = ""


class _Side(msgspec.Struct):
    sha: str
    ref: str
    repo: _Repository | None = None


class _Pull(msgspec.Struct):
    number: int
    state: str
    head: _Side
    base: _Side
    user: _User | None = None
    merge_commit_sha: str | None = None
    html_url: str = ""


def pull(hub: GitHub, number: int) -> Pull:
    """
    Read pull request *number*.

    Raises:
        NotFound: There is none.
        ServiceError: GitHub did not answer.
    """
    what = f"read pull request #{number}"
    return _pull(read(hub.request("GET", f"pulls/{number}", what=what, needs=_NEEDS), _Pull, what=what))


def pull_of(hub: GitHub, *, head_repository: str, head_branch: str, head_sha: str) -> Pull | None:
    """
    Find the open pull request into this repository whose head is exactly that; None if there is none (any more).

    Nobody's word is taken for its number: the event of a fork has none, and a bundle's may be forged.

    Raises:
        ServiceError: GitHub did not answer.
    """
    what = "look for the pull request"
    owner = head_repository.partition("/")[0]
    query = {"state": "open", "head": f"{owner}:{head_branch}"}
    for entry in hub.pages("pulls", params=query, what=what, needs=_NEEDS):
        found = _pull(read(entry, _Pull, what=what))
        if (
            found.state == "open"
            and found.head_sha == head_sha
            and found.head_branch == head_branch
            and found.head_repository.lower() == head_repository.lower()
        ):
            return found
    return None


def _pull(found: _Pull) -> Pull:
    return Pull(
        number=found.number,
        state=found.state,
        head_sha=found.head.sha,
        head_branch=found.head.ref,
        head_repository=found.head.repo.full_name if found.head.repo else "",
        base_sha=found.base.sha,
        base_branch=found.base.ref,
        author=found.user.login if found.user else "",
        merge_sha=found.merge_commit_sha or "",
        url=found.html_url,
    )
