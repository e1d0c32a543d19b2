"""The request for an approval as an issue, on a real project: opened, found again, answered, closed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from mlops_ci import records, reports
from mlops_ci.entities import ApprovalRequest, Deployment
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals.approval_requests import Asked, requests
from mlops_ci.lifecycle.approvals.request_issue import announce, differences, settle
from mlops_ci.lifecycle.deployments import deployments, serving
from mlops_ci.lifecycle.events.react_without_code import react_without_code
from mlops_ci.records import Record
from tests.cli.test_comment_approvals import QUIET, Scene, asked_for, scene
from tests.github import commits, faults
from tests.github.emulator import ACTIONS
from tests.github.hubs import bodies
from tests.repositories import git

__all__ = ["asked_for", "commits", "scene"]

pytestmark = pytest.mark.full

JOB = {"contents": "read", "issues": "write", "pull-requests": "read", "actions": "read"}


def env(scene: Scene, permissions: dict[str, str] | None = None) -> dict[str, str]:
    """What a job of the workflow has."""
    token = scene.github.token(ACTIONS, JOB if permissions is None else permissions)
    api = {"GITHUB_API_URL": scene.github.url, "GITHUB_REPOSITORY": scene.github.repository}
    return {"GITHUB_TOKEN": token, "MLOPS_CI_OWN_TOKEN": "true", **api}


def posted(scene: Scene, asked: Asked | None = None, told: list[str] | None = None, **options: Any) -> str:
    """Ask in an issue, as the job does that was refused."""
    asked = asked or scene.asked
    ruling = policy.at_default_branch(scene.project.checkout)
    project, plan = scene.project.ruled_by(ruling.config), asked.request.plan
    previous = serving(deployments(project, plan.target))
    about: dict[str, Any] = {"env": env(scene), "tell": (told if told is not None else []).append, **options}
    return announce(project, plan, asked.record, scene.standing(plan=plan), ruling, previous, **about)


def number_of(url: str) -> int:
    return int(url.rpartition("/")[2])


def went_live(scene: Scene, asked: Asked) -> Record:
    request = asked.record.read(ApprovalRequest)
    live = Deployment(
        plan=request.plan,
        plan_digest=request.plan_digest,
        policy_sha=request.policy_sha,
        status="live",
        request=asked.record.id,
    )
    return scene.write(live, time=records.timestamp(asked.opens + timedelta(minutes=5)))


def test_people_are_asked_in_an_issue_that_says_what_to_type(scene: Scene) -> None:
    diffs = differences({"a.yaml": "x: 1\n"}, {"a.yaml": "x: 2\n", "b.yaml": "y\n"})
    number = number_of(posted(scene, diffs=diffs))
    told = scene.github.issue(number)
    assert told["title"] == "Deploy churn 1.0.0 to production?"
    body = told["body"]
    assert reports.request_in(body) == scene.digest
    assert f"```\n/approve {scene.digest[:12]}\n```" in body
    assert re.search(r"\| `accuracy` \| 0\.950* \|", body)
    assert "-x: 1\n+x: 2" in body
    assert "defunkt" in body
    assert "@example.com" not in body
    typed = next(line for line in body.splitlines() if line.startswith("/approve"))
    found = scene.answer(scene.comment("octo-lead", typed, number=number))
    assert found.reached
    assert found.next is not None
    assert (found.next.target, found.next.version, found.next.environment) == ("production", "1.0.0", "production")
    assert found.next.plan == f"sha256:{scene.digest}"


def test_there_is_one_issue_for_each_plan(scene: Scene) -> None:
    first = posted(scene)
    assert posted(scene) == first
    scene.rule("{required: 1, expires: 6d}")
    other = [asked for asked in requests(scene.project) if asked.state == "open"][-1]
    assert posted(scene, other) != first


def test_what_is_approved_on_an_edited_issue_does_not_count(scene: Scene) -> None:
    """Somebody who may write makes it say what others shall type, or makes something else of it and puts it back."""
    evil = scene.asked
    scene.rule("{required: 1, expires: 6d}")
    asked = [one for one in requests(scene.project) if one.state == "open"][-1]
    number = number_of(posted(scene, asked))
    before = scene.github.issue(number)["body"]
    digests = [one.request.plan_digest.removeprefix("sha256:") for one in (asked, evil)]
    scene.github.edit_issue(number, body=before.replace(digests[0][:12], digests[1][:12]), author="mallory")
    comment = scene.comment("octo-lead", f"/approve {digests[1][:12]}", number=number)
    scene.counts_nowhere(comment, "octo-lead", "was edited by mallory")
    scene.github.edit_issue(number, body=before, author="mallory")
    assert scene.standing(plan=evil.request.plan).counted == []
    comment = scene.comment("octo-lead", f"/approve {digests[0]}", number=number, after_s=60)
    assert scene.answer(comment).decision is None
    again = number_of(posted(scene, asked))
    assert again != number
    assert scene.github.issue(number)["state"] == "closed"
    comment = scene.comment("octo-lead", f"/approve {digests[0]}", number=again, after_s=90)
    assert scene.answer(comment).reached


def test_a_text_of_people_may_be_edited_by_others(scene: Scene) -> None:
    """That is usual, and nobody is told there what to type."""
    number = scene.github.open_issue(author="monalisa")
    scene.github.edit_issue(number, body="the release of today", author="hubot")
    assert scene.say("octo-lead", f"/approve {scene.digest}", number=number).reached
    scene.github.edit_issue(number, body=f"type /approve {scene.digest}", author="hubot")
    assert "was edited by hubot" in "; ".join(scene.standing().discounted)


def test_what_is_compared_with_is_what_serves(scene: Scene) -> None:
    went_live(scene, scene.asked)
    scene.place.commit({"params.json": '{"accuracy": 0.97}'})
    scene.place.run("run")
    git(scene.place.root, "tag", "churn@v1.1.0")
    scene.place.push("HEAD:main", "churn@v1.1.0")
    scene.place.run("register", "churn@v1.1.0")
    scene.deploy()
    number = number_of(posted(scene))
    body = scene.github.issue(number)["body"]
    assert "where `1.0.0` serves now" in body
    assert re.search(r"\| `accuracy` \| 0\.950* \| 0\.970* \| \+0\.020* ▲ better \|", body)


@pytest.mark.parametrize(
    ("permissions", "because"), [({"contents": "read"}, "issues: write"), ({"issues": "read"}, "issues: write")]
)
def test_an_issue_that_cannot_be_posted_is_a_note(scene: Scene, permissions: dict[str, str], because: str) -> None:
    told: list[str] = []
    assert posted(scene, told=told, env=env(scene, permissions)) == ""
    assert "the request was not posted as an issue" in told[0]
    assert because in told[0]


def test_nobody_is_asked_without_a_token_and_a_github_that_fails_is_a_note(scene: Scene) -> None:
    told: list[str] = []
    before = len(scene.github.calls)
    assert posted(scene, told=told, env={}) == ""
    assert (told, len(scene.github.calls)) == ([], before)
    scene.github.fault(path="/issues", times=4, kind=faults.status(404))
    assert posted(scene, told=told) == ""
    assert told


def test_the_issue_is_closed_when_it_is_deployed(scene: Scene) -> None:
    asked = scene.asked
    number = number_of(posted(scene))
    settle(scene.project, env=env(scene))
    assert scene.github.issue(number)["state"] == "open"
    went_live(scene, asked)
    for _ in range(2):
        settle(scene.project, env=env(scene))
    assert scene.github.issue(number)["state"] == "closed"
    assert bodies(scene.github, number) == ["**It is deployed.**"]


def test_the_issue_is_closed_when_something_else_went_live(scene: Scene) -> None:
    first = scene.asked
    number = number_of(posted(scene))
    scene.rule("{required: 1, expires: 6d}")
    other = [asked for asked in requests(scene.project) if asked.state == "open"][-1]
    went_live(scene, other)
    assert [asked.state for asked in requests(scene.project) if asked.record.id == first.record.id] == ["overtaken"]
    settle(scene.project, env=env(scene))
    assert "Something else is served now" in bodies(scene.github, number)[0]


def test_the_issue_of_an_expired_request_is_closed_and_another_one_opened(scene: Scene) -> None:
    plan = records.replace(scene.asked.request.plan, image="old")
    request = records.replace(scene.asked.request, plan=plan, plan_digest=records.digest(plan))
    record = scene.write(request, time=records.timestamp(scene.asked.opens - timedelta(days=30)))
    asked = next(one for one in requests(scene.project) if one.record.id == record.id)
    number = number_of(posted(scene, asked))
    assert "Nobody decided in time" in bodies(scene.github, number)[0]
    assert number_of(posted(scene)) != number
    assert scene.github.issue(number)["state"] == "closed"


def test_the_issue_of_another_project_and_a_strangers_are_left_alone(scene: Scene) -> None:
    theirs = scene.github.open_issue(author="mallory")
    scene.github.edit_issue(theirs, body=f"x\n\n<!-- mlops-ci v=1 request={scene.digest} -->", author="mallory")
    number = number_of(posted(scene))
    assert number != theirs
    other = scene.github.open_issue(author=ACTIONS)
    scene.github.edit_issue(other, body=f"x\n\n<!-- mlops-ci v=1 request={'0' * 64} -->", author=ACTIONS)
    went_live(scene, scene.asked)
    settle(scene.project, env=env(scene))
    assert [scene.github.issue(one)["state"] for one in (theirs, other, number)] == ["open", "open", "closed"]


def test_the_issue_is_closed_when_somebody_rejects_it(scene: Scene) -> None:
    number = number_of(posted(scene))
    comment = scene.comment("octo-lead", f"/reject {scene.digest[:12]} recall fell", number=number)
    found = scene.answer(comment)
    assert (found.reached, found.next, found.missing) == (False, None, ())
    assert scene.github.issue(number)["state"] == "closed"
    assert "octo-lead rejected it: recall fell" in bodies(scene.github, number)[-1]


def test_what_a_stranger_rejects_stays_open(scene: Scene) -> None:
    number = number_of(posted(scene))
    assert scene.answer(scene.comment("mallory", f"/reject {scene.digest[:12]} no", number=number)).decision is None
    assert scene.github.issue(number)["state"] == "open"


def test_the_job_that_a_comment_starts_says_what_can_be_deployed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    comment = scene.comment("octo-lead", f"/approve {scene.digest[:12]}", number=number_of(posted(scene)))
    token = scene.github.token(ACTIONS, {"contents": "write", "issues": "write", "pull-requests": "write"})
    monkeypatch.setenv("GITHUB_TOKEN", token)
    reaction = react_without_code(scene.event(comment), [], config_name="", into=scene.folder / "job", notify=QUIET)
    assert reaction.next is not None
    assert (reaction.next.target, reaction.next.version) == ("production", "1.0.0")
    hostile = scene.comment("mallory", f"/approve {scene.digest[:12]}")
    event = scene.event(hostile)
    assert react_without_code(event, [], config_name="", into=scene.folder / "job2", notify=QUIET).next is None
