"""What GitHub really answered, read by our own code: PyGithub's recorded traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mlops_ci.errors import MlopsCIError, ServiceError
from mlops_ci.github import GitHub, PermissionMissing, limits
from mlops_ci.github.answers import Answer, failure
from mlops_ci.github.checks import Annotation, Check, post_check
from mlops_ci.github.client import next_page
from mlops_ci.github.comments import comment, post_comment, react, reply
from mlops_ci.github.people import is_member, permission_of
from mlops_ci.github.permissions import accepted
from mlops_ci.github.pulls import pull, pull_of
from mlops_ci.github.rules import RequiredCheck, environment, required_checks
from mlops_ci.github.uploads import Upload, uploads
from tests.github.recorded import Exchange, Recorded, Replay

Hub = Callable[[str], GitHub]


@pytest.fixture(scope="session")
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def replay() -> Iterator[Replay]:
    server = Replay()
    yield server
    server.close()


@pytest.fixture
def hub(replay: Replay) -> Hub:
    def make(repository: str) -> GitHub:
        return GitHub(
            token="ghs_recorded", repository=repository, api_url=replay.url, login="jacquev6", sleep=lambda _: None
        )

    return make


def test_every_answer_of_an_error_becomes_an_error_of_ours(recorded: Recorded) -> None:
    """Whatever GitHub said, the person reads one line of it, and the exit code tells what kind it is."""
    kinds: dict[int, set[str]] = {}
    for exchange in recorded.all:
        answer = answer_of(exchange)
        limits.wait_s(answer)
        if exchange.status >= 400:
            error = failure(answer, what="do it", needs="checks: write")
            assert isinstance(error, MlopsCIError)
            assert "\n" not in str(error)
            kinds.setdefault(exchange.status, set()).add(type(error).__name__)
    assert kinds == {
        400: {"UsageError"},
        401: {"Refused"},
        403: {"PermissionMissing"},
        404: {"NotFound"},
        409: {"Conflict"},
        422: {"UsageError"},
        500: {"ServiceError"},
        502: {"ServiceError"},
        503: {"ServiceError"},
    }


def test_what_is_a_limit_and_what_is_a_no(recorded: Recorded) -> None:
    """Of all recorded refusals only these two are to be tried again later."""
    refused = [exchange for exchange in recorded.all if exchange.status in {403, 429}]
    later = [answer_of(exchange).message for exchange in refused if limits.limited(answer_of(exchange))]
    assert len(refused) > 10
    assert sorted(message[:45] for message in later) == [
        "API Rate Limit Exceeded for 92.104.200.119",
        "You have triggered an abuse detection mechani",
    ]


def test_every_link_to_a_next_page_is_read(recorded: Recorded) -> None:
    """None is missed, none is made up."""
    links = [exchange.headers.get("link", "") for exchange in recorded.all]
    assert sum('rel="next"' in link for link in links) > 50
    for link in links:
        assert bool(next_page(link)) == ('rel="next"' in link)


@pytest.mark.parametrize(
    ("header", "needs", "permission"),
    [
        ("issues=read; pull_requests=read", "pull-requests: read", "pull-requests: read"),
        ("pull_requests=read; contents=read", "contents: read", "contents: read"),
        ("contents=write; contents=write,workflows=write", "", "contents: write"),
        ("allows_permissionless_access=true", "metadata: read", "metadata: read"),
        ("administration=read", "contents: read", "administration: read"),
    ],
)
def test_permissions_as_github_names_them(recorded: Recorded, header: str, needs: str, permission: str) -> None:
    """These values were recorded; the alternative that holds what we know of is taken."""
    assert header in {exchange.headers.get("x-accepted-github-permissions") for exchange in recorded.all}
    assert accepted(header, needs=needs) == permission


def test_a_persons_permission(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """An answer of 2018, which has no role name yet; and a token that may not ask."""
    replay.give(recorded.one("Repository.testCollaboratorPermission", "GET", "/permission"))
    replay.give(recorded.one("Repository.testCollaboratorPermissionNoPushAccess", "GET", "/permission"))
    assert permission_of(hub("PyGithub/PyGithub"), "jacquev6") == "admin"
    with pytest.raises(PermissionMissing, match="Must have push access to view collaborator permission"):
        permission_of(hub("PyGithub/PyGithub"), "lyloa")


def test_a_teams_member(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """The answer about a member counts; nothing was recorded for anybody else, so the team cannot be seen."""
    found = recorded.one("Team.testTeamMembership", "GET", "/memberships/jacquev6")
    replay.give(found, "/orgs/BeaverSoftware/teams/core/memberships/jacquev6")
    assert is_member(hub("BeaverSoftware/beavers"), "core", "jacquev6")
    with pytest.raises(PermissionMissing, match="teams take a token of the organisation"):
        is_member(hub("BeaverSoftware/beavers"), "core", "octocat")


def test_an_environment(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """A person, a team, and rules of other kinds beside them."""
    replay.give(recorded.one("Environment.testReviewers", "GET", "/environments/dev"))
    found = environment(hub("alson/PyGithub"), "dev")
    assert found.reviewers == ("alson", "team:alson/justice-league")
    assert not found.prevent_self_review
    assert not environment(hub("alson/PyGithub"), "production").exists


def test_the_protection_of_a_branch(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """Three ages of that answer: what the branch itself tells is enough, unless it leaves the checks out."""
    replay.give(recorded.one("BranchProtection.setUp", "GET", "/branches/master"))
    replay.give(recorded.one("RequiredStatusChecks.setUp", "GET", "/branches/integrations"))
    replay.give(recorded.of("Branch.setUp")[-1])
    replay.give(
        recorded.one("RequiredStatusChecks.setUp", "GET", "/required_status_checks"),
        "/repos/PyGithub/PyGithub/branches/master/protection/required_status_checks",
    )
    protection = "branch protection"
    new = required_checks(hub("curvewise-forks/PyGithub"), "master")
    assert new.checks == (RequiredCheck("build (3.10)", 15368, protection),)
    assert "cannot read the rules of master" in new.notes[0]
    assert required_checks(hub("jacquev6/PyGithub"), "integrations").checks == (
        RequiredCheck("foo/bar", None, protection),
    )
    assert required_checks(hub("PyGithub/PyGithub"), "master").checks == (
        RequiredCheck("foo/bar", None, protection),
        RequiredCheck("continuous-integration/travis-ci", 123, protection),
    )


def test_a_protection_without_checks(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """That they are not enabled is an answer, not a lack of rights."""
    replay.give(recorded.of("Branch.setUp")[-1], "/repos/jacquev6/PyGithub/branches/integrations")
    replay.give(recorded.of("Branch.testRemoveRequiredStatusChecks")[-1])
    found = required_checks(hub("jacquev6/PyGithub"), "integrations")
    assert found.checks == ()
    assert len(found.notes) == 1, "that of the rulesets, which nobody recorded"


def test_uploads_of_a_run(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """Of a time without digests."""
    replay.give(recorded.one("Artifact.testGetArtifactsFromWorkflow", "GET", "/artifacts"))
    found = uploads(hub("transmission-web-control/transmission-web-control"), 5138169628)
    assert found[1] == Upload(724958105, "build-zip", 1887335, expired=False, run_id=5138169628)
    assert len(found) == 2


def test_a_check_run(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """Created in one request; the second fifty annotations are a second one."""
    sha = "0283d46537193f1fed7d46859f15c5304b9836f9"
    replay.give(recorded.one("CheckRun.testCreateCheckRunCompleted", "POST", "/check-runs"))
    replay.give(
        recorded.one("CheckRun.testUpdateCheckRunAll", "PATCH", "/check-runs/1279259090"),
        "/repos/dhruvmanila/pygithub-testing/check-runs/1296027873",
    )
    remarks = tuple(Annotation("mlops.yaml", line, "failure", "too low") for line in range(1, 61))
    check = Check("mlops-ci", sha, "failure", "1 of 2 gates failed", "…", annotations=remarks)
    posted = post_check(hub("dhruvmanila/pygithub-testing"), check)
    assert posted.url == "https://github.com/dhruvmanila/pygithub-testing/runs/1296027873"
    assert [method for method, _ in replay.seen] == ["POST", "PATCH"]


def test_a_commit_status(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """The answer of 2012 is enough."""
    exchange = recorded.one("Commit.testCreateStatusWithAllParameters", "POST", "21f2a")
    replay.give(exchange, exchange.path)
    check = Check("mlops-ci", exchange.path.rpartition("/")[2], "neutral", "no baseline", "…", "https://example.com")
    posted = post_check(hub("jacquev6/PyGithub"), check, "status")
    assert (posted.kind, posted.url) == ("status", "https://example.com")


def test_comments(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """Listed, edited, created, answered with a reaction."""
    replay.give(recorded.one("PullRequest.testGetIssueComments", "GET", "/comments"))
    replay.give(
        recorded.one("IssueComment.testEdit", "PATCH", "/20227753"), "/repos/PyGithub/PyGithub/issues/comments/8387331"
    )
    replay.give(recorded.one("IssueComment.setUp", "GET", "/issues/comments/20227753"))
    replay.give(recorded.one("PullRequest.testCreateIssueComment", "POST", "/comments"))
    replay.give(recorded.one("IssueComment.testCreateReaction", "POST", "/reactions"))
    here = hub("PyGithub/PyGithub")
    posted = post_comment(here, 31, "new", order_of=lambda text: (1, 1) if "PyGithub" in text else None, order=(2, 1))
    assert posted.done == "updated"
    found = comment(here, 20227753)
    assert (found.number, found.author, found.url[-12:]) == (28, "stuglaser", "ent-20227753")
    reply(here, 31, "thanks")
    react(here, 20227753, "+1")
    assert [method for method, _ in replay.seen] == ["GET", "PATCH", "GET", "POST", "POST"]


def test_pull_requests(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """One whose fork is gone, and one of a list that is found by its head."""
    replay.give(recorded.one("PullRequest.setUp", "GET", "/repos/PyGithub/PyGithub/pulls/31"))
    listed = recorded.one("Repository.testGetPulls", "GET", "/pulls")
    replay.give(listed)
    here = hub("PyGithub/PyGithub")
    gone = pull(here, 31)
    assert (gone.number, gone.state, gone.head_repository) == (31, "closed", "")
    head = listed.body[0]["head"]
    found = pull_of(here, head_repository=head["repo"]["full_name"], head_branch=head["ref"], head_sha=head["sha"])
    assert found
    assert found.number == listed.body[0]["number"]
    assert pull_of(here, head_repository="octocat/PyGithub", head_branch=head["ref"], head_sha=head["sha"]) is None


def test_a_spent_limit(recorded: Recorded, replay: Replay, hub: Hub) -> None:
    """GitHub does not say until when, and a minute later it is still spent: the error says what GitHub asks for."""
    spent = recorded.of("SpecificExceptions.testRateLimitExceeded")[-1]
    replay.give(spent, "/repos/PyGithub/PyGithub/pulls/31")
    with pytest.raises(
        ServiceError, match=r"Limit Exceeded for 92[.]104[.]200[.]119; GitHub asks to wait until 2013-05-17 12:24"
    ):
        pull(hub("PyGithub/PyGithub"), 31)
    assert len(replay.seen) == 2


def answer_of(exchange: Exchange) -> Answer:
    try:
        return Answer(exchange.status, exchange.headers, exchange.body)
    except ValueError:
        return Answer(exchange.status, exchange.headers)
