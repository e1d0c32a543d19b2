"""Issues of ours: one for each question, found again, closed with a last word."""

from __future__ import annotations

import pytest

from mlops_ci.errors import NotFound, Refused, ServiceError
from mlops_ci.github import PermissionMissing, issues
from mlops_ci.github.issues import Issue, Text
from tests.github import faults
from tests.github.emulator import ACTIONS
from tests.github.gateway import GitHubServer
from tests.github.hubs import bodies, connected

BODY = "Deploy it?\n\n<!-- mark -->\n"
JOB = {"issues": "write"}


def is_ours(body: str) -> bool:
    return body.rstrip().endswith("<!-- mark -->")


def opened(github: GitHubServer, body: str = BODY, title: str = "Deploy it?") -> Issue:
    return issues.open_issue(connected(github, permissions=JOB), title, body, is_ours=is_ours)


def test_one_is_opened_and_found_again(github: GitHubServer) -> None:
    github.open_issue()
    first = opened(github)
    told = github.issue(first.number)
    assert (told["title"], told["body"], told["user"]["login"]) == ("Deploy it?", BODY, ACTIONS)
    assert first.done == "opened"
    assert opened(github) == Issue(first.number, first.url, "unchanged")
    assert f"/issues/{first.number}" in first.url


def test_what_we_say_anew_is_kept_up(github: GitHubServer) -> None:
    number = opened(github).number
    longer = f"More is known.\n\n{BODY}"
    assert opened(github, longer).done == "updated"
    assert opened(github, longer, "Deploy that?").number == number
    assert (github.issue(number)["title"], github.issue(number)["body"]) == ("Deploy that?", longer)


def test_what_somebody_else_edited_is_closed_and_asked_anew(github: GitHubServer) -> None:
    number = opened(github).number
    github.edit_issue(number, body=f"something else\n{BODY}")
    again = opened(github)
    assert (again.done, again.number > number) == ("opened", True)
    assert github.issue(number)["state"] == "closed"
    assert "asked anew" in bodies(github, number)[0]


def test_who_edited_a_text_is_told_by_graphql(github: GitHubServer) -> None:
    hub = connected(github, permissions=JOB)
    number = opened(github).number
    assert issues.text_of(hub, number) == Text(BODY, by_program=True, edited_by=())
    opened(github, f"x\n{BODY}")
    github.edit_issue(number, title="only the title", author="hubot")
    assert issues.text_of(hub, number).edited_by == ()
    for author in ("mallory", "octocat", "mallory"):
        github.edit_issue(number, body="x", author=author)
    assert issues.text_of(hub, number) == Text("x", by_program=True, edited_by=("mallory", "octocat"))
    pull = github.open_pull_request(head_sha="a" * 40, base_sha="b" * 40)
    assert issues.text_of(hub, pull) == Text("", by_program=False, edited_by=())
    with pytest.raises(Refused, match="Could not resolve"):
        issues.text_of(hub, 99)


def test_nobody_elses_issue_and_no_pull_request_is_taken_for_ours(github: GitHubServer) -> None:
    theirs = github.open_issue(author="mallory")
    github.edit_issue(theirs, body=BODY, author="mallory")
    github.open_pull_request(head_sha="a" * 40, base_sha="b" * 40)
    assert opened(github).number != theirs
    assert github.issue(theirs)["body"] == BODY


def test_it_is_closed_once_with_a_last_word_and_then_another_is_opened(github: GitHubServer) -> None:
    hub, number = connected(github, permissions=JOB), opened(github).number
    for _ in range(2):
        issues.close_issue(hub, number, "It is deployed.", reason="completed")
    assert bodies(github, number) == ["It is deployed."]
    assert (github.issue(number)["state"], github.issue(number)["state_reason"]) == ("closed", "completed")
    assert issues.find_issues(hub, is_ours) == []
    assert opened(github).number != number


def test_two_jobs_that_open_one_at_once_leave_one(github: GitHubServer) -> None:
    """The other job's appears between our look and our own."""
    hub = connected(github, permissions=JOB)
    looks = iter([False])

    def sees(body: str) -> bool:
        return is_ours(body) and next(looks, True)

    first = opened(github)
    second = issues.open_issue(hub, "Deploy it?", BODY, is_ours=sees)
    assert second.number == first.number
    assert [number for number, _ in issues.find_issues(hub, is_ours)] == [first.number]
    assert bodies(github, first.number + 1) == [f"This is asked in #{first.number}."]


def test_a_lost_answer_opens_no_second_one(github: GitHubServer) -> None:
    github.fault(method="POST", path="/issues$", kind=faults.done_then_dropped())
    opened(github)
    assert len(issues.find_issues(connected(github, permissions=JOB), is_ours)) == 1


def test_a_token_that_may_not_is_told_which_permission(github: GitHubServer) -> None:
    hub = connected(github, permissions={"issues": "read"})
    with pytest.raises(PermissionMissing, match="issues: write"):
        issues.open_issue(hub, "t", BODY, is_ours=is_ours)
    number = opened(github).number
    with pytest.raises(PermissionMissing, match="issues: write"):
        issues.close_issue(hub, number, "x", reason="completed")


def test_one_that_is_not_there_and_a_github_that_fails(github: GitHubServer) -> None:
    with pytest.raises(NotFound):
        issues.close_issue(connected(github, permissions=JOB), 99, "x", reason="completed")
    github.fault(path="/issues", times=4, kind=faults.status(503))
    with pytest.raises(ServiceError):
        opened(github)
