"""
Builds the projection: what records say, as rows that queries are fast on.

The outcome depends on the set of records alone, never on the order in which they came: of several
endings of one run, and of several records of one version, the first by time and id counts. Kinds that
this program does not know, and bodies that are not what their kind promises, have no rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from mlops_ci import records as recording
from mlops_ci.entities import Adoption, Deployment, GateReport, ModelVersion, Run
from mlops_ci.errors import IntegrityError
from mlops_ci.store import facts, schema
from mlops_ci.store.facts import Fact

Row = dict[str, Any]
Rows = dict[sa.Table, list[Row]]

# What may exist once, and the column (or columns) that say so.
_UNIQUE = {schema.runs: (schema.runs.c.run_key,), schema.versions: (schema.versions.c.model, schema.versions.c.version)}
_OF_A_RUN = (schema.runs, schema.params, schema.metrics, schema.commits)


def apply(connection: sa.Connection, new: Sequence[Fact]) -> None:
    """Add what *new* records say; they must not have been added before."""
    rows: Rows = {}
    for fact in new:
        for table, more in rows_of(fact).items():
            rows.setdefault(table, []).extend(more)
    for table in _UNIQUE:
        if table in rows:
            _keep_first(connection, table, rows)
    for table, table_rows in rows.items():
        if table_rows:
            connection.execute(sa.insert(table), table_rows)


def rebuild(connection: sa.Connection) -> None:
    """Drop the projection and build it again from the records."""
    schema.projection.drop_all(connection)
    schema.projection.create_all(connection)
    after = ("", "")
    while page := facts.page(connection, after):
        apply(connection, page)
        after = page[-1].order


def rows_of(fact: Fact) -> Rows:
    """The rows that *fact* stands for, were it alone."""
    kind = recording.KINDS.get(fact.record.kind)
    build = _ROWS.get(kind) if kind else None
    if not (kind and build):
        return {}
    try:
        entity = fact.record.read(kind)
    except IntegrityError:
        return {}
    return build(entity, {"record_id": fact.id}, fact.record.time)


def _run(run: Run, key: Row, time: str) -> Rows:
    shas = [sha for sha in dict.fromkeys((run.git.trained_sha, run.git.head_sha)) if sha]
    head = {name: getattr(run, name) for name in ("run_key", "run_id", "project", "experiment", "status", "started")}
    return {
        schema.runs: [key | head | {"branch": run.git.branch, "duration_s": _finite(run.duration_s), "recorded": time}],
        schema.params: [
            key | {"name": name, "value": recording.canonical(value).decode()} for name, value in run.params.items()
        ],
        schema.metrics: [
            key
            | {"name": name, "experiment": run.experiment, "count": metric.count}
            | {column: _finite(getattr(metric, column)) for column in ("last", "min", "max")}
            for name, metric in run.metrics.items()
        ],
        schema.commits: [key | {"sha": sha, "run_id": run.run_id} for sha in shas],
    }


def _adoption(adoption: Adoption, key: Row, _time: str) -> Rows:
    return {schema.commits: [key | {"sha": adoption.sha, "run_id": adoption.run_id}]}


def _version(version: ModelVersion, key: Row, time: str) -> Rows:
    return {schema.versions: [key | {"model": version.model, "version": version.version, "recorded": time}]}


def _deployment(deployment: Deployment, key: Row, time: str) -> Rows:
    return {schema.deployments: [key | {"target": deployment.plan.target, "recorded": time}]}


def _verdict(report: GateReport, key: Row, time: str) -> Rows:
    return {schema.verdicts: [key | {"run_id": report.candidate.run_id, "recorded": time}]}


_ROWS: dict[type[msgspec.Struct], Callable[[Any, Row, str], Rows]] = {
    Run: _run,
    Adoption: _adoption,
    ModelVersion: _version,
    Deployment: _deployment,
    GateReport: _verdict,
}


def _keep_first(connection: sa.Connection, table: sa.Table, rows: Rows) -> None:
    """Of the rows that are new and those that are there, let the first by time and id be the only one."""
    names = [column.name for column in _UNIQUE[table]]
    first: dict[tuple[str, ...], Row] = {}
    for row in rows[table]:
        same = tuple(row[name] for name in names)
        first[same] = min(row, first.get(same, row), key=_order)
    stale = []
    for there in _there(connection, table, first):
        same = tuple(there[name] for name in names)
        if _order(there) < _order(first[same]):
            del first[same]
        else:
            stale.append(there["record_id"])
    tables = _OF_A_RUN if table is schema.runs else (table,)
    _delete(connection, tables, stale)
    kept = {row["record_id"] for row in first.values()}
    dropped = {row["record_id"] for row in rows[table]} - kept
    for each in tables:
        rows[each] = [row for row in rows.get(each, []) if row["record_id"] not in dropped]


def _there(connection: sa.Connection, table: sa.Table, wanted: Iterable[tuple[str, ...]]) -> list[Row]:
    """The rows of *table* that stand for the same thing as one of *wanted*."""
    found: list[Row] = []
    columns = _UNIQUE[table]
    known = set(wanted)
    for page in facts.pages(dict.fromkeys(values[0] for values in known)):
        query = sa.select(table.c.record_id, table.c.recorded, *columns).where(columns[0].in_(page))
        rows = connection.execute(query).mappings()
        found += [dict(row) for row in rows if tuple(row[column.name] for column in columns) in known]
    return found


def _delete(connection: sa.Connection, tables: Iterable[sa.Table], record_ids: list[str]) -> None:
    for page in facts.pages(record_ids):
        for table in tables:
            connection.execute(sa.delete(table).where(table.c.record_id.in_(page)))


def _order(row: Row) -> tuple[str, str]:
    return row["recorded"], row["record_id"]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
