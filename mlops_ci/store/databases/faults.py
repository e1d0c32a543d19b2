"""What a database's error means to its user; the one place where SQLAlchemy's errors become ours."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import sqlalchemy as sa
import sqlalchemy.exc

from mlops_ci.errors import MlopsCIError, ServiceError, UsageError


class Fault(NamedTuple):
    """What is said of the store, as what, and what can be done about it."""

    kind: type[MlopsCIError]
    says: str
    hint: str = ""


_FILE_BUSY = Fault(ServiceError, "is locked by another program", "try again when that program has ended")
_DISK_FULL = Fault(ServiceError, "cannot grow: the disk is full", "nothing was written; free some space")
_READ_ONLY = Fault(UsageError, "cannot be written", "the file and its folder must be writable")

# By SQLite's primary error codes.
_SQLITE = {
    sqlite3.SQLITE_BUSY: _FILE_BUSY,
    sqlite3.SQLITE_LOCKED: _FILE_BUSY,
    sqlite3.SQLITE_CANTOPEN: Fault(UsageError, "cannot be opened", "its folder must exist and be writable"),
    sqlite3.SQLITE_CORRUPT: Fault(UsageError, "is damaged", "put a copy from a backup in its place"),
    sqlite3.SQLITE_FULL: _DISK_FULL,
    sqlite3.SQLITE_IOERR: Fault(
        ServiceError,
        "cannot be read or written: the disk reports an error",
        "nothing was written; look for a full disk, a limit of file sizes, or a failing disk",
    ),
    sqlite3.SQLITE_NOTADB: Fault(UsageError, "is not an SQLite database", "name another file in `store:`"),
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
}

_REFUSED = Fault(UsageError, "refuses this user or password", "look at both in the store's URL, and at who may connect")
_NO_DATABASE = Fault(UsageError, "does not exist on its server", "create the database, or name another in `store:`")
_FORBIDDEN = Fault(
    UsageError,
    "does not let this user do that",
    "its owner can grant this user the use of its tables",
)
_SERVER_READS = Fault(UsageError, "cannot be written: the server only reads", "name the server that writes in `store:`")
_BUSY = Fault(ServiceError, "is busy: other writers were in the way", "nothing was written; try again")
_LOCKED = Fault(ServiceError, "is locked by another program", "nothing was written; try again when that has ended")
_CROWDED = Fault(
    ServiceError, "has no connection left: others hold them all", "try again; the server's limit can be raised"
)
_SERVER_FULL = Fault(ServiceError, "cannot grow: the server's disk is full", "nothing was written; free space there")
_STARTING = Fault(ServiceError, "is just starting or stopping", "try again in a moment")
_BROKEN = Fault(ServiceError, "broke the connection off", "what was under way is all there or not at all; try again")
_AWAY = Fault(ServiceError, "does not answer", "is the server up, and are host and port right? then try again")
_TOO_LARGE = Fault(UsageError, "takes no record of that size", "raise the server's max_allowed_packet")

# PostgreSQL's SQLSTATE, whole or its class; https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL = {
    **dict.fromkeys(("28",), _REFUSED),
    **dict.fromkeys(("3D000",), _NO_DATABASE),
    **dict.fromkeys(("42501", "3F000"), _FORBIDDEN),
    **dict.fromkeys(("25006",), _SERVER_READS),
    **dict.fromkeys(("40",), _BUSY),
    **dict.fromkeys(("55P03", "57014"), _LOCKED),
    **dict.fromkeys(("53300",), _CROWDED),
    **dict.fromkeys(("53100",), _SERVER_FULL),
    **dict.fromkeys(("57P03",), _STARTING),
    **dict.fromkeys(("57P", "08", "25P03"), _BROKEN),
    **dict.fromkeys(("54000",), _TOO_LARGE),
}
# https://mariadb.com/docs/server/reference/error-codes and MySQL's, which share the numbers below 1900
_MYSQL = {
    **dict.fromkeys((1045, 1130, 1251, 1698, 2059), _REFUSED),
    **dict.fromkeys((1049,), _NO_DATABASE),
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370), _FORBIDDEN),
    **dict.fromkeys((1290, 1792, 1836), _SERVER_READS),
    **dict.fromkeys((1213, 1020), _BUSY),
    **dict.fromkeys((1205, 3572, 1969, 3024), _LOCKED),
    **dict.fromkeys((1040, 1203, 1226), _CROWDED),
    **dict.fromkeys((1021, 1114), _SERVER_FULL),
    **dict.fromkeys((0, 1053, 1077, 1079, 1158, 1159, 1160, 1161, 1317, 1927, 2006, 2013, 2055, 4031), _BROKEN),
    **dict.fromkeys((2002, 2003, 2005), _AWAY),
    **dict.fromkeys((1153, 1301), _TOO_LARGE),
}
# A connection that PostgreSQL refused has no SQLSTATE, only words.
_WORDS = {
    r"too many (clients|connections)|connection slots are reserved": _CROWDED,
    r"database system is (starting|shutting|not yet|in recovery)": _STARTING,
    r"authentication failed|no password supplied|no pg_hba\.conf entry|role .* (not exist|not permitted)": _REFUSED,
    r"database .* does not exist": _NO_DATABASE,
    r"permission denied for database": _FORBIDDEN,
    r"refused|resolve|translate host|No such file|timeout expired|timed out|unreachable|No route": _AWAY,
    r"closed|reset by peer|terminat|consuming input failed|EOF": _BROKEN,
}
_MISSING_TABLE = {"42P01", 1146}


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
        fault = _fault(error.orig)
        if fault is None:
            raise ServiceError(f"the store {address} failed: {_first_line(error.orig or error)}") from error
        raise fault.kind(f"the store {address} {fault.says}", hint=fault.hint) from error
    except UnicodeEncodeError as error:
        raise UsageError(f"{error.object!r} is not text that can be written as UTF-8") from error
    except sqlalchemy.exc.TimeoutError as error:
        raise ServiceError(f"the store {address} is asked too much at once", hint="try again") from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise ServiceError(f"the store {address} failed: {_first_line(error)}") from error


def is_missing_table(error: sa.exc.DBAPIError) -> bool:
    """Whether a query failed since its table is not there, as in a database that nobody has used yet."""
    if isinstance(error.orig, sqlite3.Error):
        return "no such table" in str(error.orig)
    return _code(error.orig) in _MISSING_TABLE


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process holds SQLite's lock."""
    return _fault(error) is _FILE_BUSY


def may_pass_soon(error: BaseException | None) -> bool:
    """Whether a server that refused a connection will probably take it in a second or two."""
    return _fault(error) in {_CROWDED, _STARTING}


def was_in_the_way(error: sa.exc.DBAPIError) -> bool:
    """Whether a transaction that failed, and left nothing behind, may work when it is done again from its start."""
    lost_race = isinstance(error, sa.exc.IntegrityError)
    return lost_race or error.connection_invalidated or _fault(error.orig) in {_BUSY, _BROKEN}


def _fault(error: BaseException | None) -> Fault | None:
    code = _code(error)
    if isinstance(error, sqlite3.Error):
        return _SQLITE.get(int(code))
    if isinstance(code, int):
        return _MYSQL.get(code)
    if code:
        return next((_POSTGRESQL[start] for start in (code, code[:3], code[:2]) if start in _POSTGRESQL), None)
    return next((fault for words, fault in _WORDS.items() if re.search(words, str(error))), None)


def _code(error: BaseException | None) -> int | str:
    """SQLite's primary code (the low byte; the rest says where in SQLite it was), MySQL's number, or an SQLSTATE."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF
    first = error.args[0] if error and error.args else ""
    if isinstance(first, int):
        return first
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
