"""
`like` and `ilike`: % stands for any text, _ for any character, and nothing else is special.

Databases disagree about case and about backslashes, so a pattern becomes the one that each is precise about:
GLOB in SQLite, a regular expression elsewhere. `ilike` takes a letter for its other case, one letter for one.
"""

from __future__ import annotations

import re

import sqlalchemy as sa


def matches(column: sa.Column[str], pattern: str, *, any_case: bool, dialect: str) -> sa.ColumnElement[bool]:
    """The condition that *column* matches *pattern* as a whole."""
    if dialect == "sqlite":
        return column.op("GLOB", is_comparison=True)(sa.literal(_glob(pattern, any_case=any_case), sa.String()))
    if dialect == "postgresql":
        escaped = _regular(pattern.replace("\1", "\1\2"), any_case=any_case)  # as `text.Text` keeps it
        return column.op("~", is_comparison=True)(sa.literal(f"^(?:{escaped})$", sa.String()))
    return column.op("REGEXP", is_comparison=True)(
        sa.literal(f"(?s)\\A(?:{_regular(pattern, any_case=any_case)})\\z", sa.String())
    )


def match(text: str, pattern: str, *, any_case: bool) -> bool:
    """Whether *text* matches *pattern*, without a database."""
    return re.fullmatch(_regular(pattern, any_case=any_case), text, re.DOTALL) is not None


def _glob(pattern: str, *, any_case: bool) -> str:
    signs = []
    for sign in pattern:
        if sign in "%_":
            signs.append("*" if sign == "%" else "?")
        elif sign in "*?[":
            signs.append(f"[{sign}]")
        else:
            signs.append(_cases(sign) if any_case else sign)
    return "".join(signs)


def _regular(pattern: str, *, any_case: bool) -> str:
    signs = []
    for sign in re.sub("%+", "%", pattern):
        if sign in "%_":
            signs.append(".*" if sign == "%" else ".")
        elif sign.isascii() and not sign.isalnum() and sign != "\n":
            signs.append(f"\\{sign}")
        else:
            signs.append(_cases(sign) if any_case else sign)
    return "".join(signs)


def _cases(sign: str) -> str:
    both = sorted({case for case in (sign, sign.lower(), sign.upper()) if len(case) == 1})
    return sign if len(both) == 1 else f"[{''.join(both)}]"
