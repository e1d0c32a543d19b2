"""Who reviewed what a workflow run waits for, and what GitHub says of the run."""

from __future__ import annotations

import pytest

from mlops_ci.errors import NotFound, ServiceError
from mlops_ci.github import PermissionMissing, environments
from mlops_ci.github.environments import Review
from tests.github import faults
from tests.github.emulator import ACTIONS
from tests.github.gateway import GitHubServer
from tests.github.hubs import connected


def test_reviews_are_told_with_their_environments_and_words(github: GitHubServer) -> None:
    for name in ("production", "staging"):
        github.add_environment(name, ["octo-lead"])
    run = github.add_run(pending=["production", "staging"])
    assert environments.reviews(connected(github), run) == []
    github.approve(run, "octo-lead", "production", comment="good")
    github.approve(run, "hubot", "staging", comment="not yet", state="rejected")
    assert environments.reviews(connected(github), run) == [
        Review("octo-lead", "approved", ("production",), "good"),
        Review("hubot", "rejected", ("staging",), "not yet"),
    ]


def test_a_program_that_reviewed_is_told_from_a_person(github: GitHubServer) -> None:
    github.add_environment("production")
    run = github.add_run(pending=["production"])
    github.approve(run, "octo-app[bot]", "production")
    (found,) = environments.reviews(connected(github), run)
    assert (found.login, found.is_person) == ("octo-app[bot]", False)


def test_what_is_pending_is_no_review(github: GitHubServer) -> None:
    github.add_environment("production")
    run = github.add_run(pending=["production"])
    github.approve(run, "octo-lead", "production", state="pending")
    assert environments.reviews(connected(github), run) == []


def test_a_run_names_everybody_who_started_one_of_its_attempts(github: GitHubServer) -> None:
    run = github.add_run(event="push", head_branch="churn@v1.0.0", head_sha="a" * 40, actor="monalisa")
    github.run_again(run, "hubot")
    github.run_again(run, "octo-lead")
    found = environments.run(connected(github), run)
    assert (found.event, found.head_branch, found.head_sha) == ("push", "churn@v1.0.0", "a" * 40)
    assert (found.attempt, found.path, found.head_repository) == (3, ".github/workflows/mlops.yml", github.repository)
    assert found.people == ("monalisa", "hubot", "octo-lead")


def test_the_run_of_a_fork_says_so(github: GitHubServer) -> None:
    run = github.add_run(head_repository="mallory/churn")
    assert environments.run(connected(github), run).head_repository == "mallory/churn"


def test_a_run_that_is_not_there(github: GitHubServer) -> None:
    for ask in (environments.run, environments.reviews):
        with pytest.raises(NotFound):
            ask(connected(github), 987654)


def test_a_token_that_may_not_ask_is_told_which_permission(github: GitHubServer) -> None:
    run = github.add_run()
    for ask in (environments.run, environments.reviews):
        with pytest.raises(PermissionMissing, match="actions: read"):
            ask(connected(github, ACTIONS, permissions={"contents": "read"}), run)


def test_github_that_fails_is_asked_again_and_then_told(github: GitHubServer) -> None:
    run = github.add_run()
    github.fault(path="approvals", times=2, kind=faults.status(502))
    assert environments.reviews(connected(github), run) == []
    github.fault(path="approvals", times=4, kind=faults.status(502))
    with pytest.raises(ServiceError):
        environments.reviews(connected(github), run)
