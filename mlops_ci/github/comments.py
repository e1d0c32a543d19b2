"""
Comments of a pull request or an issue: one of ours kept up to date, replies, reactions.

A comment is ours when its marker *and* its author are; how a marker reads is told by the caller. Nothing is
ever deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mlops_ci.github.answers import read
from mlops_ci.github.client import GitHub, harmless_twice
from mlops_ci.github.permissions import PermissionMissing, missing

_NEEDS = "pull-requests: write"
_NEEDS_TO_READ = "pull-requests: read"

Order = tuple[int, int]
OrderOf = Callable[[str], Order | None]


@dataclass(frozen=True)
class PostedComment:
    """
    What became of a comment.

    Attributes:
        url: Its page, "" where there is none.
        done: "newer" if another run has written what is newer than ours, "none" if none was there or wanted.
    """

    url: str
    done: Literal["created", "updated", "unchanged", "newer", "none"]


@dataclass(frozen=True)
class Comment:
    """A comment as it is now; *number* is that of its pull request or issue, times are RFC 3339."""

    id: int
    author: str
    body: str
    created: str
    updated: str
    number: int
    url: str


class _User(msgspec.Struct):
    login: str = ""


class _Comment(msgspec.Struct):
    id: int
    body: str | None = None
    user: _User | None = None
    html_url: str = ""
    issue_url: str = ""
    created_at: str = ""
    updated_at: str = ""


def post_comment(
    hub: GitHub, number: int, body: str, *, order_of: OrderOf, order: Order, create: bool = True
) -> PostedComment:
    """
    Make *body* our comment on pull request *number*: edit the oldest that is ours, or create one.

    Args:
        hub: The repository.
        number: Of the pull request or issue.
        body: Markdown, with our marker.
        order_of: The order of a text that has our marker, None for any other.
        order: Of *body*; a comment of a greater one stays as it is.
        create: Whether one is wanted where none is.

    Raises:
        PermissionMissing: The token may not write comments.
        NotFound: There is no such pull request.
        ServiceError: GitHub did not answer.
    """
    try:
        ours = _ours(hub, number, order_of)
    except PermissionMissing as error:  # who may write may read: ask for both at once
        raise missing(f"comment on #{number}", needs=_NEEDS, headers={}, said=str(error)) from error
    if not ours:
        return _create(hub, number, body, order_of, order) if create else PostedComment("", "none")
    newest = max(ours, key=lambda comment: order_of(comment.body or "") or order)
    if (order_of(newest.body or "") or order) > order:
        return PostedComment(newest.html_url, "newer")
    oldest = min(ours, key=lambda comment: comment.id)
    if _same(oldest.body or "", body):
        return PostedComment(oldest.html_url, "unchanged")
    _edit(hub, number, oldest, body)
    return PostedComment(oldest.html_url, "updated")


def comment(hub: GitHub, comment_id: int) -> Comment:
    """
    Read one comment.

    Raises:
        NotFound: It is not there (any more).
        ServiceError: GitHub did not answer.
    """
    what = f"read comment {comment_id}"
    answer = hub.request("GET", f"issues/comments/{comment_id}", what=what, needs=_NEEDS_TO_READ)
    found = read(answer, _Comment, what=what)
    number = found.issue_url.rpartition("/")[2]
    return Comment(
        id=found.id,
        author=found.user.login if found.user else "",
        body=found.body or "",
        created=found.created_at,
        updated=found.updated_at,
        number=int(number) if number.isascii() and number.isdecimal() else 0,
        url=found.html_url,
    )


def reply(hub: GitHub, number: int, body: str) -> str:
    """
    Write one more comment on *number*, and return its address.

    Raises:
        PermissionMissing: The token may not write comments.
        ServiceError: GitHub did not answer.
    """

    def look_up() -> Any:
        return _newest(hub, number, lambda text: _same(text, body))

    return _written(hub, number, body, look_up)


def react(hub: GitHub, comment_id: int, reaction: Literal["+1", "-1", "eyes", "confused"]) -> None:
    """
    Add a reaction; one that is there already stays.

    Raises:
        PermissionMissing: The token may not.
        NotFound: There is no such comment.
        ServiceError: GitHub did not answer.
    """
    hub.request(
        "POST",
        f"issues/comments/{comment_id}/reactions",
        body={"content": reaction},
        what=f"react to comment {comment_id}",
        needs=_NEEDS,
        look_up=harmless_twice,
    )


def _create(hub: GitHub, number: int, body: str, order_of: OrderOf, order: Order) -> PostedComment:
    def look_up() -> Any:
        return _newest(hub, number, lambda text: order_of(text) == order)

    url = _written(hub, number, body, look_up)
    # Another job may have begun one at the same moment: the oldest is the one that is kept up.
    ours = sorted(_ours(hub, number, order_of), key=lambda comment: comment.id)
    if len(ours) > 1 and ours[0].html_url != url:
        _edit(hub, number, ours[0], body)
        for extra in (each for each in ours if each.html_url == url):
            _edit(hub, number, extra, f"This is told in [another comment]({ours[0].html_url}).")
        return PostedComment(ours[0].html_url, "updated")
    return PostedComment(url, "created")


def _edit(hub: GitHub, number: int, found: _Comment, body: str) -> None:
    what = f"edit the comment on #{number}"
    hub.request("PATCH", f"issues/comments/{found.id}", body={"body": body}, what=what, needs=_NEEDS)


def _written(hub: GitHub, number: int, body: str, look_up: Callable[[], Any]) -> str:
    what = f"comment on #{number}"
    path = f"issues/{number}/comments"
    answer = hub.request("POST", path, body={"body": body}, what=what, needs=_NEEDS, look_up=look_up)
    return read(answer, _Comment, what=what).html_url


def _newest(hub: GitHub, number: int, is_it: Callable[[str], bool]) -> Any:
    """Our newest comment whose text *is_it*, as GitHub tells it; None if there is none."""
    found = [comment for comment in _all(hub, number) if is_it(comment.body or "") and _is_ours(hub, comment)]
    return msgspec.to_builtins(found[-1]) if found else None


def _ours(hub: GitHub, number: int, order_of: OrderOf) -> list[_Comment]:
    marked = [comment for comment in _all(hub, number) if order_of(comment.body or "") is not None]
    return [comment for comment in marked if _is_ours(hub, comment)]


def _all(hub: GitHub, number: int) -> list[_Comment]:
    what = f"list the comments on #{number}"
    pages = hub.pages(f"issues/{number}/comments", what=what, needs=_NEEDS_TO_READ)
    return [read(entry, _Comment, what=what) for entry in pages]


def _is_ours(hub: GitHub, comment: _Comment) -> bool:
    return comment.user is not None and comment.user.login.lower() == hub.viewer().lower()


def _same(text: str, other: str) -> bool:
    """Whether they are the same comment: GitHub may end lines in its own way."""
    return text.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
