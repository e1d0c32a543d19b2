"""One comment of ours, whoever else writes, however many there are, and whatever breaks on the way."""

from __future__ import annotations

import re

import pytest

from mlops_ci.errors import NotFound, ServiceError, UsageError
from mlops_ci.github import GitHub, PermissionMissing
from mlops_ci.github.comments import Order, comment, post_comment, react, reply
from tests.github import faults
from tests.github.emulator import ACTIONS
from tests.github.faults import Fault
from tests.github.gateway import GitHubServer
from tests.github.hubs import bodies, connected, new_pull

CREATES = {"method": "POST", "path": r"/issues/\d+/comments$"}


def order_of(body: str) -> Order | None:
    found = re.search(r"<!-- ours (\d+)\.(\d+) -->", body)
    return (int(found[1]), int(found[2])) if found else None


def text(run: int, attempt: int = 1, words: str = "accuracy 0.91") -> str:
    return f"{words}\n\n<!-- ours {run}.{attempt} -->\n"


def post(hub: GitHub, number: int, run: int, words: str = "accuracy 0.91", *, create: bool = True) -> str:
    body = text(run, words=words)
    return post_comment(hub, number, body, order_of=order_of, order=(run, 1), create=create).done


def test_created_then_updated_then_left_alone(github: GitHubServer) -> None:
    """One comment over three runs; the third has nothing new to say. An update is a list and an edit."""
    hub, number = connected(github), new_pull(github)
    posted = post_comment(hub, number, text(1), order_of=order_of, order=(1, 1))
    assert posted.done == "created"
    assert posted.url.endswith(f"/pull/{number}#issuecomment-{posted.url.rpartition('-')[2]}")
    assert post(hub, number, 2) == "updated"
    before = hub.calls
    assert post(hub, number, 3, "better") == "updated"
    assert hub.calls - before == 2
    assert post(hub, number, 3, "better") == "unchanged"
    assert hub.calls - before == 3
    assert bodies(github, number) == [text(3, words="better")]


def test_ours_is_found_behind_250_others(github: GitHubServer) -> None:
    """Newer pages need not be the first ones."""
    hub, number = connected(github), new_pull(github)
    post(hub, number, 1)
    for count in range(250):
        github.add_comment(number, "octocat", f"remark {count}")
    before = hub.calls
    assert post(hub, number, 2) == "updated"
    assert hub.calls - before == 4
    assert len(bodies(github, number)) == 251
    assert bodies(github, number)[0] == text(2)


def test_a_planted_marker_is_somebody_elses(github: GitHubServer) -> None:
    """A stranger's marker of a greater order neither stops us nor is touched."""
    hub, number = connected(github), new_pull(github)
    github.add_comment(number, "mallory", text(999))
    assert post(hub, number, 1) == "created"
    assert post(hub, number, 2) == "updated"
    assert bodies(github, number) == [text(999), text(2)]


def test_a_newer_comment_is_kept(github: GitHubServer) -> None:
    """A run that was overtaken says so, and writes nothing."""
    hub, number = connected(github), new_pull(github)
    post(hub, number, 7)
    posted = post_comment(hub, number, text(6), order_of=order_of, order=(6, 9))
    assert posted.done == "newer"
    assert posted.url
    assert bodies(github, number) == [text(7)]


def test_of_two_of_ours_the_oldest_is_edited(github: GitHubServer) -> None:
    """Two jobs may have begun at once; nothing is deleted, and a newer one of them still counts."""
    hub, number = connected(github), new_pull(github)
    github.add_comment(number, ACTIONS, text(1))
    github.add_comment(number, ACTIONS, text(3))
    assert post(hub, number, 2) == "newer"
    assert post(hub, number, 4) == "updated"
    assert bodies(github, number) == [text(4), text(3)]


def test_quiet(github: GitHubServer) -> None:
    """Nothing is created where nobody wants it; what is there is kept up to date."""
    hub, number = connected(github), new_pull(github)
    assert post(hub, number, 1, create=False) == "none"
    assert bodies(github, number) == []
    post(hub, number, 1)
    assert post(hub, number, 2, create=False) == "updated"


def test_the_author_is_asked_once_where_the_token_is_not_the_workflows(github: GitHubServer) -> None:
    """When there is a comment to compare with: another job may have begun one while we did."""
    number = new_pull(github)
    github.set_permission("octo-lead", "write")
    hub = connected(github, "octo-lead", login="")
    assert post(hub, number, 1) == "created"
    assert hub.calls == 4
    assert post(hub, number, 2) == "updated"
    assert hub.calls == 6
    assert post(hub, number, 3) == "updated"
    assert hub.calls == 8
    assert hub.viewer() == "octo-lead"


