"""Arrow and Parquet: tables as a caller's tools have them, checked against the signature like JSON is."""

from __future__ import annotations

import struct
from typing import Any, NotRequired, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from serving import arrow_bodies, parquet_bodies
from serving.arrow_bodies import Limits
from serving.batch import EXACT, Batch
from serving.errors import Rejected, invalid
from serving.manifest import Manifest
from serving.schema import Schema
from serving.tensors import kinds_of

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
_TYPES = {ARROW: "arrow", "application/vnd.apache.arrow.file": "arrow", PARQUET: "parquet"}
_TEXTS = ("is_string", "is_large_string")
_NUMBERS = ("is_integer", "is_floating", "is_decimal")
_LISTS = ("is_list", "is_large_list", "is_fixed_size_list")
_KINDS = {
    "boolean": ("is_boolean",),
    "integer": ("is_integer",),
    "number": _NUMBERS,
    "string": _TEXTS,
    "array": _LISTS,
    "object": ("is_struct",),
    "null": ("is_null",),
}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_NOTHING_MORE = {"type", "title", "description", "default", "examples", *_BOUNDS}
_LARGEST = 2**63 - 1


def known(content_type: str) -> bool:
    """Whether *content_type* is that of a table."""
    return content_type in _TYPES


class Tables:
    """
    Reads tables for a model whose records are objects with the columns of its signature.

    Columns of numbers of which the signature says no more than their range are checked as arrays. Any other goes
    through the types that read JSON.

    Args:
        manifest: Has the signature and the limits.
        schema: The types of the signature.
    """

    def __init__(self, manifest: Manifest, schema: Schema) -> None:
        record = (manifest.content.get("signature") or {}).get("inputs", {})
        self._properties: dict[str, dict[str, Any]] = record.get("properties", {})
        self._required = set(record.get("required", self._properties))
        self._limits = Limits(manifest.settings.max_rows, manifest.settings.max_body_bytes)
        self._schema = schema
        self._types = {name: _column_of(kind) for name, kind in (schema.fields or {}).items()}

    def read(self, body: bytes, content_type: str) -> Batch:
        """
        Read *body*.

        Raises:
            Rejected: 400 for what is no table or not the model's, 413 for one with too many rows or too large when it
                is decoded, 415 where nothing here reads such tables.
        """
        table = self._table(body, _TYPES[content_type])
        if not table.num_rows:
            raise invalid("the table has no rows", "records")
        columns = {name: self._column(table.column(name), name) for name in table.column_names}
        batch = Batch(table.num_rows, columns=columns)
        return batch if columns.keys() <= self._types.keys() else self._schema.check(batch.as_records())

    def _table(self, body: bytes, kind: str) -> Any:
        pa = _pyarrow(kind)
        read = parquet_bodies.read if kind == "parquet" else arrow_bodies.read
        try:
            return read(body, self._limits, self._check_schema)
        # What was tampered with is found at any place, also by what takes names and headers apart.
        except (
            pa.ArrowException,
            OSError,
            ValueError,
            ArithmeticError,
            LookupError,
            struct.error,
        ) as error:
            raise invalid(f"the body is no {kind.capitalize()} table: {error}") from None

    def _check_schema(self, schema: Any) -> None:
        if not self._properties:
            raise Rejected(415, "format", "the model's records are no objects with columns: send JSON")
        names = schema.names
        if len(set(names)) < len(names):
            raise invalid("a column is there twice", "columns")
        for name in names:
            if name not in self._properties:
                raise invalid(f"the model has no column {name!r}", "columns", name)
        for name in self._required:
            if name not in names:
                raise invalid(f"the column {name!r} is missing", "columns", name)
        for field in schema:
            self._check_type(field.name, field.type)

    def _check_type(self, name: str, found: Any) -> None:
        if not _is_read(found):
            raise invalid(f"the column {name!r} is {found}, which is not read here", "columns", name)
        kinds = _kinds(self._properties[name])
        tests = [test for kind in kinds for test in _KINDS.get(kind, ())]
        if tests and not _is(_plain_type(found), *tests):
            raise invalid(f"the column {name!r} is {found}, and the model wants {' or '.join(kinds)}", "columns", name)

    def _column(self, column: Any, name: str) -> Any:
        schema = self._properties[name]
        kinds = _kinds(schema)
        if column.type != (plain := _plain_type(column.type)) and not _is(plain, *_TEXTS):
            column = column.cast(plain)
        if kinds and "null" not in kinds:
            _refuse_nulls(name, column.null_count)
        said = {key for key in schema if not key.startswith("x-")}
        if said <= _NOTHING_MORE and {*kinds} <= {"integer", "number", "null"} and kinds:
            if _is(plain, "is_floating"):
                return _floats(column, name, schema)
            if _is(plain, "is_integer"):
                return _integers(column, name, schema)
        values = column.to_pylist()
        if not _is(plain, "is_boolean", *_TEXTS):
            for row, value in enumerate(values):  # in place, for there may be lists with millions of numbers
                values[row] = _value(value)
        return self._strict(values, name)

    def _strict(self, values: list[Any], name: str) -> list[Any]:
        """*values* through the type of the column, where it has one: the whole record has, otherwise."""
        if name not in self._types:
            return values
        try:
            checked: list[Any] = self._types[name].validate_python(values)
        except ValidationError as error:
            raise self._schema.rejection(error, "columns", name) from None
        return checked


