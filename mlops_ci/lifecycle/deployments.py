"""What was deployed where, by the ledger: the history of a target, and what serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops_ci import providers, records
from mlops_ci.entities import Deployment
from mlops_ci.errors import IntegrityError, NotFound
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record

CHANGES = frozenset({"live", "stopped"})
"""The outcomes of a deployment after which something else serves than before."""

_AHEAD = timedelta(minutes=5)


def deployments(project: Project, target: str) -> list[Record]:
    """
    The deployments to *target*, oldest first; a record that is none by its body is passed over.

    Raises:
        ServiceError: The ledger did not answer.
    """
    return deployments_among(project.ledger_of(target).find(f"target/{target}"))


def deployments_among(found: Sequence[Record]) -> list[Record]:
    """Those of *found* that are deployments and can be read as such."""
    return [record for record in found if record.kind == "deployment" and _is_readable(record)]


def serving(history: Sequence[Record]) -> Record | None:
    """
    What serves a target with this *history*, oldest first.

    A deployment that failed changes nothing, and what was restored after it is what served before; a stop ends it. A
    record of a future that no clock is wrong enough for is passed over, or it would serve until then.
    """
    latest = records.moment(records.now()) + _AHEAD
    ended = [record for record in history if record.body["status"] in CHANGES and records.moment(record.time) <= latest]
    return ended[-1] if ended and ended[-1].body["status"] == "live" else None


def current(project: Project, target: str) -> Record | None:
    """The deployment that serves *target* according to the ledger; None before the first, and after a stop."""
    return serving(deployments(project, target))


@dataclass(frozen=True)
class Past:
    """A deployment, and whether it serves (or served, at the moment that was asked for)."""

    record: Record
    deployment: Deployment
    serving: bool


def past(project: Project, targets: Sequence[str] = (), *, at: datetime | None = None) -> list[Past]:
    """
    The deployments to *targets* (all, unless named), newest first.

    Args:
        project: The checkout.
        targets: Keys of `targets:`. Unless named, those are left out whose store is out of reach
            (see `Project.out_of_reach`).
        at: Only what served at that moment; one for each target at most.

    Raises:
        NotFound: There is no such target.
        ServiceError: The ledger did not answer.
    """
    found: list[Past] = []
    for target in targets or project.within_reach:
        if target not in project.config.targets:
            hint = providers.suggestion(target, list(project.config.targets))
            raise NotFound(f"there is no target {target!r}", hint=hint)
        history = deployments(project, target)
        known = [record for record in history if at is None or records.moment(record.time) <= at]
        now = serving(known)
        shown = known if at is None else [record for record in known if record is now]
        found += [Past(record, record.read(Deployment), record is now) for record in shown]
    return sorted(found, key=lambda one: one.record.time, reverse=True)


def version_on(project: Project, target: str) -> str:
    """
    The version that is live on *target*.

    Raises:
        NotFound: There is no such target, or nothing is live there.
        ServiceError: The ledger did not answer.
    """
    live = [one for one in past(project, [target]) if one.serving]
    if not live:
        raise NotFound(f"nothing is live on {target}", hint=f"`mlops-ci deploy {target}` first")
    return live[0].deployment.plan.version


def _is_readable(record: Record) -> bool:
    try:
        record.read(Deployment)
    except IntegrityError:
        return False
    return True
