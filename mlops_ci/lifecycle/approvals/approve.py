"""
Approve: who may say yes to a plan, and whether enough of them have.

A decision names the request and the plan's digest. It is checked when it is made and again when the plan is
applied, by the rules and the keys of that day. What a request says is read in `approval_requests`, who vouches
for a decision is told in `decisions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from mlops_ci import records, signatures
from mlops_ci.config import ApprovalRule
from mlops_ci.entities import Approval, ApprovalRequest, Plan
from mlops_ci.errors import MlopsCIError
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals import decisions, four_eyes
from mlops_ci.lifecycle.approvals.approval_requests import (
    Asked,
    key_of,
    open_requests,
    requests,
    requests_among,
    rule_of,
    run_of,
    unclear_runs,
)
from mlops_ci.lifecycle.approvals.decisions import Case, Unconfirmed, Witness
from mlops_ci.lifecycle.approvals.github_witness import witness_of
from mlops_ci.lifecycle.deployments import deployments, serving
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record


@dataclass(frozen=True)
class Standing:
    """
    Where the decision on a plan stands.

    Attributes:
        request: The open request, if somebody asked.
        counted: The approvals that hold: vouched for, allowed, in time, one for each person.
        discounted: Why others do not.
        rejected: Who rejected it and why, or "".
        asked_here: Whether a request is open that reviews in this CI run can be about; outside of such a run, any.
    """

    request: Record | None
    counted: list[Record]
    discounted: list[str]
    rejected: str = ""
    asked_here: bool = False

    def reached(self, required: int) -> bool:
        """Whether *required* people have said yes and nobody no."""
        return self.request is not None and not self.rejected and len(self.counted) >= required


def request(
    project: Project, plan: Plan, rule: ApprovalRule, *, people: Sequence[str], policy_sha: str, replaces: str
) -> Record:
    """Record that a decision on *plan* is wanted; *people* may not be the ones who give it."""
    asked = ApprovalRequest(
        plan=plan,
        plan_digest=records.digest(plan),
        required=rule.required,
        approvers=list(rule.from_),
        people=list(people) if rule.four_eyes else [],
        policy_sha=policy_sha,
        expires=records.timestamp(records.moment(records.now()) + timedelta(seconds=rule.expires_s)),
        replaces=replaces,
        run=run_of(project),
    )
    record = records.new(asked, author=project.author)
    project.ledger_of(plan.target).append([record])
    return record


def decide(project: Project, prefix: str, *, key: Path, reject: str = "") -> tuple[Approval, bool]:
    """
    Sign a decision on the open request whose plan digest starts with *prefix* and record it.

    Returns:
        The decision, and whether the request now has all the approvals that it needs.

    Raises:
        NotFound: No request has that digest, or several plans have.
        Refused: The request is not open any more, the key is not allowed, or its owner may not decide this one.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project = project.ruled_by(ruling.config)
    opened = open_requests(project, prefix)
    asked = opened[0]
    plan, rule = asked.request.plan, rule_of(ruling, asked.request.plan.target)
    history = deployments(project, plan.target)
    payload = decisions.statement(asked, time=records.now(), reject=reject)
    signature = signatures.sign(payload, key)
    signer = signatures.signer_of(payload, signature, ruling.allowed_signers)
    case = case_of(project, plan, ruling, history, opened)
    decision = Approval(
        plan_digest=asked.request.plan_digest,
        target=plan.target,
        decision="reject" if reject else "approve",
        approver=decisions.admit_signer(signer, asked, case, reject=bool(reject)).name,
        method="ssh",
        payload=payload,
        signature=signature,
        reason=reject,
        request=asked.record.id,
    )
    project.ledger_of(plan.target).append([records.new(decision, author=project.author)])
    stand = standing(project, plan, ruling, history, witness=witness_of(project))
    return decision, stand.reached(rule.required)