def arrow(answers: list[Any], who: dict[str, str]) -> bytes:
    """
    *answers* as an Arrow stream with the column `prediction`, null for NaN; its metadata names the model.

    Raises:
        Rejected: 415 where nothing here writes such tables, 500 for answers that are no column, as of several types.
    """
    pa = _pyarrow("arrow")
    try:
        column = pa.array(answers, from_pandas=True)
        table = pa.table({"prediction": column}).replace_schema_metadata(who)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    except (pa.ArrowException, OverflowError) as error:
        raise Rejected(500, "unsayable", f"the model's answer cannot be written as Arrow: {error}") from error
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _pyarrow(kind: str) -> Any:
    try:
        import pyarrow  # noqa: ICN001, PLC0415  # large, and most services have none
        import pyarrow.parquet  # noqa: PLC0415  # as above
    except ImportError:
        raise Rejected(
            415, "format", f"this service was rendered without {kind}: add it to `serving: formats:` in mlops.yaml"
        ) from None
    return pyarrow


def _is(found: Any, *tests: str) -> bool:
    import pyarrow as pa  # noqa: PLC0415  # as above

    return any(getattr(pa.types, test)(found) for test in tests)


def _is_read(found: Any) -> bool:
    """Whether JSON has such values, and no few bytes become many of them unseen."""
    if _is(found, "is_dictionary"):
        return _is(found.value_type, "is_boolean", *_TEXTS, *_NUMBERS)
    if _is(found, *_LISTS):
        return _is_read(found.value_type)
    if _is(found, "is_struct"):
        return all(_is_read(found.field(index).type) for index in range(found.num_fields))
    return _is(found, "is_null", "is_boolean", *_TEXTS, *_NUMBERS)


def _plain_type(found: Any) -> Any:
    return found.value_type if _is(found, "is_dictionary") else found


def _kinds(schema: dict[str, Any]) -> list[str]:
    return sorted(kinds_of(schema))


def _column_of(kind: Any) -> SchemaValidator:
    """Reads a column of *kind* up to its first mistake: a few bytes may hold millions, each of which takes hundreds."""
    if get_origin(kind) is NotRequired:
        (kind,) = get_args(kind)
    return SchemaValidator(_failing_fast(TypeAdapter(list[kind]).core_schema))


def _failing_fast(core: Any) -> Any:
    if isinstance(core, list):
        return [_failing_fast(each) for each in core]
    if not isinstance(core, dict):
        return core
    found = {name: _failing_fast(each) for name, each in core.items()}
    return found | {"fail_fast": True} if core.get("type") == "list" else found


def _refuse_nulls(name: str, count: int) -> None:
    if count:
        raise invalid(f"the column {name!r} has {count} nulls, and the model takes none", "columns", name)


def _floats(column: Any, name: str, schema: dict[str, Any]) -> Any:
    """The numbers as float64, with NaN for null."""
    import numpy as np  # noqa: PLC0415  # comes with the model

    found = column.to_numpy().astype(np.float64)
    if np.isinf(found).any():
        raise invalid(f"the column {name!r} has an infinity, which is no value for the model", "columns", name)
    there = found[~np.isnan(found)]
    if "null" not in _kinds(schema):
        _refuse_nulls(name, len(found) - len(there))
    if len(there):
        _check_bounds(name, schema, float(there.min()), float(there.max()))
    return found


def _integers(column: Any, name: str, schema: dict[str, Any]) -> Any:
    """The numbers as float64, with NaN for null; as they are where one is larger than what that is exact for."""
    import numpy as np  # noqa: PLC0415  # as above
    import pyarrow as pa  # noqa: PLC0415  # as above
    import pyarrow.compute as pc  # noqa: PLC0415  # as above

    least, most = pc.min_max(column).as_py().values()
    if least is not None:
        _check_bounds(name, {"maximum": _LARGEST, **schema}, least, most)
        if max(-least, most) > EXACT:
            array: Any = np.empty(len(column), dtype=object)
            array[:] = column.to_pylist()
            return array
    return column.cast(pa.float64(), safe=False).to_numpy()


def _check_bounds(name: str, schema: dict[str, Any], least: float, most: float) -> None:
    low, high, above, below = (schema.get(bound) for bound in _BOUNDS)
    for bound, wrong in (
        (low, low is not None and least < low),
        (high, high is not None and most > high),
        (above, above is not None and least <= above),
        (below, below is not None and most >= below),
    ):
        if wrong:
            raise invalid(f"the column {name!r} has a value beyond {bound}", "columns", name)


def _value(found: Any) -> Any:
    """*found* as JSON has it: null for NaN, and a decimal as a number."""
    from decimal import Decimal  # noqa: PLC0415  # rare

    if isinstance(found, list):
        return [_value(each) for each in found]
    if isinstance(found, dict):
        return {name: _value(each) for name, each in found.items()}
    if isinstance(found, Decimal):
        found = float(found)
    return None if found != found else found  # noqa: PLR0124  # NaN is what is unequal to itself
