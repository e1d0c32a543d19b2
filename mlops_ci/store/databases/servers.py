"""
Opens databases on servers: PostgreSQL, MySQL, MariaDB.

A process holds few connections and gives each back to the server when it has not used it for a minute, so
that trainings of many hours do not take up what others wait for. Where all are taken it waits for a while.
"""

from __future__ import annotations

import random
import time
from typing import Any

import sqlalchemy as sa
import sqlalchemy.event
import sqlalchemy.exc

from mlops_ci.errors import ConfigError
from mlops_ci.store.databases import faults

_PATIENCE_S = 30.0  # with a server whose connections are all taken
_IDLE_S = 60
_LOCK_S = 60
_KNOWS_IDLE_SESSIONS = 140000  # as PostgreSQL numbers its versions

# A network that swallows everything is noticed within a minute or so; a URL may say otherwise.
_LIBPQ = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_LIBPQ_DRIVERS = ("psycopg", "psycopg2")
_DRIVERS = (*_LIBPQ_DRIVERS, "pymysql", "mysqldb")
_PYMYSQL = {"connect_timeout": 10, "read_timeout": 300, "write_timeout": 300, "charset": "utf8mb4"}


def make(url: sa.URL) -> sa.Engine:
    """Make the engine; as `engines.make`, which is what others call."""
    driver = url.get_driver_name()
    if driver not in _DRIVERS:
        raise ConfigError(f"the driver {driver} cannot be used here", hint="leave it out of the URL")
    options: dict[str, Any] = {}
    if driver in _LIBPQ_DRIVERS:
        options["use_native_hstore"] = False  # it asks the server first
    usual = _LIBPQ if driver in _LIBPQ_DRIVERS else _PYMYSQL if driver == "pymysql" else {}
    given = {name: value for name, value in usual.items() if name not in url.query}
    engine = sa.create_engine(url, connect_args=given, pool_size=1, max_overflow=9, pool_timeout=_LOCK_S, **options)
    _watch_connections(engine)
    return engine


def is_postgresql(engine: sa.Engine) -> bool:
    """Whether a server of PostgreSQL's answers."""
    return engine.dialect.name == "postgresql"


def is_mysql(engine: sa.Engine) -> bool:
    """Whether a server of MySQL's or MariaDB's answers."""
    return engine.dialect.name in {"mysql", "mariadb"}


def _watch_connections(engine: sa.Engine) -> None:
    dialect = engine.dialect
    settings = _postgresql_settings if is_postgresql(engine) else _mysql_settings

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def do_connect(_dialect: Any, _record: Any, args: list[Any], options: dict[str, Any]) -> Any:
        return _connect(dialect, args, options)

    @sqlalchemy.event.listens_for(engine, "connect", insert=True)
    def connect(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            settings(connection, cursor)

    @sqlalchemy.event.listens_for(engine, "checkin")
    def checkin(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @sqlalchemy.event.listens_for(engine, "checkout")
    def checkout(connection: Any, record: Any, _proxy: Any) -> None:
        """Look whether a connection that was left alone is still there; the pool makes another if not."""
        if time.monotonic() - record.info.get("idle_since", time.monotonic()) > 1:
            try:
                dialect.do_ping(connection)
            except dialect.loaded_dbapi.Error as error:
                raise sqlalchemy.exc.DisconnectionError from error


def _connect(dialect: sa.Dialect, args: list[Any], options: dict[str, Any]) -> Any:
    """Connect; while the server has no connection left, or is just starting, again and again."""
    deadline = time.monotonic() + _PATIENCE_S
    pause_s = 0.02
    while True:
        try:
            return dialect.connect(*args, **options)
        except TypeError as error:  # how PyMySQL says it
            raise ConfigError(f"the store's URL has an unknown option: {error}", hint="leave it out") from error
        except dialect.loaded_dbapi.Error as error:
            if not faults.may_pass_soon(error) or time.monotonic() > deadline:
                raise
        time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311  # so that those who wait do not come together
        pause_s = min(pause_s * 1.6, 1.0)


def _postgresql_settings(connection: Any, cursor: Any) -> None:
    settings = {"lock_timeout": _LOCK_S, "idle_in_transaction_session_timeout": _IDLE_S}
    if connection.info.server_version >= _KNOWS_IDLE_SESSIONS:
        settings["idle_session_timeout"] = _IDLE_S
    connection.autocommit = True
    cursor.execute("; ".join(f"SET {name} = '{seconds}s'" for name, seconds in settings.items()))
    connection.autocommit = False


def _mysql_settings(_connection: Any, cursor: Any) -> None:
    # Without the strict mode too long a text is cut and a number out of range is changed.
    cursor.execute(
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'),"
        f" wait_timeout = {_IDLE_S}, innodb_lock_wait_timeout = {_LOCK_S}"
    )
