"""Commits: whose they are, by the accounts that GitHub knows for their addresses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from mlops_ci.github.answers import read
from mlops_ci.github.client import GitHub, segment

_NEEDS = "contents: read"
_MOST_COMMITS = 1_000


class _Account(msgspec.Struct):
    login: str = ""


class _Signature(msgspec.Struct):
    email: str = ""


class _Signatures(msgspec.Struct):
    author: _Signature | None = None
    committer: _Signature | None = None


class _Parent(msgspec.Struct):
    sha: str


class _Commit(msgspec.Struct):
    commit: _Signatures
    author: _Account | None = None
    committer: _Account | None = None
    parents: list[_Parent] = []


def people_of(hub: GitHub, sha: str, *, since: str = "") -> list[str]:
    """
    Return the logins and e-mail addresses of authors and committers of *sha*, and of what a merge brought in there.

    Args:
        hub: The repository.
        sha: A commit.
        since: Another one: of all commits that *sha* has and it has not, at most 1,000.

    Raises:
        NotFound: GitHub does not have one of them.
        ServiceError: GitHub did not answer.
    """
    what = f"ask who wrote {sha[:12]}"
    own = read(hub.request("GET", f"commits/{segment(sha)}", what=what, needs=_NEEDS), _Commit, what=what)
    found = list(_people(own))
    for base in dict.fromkeys([*([since] if since else []), *(parent.sha for parent in own.parents[:1])]):
        if base != sha:
            found += _between(hub, base, sha)
    return list(dict.fromkeys(found))


def _between(hub: GitHub, base: str, sha: str) -> Iterator[str]:
    what = f"ask who wrote what {sha[:12]} brings"
    pages: Iterator[Any] = hub.pages(
        f"compare/{segment(base)}...{segment(sha)}", key="commits", what=what, needs=_NEEDS
    )
    for entry in islice(pages, _MOST_COMMITS):
        yield from _people(read(entry, _Commit, what=what))


def _people(commit: _Commit) -> Iterator[str]:
    for account in (commit.author, commit.committer):
        if account is not None and account.login:
            yield account.login
    for signature in (commit.commit.author, commit.commit.committer):
        if signature is not None and signature.email:
            yield signature.email
