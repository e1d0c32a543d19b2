"""Tensors as values and as arrays: whichever way they take, the model is asked for the same."""

from __future__ import annotations

import math
from typing import Annotated, Any, NotRequired

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from serving.batch import Batch
from serving.errors import Rejected
from serving.kinds import Integer, Number
from serving.manifest import Manifest, Settings
from serving.schema import Schema
from serving.tensor_inputs import Inputs
from serving.tensors import Tensor, of_bytes, of_values

PROPERTIES = {
    "bounded": {"type": "number", "minimum": -5, "maximum": 5, "x-seen": [-4, 4]},
    "whole": {"type": ["integer", "null"], "exclusiveMinimum": -3, "exclusiveMaximum": 3},
    "free": {"type": "number"},
}
FIELDS = {
    "bounded": Annotated[Number, Field(ge=-5, le=5)],
    "whole": Annotated[Integer, Field(gt=-3, lt=3)] | None,
    "free": NotRequired[Number],
}
ODD = st.sampled_from([math.nan, math.inf, -math.inf, 0.5, -5.0, 5.0, -3.0, 3.0, 2.0, 5.1, 1e300, 2.0**53, 0.0])
GOOD = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0])
RECORD = {"type": "object", "properties": PROPERTIES, "required": ["bounded", "whole"]}


def inputs(*, columns: bool) -> Inputs:
    manifest = Manifest({"model": "m", "version": "1", "signature": {"inputs": RECORD}}, Settings())
    schema = Schema(FIELDS, Number)
    schema.bind(10_000)
    return Inputs(manifest, schema, columns=columns)


def asked(found: Inputs, tensors: list[Tensor]) -> Batch | str:
    try:
        return found.batch(tensors)
    except Rejected as error:
        return str(error)


@given(
    odd=st.tuples(ODD, ODD | GOOD, ODD | GOOD), places=st.sets(st.sampled_from(range(3))), form=st.sampled_from("cmj")
)
def test_arrays_are_taken_exactly_where_records_are(odd: tuple[float, ...], places: set[int], form: str) -> None:
    """With one odd row among good ones."""
    table = np.ones((40, 3))
    for place in places:
        table[7, place] = odd[place]
    if form == "m":
        tensors = [of_bytes("x", "FP64", [40, 3], table.tobytes())]
    elif form == "j":
        tensors = [of_values("x", "FP64", [40, 3], table.tolist())]
    else:
        raws = [table[:, place].tobytes() for place in range(3)]
        tensors = [of_bytes(name, "FP64", [40], raw) for name, raw in zip(PROPERTIES, raws, strict=True)]
    slow, fast = (asked(inputs(columns=columns), tensors) for columns in (False, True))
    if isinstance(slow, str):
        assert fast == slow
    else:
        assert isinstance(fast, Batch)
        assert fast.columns is not None
        assert slow.columns is None
        assert fast.as_records() == slow.as_records()


def test_few_rows_are_records_and_a_column_may_be_left_out() -> None:
    tensors = [of_values(name, "INT8", [2, 1], [[1], [2]]) for name in ("bounded", "whole")]
    found = inputs(columns=True).batch(tensors)
    assert found.records == [{"bounded": 1, "whole": 1}, {"bounded": 2, "whole": 2}]
    many = [of_values(name, "INT8", [40], [1] * 40) for name in ("bounded", "whole")]
    assert set(inputs(columns=True).batch(many).columns or ()) == {"bounded", "whole"}


CODES = {
    "FP16": "f2", "FP32": "f4", "FP64": "f8", "INT8": "i1", "INT16": "i2", "INT32": "i4", "INT64": "i8",
    "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8", "BOOL": "?",
}  # fmt: skip


@pytest.mark.parametrize("datatype", CODES)
def test_every_datatype_is_read_as_numpy_writes_it(datatype: str) -> None:
    dtype = np.dtype(CODES[datatype])
    limits = {"f": lambda: np.finfo(dtype), "b": lambda: None}.get(dtype.kind, lambda: np.iinfo(dtype))()
    values = np.array([limits.min, 0, 1, limits.max] if limits else [True, False, True, True], dtype)
    found = of_bytes("x", datatype, [4], values.tobytes())
    assert found.values() == values.tolist()
    assert found.numbers().tolist() == values.astype(np.float64).tolist()
    again = of_values("x", datatype, [4], values.tolist())
    assert again.values() == values.tolist()
    assert again.numbers().tolist() == values.astype(np.float64).tolist()


@pytest.mark.parametrize("datatype", [name for name in CODES if "INT" in name])
def test_a_value_beyond_the_datatype_is_refused(datatype: str) -> None:
    limits: Any = np.iinfo(CODES[datatype])
    for value in (int(limits.min) - 1, int(limits.max) + 1):
        with pytest.raises(Rejected, match=f"no {datatype} holds"):
            of_values("x", datatype, [2], [0, value]).values()
