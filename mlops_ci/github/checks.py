"""
The check that a merge waits for: a check run with annotations, or a commit status where the token may only that.

A check run takes `checks: write` and an App's token (the workflow's own is one); a status takes `statuses: write`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mlops_ci.errors import ServiceError
from mlops_ci.github.answers import one_line, read
from mlops_ci.github.client import GitHub, harmless_twice, segment
from mlops_ci.github.permissions import PermissionMissing

MOST_ANNOTATIONS = 100
_A_REQUEST = 50
_TITLE, _DESCRIPTION = 255, 140
_SUMMARY_BYTES = 65_535
_MESSAGE_BYTES = 64_000
_CHECKS, _STATUSES = "checks: write", "statuses: write"


@dataclass(frozen=True)
class Annotation:
    """A remark on *line* (from 1) of the file *path*, relative to the repository's root."""

    path: str
    line: int
    level: Literal["failure", "warning", "notice"]
    message: str
    title: str = ""


@dataclass(frozen=True)
class Check:
    """
    A verdict on the commit *sha*.

    Attributes:
        name: What the branch's rules call it.
        title: One line; 255 characters of it are shown, 140 by a status.
        summary: Markdown of at most 60 kB; a status has none.
        details_url: Where more is told: `http` or `https`, or nothing is linked.
    """

    name: str
    sha: str
    conclusion: Literal["success", "failure", "neutral"]
    title: str
    summary: str
    details_url: str = ""
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class PostedCheck:
    """What was posted; *notes* are sentences on what is not as it was asked for."""

    kind: Literal["check-run", "status"]
    url: str
    notes: tuple[str, ...] = ()


class _Output(msgspec.Struct):
    annotations_count: int = 0


class _CheckRun(msgspec.Struct):
    id: int
    html_url: str | None = None
    external_id: str | None = None
    output: _Output | None = None


class _Status(msgspec.Struct):
    url: str | None = None


def post_check(hub: GitHub, check: Check, kind: Literal["auto", "check-run", "status"] = "auto") -> PostedCheck:
    """
    Post *check* as *kind*; "auto" is a check run, or a status where the token may not make one.

    Raises:
        PermissionMissing: The token may do neither, or not the one that was asked for.
        UsageError: GitHub does not know the commit.
        ServiceError: GitHub did not answer.
    """
    if kind == "status":
        return _post_status(hub, check)
    try:
        return _post_run(hub, check)
    except PermissionMissing as first:
        if kind == "check-run":
            raise
        try:
            posted = _post_status(hub, check)
        except PermissionMissing as second:
            raise _neither(check, first, second) from second
        return PostedCheck(posted.kind, posted.url, (f"{first}; so it is a commit status", *posted.notes))


def _neither(check: Check, first: PermissionMissing, second: PermissionMissing) -> PermissionMissing:
    either = f"{first.permission} or {second.permission}"
    return PermissionMissing(
        f"the token may not post the check {one_line(check.name)}, which takes `{first.permission}` "
        f"(a check run) or `{second.permission}` (a commit status)",
        permission=either,
        hint=first.hint,
    )


def _post_run(hub: GitHub, check: Check) -> PostedCheck:
    what = f"post the check {one_line(check.name)}"
    shown = check.annotations[:MOST_ANNOTATIONS]
    external_id = uuid.uuid4().hex
    body = {
        "name": check.name,
        "head_sha": check.sha,
        "external_id": external_id,
        "status": "completed",
        "conclusion": check.conclusion,
        "output": _output(check, shown[:_A_REQUEST]),
    }
    if url := _link(check.details_url):
        body["details_url"] = url
    answer = hub.request(
        "POST", "check-runs", body=body, what=what, needs=_CHECKS, look_up=_run_of(hub, check, external_id)
    )
    run = read(answer, _CheckRun, what=what)
    return PostedCheck("check-run", run.html_url or "", _add(hub, check, run.id, shown))


def _run_of(hub: GitHub, check: Check, external_id: str) -> Callable[[], Any]:
    """How to find the check run that may have been made: no other has its *external_id*."""

    def look_up() -> Any:
        what = f"look for the check {one_line(check.name)}"
        path = f"commits/{segment(check.sha)}/check-runs"
        query = {"check_name": check.name, "filter": "all"}
        for entry in hub.pages(path, key="check_runs", params=query, what=what, needs="checks: read"):
            if read(entry, _CheckRun, what=what).external_id == external_id:
                return entry
        return None

    return look_up


def _add(hub: GitHub, check: Check, run_id: int, shown: Sequence[Annotation]) -> tuple[str, ...]:
    """Send the annotations after the first fifty, fifty at a time; the check stands without them."""
    what = f"annotate the check {one_line(check.name)}"
    path = f"check-runs/{run_id}"

    def look_up() -> Any:  # GitHub appends: twice would be twice as many
        run = hub.request("GET", path, what=what, needs="checks: read")
        output = read(run, _CheckRun, what=what).output
        return run if output and output.annotations_count >= done + len(more) else None

    for done in range(_A_REQUEST, len(shown), _A_REQUEST):
        more = shown[done : done + _A_REQUEST]
        try:
            body = {"output": _output(check, more)}
            hub.request("PATCH", path, body=body, what=what, needs=_CHECKS, look_up=look_up)
        except ServiceError as error:
            return (f"{len(shown) - done} annotations are missing: {error}",)
    return ()


def _post_status(hub: GitHub, check: Check) -> PostedCheck:
    what = f"post the commit status {one_line(check.name)}"
    body = {
        "state": "failure" if check.conclusion == "failure" else "success",
        "context": check.name,
        "description": _cut(check.title, _DESCRIPTION),
    }
    if url := _link(check.details_url):
        body["target_url"] = url
    path = f"statuses/{segment(check.sha)}"
    # Only the newest of a context counts.
    answer = hub.request("POST", path, body=body, what=what, needs=_STATUSES, look_up=harmless_twice)
    read(answer, _Status, what=what)
    return PostedCheck("status", body.get("target_url", ""))


def _output(check: Check, annotations: Sequence[Annotation]) -> dict[str, Any]:
    return {
        "title": _cut(check.title, _TITLE),
        "summary": _summary(check),
        "annotations": [_annotation(annotation) for annotation in annotations],
    }


def _annotation(annotation: Annotation) -> dict[str, Any]:
    line = max(annotation.line, 1)
    said = {
        "path": annotation.path,
        "start_line": line,
        "end_line": line,
        "annotation_level": annotation.level,
        "message": _fit(annotation.message, _MESSAGE_BYTES),
    }
    return {**said, "title": _cut(annotation.title, _TITLE)} if annotation.title else said


def _summary(check: Check) -> str:
    left = len(check.annotations) - MOST_ANNOTATIONS
    ending = f"\n\n{left} more annotations are not shown." if left > 0 else ""
    return _fit(check.summary, _SUMMARY_BYTES - len(ending)) + ending


def _fit(text: str, most_bytes: int) -> str:
    """*text* without its last lines, where it is too long."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most_bytes:
        return data.decode()
    ending = "\n\n…"
    kept = data[: most_bytes - len(ending.encode())]
    return (kept[: kept.rfind(b"\n")] if b"\n" in kept else kept).decode("utf-8", "ignore") + ending


def _cut(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _link(url: str) -> str:
    return url if url.startswith(("https://", "http://")) else ""
