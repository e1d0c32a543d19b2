"""
Answers questions from the projection: which runs, which was best, which versions, what is deployed.

The entities come whole from their records; the projection only says which records they are. Filters and
orders are the business of `search`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypedDict

import sqlalchemy as sa

from mlops_ci.entities import Deployment, GateReport, ModelVersion, Scalar
from mlops_ci.errors import NotFound, UsageError
from mlops_ci.store import facts, run_rows
from mlops_ci.store.filters import And, Comparison, parse_order
from mlops_ci.store.filters.fields import find
from mlops_ci.store.schema import (
    commits,
    deployments,
    experiment_changes,
    experiments,
    metrics,
    params,
    runs,
    verdicts,
    versions,
)
from mlops_ci.store.search.found import (
    STATE,
    ExperimentSummary,
    FoundRun,
    Recorded,
    as_runs,
    entities,
    known_experiments,
)
from mlops_ci.store.search.pages import Query, within
from mlops_ci.store.search.scope import Scope

_HIGHEST = "\U0010ffff"
_MOST_AT_ONCE = 50  # prefixes
_MOST_FOUND = 500  # with more than that, some prefix is much too short
_FIRST: sa.Select[Any] = (
    sa.select(*STATE, runs.c.run_id)
    .where(runs.c.run_id.in_(sa.bindparam("page", expanding=True)))
    .order_by(runs.c.recorded, runs.c.record_id)
)


class RunFilter(TypedDict, total=False):
    """
    Which runs; what is absent or None does not matter.

    *experiment* is what it is called now, *sha* may be the first digits, *params* must be equal in value and type.
    """

    project: str | None
    experiment: str | None
    status: str | None
    branch: str | None
    sha: str | None
    params: Mapping[str, Scalar] | None


def query_of(where: RunFilter, order_by: str | Sequence[str], *, descending: bool) -> Query:
    """The query that *where* stands for."""
    parts = []
    for name in ("status", "branch", "sha"):
        field = find("", name)
        if (value := where.get(name)) and not isinstance(field, str):
            parts.append(Comparison(field, "=", str(value)))
    same = []
    for name, value in (where.get("params") or {}).items():
        wanted = run_rows.param(value)
        text = params.c.text.is_(None) if wanted["text"] is None else params.c.text == wanted["text"]
        is_it = (params.c.run == runs.c.number, params.c.name == name, params.c.kind == wanted["kind"], text)
        same.append(sa.exists().where(*is_it))
    scope = Scope(project=where.get("project"), experiment=where.get("experiment"))
    return Query(
        condition=And(tuple(parts)), keys=parse_order(order_by, descending=descending), scope=scope, also=tuple(same)
    )


def find_runs(connection: sa.Connection, prefixes: Sequence[str]) -> list[FoundRun]:
    """
    The runs whose ids are *prefixes*, or which are the only ones to start with them; deleted ones as well.

    Raises:
        NotFound: There is none.
        UsageError: There are several.
    """
    ids = _first_of(connection, dict.fromkeys(prefixes))
    whole = _completed(connection, [prefix for prefix in dict.fromkeys(prefixes) if prefix not in ids])
    rows = ids | _first_of(connection, whole.values())
    wanted = [rows[whole.get(prefix, prefix)] for prefix in prefixes]
    known = known_experiments(connection)
    found = {run.record_id: run for run in as_runs(connection, list(dict.fromkeys(wanted)), known)}
    return [found[row.record_id] for row in wanted]


def _first_of(connection: sa.Connection, run_ids: Iterable[str]) -> dict[str, sa.Row[Any]]:
    """The rows of the runs with these ids; of several endings under different keys the first."""
    found: dict[str, sa.Row[Any]] = {}
    for page in facts.pages(run_ids):
        for row in connection.execute(_FIRST, {"page": page}):
            found.setdefault(row.run_id, row)
    return found


def _completed(connection: sa.Connection, prefixes: Sequence[str]) -> dict[str, str]:
    """For each of *prefixes* the only id that starts with it. Raises as `find_runs`."""
    whole = {}
    for start in range(0, len(prefixes), _MOST_AT_ONCE):
        some = prefixes[start : start + _MOST_AT_ONCE]
        ranges = {f"{name}{index}": end for index, prefix in enumerate(some) for name, end in _range(prefix).items()}
        found: list[str] = list(connection.scalars(_starting(len(some)), ranges))
        ids = set(found) if len(found) < _MOST_FOUND else set()
        for prefix in some:
            same_start: list[str] = [run_id for run_id in ids if run_id.startswith(prefix)]
            whole[prefix] = same_start[0] if prefix and len(same_start) == 1 else _only(connection, prefix)
    return whole


def _range(prefix: str) -> dict[str, str]:
    """Between which ids those are that start with *prefix*; none if that is ""."""
    return {"low": prefix or _HIGHEST, "high": prefix + _HIGHEST}


@lru_cache
def _starting(count: int) -> sa.Select[tuple[str]]:
    """Some ids that start with one of *count* prefixes; all of them unless they are many."""
    ranges = [
        sa.and_(runs.c.run_id >= sa.bindparam(f"low{index}"), runs.c.run_id < sa.bindparam(f"high{index}"))
        for index in range(count)
    ]
    return sa.select(runs.c.run_id).where(sa.or_(*ranges)).limit(_MOST_FOUND)


def _only(connection: sa.Connection, prefix: str) -> str:
    """The only id that starts with *prefix*."""
    same_start = sa.and_(runs.c.run_id >= prefix, runs.c.run_id < prefix + _HIGHEST)
    query = sa.select(runs.c.run_id).where(same_start).distinct().order_by(runs.c.run_id).limit(4)
    ids: list[str] = list(connection.scalars(query)) if prefix else []
    if not ids:
        raise NotFound(f"no run {prefix!r}", hint="`mlops-ci runs` lists them")
    if len(ids) > 1:
        raise UsageError(f"several runs start with {prefix!r}: {', '.join(ids)}", hint="give more of the id")
    return ids[0]


def best_runs(connection: sa.Connection, scope: Scope, metric: str, *, higher_is_better: bool) -> list[FoundRun]:
    """
    For each experiment its finished run with the best last value that is finite; of equals the one that started first.

    The best first; experiments without such a run are left out.
    """
    known = known_experiments(connection)
    best = _best(higher_is_better)
    meant = sorted(within(known.values(), scope))
    rows: list[sa.Row[Any]] = []
    for start in range(0, len(meant), facts.PAGE):
        some = {"page": meant[start : start + facts.PAGE], "metric": metric}
        rows += connection.execute(best, some).all()
    sign = -1 if higher_is_better else 1
    return sorted(
        as_runs(connection, rows, known),
        key=lambda run: (sign * run.entity.metrics[metric].last, run.entity.started, run.record_id),
    )


@lru_cache
def _best(higher_is_better: bool) -> sa.Select[Any]:  # noqa: FBT001  # what is cached has no keywords
    """
    The best run of each experiment in the list "page", by "metric".

    The value comes first and the run that has it afterwards: so the index alone says the order, and PostgreSQL sorts
    nothing, not even where it has not yet counted what the tables hold.
    """
    of_runs = metrics.join(runs, runs.c.number == metrics.c.run)
    here = (
        *(metrics.c.experiment == experiments.c.number, metrics.c.name == sa.bindparam("metric")),
        *(runs.c.status == "finished", runs.c.deleted == sa.false()),
    )
    value = (
        sa.select(metrics.c.last)
        .select_from(of_runs)
        .where(*here, metrics.c.last.is_not(None))
        .order_by(metrics.c.last.desc() if higher_is_better else metrics.c.last.asc())
        .limit(1)
        .correlate(experiments)
        .scalar_subquery()
    )
    best = (
        sa.select(runs.c.number)
        .select_from(of_runs)
        .where(*here, metrics.c.last == value)
        .order_by(runs.c.started_us, runs.c.record_id)
        .limit(1)
        .correlate(experiments)
        .scalar_subquery()
    )
    some = experiments.c.number.in_(sa.bindparam("page", expanding=True))
    of_each = sa.select(best.label("number")).where(some).subquery()
    return sa.select(*STATE).join(of_each, of_each.c.number == runs.c.number)


def list_experiments(connection: sa.Connection, scope: Scope) -> list[ExperimentSummary]:
    """The experiments that have runs or were changed, the latest used first."""
    known = known_experiments(connection)
    counts = {
        row.experiment: (row.there, row.latest)
        for row in connection.execute(
            sa.select(
                runs.c.experiment,
                sa.func.sum(sa.case((runs.c.deleted == sa.false(), 1), else_=0)).label("there"),
                sa.func.max(sa.case((runs.c.deleted == sa.false(), runs.c.started_us))).label("latest"),
            ).group_by(runs.c.experiment)
        )
    }
    identity = (experiment_changes.c.project, experiment_changes.c.experiment)
    changed = {tuple(row) for row in connection.execute(sa.select(*identity).distinct())}
    found = []
    for number in within(known.values(), scope):
        each = known[number]
        if number not in counts and (each.project, each.experiment) not in changed:
            continue  # its only run turned out to be another's second ending
        there, latest = counts.get(number, (0, None))
        found.append(
            ExperimentSummary(
                project=each.project,
                experiment=each.experiment,
                name=each.name,
                archived=each.archived,
                deleted=each.deleted,
                runs=int(there),
                last_started="" if latest is None else run_rows.time_of(latest),
            )
        )
    found.sort(key=lambda each: (each.project, each.name, each.experiment))
    return sorted(found, key=lambda each: each.last_started, reverse=True)


def commits_of(connection: sa.Connection, run_id: str) -> list[str]:
    """The commits that the run stands for: trained, head of the pull request, and those that adopted it."""
    return list(
        connection.scalars(sa.select(commits.c.sha).where(commits.c.run_id == run_id).distinct().order_by("sha"))
    )


def list_versions(connection: sa.Connection, model: str | None) -> list[Recorded[ModelVersion]]:
    """The registered versions, of *model* or of all, the latest first."""
    return entities(connection, _newest(versions, versions.c.model, model), ModelVersion)


def list_deployments(connection: sa.Connection, target: str | None, limit: int) -> list[Recorded[Deployment]]:
    """What was deployed, to *target* or anywhere, the latest first."""
    return entities(connection, _newest(deployments, deployments.c.target, target).limit(limit), Deployment)


def list_verdicts(connection: sa.Connection, run_id: str) -> list[Recorded[GateReport]]:
    """The verdicts on a run, the latest first."""
    return entities(connection, _newest(verdicts, verdicts.c.run_id, run_id), GateReport)


def _newest(table: sa.Table, column: sa.Column[str], value: str | None) -> sa.Select[tuple[str]]:
    query = sa.select(table.c.record_id).order_by(table.c.recorded.desc(), table.c.record_id.desc())
    return query if value is None else query.where(column == value)
