"""
What was done to a database, by name; the table that says so is also what writers lock.

One transaction writes at a time, as in SQLite by nature: then no two of them can each miss what the other
adds, and what was true when a transaction looked is true when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from mlops_ci.errors import UsageError
from mlops_ci.store import schema

_BEGUN = " begun"
ALL = frozenset(schema.STEPS)
_NAMES = sa.select(schema.steps.c.name)
_LOCKED = _NAMES.order_by("name").with_for_update()
_KNOWN = ALL | {name + _BEGUN for name in ALL | schema.RETIRED}


def begun(name: str) -> str:
    """How a step is called that was begun and must be done again: where DDL is no part of a transaction."""
    return name + _BEGUN


def done(connection: sa.Connection) -> frozenset[str]:
    """What was done; the one query that every start pays for."""
    return frozenset(connection.scalars(_NAMES)) - schema.RETIRED


def lock(connection: sa.Connection) -> frozenset[str]:
    """What was done, when nobody else writes any more; nobody does until the transaction ends."""
    return frozenset(connection.scalars(_LOCKED)) - schema.RETIRED


def refuse_newer(names: Iterable[str], address: str) -> None:
    """
    Stop if the database has seen a step that this program does not know.

    Raises:
        UsageError: It has.
    """
    if unknown := sorted(set(names) - _KNOWN):
        raise UsageError(
            f"the store {address} was written by a newer mlops-ci ({unknown[0]} is unknown here)",
            hint="install a newer mlops-ci",
        )
