"""
Approve: who may say yes to a plan, and whether enough of them have.

An approval is an SSH signature over a text that names the plan's digest, by a key that the default branch
allows. It is checked when it is given and again when the plan is applied, against the keys of that day.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from mlops_ci import records, signatures
from mlops_ci.config import ApprovalRule
from mlops_ci.entities import Approval, ApprovalRequest, Plan
from mlops_ci.errors import MlopsCIError, NotFound, Refused
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record

SHORTEST_PREFIX = 8


@dataclass(frozen=True)
class Standing:
    """
    Where the decision on a plan stands.

    Attributes:
        request: The open request, if somebody asked.
        counted: The approvals that hold: verified, allowed, in time, one for each person.
        discounted: Why others do not.
        rejected: Who rejected it and why, or "".
    """

    request: Record | None
    counted: list[Record]
    discounted: list[str]
    rejected: str = ""

    def reached(self, required: int) -> bool:
        """Whether *required* people have said yes and nobody no."""
        return self.request is not None and not self.rejected and len(self.counted) >= required


def key_of(plan_digest: str) -> str:
    """The ledger's key of all that concerns a plan."""
    return f"plan/{plan_digest.removeprefix('sha256:')}"


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
    )
    record = records.new(asked, author=project.author)
    project.ledger.append([record])
    return record


def decide(project: Project, prefix: str, *, key: Path, reject: str = "") -> tuple[Approval, bool]:
    """
    Sign a decision on the open request whose plan digest starts with *prefix* and record it.

    Returns:
        The decision, and whether the request now has all the approvals that it needs.

    Raises:
        NotFound: No open request has that digest, or several have.
        Refused: The key is not allowed, or its owner may not decide this one.
    """
    ruling = policy.at_default_branch(project.checkout)
    project = project.ruled_by(ruling.config)
    asked = _find_request(project, prefix)
    rule = _rule(ruling, asked.plan.target)
    payload = _payload(asked, reject=reject)
    signature = signatures.sign(payload, key)
    approver = signatures.signer_of(payload, signature, ruling.allowed_signers)
    _may_decide(approver, asked, rule)
    decision = Approval(
        plan_digest=asked.plan_digest,
        target=asked.plan.target,
        decision="reject" if reject else "approve",
        approver=approver,
        method="ssh",
        payload=payload,
        signature=signature,
        reason=reject,
    )
    project.ledger.append([records.new(decision, author=project.author)])
    return decision, standing(project, asked.plan, ruling).reached(rule.required)


def standing(project: Project, plan: Plan, ruling: DefaultBranch, *, people: Sequence[str] = ()) -> Standing:
    """
    Count the decisions on *plan* by the rules and keys of *ruling*.

    *people* are excluded by four eyes beside those whom the request names: a request is not signed.

    Raises:
        ServiceError: The ledger did not answer.
    """
    found = project.ledger.find(key_of(records.digest(plan)))
    requests = [record for record in found if record.kind == "request" and not _expired(record.read(ApprovalRequest))]
    if not requests:
        return Standing(None, [], [])
    open_request = requests[0]
    asked = open_request.read(ApprovalRequest)
    counted: dict[str, Record] = {}
    discounted, rejected = [], ""
    for record in found:
        if record.kind != "approval":
            continue
        try:
            decision = check(record, open_request.time, records.replace(asked, people=[*asked.people, *people]), ruling)
        except MlopsCIError as error:
            discounted.append(str(error))
            continue
        if decision.decision == "reject":
            rejected = f"{decision.approver} rejected it: {decision.reason}"
        else:
            counted[decision.approver] = record
    return Standing(open_request, list(counted.values()), discounted, rejected)


