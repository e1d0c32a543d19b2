"""
Admit a deployment, or say what is missing: the target before, locks, freeze windows, approvals.

Asked before anything is touched, and again at the moment of applying, when the target is held: minutes may lie between.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlops_ci import git
from mlops_ci.config import ApprovalRule
from mlops_ci.entities import Deployment
from mlops_ci.errors import AwaitsApproval, MlopsCIError, Refused
from mlops_ci.lifecycle.approvals import approve, four_eyes, request_issue
from mlops_ci.lifecycle.approvals.approve import Standing
from mlops_ci.lifecycle.approvals.environment_reviews import take_reviews
from mlops_ci.lifecycle.approvals.github_witness import witness_of
from mlops_ci.lifecycle.deploying import freezes, locks, manifests
from mlops_ci.lifecycle.deploying.planning import Prospect
from mlops_ci.lifecycle.deployments import current
from mlops_ci.targets import Tell


@dataclass(frozen=True)
class Admission:
    """By which decisions a deployment is admitted: record ids. Both are empty where nobody had to be asked."""

    approvals: list[str]
    request: str = ""


def admit(prospect: Prospect, tell: Tell) -> Admission:
    """
    Return what admits the deployment; *tell* is told what GitHub could not be told.

    Raises:
        Refused: It is locked or frozen, or production has no approval rule.
        AwaitsApproval: The target before has not got this version, or people have to agree; if nobody had asked
            them, they have been asked now.
    """
    rule = _admitting_rule(prospect)
    if rule is None:
        return Admission([])
    taken = take_reviews(
        prospect.project, prospect.plan, prospect.ruling, prospect.history, witness_of(prospect.project)
    )
    stand = standing(prospect)
    if stand.request is not None and stand.reached(rule.required):
        return Admission([record.id for record in stand.counted], stand.request.id)
    if stand.request is None or not stand.asked_here:
        _ask(prospect, rule, stand, tell)
    raise AwaitsApproval("; ".join([_missing(prospect, rule, stand), *taken.notes]), hint=_how(prospect))


def refusal_of(prospect: Prospect) -> str:
    """Why `admit` would raise now, in a sentence; "" if it would not. Asks nobody for an approval."""
    try:
        rule = _admitting_rule(prospect)
    except Refused as refusal:
        return str(refusal)
    stand = standing(prospect) if rule else None
    if rule is None or stand is None or stand.reached(rule.required):
        return ""
    return _missing(prospect, rule, stand)


def standing(prospect: Prospect) -> Standing:
    """Where the decisions on the plan stand; who deploys may not be among those who agreed."""
    author = prospect.project.author
    return approve.standing(
        prospect.project,
        prospect.plan,
        prospect.ruling,
        prospect.history,
        people=[author.email, author.name],
        witness=witness_of(prospect.project),
    )


def _admitting_rule(prospect: Prospect) -> ApprovalRule | None:
    """Whom policy wants to agree; None for nobody. Raises as `admit`, but for what people have to agree on."""
    plan, settings = prospect.plan, prospect.settings
    locks.demand_free(prospect.project, plan.target)
    freezes.demand_open(plan.target, settings.freeze)
    _demand_before(prospect)
    if settings.approval is None and settings.production:
        raise Refused(
            f"{plan.target} is a production target, and nothing protects it",
            hint=f"add `approval: {{required: 1}}` to targets.{plan.target} in mlops.yaml on the default branch",
        )
    return settings.approval


def _demand_before(prospect: Prospect) -> None:
    plan, settings = prospect.plan, prospect.settings
    if not settings.after:
        return
    before = current(prospect.project, settings.after)
    if before is None or before.read(Deployment).plan.version_record != plan.version_record:
        raise AwaitsApproval(
            f"{plan.model} {plan.version} is not live on {settings.after}, which comes before {plan.target}",
            hint=f"`mlops-ci deploy {settings.after}` first",
        )


def _ask(prospect: Prospect, rule: ApprovalRule, stand: Standing, tell: Tell) -> None:
    """Record the request, and ask in an issue, where there is GitHub to do so."""
    previous, author = prospect.previous, prospect.project.author
    written = four_eyes.people_of(prospect.project, prospect.plan, previous)
    record = approve.request(
        prospect.project,
        prospect.plan,
        rule,
        people=git.unique([author.email, author.name, *written]),
        policy_sha=prospect.ruling.sha,
        replaces=previous.id if previous else "",
    )
    request_issue.announce(
        prospect.project,
        prospect.plan,
        record,
        stand,
        prospect.ruling,
        previous,
        diffs=_diffs(prospect),
        tell=tell,
    )


def _diffs(prospect: Prospect) -> dict[str, str] | None:
    """How the manifests differ from those that serve; None where those were not kept."""
    if prospect.previous is None:
        return request_issue.differences({}, prospect.order.files)
    try:
        return request_issue.differences(manifests.fetch(prospect.project, prospect.previous), prospect.order.files)
    except MlopsCIError:
        return None


def _missing(prospect: Prospect, rule: ApprovalRule, stand: Standing) -> str:
    why = [f"{len(stand.counted)} of {rule.required}", *([stand.rejected] if stand.rejected else []), *stand.discounted]
    plan = prospect.plan
    return (
        f"{plan.model} {plan.version} on {plan.target} needs {rule.required} approval{'s'[: rule.required > 1]}"
        f" and has {'; '.join(why)}"
    )


def _how(prospect: Prospect) -> str:
    digest = prospect.digest.removeprefix("sha256:")[:12]
    return (
        f"it is asked for: `mlops-ci approve {digest} --key …`, or on GitHub the comment `/approve {digest}`;"
        " then deploy again"
    )
