"""ONNX models that were made elsewhere: of any shape, with any outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mlops_ci.flavors import find, tables

FLAVOR = find("onnx")
TWO: list[Any] = ["n", 2]
FLOAT = TensorProto.FLOAT


def model(nodes: list[Any], inputs: dict[str, tuple[int, list[Any]]], outputs: dict[str, tuple[int, list[Any]]]) -> Any:
    """An ONNX model of *nodes*: operator, names that go in, name that comes out."""
    graph = helper.make_graph(
        [helper.make_node(operator, takes, [gives], **how) for operator, takes, gives, how in nodes],
        "g",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def loaded(made: Any, folder: Path, **options: Any) -> Any:
    FLAVOR.save(made, folder)
    tables.remember(folder, flavor="onnx", **options)
    return FLAVOR.load(folder)


def total(size: Any) -> Any:
    """The sum of each row, in a column of its own; *size* of a batch."""
    summed = ("ReduceMean", ["x"], "y", {"axes": [1], "keepdims": 1})
    return model([summed], {"x": (FLOAT, [size, 2])}, {"y": (FLOAT, [size, 1])})


def test_a_column_of_one_is_numbers(tmp_path):
    """And records may be objects where the columns are known; a batch is asked at once."""
    asked = loaded(total("n"), tmp_path, columns=["a", "b"])
    assert FLAVOR.predict(asked, [{"b": 3, "a": 1}, {"a": 2, "b": 4.0}]) == [2.0, 3.0]
    assert FLAVOR.predict(asked, [[1, 3]]) == [2.0]
    assert FLAVOR.predict_columns(asked, {"b": np.array([3.0]), "a": np.array([1.0])}, 1) == [2.0]


def test_a_model_for_one_record_is_asked_record_by_record(tmp_path):
    """As exporters make them that were given one."""
    asked = loaded(total(1), tmp_path)
    assert FLAVOR.predict(asked, [[1, 3], [2, 4], [5, 5]]) == [2.0, 3.0, 5.0]


def test_several_outputs_are_an_object_or_one_of_them(tmp_path):
    """The name of an output is a method."""
    nodes = [("Neg", ["x"], "less", {}), ("ReduceMean", ["x"], "mean", {"axes": [1], "keepdims": 0})]
    made = model(nodes, {"x": (FLOAT, TWO)}, {"less": (FLOAT, TWO), "mean": (FLOAT, ["n"])})
    assert FLAVOR.predict(loaded(made, tmp_path), [[1, 3]]) == [{"less": [-1.0, -3.0], "mean": 2.0}]
    assert FLAVOR.predict(loaded(made, tmp_path, method="mean"), [[1, 3]]) == [2.0]
    with pytest.raises(ValueError, match=r"^the ONNX model has no predict_proba\(\); its outputs are less, mean$"):
        loaded(made, tmp_path, method="predict_proba")


def test_records_may_be_arrays_of_any_depth(tmp_path):
    """Pictures, for one; what has another shape is refused with both."""
    mean = ("ReduceMean", ["x"], "y", {"axes": [1, 2], "keepdims": 0})
    made = model([mean], {"x": (FLOAT, ["n", 2, 3])}, {"y": (FLOAT, ["n"])})
    asked = loaded(made, tmp_path)
    assert FLAVOR.predict(asked, [[[1, 2, 3], [4, 5, 6]]] * 2) == [3.5, 3.5]
    with pytest.raises(ValueError, match=r"^the records are \[2, 2\] large, where the model wants \[2, 3\]$"):
        FLAVOR.predict(asked, [[[1, 2], [4, 5]]])
    with pytest.raises(ValueError, match="not every record has a number, or an array like the others, in 'x'"):
        FLAVOR.predict(asked, [[[1, 2, 3], [4, 5]]])
    with pytest.raises(ValueError, match="not every record has a number"):
        FLAVOR.predict(asked, [[["1", 2, 3], [4, 5, 6]]])


def columns() -> Any:
    """One input for each column, of three types."""
    kinds = {"s": (TensorProto.STRING, ["n", 1]), "i": (TensorProto.INT64, ["n", 1]), "f": (FLOAT, ["n", 1])}
    nodes = [("Identity", [name], f"{name}_out", {}) for name in kinds]
    return model(nodes, kinds, {f"{name}_out": kind for name, kind in kinds.items()})


def test_each_column_may_be_an_input_of_its_own_type(tmp_path):
    """By name, whatever the order; null is NaN where there is one."""
    asked = loaded(columns(), tmp_path, columns=["f", "s", "i"])
    [answer] = FLAVOR.predict(asked, [{"i": 2**53 + 1, "f": None, "s": "x"}])
    assert answer["s_out"] == "x"
    assert answer["i_out"] == 2**53 + 1
    assert np.isnan(answer["f_out"])
    found = {"f": np.array([0.5]), "i": np.array([7.0]), "s": np.array(["x"], dtype=object)}
    assert FLAVOR.predict_columns(asked, found, 1) == [{"s_out": "x", "i_out": 7, "f_out": 0.5}]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"s": None, "i": 1, "f": 1}, "record 0 has null in 's', where the model wants text"),
        ({"s": "x", "i": 1.5, "f": 1}, "record 0 has a fraction in 'i', where the model wants whole numbers"),
        ({"s": "x", "i": None, "f": 1}, "record 0 has null in 'i', where the model wants whole numbers"),
        (
            {"s": "x", "i": 2**63, "f": 1},
            "record 0 has a number that is no int64 in 'i', where the model wants whole numbers",
        ),
        ({"s": "x", "i": 1, "f": "y"}, "not every record has a number, or an array like the others, in 'f'"),
        ({"s": "x", "i": 1}, "record 0 has no 'f'"),
        (["x", 1], "record 0 is not an object, nor an array of 3 values"),
    ],
    ids=str,
)
def test_what_a_tensor_cannot_hold_is_said(record, sentence, tmp_path):
    """In one sentence that names the input."""
    asked = loaded(columns(), tmp_path)
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole sentence is compared below
        FLAVOR.predict(asked, [record])
    assert str(error.value) == sentence


def whole(kind: int, names: list[str], place: str | None = None) -> Any:
    """What gives each of its inputs, of columns, back; or with *place*, of one input of that name, the rows."""
    shape = ["n", len(names) if place else 1]
    inputs = {place: (kind, shape)} if place else dict.fromkeys(names, (kind, shape))
    return model(
        [("Identity", [name], f"{name}_out", {}) for name in inputs],
        inputs,
        {f"{name}_out": one for name, one in inputs.items()},
    )


@pytest.mark.parametrize("place", [None, "x"], ids=["columns", "rows"])
def test_whole_numbers_are_exact_and_do_not_wrap(place, tmp_path):
    """By records and by columns, though a float does not hold them."""
    asked = loaded(whole(TensorProto.INT64, ["a", "b"], place), tmp_path, columns=["a", "b"])
    records = [{"a": 2**53 + step, "b": step} for step in range(4)]
    columns = {"a": np.array([2**53 + step for step in range(4)], dtype=object), "b": np.arange(4.0)}
    expected = [[2**53 + step, step] for step in range(4)]
    for answers in (FLAVOR.predict(asked, records), FLAVOR.predict_columns(asked, columns, 4)):
        assert [list(each.values()) if place is None else each for each in answers] == expected
    assert FLAVOR.predict(asked, [{"a": 2**53 + 1, "b": 3.0}]) == FLAVOR.predict(asked, [{"a": 2**53 + 1, "b": 3}])
    for kind, number in ((TensorProto.INT32, 2**32 + 5), (TensorProto.INT8, 300), (TensorProto.UINT8, -1)):
        asked = loaded(whole(kind, ["a", "b"], place), tmp_path, columns=["a", "b"])
        for value in (number, float(number)):
            with pytest.raises(ValueError, match=r"^record 1 has a number that is no u?int\d+ in 'b', where"):
                FLAVOR.predict(asked, [{"a": 1, "b": 1}, {"a": 1, "b": value}])
            with pytest.raises(ValueError, match=r"^record 1 has a number that is no u?int\d+ in 'b', where"):
                FLAVOR.predict_columns(asked, {"a": np.zeros(2), "b": np.array([1, value], dtype=float)}, 2)


def test_columns_are_matched_by_name_whatever_a_converter_made_of_it(tmp_path):
    """By their order only if no name is known; a half that is known is refused."""
    made = whole(FLOAT, ["y", "x_1"])
    record = {"x 1": 1, "y": 2}
    assert FLAVOR.predict(loaded(made, tmp_path, columns=["x 1", "y"]), [record]) == [{"y_out": 2.0, "x_1_out": 1.0}]
    asked = loaded(made, tmp_path, columns=["p", "q"])
    assert FLAVOR.predict(asked, [{"q": 1, "p": 2}]) == [{"y_out": 2.0, "x_1_out": 1.0}]
    with pytest.raises(ValueError, match=r"^the inputs of the ONNX model are y, x_1, and the columns z, y$"):
        loaded(made, tmp_path, columns=["z", "y"])