def check(
    record: Record, asked_at: str, asked: ApprovalRequest, ruling: DefaultBranch, *, at: datetime | None = None
) -> Approval:
    """
    Return the decision in *record* if it counts, with the keys that were valid at the moment *at* (now).

    Raises:
        Refused: It does not; the sentence says why.
    """
    decision = record.read(Approval)
    signer = signatures.signer_of(decision.payload, decision.signature, ruling.allowed_signers, at=at)
    said = _read_payload(decision.payload)
    expected = (asked.plan_digest, asked.plan.target, decision.decision, decision.reason)
    if (said.get("plan"), said.get("target"), said.get("decision"), said.get("reason")) != expected:
        raise Refused(f"the text that {signer} signed is about something else")
    # The signed text names the request's moment, so a decision on an earlier request cannot be replayed.
    if not asked_at <= said.get("time", "") < asked.expires:
        raise Refused(f"the decision of {signer} was not made while the request was open")
    _may_decide(signer, asked, _rule(ruling, asked.plan.target))
    return decision


@dataclass(frozen=True)
class Asked:
    """A request, and what became of it."""

    record: Record
    request: ApprovalRequest
    state: Literal["open", "expired", "deployed"]


def requests(project: Project) -> list[Asked]:
    """The requests for the targets that are configured, oldest first. Raises `ServiceError` as the ledger does."""
    keys = [f"target/{name}" for name in project.config.targets]
    found = project.ledger.find(*keys) if keys else []
    live = {
        record.body["plan_digest"]
        for record in found
        if record.kind == "deployment" and record.body["status"] == "live"
    }
    asked = [(record, record.read(ApprovalRequest)) for record in found if record.kind == "request"]
    return [Asked(record, request, _state(request, live)) for record, request in asked]


def _find_request(project: Project, prefix: str) -> ApprovalRequest:
    wanted = prefix.removeprefix("sha256:").lower()
    if len(wanted) < SHORTEST_PREFIX:
        raise NotFound(f"{prefix!r} is too short", hint=f"give at least {SHORTEST_PREFIX} digits of the plan's digest")
    by_plan = {
        asked.request.plan_digest: asked
        for asked in requests(project)
        if asked.request.plan_digest.removeprefix("sha256:").startswith(wanted)
    }
    if len(by_plan) != 1:
        what = "no request" if not by_plan else f"{len(by_plan)} requests"
        raise NotFound(f"{what} for a plan {prefix}", hint="`mlops-ci approvals` lists what is asked for")
    (found,) = by_plan.values()
    asked = found.request
    if _expired(asked):
        raise Refused(
            f"the request for plan {wanted[:12]} expired at {asked.expires}", hint="`mlops-ci deploy` asks again"
        )
    return asked


def _rule(ruling: DefaultBranch, target: str) -> ApprovalRule:
    found = ruling.config.targets.get(target)
    if found is None:
        raise Refused(f"the default branch has no target {target!r} any more")
    return found.approval or ApprovalRule()


def _may_decide(approver: str, asked: ApprovalRequest, rule: ApprovalRule) -> None:
    if rule.from_ and approver not in rule.from_:
        raise Refused(
            f"{approver} is not among the approvers of {asked.plan.target}: {', '.join(rule.from_)}",
            hint="`approval: from:` on the default branch names them",
        )
    if rule.four_eyes and approver.lower() in {person.lower() for person in asked.people}:
        raise Refused(
            f"{approver} asked for this deployment, or wrote or tagged what it deploys, and four eyes are asked for",
            hint="somebody else has to approve it",
        )


def _payload(asked: ApprovalRequest, *, reject: str) -> str:
    """The text to sign: one line that a person can read."""
    said = {
        "decision": "reject" if reject else "approve",
        "model": f"{asked.plan.model}@{asked.plan.version}",
        "plan": asked.plan_digest,
        "reason": reject,
        "target": asked.plan.target,
        "time": records.now(),
    }
    return records.canonical(said).decode()


def _read_payload(payload: str) -> dict[str, str]:
    try:
        said = json.loads(payload)
    except ValueError:
        return {}
    return {name: str(value) for name, value in said.items()} if isinstance(said, dict) else {}


def _state(request: ApprovalRequest, live: Container[str]) -> Literal["open", "expired", "deployed"]:
    if request.plan_digest in live:
        return "deployed"
    return "expired" if _expired(request) else "open"


def _expired(asked: ApprovalRequest) -> bool:
    return asked.expires <= records.now()
