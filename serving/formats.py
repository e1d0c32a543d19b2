"""Arrow and Parquet: tables as a caller's tools have them, checked against the signature like JSON is."""

from __future__ import annotations

import json
from typing import Any

from serving.batch import Batch
from serving.errors import Rejected, invalid
from serving.manifest import Manifest

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
_TYPES = {ARROW: "arrow", "application/vnd.apache.arrow.file": "arrow", PARQUET: "parquet"}
_KINDS = {
    "boolean": ("is_boolean",),
    "integer": ("is_integer",),
    "number": ("is_integer", "is_floating", "is_decimal"),
    "string": ("is_string", "is_large_string", "is_dictionary"),
}


def known(content_type: str) -> bool:
    """Whether *content_type* is that of a table."""
    return content_type in _TYPES


class Tables:
    """Reads tables for a model whose records are objects with the columns of its signature."""

    def __init__(self, manifest: Manifest) -> None:
        record = (manifest.content.get("signature") or {}).get("inputs", {})
        self._properties: dict[str, dict[str, Any]] = record.get("properties", {})
        self._required = set(record.get("required", self._properties))
        self._most = manifest.settings.max_rows

    def read(self, body: bytes, content_type: str) -> Batch:
        """
        Read *body*.

        Raises:
            Rejected: 400 for what is no table or not the model's, 413 for too many rows, 415 where nothing here reads
                such tables.
        """
        table = self._table(body, _TYPES[content_type])
        if table.num_rows > self._most:
            raise Rejected(413, "too-many-rows", f"a request has at most {self._most} rows: send several")
        if not table.num_rows:
            raise invalid("the table has no rows", "records")
        if not self._properties:
            raise Rejected(415, "format", "the model's records are no objects with columns: send JSON")
        self._check_names(table.column_names)
        return Batch(table.num_rows, columns={name: self._column(table, name) for name in table.column_names})

    def _table(self, body: bytes, kind: str) -> Any:
        try:
            import pyarrow as pa  # noqa: PLC0415  # large, and most services have none
            import pyarrow.parquet as pq  # noqa: PLC0415  # as above
        except ImportError:
            raise Rejected(
                415, "format", f"this service was rendered without {kind}: add it to `serving: formats:` in mlops.yaml"
            ) from None
        try:
            if kind == "parquet":
                file = pq.ParquetFile(pa.BufferReader(body))
                if file.metadata.num_rows > self._most:
                    raise Rejected(413, "too-many-rows", f"a request has at most {self._most} rows: send several")
                return file.read()
            if body.startswith(b"ARROW1"):
                return pa.ipc.open_file(pa.BufferReader(body)).read_all()
            return pa.ipc.open_stream(pa.BufferReader(body)).read_all()
        except (pa.ArrowException, OSError) as error:
            raise invalid(f"the body is no {kind.capitalize()} table: {error}") from None

    def _check_names(self, names: list[str]) -> None:
        if len(set(names)) < len(names):
            raise invalid("a column is there twice", "columns")
        for name in names:
            if name not in self._properties:
                raise invalid(f"the model has no column {name!r}", "columns", name)
        for name in self._required:
            if name not in names:
                raise invalid(f"the column {name!r} is missing", "columns", name)

    def _column(self, table: Any, name: str) -> Any:
        import pyarrow as pa  # noqa: PLC0415  # as above

        column, schema = table.column(name), self._properties[name]
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        tests = [test for kind in kinds for test in _KINDS.get(kind, ())]
        if tests and not any(getattr(pa.types, test)(column.type) for test in tests):
            raise invalid(f"the column {name!r} is {column.type}, and the model wants {_words(kinds)}", "columns", name)
        if column.null_count and kinds and "null" not in kinds:
            raise invalid(
                f"the column {name!r} has {column.null_count} nulls, and the model takes none", "columns", name
            )
        if choices := schema.get("enum"):
            for value in column.unique().to_pylist():
                if value not in choices:
                    said = json.dumps(value, default=str)
                    raise invalid(f"{said} is none of the values of {name!r}", "columns", name)
        return _array(column)


def arrow(answers: list[Any], who: dict[str, str]) -> bytes:
    """*answers* as an Arrow stream with the column `prediction`; its metadata names the model."""
    import pyarrow as pa  # noqa: PLC0415  # as above

    table = pa.table({"prediction": answers}).replace_schema_metadata(who)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _array(column: Any) -> Any:
    """Numbers as float64 with NaN for null, where no integer is too large for one; anything else as objects."""
    import numpy as np  # noqa: PLC0415  # comes with the model
    import pyarrow as pa  # noqa: PLC0415  # as above

    if pa.types.is_floating(column.type):
        found = column.to_numpy().astype(np.float64)
        if np.isinf(found).any():
            raise invalid("an infinity is no value for the model", "columns")
        return found
    if pa.types.is_integer(column.type):
        return column.cast(pa.float64(), safe=False).to_numpy()
    values = column.to_pylist()
    array: Any = np.empty(len(values), dtype=object)
    array[:] = [float(value) if pa.types.is_decimal(column.type) and value is not None else value for value in values]
    return array


def _words(kinds: list[str]) -> str:
    return " or ".join(kinds)