def case_of(
    project: Project,
    plan: Plan,
    ruling: DefaultBranch,
    history: Sequence[Record],
    opened: Sequence[Asked],
    *,
    people: Sequence[str] = (),
    witness: Witness | None = None,
) -> Case:
    """
    By what decisions on *plan* are judged now: its requests *opened* name people whom four eyes exclude, as git does.

    Raises:
        ServiceError: The ledger did not answer.
    """
    serves = serving(history)
    excluded = [*people, *four_eyes.people_of(project, plan, serves)]
    excluded += [person for asked in opened for person in asked.people]
    if witness is None:
        return Case(ruling, excluded)
    version, before = four_eyes.version_of(project, plan), four_eyes.version_serving(project, serves)
    return Case(
        ruling,
        excluded,
        version.sha if version else "",
        before.sha if before else "",
        witness,
        tag=version.tag if version else "",
        own_run=run_of(project),
    )


def standing(
    project: Project,
    plan: Plan,
    ruling: DefaultBranch,
    history: Sequence[Record],
    *,
    people: Sequence[str] = (),
    witness: Witness | None,
) -> Standing:
    """
    Count the decisions on *plan* by the rules and keys of *ruling*.

    Args:
        project: Under the rules of *ruling*.
        plan: As it was rendered just now.
        ruling: The default branch.
        history: The deployments to the plan's target, oldest first.
        people: Excluded by four eyes beside those whom git and the requests name: who deploys now.
        witness: Who vouches for comments and reviews of environments; without one no approval by these counts.

    Raises:
        ServiceError: The ledger did not answer.
    """
    rule = rule_of(ruling, plan.target)
    ledger = project.ledger_of(plan.target)
    found = ledger.find(key_of(records.digest(plan)))
    every = requests_among(found, {plan.target: rule}, history)
    opened = [asked for asked in every if asked.state == "open" and asked.request.plan == plan]
    if not opened:
        return Standing(None, [], [])
    made = [record for record in found if record.kind == "approval"]
    methods = {str(record.body.get("method")) for record in made}
    asks = bool(methods & {"github-comment", "github-environment"})
    case = case_of(project, plan, ruling, history, opened, people=people, witness=witness if asks else None)
    if "github-environment" in methods:
        beside = requests_among(ledger.find(f"target/{plan.target}"), {plan.target: rule}, history)
        case = replace(case, unclear=unclear_runs(beside))
    stands = [_count(asked, made, case) for asked in opened]
    best = max(stands, key=lambda stand: len(stand.counted))
    rejected = next((stand.rejected for stand in stands if stand.rejected), "")
    discounted = [sentence for stand in stands for sentence in stand.discounted]
    ended = sum(decisions.named(record) not in {asked.record.id for asked in opened} for record in made)
    if ended:
        discounted.append(f"{ended} decision{'s'[: ended > 1]} on a request that is not open")
    own = run_of(project)
    here = not own or any(asked.request.run == own for asked in opened)
    return replace(best, rejected=rejected, discounted=discounted, asked_here=here)


def asked_for(project: Project) -> list[tuple[Asked, Standing | None]]:
    """
    The requests for the targets of the default branch, oldest first, with where each open one's plan stands.

    Raises:
        ServiceError: The ledger or the remote did not answer.
        UsageError: The default branch has no configuration.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project, witness = project.ruled_by(ruling.config), witness_of(project)
    stands: dict[str, Standing] = {}
    found = requests(project)
    for asked in found:
        plan, digest = asked.request.plan, asked.request.plan_digest
        if asked.state == "open" and digest not in stands:
            stands[digest] = standing(project, plan, ruling, deployments(project, plan.target), witness=witness)
    return [(asked, stands[asked.request.plan_digest] if asked.state == "open" else None) for asked in found]


def _count(asked: Asked, made: Sequence[Record], case: Case) -> Standing:
    """Who said what on one request: one voice for each person, and one key or one name is one person."""
    voices: list[tuple[frozenset[str], Record]] = []
    discounted, rejected = [], ""
    for record in made:
        if decisions.named(record) != asked.record.id:
            continue
        try:
            decision, voice = decisions.check(record, asked, case)
        except MlopsCIError as error:
            if isinstance(error, Unconfirmed) and record.body.get("decision") == "reject":
                rejected = str(error)
            else:
                discounted.append(str(error))
            continue
        if decision.decision == "reject":
            rejected = f"{voice.name} rejected it: {decision.reason}"
            continue
        same = [other for other in voices if other[0] & voice.names]
        first = same[0][1] if same else record
        names = voice.names.union(*(other[0] for other in same))
        voices = [other for other in voices if other not in same] + [(names, first)]
    return Standing(asked.record, [record for _, record in voices], discounted, rejected)
