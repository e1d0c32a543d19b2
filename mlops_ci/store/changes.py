"""
What was changed of runs and experiments after they were recorded, as the projection sees it.

Of each thing the latest change by time and record id counts, whichever of run and change came first. The
rows only say where the changes are: what they say is read from their records each time, which are few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa

from mlops_ci.entities import ExperimentChange, Run, RunChange
from mlops_ci.store import facts, run_rows, schema
from mlops_ci.store.facts import Fact
from mlops_ci.store.run_rows import RunState

Identity = tuple[str, str]
"""The project and the name that an experiment's runs were recorded with."""


def states_of(connection: sa.Connection, run_ids: Iterable[str]) -> defaultdict[str, RunState]:
    """What was changed of the runs with these ids."""
    states: defaultdict[str, RunState] = defaultdict(RunState)
    ids: list[str] = []
    for page in facts.pages(run_ids):
        ids += connection.scalars(_CHANGES, {"page": page})
    for fact in _in_order(connection, ids):
        change = fact.record.read(RunChange)
        state = states[change.run_id]
        state.tags.update(change.tags)
        state.deleted = state.deleted if change.deleted is None else change.deleted
        state.note = state.note if change.note is None else change.note
    return states


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
            _change_run(connection, run_id, states[run_id])
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
        changed = sa.update(table).where(table.c.number == number)
        connection.execute(changed.values(deleted=state.deleted, note=state.note or None))
        connection.execute(sa.delete(schema.tags).where(schema.tags.c.run == number))
        if tags := run_rows.tag_rows(number, state.tagged(fact.record.read(Run).tags)):
            connection.execute(sa.insert(schema.tags), tags)


def _change_experiment(connection: sa.Connection, identity: Identity) -> None:
    number = experiments(connection, [identity])[identity]
    table = schema.experiment_changes
    same = (table.c.project == identity[0], table.c.experiment == identity[1])
    state: dict[str, Any] = _AS_RECORDED | {"name": identity[1]}
    for fact in _in_order(connection, connection.scalars(sa.select(table.c.record_id).where(*same))):
        change = fact.record.read(ExperimentChange)
        given = {name: getattr(change, name) for name in ("name", "archived", "deleted")}
        state |= {name: value for name, value in given.items() if value is not None}
    connection.execute(sa.update(schema.experiments).where(schema.experiments.c.number == number).values(**state))


def _in_order(connection: sa.Connection, record_ids: Iterable[str]) -> list[Fact]:
    return sorted(facts.load(connection, list(record_ids)), key=lambda fact: fact.order)


_AS_RECORDED = {"archived": False, "deleted": False}
_PAGE: sa.BindParameter[Any] = sa.bindparam("page", expanding=True)
_EXPERIMENTS = sa.select(schema.experiments).where(schema.experiments.c.experiment.in_(_PAGE))
_CHANGES = sa.select(schema.run_changes.c.record_id).where(schema.run_changes.c.run_id.in_(_PAGE))
