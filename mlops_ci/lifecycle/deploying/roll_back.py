"""
Roll back: deploy again what served a target before, by its own recorded manifests.

Who agreed to it is looked up, so nobody is asked again, and a freeze does not hold it up: this is for emergencies. Who
did it and why is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlops_ci import digests, records
from mlops_ci.errors import IntegrityError, MlopsCIError, NotFound, Refused
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals.four_eyes import version_of
from mlops_ci.lifecycle.deploying import locks, restoring
from mlops_ci.lifecycle.deploying.manifests import Kept
from mlops_ci.lifecycle.deploying.performing import Deployed, Task, owner_of, perform
from mlops_ci.lifecycle.deploying.planning import same_rules
from mlops_ci.lifecycle.deployments import deployments, serving
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import fetch_model, open_target, target_of
from mlops_ci.records import Record
from mlops_ci.targets import Target, Tell, nothing_to_say

_TRIED = 100


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
        Refused: Somebody else has locked the target, what was kept is not what its digest says, or the rules changed
            while the target was waited for.
        ServiceError: It did not become ready; what ran before runs again, and both are recorded.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project = project.ruled_by(ruling.config)
    target_of(project.config, target)
    found = open_target(project.config, target)
    locks.demand_free(project, target)
    with found.lock(owner_of(project)):
        ruling = same_rules(project, ruling)
        locks.demand_free(project, target)
        history = deployments(project, target)
        now = serving(history)
        candidates = _named(history, target, to) if to else _before(history, now, found, target)
        chosen, kept = _trusted(project, found, candidates, tell)
        task = restoring.task_with(project, found, chosen, kept.files, into / "back", tell)
        fields = {**task.fields, "cause": "rollback", "undoes": now.id if now else "", "reason": reason}
        task = replace(task, policy_sha=ruling.sha, previous=now, fields=fields)
        task = task if found.needs_image else _with_service(task, kept, into / "service")
        return perform(task, back_to=restoring.task_of(project, found, now, into / "forth", tell))


def _trusted(project: Project, found: Target, candidates: Sequence[Record], tell: Tell) -> tuple[Record, Kept]:
    """
    The first of *candidates* that somebody vouches for: a record that anybody pushed must not hold up an emergency.

    Raises:
        NotFound, Refused: As `restoring.trusted` for the first of them, where nobody vouches for any.
    """
    refusals: list[MlopsCIError] = []
    for record in candidates[:_TRIED]:
        try:
            return record, restoring.trusted(project, found, record)
        except (NotFound, Refused) as error:
            tell(f"passed over: {error}")
            refusals.append(error)
    raise refusals[0]


def _named(history: Sequence[Record], target: str, version: str) -> list[Record]:
    """The deployments of *version* that were live, the last one first."""
    wanted = version.rpartition("@")[2].removeprefix("v")
    live = [record for record in history if record.body["status"] == "live"]
    found = [record for record in live if record.body["plan"]["version"] == wanted]
    if not found:
        versions = dict.fromkeys(str(record.body["plan"]["version"]) for record in reversed(live))
        had = f"it has had {', '.join(list(versions)[:5])}" if versions else "nothing ever was"
        raise NotFound(f"{version!r} was never live on {target}", hint=had)
    return found[::-1]


def _before(history: Sequence[Record], now: Record | None, found: Target, target: str) -> list[Record]:
    """What to go back to, best first: what is recorded, where something else runs; then the other versions."""
    version = now.body["plan"]["version_record"] if now else ""
    others = [
        record
        for record in reversed(history)
        if record.body["status"] == "live" and record.body["plan"]["version_record"] != version
    ]
    if now is not None and not restoring.runs(found, now):
        return [now, *others]
    if not others:
        raise NotFound(f"nothing else was live on {target} before", hint="`mlops-ci deployments` lists what was")
    return others


def _with_service(task: Task, kept: Kept, folder: Path) -> Task:
    """*task* with the service's folder as it was, and the model, for a target that runs them from files."""
    version = version_of(task.project, task.plan)
    if version is None:
        raise NotFound(f"the record of {task.plan.model} {task.plan.version} is not in the ledger any more")
    model = version.artifact
    if {model.digest, digests.of_tree(model.files)} != {task.plan.model_digest}:
        raise IntegrityError(f"the model of {task.plan.model} {task.plan.version} is not the one that was planned")
    kept.write_service(folder)
    fetch_model(task.project, version, folder / "model")
    return replace(task, order=records.replace(task.order, service=folder))
