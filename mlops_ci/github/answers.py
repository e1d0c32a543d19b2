"""What GitHub answered: its shape, its own words on one line, and the error of ours that it stands for."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from mlops_ci.errors import Conflict, MlopsCIError, NotFound, Refused, ServiceError, UsageError
from mlops_ci.github import permissions

T = TypeVar("T")
_LONGEST = 300


@dataclass(frozen=True)
class Answer:
    """
    One answer.

    Attributes:
        headers: Names in lower case.
        body: What the JSON says; None where there was none.
    """

    status: int
    headers: Mapping[str, str]
    body: Any = None

    @property
    def message(self) -> str:
        """GitHub's own words on one line, "" if it said nothing."""
        if not isinstance(self.body, dict):
            return ""
        said = [self.body.get("message"), *_details(self.body.get("errors"))]
        return one_line("; ".join(part.rstrip(".") for part in said if isinstance(part, str) and part))


def _details(errors: object) -> list[Any]:
    found: list[Any] = []
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            found.append(error.get("message") or f"{error.get('field', '')} {error.get('code', '')}".strip())
        else:
            found.append(error)
    return found


def read(value: Any, shape: type[T], *, what: str) -> T:
    """
    Return *value* as *shape*.

    Raises:
        ServiceError: It has another one.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise ServiceError(
            f"cannot {what}: GitHub's answer is not what it should be: {one_line(str(error))}",
            hint="something between here and GitHub may have answered instead; try again",
        ) from error


def one_line(text: str) -> str:
    """*text* on one line, without what has an effect or cannot be seen."""
    text = "".join("�" if unicodedata.category(sign)[0] == "C" else sign for sign in " ".join(text.split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def failure(answer: Answer, *, what: str, needs: str) -> MlopsCIError:
    """Say what an answer of 300 or more means; *what* completes "cannot …", *needs* is a permission."""
    said = answer.message or f"GitHub answered {answer.status}"
    if answer.status == 401:
        return Refused(
            f"cannot {what}: the token is not valid (any more): {said}",
            hint="the workflow's own token ends with its job; any other has to be made anew where it came from",
        )
    if answer.status == 403 or permissions.scope_missing(answer.status, answer.headers):
        return permissions.missing(what, needs=needs, headers=answer.headers, said=said)
    if answer.status in {404, 410}:
        may_see = f", or the token may not see it, which takes `{needs}`" if needs else ""
        return NotFound(f"cannot {what}: {said}", hint=f"there is no such thing in this repository{may_see}")
    if answer.status == 409:
        return Conflict(f"cannot {what}: {said}", hint="look at what is there already")
    if 400 <= answer.status < 500:
        return UsageError(f"cannot {what}: {said}", hint="GitHub does not accept what it was sent")
    return ServiceError(f"cannot {what}: {said}", hint="https://www.githubstatus.com tells how GitHub is; try again")