def test_logins_have_no_case(github: GitHubServer) -> None:
    """GitHub compares them so."""
    number = new_pull(github)
    post(connected(github), number, 1)
    assert post(connected(github, login=ACTIONS.upper()), number, 2) == "updated"


@pytest.mark.parametrize(
    "fault",
    [
        faults.done_then_dropped(),
        faults.cut_body(),
        faults.timeout(happens=True),
        faults.status(502, happens=True),
        faults.status(504, happens=True),
    ],
)
def test_a_creation_that_happened_is_not_repeated(github: GitHubServer, fault: Fault) -> None:
    """It is looked up first: exactly one comment is there afterwards."""
    hub, number = connected(github, timeout_s=(5, 0.3)), new_pull(github)
    github.fault(**CREATES, kind=fault)
    assert post(hub, number, 1) == "created"
    assert bodies(github, number) == [text(1)]


@pytest.mark.parametrize(
    "fault",
    [
        faults.refused_connection(),
        faults.timeout(),
        faults.status(500),
        faults.status(502),
        faults.status(503),
        faults.retry_after(1),
        faults.rate_limit(1),
        faults.secondary_limit(1),
        faults.web_page(),
    ],
)
def test_a_creation_that_did_not_happen_is_repeated(github: GitHubServer, fault: Fault) -> None:
    """Twice in a row, and then it works."""
    hub, number = connected(github, timeout_s=(5, 0.3)), new_pull(github)
    github.fault(**CREATES, kind=fault, times=2)
    assert post(hub, number, 1) == "created"
    assert bodies(github, number) == [text(1)]


def test_a_creation_that_never_succeeds_ends(github: GitHubServer) -> None:
    """After four attempts, with a sentence and exit code 3."""
    hub, number = connected(github), new_pull(github)
    github.fault(**CREATES, kind=faults.status(502), times=99)
    with pytest.raises(ServiceError, match=f"cannot comment on #{number}: GitHub answered 502"):
        post(hub, number, 1)
    assert sum(call.method == "POST" for call in github.calls) == 4


def test_an_answer_is_looked_up_by_its_words(github: GitHubServer) -> None:
    """A reply has no marker; an equal text of somebody else is not it."""
    hub, number = connected(github), new_pull(github)
    github.add_comment(number, "mallory", "approved")
    github.fault(**CREATES, kind=faults.done_then_dropped())
    reply(hub, number, "approved")
    assert bodies(github, number) == ["approved", "approved"]


def test_a_read_only_token(github: GitHubServer) -> None:
    """It may see the comments; what it lacks is named."""
    hub, number = connected(github, permissions={"pull-requests": "read"}), new_pull(github)
    with pytest.raises(PermissionMissing) as caught:
        post(hub, number, 1)
    assert caught.value.permission == "pull-requests: write"


def test_a_comment_that_is_too_long(github: GitHubServer) -> None:
    """GitHub's own words, and no traceback."""
    hub, number = connected(github), new_pull(github)
    with pytest.raises(UsageError, match="Body is too long"):
        post(hub, number, 1, "x" * 70_000)


def test_a_comment_as_it_is_now(github: GitHubServer) -> None:
    """With author, times and the number of its pull request."""
    hub, number = connected(github), new_pull(github)
    url = reply(connected(github, "octo-lead"), number, "/approve")
    found = comment(hub, int(url.rpartition("-")[2]))
    assert (found.author, found.body, found.number, found.url) == ("octo-lead", "/approve", number, url)
    assert found.created == found.updated
    with pytest.raises(NotFound):
        comment(hub, 999_999_999)


def test_a_reaction_can_be_given_twice(github: GitHubServer) -> None:
    """The second changes nothing, so it is repeated when nobody knows whether it arrived."""
    hub, number = connected(github), new_pull(github)
    one = int(reply(connected(github, "octo-lead"), number, "/approve").rpartition("-")[2])
    github.fault(method="POST", path="/reactions$", kind=faults.done_then_dropped())
    react(hub, one, "+1")
    react(hub, one, "eyes")
    assert sorted(github.reactions(one)) == [(ACTIONS, "+1"), (ACTIONS, "eyes")]
