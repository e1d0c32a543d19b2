"""
Text that is looked up or sorted: the same in every database.

It is compared by code point, blanks at its end included. What is longer than an index takes is kept by its
beginning and a digest of the whole, so it is still found by its whole self. The record has it in full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa


class Text(sa.types.TypeDecorator[str]):
    """A column of text of at most *length* characters, or of any length if that is None; then it has no index."""

    impl = sa.String
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """What the column is in the database of *dialect*."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.Text(collation="C"))
        if dialect.name not in {"mysql", "mariadb"}:
            return dialect.type_descriptor(sa.String(self.length) if self.length else sa.Text())
        from sqlalchemy.dialects import mysql  # noqa: PLC0415  # the others have no use for it

        # Known after the first connection, whatever the URL says. The other collations take "a" and "a " for equal.
        collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        kind = mysql.VARCHAR(self.length, collation=collation) if self.length else mysql.LONGTEXT(collation=collation)
        return dialect.type_descriptor(kind)

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[str | None], str | None]:
        """Return what makes a value fit for the column."""
        length = self.length or 2**62
        escaped = dialect.name == "postgresql"

        def bind(value: str | None) -> str | None:
            if value is None:
                return None
            value = fitted(value, length)
            return _escaped(value) if escaped and ("\0" in value or "\1" in value) else value

        return bind

    def result_processor(self, dialect: sa.Dialect, _coltype: object) -> Callable[[str | None], str | None] | None:
        """Return what makes a value of the column what it was; only PostgreSQL's are ever changed."""
        return _unescaped if dialect.name == "postgresql" else None


def fitted(value: str, length: int) -> str:
    """*value* as a column of *length* characters keeps it: whole, unless it is longer."""
    return value if len(value) <= length else _shortened(value, length)


def _shortened(value: str, length: int) -> str:
    digest = hashlib.sha256(value.encode()).hexdigest()[: length // 2]
    return value[: length - len(digest)] + digest


def _escaped(value: str) -> str:
    """PostgreSQL's text holds no NUL. This keeps different texts different, and their order."""
    return value.replace("\1", "\1\2").replace("\0", "\1\1")


def _unescaped(value: str | None) -> str | None:
    if value is None or "\1" not in value:
        return value
    return value.replace("\1\1", "\0").replace("\1\2", "\1")
