"""What was deployed where, by the ledger: the history of a target, and what serves it."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_ci.entities import Deployment
from mlops_ci.errors import IntegrityError
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record


def deployments(project: Project, target: str) -> list[Record]:
    """
    The deployments to *target*, oldest first; a record that is none by its body is passed over.

    Raises:
        ServiceError: The ledger did not answer.
    """
    return deployments_among(project.ledger.find(f"target/{target}"))


def deployments_among(found: Sequence[Record]) -> list[Record]:
    """Those of *found* that are deployments and can be read as such."""
    return [record for record in found if record.kind == "deployment" and _is_readable(record)]


def serving(history: Sequence[Record]) -> Record | None:
    """What serves a target with this *history*: a deployment that failed changes nothing, a stop ends it."""
    ended = [record for record in history if record.body["status"] != "failed"]
    return ended[-1] if ended and ended[-1].body["status"] == "live" else None


def current(project: Project, target: str) -> Record | None:
    """The deployment that serves *target* according to the ledger; None before the first, and after a stop."""
    return serving(deployments(project, target))


def _is_readable(record: Record) -> bool:
    try:
        record.read(Deployment)
    except IntegrityError:
        return False
    return True
