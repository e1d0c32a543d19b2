"""
Tables in the hands of training code: data frames, arrays, lists. What they hold, and their first records.

They are known by what they can do (`columns`, `to_dict`, `tolist`), so that no package is needed that the
training does not have.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from mlops_ci.tracking.folder import work_tree

BATCH = 1000
SEEN = "x-seen"
_EXAMPLES = 5
_ENOUGH = 100
_CHUNK_BYTES = 1 << 20
_KINDS = (
    ("bool", "boolean"),
    ("int", "integer"),
    ("uint", "integer"),
    ("float", "number"),
    ("decimal", "number"),
    ("double", "number"),
    ("date", "timestamp"),
    ("timestamp", "timestamp"),
    ("str", "string"),
    ("object", "string"),
    ("utf8", "string"),
    ("category", "string"),
)


def kind_of(dtype: object) -> str:
    """Return our word for a column's type: boolean, integer, number, timestamp, string, or *dtype*'s own."""
    name = str(dtype).lower()
    return next((kind for start, kind in _KINDS if name.startswith(start)), name)


def dtypes(table: Any) -> dict[str, str]:
    """Return the type of each column of a data frame by name, as it names them itself; {} for anything else."""
    if not _is_frame(table):
        return {}
    return {str(name): str(dtype) for name, dtype in zip(table.columns, table.dtypes)}  # noqa: B905  # Python 3.9


def records(example: Any) -> list[Any]:
    """
    Return the first five records of *example* as JSON has them.

    Args:
        example: A data frame, an array, a dict of columns, a record, or a list of records.

    Raises:
        TypeError: It is none of them, or empty.
    """
    found = [plain(record) for record in islice(_records(example), _EXAMPLES)]
    if not found:
        raise TypeError("the input example has no records")
    return found


def batches(example: Any) -> Iterator[list[Any]]:
    """Yield all records of *example*, as JSON has them, at most `BATCH` at a time. Raises as `records`."""
    count = _length(example)
    if count is None:
        yield [plain(record) for record in _records(example)]
        return
    for start in range(0, count, BATCH):
        part = _part(example, start)
        yield [plain(record) for record in (_records_of_frame(part) if _is_frame(part) else _records(part, BATCH))]


def ranges(example: Any) -> dict[str, list[float]]:
    """
    Return the smallest and the largest finite number in each column of *example*, by name.

    {} where it has no names, or fewer than 100 records: less says little about what a model can be asked.
    """
    if not is_enough(example):
        return {}
    found = ((str(name), bounds(values)) for name, values in _columns(example))
    return {name: both for name, both in found if both}


def is_enough(example: Any) -> bool:
    """Whether *example* has so many records that what it lacks is seldom."""
    return (_length(example) or 0) >= _ENOUGH


def bounds(values: Iterable[Any]) -> list[float]:
    """Return the smallest and the largest finite number among *values*; [] where there is none."""
    numbers = [
        value
        for value in values
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    ]
    return [min(numbers), max(numbers)] if numbers else []


def is_number(schema: Mapping[str, Any]) -> bool:
    """Whether *schema* is of a number, or of a number that may be missing."""
    kinds = schema.get("type", [])
    return bool({"integer", "number"} & {kinds} if isinstance(kinds, str) else {"integer", "number"} & set(kinds))


def schema(
    rows: list[Any], types: Mapping[str, str], *, whole: bool, seen: Mapping[str, list[float]] | None = None
) -> dict[str, Any]:
    """
    Return the JSON Schema of one of *rows*.

    Args:
        rows: At least one.
        types: What `dtypes` says of their columns: surer than a few values.
        whole: Whether an integer stays one. A few records of measurements may happen to be whole.
        seen: Smallest and largest value by column, as `ranges` returns them: they become `x-seen` of its schema.
    """
    first = rows[0]
    if isinstance(first, dict):
        names = list(dict.fromkeys(name for row in rows for name in row))
        properties = {
            name: _typed([row[name] for row in rows if name in row], kind_of(types.get(name, "")), whole=whole)
            for name in names
        }
        for name, both in (seen or {}).items():
            if name in properties and is_number(properties[name]):
                properties[name][SEEN] = both
        required = [name for name in names if all(name in row for row in rows)]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if isinstance(first, list):
        sizes = {len(row) for row in rows}
        items = _typed([value for row in rows for value in row], "", whole=whole)
        bounds = {"minItems": len(first), "maxItems": len(first)} if len(sizes) == 1 else {}
        return {"type": "array", "items": items, **bounds}
    return _typed(rows, "", whole=whole)


def fingerprint(data: Any) -> dict[str, Any]:
    """
    Return digest, size and columns of *data*: a path, or a table in memory.

    A table's digest is of its values as its library hashes or writes them, so it is equal only for the same
    library.

    Raises:
        TypeError: It is neither.
        OSError: The path cannot be read.
    """
    if isinstance(data, (str, os.PathLike)):
        return _of_path(Path(data))
    content, how = _content(data)
    columns = [[name, kind_of(dtype)] for name, dtype in dtypes(data).items()]
    head = json.dumps([columns, list(map(str, getattr(data, "shape", ())))]).encode("ascii")
    digest = hashlib.sha256(head)
    digest.update(content)
    return {
        "path": "",
        "digest": f"sha256:{digest.hexdigest()}",
        "size_bytes": len(content),
        "rows": len(data),
        "columns": columns or None,
        "note": f"in memory; the digest is of {how}",
    }


def _is_frame(table: Any) -> bool:
    return hasattr(table, "columns") and hasattr(table, "dtypes")


def _length(example: Any) -> int | None:
    """How many records *example* has; None for one that is a single record."""
    if isinstance(example, Mapping):
        sizes = [len(value) for value in example.values() if _is_column(value)]
        return min(sizes) if sizes and len(sizes) == len(example) else None
    shape: Any = getattr(example, "shape", ())
    if len(shape) > 1:
        return int(shape[0])
    rows = example.tolist() if hasattr(example, "tolist") else example
    lonely = isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], (int, float))
    return None if lonely or not hasattr(rows, "__len__") else len(rows)


def _part(example: Any, start: int) -> Any:
    """The next `BATCH` records of *example*, from *start*, as what it is."""
    if isinstance(example, Mapping):
        return {name: list(values)[start : start + BATCH] for name, values in example.items()}
    rows = example.iloc if hasattr(example, "iloc") else example
    return rows[start : start + BATCH]


def _columns(example: Any) -> Iterator[tuple[Any, Iterable[Any]]]:
    if _is_frame(example):
        yield from ((name, example[name].to_list()) for name in example.columns)
    elif isinstance(example, Mapping):
        yield from ((name, value.tolist() if hasattr(value, "tolist") else value) for name, value in example.items())
    elif isinstance(example, (list, tuple)) and isinstance(example[0], Mapping):
        rows = [plain(record) for record in example]
        yield from ((name, [row[name] for row in rows if name in row]) for name in rows[0])


def _records_of_frame(frame: Any) -> Iterator[Any]:
    return iter(frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_dict("records"))  # polars, pandas


def _records(example: Any, most: int = _EXAMPLES) -> Iterator[Any]:
    if _is_frame(example):
        return _records_of_frame(example.head(most))
    if hasattr(example, "toarray"):
        example = example[:most].toarray()
    if hasattr(example, "tolist"):
        example = example[:most].tolist()
    if isinstance(example, Mapping):
        columns = {name: list(value) for name, value in example.items() if _is_column(value)}
        if len(columns) < len(example):
            return iter([dict(example)])
        return (dict(zip(columns, row)) for row in zip(*columns.values()))  # noqa: B905  # Python 3.9
    if not isinstance(example, (list, tuple)):
        raise TypeError(
            f"a {type(example).__name__} is no input example: give a data frame, an array or a list of dicts"
        )
    lonely = example and isinstance(example[0], (int, float))
    return iter([list(example)] if lonely else example)


def _is_column(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes, Mapping))


def plain(value: Any) -> Any:
    """Return *value* as JSON has it; what is missing (None, NaN, NaT) becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    return (
        value.isoformat()
        if hasattr(value, "isoformat")
        else float(value)
        if hasattr(value, "__float__")
        else str(value)
    )


