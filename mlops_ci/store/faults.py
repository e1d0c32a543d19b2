"""What a database's error means to its user; the one place where SQLAlchemy's errors become ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import sqlalchemy.exc

from mlops_ci.errors import MlopsCIError, ServiceError, UsageError

# SQLite's primary error codes: the class, what is said of the file, and what to do next.
_SQLITE: dict[int, tuple[type[MlopsCIError], str, str]] = {
    sqlite3.SQLITE_BUSY: (ServiceError, "is locked by another program", "try again when that program has ended"),
    sqlite3.SQLITE_CANTOPEN: (UsageError, "cannot be opened", "its folder must exist and be writable"),
    sqlite3.SQLITE_CORRUPT: (UsageError, "is damaged", "put a copy from a backup in its place"),
    sqlite3.SQLITE_FULL: (ServiceError, "cannot grow: the disk is full", "nothing was written; free some space"),
    sqlite3.SQLITE_IOERR: (ServiceError, "cannot be read or written: the disk reports an error", ""),
    sqlite3.SQLITE_NOTADB: (UsageError, "is not an SQLite database", "name another file in `store:`"),
    sqlite3.SQLITE_READONLY: (UsageError, "cannot be written", "the file and its folder must be writable"),
}


@contextmanager
def told_plainly(address: str) -> Iterator[None]:
    """
    Turn what SQLAlchemy raises into one sentence about *address*, the store's URL without its password.

    Raises:
        UsageError: The address or the file is wrong.
        ServiceError: The database did not answer.
    """
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        raise _fault(address, error) from error
    except UnicodeEncodeError as error:
        raise UsageError(f"{error.object!r} is not text that can be written as UTF-8") from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise ServiceError(f"the store {address} failed: {_first_line(error)}") from error


def is_missing_table(error: sa.exc.DBAPIError) -> bool:
    """Whether a query failed since its table is not there, as in a database that nobody has used yet."""
    if isinstance(error.orig, sqlite3.Error):
        return "no such table" in str(error.orig)
    return isinstance(error, sa.exc.ProgrammingError)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process holds SQLite's lock."""
    return _code(error) == sqlite3.SQLITE_BUSY


def _fault(address: str, error: sa.exc.DBAPIError) -> MlopsCIError:
    known = _SQLITE.get(_code(error.orig))
    if known:
        kind, says, hint = known
        return kind(f"the store {address} {says}", hint=hint)
    return ServiceError(f"the store {address} failed: {_first_line(error.orig or error)}")


def _code(error: BaseException | None) -> int:
    """The low byte is the primary code; the others say where in SQLite it happened."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
