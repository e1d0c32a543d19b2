"""
Write runs to a file, one row each: CSV, JSON, JSON lines or Parquet.

Rows come a page at a time and are written at once, so that a million runs need no more memory than a thousand.
The file is written beside its place and takes it when it is whole.
"""

from __future__ import annotations

import csv
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.queries import query_runs
from mlops_ci.lifecycle.synchronize import open_projection
from mlops_ci.providers import optional_extra, suggestion

if TYPE_CHECKING:
    from mlops_ci.store import Columns, Scope

FORMATS = ("csv", "json", "jsonl", "parquet")
_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_HEAD_TYPES = {
    "started": "TIMESTAMP WITH TIME ZONE",
    "ended": "TIMESTAMP WITH TIME ZONE",
    "duration_s": "DOUBLE",
    "dirty": "BOOLEAN",
    "improvised": "BOOLEAN",
    "deleted": "BOOLEAN",
}

Row = dict[str, Any]


def export_runs(
    project: Project,
    path: Path,
    filter: str = "",  # noqa: A002
    *,
    kind: str | None = None,
    order_by: str | Sequence[str] = (),
    scope: Scope | None = None,
) -> int:
    """
    Write the runs for which *filter* holds to *path*, and return how many they are.

    Args:
        project: Whose runs.
        path: The file; one that is there is replaced when the new one is whole.
        filter: As in `query_runs.search_runs`.
        kind: One of `FORMATS`; what the name ends with decides unless given.
        order_by: As in `query_runs.search_runs`.
        scope: Of which experiments; all of the project unless given.

    Raises:
        UsageError: The format is not known, the filter cannot be read, or *path* is no place for a file.
        MissingDependency: Parquet needs DuckDB.
    """
    chosen = kind or _SUFFIXES.get(path.suffix.lower())
    if chosen not in FORMATS:
        hint = f"end the name with {', '.join(_SUFFIXES)}, or say --format"
        raise UsageError(f"what format is {path.name!r}? {suggestion(kind or path.suffix, list(FORMATS))}", hint=hint)
    if chosen == "parquet":
        with optional_extra("data"):
            import duckdb  # noqa: F401, PLC0415  # said before the work is done
    within = scope or query_runs.scope_of(project)
    with open_projection(project) as store:
        columns = column_types(store.columns(filter, scope=within))
        found = store.every(filter, order_by=order_by, scope=within)
        counted = _Counted({name: row.get(name) for name in columns} for row in map(query_runs.row, found))
        with _aside(path) as fresh:
            _WRITERS[chosen](fresh, columns, counted)
    return counted.count


def column_types(columns: Columns) -> dict[str, str]:
    """Every column of the file, in order, with its type in Parquet. Params of several types are text there."""
    head = {name: _HEAD_TYPES.get(name, "VARCHAR") for name in query_runs.HEAD}
    params = {f"params.{name}": _param_type(kinds - {"null"}) for name, kinds in columns.params.items()}
    metrics = {f"metrics.{name}": "DOUBLE" for name in columns.metrics}
    return head | params | metrics | {f"tags.{name}": "VARCHAR" for name in columns.tags}


def _param_type(kinds: frozenset[str]) -> str:
    if kinds == {"truth"}:
        return "BOOLEAN"
    if kinds == {"integer"}:
        return "BIGINT"
    return "DOUBLE" if kinds and kinds <= {"integer", "float"} else "VARCHAR"


class _Counted:
    """The rows, counted while they go by."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.count += 1
            yield row


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A file in *path*'s folder that takes its place in the end, or is gone if anything goes wrong."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="name another place") from error
    os.close(handle)
    fresh = Path(name)
    try:
        yield fresh
        mask = os.umask(0)
        os.umask(mask)
        fresh.chmod(0o666 & ~mask)
        fresh.replace(path)
    except OSError as error:
        raise ServiceError(f"{path} cannot be written: {error.strerror}", hint="nothing is half there") from error
    finally:
        fresh.unlink(missing_ok=True)


def _write_csv(path: Path, columns: dict[str, str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        _csv(file, columns, rows)


def _csv(file: IO[str], columns: Iterable[str], rows: Iterable[Row]) -> None:
    writer = csv.writer(file, lineterminator="\r\n")  # RFC 4180
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row.values()] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else value


def _write_json(path: Path, _columns: dict[str, str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, row in enumerate(rows):
            file.write(",\n" if number else "\n")
            file.write(_object(row))
        file.write("\n]\n")


def _write_lines(path: Path, _columns: dict[str, str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_object(row) + "\n" for row in rows)


def _object(row: Row) -> str:
    """What a run does not have is left out. JSON has no NaN and no infinity: they are text, as pandas reads them."""
    plain = {name: _plain(value) for name, value in row.items() if value is not None}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _write_parquet(path: Path, columns: dict[str, str], rows: Iterable[Row]) -> None:
    """By way of JSON lines beside it, which DuckDB reads with the types that we know."""
    import duckdb  # noqa: PLC0415  # an extra, and 60 MB

    # By number, since DuckDB takes names that differ in case alone for the same.
    keys = {name: f"c{number}" for number, name in enumerate(columns)}
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        lines = Path(folder) / "rows.jsonl"
        _write_lines(lines, columns, ({keys[name]: value for name, value in _typed(row, columns)} for row in rows))
        shape = ", ".join(f"{keys[name]}: '{kind}'" for name, kind in columns.items())
        named = ", ".join(f"{keys[name]} AS {_identifier(name)}" for name in columns)
        read = f"read_json({_quoted(lines)}, format = 'newline_delimited', columns = {{{shape}}})"
        with duckdb.connect() as connection:
            connection.execute(f"SET temp_directory = {_quoted(folder)}")
            query = f"COPY (SELECT {named} FROM {read}) TO {_quoted(path)} (FORMAT parquet, COMPRESSION zstd)"  # noqa: S608
            connection.execute(query)


def _typed(row: Row, columns: dict[str, str]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        yield name, str(value) if value is not None and columns[name] == "VARCHAR" else value


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str | Path) -> str:
    return "'" + str(text).replace("'", "''") + "'"


_WRITERS: dict[str, Callable[[Path, dict[str, str], Iterable[Row]], None]] = {
    "csv": _write_csv,
    "json": _write_json,
    "jsonl": _write_lines,
    "parquet": _write_parquet,
}
