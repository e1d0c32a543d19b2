"""What goes wrong between a client and the testbed goes wrong as it was planned, and as often."""

from __future__ import annotations

import time

import pytest
import requests

from tests.github import faults
from tests.github.conftest import Ask
from tests.github.gateway import GitHubServer


@pytest.mark.parametrize("code", [401, 403, 404, 409, 422, 429, 500, 502, 503])
def test_a_fault_happens_as_often_as_planned(github: GitHubServer, ask: Ask, number: int, code: int) -> None:
    """And to nothing else; after that all is well."""
    planned = github.fault(method="POST", path="/comments", times=2, kind=faults.status(code))
    assert ask("GET", f"issues/{number}/comments").status_code == 200
    answers = [ask("POST", f"issues/{number}/comments", {"body": "x"}).status_code for _ in range(3)]
    assert answers == [code, code, 201]
    assert planned.happened == 2
    assert len(github.comments(number)) == 1
    assert [call.status for call in github.calls] == [200, code, code, 201]


def test_a_fault_can_come_later(github: GitHubServer, ask: Ask) -> None:
    """After some requests of its kind that go well."""
    github.fault(path=f"{github.repository}$", after=2, kind=faults.status(500))
    assert [ask("GET", "").status_code for _ in range(4)] == [200, 200, 500, 200]


def test_limits_are_told_as_github_tells_them(github: GitHubServer, ask: Ask) -> None:
    """The hour's, the secondary one, and 429."""
    for kind in (faults.rate_limit(30), faults.secondary_limit(7), faults.secondary_limit(None), faults.retry_after(9)):
        github.fault(kind=kind)
    spent, secondary, silent, later = [ask("GET", "") for _ in range(4)]
    assert (spent.status_code, spent.headers["x-ratelimit-remaining"]) == (403, "0")
    assert 0 < int(spent.headers["x-ratelimit-reset"]) - time.time() < 60
    assert (secondary.status_code, secondary.headers["retry-after"]) == (403, "7")
    assert "secondary rate limit" in secondary.json()["message"]
    assert "retry-after" not in silent.headers
    assert (later.status_code, later.headers["retry-after"]) == (429, "9")


def test_what_was_done_may_stay_without_an_answer(github: GitHubServer, ask: Ask, number: int) -> None:
    """Done and dropped, cut, never answered, or answered with 502: the comment is there all the same."""
    kinds = [
        (faults.done_then_dropped(), requests.ConnectionError),
        (faults.cut_body(), requests.exceptions.ChunkedEncodingError),
        (faults.timeout(happens=True), requests.Timeout),
    ]
    for kind, error in kinds:
        github.fault(method="POST", kind=kind)
        with pytest.raises(error):
            ask("POST", f"issues/{number}/comments", {"body": "x"}, timeout=0.5)
    github.fault(method="POST", kind=faults.status(502, happens=True))
    assert ask("POST", f"issues/{number}/comments", {"body": "x"}).status_code == 502
    assert len(github.comments(number)) == 4
    assert [call.status for call in github.calls] == [0, 0, 0, 502]


def test_what_was_not_done_may_look_the_same(github: GitHubServer, ask: Ask, number: int) -> None:
    """A connection that is refused, or never answered: nothing was written."""
    for kind, error in ((faults.refused_connection(), requests.ConnectionError), (faults.timeout(), requests.Timeout)):
        github.fault(method="POST", kind=kind)
        with pytest.raises(error):
            ask("POST", f"issues/{number}/comments", {"body": "x"}, timeout=0.3)
    assert github.comments(number) == []


def test_slow_is_slow_and_done(github: GitHubServer, ask: Ask, number: int) -> None:
    """A client with less patience sees a time-out, and the comment is there."""
    github.fault(method="POST", kind=faults.slow(0.4))
    with pytest.raises(requests.Timeout):
        ask("POST", f"issues/{number}/comments", {"body": "x"}, timeout=0.1)
    github.fault(method="POST", kind=faults.slow(0.01))
    assert ask("POST", f"issues/{number}/comments", {"body": "y"}).status_code == 201
    assert {comment["body"] for comment in github.comments(number)} == {"x", "y"}
