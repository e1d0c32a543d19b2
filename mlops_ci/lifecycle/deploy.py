"""
Deploy: plan, check what policy asks for, apply, try it with the model's own example, record.

The plan is rendered afresh every time; what was approved is its digest, so anything that changes what
would be deployed also undoes the approval.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_ci import git, records
from mlops_ci.config import Target as TargetConfig
from mlops_ci.entities import Deployment, Plan, Smoke
from mlops_ci.errors import AwaitsApproval, MlopsCIError, Refused, UsageError
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals import approve, four_eyes
from mlops_ci.lifecycle.approvals.comment_witness import witness_of
from mlops_ci.lifecycle.deployments import current, deployments, serving
from mlops_ci.lifecycle.find_version import find_version
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import Bundle, open_target, render, target_of
from mlops_ci.lifecycle.smoke_test import smoke_test
from mlops_ci.records import Record


@dataclass(frozen=True)
class Deployed:
    """A deployment and its record's id; *new* is False where the same thing was running already."""

    deployment: Deployment
    record_id: str
    new: bool


def deploy(project: Project, target: str, *, version: str = "", into: Path) -> Deployed:
    """
    Deploy *version* (the newest, unless named) to *target*, by the rules of the default branch.

    Args:
        project: The checkout.
        target: A key of `targets:`.
        version: As `find_version` takes it.
        into: An empty folder for what is rendered.

    Raises:
        Refused: An earlier target has not got this version, production has no approval rule, or the
            approval is not there yet: then it has been asked for.
        ServiceError: The target did not become ready; what ran before runs again, and the failure is recorded.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project = project.ruled_by(ruling.config)
    settings = target_of(project.config, target)
    found, record = find_version(project.ledger, project.config, version)
    bundle = render(
        project,
        found,
        record.id,
        [target],
        into=into / "bundle",
        overrides=ruling.templates(into / "templates"),
        with_model=True,
    )
    plan = bundle.plans[target]
    if not bundle.targets[target].applies:
        raise UsageError(
            f"{target} is of kind {settings.kind}, which this version of mlops-ci renders and does not apply",
            hint=f"`mlops-ci render -o DIR`, then apply DIR/targets/{target} (kubectl apply -k for Kubernetes)",
        )
    history = deployments(project, target)
    previous = serving(history)
    running = _running(bundle, target, plan, previous)
    if running is not None:
        return running
    _after(project, settings, plan)
    approvals, request = _approved(project, plan, settings, ruling, history)
    return _apply(project, bundle, plan, ruling, previous, approvals=approvals, request=request)


def stop(project: Project, target: str) -> bool:
    """
    End what runs on *target*, if it was deployed from this machine, and record that; False if nothing did.

    Raises:
        NotFound: There is no such target.
        ServiceError: The ledger did not answer.
    """
    if not open_target(project.config, target).remove():
        return False
    record = current(project, target)
    if record is not None:
        stopped = records.replace(record.read(Deployment), status="stopped", previous=record.id, started=records.now())
        project.ledger.append([records.new(stopped, author=project.author)])
    return True


def _running(bundle: Bundle, target: str, plan: Plan, previous: Record | None) -> Deployed | None:
    """The deployment of this very plan, if it is the last one and still answers."""
    if previous is None or previous.body["plan_digest"] != records.digest(plan):
        return None
    status = bundle.targets[target].status()
    if status is None or status.plan_digest != records.digest(plan):
        return None
    return Deployed(previous.read(Deployment), previous.id, new=False)


def _after(project: Project, settings: TargetConfig, plan: Plan) -> None:
    if not settings.after:
        return
    before = current(project, settings.after)
    if before is None or before.read(Deployment).plan.version_record != plan.version_record:
        raise AwaitsApproval(
            f"{plan.model} {plan.version} is not live on {settings.after}, which comes before {plan.target}",
            hint=f"`mlops-ci deploy {settings.after}` first",
        )


def _approved(
    project: Project, plan: Plan, settings: TargetConfig, ruling: DefaultBranch, history: list[Record]
) -> tuple[list[str], str]:
    """The ids of the approvals and of the request, or a refusal; where nobody asked yet, ask."""
    rule = settings.approval
    if rule is None:
        if settings.production:
            raise Refused(
                f"{plan.target} is a production target, and nothing protects it",
                hint=f"add `approval: {{required: 1}}` to targets.{plan.target} in mlops.yaml on the default branch",
            )
        return [], ""
    deployer = [project.author.email, project.author.name]
    witness = witness_of(project)
    stand = approve.standing(project, plan, ruling, history, people=deployer, witness=witness)
    if stand.request is not None and stand.reached(rule.required):
        return [record.id for record in stand.counted], stand.request.id
    previous = serving(history)
    if stand.request is None:
        approve.request(
            project,
            plan,
            rule,
            people=git.unique([*deployer, *four_eyes.people_of(project, plan, previous)]),
            policy_sha=ruling.sha,
            replaces=previous.id if previous else "",
        )
    digest = records.digest(plan).removeprefix("sha256:")[:12]
    why = [f"{len(stand.counted)} of {rule.required}", *([stand.rejected] if stand.rejected else []), *stand.discounted]
    raise AwaitsApproval(
        f"{plan.model} {plan.version} on {plan.target} needs {rule.required} approval{'s'[: rule.required > 1]}"
        f" and has {'; '.join(why)}",
        hint=f"it is asked for: `mlops-ci approve {digest} --key …`, or on GitHub the comment `/approve {digest}`;"
        " then deploy again",
    )


def _apply(
    project: Project,
    bundle: Bundle,
    plan: Plan,
    ruling: DefaultBranch,
    previous: Record | None,
    *,
    approvals: list[str],
    request: str,
) -> Deployed:
    started, clock = records.now(), time.monotonic()

    def outcome(**fields: Any) -> Record:
        deployment = Deployment(
            plan=plan,
            plan_digest=records.digest(plan),
            policy_sha=ruling.sha,
            started=started,
            duration_s=round(time.monotonic() - clock, 3),
            approvals=approvals,
            request=request,
            previous=previous.id if previous else "",
            **fields,
        )
        record = records.new(deployment, author=project.author)
        project.ledger.append([record])
        return record

    smoke: list[Smoke] = []

    def verify(url: str) -> None:
        example = bundle.folder / "service" / "model" / "input_example.json"
        smoke.extend([smoke_test(url, example)] if example.is_file() else [])

    try:
        url = bundle.targets[plan.target].apply(bundle.folder, plan_digest=records.digest(plan), verify=verify)
    except UsageError:
        raise  # nothing was begun
    except MlopsCIError as error:
        outcome(status="failed", reason=str(error))
        raise
    record = outcome(status="live", url=url, smoke=smoke[0] if smoke else None)
    return Deployed(record.read(Deployment), record.id, new=True)
