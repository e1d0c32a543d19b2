"""
The fingerprint of a file or folder: its digest, and for tables their rows and columns.

A file is read once: the digest is taken of the bytes as the table is read from them. CSV and JSON Lines need
the standard library, Parquet the extra `data`. A table that cannot be read still has its digest, and the
note says why there is no more.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from mlops_ci import digests
from mlops_ci.data import csv_tables
from mlops_ci.data.tables import Table
from mlops_ci.entities import Column, Dataset
from mlops_ci.errors import InputError, MissingDependency
from mlops_ci.providers import optional_extra

_BUFFER_BYTES = 1 << 18


def fingerprint(name: str, path: Path, root: Path) -> Dataset:
    """
    Describe the data at *path*.

    Args:
        name: What it is for; the key below `run: data:`.
        path: A file, or a folder.
        root: The top of the checkout, which its path is told from.

    Raises:
        InputError: It is missing or cannot be read.
    """
    where = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    try:
        if path.is_dir():
            files = digests.of_files(path)
            size_bytes = sum(file.size_bytes for file in files)
            return Dataset(name=name, path=where, digest=digests.of_tree(files), size_bytes=size_bytes)
        digest, size_bytes, table = _of_file(path)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise InputError(
            f"{where} {'does not exist' if missing else f'cannot be read: {error.strerror}'}",
            hint=f"`run: data: {name}:` in mlops.yaml names it",
        ) from error
    return Dataset(
        name=name,
        path=where,
        digest=digest,
        size_bytes=size_bytes,
        rows=table.rows,
        columns=table.columns,
        note=table.note,
    )


def _of_file(path: Path) -> tuple[str, int, Table]:
    read = _READERS.get(path.suffix.lower())
    with path.open("rb", buffering=0) as file:
        hashing = _Hashing(file)
        buffered: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, hashing), _BUFFER_BYTES)
        table = read(buffered) if read else Table()
        while buffered.read(_BUFFER_BYTES):
            pass
    if path.suffix.lower() in {".parquet", ".pq"}:
        table = _parquet(path)
    return f"sha256:{hashing.digest.hexdigest()}", hashing.size_bytes, table


class _Hashing(io.RawIOBase):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        self.digest.update(memoryview(buffer)[:count])
        self.size_bytes += count
        return count


def _json_lines(file: io.BufferedReader) -> Table:
    return Table(rows=sum(1 for line in file if line.strip()))


def _parquet(path: Path) -> Table:
    try:
        with optional_extra("data"):
            import duckdb  # noqa: PLC0415  # an extra, and 60 MB
    except MissingDependency as error:
        return Table(note=f"rows and columns are read with: {error.hint}")
    try:
        with duckdb.connect() as connection:
            names = connection.execute("DESCRIBE SELECT * FROM read_parquet($1)", [str(path)]).fetchall()
            rows = connection.execute("SELECT count(*) FROM read_parquet($1)", [str(path)]).fetchall()[0][0]
    except duckdb.Error as error:
        return Table(note=f"rows and columns are not known: {str(error).splitlines()[0]}")
    return Table(rows=int(rows), columns=[Column(name=name, type=_parquet_type(kind)) for name, kind, *_ in names])


def _parquet_type(kind: str) -> str:
    word = kind.partition("(")[0]
    if word in {"FLOAT", "DOUBLE", "DECIMAL"}:
        return "number"
    if word.endswith(("INT", "INTEGER")):
        return "integer"
    if word == "DATE" or word.startswith("TIMESTAMP"):
        return "timestamp"
    return {"BOOLEAN": "boolean", "VARCHAR": "string"}.get(kind, kind.lower())


_READERS: dict[str, Callable[[io.BufferedReader], Table]] = {
    ".csv": csv_tables.read,
    ".tsv": csv_tables.read,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
