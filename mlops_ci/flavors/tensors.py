"""
Records as the stacked arrays that networks take, and their outputs as answers; for PyTorch and TensorFlow.

NumPy inside the functions, standard library alone at import and nothing of the package around: a copy of this file
serves the model beside its flavor's.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

_WHOLE = ("int", "uint")


class Input(NamedTuple):
    """
    One input of a network.

    Attributes:
        name: What its part of a record is called, where there are several.
        dtype: NumPy's name; "bfloat16" is stacked as float32, "string" stays text.
        shape: Of one record, with None for a size that varies; None where nothing is known.
    """

    name: str
    dtype: str
    shape: list[int | None] | None


def stack(records: list[Any], inputs: list[Input], columns: list[str] | None) -> list[Any]:
    """
    Return one array for each of *inputs*, with a row for each of *records*.

    Args:
        records: Arrays; objects by the name of the *columns*, which become a row in their order; or, for several
            inputs, objects by the names of these.
        inputs: At least one.
        columns: None where records are arrays.

    Raises:
        ValueError: A record is none of them, or is not of the others' shape.
    """
    names = [each.name for each in inputs]
    first = records[0]
    if len(names) > 1 or (isinstance(first, dict) and isinstance(first.get(names[0]), list)):
        return [_array([row[at] for row in _rows(records, names)], each) for at, each in enumerate(inputs)]
    if columns is not None and isinstance(first, dict):
        return [_array(_rows(records, columns), inputs[0])]
    for number, record in enumerate(records):
        if isinstance(record, dict):
            raise ValueError(  # noqa: TRY004  # it is the request that is wrong
                f"record {number} is an object, and the model was saved without column names: "
                "send each record as an array"
            )
    return [_array(records, inputs[0])]


def unstack(outputs: Any, count: int) -> list[Any]:
    """
    Return the answer to each of *count* records, as JSON has it; null stands for what is not finite.

    Args:
        outputs: An array with *count* rows, or lists, tuples and dicts of such.
        count: How many records there were.

    Raises:
        ValueError: There are not as many rows.
    """
    if isinstance(outputs, dict):
        parts = {str(name): unstack(part, count) for name, part in outputs.items()}
        return [{name: part[at] for name, part in parts.items()} for at in range(count)]
    if isinstance(outputs, (list, tuple)):
        found = [unstack(part, count) for part in outputs]
        return [[part[at] for part in found] for at in range(count)]
    rows = outputs.tolist() if hasattr(outputs, "tolist") else outputs  # NumPy's
    if not isinstance(rows, list) or len(rows) != count:
        shape = list(getattr(outputs, "shape", ()))
        raise ValueError(
            f"the model must answer {count} records with as many rows, not with an output of shape {shape}"
        )
    return [_finite(row) for row in rows]


def _rows(records: list[Any], names: list[str]) -> list[list[Any]]:
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise ValueError(f"record {number} is not an object with {', '.join(map(repr, names))}")  # noqa: TRY004
        for name in names:
            if name not in record:
                raise ValueError(f"record {number} has no {name!r}")
    return [[record[name] for name in names] for record in records]


def _array(rows: list[Any], wanted: Input) -> Any:
    import numpy as np

    dtype = {"bfloat16": "float32", "string": "object"}.get(wanted.dtype, wanted.dtype)
    try:
        found = np.array(rows, dtype=dtype)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(_culprit(rows, wanted)) from None
    if wanted.dtype.startswith(_WHOLE):
        unequal = (found != np.array(rows, dtype="float64")).reshape(len(rows), -1).any(axis=1)
        for number in np.flatnonzero(unequal):
            raise ValueError(f"record {number} is not whole, and {wanted.name!r} takes whole numbers")
    got, sizes = found.shape[1:], wanted.shape
    if sizes is None:
        return found
    if len(got) != len(sizes) or any(size not in {None, a} for a, size in zip(got, sizes)):  # noqa: B905  # Python 3.9
        shown = ", ".join("any" if size is None else str(size) for size in sizes)
        raise ValueError(f"the model takes records of shape [{shown}], not {list(got)}")
    return found


def _culprit(rows: list[Any], wanted: Input) -> str:
    """What is wrong with the first row that does not go with the others."""
    import numpy as np

    shapes = []
    for number, row in enumerate(rows):
        try:
            found = np.array(row, dtype="float64" if wanted.dtype != "string" else "object")
        except (TypeError, ValueError, OverflowError):
            return f"record {number} is no array of numbers of one size"
        shapes.append(list(found.shape))
        if found.shape != tuple(shapes[0]):
            return f"record {number} is of shape {shapes[-1]}, and the first of shape {shapes[0]}"
        if wanted.dtype.startswith(_WHOLE) and not np.isfinite(found).all():
            return f"record {number} has a null, and {wanted.name!r} takes whole numbers"
    return f"the records do not fit {wanted.dtype}"


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
