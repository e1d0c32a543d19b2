"""
Builds the projection: what records say, as rows that queries are fast on.

The outcome depends on the set of records alone, never on the order in which they came: of several
endings of one run, and of several records of one version, the first by time and id counts; of several
changes of one thing the last. Kinds that this program does not know, and bodies that are not what their
kind promises, have no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from mlops_ci import records as recording
from mlops_ci.changes import RunState
from mlops_ci.entities import Adoption, Deployment, ExperimentChange, GateReport, ModelVersion, Run, RunChange
from mlops_ci.errors import IntegrityError
from mlops_ci.store import changes, facts, run_rows, schema
from mlops_ci.store.facts import Fact
from mlops_ci.store.run_rows import Row, Rows

# What may exist once, and the column (or columns) that say so.
_UNIQUE = {schema.runs: (schema.runs.c.run_key,), schema.versions: (schema.versions.c.model, schema.versions.c.version)}

# Statements are made once: SQLAlchemy then knows at a glance that it has compiled them before.
_INSERT = {table: sa.insert(table) for table in schema.projection.sorted_tables}
_THERE = {
    table: sa.select(table.c.record_id, table.c.recorded, *columns).where(
        columns[0].in_(sa.bindparam("page", expanding=True))
    )
    for table, columns in _UNIQUE.items()
}
_AROUND = sa.select(
    sa.select(sa.func.max(schema.runs.c.number)).scalar_subquery().label("highest"),
    sa.exists().where(schema.runs.c.run_key.in_(sa.bindparam("keys", expanding=True))).label("ended"),
    sa.exists().where(schema.run_changes.c.run_id.in_(sa.bindparam("ids", expanding=True))).label("changed"),
)


def apply(connection: sa.Connection, new: Sequence[Fact]) -> None:
    """Add what *new* records say; they must not have been added before, and nobody else may write."""
    rows: Rows = {}
    endings: list[tuple[Row, Run]] = []
    for fact in new:
        entity = _entity(fact)
        if isinstance(entity, Run):
            endings.append((run_rows.head(entity, fact), entity))
        elif entity is not None:
            for table, more in _ROWS[type(entity)](entity, {"record_id": fact.id}, fact.record.time).items():
                rows.setdefault(table, []).extend(more)
    displaced = _keep_first_endings(connection, endings, rows)
    if schema.versions in rows:
        kept, stale = _first(connection, schema.versions, rows[schema.versions])
        rows[schema.versions] = kept
        _delete(connection, schema.versions.c.record_id, stale)
    for table, table_rows in rows.items():
        if table_rows:
            connection.execute(_INSERT[table], table_rows)
    changes.apply(
        connection,
        runs={row["run_id"] for row in rows.get(schema.run_changes, [])},
        experiments={(row["project"], row["experiment"]) for row in rows.get(schema.experiment_changes, [])},
    )
    if displaced:
        changes.forget_experiments(connection)


def rebuild(connection: sa.Connection) -> None:
    """Drop the projection and build it again from the records."""
    schema.projection.drop_all(connection)
    schema.projection.create_all(connection)
    after = ("", "")
    while page := facts.page(connection, after):
        apply(connection, page)
        after = page[-1].order


def _entity(fact: Fact) -> msgspec.Struct | None:
    """What *fact* says, if it has to do with the projection."""
    kind = recording.KINDS.get(fact.record.kind)
    if kind is None or (kind is not Run and kind not in _ROWS):
        return None
    try:
        return fact.record.read(kind)
    except IntegrityError:
        return None


def _adoption(adoption: Adoption, key: Row, _time: str) -> Rows:
    return {schema.commits: [key | {"sha": adoption.sha, "run_id": adoption.run_id}]}


def _version(version: ModelVersion, key: Row, time: str) -> Rows:
    names = {"model": schema.fit(version.model), "version": schema.fit(version.version)}
    return {schema.versions: [key | names | {"recorded": time}]}


def _deployment(deployment: Deployment, key: Row, time: str) -> Rows:
    return {schema.deployments: [key | {"target": deployment.plan.target, "recorded": time}]}


def _verdict(report: GateReport, key: Row, time: str) -> Rows:
    return {schema.verdicts: [key | {"run_id": report.candidate.run_id, "recorded": time}]}


def _run_change(change: RunChange, key: Row, _time: str) -> Rows:
    return {schema.run_changes: [key | {"run_id": change.run_id}]}


def _experiment_change(change: ExperimentChange, key: Row, _time: str) -> Rows:
    return {schema.experiment_changes: [key | {"project": change.project, "experiment": change.experiment}]}


_ROWS: dict[type[msgspec.Struct], Callable[[Any, Row, str], Rows]] = {
    Adoption: _adoption,
    ModelVersion: _version,
    Deployment: _deployment,
    GateReport: _verdict,
    RunChange: _run_change,
    ExperimentChange: _experiment_change,
}


_UNCHANGED = RunState()


def _keep_first_endings(connection: sa.Connection, endings: Sequence[tuple[Row, Run]], rows: Rows) -> bool:
    """Add to *rows* those of the runs whose first ending is among *endings*; return whether others had to go."""
    if not endings:
        return False
    highest, ended, changed = _around(connection, endings)
    kept, stale = _first(connection, schema.runs, [head for head, _ in endings], look=ended)
    _delete_runs(connection, stale)
    if not kept:
        return False
    names = {head["record_id"] for head in kept}
    first = [(head, run) for head, run in endings if head["record_id"] in names]
    of_experiment = changes.experiments(connection, {(run.project, run.experiment) for _, run in first})
    states = changes.states_of(connection, {run.run_id for _, run in first} if changed else ())
    for number, (head, run) in enumerate(first, highest + 1):
        experiment = of_experiment[run.project, run.experiment]
        for table, more in run_rows.of(run, head, number, experiment, states.get(run.run_id, _UNCHANGED)).items():
            rows.setdefault(table, []).extend(more)
    return bool(stale)


def _around(connection: sa.Connection, endings: Sequence[tuple[Row, Run]]) -> tuple[int, bool, bool]:
    """The highest number of a run, whether one of the *endings* is not the only one, and whether one was changed."""
    highest, ended, changed = 0, False, False
    for start in range(0, len(endings), facts.PAGE // 2):
        some = endings[start : start + facts.PAGE // 2]
        asked = {"keys": [head["run_key"] for head, _ in some], "ids": [run.run_id for _, run in some]}
        found = connection.execute(_AROUND, asked).one()
        highest, ended, changed = found.highest or 0, ended or bool(found.ended), changed or bool(found.changed)
    return highest, ended, changed


def _first(
    connection: sa.Connection, table: sa.Table, new: Iterable[Row], *, look: bool = True
) -> tuple[list[Row], list[str]]:
    """
    Of *new* rows those that are the first to say what they say, and which rows that are there must go for them.

    Unless *look*, none that is there says the same.
    """
    names = [column.name for column in _UNIQUE[table]]
    first: dict[tuple[str, ...], Row] = {}
    for row in new:
        same = tuple(row[name] for name in names)
        first[same] = min(row, first.get(same, row), key=_order)
    stale = []
    for there in _there(connection, table, first) if look else ():
        same = tuple(there[name] for name in names)
        if _order(there) < _order(first[same]):
            del first[same]
        else:
            stale.append(there["record_id"])
    return list(first.values()), stale


def _there(connection: sa.Connection, table: sa.Table, wanted: Iterable[tuple[str, ...]]) -> list[Row]:
    """The rows of *table* that stand for the same thing as one of *wanted*."""
    found: list[Row] = []
    columns = _UNIQUE[table]
    known = set(wanted)
    for page in facts.pages(dict.fromkeys(values[0] for values in known)):
        rows = connection.execute(_THERE[table], {"page": page}).mappings()
        found += [dict(row) for row in rows if tuple(row[column.name] for column in columns) in known]
    return found


def _delete_runs(connection: sa.Connection, record_ids: list[str]) -> None:
    for page in facts.pages(record_ids):
        numbers = list(connection.scalars(sa.select(schema.runs.c.number).where(schema.runs.c.record_id.in_(page))))
        for table in (schema.params, schema.metrics, schema.tags):
            connection.execute(sa.delete(table).where(table.c.run.in_(numbers)))
    for table in (schema.commits, schema.runs):
        _delete(connection, table.c.record_id, record_ids)


def _delete(connection: sa.Connection, column: sa.Column[str], values: list[str]) -> None:
    for page in facts.pages(values):
        connection.execute(sa.delete(column.table).where(column.in_(page)))


def _order(row: Row) -> tuple[str, str]:
    return row["recorded"], row["record_id"]
