"""Compare what targets run with what is recorded: changed by hand, half deployed, gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlops_ci.entities import Deployment
from mlops_ci.errors import MlopsCIError
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.deploying import manifests
from mlops_ci.lifecycle.deployments import current
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import open_target
from mlops_ci.records import Record
from mlops_ci.targets import Change, Status

State = Literal["same", "changed", "gone", "not ready", "other", "unknown", "empty"]


@dataclass(frozen=True)
class Comparison:
    """
    A target beside its record.

    Attributes:
        state: "same"; "changed": somebody else changed what we had deployed; "gone": nothing runs; "not ready": what is
            recorded runs, and does not answer; "other": another plan than the one that is recorded, as after a command
            that was killed; "unknown": nobody could look; "empty": nothing is recorded, and nothing runs.
        why: In a sentence.
        changes: What deploying the record again would do.
    """

    target: str
    state: State
    why: str
    record: Record | None = None
    changes: Sequence[Change] = ()


def compare(project: Project, targets: Sequence[str] = ()) -> list[Comparison]:
    """
    Look at *targets* of the default branch (all, unless named), changing nothing.

    Raises:
        NotFound: There is no such target.
        ServiceError: The remote did not answer.
        UsageError: The default branch has no configuration.
    """
    project = policy.ruled(project)
    return [_compared(project, name) for name in targets or project.config.targets]


def _compared(project: Project, target: str) -> Comparison:
    found, record = open_target(project.config, target), None
    try:
        record = current(project, target)
        status = found.status()
        if record is None:
            return _unrecorded(target, status)
        files = manifests.fetch(project, record)
        changes = [change for change in found.plan(files) if change.action != "same"]
    except MlopsCIError as error:
        return Comparison(target, "unknown", str(error), record)
    state, why = _judged(record.read(Deployment), status, changes)
    return Comparison(target, state, why, record, changes)


def _unrecorded(target: str, status: Status | None) -> Comparison:
    if status is None:
        return Comparison(target, "empty", "nothing is deployed")
    return Comparison(target, "other", f"{status.model} {status.version} runs, and no record says so")


def _judged(recorded: Deployment, status: Status | None, changes: Sequence[Change]) -> tuple[State, str]:
    title = f"{recorded.plan.model} {recorded.plan.version}"
    if status is None:
        return "gone", f"{title} is recorded, and nothing runs"
    if status.plan_digest != recorded.plan_digest:
        runs = f"{status.model} {status.version}"
        return "other", f"{title} is recorded, and {runs if runs != title else 'another plan of it'} runs"
    if changes:
        what = ", ".join(change.what for change in changes[:3]) + (" and more" if len(changes) > 3 else "")
        return "changed", f"{title} runs, and somebody changed {what}"
    if not status.ready:
        return "not ready", f"{title} runs and is not ready"
    return "same", f"{title} runs as it was deployed"
