"""The check that a merge waits for, with every token that may post one, and with those that may not."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.github import PermissionMissing
from mlops_ci.github.checks import Annotation, Check, post_check
from tests.github import faults
from tests.github.gateway import GitHubServer
from tests.github.hubs import connected

SHA = "d6fde92930d4715a2b49857d24b940956b26d2d3"
NEITHER = {"contents": "read", "pull-requests": "write"}


def a_check(annotations: int = 0, **changes: Any) -> Check:
    remarks = tuple(Annotation("mlops.yaml", line, "warning", f"remark {line}", "gate") for line in range(annotations))
    given = {"name": "mlops-ci", "sha": SHA, "conclusion": "failure", "title": "1 of 2 gates failed", "summary": "# No"}
    return Check(**{**given, "annotations": remarks, **changes})


def lines_of(run: dict[str, Any]) -> list[int]:
    return sorted(entry["start_line"] for entry in run["annotations"])


def test_a_check_run_is_one_request(github: GitHubServer) -> None:
    """Completed, with title, summary, annotations and where to read on."""
    hub = connected(github)
    posted = post_check(hub, a_check(3, details_url="https://example.com/run"))
    assert hub.calls == 1
    (run,) = github.check_runs(SHA)
    assert (run["name"], run["status"], run["conclusion"]) == ("mlops-ci", "completed", "failure")
    assert run["output"]["title"] == "1 of 2 gates failed"
    assert run["output"]["summary"] == "# No"
    assert run["details_url"] == "https://example.com/run"
    assert (posted.kind, posted.notes) == ("check-run", ())
    assert lines_of(run) == [1, 1, 2]


def test_120_annotations(github: GitHubServer) -> None:
    """Fifty a request, a hundred in all, and a sentence for the rest."""
    hub = connected(github)
    post_check(hub, a_check(120))
    assert hub.calls == 2
    (run,) = github.check_runs(SHA)
    assert lines_of(run) == [1, *range(1, 100)]
    assert run["output"]["summary"].endswith("20 more annotations are not shown.")


@pytest.mark.parametrize("fault", [faults.done_then_dropped(), faults.cut_body(), faults.status(502, happens=True)])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_nothing_is_there_twice(github: GitHubServer, fault: faults.Fault, method: str) -> None:
    """Neither a check run nor an annotation, whichever answer is lost."""
    hub = connected(github)
    github.fault(method=method, path="/check-runs", kind=fault)
    post_check(hub, a_check(70))
    (run,) = github.check_runs(SHA)
    assert len(lines_of(run)) == 70


def test_annotations_that_cannot_be_added_are_missing_and_no_more(github: GitHubServer) -> None:
    """The verdict stands without them."""
    hub = connected(github)
    github.fault(method="PATCH", path="/check-runs/", kind=faults.status(503), times=99)
    posted = post_check(hub, a_check(70))
    assert len(posted.notes) == 1
    assert posted.notes[0].startswith("20 annotations are missing: cannot annotate the check mlops-ci")
    assert github.check_runs(SHA)[0]["conclusion"] == "failure"


def test_what_is_too_long_is_cut_where_a_line_ends(github: GitHubServer) -> None:
    """Titles, summaries, and lines that no file has."""
    hub = connected(github)
    post_check(hub, a_check(1, title="é" * 300, summary="| a line of it | ✅ |\n" * 4_000))
    output = github.check_runs(SHA)[0]["output"]
    assert len(output["title"]) == 255
    assert len(output["summary"].encode()) <= 65_535
    assert output["summary"].endswith("| a line of it | ✅ |\n\n…")


def test_a_token_that_may_only_set_statuses(github: GitHubServer) -> None:
    """It does, and a note says why."""
    hub = connected(github, permissions={"statuses": "write"})
    posted = post_check(hub, a_check(title="x" * 200, details_url="https://example.com/run"))
    (status,) = github.statuses(SHA)
    assert (status["context"], status["state"], len(status["description"])) == ("mlops-ci", "failure", 140)
    assert status["target_url"] == posted.url == "https://example.com/run"
    assert posted.kind == "status"
    assert "takes `checks: write`" in posted.notes[0]


def test_a_persons_token_sets_a_status(github: GitHubServer) -> None:
    """Check runs belong to Apps."""
    posted = post_check(connected(github, "octocat"), a_check())
    assert posted.kind == "status"
    assert "You must authenticate via a GitHub App" in posted.notes[0]


@pytest.mark.parametrize(
    ("conclusion", "state"), [("success", "success"), ("neutral", "success"), ("failure", "failure")]
)
def test_a_status_that_may_have_happened_is_set_again(github: GitHubServer, conclusion: str, state: str) -> None:
    """The newest counts; and there is no neutral."""
    hub = connected(github)
    github.fault(method="POST", path="/statuses/", kind=faults.done_then_dropped())
    post_check(hub, a_check(conclusion=conclusion, details_url="javascript:alert(1)"), "status")
    assert github.statuses(SHA)[0]["state"] == state
    assert not github.statuses(SHA)[0]["target_url"]


def test_a_token_that_may_do_neither(github: GitHubServer) -> None:
    """Both ways are named."""
    with pytest.raises(PermissionMissing) as caught:
        post_check(connected(github, permissions=NEITHER), a_check())
    assert "`checks: write`" in str(caught.value)
    assert "`statuses: write`" in str(caught.value)
    assert "      checks: write" in caught.value.hint


@pytest.mark.parametrize(("kind", "permission"), [("check-run", "checks: write"), ("status", "statuses: write")])
def test_no_other_kind_than_the_one_asked_for(github: GitHubServer, kind: Any, permission: str) -> None:
    """A branch may demand the one, and not see the other."""
    hub = connected(github, permissions={"statuses" if kind == "check-run" else "checks": "write"})
    with pytest.raises(PermissionMissing) as caught:
        post_check(hub, a_check(), kind)
    assert caught.value.permission == permission


def test_a_commit_that_github_does_not_know(github: GitHubServer) -> None:
    """GitHub's own words."""
    github.fault(
        method="POST", path="/check-runs", kind=faults.status(422, body={"message": "No commit found for SHA: x"})
    )
    with pytest.raises(UsageError, match="No commit found for SHA"):
        post_check(connected(github), a_check())


def test_a_long_limit_is_not_waited_for(github: GitHubServer) -> None:
    """No status is posted in its place either: the limit is the same."""
    github.fault(method="POST", path="/check-runs", kind=faults.rate_limit(3_000))
    with pytest.raises(ServiceError, match="GitHub asks to wait until"):
        post_check(connected(github), a_check())
