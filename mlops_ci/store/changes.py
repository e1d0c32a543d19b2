"""
What was changed of runs and experiments after they were recorded, kept in the projection's rows.

Whichever of run and change came first, the outcome is the same: the rows only say where the changes are, and
what they say is read from their records each time, which are few (`mlops_ci.changes`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa

from mlops_ci import changes
from mlops_ci.changes import RunState
from mlops_ci.entities import Run
from mlops_ci.store import facts, run_rows, schema

Identity = tuple[str, str]
"""The project and the name that an experiment's runs were recorded with."""


def states_of(connection: sa.Connection, run_ids: Iterable[str]) -> dict[str, RunState]:
    """What was changed of those of the runs with these ids that were."""
    ids: list[str] = []
    for page in facts.pages(run_ids):
        ids += connection.scalars(_CHANGES, {"page": page})
    return changes.of_runs(fact.record for fact in facts.load(connection, ids))


def experiments(connection: sa.Connection, identities: Collection[Identity]) -> dict[Identity, int]:
    """The numbers of these experiments; those that are new get one."""
    table = schema.experiments
    fitting = {(project, name): (schema.fit(project), schema.fit(name)) for project, name in identities}
    known: dict[Identity, int] = {}
    for page in facts.pages({experiment for _, experiment in fitting.values()}):
        rows = connection.execute(_EXPERIMENTS, {"page": page})
        known |= {(row.project, row.experiment): row.number for row in rows}
    if new := sorted(set(fitting.values()) - known.keys()):
        highest = connection.scalar(sa.select(sa.func.max(table.c.number))) or 0
        numbers = {identity: number for number, identity in enumerate(new, highest + 1)}
        first = [
            {"number": number, "project": project, "experiment": experiment, "name": experiment} | _AS_RECORDED
            for (project, experiment), number in numbers.items()
        ]
        connection.execute(sa.insert(table), first)
        known |= numbers
    return {identity: known[fitted] for identity, fitted in fitting.items()}


def forget_experiments(connection: sa.Connection) -> None:
    """Delete those that have no run, and were never changed: the only one turned out to be another's second ending."""
    table, change = schema.experiments, schema.experiment_changes
    connection.execute(
        sa.delete(table).where(
            ~sa.exists().where(schema.runs.c.experiment == table.c.number),
            ~sa.exists().where(change.c.project == table.c.project, change.c.experiment == table.c.experiment),
        )
    )


def apply(connection: sa.Connection, *, runs: Collection[str], experiments: Collection[Identity]) -> None:
    """Bring the rows of runs (by id) and experiments up to date, of which new changes came."""
    if runs:
        states = states_of(connection, runs)
        for run_id in sorted(runs):
            _change_run(connection, run_id, states.get(run_id, RunState()))
    for identity in sorted(experiments):
        _change_experiment(connection, identity)


def _change_run(connection: sa.Connection, run_id: str, state: RunState) -> None:
    table = schema.runs
    rows = {
        row.record_id: row.number
        for row in connection.execute(sa.select(table.c.record_id, table.c.number).where(table.c.run_id == run_id))
    }
    for fact in facts.load(connection, rows):
        number = rows[fact.id]
        connection.execute(sa.update(table).where(table.c.number == number).values(**run_rows.changed(state)))
        connection.execute(sa.delete(schema.tags).where(schema.tags.c.run == number))
        if tags := run_rows.tag_rows(number, state.tagged(fact.record.read(Run).tags)):
            connection.execute(sa.insert(schema.tags), tags)


def _change_experiment(connection: sa.Connection, identity: Identity) -> None:
    number = experiments(connection, [identity])[identity]
    table = schema.experiment_changes
    same = (table.c.project == identity[0], table.c.experiment == identity[1])
    found = facts.load(connection, connection.scalars(sa.select(table.c.record_id).where(*same)))
    state = changes.of_experiments((fact.record for fact in found), identity[0])[identity[1]]
    now = {"name": state.name, "archived": state.archived, "deleted": state.deleted is not None}
    connection.execute(sa.update(schema.experiments).where(schema.experiments.c.number == number).values(**now))


_AS_RECORDED = {"archived": False, "deleted": False}
_PAGE: sa.BindParameter[Any] = sa.bindparam("page", expanding=True)
_EXPERIMENTS = sa.select(schema.experiments).where(schema.experiments.c.experiment.in_(_PAGE))
_CHANGES = sa.select(schema.run_changes.c.record_id).where(schema.run_changes.c.run_id.in_(_PAGE))
