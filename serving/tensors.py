"""
Tensors of the Open Inference Protocol: values in row-major order, from JSON or from bytes, and back into them.

What a model makes of them is not known here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from serving.errors import Rejected, invalid

_FLOATS = {"FP16": "e", "FP32": "f", "FP64": "d"}
_INTEGERS = {
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
}  # fmt: skip
_CODES = {"BOOL": "?", **_FLOATS, **_INTEGERS}
_TYPES: dict[str, set[type]] = {
    "BOOL": {bool},
    "BYTES": {str},
    **{name: {int, float} for name in _FLOATS},
    **{name: {int} for name in _INTEGERS},
}
_LENGTH = struct.Struct("<I")
_MOST_DIMENSIONS = 32

NUMERIC = frozenset({*_FLOATS, *_INTEGERS})
DATATYPE = {"boolean": "BOOL", "integer": "INT64", "number": "FP64", "string": "BYTES"}
"""What a value of a JSON Schema's type is called here."""


class Tensor(NamedTuple):
    """
    A named tensor; *values* reads what was sent, and is asked only for what fits the limits.

    Attributes:
        values: Gives all values in row-major order, with None for a null. Raises `Rejected` for one that *datatype*
            has not.
        numbers: Gives them as a flat float64 array of NumPy, with NaN for a null; None where that does not go.
    """

    name: str
    datatype: str
    shape: list[int]
    values: Callable[[], list[Any]]
    numbers: Callable[[], Any]

    @property
    def rows(self) -> int:
        """How many records it has values of."""
        return self.shape[0]


def of_values(name: str, datatype: str, shape: list[int], data: list[Any]) -> Tensor:
    """Return the tensor of *data*, which may be nested as *shape* says. Raises `Rejected`."""
    count = _count(name, datatype, shape)
    flat = _flat(name, shape, data)
    if len(flat) != count:
        raise invalid(f"the tensor {name!r} has {len(flat)} values, and its shape wants {count}", name)

    def values() -> list[Any]:
        kinds = set(map(type, flat)) - {type(None)}
        if wrong := kinds - _TYPES[datatype]:
            raise invalid(f"the tensor {name!r} is {datatype}, and has a value of type {_word(wrong.pop())}", name)
        if datatype in _INTEGERS and kinds:
            _check_range(name, datatype, [value for value in flat if value is not None])
        return flat

    def numbers() -> Any:
        import numpy as np  # noqa: PLC0415  # a model of plain Python has none

        try:
            return np.array(values(), dtype=np.float64)
        except OverflowError:
            return None

    return Tensor(name, datatype, shape, values, numbers)


def of_bytes(name: str, datatype: str, shape: list[int], raw: bytes) -> Tensor:
    """Return the tensor of *raw*, little-endian and row-major; texts each after its length. Raises `Rejected`."""
    count = _count(name, datatype, shape)
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, lambda: _texts(name, raw, count), lambda: None)
    code = "<" + _CODES[datatype]
    size = struct.calcsize(code) * count
    if len(raw) != size:
        raise invalid(f"the tensor {name!r} has {len(raw)} bytes, and its shape wants {size}", name)

    def numbers() -> Any:
        import numpy as np  # noqa: PLC0415  # as above

        return np.frombuffer(raw, dtype=code).astype(np.float64)

    return Tensor(name, datatype, shape, lambda: list(struct.unpack(f"<{count}{code[1]}", raw)), numbers)


def to_bytes(datatype: str, values: list[Any]) -> bytes:
    """Return *values* as `of_bytes` takes them."""
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join(chain.from_iterable((_LENGTH.pack(len(text)), text) for text in texts))
    return struct.pack(f"<{len(values)}{_CODES[datatype]}", *values)


def nested(values: list[Any], inner: list[int]) -> list[Any]:
    """Return *values* as one item for each row, nested as the *inner* dimensions say."""
    for size in reversed(inner):
        values = [values[start : start + size] for start in range(0, len(values), size)]
    return values


def kinds_of(schema: Mapping[str, Any]) -> set[str]:
    """Return the types that a JSON Schema allows, as it says or as its choices are; empty where it allows any."""
    said = schema.get("type")
    if said:
        return {said} if isinstance(said, str) else set(said)
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return {names.get(type(choice), "object") for choice in schema.get("enum", ())}


def inner_shape(schema: Mapping[str, Any]) -> tuple[list[int], Mapping[str, Any]]:
    """Return the dimensions of an array within one record, -1 where any length goes, and the schema of its items."""
    shape: list[int] = []
    while "array" in kinds_of(schema):
        least, most = schema.get("minItems"), schema.get("maxItems")
        shape.append(least if least is not None and least == most else -1)
        schema = schema.get("items", {})
    return shape, schema


def _count(name: str, datatype: str, shape: list[int]) -> int:
    if datatype not in _TYPES:
        known = ", ".join(sorted(_TYPES))
        raise invalid(f"the tensor {name!r} is {datatype}, which is none of {known}", name)
    if not 0 < len(shape) <= _MOST_DIMENSIONS:
        said = f"has {len(shape)} dimensions: the first one is the records, and {_MOST_DIMENSIONS} are the most"
        raise invalid(f"the tensor {name!r} {said}", name)
    if shape[0] == 0:
        raise invalid(f"the tensor {name!r} has no rows", name)
    if min(shape) < 1:
        raise invalid(f"the tensor {name!r} has the shape {shape}, and no dimension is less than 1", name)
    return math.prod(shape)


def _flat(name: str, shape: list[int], data: list[Any]) -> list[Any]:
    if not any(isinstance(value, list) for value in data):
        return data
    if len(data) != shape[0]:
        raise invalid(f"the tensor {name!r} has {len(data)} rows, and its shape says {shape[0]}", name)
    for size in shape[1:]:
        if any(not isinstance(value, list) or len(value) != size for value in data):
            raise invalid(f"the tensor {name!r} is not nested as its shape {shape} says", name)
        data = list(chain.from_iterable(data))
    return data


def _check_range(name: str, datatype: str, values: list[int]) -> None:
    try:
        struct.pack(f"<2{_INTEGERS[datatype]}", min(values), max(values))
    except struct.error:
        raise invalid(f"the tensor {name!r} has a value that no {datatype} holds", name) from None


def _texts(name: str, raw: bytes, count: int) -> list[str]:
    found: list[str] = []
    place, end = 0, len(raw)
    while place + _LENGTH.size <= end and len(found) <= count:
        (length,) = _LENGTH.unpack_from(raw, place)
        place += _LENGTH.size + length
        found.append(text(name, raw[place - length : place]))
    if place != end:
        raise invalid(f"the bytes of the tensor {name!r} are not texts, each after its length in 4 bytes", name)
    if len(found) != count:
        raise invalid(f"the tensor {name!r} has {len(found)} texts, and its shape wants {count}", name)
    return found


def text(name: str, raw: bytes) -> str:
    """Return one value of a BYTES tensor *name*. Raises `Rejected` where it is no UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise invalid(f"the tensor {name!r} has a value that is no UTF-8", name) from None


def unsayable(name: str) -> Rejected:
    """What is said where the model's answers are no tensor."""
    return Rejected(500, "unsayable", f"the model's answers are no tensor {name!r}: ask /predict, which takes any")


def _word(kind: type) -> str:
    return {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object"}.get(kind, kind.__name__)
