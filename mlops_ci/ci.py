"""
Which CI this is, what happened there, and how to answer it: outputs, annotations, summaries.

Reads the environment and the event's payload; talks to nobody.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlops_ci.entities import Author, CiRun
from mlops_ci.errors import UsageError

EventKind = Literal["pull_request", "push", "tag", "other"]


@dataclass(frozen=True)
class Event:
    """
    What CI was started by.

    Attributes:
        kind: What it is to us; *name* is what the provider calls it.
        base_sha: The tip of the branch that a pull request wants to enter, else "".
        head_sha: The tip of the pull request's branch, else "".
        branch: The branch that was pushed, or that a pull request comes from.
        tag: The tag that was pushed, else "".
        default_branch: The repository's default branch where the payload says so.
    """

    kind: EventKind
    name: str
    run: CiRun
    author: Author
    repository: str = ""
    base_sha: str = ""
    base_branch: str = ""
    head_sha: str = ""
    branch: str = ""
    tag: str = ""
    default_branch: str = ""


def detect(environment: Mapping[str, str] | None = None) -> Event | None:
    """
    Read which event started this CI run; None outside CI.

    Raises:
        UsageError: GitHub's payload cannot be read.
    """
    env = os.environ if environment is None else environment
    return _github(env) if env.get("GITHUB_ACTIONS") == "true" else None


def _github(env: Mapping[str, str]) -> Event:
    payload = _payload(env.get("GITHUB_EVENT_PATH", ""))
    name = env.get("GITHUB_EVENT_NAME", "")
    pull = payload.get("pull_request") or {}
    reference = env.get("GITHUB_REF", "")
    tag = reference.removeprefix("refs/tags/") if reference.startswith("refs/tags/") else ""
    kind: EventKind = "other"
    if name == "pull_request":
        kind = "pull_request"
    elif tag and name in {"push", "release"}:
        kind = "tag"
    elif name == "push":
        kind = "push"
    if kind == "pull_request" and not _get(pull, "base", "sha"):
        raise UsageError("the event's payload does not say what the pull request is to be merged into")
    branch = _get(pull, "head", "ref") or reference.removeprefix("refs/heads/")
    return Event(
        kind=kind,
        name=name,
        run=_github_run(env, payload),
        author=_github_author(env),
        repository=env.get("GITHUB_REPOSITORY", ""),
        base_sha=_get(pull, "base", "sha"),
        base_branch=_get(pull, "base", "ref"),
        head_sha=_get(pull, "head", "sha"),
        branch="" if tag else branch,
        tag=tag,
        default_branch=_get(payload, "repository", "default_branch"),
    )


def _github_run(env: Mapping[str, str], payload: Mapping[str, Any]) -> CiRun:
    server = env.get("GITHUB_SERVER_URL", "https://github.com")
    run_id = env.get("GITHUB_RUN_ID", "")
    attempt = env.get("GITHUB_RUN_ATTEMPT", "")
    number = (payload.get("pull_request") or {}).get("number")
    return CiRun(
        provider="github",
        run_url=f"{server}/{env.get('GITHUB_REPOSITORY', '')}/actions/runs/{run_id}" if run_id else "",
        run_id=run_id,
        attempt=int(attempt) if attempt.isdecimal() else 1,
        job=env.get("GITHUB_JOB", ""),
        cell=env.get("MLOPS_MATRIX_CELL", ""),
        event=env.get("GITHUB_EVENT_NAME", ""),
        pull_request=number if isinstance(number, int) else None,
    )


def _github_author(env: Mapping[str, str]) -> Author:
    actor = env.get("GITHUB_TRIGGERING_ACTOR") or env.get("GITHUB_ACTOR") or "unknown"
    return Author(name=actor, via="github")


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


def _get(value: Any, *path: str) -> str:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


@dataclass
class Outputs:
    """What a step tells the steps after it. Written to `$GITHUB_OUTPUT`, if there is one, by `write`."""

    values: dict[str, str] = field(default_factory=dict)

    def write(self, environment: Mapping[str, str] | None = None) -> None:
        """Append every value, each between delimiters that nobody can guess."""
        path = (os.environ if environment is None else environment).get("GITHUB_OUTPUT", "")
        if not path:
            return
        with Path(path).open("a", encoding="utf-8") as file:
            for name, value in self.values.items():
                end = f"end-{os.urandom(16).hex()}"
                file.write(f"{name}<<{end}\n{value}\n{end}\n")


def write_summary(markdown: str, environment: Mapping[str, str] | None = None) -> None:
    """Append *markdown* to the job's summary, where there is one; 1 MiB is the most that GitHub shows."""
    path = (os.environ if environment is None else environment).get("GITHUB_STEP_SUMMARY", "")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(markdown + "\n")


def annotation(level: Literal["error", "warning", "notice"], message: str, *, title: str) -> str:
    """The workflow command that shows *message* on the run's page."""
    return f"::{level} title={_escape(title, property_=True)}::{_escape(message)}"


def _escape(text: str, *, property_: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property_ else text
