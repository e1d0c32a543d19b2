"""
ONNX, asked with ONNX Runtime on the CPU; what other frameworks export, and what `log_model(convert="onnx")` makes.

The model is one `model.onnx`, which runs no code when it is loaded. Its inputs are one tensor that takes the columns
in their order (or any array, as records that are arrays hold it), or one tensor for each column, found by name.
`method` says which output answers: `predict` the first (the label, where there are label and probabilities),
`predict_proba` the probabilities, the name of an output that one. Of other models with several outputs, a
prediction is an object of them. A single thread computes unless `OMP_NUM_THREADS` allows more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_FILE = "model.onnx"
_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}

_INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "bool"}


class Input(NamedTuple):
    """A tensor that goes in; *shape* has None where any number will do."""

    name: str
    type: str
    shape: list[int | None]


class Loaded(NamedTuple):
    """
    A session and how to ask it.

    *outputs* are asked for by name; *labels* has the classes of labels that are numbers; *single*: one record a time.
    """

    session: Any
    inputs: list[Input]
    outputs: list[str]
    columns: tables.Columns
    labels: Mapping[Any, Any]
    single: bool


def owns(model: Any) -> bool:
    """Whether *model* is a `ModelProto`."""
    module = sys.modules.get("onnx")
    return hasattr(module, "ModelProto") and isinstance(model, module.ModelProto)  # type: ignore[union-attr]


def owns_files(path: Path) -> bool:
    """Whether *path* is an `.onnx` file, or a folder with one."""
    return tables.one_file(path, _FILE, (".onnx",)) is not None


def save(model: Any, folder: Path) -> None:
    """Write *model* as `model.onnx`. Raises as the protocol says."""
    import onnx

    try:
        onnx.save(model, folder / _FILE)
    except ValueError as error:  # protobuf holds 2 GB
        raise ValueError(f"the model cannot be written as one file: {error}") from error


def load(folder: Path) -> Loaded:
    """Load the model. Raises as the protocol says."""
    path = tables.one_file(folder, _FILE, (".onnx",))
    if path is None:
        raise FileNotFoundError(f"{folder} has no {_FILE}")
    session = _session(path)
    options = tables.options(folder)
    inputs = [_input(each) for each in session.get_inputs()]
    names = [each.name for each in inputs]
    said = options.get("columns")
    count = None
    if len(inputs) > 1:
        said = _callers(names, said or names)
    elif len(inputs[0].shape) == 2:
        count = inputs[0].shape[1]
    return Loaded(
        session=session,
        inputs=inputs,
        outputs=_outputs(session, options.get("method", "predict")),
        columns=tables.Columns(said, None, count),
        labels=dict(enumerate(options.get("classes", ()))),
        single=inputs[0].shape[:1] == [1],
    )


def _callers(names: list[str], said: list[str]) -> list[str]:
    """What callers, who say *said*, call the inputs *names*: converters keep a blank as an underscore."""
    written = {**{re.sub(r"\W", "_", name): name for name in said}, **{name: name for name in said}}
    found = [written.get(name, written.get(re.sub(r"\W", "_", name))) for name in names]
    known = [name for name in found if name is not None]
    if len(set(known)) == len(names):
        return known
    if len(said) != len(names):
        return names
    if not known:
        return said
    raise ValueError(f"the inputs of the ONNX model are {', '.join(names)}, and the columns {', '.join(said)}")


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says."""
    rows = model.columns.rows(records)
    if len(model.inputs) == 1:
        return _ask(model, [_tensor(model, model.inputs[0], rows)], len(records))
    width = len(model.inputs)
    for number, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or len(row) != width:
            raise ValueError(f"record {number} is not an object, nor an array of {width} values")
    return _ask(model, [_tensor(model, each, list(row)) for each, row in zip(model.inputs, zip(*rows))], len(rows))  # noqa: B905  # Python 3.9


def predict_columns(model: Loaded, columns: dict[str, Any], rows: int) -> list[Any]:
    """Return one prediction for each of *rows*. Raises as the protocol says."""
    if len(model.inputs) > 1:
        found = model.columns.values_of(columns)
        return _ask(model, [_tensor(model, each, one) for each, one in zip(model.inputs, found)], rows)  # noqa: B905  # Python 3.9
    wanted = model.inputs[0]
    if wanted.type in _INTEGERS:
        found = [each.tolist() for each in model.columns.values_of(columns)]
        return _ask(model, [_tensor(model, wanted, list(zip(*found)))], rows)  # noqa: B905  # Python 3.9
    table = model.columns.array_of(columns, rows, text=wanted.type == "object")
    return _ask(model, [_tensor(model, wanted, table)], rows)


def requirements(model: Any) -> list[str]:  # noqa: ARG001  # all models need the same
    """Pin ONNX Runtime and NumPy. Raises `ValueError` where ONNX Runtime is not installed."""
    if not tables.distribution("onnxruntime"):
        raise ValueError("onnxruntime, which serves the model, is not installed here")
    return tables.pinned(["onnxruntime", "numpy"])


