"""
GitHub's Deployments: what the repository's page shows as deployed where, and how it went.

For a job that names an environment GitHub makes a Deployment itself; that one is taken over. Nothing here is asked
whether something may be deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal

import msgspec

from mlops_ci.github.answers import read
from mlops_ci.github.client import GitHub, harmless_twice

State = Literal["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]

_NEEDS = "deployments: write"
_NEEDS_TO_READ = "deployments: read"
_OWN, _APP = "github-actions[bot]", "github-actions"
_DESCRIPTION = 140
_MOST_LOOKED_AT = 30


class _User(msgspec.Struct):
    login: str = ""


class _App(msgspec.Struct):
    slug: str | None = None


class _Deployment(msgspec.Struct):
    id: int
    sha: str = ""
    environment: str = ""
    payload: Any = None
    creator: _User | None = None
    performed_via_github_app: _App | None = None


class _Status(msgspec.Struct):
    id: int = 0
    state: str = ""
    log_url: str | None = None
    target_url: str | None = None
    environment_url: str | None = None
    description: str | None = None
    environment: str = ""


def adopt_or_create(  # noqa: PLR0913  # what GitHub shows of a deployment, each by its name
    hub: GitHub,
    *,
    sha: str,
    ref: str,
    environment: str,
    run_id: int,
    description: str,
    production: bool,
    payload: Mapping[str, str],
    run_sha: str = "",
) -> int:
    """
    Return the number of the Deployment of *sha* to *environment*: ours, GitHub's own for this run, or a new one.

    The same *payload* a second time finds what the first time made.

    Args:
        hub: The repository.
        sha: The commit that is deployed.
        ref: What GitHub shall show: the version's tag, or the commit.
        environment: By its name at GitHub.
        run_id: Of the workflow run that deploys; 0 for none.
        description: One line; 140 characters of it are shown.
        production: Whether end users are served.
        payload: What tells this deployment from all others.
        run_sha: The commit of the workflow run, if that is another: GitHub's own Deployment is of that one.

    Raises:
        PermissionMissing: The token may not write deployments.
        UsageError: GitHub does not know *ref*.
        ServiceError: GitHub did not answer.
    """
    found = _ours(hub, sha, environment, payload) or _of_job(hub, run_sha or sha, environment, run_id)
    if found is not None:
        return found
    what = f"tell of the deployment to {environment}"
    body = {
        "ref": ref,
        "task": "deploy",
        "auto_merge": False,
        "required_contexts": [],
        "payload": dict(payload),
        "environment": environment,
        "description": _cut(description),
        "production_environment": production,
    }

    def look_up() -> Any:
        ours = [one for one in _of(hub, sha, environment) if _says(one, payload)]
        return msgspec.to_builtins(ours[0]) if ours else None

    answer = hub.request("POST", "deployments", body=body, what=what, needs=_NEEDS, look_up=look_up)
    return read(answer, _Deployment, what=what).id


def set_status(
    hub: GitHub,
    deployment: int,
    state: State,
    *,
    environment_url: str = "",
    log_url: str = "",
    description: str = "",
) -> None:
    """
    Say how *deployment* goes; after "success", those before it to the same environment are inactive.

    Said twice it stands there once.

    Args:
        hub: The repository.
        deployment: Its number.
        state: As GitHub calls it.
        environment_url: Where the service answers.
        log_url: The page of the run.
        description: One line; 140 characters of it are shown.

    Raises:
        NotFound: There is no such Deployment.
        PermissionMissing: The token may not write deployments.
        ServiceError: GitHub did not answer.
    """
    what = f"say how deployment {deployment} goes"
    path = f"deployments/{deployment}/statuses"
    body: dict[str, Any] = {"state": state, "description": _cut(description), "auto_inactive": True}
    body |= {
        name: url for name, url in (("environment_url", environment_url), ("log_url", log_url)) if url and _is_web(url)
    }
    newest = _newest(hub, deployment)
    if newest is None or not _is(newest, body):

        def look_up() -> Any:
            status = _newest(hub, deployment)
            return msgspec.to_builtins(status) if status is not None and _is(status, body) else None

        hub.request("POST", path, body=body, what=what, needs=_NEEDS, look_up=look_up)
    if state == "success":
        _retire(hub, deployment)


def _ours(hub: GitHub, sha: str, environment: str, payload: Mapping[str, str]) -> int | None:
    return next((one.id for one in _of(hub, sha, environment) if _says(one, payload)), None)


def _of_job(hub: GitHub, sha: str, environment: str, run_id: int) -> int | None:
    """The newest that GitHub made for a job of that run."""
    every = _of(hub, sha, environment) if run_id else []
    return next((one.id for one in every if _is_of_a_job(one) and _is_of_run(hub, one.id, run_id)), None)


def _of(hub: GitHub, sha: str, environment: str) -> list[_Deployment]:
    what = f"look for deployments to {environment}"
    query = {"sha": sha, "environment": environment}
    pages = hub.pages("deployments", params=query, what=what, needs=_NEEDS_TO_READ)
    return [read(entry, _Deployment, what=what) for entry in islice(pages, _MOST_LOOKED_AT)]


def _is_of_a_job(deployment: _Deployment) -> bool:
    """Whether GitHub made it for a job: it names its own App, and the person who started the workflow as creator."""
    app, creator = deployment.performed_via_github_app, deployment.creator
    own = (app is not None and app.slug == _APP) or (creator is not None and creator.login == _OWN)
    return own and not deployment.payload


def _says(deployment: _Deployment, payload: Mapping[str, str]) -> bool:
    said = deployment.payload
    if isinstance(said, str):  # GitHub takes either, and so it may tell either
        try:
            said = msgspec.json.decode(said)
        except msgspec.DecodeError:
            return False
    return isinstance(said, dict) and bool(payload) and dict(said) == dict(payload)


def _is_of_run(hub: GitHub, deployment: int, run_id: int) -> bool:
    part = f"/{hub.repository}/actions/runs/{run_id}/".lower()
    urls = [url for status in _statuses(hub, deployment) for url in (status.log_url, status.target_url) if url]
    return any(part in f"{url.lower()}/" for url in urls)


def _newest(hub: GitHub, deployment: int) -> _Status | None:
    found = _statuses(hub, deployment)
    return max(found, key=lambda status: status.id) if found else None


def _statuses(hub: GitHub, deployment: int) -> list[_Status]:
    what = f"ask how deployment {deployment} went"
    pages = hub.pages(f"deployments/{deployment}/statuses", what=what, needs=_NEEDS_TO_READ)
    return [read(entry, _Status, what=what) for entry in islice(pages, _MOST_LOOKED_AT)]


def _is(status: _Status, body: Mapping[str, Any]) -> bool:
    said = {"environment_url": status.environment_url, "log_url": status.log_url, "description": status.description}
    return status.state == body["state"] and all((said[name] or "") == body.get(name, "") for name in said)


def _retire(hub: GitHub, deployment: int) -> None:
    """GitHub does that by itself, but not for environments of production: there every success would stay active."""
    what = f"look what deployment {deployment} replaces"
    answer = hub.request("GET", f"deployments/{deployment}", what=what, needs=_NEEDS_TO_READ)
    environment = read(answer, _Deployment, what=what).environment
    pages = hub.pages("deployments", params={"environment": environment}, what=what, needs=_NEEDS_TO_READ)
    for entry in islice(pages, _MOST_LOOKED_AT):
        other = read(entry, _Deployment, what=what)
        if other.id >= deployment:
            continue
        newest = _newest(hub, other.id)
        if newest is not None and newest.state == "inactive":
            return  # and so is all that came before it
        if newest is not None and newest.state == "success":
            body = {"state": "inactive", "auto_inactive": False}
            path = f"deployments/{other.id}/statuses"
            hub.request("POST", path, body=body, what=what, needs=_NEEDS, look_up=harmless_twice)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _DESCRIPTION else text[: _DESCRIPTION - 1] + "…"


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))
