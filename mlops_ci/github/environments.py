"""
Workflow runs, and who reviewed the environments that their jobs wait for.

GitHub tells neither when somebody reviewed nor which attempt of the run it was: a run has one list of reviews.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from mlops_ci.github.answers import read
from mlops_ci.github.client import GitHub

_NEEDS = "actions: read"
_MOST_ATTEMPTS = 20
_LONGEST_REASON = 500


@dataclass(frozen=True)
class Review:
    """
    What somebody said to a run that waits for *environments*.

    Attributes:
        login: Whoever it was.
        is_person: Whether GitHub calls that account a user's, and not a program's.
        comment: Their own words.
    """

    login: str
    state: Literal["approved", "rejected"]
    environments: tuple[str, ...]
    comment: str = ""
    is_person: bool = True

    @property
    def reason(self) -> str:
        """Their own words on one line."""
        return " ".join(self.comment.split())[:_LONGEST_REASON].strip() or "no reason was given"

    def is_about(self, environment: str) -> bool:
        """Whether they reviewed *environment*; GitHub does not tell capitals from others."""
        return environment.lower() in {name.lower() for name in self.environments}


@dataclass(frozen=True)
class WorkflowRun:
    """
    One run of a workflow.

    Attributes:
        head_sha: The commit that it is for.
        head_branch: The branch, or the tag, that it is for.
        head_repository: "owner/name" of where that commit is from.
        path: The workflow's file: ".github/workflows/mlops.yml".
        attempt: The number of the last attempt, from 1.
        people: The logins of who started it, and of who started any attempt.
    """

    id: int
    event: str
    head_sha: str
    head_branch: str
    head_repository: str
    path: str
    attempt: int
    people: tuple[str, ...]


class _User(msgspec.Struct):
    login: str = ""
    type: str = "User"


class _Named(msgspec.Struct):
    name: str = ""


class _Review(msgspec.Struct):
    state: str
    user: _User | None = None
    comment: str | None = None
    environments: list[_Named] = []


class _Repository(msgspec.Struct):
    full_name: str = ""


class _Run(msgspec.Struct):
    id: int
    event: str = ""
    head_sha: str = ""
    head_branch: str | None = None
    head_repository: _Repository | None = None
    path: str = ""
    run_attempt: int = 1
    actor: _User | None = None
    triggering_actor: _User | None = None


def reviews(hub: GitHub, run_id: int) -> list[Review]:
    """
    Return who approved or rejected what the run *run_id* waited for, in all its attempts.

    Raises:
        NotFound: There is no such run.
        PermissionMissing: The token may not read runs.
        ServiceError: GitHub did not answer.
    """
    what = f"ask who reviewed run {run_id}"
    answer = hub.request("GET", f"actions/runs/{run_id}/approvals", what=what, needs=_NEEDS)
    found = read(answer, list[_Review], what=what)
    return [
        Review(
            login=entry.user.login,
            state="approved" if entry.state == "approved" else "rejected",
            environments=tuple(named.name for named in entry.environments if named.name),
            comment=entry.comment or "",
            is_person=entry.user.type == "User",
        )
        for entry in found
        if entry.user is not None and entry.user.login and entry.state in {"approved", "rejected"}
    ]


def run(hub: GitHub, run_id: int) -> WorkflowRun:
    """
    Return the run *run_id* as its last attempt is, with the people of all its attempts.

    Raises:
        NotFound: There is no such run.
        PermissionMissing: The token may not read runs.
        ServiceError: GitHub did not answer, or there were more attempts than anybody makes.
    """
    what = f"ask about run {run_id}"
    last = read(hub.request("GET", f"actions/runs/{run_id}", what=what, needs=_NEEDS), _Run, what=what)
    # The last attempt names who started that one alone. Attempts before it are few, and who made them stays excluded.
    first = max(last.run_attempt - _MOST_ATTEMPTS, 1)
    before = [
        read(hub.request("GET", f"actions/runs/{run_id}/attempts/{number}", what=what, needs=_NEEDS), _Run, what=what)
        for number in range(first, last.run_attempt)
    ]
    accounts = [account for each in [*before, last] for account in (each.actor, each.triggering_actor)]
    return WorkflowRun(
        id=last.id,
        event=last.event,
        head_sha=last.head_sha,
        head_branch=last.head_branch or "",
        head_repository=last.head_repository.full_name if last.head_repository else "",
        path=last.path,
        attempt=last.run_attempt,
        people=tuple(dict.fromkeys(account.login for account in accounts if account is not None and account.login)),
    )
