"""
What a filter can ask of a run: metrics, params and tags by their names, and the run's own attributes.

Every field has a type, which says what it is compared with.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Literal

import msgspec

from mlops_ci.providers import suggestion
from mlops_ci.store import run_rows
from mlops_ci.store.filters.tokens import Token

Table = Literal["metrics", "params", "tags", "attributes"]
Type = Literal["number", "text", "any", "time", "truth", "status", "sha"]

AGGREGATES = ("last", "min", "max", "count")
STATUSES = ("finished", "failed", "killed")

_ATTRIBUTES: dict[str, Type] = {
    "author": "text",
    "branch": "text",
    "dirty": "truth",
    "duration_s": "number",
    "ended": "time",
    "experiment": "text",
    "improvised": "truth",
    "note": "text",
    "project": "text",
    "run_id": "text",
    "sha": "sha",
    "started": "time",
    "status": "status",
}
# MLflow's words, and what people type.
_ALIASES = {
    "start_time": "started",
    "end_time": "ended",
    "duration": "duration_s",
    "experiment_name": "experiment",
    "user_id": "author",
    "commit": "sha",
    "id": "run_id",
}
_TABLES: dict[str, Table] = {
    **dict.fromkeys(("metrics", "metric"), "metrics"),
    **dict.fromkeys(("params", "param", "parameters", "parameter"), "params"),
    **dict.fromkeys(("tags", "tag"), "tags"),
    **dict.fromkeys(("attributes", "attribute", "attr", "run"), "attributes"),
}
_TYPES: dict[Table, Type] = {"metrics": "number", "params": "any", "tags": "text"}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{4,64}")
_LAST_MS = 253_402_300_799_999  # the end of the year 9999


class Field(msgspec.Struct, frozen=True):
    """Something that a run may have; *aggregate* is what of a metric's history."""

    table: Table
    name: str
    type: Type
    aggregate: Literal["last", "min", "max", "count"] = "last"

    @property
    def shown(self) -> str:
        """As it is written in a filter."""
        if self.table == "attributes":
            return self.name
        plain = f"{self.table}.{self.name}"
        return plain if self.aggregate == "last" else f"{self.aggregate}({plain})"


def find(prefix: str, name: str) -> Field | str:
    """The field *prefix*.*name*, or the sentence that says why there is none."""
    table = _TABLES.get(prefix.lower()) if prefix else "attributes"
    if table is None:
        return f"there are no {prefix!r}; {suggestion(prefix, ['metrics', 'params', 'tags', 'attributes'])}"
    if not name:
        return f"expected a name after {prefix}."
    if table != "attributes":
        return Field(table, name, _TYPES[table])
    known = _ALIASES.get(name.lower(), name.lower())
    if known not in _ATTRIBUTES:
        guess, _, _ = suggestion(name, [*_ATTRIBUTES, *_ALIASES]).partition("Known")
        others = f"write metrics.{name}, params.{name} or tags.{name}, or one of {', '.join(_ATTRIBUTES)}"
        return f"runs have no {name!r}; {guess.strip() or others}"
    return Field("attributes", known, _ATTRIBUTES[known])


def aggregated(field: Field, aggregate: str) -> Field:
    """The *aggregate* (one of `AGGREGATES`) of a metric."""
    return msgspec.structs.replace(field, aggregate=aggregate)


def value_of(field: Field, token: Token) -> tuple[str | float | bool | None, str]:
    """What *token* says, as a value of the field's type; None if it is no such value, and what would be one."""
    number, word = _number(token), token.value.lower()
    text = token.value if token.kind == "text" else None
    truth = {"true": True, "false": False}.get(word)
    bare_truth = None if text is not None else truth
    plain = number if bare_truth is None else bare_truth
    read: dict[Type, tuple[str | float | bool | None, str]] = {
        "number": (number, "a number"),
        "truth": ({"1": True, "0": False}.get(word, truth), "true or false"),
        "any": (plain if text is None else text, "a number, true, false, or text in quotes, as in 'rf'"),
        "status": (
            word if word in STATUSES else None,
            f"{', '.join(STATUSES)} (runs that still go are not recorded yet)",
        ),
        "sha": (word if _HEX.fullmatch(word) else None, "the start of a commit, at least four hexadecimal digits"),
    }
    return read.get(field.type, (text, "text in quotes, as in 'main'"))


def moments(text: str) -> tuple[int, int] | None:
    """The first and last microsecond (after 1970) that *text* names; None if it names no time."""
    if _NUMBER.fullmatch(text):
        ms = float(text)
        return (int(ms * 1000), int(ms * 1000)) if abs(ms) <= _LAST_MS else None
    try:
        first = run_rows.microseconds(text)
    except OverflowError:
        return None
    if first is None:
        return None
    if not _DAY.fullmatch(text):
        return first, first
    return first, first + timedelta(days=1) // timedelta(microseconds=1) - 1


def _number(token: Token) -> float | None:
    if token.kind != "name" or not _NUMBER.fullmatch(token.value):
        return None
    value = float(token.value)
    return value if math.isfinite(value) else None
