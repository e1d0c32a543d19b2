"""The way to GitHub: what is repeated, what is waited for, what an error says, and what none ever says."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_ci.errors import Conflict, MlopsCIError, NotFound, Refused, ServiceError, UsageError
from mlops_ci.github import PermissionMissing, connect, limits, permissions
from mlops_ci.github.answers import Answer, failure
from mlops_ci.github.checks import Check, post_check
from mlops_ci.github.client import GitHub, next_page, segment
from mlops_ci.github.comments import post_comment
from tests.github import faults
from tests.github.emulator import ACTIONS
from tests.github.faults import Fault
from tests.github.gateway import GitHubServer
from tests.github.hubs import bodies, connected, new_pull

TOKEN = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"
HEADERS = [
    "retry-after",
    "x-ratelimit-reset",
    "x-ratelimit-remaining",
    "date",
    "link",
    "x-accepted-github-permissions",
    "x-oauth-scopes",
    "x-accepted-oauth-scopes",
]
NUMBERS = ["", "0", "7", "-1", "9" * 20, "9" * 400, "nan", "1e9", "٣", "\0"]
DATES = ["Sat, 21 Nov 2026 13:33:25 GMT", "Sat, 99 Nov 0000 99:99:99", "Sat, 21 Nov 9999 23:59:59 -9999"]
LISTS = ['<http://h/x>; rel="next"', "<", ">;;=,", "issues=write; pull_requests=write", "=;,=", "repo, workflow"]
PIECES = [*NUMBERS, *DATES, *LISTS]
a_value = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=4).map(" ".join))
an_answer = st.builds(
    Answer,
    st.integers(300, 599),
    st.dictionaries(st.sampled_from(HEADERS), a_value),
    st.recursive(
        st.none() | st.text(max_size=20) | st.integers() | st.booleans(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["message", "errors", "field"]), inner)
        ),
        max_leaves=6,
    ),
)


@example(Answer(429, {"retry-after": "9" * 400}), "")
@example(Answer(429, {"date": "Sat, 21 Nov 9999 23:59:59 -9999", "retry-after": "9"}), "")
@given(an_answer, st.sampled_from(["", "checks: write", "members: read"]))
def test_no_header_and_no_body_makes_us_fail(answer: Answer, needs: str) -> None:
    """Whatever stands there ends in an error of ours, on one line, and in a wait that is a number of seconds."""
    error = failure(answer, what="do it", needs=needs)
    assert isinstance(error, MlopsCIError)
    assert error.hint
    assert str(error).isprintable()
    seconds = limits.wait_s(answer)
    assert seconds is None or seconds >= 0
    limits.limited(answer)
    assert limits.until(answer, seconds or 0.0)
    next_page(answer.headers.get("link", ""))


@given(a_value)
def test_a_permission_is_one_that_a_workflow_can_write(header: str) -> None:
    """What is made of a header is a list of `name: level`, or what we knew before."""
    found = permissions.accepted(header, needs="checks: write")
    assert all(re.fullmatch(r"[a-z][a-z-]*: (read|write|admin)", part) for part in found.split(", "))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "Sat, 21 Nov 2026 13:00:30 GMT"}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, 60),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795266020"}, 21),
        ({"x-ratelimit-remaining": "0"}, 60),
        ({"x-ratelimit-remaining": "12", "x-ratelimit-reset": "1795266020"}, 60),
        ({}, 60),
    ],
)
def test_how_long_to_wait(headers: Mapping[str, str], seconds: float) -> None:
    """By GitHub's clock, which need not be the runner's; a minute where only that there is a limit is known."""
    assert limits.wait_s(Answer(429, {"date": "Sat, 21 Nov 2026 13:00:00 GMT", **headers})) == seconds


@given(st.integers(1, 50))
def test_a_pause_grows_and_ends(attempt: int) -> None:
    """By chance, between half and all of what is doubled each time, and never more than eight seconds."""
    most = min(0.5 * 2.0 ** (attempt - 1), 8.0)
    assert most / 2 <= limits.backoff_s(attempt) <= most


def test_a_missing_permission_shows_the_lines_that_give_it() -> None:
    """The lines can be pasted into the job; whom they do not help is said too."""
    error = failure(
        Answer(403, {"x-accepted-github-permissions": "issues=write; pull_requests=write"}, {"message": "No."}),
        what="comment on #3",
        needs="pull-requests: write",
    )
    assert isinstance(error, PermissionMissing)
    assert error.permission == "pull-requests: write"
    assert str(error) == "the token may not comment on #3, which takes `pull-requests: write`: No"
    assert "    permissions:\n      pull-requests: write\n" in error.hint
    assert "fork" in error.hint
    assert "Dependabot" in error.hint


def test_what_no_workflow_can_grant_is_not_offered_as_a_line() -> None:
    """Nobody edits their workflow in vain."""
    error = failure(Answer(403, {"x-accepted-github-permissions": "members=read"}), what="ask", needs="")
    assert "permissions:\n" not in error.hint
    assert "GitHub App" in error.hint


def test_a_classic_token_without_the_scope_gets_404_and_we_say_why() -> None:
    """GitHub hides what such a token may not see."""
    headers = {"x-oauth-scopes": "gist", "x-accepted-oauth-scopes": "repo, repo:status"}
    assert isinstance(failure(Answer(404, headers), what="post", needs="statuses: write"), PermissionMissing)
    assert not isinstance(failure(Answer(422, headers), what="post", needs="statuses: write"), PermissionMissing)
    headers = {"x-oauth-scopes": "repo", "x-accepted-oauth-scopes": "repo, repo:status"}
    assert not isinstance(failure(Answer(404, headers), what="post", needs="statuses: write"), PermissionMissing)


@pytest.mark.parametrize("token", ["", " \n", "ghs_a\r\nX-Evil: 1", "ghs_ä", "two words"])
def test_a_token_that_is_none(token: str) -> None:
    """It is refused before it can stand in the error of a library."""
    with pytest.raises(Refused) as caught:
        connect(token=token, repository="octocat/churn")
    assert not token.strip() or token not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "address",
    ["http://github.example.com", "ftp://127.0.0.1", "http://127.0.0.1.evil.example", "https://", "x", "https://["],
)
def test_no_token_leaves_in_the_clear(address: str) -> None:
    """`http` is for this machine alone."""
    with pytest.raises(Refused, match="no address for a token"):
        connect(token=TOKEN, repository="octocat/churn", api_url=address)


@pytest.mark.parametrize("repository", ["", "octocat", "octocat/..", "octocat/churn/x", "../x", "o/r?x=1", "o/r\n"])
def test_a_repository_that_is_none(repository: str) -> None:
    """It becomes part of every address."""
    with pytest.raises(UsageError, match="no repository"):
        connect(token=TOKEN, repository=repository)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_no_name_leads_to_another_place(name: str) -> None:
    """Everything else is quoted."""
    with pytest.raises(UsageError):
        segment(name)
    assert segment("feature/x?y#z") == "feature%2Fx%3Fy%23z"


def look(hub: GitHub, number: int) -> object:
    return hub.request("GET", f"pulls/{number}", what="look", needs="pull-requests: read")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UsageError),
        (401, Refused),
        (403, PermissionMissing),
        (404, NotFound),
        (409, Conflict),
        (410, NotFound),
        (422, UsageError),
        (501, ServiceError),
    ],
)
def test_what_is_no_use_to_repeat_is_not_repeated(github: GitHubServer, status: int, kind: type[MlopsCIError]) -> None:
    """One request, one sentence, one hint."""
    hub, number = connected(github), new_pull(github)
    github.fault(kind=faults.status(status), times=9)
    with pytest.raises(kind) as caught:
        look(hub, number)
    assert type(caught.value) is kind
    assert hub.calls == len(github.calls) == 1
    assert caught.value.hint


PASSING = [
    faults.status(500),
    faults.status(502, body=b"<html>Bad gateway"),
    faults.status(503),
    faults.status(504),
    faults.timeout(),
    faults.cut_body(),
    faults.refused_connection(),
    faults.web_page(),
    faults.retry_after(1),
    faults.retry_after(1, code=503),
    faults.rate_limit(1),
    faults.rate_limit(1, code=429),
    faults.secondary_limit(1),
    faults.secondary_limit(1, code=429),
]


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("times", [3, 99])
def test_what_may_pass_is_tried_four_times(github: GitHubServer, fault: Fault, times: int) -> None:
    """The fourth may work; after it comes an error with exit code 3. The pauses are bounded, and told to `sleep`."""
    slept: list[float] = []
    patience_s = 20.0 if fault != faults.timeout() else 2.0 if times == 3 else 0.2
    hub, number = connected(github, timeout_s=(5, patience_s), slept=slept), new_pull(github)
    github.fault(kind=fault, times=times)
    if times == 3:
        look(hub, number)
    else:
        with pytest.raises(ServiceError, match="cannot look: "):
            look(hub, number)
    assert hub.calls == 4
    assert len(slept) == 3
    assert sum(slept) < 12


def test_an_edit_is_repeated_and_a_creation_that_nobody_can_look_up_is_not(github: GitHubServer) -> None:
    """The sentence says that it may have happened."""
    hub, number = connected(github), new_pull(github)
    one = github.add_comment(number, ACTIONS, "before")
    github.fault(method="PATCH", kind=faults.done_then_dropped())
    hub.request("PATCH", f"issues/comments/{one}", body={"body": "after"}, what="edit")
    github.fault(method="POST", kind=faults.done_then_dropped())
    with pytest.raises(ServiceError, match="cannot say whether GitHub did write"):
        hub.request("POST", f"issues/{number}/comments", body={"body": "new"}, what="write")
    assert bodies(github, number) == ["after", "new"]


def test_retry_after_is_obeyed(github: GitHubServer) -> None:
    """To the second, and a minute in all: then the error says when the limit ends."""
    slept: list[float] = []
    hub, number = connected(github, slept=slept), new_pull(github)
    github.fault(kind=faults.retry_after(35), times=2)
    with pytest.raises(ServiceError, match=r"GitHub asks to wait until \d{4}-\d\d-\d\d \d\d:\d\d UTC"):
        look(hub, number)
    assert slept == [35]
    assert hub.calls == 2


@pytest.mark.parametrize(
    "fault", [faults.rate_limit(3_000), faults.retry_after(3_600), faults.retry_after(61, code=403)]
)
def test_nobody_waits_for_an_hour(github: GitHubServer, fault: Fault) -> None:
    """Nothing is slept away; the end of the limit is told."""
    slept: list[float] = []
    hub, number = connected(github, slept=slept), new_pull(github)
    github.fault(kind=fault)
    with pytest.raises(ServiceError, match="GitHub asks to wait until") as caught:
        look(hub, number)
    assert slept == []
    assert caught.value.exit_code == 3


def test_a_limit_that_does_not_say_when_it_ends(github: GitHubServer) -> None:
    """GitHub wants a minute then; once."""
    slept: list[float] = []
    hub, number = connected(github, slept=slept), new_pull(github)
    github.fault(kind=faults.secondary_limit(None))
    look(hub, number)
    assert slept == [60]


def test_a_slow_answer_is_an_answer(github: GitHubServer) -> None:
    """As long as it comes in time."""
    hub, number = connected(github), new_pull(github)
    github.fault(kind=faults.slow(0.3))
    look(hub, number)
    assert hub.calls == 1


def test_a_token_that_has_ended(github: GitHubServer) -> None:
    """It is said in words, and asked once."""
    hub, number = connected(github), new_pull(github)
    github.fault(kind=faults.status(401))
    with pytest.raises(Refused, match="the token is not valid"):
        look(hub, number)


def test_nothing_ever_says_the_token(github: GitHubServer) -> None:
    """Not even when GitHub does, or when what goes wrong is the address."""
    token = github.token(ACTIONS, {})
    hub = GitHub(
        token=token, repository=github.repository, api_url=github.url, sleep=lambda _: None, timeout_s=(5, 0.2)
    )
    echo = {"message": f"{token} is bad", "errors": [{"message": f"see {token}"}]}
    said = []
    for status in (400, 401, 403, 404, 409, 422, 429, 500):
        github.fault(kind=faults.status(status, body=echo), times=4)
    for fault in PASSING:
        github.fault(kind=fault, times=4)
    for _ in range(40):
        try:
            look(hub, 1)
        except MlopsCIError as error:
            said.append(f"{error} {error.hint} {error.__cause__!r} {error.__cause__}")
    assert len(said) > 20
    assert not [text for text in said if token in text]
    assert token not in repr(hub)


def test_a_host_that_is_not_there() -> None:
    """The address is nobody's; that is told without it."""
    hub = GitHub(token=TOKEN, repository="octocat/churn", api_url="http://127.0.0.1:9", sleep=lambda _: None)
    with pytest.raises(ServiceError, match="GitHub could not be reached"):
        look(hub, 1)
    assert hub.calls == 4


