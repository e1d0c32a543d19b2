"""Send what waits here, take in what killed runs left, and bring the local projection up to date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_ci.lifecycle import take_in
from mlops_ci.lifecycle.project import Project

if TYPE_CHECKING:
    from mlops_ci.store import Store


@dataclass(frozen=True)
class Synchronized:
    """How many run folders were taken in, artifacts and records were sent, and records still wait."""

    taken_in: int
    artifacts_sent: int
    records_sent: int
    waiting: int


def synchronize(project: Project) -> Synchronized:
    """
    Bring this clone and the ledger's remote together; again is harmless.

    Raises:
        ServiceError: The remote did not answer; everything still waits.
    """
    taken = sum(1 for _ in take_in.leftovers(project))
    # Artifacts first: a record that others can read names only bytes that they can fetch.
    artifacts_sent = project.artifacts.sync()
    records_sent = project.ledger.sync()
    return Synchronized(taken, artifacts_sent, records_sent, project.ledger.pending())


def open_projection(project: Project) -> Store:
    """
    Return the SQL projection that answers queries: the ledger's own where it is SQL, else one made from it.

    Raises:
        ServiceError: The ledger did not answer.
    """
    from mlops_ci.store import Store  # noqa: PLC0415  # SQLAlchemy is loaded only for queries

    if project.config.store != "git":
        return Store.open(project.config.store, base=project.checkout.root)
    store = Store.open("sqlite:///store.db", base=project.checkout.state)
    store.project(project.ledger.all())
    return store
