"""What queries return: entities with the records that say so, and what is known of them beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from mlops_ci.entities import Author, Run
from mlops_ci.store import facts
from mlops_ci.store.schema import experiments, metrics, params, runs, tags
from mlops_ci.store.search.conditions import Experiment

EntityT = TypeVar("EntityT", bound=msgspec.Struct)

STATE = (runs.c.number, runs.c.record_id, runs.c.experiment, runs.c.deleted, runs.c.note)
"""The columns that `as_runs` needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded(Generic[EntityT]):
    """An entity, and the record that says so."""

    record_id: str
    time: str
    author: Author
    entity: EntityT


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun(Recorded[Run]):
    """
    A run as it was recorded (*entity*), and as it is by now.

    Attributes:
        experiment: What its experiment is called now.
        tags: Those it was recorded with, and what was changed of them since.
        note: What somebody wrote about it, or "".
        deleted: Whether it was, and was not restored.
    """

    experiment: str
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the runs that were asked for, and the *cursor* that leads to the next ones; "" if these are the last."""

    runs: list[FoundRun]
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentSummary:
    """
    An experiment.

    Attributes:
        project: Whose it is.
        experiment: The name that its runs were recorded with: its identity.
        name: What it is called now.
        archived: Whether it is left out of lists.
        deleted: Whether it was, and was not restored.
        runs: How many runs it has that are not deleted.
        last_started: When the latest of those started (RFC 3339), "" if it has none.
    """

    project: str
    experiment: str
    name: str
    archived: bool
    deleted: bool
    runs: int
    last_started: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """
    The names that some runs have, sorted; of a param also the kinds of its values.

    These are text, integer (of 64 bits), large (an integer beyond), float, truth and null.
    """

    params: Mapping[str, frozenset[str]]
    metrics: Sequence[str]
    tags: Sequence[str]


def columns(connection: sa.Connection, numbers: sa.Select[tuple[int]]) -> Columns:
    """The names that the runs called *numbers* have."""
    kinds: dict[str, set[str]] = {}
    of_them = params.c.run.in_(numbers)
    for row in connection.execute(sa.select(params.c.name, params.c.kind).where(of_them).distinct()):
        kinds.setdefault(row.name, set()).add(row.kind)
    return Columns(
        params={name: frozenset(kinds[name]) for name in sorted(kinds)},
        metrics=sorted(connection.scalars(sa.select(metrics.c.name).where(metrics.c.run.in_(numbers)).distinct())),
        tags=sorted(connection.scalars(sa.select(tags.c.name).where(tags.c.run.in_(numbers)).distinct())),
    )


def known_experiments(connection: sa.Connection) -> dict[int, Experiment]:
    """Every experiment by its number."""
    rows = connection.execute(sa.select(experiments))
    return {row.number: Experiment(**row._mapping) for row in rows}  # noqa: SLF001  # SQLAlchemy's public name for it


def entities(connection: sa.Connection, ids: sa.Select[tuple[str]], kind: type[EntityT]) -> list[Recorded[EntityT]]:
    """What the records that *ids* selects say; they are read afterwards, so that no database sorts their text."""
    found = []
    for id_, record in facts.load(connection, connection.scalars(ids)):
        entity = record.read(kind)
        found.append(Recorded(record_id=id_, time=record.time, author=record.author, entity=entity))
    return found


def as_runs(connection: sa.Connection, rows: Sequence[sa.Row[Any]], known: Mapping[int, Experiment]) -> list[FoundRun]:
    """The runs in *rows*, which have the columns of `STATE`; *known* are the experiments as they were just now."""
    if any(row.experiment not in known for row in rows):
        known = known_experiments(connection)  # somebody recorded the first run of one in between
    tagged = _tags(connection, (row.number for row in rows))
    by_record = {row.record_id: row for row in rows}
    found = []
    for id_, record in facts.load(connection, list(by_record)):
        row = by_record[id_]
        found.append(
            FoundRun(
                record_id=id_,
                time=record.time,
                author=record.author,
                entity=record.read(Run),
                experiment=known[row.experiment].name,
                tags=tagged.get(row.number, {}),
                note=row.note or "",
                deleted=row.deleted,
            )
        )
    return found


def _tags(connection: sa.Connection, numbers: Iterable[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    wanted = list(numbers)
    for start in range(0, len(wanted), facts.PAGE):
        of_some = tags.c.run.in_(wanted[start : start + facts.PAGE])
        for row in connection.execute(sa.select(tags).where(of_some).order_by(tags.c.run, tags.c.name)):
            found.setdefault(row.run, {})[row.name] = row.text
    return found
