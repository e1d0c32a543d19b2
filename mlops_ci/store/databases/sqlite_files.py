"""
Opens files of SQLite: how safely they are written, with which journal, and what if they cannot be written at all.

Records are worth more than a millisecond, so everything is synchronised to the disk. The write-ahead log
is for local disks; on a network's the rollback journal is the one that keeps a database whole.
"""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.event
import sqlalchemy.exc

from mlops_ci.errors import ConfigError, UsageError
from mlops_ci.store.databases import faults, filesystems

WRITES = "mlops_writes"
"""The execution option of transactions that write."""

_BUSY_TIMEOUT_S = 60.0  # `?timeout=` in the URL says otherwise


class StoreWarning(UserWarning):
    """A store is not as safe, or not as fast, as it could be elsewhere."""


def path(url: sa.URL) -> str:
    """The path in an SQLite URL, or "" for a database in memory."""
    return "" if url.database in {None, "", ":memory:"} else str(url.database)


def make(url: sa.URL, mounts: str | None = None) -> sa.Engine:
    """Make the engine; as `engines.make`, which is what others call."""
    timeout_s = _timeout_s(url)
    file = Path(path(url)).absolute()
    if not path(url):
        engine = _create(url, connect_args={"timeout": timeout_s})
        journal = "MEMORY"
    elif is_read_only(file):
        # Not kept open: whether somebody else writes is looked at each time.
        engine = _create(url, creator=lambda: _open_read_only(file, timeout_s), poolclass=sa.NullPool)
        journal = ""
    else:
        _make_folder(file)
        engine = _create(url, connect_args={"timeout": timeout_s})
        local = filesystems.is_local(file.resolve(), filesystems.mounts() if mounts is None else mounts)
        journal = "WAL" if local else "DELETE"
        if not local:
            warnings.warn(
                f"the store {file} is on a network file system, which SQLite is slow and not always safe on: "
                "better a local disk, or a server such as PostgreSQL",
                StoreWarning,
                stacklevel=2,
            )
    _prepare_connections(engine, journal, timeout_s)
    return engine


def is_read_only(file: Path) -> bool:
    """Whether *file* is there and cannot be written, or nothing can be written beside it, where journals are."""
    return file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def _create(url: sa.URL, **options: Any) -> sa.Engine:
    try:
        return sa.create_engine(url, **options)
    except sqlalchemy.exc.ArgumentError as error:
        raise ConfigError(f"{url} is not the URL of a file", hint="sqlite:///mlops.db is one") from error


def _prepare_connections(engine: sa.Engine, journal: str, timeout_s: float) -> None:
    # pysqlite opens transactions late and without saying how; so it opens none, and we say BEGIN.
    @sqlalchemy.event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if journal:
            _set_journal(connection, journal, timeout_s)

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _open_read_only(file: Path, timeout_s: float) -> sqlite3.Connection:
    """
    Open *file* without a trace beside it.

    Immutable means that SQLite takes no lock and looks at no log. Where a log has content somebody writes,
    or was killed while writing, and what is in the log counts.
    """
    log = file.with_name(f"{file.name}-wal")
    immutable = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return sqlite3.connect(f"{file.as_uri()}?mode=ro{immutable}", uri=True, timeout=timeout_s, check_same_thread=False)


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder of the store {file} cannot be created: {error.strerror}", hint="name another place in `store:`"
        ) from error


def _timeout_s(url: sa.URL) -> float:
    given = url.query.get("timeout", _BUSY_TIMEOUT_S)
    try:
        return float(given)  # type: ignore[arg-type]  # a repeated option is a tuple: TypeError
    except (TypeError, ValueError) as error:
        raise ConfigError(f"timeout={given} in {url} is no number of seconds", hint="leave it out") from error


def _set_journal(connection: sqlite3.Connection, journal: str, timeout_s: float) -> None:
    """Changing the journal needs the file for itself, and SQLite does not always wait for that by itself."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {journal}")
        except sqlite3.OperationalError as error:
            if not faults.is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
