"""What a branch demands before a merge, and an environment before a deployment."""

from __future__ import annotations

import pytest

from mlops_ci.errors import ServiceError
from mlops_ci.github import PermissionMissing
from mlops_ci.github.rules import Environment, RequiredCheck, environment, required_checks
from tests.github import faults
from tests.github.gateway import GitHubServer
from tests.github.hubs import connected


def test_both_kinds_of_rules_count(github: GitHubServer) -> None:
    """Rulesets and the older protection, each with the App that must have posted it."""
    github.require_checks("main", ["mlops-ci", "lint"], app=15368)
    github.require_checks("main", ["mlops-ci"], by="protection")
    found = required_checks(connected(github), "main")
    assert found.checks == (
        RequiredCheck("mlops-ci", 15368, "ruleset"),
        RequiredCheck("lint", 15368, "ruleset"),
        RequiredCheck("mlops-ci", None, "branch protection"),
    )
    assert found.notes == ()


def test_a_branch_without_rules(github: GitHubServer) -> None:
    """It demands nothing, and that is known for sure."""
    found = required_checks(connected(github), "main")
    assert (found.checks, found.notes) == ((), ())


def test_a_branch_with_a_slash(github: GitHubServer) -> None:
    """It is one part of the path."""
    github.require_checks("release/1.x", ["mlops-ci"])
    assert [check.context for check in required_checks(connected(github), "release/1.x").checks] == ["mlops-ci"]


def test_more_than_a_page_of_rules(github: GitHubServer) -> None:
    """All pages are read."""
    for count in range(130):
        github.require_checks("main", [f"check {count}"])
    assert len(required_checks(connected(github), "main").checks) == 130


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize(("path", "left"), [("/rules/branches/", "protected"), ("/branches/main$", "ruled")])
def test_what_cannot_be_read_is_said(github: GitHubServer, status: int, path: str, left: str) -> None:
    """The other half is still told: some plans have no rulesets, some tokens see no protection."""
    github.require_checks("main", ["ruled"])
    github.require_checks("main", ["protected"], by="protection")
    path = path.replace("/branches/main$", "/repos/[^/]+/[^/]+/branches/main$")
    github.fault(method="GET", path=path, kind=faults.status(status))
    found = required_checks(connected(github), "main")
    assert [check.context for check in found.checks] == [left]
    assert len(found.notes) == 1


def test_silence_is_no_lack_of_rules(github: GitHubServer) -> None:
    """A server that does not answer ends the question."""
    github.fault(method="GET", path="/rules/branches/", kind=faults.status(503), times=99)
    with pytest.raises(ServiceError):
        required_checks(connected(github), "main")


def test_an_environment(github: GitHubServer) -> None:
    """People, teams, and whether who started it may agree."""
    slug = f"leads-{github.repository.rpartition('-')[2]}"
    github.add_team(slug)
    github.add_environment("production", ["octo-lead", f"team:{slug}"], prevent_self_review=True, wait_minutes=5)
    github.add_environment("staging/eu")
    hub = connected(github)
    assert environment(hub, "production") == Environment(
        "production", exists=True, reviewers=("octo-lead", f"team:{hub.owner}/{slug}"), prevent_self_review=True
    )
    assert environment(hub, "staging/eu") == Environment("staging/eu", exists=True)
    assert environment(hub, "nowhere") == Environment("nowhere", exists=False)


def test_a_token_that_may_not_read_environments(github: GitHubServer) -> None:
    """It is not taken for one without reviewers."""
    with pytest.raises(PermissionMissing) as caught:
        environment(connected(github, permissions={"contents": "read"}), "production")
    assert caught.value.permission == "actions: read"
