"""Deployments as GitHub shows them: one for each of ours, GitHub's own taken over."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_ci.errors import NotFound, ServiceError, UsageError
from mlops_ci.github import PermissionMissing, deployments
from tests.github import faults
from tests.github.emulator import ACTIONS
from tests.github.gateway import GitHubServer
from tests.github.hubs import connected
from tests.repositories import git, make_clone

SHA = "a" * 40
JOB = {"contents": "read", "deployments": "write"}
OURS = {"record": "r1", "plan": "sha256:1"}


def made(github: GitHubServer, *, permissions: dict[str, str] | None = None, **facts: Any) -> int:
    about: dict[str, Any] = {
        "sha": SHA,
        "ref": SHA,
        "environment": "production",
        "run_id": 0,
        "description": "churn 1.0.0",
        "production": True,
        "payload": OURS,
    }
    hub = connected(github, ACTIONS, permissions=JOB if permissions is None else permissions)
    return deployments.adopt_or_create(hub, **{**about, **facts})


def states(github: GitHubServer) -> list[list[str]]:
    """Of each deployment what was said of it, newest first."""
    return [[status["state"] for status in one["statuses"]] for one in github.deployments()]


def test_one_is_made_where_github_made_none(github: GitHubServer) -> None:
    number = made(github, run_id=77, description="x" * 200)
    (found,) = github.deployments()
    assert (found["id"], found["sha"], found["environment"]) == (number, SHA, "production")
    assert (found["payload"], found["task"], found["production_environment"]) == (OURS, "deploy", True)
    assert len(found["description"]) == 140
    (body,) = [call.body for call in github.calls if call.method == "POST"]
    assert (body["auto_merge"], body["required_contexts"]) == (False, [])


def test_the_same_a_second_time_is_found_and_another_is_made_beside_it(github: GitHubServer) -> None:
    assert made(github) == made(github) == made(github, run_id=5)
    assert made(github, payload={**OURS, "record": "r2"}) != made(github)
    assert made(github, environment="staging", production=False) != made(github)
    assert len(github.deployments()) == 3


def test_a_tag_is_shown_and_its_commit_found_again(github: GitHubServer, tmp_path: Any) -> None:
    clone = make_clone(tmp_path, {"README.md": "x"})
    git(clone, "tag", "churn@v1.0.0")
    git(clone, "push", "--quiet", "origin", "churn@v1.0.0")
    github.world.git = tmp_path / "origin.git"
    sha = git(clone, "rev-parse", "HEAD")
    assert made(github, sha=sha, ref="churn@v1.0.0") == made(github, sha=sha, ref="churn@v1.0.0")
    (found,) = github.deployments()
    assert (found["ref"], found["sha"]) == ("churn@v1.0.0", sha)
    with pytest.raises(UsageError, match="No ref found"):
        made(github, ref="churn@v9", sha="b" * 40)


def test_the_one_that_github_made_for_the_job_is_taken_over(github: GitHubServer) -> None:
    github.add_environment("production")
    run, other = (github.add_run(number, head_sha=SHA, event="push") for number in (123, 1234))
    github.add_deployment(other, "production")
    first = github.add_deployment(run, "production")
    second = github.add_deployment(run, "production", job=2)
    github.add_deployment(run, "staging")
    assert second > first
    assert made(github, run_id=run) == second
    assert made(github, run_id=run) == second
    assert made(github, run_id=99) not in {first, second}
    assert len(github.deployments()) == 5


def test_nobody_elses_is_taken_over(github: GitHubServer) -> None:
    """One that a person made and says to be of our run; and one of another commit."""
    github.add_environment("production")
    run = github.add_run(123, head_sha="b" * 40)
    theirs = github.add_deployment(run, "production")
    assert made(github, run_id=run) != theirs
    github.set_permission("mallory", "write")
    hub = connected(github, "mallory")
    body = {"ref": SHA, "environment": "production", "required_contexts": [], "auto_merge": False}
    forged = hub.request("POST", "deployments", body=body, what="forge")["id"]
    url = f"https://github.com/{github.repository}/actions/runs/{run}/job/1"
    deployments.set_status(hub, forged, "in_progress", log_url=url)
    assert made(github, run_id=run, payload={"record": "r9"}) not in {theirs, forged}


def test_how_it_goes_is_said_once(github: GitHubServer) -> None:
    number, hub = made(github), connected(github, ACTIONS, permissions=JOB)
    for _ in range(2):
        deployments.set_status(hub, number, "in_progress", log_url="https://example.com/log", description="x" * 200)
    for _ in range(2):
        deployments.set_status(hub, number, "success", environment_url="https://churn.example.com")
    ((newest, first),) = [one["statuses"] for one in github.deployments()]
    assert (first["state"], first["log_url"], len(first["description"])) == (
        "in_progress",
        "https://example.com/log",
        140,
    )
    assert (newest["state"], newest["environment_url"]) == ("success", "https://churn.example.com")


def test_an_address_that_is_no_web_page_is_not_linked(github: GitHubServer) -> None:
    number, hub = made(github), connected(github, ACTIONS, permissions=JOB)
    deployments.set_status(hub, number, "success", environment_url="javascript:alert(1)", log_url="file:///etc")
    ((status,),) = [one["statuses"] for one in github.deployments()]
    assert (status["environment_url"], status["log_url"]) == ("", "")


@pytest.mark.parametrize("production", [True, False], ids=["production", "another environment"])
def test_what_was_deployed_before_is_inactive_and_nothing_else(github: GitHubServer, *, production: bool) -> None:
    hub = connected(github, ACTIONS, permissions=JOB)
    numbers = [made(github, payload={"record": str(index)}, production=production) for index in range(4)]
    elsewhere = made(github, environment="staging", production=False)
    deployments.set_status(hub, elsewhere, "success")
    deployments.set_status(hub, numbers[0], "success")
    deployments.set_status(hub, numbers[1], "failure")
    deployments.set_status(hub, numbers[2], "success")
    deployments.set_status(hub, numbers[3], "success")
    assert states(github) == [["inactive", "success"], ["failure"], ["inactive", "success"], ["success"], ["success"]]


def test_a_lost_answer_makes_no_second_one(github: GitHubServer) -> None:
    github.fault(method="POST", path="/deployments", kind=faults.done_then_dropped())
    number = made(github)
    hub = connected(github, ACTIONS, permissions=JOB)
    github.fault(method="POST", path="/statuses", kind=faults.done_then_dropped())
    deployments.set_status(hub, number, "success")
    assert states(github) == [["success"]]


def test_a_token_that_may_not_is_told_which_permission(github: GitHubServer) -> None:
    with pytest.raises(PermissionMissing, match="deployments: write"):
        made(github, permissions={"contents": "read", "deployments": "read"})
    number = made(github)
    with pytest.raises(PermissionMissing, match="deployments"):
        deployments.set_status(connected(github, ACTIONS, permissions={"contents": "read"}), number, "success")


def test_one_that_is_not_there_and_a_github_that_fails(github: GitHubServer) -> None:
    hub = connected(github, ACTIONS, permissions=JOB)
    with pytest.raises(NotFound):
        deployments.set_status(hub, 99, "success")
    github.fault(path="deployments", times=4, kind=faults.status(503))
    with pytest.raises(ServiceError):
        made(github)
