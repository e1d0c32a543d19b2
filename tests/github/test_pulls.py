"""Which pull request it is: by number, and by the head that it must have."""

from __future__ import annotations

import pytest

from mlops_ci.errors import NotFound
from mlops_ci.github.pulls import pull, pull_of
from tests.github.gateway import GitHubServer
from tests.github.hubs import connected, new_pull

FORK = "mallory/churn"
SHA, OTHER = "a" * 40, "b" * 40


def test_by_its_number(github: GitHubServer) -> None:
    """Both sides, and who opened it."""
    number = new_pull(github, head_branch="faster", head_sha=SHA, base_sha=OTHER)
    found = pull(connected(github), number)
    assert (found.number, found.state, found.head_sha, found.base_sha) == (number, "open", SHA, OTHER)
    assert (found.head_branch, found.base_branch, found.head_repository) == ("faster", "main", github.repository)
    with pytest.raises(NotFound, match="pull request #999"):
        pull(connected(github), 999)


def test_by_its_head_alone(github: GitHubServer) -> None:
    """Repository, branch and commit have to be those; a forged claim of any of them finds nothing."""
    hub = connected(github)
    new_pull(github, head_branch="patch", head_sha=OTHER)
    number = new_pull(github, head_branch="patch", head_sha=SHA, head_repository=FORK)
    found = pull_of(hub, head_repository=FORK, head_branch="patch", head_sha=SHA)
    assert found
    assert (found.number, found.head_repository) == (number, FORK)
    assert pull_of(hub, head_repository="mallory/CHURN", head_branch="patch", head_sha=SHA) == found
    assert pull_of(hub, head_repository=FORK, head_branch="patch", head_sha=OTHER) is None
    assert pull_of(hub, head_repository=FORK, head_branch="main", head_sha=SHA) is None
    assert pull_of(hub, head_repository="hubot/churn", head_branch="patch", head_sha=SHA) is None
    assert pull_of(hub, head_repository="mallory/other", head_branch="patch", head_sha=SHA) is None


def test_a_branch_called_like_a_query(github: GitHubServer) -> None:
    """It stays a branch."""
    branch = 'x"; curl x | sh #&state=closed'
    number = new_pull(github, head_branch=branch, head_sha=SHA, head_repository=FORK)
    found = pull_of(connected(github), head_repository=FORK, head_branch=branch, head_sha=SHA)
    assert found
    assert found.number == number


def test_a_head_that_moved_on_or_a_fork_that_is_gone(github: GitHubServer) -> None:
    """Nothing is found then."""
    new_pull(github, head_branch="patch", head_sha=SHA, head_repository=None)
    assert pull_of(connected(github), head_repository=FORK, head_branch="patch", head_sha=SHA) is None
