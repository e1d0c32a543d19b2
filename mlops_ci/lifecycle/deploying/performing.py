"""
Perform a deployment: apply, wait, verify, try it with the model's own example, record.

What fails is recorded as such, what served before is applied again, tried, and recorded too. A command that is killed
anywhere in between leaves a target that the same command finishes.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlops_ci import records
from mlops_ci.entities import ArtifactRef, Deployment, Plan, Smoke
from mlops_ci.errors import MlopsCIError, ServiceError, UsageError
from mlops_ci.lifecycle.deploying import manifests
from mlops_ci.lifecycle.deploying.admission import Admission
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.smoke_test import smoke_test
from mlops_ci.records import Record
from mlops_ci.targets import Ask, Order, Target, Tell

_MODEL = "model/"


@dataclass(frozen=True)
class Deployed:
    """A deployment and its record's id; *new* is False where the same thing was running already."""

    deployment: Deployment
    record_id: str
    new: bool


@dataclass(frozen=True)
class Task:
    """
    A deployment that is to be performed.

    Attributes:
        order: What the target is told.
        example: The model's input example, a file that may be missing.
        kept: What was rendered for *order* in the artifact store, from which it can be deployed again.
        fields: What else the record says: `cause`, `undoes`, `reason`, `approvals`, `request`.
    """

    project: Project
    target: Target
    plan: Plan
    policy_sha: str
    order: Order
    example: Path
    kept: ArtifactRef
    tell: Tell
    previous: Record | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def admitted(admission: Admission) -> dict[str, Any]:
    """The fields of a record that say who agreed."""
    return {"approvals": admission.approvals, "request": admission.request}


def perform(task: Task, *, back_to: Task | None = None) -> Deployed:
    """
    Do it and record it; the caller holds the target's lock.

    Args:
        task: What to do.
        back_to: What to do where that fails: what served before. Without it, what was begun is taken away, unless
            something was there already: whose that is nobody recorded, and it may serve.

    Raises:
        UsageError: Nothing was begun.
        ServiceError: It did not become ready or right; the sentence says what serves now.
    """
    clock, task = _Clock(), _with_kept(task)
    found = _found(task) if back_to is None else ""
    try:
        url, smoke = _carry_out(task)
    except UsageError:
        raise
    except MlopsCIError as error:
        raise ServiceError(_told(str(error), _undo(task, back_to, found, clock, error)), hint=error.hint) from error
    record = _record(task, clock, status="live", url=url, smoke=smoke, **task.fields)
    return Deployed(record.read(Deployment), record.id, new=True)


def owner_of(project: Project) -> str:
    """Who holds a target: somebody on some machine, or a CI run."""
    who = project.author.email or project.author.name
    where = project.event.run.run_url if project.event else ""
    return f"{who} in {where}" if where else f"{who} on {platform.node() or 'this machine'} (process {os.getpid()})"


def _with_kept(task: Task) -> Task:
    """*task* with all that was rendered for it in the artifact store, before anything is begun."""
    service = task.order.service
    if service is None:
        return task
    files = {path.relative_to(service).as_posix(): path for path in sorted(service.rglob("*")) if path.is_file()}
    texts = {name: path.read_bytes().decode() for name, path in files.items() if not name.startswith(_MODEL)}
    return replace(task, kept=manifests.keep(task.project, task.order.files, texts))


def _found(task: Task) -> str:
    """What is on the target before anything is begun, or ""."""
    status = task.target.status()
    return f"{status.model} {status.version}" if status else ""


def _carry_out(task: Task) -> tuple[str, Smoke | None]:
    task.target.apply(task.order, task.tell)
    try:
        return _settled(task)
    except UsageError as error:  # by now something was begun
        raise ServiceError(str(error), hint=error.hint) from error


def _settled(task: Task) -> tuple[str, Smoke | None]:
    """Wait until what was applied is ready, and try it."""
    url = task.target.wait(task.order, task.tell)
    found: list[Smoke] = []

    def smoke(ask: Ask) -> None:
        found.extend([smoke_test(ask, url, task.example)] if task.example.is_file() else [])

    task.target.verify(task.order, smoke)
    return url, found[0] if found else None


def _undo(task: Task, back_to: Task | None, found: str, clock: _Clock, error: MlopsCIError) -> str:
    """Record that *task* failed and restore what served before; a ledger that is away does not keep that from it."""
    try:
        failed = _record(task, clock, status="failed", **{**task.fields, "reason": str(error)}).id
        unrecorded = ""
    except MlopsCIError as unwritten:
        failed, unrecorded = "", f"; that it failed is not recorded: {unwritten}"
    if found:
        left = f"{found} was there before, and nothing is recorded to serve, so nothing was taken away"
        return f"{left}; `mlops-ci deployments stop {task.plan.target}` takes all of it away{unrecorded}"
    return _go_back(task, back_to, failed) + unrecorded


def _go_back(task: Task, back_to: Task | None, failed: str) -> str:
    """Restore what served before *task*; a sentence about what serves now."""
    clock = _Clock()
    title = _title(back_to.plan) if back_to else ""
    task.tell(f"going back to {title}" if back_to else "taking away what was begun")
    try:
        task.target.rollback(back_to.order if back_to else None, task.tell)
        if back_to is None:
            return "nothing ran before, and nothing runs now"
        url, smoke = _settled(back_to)
    except MlopsCIError as error:
        where = f"{title}, which ran before, is not back either" if back_to else "and it could not be taken away"
        return f"{where}: {error}"
    fields = {**back_to.fields, "cause": "rollback", "undoes": failed, "reason": f"{_title(task.plan)} failed"}
    try:
        _record(back_to, clock, status="restored", url=url, smoke=smoke, **fields)
    except MlopsCIError as error:
        return f"{title} runs again, which is not recorded: {error}"
    return f"{title} runs again"


def _record(task: Task, clock: _Clock, **fields: Any) -> Record:
    deployment = Deployment(
        plan=task.plan,
        plan_digest=records.digest(task.plan),
        policy_sha=task.policy_sha,
        started=clock.started,
        duration_s=clock.elapsed_s,
        previous=task.previous.id if task.previous else "",
        manifests=task.kept,
        run_url=task.project.event.run.run_url if task.project.event else "",
        **fields,
    )
    record = records.new(deployment, author=task.project.author)
    task.project.ledger_of(task.plan.target).append([record])
    return record


def _told(error: str, outcome: str) -> str:
    """The *error*, whose first line may be followed by those of a log, with the *outcome* behind that line."""
    first, line_break, log = error.partition("\n")
    if not log:
        return f"{first}; {outcome}"
    return f"{first.removesuffix('; it said:')}; {outcome}; it had said:{line_break}{log}"


def _title(plan: Plan) -> str:
    return f"{plan.model} {plan.version}"


class _Clock:
    """When something began, and how long it took."""

    def __init__(self) -> None:
        self.started = records.now()
        self._from = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return round(time.monotonic() - self._from, 3)
