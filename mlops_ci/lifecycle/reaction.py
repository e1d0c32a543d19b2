"""What came of a CI event, whoever reacted to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_ci.entities import GateReport

if TYPE_CHECKING:
    from mlops_ci.lifecycle.deploying.performing import Deployed
    from mlops_ci.lifecycle.judge import Judgement
    from mlops_ci.lifecycle.register_model import Registered


@dataclass(frozen=True)
class Next:
    """A deployment that another job is to do. *plan* is the digest of its plan, *environment* GitHub's name for it."""

    target: str
    version: str
    plan: str
    environment: str


@dataclass(frozen=True)
class Reaction:
    """
    What was done. Whatever did not happen is None or empty.

    Attributes:
        nothing: Why there was nothing to do at all, in a sentence.
        unaffected: Why nothing had to be trained, in a sentence.
        failure: Why there is no verdict, or none that may pass, in a sentence; *hint* says what to do.
        judgements: One for each job of a matrix that has reported; else one at most.
        expected: How many jobs are to report.
        bundle: The file that another job is to record from.
        waiting: What a person must do.
        next: What a job of its own is to deploy: it may wait for a review first, or was approved by a comment.
        missing: What could not be told to GitHub, and how to mend that; it changes no verdict.
        untold: The verdict did not reach the commit that it is about, so a required check still waits for it.
    """

    exit_code: int
    run_id: str = ""
    nothing: str = ""
    unaffected: str = ""
    failure: str = ""
    hint: str = ""
    judgements: tuple[Judgement, ...] = ()
    expected: int = 1
    bundle: Path | None = None
    registered: Registered | None = None
    rendered: Path | None = None
    image: str = ""
    deployed: tuple[Deployed, ...] = ()
    waiting: tuple[str, ...] = ()
    next: Next | None = None
    comment_url: str = ""
    missing: tuple[str, ...] = ()
    untold: bool = False

    @property
    def reports(self) -> list[GateReport]:
        """The gate reports, if something was judged."""
        return [judgement.report for judgement in self.judgements]
