"""
Roll back: deploy again what served a target before, by its own recorded manifests.

It was agreed to when it was deployed, so nobody is asked again, and a freeze does not hold it up: this is for
emergencies. Who did it and why is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlops_ci import records
from mlops_ci.entities import Deployment
from mlops_ci.errors import MlopsCIError, NotFound
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals.four_eyes import version_of
from mlops_ci.lifecycle.deploying import locks, restoring
from mlops_ci.lifecycle.deploying.performing import Deployed, Task, owner_of, perform
from mlops_ci.lifecycle.deployments import deployments, serving
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import open_target, render, target_of
from mlops_ci.records import Record
from mlops_ci.targets import Target, Tell, nothing_to_say


def roll_back(
    project: Project, target: str, *, to: str = "", reason: str = "", into: Path, tell: Tell = nothing_to_say
) -> Deployed:
    """
    Deploy to *target* again what served it before.

    Args:
        project: The checkout.
        target: A key of `targets:` on the default branch.
        to: The version that served it once; unless named, the last other one. Where the target does not run what is
            recorded, as after a command that was killed, it is what is recorded.
        reason: Why, for the record.
        into: An empty folder.
        tell: Told what is going on.

    Raises:
        NotFound: There is no such target, or nothing to go back to.
        Refused: Somebody else has locked the target, or what was kept is not what its digest says.
        ServiceError: It did not become ready; what ran before runs again, and both are recorded.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project = project.ruled_by(ruling.config)
    target_of(project.config, target)
    found = open_target(project.config, target)
    locks.demand_free(project, target)
    with found.lock(owner_of(project)):
        history = deployments(project, target)
        now = serving(history)
        chosen = _named(history, target, to) if to else _before(history, now, found, target)
        task = restoring.task_of(project, found, chosen, into / "back", tell)
        if task is None:  # pragma: no cover  # *chosen* is never None
            raise NotFound(f"nothing was deployed to {target} before")
        fields = {**task.fields, "cause": "rollback", "undoes": now.id if now else "", "reason": reason}
        task = replace(task, policy_sha=ruling.sha, previous=now, fields=fields)
        task = task if found.needs_image else _with_service(task, chosen, into)
        return perform(task, back_to=restoring.task_of(project, found, now, into / "forth", tell))


def _named(history: Sequence[Record], target: str, version: str) -> Record:
    """The last deployment of *version* that was live."""
    wanted = version.rpartition("@")[2].removeprefix("v")
    live = [record for record in history if record.body["status"] == "live"]
    found = [record for record in live if record.body["plan"]["version"] == wanted]
    if not found:
        versions = dict.fromkeys(str(record.body["plan"]["version"]) for record in reversed(live))
        had = f"it has had {', '.join(list(versions)[:5])}" if versions else "nothing ever was"
        raise NotFound(f"{version!r} was never live on {target}", hint=had)
    return found[-1]


def _before(history: Sequence[Record], now: Record | None, found: Target, target: str) -> Record:
    """What to go back to: what is recorded, where something else runs; else the last other version."""
    if now is not None and not _runs(found, now):
        return now
    version = now.body["plan"]["version_record"] if now else ""
    others = [
        record
        for record in history
        if record.body["status"] == "live" and record.body["plan"]["version_record"] != version
    ]
    if not others:
        raise NotFound(f"nothing else was live on {target} before", hint="`mlops-ci deployments` lists what was")
    return others[-1]


def _runs(found: Target, now: Record) -> bool:
    try:
        status = found.status()
    except MlopsCIError:
        return False
    return status is not None and status.plan_digest == now.body["plan_digest"]


def _with_service(task: Task, chosen: Record, into: Path) -> Task:
    """*task* with the service's folder and the model, for a target that runs them from files."""
    plan = chosen.read(Deployment).plan
    version = version_of(task.project, plan)
    if version is None:
        raise NotFound(f"the record of {plan.model} {plan.version} is not in the ledger any more")
    bundle = render(
        task.project, version, plan.version_record, [], into=into / "service", overrides=None, with_model=True
    )
    return replace(task, order=records.replace(task.order, service=bundle.folder / "service"))