def _typed(column: list[Any], kind: str, *, whole: bool) -> dict[str, Any]:
    """The schema of the values in *column*."""
    present = [value for value in column if value is not None]
    if present and isinstance(present[0], (list, dict)):
        return schema(present, {}, whole=whole)
    known = {"boolean", "integer", "number"}
    found = {kind} if kind in known else {_kind(value, whole=whole) for value in present}
    if {"integer", "number"} <= found:
        found.remove("integer")
    kinds = sorted(found) + (["null"] if len(present) < len(column) else [])
    return {} if not found else {"type": kinds[0] if len(kinds) == 1 else kinds}


def _kind(value: Any, *, whole: bool) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if whole else "number"
    return "number" if isinstance(value, float) else "string"


def _content(table: Any) -> tuple[bytes, str]:
    """The values as bytes that are the same in every process, and how they were made."""
    library = type(table).__module__.partition(".")[0]
    if library == "pandas":
        from pandas.util import hash_pandas_object

        return hash_pandas_object(table, index=True).to_numpy().tobytes(), "pandas' hashes of its rows"
    if hasattr(table, "write_csv"):
        return str(table.write_csv()).encode(), "its values as CSV"
    if hasattr(table, "tobytes") and str(getattr(table, "dtype", "")) != "object":
        return f"{table.dtype}".encode() + table.tobytes(), "its bytes"
    if isinstance(table, (list, tuple)):
        return json.dumps(plain(table)).encode("ascii"), "its values as JSON"
    raise TypeError(f"a {type(table).__name__} is neither a path nor a table")


def _of_path(path: Path) -> dict[str, Any]:
    """As `mlops_ci.digests` and `mlops_ci.data` would say it, which are not to be had here."""
    absolute = path.absolute()
    top = work_tree(Path.cwd())
    named = absolute.relative_to(top) if top and top in absolute.parents else path
    if not absolute.is_dir():
        digest, size_bytes = _of_file(absolute)
        return {"path": named.as_posix(), "digest": digest, "size_bytes": size_bytes}
    root = absolute.resolve()
    files: list[dict[str, Any]] = []
    for file in absolute.rglob("*"):
        if file.is_file() and root in file.resolve().parents:
            digest, size_bytes = _of_file(file)
            files.append({"digest": digest, "path": file.relative_to(absolute).as_posix(), "size_bytes": size_bytes})
    files.sort(key=lambda each: str(each["path"]))
    manifest = json.dumps(files, separators=(",", ":"), ensure_ascii=False).encode()
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    return {"path": named.as_posix(), "digest": digest, "size_bytes": sum(each["size_bytes"] for each in files)}


def _of_file(path: Path) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
    return f"sha256:{digest.hexdigest()}", size_bytes
