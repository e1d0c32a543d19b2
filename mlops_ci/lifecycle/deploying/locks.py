"""
Locks that people put on a target: nobody else changes it until they are lifted or expire.

They are records, and so tell for good who held what and why. What keeps two commands from changing a target at the same
moment is the target's own lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from mlops_ci import records
from mlops_ci.entities import TargetLock
from mlops_ci.errors import IntegrityError, NotFound, Refused
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import target_of
from mlops_ci.records import Record

_KIND = "target-lock"


@dataclass(frozen=True)
class Held:
    """A lock that holds. *owner* is its author."""

    record: Record
    lock: TargetLock

    @property
    def owner(self) -> str:
        """Who put it there."""
        return self.record.author.name or self.record.author.email


def lock(project: Project, target: str, *, reason: str, for_s: float) -> Held:
    """
    Lock *target* for *for_s* seconds; one's own lock is prolonged or shortened.

    Raises:
        NotFound: The default branch has no such target.
        Refused: Somebody else has locked it.
    """
    project = policy.ruled(project)
    target_of(project.config, target)
    demand_free(project, target)
    expires = records.timestamp(records.moment(records.now()) + timedelta(seconds=for_s))
    made = TargetLock(target=target, reason=reason, expires=expires)
    record = records.new(made, author=project.author)
    project.ledger_of(target).append([record])
    return Held(record, made)


def unlock(project: Project, target: str, *, reason: str = "") -> Held:
    """
    Lift the lock of *target*, whoever's it is, and return it; the record says who lifted it.

    Raises:
        NotFound: The default branch has no such target, or no lock holds.
    """
    project = policy.ruled(project)
    target_of(project.config, target)
    held = holding(project, target)
    if held is None:
        raise NotFound(f"{target} is not locked", hint="`mlops-ci deployments locks` lists what is")
    lifted = TargetLock(target=target, reason=reason, lifted=True)
    project.ledger_of(target).append([records.new(lifted, author=project.author)])
    return held


def holding(project: Project, target: str) -> Held | None:
    """The lock that holds *target* now. Raises `ServiceError` if the ledger did not answer."""
    last = None
    for record in project.ledger_of(target).find(f"target/{target}"):
        if record.kind == _KIND:
            try:
                last = Held(record, record.read(TargetLock))
            except IntegrityError:
                continue
    if last is None or last.lock.lifted:
        return None
    try:
        return last if records.moment(records.now()) < records.moment(last.lock.expires) else None
    except (TypeError, ValueError):
        return None


def demand_free(project: Project, target: str) -> None:
    """Raise `Refused` if somebody else has locked *target*."""
    held = holding(project, target)
    if held is None or held.record.author == project.author:
        return
    raise Refused(
        f"{held.owner} has locked {target} until {held.lock.expires[:16].replace('T', ' ')} UTC: {held.lock.reason}",
        hint=f"wait, ask {held.owner}, or `mlops-ci deployments unlock {target}`, which is recorded",
    )