def _session(path: Path) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = tables.threads()
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4  # what is wrong is raised as well
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes have no base but this
        raise ValueError(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error


def _input(declared: Any) -> Input:
    if declared.type not in _TYPES:
        raise ValueError(f"the input {declared.name!r} is a {declared.type}, which no record can be")
    shape = [each if isinstance(each, int) and each > 0 else None for each in declared.shape]
    return Input(declared.name, _TYPES[declared.type], shape)


def _outputs(session: Any, method: str) -> list[str]:
    """The outputs that *method* asks for."""
    declared = session.get_outputs()
    names = [each.name for each in declared]
    classifier = len(declared) == 2 and _is_label(declared[0]) and _is_probability(declared[1])
    if method == "predict_proba" and (classifier or (len(declared) == 1 and _is_probability(declared[0]))):
        return names[-1:]
    if method == "predict":
        return names[:1] if classifier else names
    if method in names:
        return [method]
    raise ValueError(f"the ONNX model has no {method}(); its outputs are {', '.join(names)}")


def _is_label(output: Any) -> bool:
    return output.type in {"tensor(int64)", "tensor(string)"} and len(output.shape) < 3


def _is_probability(output: Any) -> bool:
    return output.type.startswith("seq(map(") or (
        output.type in {"tensor(float)", "tensor(double)"} and len(output.shape) == 2
    )


def _tensor(model: Loaded, wanted: Input, values: Any) -> Any:
    """*values*, one for each record, as the input *wanted*."""
    import numpy as np

    if wanted.type == "object":
        found = np.array(values, dtype=object)
        _refuse_others(found, wanted)
    elif len(wanted.shape) == 2 and len(model.inputs) == 1 and isinstance(values, list):
        found = model.columns.matrix(values)
    else:
        found = _numbers(values, wanted)
    if found.ndim == 1 and len(wanted.shape) == 2:
        found = found.reshape(-1, 1)
    sizes = [size for size, known in zip(found.shape[1:], wanted.shape[1:]) if known not in {None, size}]  # noqa: B905  # Python 3.9
    if found.ndim != len(wanted.shape) or sizes:
        raise ValueError(
            f"the records are {list(found.shape[1:])} large, where the model wants {_said(wanted.shape[1:])}"
        )
    if wanted.type in _INTEGERS:
        found = _exact(found, values)
        _refuse_unheld(model, found, wanted)
    return np.ascontiguousarray(found, dtype=wanted.type)


def _numbers(values: Any, wanted: Input) -> Any:
    import numpy as np

    try:
        found = np.asarray(values)
        return found if found.dtype.kind in "fiub" else found.astype(object).astype(_float(found))
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"not every record has a number, or an array like the others, in {wanted.name!r}") from None


def _float(found: Any) -> str:
    if any(isinstance(value, str) for value in found.ravel().tolist()):
        raise ValueError
    return "float64"


def _refuse_others(found: Any, wanted: Input) -> None:
    for number, row in enumerate(found.reshape(len(found), -1)):
        for value in row:
            if not isinstance(value, str):
                raise ValueError(  # noqa: TRY004
                    f"record {number} has {tables.kind(value)} in {wanted.name!r}, where the model wants text"
                )


def _exact(found: Any, values: Any) -> Any:
    """*found* again as *values* are, where one is more than a float holds."""
    import numpy as np

    if found.dtype.kind != "f" or not (np.abs(found) >= tables.EXACT).any():
        return found
    return np.array(values, dtype=object).reshape(found.shape)


def _refuse_unheld(model: Loaded, found: Any, wanted: Input) -> None:
    import numpy as np

    limits = np.iinfo("uint8" if wanted.type == "bool" else wanted.type)
    low, high = int(limits.min), 1 if wanted.type == "bool" else int(limits.max)
    table = found.reshape(len(found), -1)
    if table.dtype == object:
        held = np.array([[_whole(value) and low <= value <= high for value in row] for row in table.tolist()])
    elif table.dtype.kind == "f":
        held = (table >= low) & (table < high + 1.0) & (table == np.round(table))
    else:
        held = (table >= low) & (table <= high)
    wrong = np.argwhere(~held)
    if len(wrong):
        number, place = wrong[0].tolist()
        value, names = table[number, place], model.columns.names
        what = f"a number that is no {wanted.type}" if _whole(value) else tables.kind(value)
        name = names[place] if names and len(model.inputs) == 1 and len(names) == table.shape[1] else wanted.name
        raise ValueError(f"record {number} has {what} in {name!r}, where the model wants whole numbers")


def _whole(value: Any) -> bool:
    return value is not None and abs(value) != float("inf") and value == value // 1


def _said(shape: list[int | None]) -> str:
    return f"[{', '.join('any' if each is None else str(each) for each in shape)}]"


def _ask(model: Loaded, tensors: list[Any], rows: int) -> list[Any]:
    feeds = {each.name: tensor for each, tensor in zip(model.inputs, tensors)}  # noqa: B905  # Python 3.9
    if model.single and rows > 1:
        found = []
        for row in range(rows):
            found += _run(model, {name: tensor[row : row + 1] for name, tensor in feeds.items()})
        return found
    return _run(model, feeds)


def _run(model: Loaded, feeds: dict[str, Any]) -> list[Any]:
    try:
        answers = model.session.run(model.outputs, feeds)
    except Exception as error:  # its classes have no base but this
        raise tables.refusal(error) from error
    plain = [_plain(answer, model.labels.get if model.labels else None) for answer in answers]
    if len(plain) == 1:
        return plain[0]
    return [dict(zip(model.outputs, row)) for row in zip(*plain)]  # noqa: B905  # Python 3.9


def _plain(answer: Any, label: Callable[[Any, Any], Any] | None) -> list[Any]:
    """An output as one value for each record: a column of one is no list, a map of probabilities is their list."""
    if isinstance(answer, list):
        return [list(each.values()) if isinstance(each, dict) else each for each in answer]
    if answer.ndim == 2 and answer.shape[1] == 1:
        answer = answer[:, 0]
    found: list[Any] = answer.tolist()
    if label is not None and answer.ndim == 1:
        return [label(each, each) for each in found]
    return found
