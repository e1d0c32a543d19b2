"""
Opens the database that a URL names: parses the URL, makes the engine, sets up SQLite's connections.

Which tables are in it is the business of `schema` and `migrations`.
"""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.event
import sqlalchemy.exc

from mlops_ci.errors import ConfigError, MissingDependency, UsageError
from mlops_ci.store import faults, filesystems

_BUSY_TIMEOUT_S = 60.0  # `?timeout=` in the URL says otherwise
_WRITES = "mlops_writes"


def parse(url: str, base: Path | None = None) -> sa.URL:
    """
    Read *url*; the relative path of an SQLite file is taken from *base*.

    Raises:
        ConfigError: Not a database's URL.
    """
    try:
        parsed = sa.make_url(url)
    except sqlalchemy.exc.ArgumentError as error:
        shown = re.sub(r":[^:@/]+@", ":***@", url)
        raise ConfigError(f"{shown!r} is not the URL of a database", hint="for a file: sqlite:///mlops.db") from error
    if parsed.get_backend_name() == "sqlite" and base and _file(parsed):
        return parsed.set(database=str(base / _file(parsed)))
    return parsed


def make(url: sa.URL) -> sa.Engine:
    """
    Make the engine for *url*; an SQLite file's folder is created.

    Raises:
        ConfigError: Nobody knows this kind of database.
        MissingDependency: Its driver is not installed.
        UsageError: The folder cannot be created.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    try:
        return sa.create_engine(url)
    except sqlalchemy.exc.ArgumentError as error:
        raise ConfigError(f"unknown kind of database: {url.drivername!r}", hint="sqlite:///mlops.db is one") from error
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or url.drivername, extra=url.get_backend_name()) from error


def writing(engine: sa.Engine) -> sa.Engine:
    """The same database for transactions that write: in SQLite they take the lock at once, or wait for it."""
    return engine.execution_options(**{_WRITES: True})


def _file(url: sa.URL) -> str:
    """The path in an SQLite URL, or "" for a database in memory."""
    return "" if url.database in {None, "", ":memory:"} else str(url.database)


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder of the store {file} cannot be created: {error.strerror}", hint="name another place in `store:`"
        ) from error


def _sqlite(url: sa.URL) -> sa.Engine:
    file = _file(url)
    if file:
        _make_folder(Path(file))
    journal = "WAL" if file and filesystems.is_local(Path(file).resolve(), filesystems.mounts()) else "DELETE"
    timeout_s = _timeout_s(url)
    try:
        engine = sa.create_engine(url, connect_args={"timeout": timeout_s})
    except sqlalchemy.exc.ArgumentError as error:
        raise ConfigError(f"{url} is not the URL of a file", hint="sqlite:///mlops.db is one") from error

    # pysqlite opens transactions late and without saying how; so it opens none, and we say BEGIN.
    @sqlalchemy.event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        _set_journal(connection, journal, timeout_s)

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


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
