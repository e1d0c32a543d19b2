"""Which experiments a name stands for, by the changes that the ledger has of them."""

from __future__ import annotations

from collections.abc import Iterable

from mlops_ci import changes, records
from mlops_ci.changes import ExperimentState
from mlops_ci.entities import ExperimentChange
from mlops_ci.ledger import Ledger
from mlops_ci.records import Record


def around(
    ledger: Ledger, project: str, name: str, found: Iterable[Record] | None = None
) -> dict[str, ExperimentState]:
    """
    Return every experiment that is, or was, called *name*, or has to do with one that is; by identity.

    Args:
        ledger: Where the changes are.
        project: Whose experiments.
        name: What the configuration, or a person, calls one.
        found: What the ledger has under `experiment_key(project, name)`, where that was asked already. Then an
            experiment that was never changed costs no other look-up.

    Raises:
        ServiceError: The ledger did not answer.
    """
    asked = {name}
    known = {record.id: record for record in found} if found is not None else {}
    names = asked if found is None else _named(known.values(), project) - asked
    while names:
        asked |= names
        known |= {r.id: r for r in ledger.find(*(records.experiment_key(project, each) for each in sorted(names)))}
        names = _named(known.values(), project) - asked
    states = changes.of_experiments(known.values(), project)
    return {identity: states.get(identity, ExperimentState(identity, identity)) for identity in sorted(asked)}


def _named(found: Iterable[Record], project: str) -> set[str]:
    changes = [record.read(ExperimentChange) for record in found if record.kind == "experiment-change"]
    return {
        name
        for change in changes
        if change.project == project
        for name in (change.experiment, change.name)
        if name is not None
    }
