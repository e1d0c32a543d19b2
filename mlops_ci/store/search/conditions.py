"""
What the tree of a filter means in SQL: conditions on a row of `runs`, and columns to sort by.

Every condition is true or false, never NULL, so that `not` means what it says. Values are always bound.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mlops_ci.store.filters import And, Comparison, Condition, Key, Membership, Not, Or, Present, Value
from mlops_ci.store.filters.fields import Field
from mlops_ci.store.schema import commits, experiments, metrics, params, runs, tags
from mlops_ci.store.search import patterns

_COLUMNS: dict[str, sa.Column[Any]] = {
    "author": runs.c.author,
    "branch": runs.c.branch,
    "dirty": runs.c.dirty,
    "duration_s": runs.c.duration_s,
    "ended": runs.c.ended_us,
    "improvised": runs.c.improvised,
    "note": runs.c.note,
    "run_id": runs.c.run_id,
    "started": runs.c.started_us,
    "status": runs.c.status,
}
_NAMED = {"metrics": metrics, "params": params, "tags": tags}
_OF_EXPERIMENT = {"project": "project", "experiment": "name"}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Experiment:
    """A row of `experiments`."""

    number: int
    project: str
    experiment: str
    name: str
    archived: bool
    deleted: bool


@dataclass(frozen=True)
class Translator:
    """Translates for one database, with the *experiments* that are in it by number."""

    dialect: str
    experiments: Mapping[int, Experiment]

    def where(self, condition: Condition) -> sa.ColumnElement[bool]:
        """*condition* in SQL, for a query that selects from `runs`."""
        if isinstance(condition, And):
            return sa.and_(sa.true(), *map(self.where, condition.parts))
        if isinstance(condition, Or):
            return sa.or_(sa.false(), *map(self.where, condition.parts))
        if isinstance(condition, Not):
            return sa.not_(self.where(condition.inner).self_group())
        return self._of_field(condition)

    def _of_field(self, condition: Comparison | Membership | Present) -> sa.ColumnElement[bool]:
        if condition.field.name in _OF_EXPERIMENT and condition.field.table == "attributes":
            return runs.c.experiment.in_(sorted(self.numbers(condition)))
        if condition.field.type == "sha":
            return _of_commit(condition)
        if condition.field.table == "attributes":
            column = _COLUMNS[condition.field.name]
            test = self._test(column, condition)
            return sa.and_(column.is_not(None), test) if column.nullable else test
        return self._exists(condition)

    def numbers(self, condition: Comparison | Membership | Present) -> set[int]:
        """The experiments whose name or project is as *condition* says."""
        attribute = _OF_EXPERIMENT[condition.field.name]
        return {number for number, row in self.experiments.items() if _holds(getattr(row, attribute), condition)}

    def _exists(self, condition: Comparison | Membership | Present) -> sa.ColumnElement[bool]:
        table = _NAMED[condition.field.table]
        column = table.c.text if condition.field.table != "metrics" else table.c[condition.field.aggregate]
        test = self._param(condition) if condition.field.table == "params" else self._test(column, condition)
        present = [column.is_not(None)] if column.nullable else []
        return sa.exists().where(table.c.run == runs.c.number, table.c.name == condition.field.name, *present, test)

    def _param(self, condition: Comparison | Membership | Present) -> sa.ColumnElement[bool]:
        """Numbers are compared with numbers, text with text; a value that is no number is unequal to every number."""
        if isinstance(condition, Present):
            return sa.true()
        if isinstance(condition, Membership):
            return sa.or_(*(self._param(Comparison(condition.field, "=", value)) for value in condition.values))
        if condition.operator == "!=":
            return sa.not_(sa.and_(*self._param_tests(Comparison(condition.field, "=", condition.value))))
        return sa.and_(*self._param_tests(condition))

    def _param_tests(self, condition: Comparison) -> list[sa.ColumnElement[bool]]:
        value = condition.value
        if isinstance(value, bool):
            return [params.c.kind == "truth", _COMPARE[condition.operator](params.c.text, str(value))]
        if isinstance(value, str):
            return [self._test(params.c.text, condition)]
        return [params.c.number.is_not(None), _COMPARE[condition.operator](params.c.number, value)]

    def _test(self, column: sa.Column[Any], condition: Comparison | Membership | Present) -> sa.ColumnElement[bool]:
        if isinstance(condition, Present):
            return sa.true()
        if isinstance(condition, Membership):
            return column.in_(condition.values)
        if condition.operator in {"like", "ilike"}:
            any_case = condition.operator == "ilike"
            return patterns.matches(column, str(condition.value), any_case=any_case, dialect=self.dialect)
        found: sa.ColumnElement[bool] = _COMPARE[condition.operator](column, condition.value)
        return found


@dataclass(frozen=True, slots=True)
class Sorting:
    """A column to sort by, which may be missing; *joined* is the table that it comes from where that is another."""

    column: sa.ColumnElement[Any]
    descending: bool
    nullable: bool
    joined: tuple[sa.FromClause, sa.ColumnElement[bool]] | None = None

    def order(self) -> Iterable[sa.ColumnElement[Any]]:
        """What comes after ORDER BY: missing values last, in every database."""
        if self.nullable:
            yield sa.case((self.column.is_(None), 1), else_=0)
        yield self.column.desc() if self.descending else self.column.asc()

    def same(self, value: Value | None) -> sa.ColumnElement[bool]:
        """As far in the order as *value*."""
        return self.column.is_(None) if value is None else self.column == value

    def after(self, value: Value | None) -> sa.ColumnElement[bool]:
        """Further in the order than *value*."""
        if value is None:
            return sa.false()
        further = self.column < value if self.descending else self.column > value
        return sa.or_(further, self.column.is_(None)) if self.nullable else further


def sorting(keys: Iterable[Key]) -> list[Sorting]:
    """The columns that *keys* sort by; a param is sorted by its number, and then by its text."""
    found: list[Sorting] = []
    for key in keys:
        field = key.field
        if field.table == "attributes":
            found.append(_attribute(field, descending=key.descending))
            continue
        table = _NAMED[field.table].alias()
        joined = (table, sa.and_(table.c.run == runs.c.number, table.c.name == field.name))
        names = {"params": ("number", "text"), "tags": ("text",), "metrics": (field.aggregate,)}[field.table]
        found += [Sorting(table.c[name], key.descending, nullable=True, joined=joined) for name in names]
    return found


def _attribute(field: Field, *, descending: bool) -> Sorting:
    if field.name in _COLUMNS:
        column = _COLUMNS[field.name]
        if field.type == "truth":
            return Sorting(sa.case((column, 1), else_=0), descending, nullable=False)
        return Sorting(column, descending, nullable=bool(column.nullable))
    table = experiments.alias()
    joined = (table, table.c.number == runs.c.experiment)
    return Sorting(table.c[_OF_EXPERIMENT[field.name]], descending, nullable=False, joined=joined)


def _of_commit(condition: Comparison | Membership | Present) -> sa.ColumnElement[bool]:
    """Trained at, head of the pull request, or adopted by it."""
    found = sa.select(commits.c.run_id)
    if not isinstance(condition, Comparison):
        return runs.c.run_id.in_(found)
    start = str(condition.value)
    within = sa.and_(commits.c.sha >= start, commits.c.sha < f"{start}g")  # after every hexadecimal digit
    of_it = runs.c.run_id.in_(found.where(within))
    return of_it if condition.operator == "=" else sa.and_(runs.c.run_id.in_(found), sa.not_(of_it))


def _holds(text: str, condition: Comparison | Membership | Present) -> bool:
    if isinstance(condition, Present):
        return True
    if isinstance(condition, Membership):
        return text in condition.values
    if condition.operator in {"like", "ilike"}:
        return patterns.match(text, str(condition.value), any_case=condition.operator == "ilike")
    return bool(_COMPARE[condition.operator](text, condition.value))
