"""
Take in who reviewed the environment that this CI run waited for.

The job that deploys names the target's environment, and GitHub lets it begin when somebody has approved. What is
recorded of that is a claim: whether it counts is decided in `decisions`, which asks GitHub again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_ci import records
from mlops_ci.entities import Approval, Plan
from mlops_ci.errors import IntegrityError, MlopsCIError, ServiceError
from mlops_ci.lifecycle.approvals import decisions
from mlops_ci.lifecycle.approvals.approval_requests import (
    Asked,
    environment_of,
    key_of,
    requests_among,
    rule_of,
    run_of,
)
from mlops_ci.lifecycle.approvals.decisions import Witness
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record

if TYPE_CHECKING:
    from mlops_ci.github.environments import Review


@dataclass(frozen=True)
class Taken:
    """
    What was recorded.

    Attributes:
        records: The decisions of this run on the plan, those that were recorded before included.
        notes: Why GitHub could not be asked, in sentences with what to do.
    """

    records: list[Record]
    notes: tuple[str, ...] = ()


def take_reviews(
    project: Project, plan: Plan, ruling: DefaultBranch, history: Sequence[Record], witness: Witness | None
) -> Taken:
    """
    Record the reviews of this CI run for the environment of the plan's target; twice changes nothing.

    Args:
        project: Under the rules of *ruling*.
        plan: As it was rendered just now.
        ruling: The default branch.
        history: The deployments to the plan's target, oldest first.
        witness: Who knows the reviews; without one, and outside of a run that releases something, there are none.

    Raises:
        ServiceError: The ledger or GitHub did not answer.
    """
    own = run_of(project)
    if not own or witness is None or project.event is None:
        return Taken([])
    rule = rule_of(ruling, plan.target)
    found = project.ledger_of(plan.target).find(key_of(records.digest(plan)))
    every = requests_among(found, {plan.target: rule}, history)
    mine = [
        asked for asked in every if asked.state == "open" and asked.request.plan == plan and asked.request.run == own
    ]
    if not mine:
        return Taken([])
    try:
        environment = environment_of(ruling, plan.target)
        reviews = [review for review in witness.reviews(int(own)) if review.is_about(environment)]
    except ServiceError:
        raise
    except MlopsCIError as error:
        why = f"reviews of this run do not count: {error}"
        return Taken([], (f"{why}\n{error.hint}" if error.hint else why,))
    about = {"repository": witness.repository, "run": own, "attempt": str(project.event.run.attempt)}
    made = [_decision(mine[0], review, {**about, "environment": environment}) for review in reviews]
    return Taken(_kept(project, plan.target, found, made))


def _decision(asked: Asked, review: Review, about: dict[str, str]) -> Approval:
    reject = review.reason if review.state == "rejected" else ""
    return Approval(
        plan_digest=asked.request.plan_digest,
        target=asked.request.plan.target,
        decision="reject" if reject else "approve",
        approver=review.login,
        method="github-environment",
        payload=decisions.statement(asked, time=records.now(), reject=reject, login=review.login, **about),
        signature="",
        reason=reject,
        request=asked.record.id,
    )


def _kept(project: Project, target: str, found: Sequence[Record], made: Sequence[Approval]) -> list[Record]:
    """The records of *made*, of which *found* may hold some already; their time and attempt make no difference."""
    before = {key: record for record in found if record.kind == "approval" and (key := _key_of(record)) is not None}
    kept: dict[tuple[str, ...], Record] = {}
    fresh = []
    for decision in made:
        key = _key(decision)
        if key not in before and key not in kept:
            fresh.append(records.new(decision, author=project.author))
            kept[key] = fresh[-1]
        elif key in before:
            kept[key] = before[key]
    if fresh and not project.ledger_of(target).append(fresh):
        raise ServiceError(
            "the ledger did not take the reviews: the git remote did not answer", hint="run the job again"
        )
    return list(kept.values())


def _key_of(record: Record) -> tuple[str, ...] | None:
    try:
        decision = record.read(Approval)
    except IntegrityError:
        return None
    return _key(decision) if decision.method == "github-environment" else None


def _key(decision: Approval) -> tuple[str, ...]:
    said = decisions.read_statement(decision.payload)
    about = {name: value for name, value in said.items() if name not in {"attempt", "time"}}
    facts = (decision.plan_digest, decision.target, decision.decision, decision.reason, decision.request)
    return (*facts, decision.approver, *(f"{name}={about[name]}" for name in sorted(about)))
