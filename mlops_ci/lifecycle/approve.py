"""
Approve: who may say yes to a plan, and whether enough of them have.

An approval is an SSH signature over a text that names the request and the plan's digest, by a key that the
default branch allows. It is checked when it is given and again when the plan is applied, against the keys of
that day. Records are anybody's who may push: of a request, only what the rules bear out is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from mlops_ci import records, signatures
from mlops_ci.config import ApprovalRule
from mlops_ci.entities import Approval, ApprovalRequest, Plan
from mlops_ci.errors import IntegrityError, MlopsCIError, NotFound, Refused
from mlops_ci.lifecycle import four_eyes, policy
from mlops_ci.lifecycle.deployments import deployments, deployments_among, serving
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record
from mlops_ci.signatures import Signer

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


@dataclass(frozen=True)
class Asked:
    """A request, when it ends by the rules, and what became of it."""

    record: Record
    request: ApprovalRequest
    opens: datetime
    expires: datetime
    state: Literal["open", "expired", "deployed", "overtaken"] = "open"

    @property
    def people(self) -> list[str]:
        """Who may not approve it by its own account: it only adds to those whom others name."""
        author = self.record.author
        return [author.email, author.name, *self.request.people]


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
        NotFound: No request has that digest, or several plans have.
        Refused: The request is not open any more, the key is not allowed, or its owner may not decide this one.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project = project.ruled_by(ruling.config)
    opened = _find_requests(project, prefix)
    asked = opened[0]
    plan, rule = asked.request.plan, rule_of(ruling, asked.request.plan.target)
    history = deployments(project, plan.target)
    payload = _payload(asked, reject=reject)
    signature = signatures.sign(payload, key)
    signer = signatures.signer_of(payload, signature, ruling.allowed_signers)
    excluded = four_eyes.people_of(project, plan, serving(history))
    excluded += [person for one in opened for person in one.people]
    decision = Approval(
        plan_digest=asked.request.plan_digest,
        target=plan.target,
        decision="reject" if reject else "approve",
        approver=_allowed(signer, plan.target, rule, [] if reject else excluded),
        method="ssh",
        payload=payload,
        signature=signature,
        reason=reject,
        request=asked.record.id,
    )
    project.ledger.append([records.new(decision, author=project.author)])
    return decision, standing(project, plan, ruling, history).reached(rule.required)


def standing(
    project: Project, plan: Plan, ruling: DefaultBranch, history: Sequence[Record], *, people: Sequence[str] = ()
) -> Standing:
    """
    Count the decisions on *plan* by the rules and keys of *ruling*.

    Args:
        project: Under the rules of *ruling*.
        plan: As it was rendered just now.
        ruling: The default branch.
        history: The deployments to the plan's target, oldest first.
        people: Excluded by four eyes beside those whom git and the requests name: who deploys now.

    Raises:
        ServiceError: The ledger did not answer.
    """
    rule = rule_of(ruling, plan.target)
    found = project.ledger.find(key_of(records.digest(plan)))
    every = _requests_among(found, {plan.target: rule}, history)
    opened = [asked for asked in every if asked.state == "open" and asked.request.plan == plan]
    if not opened:
        return Standing(None, [], [])
    excluded = [*people, *four_eyes.people_of(project, plan, serving(history))]
    excluded += [person for asked in opened for person in asked.people]
    decisions = [record for record in found if record.kind == "approval"]
    stands = [_count(asked, decisions, ruling, excluded) for asked in opened]
    best = max(stands, key=lambda stand: len(stand.counted))
    rejected = next((stand.rejected for stand in stands if stand.rejected), "")
    discounted = [sentence for stand in stands for sentence in stand.discounted]
    ended = sum(_named(record) not in {asked.record.id for asked in opened} for record in decisions)
    if ended:
        discounted.append(f"{ended} decision{'s'[: ended > 1]} on a request that is not open")
    return replace(best, rejected=rejected, discounted=discounted)


def check(
    record: Record, asked: Asked, ruling: DefaultBranch, people: Sequence[str], *, at: datetime | None = None
) -> tuple[Approval, Signer]:
    """
    Return the decision in *record* and who signed it, if it counts for *asked*.

    Args:
        record: An approval.
        asked: What it has to be about.
        ruling: Whose rules and keys count.
        people: May not approve, where the rule wants four eyes.
        at: The keys that were valid at this moment count; now, unless given.

    Raises:
        Refused: It does not count; the sentence says why.
    """
    decision = record.read(Approval)
    signer = signatures.signer_of(decision.payload, decision.signature, ruling.allowed_signers, at=at)
    name, plan = signer.principals[0], asked.request.plan
    said = _read_payload(decision.payload)
    if said.get("request") != asked.record.id:
        raise Refused(f"{name} decided on another request")
    expected = (asked.request.plan_digest, plan.target, decision.decision, decision.reason)
    if (said.get("plan"), said.get("target"), said.get("decision"), said.get("reason")) != expected:
        raise Refused(f"the text that {name} signed is about something else")
    decided = _moment(said.get("time", ""))
    if decided is None or not asked.opens <= decided < asked.expires:
        raise Refused(f"the decision of {name} was not made while the request was open")
    _allowed(signer, plan.target, rule_of(ruling, plan.target), people if decision.decision == "approve" else [])
    return decision, signer


def read_request(record: Record, rule: ApprovalRule) -> Asked:
    """
    Return the request in *record*, which ends by *rule* at the latest.

    Raises:
        IntegrityError: It is none, or shows another plan than its digest names.
    """
    request = record.read(ApprovalRequest)
    if records.digest(request.plan) != request.plan_digest:
        raise IntegrityError(f"request {record.id[:12]} shows another plan than its digest names")
    opens, expires = _moment(record.time), _moment(request.expires)
    if opens is None or expires is None:
        raise IntegrityError(f"request {record.id[:12]} names no moment")
    try:
        latest = opens + timedelta(seconds=rule.expires_s)
    except OverflowError as error:
        raise IntegrityError(f"request {record.id[:12]} is of the year {opens.year}") from error
    return Asked(record, request, opens, min(expires, latest))


def requests(project: Project) -> list[Asked]:
    """The requests for the targets that are configured, oldest first. Raises `ServiceError` as the ledger does."""
    rules = {name: target.approval or ApprovalRule() for name, target in project.config.targets.items()}
    found = project.ledger.find(*(f"target/{name}" for name in rules)) if rules else []
    return _requests_among(found, rules, deployments_among(found))


def _requests_among(
    found: Sequence[Record], rules: Mapping[str, ApprovalRule], history: Sequence[Record]
) -> list[Asked]:
    """The requests among *found* for the targets of *rules*, with what became of them in *history*."""
    live = [record for record in history if record.body["status"] == "live"]
    used = {record.body.get("request", "") for record in live}
    serves = {name: serving([past for past in history if past.body["plan"]["target"] == name]) for name in rules}
    every = []
    for record in found:
        if record.kind != "request":
            continue
        try:
            asked = read_request(record, rules.get(str(record.body.get("plan", {}).get("target")), ApprovalRule()))
        except (AttributeError, IntegrityError):
            continue
        if asked.request.plan.target in rules:
            now = serves[asked.request.plan.target]
            every.append(replace(asked, state=_state(asked, used, now.id if now else "")))
    return every


def _count(asked: Asked, decisions: Sequence[Record], ruling: DefaultBranch, excluded: Sequence[str]) -> Standing:
    """Who said what on one request: one voice for each person, and one key or one name is one person."""
    voices: list[tuple[set[str], Record]] = []
    discounted, rejected = [], ""
    for record in decisions:
        if _named(record) != asked.record.id:
            continue
        try:
            decision, signer = check(record, asked, ruling, excluded)
        except MlopsCIError as error:
            discounted.append(str(error))
            continue
        if decision.decision == "reject":
            rejected = f"{signer.principals[0]} rejected it: {decision.reason}"
            continue
        names = {signer.key, *map(four_eyes.identity, signer.aliases)}
        same = [voice for voice in voices if voice[0] & names]
        first = same[0][1] if same else record
        voices = [voice for voice in voices if voice not in same] + [(names.union(*(v[0] for v in same)), first)]
    return Standing(asked.record, [record for _, record in voices], discounted, rejected)


def _find_requests(project: Project, prefix: str) -> list[Asked]:
    """The open requests, one at least, for the one plan whose digest begins with *prefix*."""
    wanted = prefix.removeprefix("sha256:").lower()
    if len(wanted) < SHORTEST_PREFIX:
        raise NotFound(f"{prefix!r} is too short", hint=f"give at least {SHORTEST_PREFIX} digits of the plan's digest")
    matching = [
        asked for asked in requests(project) if asked.request.plan_digest.removeprefix("sha256:").startswith(wanted)
    ]
    plans = {asked.request.plan_digest for asked in matching}
    if len(plans) != 1:
        what = "no request" if not plans else f"requests for {len(plans)} plans"
        raise NotFound(f"{what} for a plan {prefix}", hint="`mlops-ci approvals` lists what is asked for")
    opened = [asked for asked in matching if asked.state == "open"]
    if not opened:
        last = matching[-1]
        ended = f"expired at {records.timestamp(last.expires)}" if last.state == "expired" else f"is {last.state}"
        raise Refused(f"the request for plan {wanted[:12]} {ended}", hint="`mlops-ci deploy` asks again")
    return opened


def rule_of(ruling: DefaultBranch, target: str) -> ApprovalRule:
    """The rule of *ruling* for *target*. Raises `Refused` if it has no such target."""
    found = ruling.config.targets.get(target)
    if found is None:
        raise Refused(f"the default branch has no target {target!r} any more")
    return found.approval or ApprovalRule()


def _allowed(signer: Signer, target: str, rule: ApprovalRule, people: Sequence[str]) -> str:
    """Under which name *signer* decides; a refusal if the rule does not let them, or excludes them as *people*."""
    named = [name for name in signer.principals if name in rule.from_] if rule.from_ else list(signer.principals)
    if not named:
        raise Refused(
            f"{signer.principals[0]} is not among the approvers of {target}: {', '.join(rule.from_)}",
            hint="`approval: from:` on the default branch names them",
        )
    excluded = {four_eyes.identity(person) for person in people if person} if rule.four_eyes else set()
    own = [name for name in signer.aliases if four_eyes.identity(name) in excluded]
    if own:
        raise Refused(
            f"{own[0]} asked for this deployment, runs it, or wrote or tagged what it deploys,"
            " and four eyes are asked for",
            hint="somebody else has to approve it",
        )
    return named[0]


def _payload(asked: Asked, *, reject: str) -> str:
    """The text to sign: one line that a person can read."""
    plan = asked.request.plan
    said = {
        "decision": "reject" if reject else "approve",
        "model": f"{plan.model}@{plan.version}",
        "plan": asked.request.plan_digest,
        "reason": reject,
        "request": asked.record.id,
        "target": plan.target,
        "time": records.now(),
    }
    return records.canonical(said).decode()


def _named(record: Record) -> str:
    """The request that a decision says it is about; whether somebody signed that is for `check` to find out."""
    return _read_payload(str(record.body.get("payload"))).get("request", "")


def _read_payload(payload: str) -> dict[str, str]:
    try:
        said = json.loads(payload)
    except ValueError:
        return {}
    return {name: str(value) for name, value in said.items()} if isinstance(said, dict) else {}


def _state(asked: Asked, used: set[str], serves: str) -> Literal["open", "expired", "deployed", "overtaken"]:
    """An approval is for one change of what serves: once made, or overtaken by another, it is over."""
    if asked.record.id in used:
        return "deployed"
    if asked.request.replaces != serves:
        return "overtaken"
    return "open" if asked.opens <= records.moment(records.now()) < asked.expires else "expired"


def _moment(time: str) -> datetime | None:
    """The moment that *time* names; None if it names none, or none for sure (without a time zone)."""
    try:
        found = records.moment(time)
    except ValueError:
        return None
    return found if found.tzinfo else None
