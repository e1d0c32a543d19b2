"""
Brings a database to the newest schema: one function per step, recorded by name when it is done.

A step may be entered again after its process was killed, and may meet tables that are newer than itself,
so it looks before it acts. Imported only when a database lacks a step.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from mlops_ci.store import projection, schema


def _0001_ledger(connection: sa.Connection) -> None:
    schema.ledger.create_all(connection)


STEPS: dict[str, Callable[[sa.Connection], None]] = {
    "0001_ledger": _0001_ledger,
    # A changed projection is no change of data: its step is always this one, under the next name.
    "0002_projection": projection.rebuild,
}


def migrate(connection: sa.Connection) -> None:
    """
    Do what is missing.

    *connection* is in a transaction that keeps others out, so what another process did meanwhile is seen.
    """
    schema.steps.create(connection, checkfirst=True)
    done = set(connection.scalars(sa.select(schema.steps.c.name)))
    for name, step in STEPS.items():
        if name not in done:
            step(connection)
            connection.execute(sa.insert(schema.steps), {"name": name})
