"""
Answers questions from the projection: which runs, which was best, which versions, what is deployed.

The entities come whole from their records; the projection only says which records they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar

import msgspec
import sqlalchemy as sa

from mlops_ci import records as recording
from mlops_ci.entities import Author, Deployment, GateReport, ModelVersion, Run, Scalar
from mlops_ci.errors import NotFound, UsageError
from mlops_ci.store import facts
from mlops_ci.store.schema import commits, deployments, metrics, params, runs, verdicts, versions

EntityT = TypeVar("EntityT", bound=msgspec.Struct)

_SORTABLE = {"started": runs.c.started, "duration_s": runs.c.duration_s}
_HIGHEST = "\U0010ffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded(Generic[EntityT]):
    """An entity, and the record that says so."""

    record_id: str
    time: str
    author: Author
    entity: EntityT


class RunFilter(TypedDict, total=False):
    """Which runs; what is absent or None does not matter. *params* must be equal in value and type."""

    project: str | None
    experiment: str | None
    status: str | None
    branch: str | None
    sha: str | None
    params: Mapping[str, Scalar] | None


def list_runs(
    connection: sa.Connection, where: RunFilter, order_by: str, *, descending: bool, limit: int
) -> list[Recorded[Run]]:
    """
    List runs; those that lack what they are sorted by come last, ties by the latest start.

    Raises:
        UsageError: Nothing can be sorted by *order_by*.
    """
    query = sa.select(runs.c.record_id).where(*_conditions(where))
    if order_by.startswith("metrics."):
        wanted = sa.and_(metrics.c.record_id == runs.c.record_id, metrics.c.name == order_by.removeprefix("metrics."))
        query, column = query.outerjoin(metrics, wanted), metrics.c.last
    elif order_by in _SORTABLE:
        column = _SORTABLE[order_by]
    else:
        raise UsageError(
            f"runs cannot be sorted by {order_by!r}", hint=f"sort by {', '.join(_SORTABLE)} or metrics.<name>"
        )
    direction = column.desc() if descending else column.asc()
    missing = [column.is_(None)] if column.nullable else []
    query = query.order_by(*missing, direction, runs.c.started.desc(), runs.c.record_id).limit(limit)
    return _entities(connection, query, Run)


def find_run(connection: sa.Connection, prefix: str) -> Recorded[Run]:
    """
    The run whose id is *prefix*, else the only one whose id starts with it.

    Raises:
        NotFound: There is none.
        UsageError: There are several.
    """
    same_start = sa.and_(runs.c.run_id >= prefix, runs.c.run_id < prefix + _HIGHEST)
    query = sa.select(runs.c.run_id).where(same_start).distinct().order_by(runs.c.run_id).limit(4)
    ids = list(connection.scalars(query)) if prefix else []
    if not ids:
        raise NotFound(f"no run {prefix!r}", hint="`mlops-ci runs` lists them")
    if len(ids) > 1 and ids[0] != prefix:
        raise UsageError(f"several runs start with {prefix!r}: {', '.join(ids)}", hint="give more of the id")
    exact = (
        sa.select(runs.c.record_id).where(runs.c.run_id == ids[0]).order_by(runs.c.recorded, runs.c.record_id).limit(1)
    )
    return _entities(connection, exact, Run)[0]


def best_run(
    connection: sa.Connection, experiment: str, metric: str, *, higher_is_better: bool, project: str | None
) -> Recorded[Run] | None:
    """The finished run with the best last value that is finite; of equals the one that started first."""
    order = metrics.c.last.desc() if higher_is_better else metrics.c.last.asc()
    query = (
        sa.select(runs.c.record_id)
        .join(metrics, metrics.c.record_id == runs.c.record_id)
        .where(metrics.c.experiment == experiment, metrics.c.name == metric, metrics.c.last.is_not(None))
        .where(*_conditions(RunFilter(status="finished", project=project)))
        .order_by(order, runs.c.started, runs.c.record_id)
        .limit(1)
    )
    return next(iter(_entities(connection, query, Run)), None)


def commits_of(connection: sa.Connection, run_id: str) -> list[str]:
    """The commits that the run stands for: trained, head of the pull request, and those that adopted it."""
    return list(
        connection.scalars(sa.select(commits.c.sha).where(commits.c.run_id == run_id).distinct().order_by("sha"))
    )


def list_versions(connection: sa.Connection, model: str | None) -> list[Recorded[ModelVersion]]:
    """The registered versions, of *model* or of all, the latest first."""
    return _entities(connection, _newest(versions, versions.c.model, model), ModelVersion)


def list_deployments(connection: sa.Connection, target: str | None, limit: int) -> list[Recorded[Deployment]]:
    """What was deployed, to *target* or anywhere, the latest first."""
    return _entities(connection, _newest(deployments, deployments.c.target, target).limit(limit), Deployment)


def list_verdicts(connection: sa.Connection, run_id: str) -> list[Recorded[GateReport]]:
    """The verdicts on a run, the latest first."""
    return _entities(connection, _newest(verdicts, verdicts.c.run_id, run_id), GateReport)


def _conditions(where: RunFilter) -> list[sa.ColumnElement[bool]]:
    given: Mapping[str, Any] = where
    equal = (runs.c.project, runs.c.experiment, runs.c.status, runs.c.branch)
    found = [column == given[column.name] for column in equal if given.get(column.name) is not None]
    if sha := where.get("sha"):
        found.append(runs.c.run_id.in_(sa.select(commits.c.run_id).where(commits.c.sha == sha)))
    for name, value in (where.get("params") or {}).items():
        same = (params.c.name == name, params.c.value == recording.canonical(value).decode())
        found.append(runs.c.record_id.in_(sa.select(params.c.record_id).where(*same)))
    return found


def _newest(table: sa.Table, column: sa.Column[str], value: str | None) -> sa.Select[tuple[str]]:
    query = sa.select(table.c.record_id).order_by(table.c.recorded.desc(), table.c.record_id.desc())
    return query if value is None else query.where(column == value)


def _entities(connection: sa.Connection, ids: sa.Select[tuple[str]], kind: type[EntityT]) -> list[Recorded[EntityT]]:
    """What the records that *ids* selects say; they are read afterwards, so that no database sorts their text."""
    found = []
    for id_, record in facts.load(connection, connection.scalars(ids)):
        entity = record.read(kind)
        found.append(Recorded(record_id=id_, time=record.time, author=record.author, entity=entity))
    return found