def test_a_creation_that_never_left_is_repeated_without_a_look(github: GitHubServer) -> None:
    """Nothing can have happened where nothing was reached."""
    asked = []
    hub = GitHub(token=TOKEN, repository="octocat/churn", api_url="http://127.0.0.1:9", sleep=lambda _: None)
    with pytest.raises(ServiceError):
        hub.request("POST", "issues/1/comments", body={}, what="write", look_up=lambda: asked.append(1))
    assert (hub.calls, asked) == (4, [])
    assert github.calls == []


@pytest.mark.parametrize("place", ["https://elsewhere.invalid/x", "http://127.0.0.1:9/x", "http://elsewhere.invalid/x"])
def test_no_redirect_leads_away(github: GitHubServer, place: str) -> None:
    """Neither the request nor the token follows to another host, or to another port of this one."""
    github.allow("GET /x", "PyGithub asks the host that it knows for the new path")
    hub = connected(github)
    github.fault(kind=faults.status(301, {"location": place}), times=99)
    with pytest.raises(ServiceError):
        look(hub, 1)


def test_a_pull_request_takes_three_requests(github: GitHubServer) -> None:
    """A list, an edit and a check, where the comment exists and the token is the workflow's."""
    number = new_pull(github)
    github.add_comment(number, ACTIONS, "<!-- 1 -->")
    hub = connected(github)
    post_comment(hub, number, "<!-- 2 -->", order_of=lambda text: (int(text[5]), 1), order=(2, 1))
    post_check(hub, Check("mlops-ci", "a" * 40, "success", "ready to merge", "# Yes"))
    assert [call.method for call in github.calls] == ["GET", "PATCH", "POST"]
    assert hub.calls == 3


def test_whose_token_it_is(github: GitHubServer) -> None:
    """Asked of GraphQL, once, for an App and for a person; a creation is not what it is taken for."""
    for login in (ACTIONS, "octo-lead"):
        hub = connected(github, login, login="")
        github.fault(method="POST", path="graphql", kind=faults.done_then_dropped())
        assert (hub.viewer(), hub.viewer()) == (login, login)
        assert hub.calls == 2
