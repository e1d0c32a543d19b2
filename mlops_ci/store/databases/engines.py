"""
Opens the database that a URL names: parses the URL and makes the engine.

What SQLite's files and what servers need is in `sqlite_files` and `servers`; which tables there are is the
business of `schema` and `migrations`.
"""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
import sqlalchemy.exc

from mlops_ci.errors import ConfigError, MissingDependency
from mlops_ci.store.databases import servers, sqlite_files

# What a URL may start with: SQLAlchemy's name, the driver unless the URL names one, and the extra that installs it.
_KINDS = {
    "sqlite": ("sqlite", "pysqlite", ""),
    "postgresql": ("postgresql", "psycopg", "postgresql"),
    "postgres": ("postgresql", "psycopg", "postgresql"),
    "mysql": ("mysql", "pymysql", "mysql"),
    "mariadb": ("mariadb", "pymysql", "mysql"),
}
_HINT = "sqlite:///mlops.db for a file, postgresql://user@host/database or mysql://user@host/database for a server"


def parse(url: str, base: Path | None = None) -> sa.URL:
    """
    Read *url*; the relative path of an SQLite file is taken from *base*.

    Raises:
        ConfigError: Not a database's URL, or of a kind that nobody knows here.
    """
    try:
        parsed = sa.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise ConfigError(f"{_without_password(url)!r} is not the URL of a database", hint=_HINT) from error
    kind, _, driver = parsed.drivername.partition("+")
    if kind not in _KINDS:
        raise ConfigError(f"unknown kind of database: {kind!r}", hint=_HINT)
    name, usual, _ = _KINDS[kind]
    parsed = parsed.set(drivername=f"{name}+{driver or usual}")
    if name == "sqlite":
        file = sqlite_files.path(parsed)
        return parsed.set(drivername="sqlite", database=str(base / file)) if base and file else parsed
    if not (parsed.database or parsed.query):  # libpq has options that name one too
        raise ConfigError(f"{shown(parsed)} names no database", hint=f"{shown(parsed).rstrip('/')}/<name>")
    return parsed


def make(url: sa.URL, mounts: str | None = None) -> sa.Engine:
    """
    Make the engine for *url*; an SQLite file's folder is created.

    Args:
        url: From `parse`.
        mounts: What is mounted where, as `filesystems.mounts` says it; asked for unless given.

    Raises:
        ConfigError: Its options cannot be meant.
        MissingDependency: Its driver is not installed.
        UsageError: The folder cannot be created.
    """
    if url.get_backend_name() == "sqlite":
        return sqlite_files.make(url, mounts)
    try:
        return servers.make(url)
    except sqlalchemy.exc.ArgumentError as error:
        raise ConfigError(f"{shown(url)}: {error}", hint=_HINT) from error
    except ModuleNotFoundError as error:
        _, usual, extra = _KINDS[url.get_backend_name()]
        if url.get_driver_name() == usual:
            raise MissingDependency(error.name or usual, extra=extra) from error
        hint = f"write {url.get_backend_name()}:// to use {usual}, which mlops-ci[{extra}] installs"
        raise ConfigError(f"the driver {url.get_driver_name()} is not installed", hint=hint) from error


def writing(engine: sa.Engine) -> sa.Engine:
    """The same database for transactions that write: in SQLite they take the lock at once, or wait for it."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{sqlite_files.WRITES: True})
    # A statement must see what was committed while it waited for a lock; MySQL's locking reads always do.
    return engine.execution_options(isolation_level="READ COMMITTED") if servers.is_postgresql(engine) else engine


def reading(engine: sa.Engine) -> sa.Engine:
    """The same database for queries: without a transaction around them where that is a message to the server less."""
    return engine.execution_options(isolation_level="AUTOCOMMIT") if servers.is_postgresql(engine) else engine


def is_read_only(engine: sa.Engine) -> bool:
    """Whether it is a file of SQLite's that this process cannot write."""
    file = sqlite_files.path(engine.url) if engine.dialect.name == "sqlite" else ""
    return bool(file) and sqlite_files.is_read_only(Path(file))


def shown(url: sa.URL) -> str:
    """*url* as it may be printed: without a password, wherever in it that stands."""
    secret = {name: "***" for name in url.query if "pass" in name.lower()}
    kind = url.set(drivername=url.get_backend_name()) if "+" in url.drivername else url
    return kind.update_query_dict(secret).render_as_string(hide_password=True)


def _without_password(url: str) -> str:
    """As `shown`, of what cannot be parsed: all from the colon after the user's name to the last @."""
    return re.sub(r":(?!//).*@", ":***@", re.sub(r"(pass\w*)=[^&]*", r"\1=***", url), flags=re.DOTALL)
