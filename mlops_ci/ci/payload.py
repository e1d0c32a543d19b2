"""GitHub's environment and payload, read as an `Event`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_ci.ci.event import Event, EventKind, Remark, Upstream
from mlops_ci.entities import Author, CiRun
from mlops_ci.errors import UsageError

_KINDS: dict[str, EventKind] = {
    "pull_request": "pull_request",
    "merge_group": "merge_group",
    "push": "push",
    "release": "other",  # only one that has a tag is something to us
    "workflow_dispatch": "dispatch",
    "schedule": "schedule",
    "workflow_run": "workflow_run",
    "issue_comment": "comment",
}
_RELEASED = {"published", "released", "prereleased", ""}
_LONGEST_CELL = 1_000


def detect(environment: Mapping[str, str] | None = None) -> Event | None:
    """
    Read which event started this CI run; None outside CI.

    Raises:
        UsageError: GitHub's payload cannot be read, or does not say what a pull request is to be merged into.
    """
    env = os.environ if environment is None else environment
    return _github(env) if env.get("GITHUB_ACTIONS") == "true" else None


def _github(env: Mapping[str, str]) -> Event:
    payload = _payload(env.get("GITHUB_EVENT_PATH", ""))
    name = env.get("GITHUB_EVENT_NAME", "")
    group, pull = _at(payload, "merge_group") or {}, _at(payload, "pull_request") or {}
    reference, tag = env.get("GITHUB_REF", ""), _tag(env, name, payload)
    kind: EventKind = "tag" if tag else _KINDS.get(name, "other")
    base_sha = _get(pull, "base", "sha") or _get(group, "base_sha")
    if kind in {"pull_request", "merge_group"} and not base_sha:
        raise UsageError("the event's payload does not say what the pull request is to be merged into")
    return Event(
        kind=kind,
        name=name,
        run=_run(env, payload),
        author=Author(
            name=env.get("GITHUB_TRIGGERING_ACTOR") or env.get("GITHUB_ACTOR") or "unknown",
            via="github",
        ),
        nothing=_nothing(name, payload, tag),
        repository=env.get("GITHUB_REPOSITORY", ""),
        sha=env.get("GITHUB_SHA", ""),
        base_sha=base_sha,
        base_branch=_get(pull, "base", "ref") or _get(group, "base_ref").removeprefix("refs/heads/"),
        head_sha=_get(pull, "head", "sha") or _get(group, "head_sha"),
        head_repository=_get(pull, "head", "repo", "full_name"),
        number=_number(payload),
        branch="" if tag else _get(pull, "head", "ref") or reference.removeprefix("refs/heads/"),
        tag=tag,
        default_branch=_get(payload, "repository", "default_branch"),
        upstream=_upstream(payload) if name == "workflow_run" else None,
        remark=_remark(payload) if name == "issue_comment" else None,
        server_url=env.get("GITHUB_SERVER_URL") or "https://github.com",
        api_url=env.get("GITHUB_API_URL") or "https://api.github.com",
    )


def _tag(env: Mapping[str, str], name: str, payload: Mapping[str, Any]) -> str:
    """The tag to release. One that the workflow's own token pushed starts nothing: it is named by hand."""
    reference, named = env.get("GITHUB_REF", ""), env.get("INPUT_TAG", "").strip().removeprefix("refs/tags/")
    if named:
        return named
    if name == "workflow_dispatch":
        return _get(payload, "inputs", "tag").strip().removeprefix("refs/tags/")
    pushed = reference.removeprefix("refs/tags/") if reference.startswith("refs/tags/") else ""
    if name == "release":
        return _get(payload, "release", "tag_name") or pushed
    return pushed if name == "push" else ""


def _nothing(name: str, payload: Mapping[str, Any], tag: str) -> str:
    action = _get(payload, "action")
    if name == "pull_request" and action == "closed":
        return "the pull request was closed"
    if name == "push" and _at(payload, "deleted") is True:
        return f"{'the tag' if tag else 'the branch'} was deleted"
    if name == "release" and action not in _RELEASED:
        return f"the release was {action}, which releases nothing new"
    if name == "issue_comment" and action != "created":
        return f"a comment that was {action} decides nothing: write a new one"
    return ""


def _run(env: Mapping[str, str], payload: Mapping[str, Any]) -> CiRun:
    server = env.get("GITHUB_SERVER_URL", "https://github.com")
    run_id, attempt = env.get("GITHUB_RUN_ID", ""), env.get("GITHUB_RUN_ATTEMPT", "")
    return CiRun(
        provider="github",
        run_url=f"{server}/{env.get('GITHUB_REPOSITORY', '')}/actions/runs/{run_id}" if run_id else "",
        run_id=run_id,
        attempt=int(attempt) if attempt.isdecimal() else 1,
        job=env.get("GITHUB_JOB", ""),
        cell=_cell(env),
        cells=_cells(env),
        event=env.get("GITHUB_EVENT_NAME", ""),
        pull_request=_number(payload) if "pull_request" in payload else None,
    )


def _cell(env: Mapping[str, str]) -> str:
    """Which job of a matrix this is, as its JSON; "" without a matrix."""
    said = env.get("MLOPS_MATRIX_CELL", "").strip()
    try:
        read = json.loads(said) if said else None
    except ValueError:
        return said[:_LONGEST_CELL]
    return json.dumps(read, sort_keys=True, ensure_ascii=False)[:_LONGEST_CELL] if read else ""


def _cells(env: Mapping[str, str]) -> int:
    total = env.get("MLOPS_MATRIX_TOTAL", "")
    return int(total) if total.isdecimal() and _cell(env) else 1


def _number(payload: Mapping[str, Any]) -> int | None:
    number = _at(payload, "pull_request", "number") or _at(payload, "issue", "number")
    return number if isinstance(number, int) else None


def _upstream(payload: Mapping[str, Any]) -> Upstream:
    run = _at(payload, "workflow_run") or {}
    attempt = _at(run, "run_attempt")
    return Upstream(
        run_id=str(_at(run, "id") or ""),
        attempt=attempt if isinstance(attempt, int) else 1,
        name=_get(run, "name"),
        event=_get(run, "event"),
        conclusion=_get(run, "conclusion"),
        head_sha=_get(run, "head_sha"),
        head_branch=_get(run, "head_branch"),
        head_repository=_get(run, "head_repository", "full_name"),
        actor=_get(run, "triggering_actor", "login") or _get(run, "actor", "login"),
        run_url=_get(run, "html_url"),
    )


def _remark(payload: Mapping[str, Any]) -> Remark:
    comment = _at(payload, "comment") or {}
    number = _at(comment, "id")
    return Remark(
        id=number if isinstance(number, int) else 0,
        author=_get(comment, "user", "login"),
        body=_get(comment, "body"),
        on_pull_request=_at(payload, "issue", "pull_request") is not None,
    )


def _payload(path: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        payload = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the event's payload {path} cannot be read: {error}", hint="GITHUB_EVENT_PATH names it"
        ) from error
    if not isinstance(payload, dict):
        raise UsageError(f"the event's payload {path} is no JSON object", hint="GITHUB_EVENT_PATH names it")
    return payload


def _at(value: Any, *path: str) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _get(value: Any, *path: str) -> str:
    found = _at(value, *path)
    return found if isinstance(found, str) else ""
