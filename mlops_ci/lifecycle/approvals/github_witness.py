"""
GitHub as the witness of decisions that were made there, by comment or by review: it is asked, and each thing once.

What an answer is worth is decided in `decisions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from mlops_ci.config import ApprovalRule
from mlops_ci.errors import MlopsCIError, NotFound, ServiceError
from mlops_ci.lifecycle import reach_github
from mlops_ci.lifecycle.approvals import four_eyes
from mlops_ci.lifecycle.approvals.decisions import Unconfirmed
from mlops_ci.lifecycle.project import Project

if TYPE_CHECKING:
    from mlops_ci.github import GitHub
    from mlops_ci.github.comments import Comment
    from mlops_ci.github.environments import Review, WorkflowRun
    from mlops_ci.github.issues import Text

_MOST_RUNS = 20
_MOST_COMMENTS = 100
_WHOEVER_MAY_WRITE = ["permission:write"]


class GitHubWitness:
    """GitHub, connected to when the first question comes."""

    def __init__(self, connect: Callable[[], GitHub]) -> None:
        self._connect = connect
        self._comments: dict[int, Comment | None] = {}
        self._allowed: dict[tuple[str, tuple[str, ...]], bool] = {}
        self._texts: dict[int, Text] = {}
        self._runs: dict[int, WorkflowRun | None] = {}
        self._reviews: dict[int, Sequence[Review]] = {}
        self._people: dict[tuple[str, str], Sequence[str]] = {}

    @cached_property
    def _hub(self) -> GitHub:
        return self._connect()

    @property
    def repository(self) -> str:
        """As `Witness.repository`."""
        with _unless_unanswerable():
            return self._hub.repository

    def comment(self, comment_id: int) -> Comment | None:
        """As `Witness.comment`; anybody who may push can record a lot of them, so not more than a hundred are read."""
        from mlops_ci.github import comments  # noqa: PLC0415  # as in `reach_github`

        if comment_id not in self._comments:
            if len(self._comments) >= _MOST_COMMENTS:
                raise Unconfirmed(f"there are decisions by more than {_MOST_COMMENTS} comments")
            with _unless_unanswerable():
                try:
                    self._comments[comment_id] = comments.comment(self._hub, comment_id)
                except NotFound:
                    self._comments[comment_id] = None
        return self._comments[comment_id]

    def text_above(self, number: int) -> Text:
        """As `Witness.text_above`."""
        from mlops_ci.github import issues  # noqa: PLC0415  # as in `reach_github`

        if number not in self._texts:
            with _unless_unanswerable():
                self._texts[number] = issues.text_of(self._hub, number)
        return self._texts[number]

    def run(self, run_id: int) -> WorkflowRun | None:
        """As `Witness.run`; as with comments, not more than some are read."""
        from mlops_ci.github import environments  # noqa: PLC0415  # as in `reach_github`

        if run_id not in self._runs:
            if len(self._runs) >= _MOST_RUNS:
                raise Unconfirmed(f"there are decisions in more than {_MOST_RUNS} runs")
            with _unless_unanswerable():
                try:
                    self._runs[run_id] = environments.run(self._hub, run_id)
                except NotFound:
                    self._runs[run_id] = None
        return self._runs[run_id]

    def reviews(self, run_id: int) -> Sequence[Review]:
        """As `Witness.reviews`."""
        from mlops_ci.github import environments  # noqa: PLC0415  # as in `reach_github`

        if run_id not in self._reviews:
            with _unless_unanswerable():
                self._reviews[run_id] = environments.reviews(self._hub, run_id)
        return self._reviews[run_id]

    def may_approve(self, login: str, rule: ApprovalRule) -> bool:
        """As `Witness.may_approve`."""
        from mlops_ci.github import people  # noqa: PLC0415  # as in `reach_github`

        # Four eyes take a login and its noreply address for the same, and so does the rule.
        names = [four_eyes.identity(entry) if "@" in entry else entry for entry in rule.from_]
        rules = tuple(names or _WHOEVER_MAY_WRITE)
        if (login, rules) not in self._allowed:
            with _unless_unanswerable():
                self._allowed[login, rules] = people.may_approve(self._hub, login, rules)
        return self._allowed[login, rules]

    def people_of(self, sha: str, since: str) -> Sequence[str]:
        """As `Witness.people_of`."""
        from mlops_ci.github import commits  # noqa: PLC0415  # as in `reach_github`

        if (sha, since) not in self._people:
            with _unless_unanswerable():
                self._people[sha, since] = commits.people_of(self._hub, sha, since=since)
        return self._people[sha, since]


def witness_of(project: Project, env: Mapping[str, str] | None = None) -> GitHubWitness | None:
    """
    The witness for *project*, with the token of the CI job, or with `GITHUB_TOKEN` or `GH_TOKEN` on a laptop.

    Returns:
        None if there is no token, or the project's repository is not on GitHub. No request is made.
    """
    way = reach_github.way_to_hub(project, env)
    return GitHubWitness(way) if way else None


@contextmanager
def _unless_unanswerable() -> Iterator[None]:
    """What the token may not ask, and what GitHub cannot answer, is unconfirmed; where nobody answers, try again."""
    try:
        yield
    except (ServiceError, Unconfirmed):
        raise
    except MlopsCIError as error:
        raise Unconfirmed(str(error), hint=error.hint) from error
