"""
Brings a database to the newest schema: one function per step, recorded by name when it is done.

A step may be entered again after its process was killed, and may meet tables that are newer than itself,
so it looks before it acts. One process migrates at a time, and nobody writes meanwhile. Imported only when
a database lacks a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping

import sqlalchemy as sa

from mlops_ci.errors import ServiceError
from mlops_ci.store import projection, schema, steps
from mlops_ci.store.databases import servers


def _ledger(connection: sa.Connection) -> None:
    """Make those of the ledger's tables that are not there."""
    for table in schema.ledger.sorted_tables:
        table.create(connection, checkfirst=True)
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            # The table may be there without it, of a process that was killed in between.
            index.create(connection, checkfirst=True)


Step = Callable[[sa.Connection], None]

STEPS: dict[str, Step] = {
    "0001_ledger": _ledger,
    "0002_marks": _ledger,
    # A changed projection is no change of data: its step is always this one, under the next name.
    "0003_projection": projection.rebuild,
}

_PATIENCE_S = 1800  # while another process migrates: building a large projection takes minutes


def migrate(writer: sa.Engine, address: str, todo: Mapping[str, Step] = STEPS) -> None:
    """
    Do what is missing of *todo*, while others who want the same wait.

    Raises:
        UsageError: A newer program was here; nothing was changed.
        ServiceError: Another process migrates, and does not come to an end.
    """
    _migrate(writer, address, todo, again=())


def rebuild(writer: sa.Engine, address: str) -> None:
    """Drop the projection and build it again from the records. Raises as `migrate`."""
    last = [name for name, step in STEPS.items() if step is projection.rebuild][-1]
    _migrate(writer, address, STEPS, again=(last,))


def _migrate(writer: sa.Engine, address: str, todo: Mapping[str, Step], again: Collection[str]) -> None:
    if servers.is_mysql(writer):
        with writer.connect() as connection:
            _in_pieces(connection, address, todo, again)
    else:
        with writer.begin() as connection:
            _at_once(connection, address, todo, again)


def _at_once(connection: sa.Connection, address: str, todo: Mapping[str, Step], again: Collection[str]) -> None:
    """Where DDL is part of a transaction, everything is one; SQLite's has locked everybody out already."""
    if servers.is_postgresql(connection.engine):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE_S}s'")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_lock_number())))
    schema.steps.create(connection, checkfirst=True)
    done = steps.lock(connection)
    steps.refuse_newer(done, address)
    missing = _missing(done, again)
    for name in missing:
        todo[name](connection)
    if missing:
        # All of them, so that a writer who waits for one of PostgreSQL's rows finds it gone, and looks again.
        connection.execute(sa.delete(schema.steps))
        connection.execute(sa.insert(schema.steps), [{"name": name} for name in STEPS])


def _in_pieces(connection: sa.Connection, address: str, todo: Mapping[str, Step], again: Collection[str]) -> None:
    """
    In MySQL every CREATE and DROP commits, and lets go of locks on rows. So a lock that belongs to the connection keeps
    other migrations out, and a step that was begun but not done keeps writers out, and programs that do not know it.
    """
    connection.detach()  # it ends with this, and the lock with it
    name = sa.func.concat("mlops-ci ", sa.func.md5(sa.func.database()))
    if connection.scalar(sa.select(sa.func.get_lock(name, _PATIENCE_S))) != 1:
        raise ServiceError(f"the store {address} is being migrated by another program", hint="try again later")
    schema.steps.create(connection, checkfirst=True)
    connection.commit()
    done = steps.lock(connection)
    steps.refuse_newer(done, address)
    missing = _missing(done, again)
    marks = [mark for step in missing if (mark := steps.begun(step)) not in done]
    _replace(connection, missing, marks)
    for step in missing:
        todo[step](connection)
        _replace(connection, [steps.begun(step)], [step])


def _missing(done: frozenset[str], again: Collection[str]) -> list[str]:
    return [name for name in STEPS if name not in done or steps.begun(name) in done or name in again]


def _replace(connection: sa.Connection, old: list[str], new: list[str]) -> None:
    connection.execute(sa.delete(schema.steps).where(schema.steps.c.name.in_(old)))
    if new:
        connection.execute(sa.insert(schema.steps), [{"name": name} for name in new])
    connection.commit()


def _lock_number() -> int:
    """One of PostgreSQL's locks that stand for nothing; they are told apart by number, within a database."""
    return int.from_bytes(hashlib.sha256(b"mlops-ci migrates").digest()[:8], signed=True)
