"""
Issues of ours: opened once, found again, closed with a last word.

An issue is ours when its marker *and* its author are; how a marker reads is told by the caller. Whoever may write can
edit our issue, so that nothing in it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mlops_ci.errors import NotFound
from mlops_ci.github.answers import read
from mlops_ci.github.client import GitHub
from mlops_ci.github.comments import reply
from mlops_ci.github.permissions import PermissionMissing, missing

_EDITS = """
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    issueOrPullRequest(number: $number) {
      ... on Comment { author { __typename login } body userContentEdits(first: 100) { nodes { editor { login } } } }
    }
  }
}
"""

IsOurs = Callable[[str], bool]

_NEEDS = "issues: write"
_NEEDS_TO_READ = "issues: read"


@dataclass(frozen=True)
class Issue:
    """An issue; *done* is what became of it just now."""

    number: int
    url: str
    done: Literal["opened", "updated", "unchanged"]


@dataclass(frozen=True)
class Text:
    """
    What stands above the comments of an issue or a pull request, as it is now.

    Attributes:
        by_program: Whether a program opened it.
        edited_by: Who edited it and is not its author, as far as that is told.
    """

    body: str
    by_program: bool
    edited_by: tuple[str, ...]


class _Actor(msgspec.Struct):
    login: str = ""
    kind: str = msgspec.field(name="__typename", default="")


class _Edit(msgspec.Struct):
    editor: _Actor | None = None


class _Edits(msgspec.Struct):
    nodes: list[_Edit] = []


class _Text(msgspec.Struct):
    author: _Actor | None = None
    body: str | None = None
    edits: _Edits | None = msgspec.field(name="userContentEdits", default=None)


class _Holder(msgspec.Struct):
    text: _Text | None = msgspec.field(name="issueOrPullRequest", default=None)


class _Found(msgspec.Struct):
    repository: _Holder | None = None


class _User(msgspec.Struct):
    login: str = ""


class _Issue(msgspec.Struct):
    number: int
    title: str = ""
    body: str | None = None
    html_url: str = ""
    state: str = "open"
    user: _User | None = None
    pull_request: Any = None


def open_issue(hub: GitHub, title: str, body: str, *, is_ours: IsOurs, since: str = "") -> Issue:
    """
    Open the issue *body*, or find the open one that is it and bring it up to date.

    One that somebody else has edited is closed, and another one opened: nobody knows what its readers saw.

    Args:
        hub: The repository.
        title: One line.
        body: Markdown, with a marker.
        is_ours: Whether a body has that marker.
        since: No such issue was there before that moment, RFC 3339; "" if nobody knows.

    Raises:
        PermissionMissing: The token may not write issues.
        NotFound: The repository has no issues.
        ServiceError: GitHub did not answer.
    """
    what = "open an issue"
    try:
        found = _ours(hub, is_ours, since)
    except PermissionMissing as error:  # who may write may read: ask for both at once
        raise missing(what, needs=_NEEDS, headers={}, said=str(error)) from error
    for issue in found:
        if not text_of(hub, issue.number).edited_by:
            return _kept(hub, issue, title, body)
        close_issue(hub, issue.number, "Somebody edited this question, so it is asked anew.", reason="not_planned")

    def look_up() -> Any:
        ours = _ours(hub, is_ours, since)
        return msgspec.to_builtins(ours[0]) if ours else None

    answer = hub.request(
        "POST", "issues", body={"title": title, "body": body}, what=what, needs=_NEEDS, look_up=look_up
    )
    made = read(answer, _Issue, what=what)
    # Another job may have opened one at the same moment: the oldest is the one that stays.
    oldest = next(iter(_ours(hub, is_ours, since)), made)
    if oldest.number < made.number:
        close_issue(hub, made.number, f"This is asked in #{oldest.number}.", reason="not_planned")
        return Issue(oldest.number, oldest.html_url, "unchanged")
    return Issue(made.number, made.html_url, "opened")


def find_issues(hub: GitHub, is_ours: IsOurs, *, since: str = "") -> list[tuple[int, str]]:
    """
    Return number and body of the open issues that are ours, oldest first; *since* as for `open_issue`.

    Raises:
        PermissionMissing: The token may not read issues.
        ServiceError: GitHub did not answer.
    """
    return [(issue.number, issue.body or "") for issue in _ours(hub, is_ours, since)]


def text_of(hub: GitHub, number: int) -> Text:
    """
    Return what stands above the comments of *number*, and who had a hand in it.

    Raises:
        Refused: There is no such issue or pull request, or the token may not read it.
        ServiceError: GitHub did not answer.
    """
    what = f"ask who edited #{number}"
    name = hub.repository.partition("/")[2]
    found = read(hub.ask(_EDITS, what=what, owner=hub.owner, name=name, number=number), _Found, what=what)
    text = found.repository.text if found.repository else None
    if text is None:
        raise NotFound(f"cannot {what}: there is no such issue or pull request")
    author = text.author.login if text.author else ""
    editors = [edit.editor.login if edit.editor else "somebody" for edit in (text.edits.nodes if text.edits else [])]
    return Text(
        body=text.body or "",
        by_program=text.author is not None and text.author.kind == "Bot",
        edited_by=tuple(dict.fromkeys(editor for editor in editors if editor.lower() != author.lower())),
    )


def close_issue(hub: GitHub, number: int, words: str, *, reason: Literal["completed", "not_planned"]) -> None:
    """
    Close *number* with a last comment; one that is closed already is left alone.

    Raises:
        PermissionMissing: The token may not write issues.
        NotFound: There is no such issue.
        ServiceError: GitHub did not answer.
    """
    what = f"close #{number}"
    found = read(hub.request("GET", f"issues/{number}", what=what, needs=_NEEDS_TO_READ), _Issue, what=what)
    if found.state == "closed":
        return
    body = {"state": "closed", "state_reason": reason}
    hub.request("PATCH", f"issues/{number}", body=body, what=what, needs=_NEEDS)
    reply(hub, number, words)


def _kept(hub: GitHub, found: _Issue, title: str, body: str) -> Issue:
    if _same(found.title, title) and _same(found.body or "", body):
        return Issue(found.number, found.html_url, "unchanged")
    what = f"write #{found.number} anew"
    hub.request("PATCH", f"issues/{found.number}", body={"title": title, "body": body}, what=what, needs=_NEEDS)
    return Issue(found.number, found.html_url, "updated")


def _ours(hub: GitHub, is_ours: IsOurs, since: str) -> list[_Issue]:
    """Those that are open, oldest first."""
    found = [issue for issue in _open(hub, since) if is_ours(issue.body or "")]
    mine = [issue for issue in found if issue.user is not None and issue.user.login.lower() == hub.viewer().lower()]
    return sorted(mine, key=lambda issue: issue.number)


def _open(hub: GitHub, since: str) -> Iterator[_Issue]:
    what = "look for the issue"
    query = {"state": "open", **({"since": since} if since else {})}
    for entry in hub.pages("issues", params=query, what=what, needs=_NEEDS_TO_READ):
        issue = read(entry, _Issue, what=what)
        if issue.pull_request is None:
            yield issue


def _same(text: str, other: str) -> bool:
    """Whether they are the same: GitHub may end lines in its own way."""
    return text.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
