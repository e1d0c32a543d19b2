"""What CI was started by, whichever CI it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlops_ci.entities import Author, CiRun

EventKind = Literal[
    "pull_request", "merge_group", "push", "tag", "dispatch", "schedule", "workflow_run", "comment", "other"
]


@dataclass(frozen=True)
class Upstream:
    """
    The CI run that this one was started by when it had ended: the first half of a pull request from a fork.

    *head_repository* is "owner/name"; all of it is the provider's word, none of it the fork's.
    """

    run_id: str
    attempt: int
    name: str
    event: str
    conclusion: str
    head_sha: str
    head_branch: str
    head_repository: str
    actor: str = ""
    run_url: str = ""


@dataclass(frozen=True)
class Remark:
    """A comment that somebody wrote, as the payload has it; whoever acts on it asks the API for it again."""

    id: int
    author: str
    body: str
    on_pull_request: bool


@dataclass(frozen=True)
class Event:
    """
    What CI was started by.

    Attributes:
        kind: What it is to us; *name* is what the provider calls it.
        nothing: Why there is nothing to do, in a sentence; else "".
        sha: The commit that CI was started for: on a pull request the merge commit.
        base_sha: The tip of the branch that a pull request wants to enter, else "".
        head_sha: The tip of the pull request's branch, else "".
        head_repository: Where a pull request comes from, "owner/name", else "".
        number: Of the pull request or issue.
        branch: The branch that was pushed, or that a pull request comes from.
        tag: The tag that was pushed, released, or named when the workflow was started by hand, else "".
        default_branch: The repository's default branch where the payload says so.
    """

    kind: EventKind
    name: str
    run: CiRun
    author: Author
    nothing: str = ""
    repository: str = ""
    sha: str = ""
    base_sha: str = ""
    base_branch: str = ""
    head_sha: str = ""
    head_repository: str = ""
    number: int | None = None
    branch: str = ""
    tag: str = ""
    default_branch: str = ""
    upstream: Upstream | None = None
    remark: Remark | None = None
    server_url: str = "https://github.com"
    api_url: str = "https://api.github.com"

    @property
    def is_proposal(self) -> bool:
        """Whether something wants to be merged, and the branch that it wants to enter rules."""
        return self.kind in {"pull_request", "merge_group"}
