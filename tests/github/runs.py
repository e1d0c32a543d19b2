"""
Ours: an in-memory fake of workflow runs and of environments.

Environments with their protection rules, runs with their approvals, pending deployments and artifacts. The emulator
keeps none of them in a form that could be filled. Every answer is held against GitHub's description of it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any
from urllib.parse import quote

from tests.github.messages import Reply, page, refusal
from tests.github.world import WEB, Answering, Routes, World, invalid, node_id, not_found, now

ROUTES = Routes()
_LATER = "2099-01-01T00:00:00Z"


@ROUTES.add("GET", "{repo}/environments")
def _environments(asked: Answering) -> Reply:
    found = list(asked.world.tables.environments.values())
    shown, headers = page(asked.request, found, asked.world.url)
    return Reply(200, {"total_count": len(found), "environments": shown}, headers)


@ROUTES.add("GET", "{repo}/environments/{name}")
def _environment(asked: Answering) -> Reply:
    found = asked.world.tables.environments.get(asked.found["name"])
    return Reply(200, found) if found else not_found()


def add_environment(
    world: World, name: str, reviewers: tuple[dict[str, Any], ...], *, prevent_self_review: bool, wait_minutes: int
) -> None:
    """Make the environment *name*; *reviewers* are entries of its rule: a type, and a user or a team."""
    number = world.next_id()
    rules: list[dict[str, Any]] = []
    if wait_minutes:
        timer = world.next_id()
        rules.append({"id": timer, "node_id": node_id("GA", timer), "type": "wait_timer", "wait_timer": wait_minutes})
    if reviewers or prevent_self_review:
        review = world.next_id()
        rule = {"id": review, "node_id": node_id("GA", review), "type": "required_reviewers"}
        rules.append({**rule, "prevent_self_review": prevent_self_review, "reviewers": list(reviewers)})
    world.tables.environments[name] = {
        "id": number,
        "node_id": node_id("EN", number),
        "name": name,
        "url": f"{world.url}{world.place}/environments/{quote(name, safe='')}",
        "html_url": f"{WEB}/{world.repository}/deployments/activity_log?environments_filter={quote(name, safe='')}",
        "created_at": now(),
        "updated_at": now(),
        "protection_rules": rules,
        "deployment_branch_policy": None,
    }


@ROUTES.add("GET", "{repo}/actions/runs")
def _runs(asked: Answering) -> Reply:
    wanted = asked.request.params
    found = list(asked.world.tables.runs.values())[::-1]
    for name, key in (("head_sha", "head_sha"), ("event", "event"), ("branch", "head_branch"), ("status", "status")):
        found = [entry for entry in found if wanted.get(name, entry[key]) == entry[key]]
    shown, headers = page(asked.request, found, asked.world.url)
    return Reply(200, {"total_count": len(found), "workflow_runs": shown}, headers)


@ROUTES.add("GET", "{repo}/actions/runs/{id}")
def _run(asked: Answering) -> Reply:
    found = asked.world.tables.runs.get(asked.number("id"))
    return Reply(200, found) if found else not_found()


@ROUTES.add("GET", "{repo}/actions/runs/{id}/attempts/{number}")
def _attempt(asked: Answering) -> Reply:
    run, number = asked.world.tables.runs.get(asked.number("id")), asked.number("number")
    if run is not None and run["run_attempt"] == number:
        return Reply(200, run)
    found = asked.world.tables.attempts.get((asked.number("id"), number))
    return Reply(200, found) if found else not_found()


@ROUTES.add("GET", "{repo}/actions/runs/{id}/approvals")
def _approvals(asked: Answering) -> Reply:
    if asked.number("id") not in asked.world.tables.runs:
        return not_found()
    return Reply(200, asked.world.tables.approvals[asked.number("id")])


@ROUTES.add("GET", "{repo}/actions/runs/{id}/pending_deployments")
def _pending(asked: Answering) -> Reply:
    if asked.number("id") not in asked.world.tables.runs:
        return not_found()
    names = asked.world.tables.pending[asked.number("id")]
    return Reply(200, [_as_pending(asked, asked.world.tables.environments[name]) for name in names])


def _as_pending(asked: Answering, environment: dict[str, Any]) -> dict[str, Any]:
    rules = {rule["type"]: rule for rule in environment["protection_rules"]}
    review = rules.get("required_reviewers", {})
    return {
        "environment": short(environment),
        "wait_timer": rules.get("wait_timer", {}).get("wait_timer", 0),
        "wait_timer_started_at": None,
        "current_user_can_approve": _may_review(asked, environment),
        "reviewers": review.get("reviewers", []),
    }


@ROUTES.add("POST", "{repo}/actions/runs/{id}/pending_deployments")
def _review(asked: Answering) -> Reply:
    run, body = asked.number("id"), asked.request.body or {}
    environments = {entry["id"]: entry for entry in asked.world.tables.environments.values()}
    asked_for = [environments.get(number) for number in body["environment_ids"]]
    names = asked.world.tables.pending[run]
    found = [entry for entry in asked_for if entry is not None and entry["name"] in names]
    if run not in asked.world.tables.runs or len(found) != len(asked_for):
        return invalid("No pending deployment requests to approve or reject")
    if not all(_may_review(asked, entry) for entry in found):
        return refusal(403, "You are not authorized to approve or reject this deployment")
    asked.world.tables.approvals[run].append(
        {
            "environments": [short(entry) for entry in found],
            "state": body["state"],
            "user": asked.world.user(asked.who.login),
            "comment": body["comment"],
        }
    )
    for entry in found:
        names.remove(entry["name"])
    made = [one for one in asked.world.tables.deployments.values() if one["environment"] in {e["name"] for e in found}]
    return Reply(200, made)


def short(environment: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "node_id", "name", "url", "html_url", "created_at", "updated_at")
    return {name: environment[name] for name in names}


def _may_review(asked: Answering, environment: dict[str, Any]) -> bool:
    rules = {rule["type"]: rule for rule in environment["protection_rules"]}
    review = rules.get("required_reviewers")
    if review is None:
        return asked.who.kind == "user"
    started = {run["triggering_actor"]["login"] for run in asked.world.tables.runs.values()}
    if review["prevent_self_review"] and asked.who.login in started:
        return False
    return asked.who.login in {entry["reviewer"].get("login") for entry in review["reviewers"]}


@ROUTES.add("GET", "{repo}/actions/runs/{id}/artifacts")
def _artifacts(asked: Answering) -> Reply:
    if asked.number("id") not in asked.world.tables.runs:
        return not_found()
    name = asked.request.params.get("name")
    found = [one for one in asked.world.tables.artifacts.values() if one["workflow_run"]["id"] == asked.number("id")]
    found = [one for one in found if name in {None, one["name"]}]
    shown, headers = page(asked.request, found, asked.world.url)
    return Reply(200, {"total_count": len(found), "artifacts": shown}, headers)


@ROUTES.add("GET", "{repo}/actions/artifacts/{id}")
def _artifact(asked: Answering) -> Reply:
    found = asked.world.tables.artifacts.get(asked.number("id"))
    return Reply(200, found) if found else not_found()


@ROUTES.add("GET", "{repo}/actions/artifacts/{id}/zip")
def _archive(asked: Answering) -> Reply:
    found = asked.world.tables.artifacts.get(asked.number("id"))
    if found is None:
        return not_found()
    if found["expired"]:
        return refusal(410, "Artifact has expired")
    return Reply(302, None, {"location": f"{asked.world.storage}/archives/{found['id']}.zip?sig=for-a-minute"})


def add_artifact(world: World, run: int, name: str, content: bytes | dict[str, bytes], *, expired: bool) -> int:
    """Keep *content*, an archive or the files of one, as an upload of *run*; its number."""
    number = world.next_id()
    data = content if isinstance(content, bytes) else _zipped(content)
    place = f"{world.url}{world.place}/actions/artifacts/{number}"
    of = world.tables.runs[run]
    world.tables.archives[number] = data
    world.tables.artifacts[number] = {
        "id": number,
        "node_id": node_id("MDg6QXJ0aWZhY3Q", number),
        "name": name,
        "size_in_bytes": len(data),
        "url": place,
        "archive_download_url": f"{place}/zip",
        "expired": expired,
        "created_at": now(),
        "updated_at": now(),
        "expires_at": _LATER,
        "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
        "workflow_run": {
            "id": run,
            "repository_id": of["repository"]["id"],
            "head_repository_id": of["head_repository"]["id"],
            "head_branch": of["head_branch"],
            "head_sha": of["head_sha"],
        },
    }
    return number


def _zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def add_run(world: World, number: int, facts: dict[str, Any]) -> None:
    """Make the workflow run *number*; *facts* are what differs from a finished run of a pull request."""
    place = f"{world.url}{world.place}/actions/runs/{number}"
    repository = world.repo()
    head_sha = facts.get("head_sha", "0" * 40)
    person = {"name": "engineer", "email": "engineer@example.com"}
    made = {
        "id": number,
        "name": "mlops",
        "node_id": node_id("WFR", number),
        "head_branch": "feature",
        "head_sha": head_sha,
        "path": ".github/workflows/mlops.yml",
        "display_title": "a change",
        "run_number": 1,
        "run_attempt": 1,
        "event": "pull_request",
        "status": "completed",
        "conclusion": "success",
        "workflow_id": 7,
        "check_suite_id": 9,
        "check_suite_node_id": node_id("CS", 9),
        "url": place,
        "html_url": f"{WEB}/{world.repository}/actions/runs/{number}",
        "pull_requests": [],
        "created_at": now(),
        "updated_at": now(),
        "run_started_at": now(),
        "actor": world.user("octocat"),
        "triggering_actor": world.user("octocat"),
        **{f"{name}_url": f"{place}/{name}" for name in ("jobs", "logs", "artifacts", "cancel", "rerun")},
        "check_suite_url": f"{world.url}{world.place}/check-suites/9",
        "previous_attempt_url": None,
        "workflow_url": f"{world.url}{world.place}/actions/workflows/7",
        "head_commit": {
            "id": head_sha,
            "tree_id": "0" * 40,
            "message": "a change",
            "timestamp": now(),
            "author": person,
            "committer": person,
        },
        "repository": repository,
        "head_repository": repository,
    }
    world.tables.runs[number] = {**made, **facts}


def rerun(world: World, number: int, actor: str) -> None:
    """Let *actor* run *number* again: the run is its last attempt, and what was reviewed before stays in its list."""
    run = world.tables.runs[number]
    world.tables.attempts[number, run["run_attempt"]] = run
    again = {"run_attempt": run["run_attempt"] + 1, "triggering_actor": world.user(actor), "run_started_at": now()}
    world.tables.runs[number] = {**run, **again}
