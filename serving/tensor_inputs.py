"""
Tensors become the records, or the columns, of a model's signature.

A model whose records are objects takes a tensor for each column, of shape [n] or [n, 1], or one tensor of shape
[n, k], under any name but a column's, with all k columns in the signature's order. Any other model takes one tensor
under any name: [n] or [n, 1] where a record is a single value, [n, ...] where it is an array. Without a signature
one tensor is an array (or a value) for each record, and several are objects. NaN stands for null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from serving.batch import SMALL, Batch
from serving.errors import Rejected, invalid
from serving.manifest import Manifest
from serving.schema import Schema
from serving.tensors import DATATYPE, NUMERIC, Tensor, inner_shape, kinds_of, nested

_ONLY = "input"
_EXACT = 2.0**53
_NOTHING_MORE = ("type", "title", "description", "default", "examples")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class _Value(NamedTuple):
    """What a signature says of one value: *inner* dimensions and the *kinds* in them, [] and {} if it does not."""

    inner: list[int]
    kinds: set[str]

    @property
    def nulls(self) -> bool:
        return not self.kinds or "null" in self.kinds

    @property
    def whole(self) -> bool:
        return "integer" in self.kinds and "number" not in self.kinds


class Inputs:
    """
    Makes batches for one model.

    Args:
        manifest: Has the signature.
        schema: Checks records against it.
        columns: Whether the model takes columns as they are.
    """

    def __init__(self, manifest: Manifest, schema: Schema, *, columns: bool) -> None:
        record = (manifest.content.get("signature") or {}).get("inputs", {})
        self._schema = schema
        self._most = manifest.settings.max_rows
        self._object = "object" in kinds_of(record)
        self._properties: dict[str, Mapping[str, Any]] = record.get("properties", {}) if self._object else {}
        self._required = record.get("required", list(self._properties))
        self._columns = {name: _value(each) for name, each in self._properties.items()}
        self._record = _value(record)
        self._typed = bool(self._record.kinds or self._record.inner)
        self._fast = columns and bool(self._columns) and all(map(_is_plain_number, self._properties.values()))

    def metadata(self) -> list[dict[str, Any]]:
        """Return name, datatype and shape of each input; nothing where the signature does not say."""
        if self._object:
            return [described(name, schema) for name, schema in self._properties.items()]
        return [_described(_ONLY, self._record)] if self._typed else []

    def batch(self, tensors: list[Tensor]) -> Batch:
        """
        Return the records that *tensors* are.

        Raises:
            Rejected: 400 for what the signature has not, 413 for too many rows.
        """
        rows = self._rows(tensors)
        if not self._object and (self._typed or len(tensors) == 1):
            return self._schema.check(self._values(self._single(tensors), self._record, of_a_column=False))
        matrix = self._is_matrix(tensors)
        if not matrix:
            self._check_names([tensor.name for tensor in tensors])
        if self._fast and rows > SMALL and (columns := self._arrays(tensors, matrix=matrix)):
            return Batch(rows, columns=columns)
        named = self._split(tensors[0]) if matrix else {tensor.name: self._column(tensor) for tensor in tensors}
        return self._schema.check([dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)])

    def _rows(self, tensors: list[Tensor]) -> int:
        if not tensors:
            raise invalid("the request has no inputs", "inputs")
        first, names = tensors[0], set()
        for tensor in tensors:
            if tensor.rows > self._most:
                raise Rejected(413, "too-many-rows", f"a request has at most {self._most} rows: send several")
            if tensor.rows != first.rows:
                said = f"{tensor.name!r} has {tensor.rows} rows, and {first.name!r} has {first.rows}"
                raise invalid(said, "inputs", tensor.name)
            if tensor.name in names:
                raise invalid(f"the input {tensor.name!r} is there twice", "inputs", tensor.name)
            names.add(tensor.name)
        return first.rows

    def _single(self, tensors: list[Tensor]) -> Tensor:
        if len(tensors) > 1:
            raise invalid(f"the model takes one tensor, and the request has {len(tensors)}", "inputs")
        return tensors[0]

    def _is_matrix(self, tensors: list[Tensor]) -> bool:
        """Whether there is one tensor with all columns."""
        first = tensors[0]
        own = self._columns.get(first.name)
        return len(tensors) == 1 and first.shape[1:] == [len(self._columns)] and not (own and own.inner)

    def _check_names(self, names: list[str]) -> None:
        if not self._columns:
            return
        known = ", ".join(map(repr, self._columns))
        for name in names:
            if name not in self._columns:
                count = len(self._columns)
                said = f"the model has no input {name!r}: send one tensor for each of {known}, or one of [n, {count}]"
                raise invalid(said, "inputs", name)
        for name in self._required:
            if name not in names:
                raise invalid(f"the input {name!r} is missing", "inputs", name)

    def _split(self, matrix: Tensor) -> dict[str, list[Any]]:
        """The columns of *matrix*."""
        flat, count = matrix.values(), len(self._columns)
        return {
            name: _converted(matrix._replace(name=name), flat[index::count], value)
            for index, (name, value) in enumerate(self._columns.items())
        }

    def _column(self, tensor: Tensor) -> list[Any]:
        return self._values(tensor, self._columns.get(tensor.name, _Value([], set())), of_a_column=True)

    def _values(self, tensor: Tensor, value: _Value, *, of_a_column: bool) -> list[Any]:
        """One item for each row; what is of one dimension more than the signature has is refused."""
        inner = tensor.shape[1:]
        anything = not value.kinds and not value.inner
        flattened = inner == [1] and not value.inner and (of_a_column or not anything)
        if inner and not flattened and not anything and len(inner) != len(value.inner):
            wanted = ", ".join(["n", *("k" if size < 0 else str(size) for size in value.inner)])
            said = f"the tensor {tensor.name!r} has the shape {tensor.shape}, and the model wants [{wanted}]"
            raise invalid(said, "inputs", tensor.name)
        values = _converted(tensor, tensor.values(), value)
        return values if flattened else nested(values, inner)

    def _arrays(self, tensors: list[Tensor], *, matrix: bool) -> dict[str, Any] | None:
        """NumPy arrays by column, or None where the values are better looked at one by one."""
        if any(
            tensor.datatype not in NUMERIC or (not matrix and tensor.shape[1:] not in ([], [1])) for tensor in tensors
        ):
            return None
        arrays = {tensor.name: tensor.numbers() for tensor in tensors}
        if any(array is None for array in arrays.values()):
            return None
        if matrix:
            table = arrays[tensors[0].name].reshape(tensors[0].rows, -1)
            arrays = dict(zip(self._columns, table.T, strict=True))
        return arrays if all(self._fits(name, array) for name, array in arrays.items()) else None

    def _fits(self, name: str, array: Any) -> bool:
        """Whether the signature allows every number of *array*."""
        import numpy as np  # noqa: PLC0415  # only a flavor that brings it takes arrays

        value, schema = self._columns[name], self._properties[name]
        finite = np.isfinite(array)
        if not finite.all():
            if np.isinf(array).any() or not value.nulls:
                return False
            array = array[finite]
        if value.whole and ((array != np.floor(array)) | (np.abs(array) >= _EXACT)).any():
            return False
        low, high, above, below = (schema.get(bound) for bound in _BOUNDS)
        return not (
            (low is not None and (array < low).any())
            or (high is not None and (array > high).any())
            or (above is not None and (array <= above).any())
            or (below is not None and (array >= below).any())
        )


def described(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of the tensor that has a value of *schema* for each record."""
    return _described(name, _value(schema))


