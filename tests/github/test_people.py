"""Who may do what, as far as a token can ask."""

from __future__ import annotations

import pytest

from mlops_ci.errors import UsageError
from mlops_ci.github import PermissionMissing
from mlops_ci.github.people import is_member, may_approve, permission_of
from tests.github import faults
from tests.github.emulator import APP, ORGANISATION
from tests.github.gateway import GitHubServer
from tests.github.hubs import connected

MEMBERS = {"contents": "read", "members": "read"}
LEVELS = ["read", "triage", "write", "maintain", "admin"]


def a_team(github: GitHubServer) -> str:
    """A team of octo-lead's, of the test's own."""
    slug = f"leads-{github.repository.rpartition('-')[2]}"
    github.add_team(slug, ["octo-lead"])
    return f"{ORGANISATION}/{slug}"


@pytest.mark.parametrize("level", LEVELS)
def test_every_level(github: GitHubServer, level: str) -> None:
    """By the name of the role: what the API called permission knows only three."""
    github.set_permission("hubot", level)
    assert permission_of(connected(github), "hubot") == level


@pytest.mark.parametrize("login", ["nobody-at-all", "", "../../user", "a b", "octocat\n", "-"])
def test_who_is_nobody_may_do_nothing(github: GitHubServer, login: str) -> None:
    """A login comes from an event; no path is made of what cannot be one."""
    assert permission_of(connected(github), login) == "none"


def test_an_own_role_counts_as_what_it_is_built_on(github: GitHubServer) -> None:
    """Its name means nothing to us."""
    answer = {"permission": "write", "role_name": "data-steward", "user": None}
    github.fault(method="GET", path="/permission$", kind=faults.status(200, body=answer))
    assert permission_of(connected(github), "hubot") == "write"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("rule", LEVELS)
def test_a_level_or_above(github: GitHubServer, level: str, rule: str) -> None:
    """All pairs."""
    github.set_permission("hubot", level)
    may = may_approve(connected(github), "hubot", [f"permission:{rule}"])
    assert may == (LEVELS.index(level) >= LEVELS.index(rule))


def test_a_login_costs_no_request(github: GitHubServer) -> None:
    """And has no case; nobody is let in by a part of a name."""
    hub = connected(github)
    assert may_approve(hub, "Octo-Lead", ["hubot", "octo-lead"])
    assert not may_approve(hub, "octo", ["octo-lead"])
    assert not may_approve(hub, "hubot", [])
    assert hub.calls == 0


def test_a_level_that_github_has_not(github: GitHubServer) -> None:
    """The words are those of the configuration."""
    with pytest.raises(UsageError, match="'owner' is no permission"):
        may_approve(connected(github), "hubot", ["permission:owner"])


def test_a_teams_members(github: GitHubServer) -> None:
    """With a token of the organisation."""
    place = a_team(github)
    hub = connected(github, APP, permissions=MEMBERS)
    assert is_member(hub, place, "octo-lead")
    assert not is_member(hub, place, "hubot")
    assert may_approve(hub, "octo-lead", [f"team:{place}"])
    assert not may_approve(hub, "mallory", ["octocat", f"team:{place}"])


def test_a_member_who_has_not_accepted_is_none(github: GitHubServer) -> None:
    """An invitation is no membership."""
    github.fault(
        method="GET", path="/memberships/", kind=faults.status(200, body={"state": "pending", "role": "member"})
    )
    assert not is_member(connected(github, APP, permissions=MEMBERS), "octo-org/leads", "hubot")


def test_teams_cannot_be_asked_with_the_workflows_own_token(github: GitHubServer) -> None:
    """It says which token can, and what can be asked without; a rule that lets them in anyway spares the question."""
    place = a_team(github)
    hub = connected(github)
    with pytest.raises(PermissionMissing) as caught:
        may_approve(hub, "octo-lead", ["octocat", f"team:{place}"])
    assert caught.value.permission == "members: read"
    assert "token of the organisation" in str(caught.value)
    assert "permission:" in caught.value.hint
    assert may_approve(hub, "octo-lead", [f"team:{place}", "octo-lead"])


def test_a_team_that_is_not_there(github: GitHubServer) -> None:
    """It is not taken for one without the person."""
    with pytest.raises(PermissionMissing, match="octo-org/nobodies"):
        is_member(connected(github, APP, permissions=MEMBERS), "octo-org/nobodies", "octo-lead")


@pytest.mark.parametrize("name", ["octo-org/..", "../x", "octo-org/"])
def test_a_team_that_is_a_path(github: GitHubServer, name: str) -> None:
    """No request is made of it."""
    hub = connected(github, APP, permissions=MEMBERS)
    with pytest.raises(UsageError):
        is_member(hub, name, "octo-lead")
    assert hub.calls == 0
