"""Send what waits here, take in what killed runs left, and bring the local projection up to date."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_ci.errors import IntegrityError, MlopsCIError, ServiceError
from mlops_ci.ledger import Ledger
from mlops_ci.lifecycle import take_in
from mlops_ci.lifecycle.project import Project

if TYPE_CHECKING:
    from mlops_ci.store import Store

_PROJECTION = "store.db"
_MANY_RECORDS = 500  # with refs of their own, before a push to a branch folds them


@dataclass(frozen=True)
class Synchronized:
    """
    What was done: run folders taken in, artifacts and records sent, records that still wait, records folded.

    *foldable* records are still refs of their own; it is None unless folding was asked for.
    """

    taken_in: int
    artifacts_sent: int
    records_sent: int
    waiting: int
    folded: int = 0
    foldable: int | None = None


def synchronize(project: Project, *, fold: bool = False) -> Synchronized:
    """
    Bring this clone and the ledger's remote together; again is harmless.

    Args:
        project: Whose ledger and artifacts.
        fold: Whether to pack old records more tightly, as many as one push takes.

    Raises:
        ServiceError: The remote did not answer; everything still waits.
    """
    taken = sum(1 for _ in take_in.leftovers(project))
    # Artifacts first: a record that others can read names only bytes that they can fetch.
    artifacts_sent = project.artifacts.sync()
    records_sent = project.ledger.sync()
    folded, foldable = project.ledger.fold() if fold else (0, None)
    return Synchronized(taken, artifacts_sent, records_sent, project.ledger.pending(), folded, foldable)


def open_projection(project: Project, *, up_to_date: bool = False) -> Store:
    """
    Return the SQL projection that answers queries: the ledger's own where it is SQL, else one made from it.

    If the remote of a git ledger does not answer, it holds what is known here, and a `StoreWarning` says so.

    Args:
        project: Whose ledger.
        up_to_date: Refuse what is known here alone, as whoever changes something must.

    Raises:
        ServiceError: The database, or a remote that has to, did not answer.
        IntegrityError: Records that were here before are gone from the ledger.
    """
    from mlops_ci.store import Store, StoreWarning  # noqa: PLC0415  # SQLAlchemy is loaded only for queries

    if project.store_address != "git":
        return Store.open(project.store_address, base=project.checkout.root)
    store = Store.open(f"sqlite:///{_PROJECTION}", base=project.checkout.state)
    try:
        _take_in(store, project.ledger, None if up_to_date else StoreWarning)
    except IntegrityError as error:
        store.close()
        place = project.checkout.state / _PROJECTION
        raise IntegrityError(str(error), hint=f"{error.hint}; to go on with what is there, delete {place}") from error
    except BaseException:
        store.close()
        raise
    return store


def forget_projection(project: Project) -> None:
    """Let the next query build this clone's projection from what the ledger has then."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        (project.checkout.state / f"{_PROJECTION}{suffix}").unlink(missing_ok=True)


def _take_in(store: Store, ledger: Ledger, warning: type[Warning] | None) -> None:
    try:
        store.take_in(ledger.unseen)
    except ServiceError as error:
        if warning is None:
            raise
        store.project(ledger.waiting())
        warnings.warn(f"{error}; what follows is what is known here", warning, stacklevel=2)


def fold_quietly(project: Project, notify: Callable[[str], None]) -> None:
    """Keep the ledger small, now and then, where a job may write to it anyway."""
    try:
        folded, _ = project.ledger.fold(at_least=_MANY_RECORDS)
    except MlopsCIError as error:
        notify(f"old records were not folded: {error}; a later push tries again")
    else:
        if folded:
            notify(f"folded {folded} records into refs/mlops/ledger")
