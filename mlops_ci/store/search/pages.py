"""
Finds runs by a filter, in an order, page by page.

A page ends with a cursor that names the place in the order, not a count: what is added meanwhile moves nothing.
Conditions on a metric and orders by a metric use the index of experiment, name and value; everything else walks
the runs in their order and stops when the page is full.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt
from typing import Any

import sqlalchemy as sa

from mlops_ci.errors import UsageError
from mlops_ci.store import filters
from mlops_ci.store.filters import And, Comparison, Condition, Key, Membership, Value
from mlops_ci.store.filters.fields import Field
from mlops_ci.store.schema import metrics, runs
from mlops_ci.store.search.conditions import Experiment, Sorting, Translator, sorting
from mlops_ci.store.search.found import STATE, Page, as_runs, known_experiments
from mlops_ci.store.search.scope import Scope

_FEW = 1000  # runs: rather looked at one by one than found while walking all
_MOST_BRANCHES = 32  # experiments that are walked side by side
_RANGES: dict[str, Callable[[Any, Any], Any]] = {"=": eq, ">": gt, ">=": ge, "<": lt, "<=": le}

_Condition = sa.ColumnElement[bool]
_Row = sa.Row[Any]


@dataclass(frozen=True)
class Query:
    """What is asked for; *also* are conditions that filters have no words for, and that no cursor knows."""

    condition: Condition
    keys: tuple[Key, ...] = ()
    scope: Scope = Scope()  # noqa: RUF009  # frozen
    also: tuple[_Condition, ...] = ()


def read(condition: str, order_by: str | Sequence[str] = (), *, descending: bool = False, scope: Scope) -> Query:
    """
    Read what is asked for in the language of `filters`.

    Raises:
        UsageError: The filter or the order cannot be read.
    """
    keys = filters.parse_order(order_by, descending=descending)
    return Query(condition=filters.parse(condition), keys=keys, scope=scope)


def within(known: Iterable[Experiment], scope: Scope) -> set[int]:
    """The numbers of the experiments that *scope* means."""
    found = [each for each in known if scope.project is None or each.project == scope.project]
    if scope.experiment is not None:
        called = [each for each in found if each.name == scope.experiment]
        found = called or [each for each in found if each.experiment == scope.experiment]
    return {
        each.number for each in found if (scope.archived or not each.archived) and (scope.deleted or not each.deleted)
    }


def page(connection: sa.Connection, query: Query, *, limit: int, cursor: str = "") -> Page:
    """
    Return the first *limit* runs after *cursor*.

    Raises:
        UsageError: The cursor belongs to another query.
    """
    if limit < 1:
        raise UsageError(f"a page of {limit} runs cannot be listed", hint="ask for one at least")
    after = _opened(cursor, query) if cursor else None
    known = known_experiments(connection)
    rows, values = _Search(connection, query, known).rows(after, limit + 1)
    more = _closed(values[limit - 1], query) if len(rows) > limit else ""
    return Page(runs=as_runs(connection, rows[:limit], known), cursor=more)


def matching(connection: sa.Connection, query: Query) -> sa.Select[tuple[int]]:
    """Select the numbers of all runs that *query* asks for, in no order."""
    search = _Search(connection, query, known_experiments(connection))
    return sa.select(runs.c.number).where(*search.conditions)


class _Search:
    """One query: its conditions, and its rows in order."""

    def __init__(self, connection: sa.Connection, query: Query, known: dict[int, Experiment]) -> None:
        self._connection = connection
        self._translator = Translator(connection.dialect.name, known)
        self._experiments = within(known.values(), query.scope)
        parts = query.condition.parts if isinstance(query.condition, And) else (query.condition,)
        rest = [part for part in parts if not self._narrows(part)]
        self._few = self._few_runs(rest)
        self._scope = self._of_experiments(known)
        self._filter = [self._translator.where(part) for part in rest]
        if not query.scope.deleted:
            self._filter.append(runs.c.deleted == sa.false())
        self._filter += query.also
        self._keys = query.keys
        started = Key(Field("attributes", "started", "time"), descending=True)
        ties = () if any(key.field == started.field for key in query.keys) else (started,)
        self._sorts = [*sorting((*query.keys, *ties)), Sorting(runs.c.record_id, descending=False, nullable=False)]

    @property
    def conditions(self) -> list[_Condition]:
        return [*self._scope, *self._filter]

    def _of_experiments(self, known: Mapping[int, Experiment]) -> list[_Condition]:
        if len(self._experiments) == len(known):
            return []
        if len(self._experiments) == 1 and self._few is None:
            return [runs.c.experiment == next(iter(self._experiments))]
        # With `+ 0` no database takes the index of experiments, and sorts everything or passes over the few.
        return [(runs.c.experiment + 0).in_(sorted(self._experiments))]

    def rows(self, after: list[Value | None] | None, limit: int) -> tuple[list[_Row], list[list[Value | None]]]:
        """The rows, and for each what it was sorted by."""
        if not self._experiments:
            return [], []
        if after is not None and len(after) != len(self._sorts):
            raise UsageError("this cursor is not one of this program", hint="leave it out to start from the first page")
        by_metric = bool(self._keys) and self._keys[0].field.table == "metrics"
        if by_metric and self._keys[0].field.aggregate == "last" and self._few is None:
            found = self._by_metric(after, limit)
        else:
            found = self._walk(self._sorts, after, limit)
        return found, [[row[len(STATE) + index] for index in range(len(self._sorts))] for row in found]

    def _walk(self, sorts: Sequence[Sorting], after: Sequence[Value | None] | None, limit: int) -> list[_Row]:
        few = [] if self._few is None else [runs.c.number.in_(self._few)]
        query = _joined(sorts).where(*self.conditions, *few, *_further(sorts, after))
        return list(self._connection.execute(query.order_by(*_order(sorts)).limit(limit)))

    def _by_metric(self, after: list[Value | None] | None, limit: int) -> list[_Row]:
        """First those that have the metric, by its index; then the others."""
        found: list[_Row] = []
        if (after is None or after[0] is not None) and len(self._experiments) <= _MOST_BRANCHES:
            branches = [self._branch(number, after, limit) for number in sorted(self._experiments)]
            if len(branches) == 1:
                found = list(self._connection.execute(branches[0]))
            else:
                merged = sa.union_all(*(sa.select(branch.subquery()) for branch in branches)).subquery()
                sorts = [
                    Sorting(merged.c[f"k{index}"], sort.descending, sort.nullable)
                    for index, sort in enumerate(self._sorts)
                ]
                found = list(self._connection.execute(sa.select(merged).order_by(*_order(sorts)).limit(limit)))
        elif len(self._experiments) > _MOST_BRANCHES:
            return self._walk(self._sorts, after, limit)
        if len(found) == limit:
            return found
        return found + self._without_metric(after, limit - len(found))

    def _branch(self, experiment: int, after: list[Value | None] | None, limit: int) -> sa.Select[Any]:
        """Those of one experiment that have the metric: the index has them in order."""
        first = self._sorts[0]
        assert first.joined  # noqa: S101  # for mypy: metrics always are
        table = first.joined[0]
        sorts = [Sorting(first.column, first.descending, nullable=False, joined=first.joined), *self._sorts[1:]]
        name = self._keys[0].field.name
        here = [table.c.experiment == experiment, table.c.name == name, first.column.is_not(None)]
        query = _joined(sorts, start=table.join(runs, runs.c.number == table.c.run))
        return query.where(*here, *self._filter, *_further(sorts, after)).order_by(*_order(sorts)).limit(limit)

    def _without_metric(self, after: list[Value | None] | None, limit: int) -> list[_Row]:
        first = self._sorts[0]
        missing = Sorting(sa.null(), first.descending, nullable=False)
        name = self._keys[0].field.name
        there = sa.exists().where(metrics.c.run == runs.c.number, metrics.c.name == name, metrics.c.last.is_not(None))
        rest = self._sorts[1:]
        later = _further(rest, after[1:]) if after is not None and after[0] is None else []
        query = _joined([missing, *rest]).where(*self.conditions, sa.not_(there), *later)
        return list(self._connection.execute(query.order_by(*_order(rest)).limit(limit)))

    def _narrows(self, part: Condition) -> bool:
        """Take from the experiments those that *part* excludes, if it is about nothing else."""
        if not isinstance(part, Comparison | Membership) or part.field.table != "attributes":
            return False
        if part.field.name not in {"project", "experiment"}:
            return False
        self._experiments &= self._translator.numbers(part)
        return True

    def _few_runs(self, parts: Iterable[Condition]) -> list[int] | None:
        """The runs for which the rarest of *parts* holds, if an index says that they are few."""
        if not 0 < len(self._experiments) <= _MOST_BRANCHES:
            return None
        fewest = None
        for part in parts:
            found = self._by_index(part) if isinstance(part, Comparison) else None
            if found is not None and (fewest is None or len(found) < len(fewest)):
                fewest = found
        return fewest

    def _by_index(self, part: Comparison) -> list[int] | None:
        field = part.field
        if field.type == "sha" and part.operator == "=":
            query = sa.select(runs.c.number).where(self._translator.where(part))
        elif field.table == "metrics" and field.aggregate == "last" and part.operator in _RANGES:
            compared = _RANGES[part.operator](metrics.c.last, part.value)
            here = (metrics.c.experiment.in_(sorted(self._experiments)), metrics.c.name == field.name)
            query = sa.select(metrics.c.run).where(*here, compared)
        else:
            return None
        found = list(self._connection.scalars(query.limit(_FEW + 1)))
        return found if len(found) <= _FEW else None


def _joined(sorts: Sequence[Sorting], start: sa.FromClause = runs) -> sa.Select[Any]:
    """Select the state of runs, and what they are sorted by, from all tables that this needs."""
    source = start
    there = {id(start), *map(id, start._from_objects)}  # noqa: SLF001
    for sort in sorts:
        if sort.joined and id(sort.joined[0]) not in there:
            there.add(id(sort.joined[0]))
            source = source.outerjoin(*sort.joined)
    columns = [sort.column.label(f"k{index}") for index, sort in enumerate(sorts)]
    return sa.select(*STATE, *columns).select_from(source)


def _order(sorts: Iterable[Sorting]) -> list[sa.ColumnElement[Any]]:
    return [column for sort in sorts for column in sort.order()]


def _further(sorts: Sequence[Sorting], after: Sequence[Value | None] | None) -> list[_Condition]:
    """What comes after the place *after* in the order."""
    if after is None:
        return []
    places = list(zip(sorts, after, strict=False))
    steps = [
        sa.and_(*(earlier.same(value) for earlier, value in places[:index]), sort.after(value))
        for index, (sort, value) in enumerate(places)
    ]
    first, value = places[0]
    if first.nullable:
        return [sa.or_(*steps)]
    # Says nothing new, but lets the index start at the right place.
    return [first.column <= value if first.descending else first.column >= value, sa.or_(*steps)]


def _closed(values: Sequence[Value | None], query: Query) -> str:
    """The cursor that leads past the run that was sorted by *values*."""
    said = json.dumps(list(values), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_seal(query, said) + said).decode().rstrip("=")


def _opened(cursor: str, query: Query) -> list[Value | None]:
    """
    What `_closed` was given.

    Raises:
        UsageError: It was given another query.
    """
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        data = b""
    seal, said = data[:_SEAL], data[_SEAL:]
    if not said or seal != _seal(query, said):
        raise UsageError(
            "this cursor belongs to another query, or was cut short",
            hint="give the same filter and order as with the page that it came from, or leave it out",
        )
    values: list[Value | None] = json.loads(said)
    return values


_SEAL = 9


def _seal(query: Query, said: bytes) -> bytes:
    asked = repr((query.condition, query.keys, query.scope))
    return hashlib.sha256(asked.encode("utf-8", "backslashreplace") + b"\0" + said).digest()[:_SEAL]