def _described(name: str, value: _Value) -> dict[str, Any]:
    known = [kind for kind in ("string", "number", "integer", "boolean") if kind in value.kinds]
    # NaN says null, and no integer does.
    datatype = DATATYPE[known[0]] if known and not ("null" in value.kinds and known[0] == "integer") else "FP64"
    return {"name": name, "datatype": datatype, "shape": [-1, *value.inner]}


def _value(schema: Mapping[str, Any]) -> _Value:
    inner, items = inner_shape(schema)
    return _Value(inner, kinds_of(items))


def _is_plain_number(schema: Mapping[str, Any]) -> bool:
    """Whether nothing but its type and its range are said of a number."""
    said = {key for key in schema if not key.startswith("x-")}
    kinds = kinds_of(schema)
    return said <= {*_NOTHING_MORE, *_BOUNDS} and bool(kinds) and kinds <= {"integer", "number", "null"}


def _converted(tensor: Tensor, values: list[Any], value: _Value) -> list[Any]:
    """*values* as the signature has them: null for NaN, and whole numbers as integers."""
    _check_datatype(tensor, value)
    if not tensor.datatype.startswith("FP"):
        return values
    try:
        return [_number(each, value) if type(each) is float else each for each in values]
    except ValueError as error:
        raise invalid(f"the tensor {tensor.name!r} has {error}", "inputs", tensor.name) from None


def _check_datatype(tensor: Tensor, value: _Value) -> None:
    said = {DATATYPE[kind] for kind in value.kinds & DATATYPE.keys()}
    allowed = said | (NUMERIC if said & NUMERIC else set())
    if allowed and tensor.datatype not in allowed:
        wanted = " or ".join(sorted(said))
        raise invalid(
            f"the tensor {tensor.name!r} is {tensor.datatype}, and the model wants {wanted}", "inputs", tensor.name
        )


def _number(number: float, value: _Value) -> float | int | None:
    if math.isfinite(number):
        return int(number) if value.whole and number.is_integer() else number
    if math.isinf(number):
        raise ValueError("an infinity, which is no value for the model")
    if not value.nulls:
        raise ValueError("a NaN, and the model takes no null there")
    return None
