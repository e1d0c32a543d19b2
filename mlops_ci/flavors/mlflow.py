"""
MLflow: a model folder as MLflow wrote it, with its `MLmodel`, asked through `mlflow.pyfunc`.

Any flavor of MLflow's that has `python_function` will do. The folder is kept as it is. It may hold pickles and code
(MLflow's own default for many kinds), and loading it runs them: it is trusted like the training that wrote it. The
Spark, H2O and remote kinds need more than a Python process, and are not served.

A record is an object by column name, an array, or a text. Where `MLmodel` has a signature, its columns, their order and
their types are what the model gets, and `signature` is what there is to know when no example was logged. The answers
are rows of what `predict` returns.

`mlflow-skinny` loads and asks as well as `mlflow` and is far smaller, so that is the requirement. MLflow's telemetry is
switched off.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_FILE = "MLmodel"
_PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+")
_KINDS = {"boolean": "boolean", "integer": "integer", "long": "integer", "float": "number", "double": "number"}


class Loaded(NamedTuple):
    """A model and how to ask it: *columns* are MLflow's (name → NumPy's type, required), *tensors* its array types."""

    model: Any
    columns: dict[str, tuple[Any, bool]]
    tensors: dict[str | None, Any]


def owns(model: Any) -> bool:
    """Whether *model* is a `PythonModel`, or what `mlflow.pyfunc.load_model` returned."""
    pyfunc = sys.modules.get("mlflow.pyfunc")
    kinds = (getattr(pyfunc, name, None) for name in ("PythonModel", "PyFuncModel"))
    return isinstance(model, tuple(kind for kind in kinds if isinstance(kind, type)))


def owns_files(path: Path) -> bool:
    """Whether *path* is a folder with an `MLmodel`."""
    return (path / _FILE).is_file()


def save(model: Any, folder: Path) -> None:
    """Write a `PythonModel`, as MLflow pickles it. Raises as the protocol says; for a model that was loaded too."""
    _quiet()
    from mlflow import pyfunc

    if not isinstance(model, pyfunc.PythonModel):
        raise ValueError("the model was loaded from a folder of MLflow's: log the path of that folder")  # noqa: TRY004
    import cloudpickle  # a dependency of MLflow's

    home = sys.modules[type(model).__module__]
    own = home.__name__ != "__main__" and not tables.distribution(home.__name__)
    if own:
        cloudpickle.register_pickle_by_value(home)  # a service does not have the project's modules
    try:
        pyfunc.save_model(str(folder), python_model=model)
    except Exception as error:  # it is pickled
        raise ValueError(f"MLflow cannot save the model: {_sentence(error)}") from error
    finally:
        if own:
            cloudpickle.unregister_pickle_by_value(home)


def load(folder: Path) -> Loaded:
    """Load the model, which runs the code in it. Raises as the protocol says."""
    if not owns_files(folder):
        raise FileNotFoundError(f"{folder} has no {_FILE}")
    _quiet()
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # of the code beside it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's, about its own type hints
            from mlflow import pyfunc

            model = pyfunc.load_model(str(folder))
        inputs = model.metadata.get_input_schema()
    except Exception as error:  # unpickling can fail in any way
        raise ValueError(f"{_FILE} cannot be loaded: {_sentence(error)}") from error
    finally:
        if __name__.partition(".")[0] != "flavors":  # a service may import some of it later
            sys.dont_write_bytecode = before
    if inputs is None:
        return Loaded(model, {}, {})
    if inputs.is_tensor_spec():
        return Loaded(model, {}, {each.name: each.type for each in inputs.inputs})
    types = zip(inputs.inputs, inputs.pandas_types())  # noqa: B905  # Python 3.9
    return Loaded(model, {str(each.name or 0): (kind, each.required) for each, kind in types}, {})


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says, and what the model's code raises."""
    from mlflow.exceptions import MlflowException

    given = _stacked(records, model.tensors) if model.tensors else _framed(records, model.columns)
    try:
        answers = model.model.predict(given)
    except MlflowException as error:
        raise ValueError(f"the model does not take the records: {_sentence(error)}") from error
    rows = list(_rows(answers))
    if len(rows) != len(records):
        raise ValueError(f"the model answered {len(records)} records with {len(rows)} answers")
    return [_plain(row) for row in rows]


def requirements(model: Any) -> list[str]:
    """Pin what asks MLflow's models, and of a folder what MLflow says that this one needs."""
    found = {line.partition("==")[0]: line for line in tables.pinned({"numpy", "pandas"})}
    if isinstance(model, Path):
        said = model / "requirements.txt"
        lines = said.read_text(encoding="utf-8").split() if said.is_file() else []
        found.update((line.partition("==")[0].lower(), line) for line in lines if _PIN.fullmatch(line))
    else:
        found["cloudpickle"] = f"cloudpickle=={metadata.version('cloudpickle')}"
    full = found.pop("mlflow", None)
    if "mlflow-skinny" not in found:
        version = full.partition("==")[2] if full else metadata.version("mlflow-skinny")
        found["mlflow-skinny"] = f"mlflow-skinny=={version}"
    return sorted(found.values())


def signature(folder: Path) -> dict[str, Any] | None:
    """Return the signature in `MLmodel` as `signature.json` has it, the JSON Schemas of a record; None without one."""
    import yaml

    said = (yaml.safe_load((folder / _FILE).read_text(encoding="utf-8")) or {}).get("signature")
    if not said or not said.get("inputs"):
        return None
    return {"inputs": _schema(json.loads(said["inputs"])), "outputs": _schema(json.loads(said.get("outputs") or "[]"))}


def _quiet() -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def _framed(records: list[Any], columns: dict[str, tuple[Any, bool]]) -> Any:
    """The frame of MLflow's columns; without a signature a frame of objects, or an array."""
    import numpy as np
    import pandas as pd

    first = records[0]
    if not columns:
        return (
            pd.DataFrame(records)
            if isinstance(first, dict)
            else records
            if isinstance(first, str)
            else np.array(records)
        )
    if isinstance(first, str) or not hasattr(first, "__len__"):
        records = [[record] for record in records]
    rows = tables.Columns([name for name, (_, needed) in columns.items() if needed]).rows(records)
    if not isinstance(first, dict):
        for number, row in enumerate(rows):
            if len(row) != len(columns):
                raise ValueError(f"record {number} has {len(row)} values, where the model wants {len(columns)}")
        rows = [dict(zip(columns, row)) for row in rows]  # noqa: B905  # Python 3.9
    else:
        rows = records
    names = [0] if list(columns) == ["0"] else list(columns)
    given = {
        at: _typed(name, [row.get(name) for row in rows], kind)
        for at, (name, (kind, needed)) in zip(names, columns.items())  # noqa: B905  # Python 3.9
        if needed or any(name in row for row in rows)
    }
    return pd.DataFrame(given)


def _typed(name: str, values: list[Any], kind: Any) -> Any:
    """A column of NumPy's *kind*."""
    import numpy as np
    import pandas as pd

    kind = np.dtype(kind)
    wanted = {"i": "a whole number", "u": "a whole number", "f": "a number", "b": "true or false"}.get(kind.kind)
    for number, value in enumerate(values):
        if wanted is None or (value is None and kind.kind == "f"):
            continue
        fits = isinstance(value, bool) if kind.kind == "b" else isinstance(value, (int, float))
        if not fits or (kind.kind in "iu" and not float(value).is_integer()):
            raise ValueError(f"record {number} has {value!r} in {name!r}, where the model wants {wanted}")
    try:
        return pd.Series(values, dtype=kind if wanted or kind.kind == "M" else object)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"column {name!r} does not fit {kind}: {_sentence(error)}") from error


def _stacked(records: list[Any], types: dict[str | None, Any]) -> Any:
    """The array, or the arrays by name, of MLflow's tensors."""
    import numpy as np

    def array(part: list[Any], kind: Any) -> Any:
        try:
            return np.array(part, dtype=kind)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"the records are no arrays of {kind} of one size: {_sentence(error)}") from error

    if list(types) == [None]:
        return array(records, types[None])
    rows = tables.Columns([str(name) for name in types]).rows(records)
    return {name: array([row[at] for row in rows], kind) for at, (name, kind) in enumerate(types.items())}


def _rows(answers: Any) -> Iterator[Any]:
    """The answer to each record, out of a frame, a dict of columns, an array or a list."""
    if hasattr(answers, "to_dict") and hasattr(answers, "columns"):
        yield from answers.to_dict("records")
    elif isinstance(answers, dict):
        for row in zip(*answers.values()):  # noqa: B905  # Python 3.9
            yield dict(zip(answers, row))  # noqa: B905  # as above
    else:
        yield from answers.tolist() if hasattr(answers, "tolist") else answers


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def _schema(columns: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of one record, from MLflow's list of columns or tensors."""
    if not columns:
        return {}
    if len(columns) == 1 and not columns[0].get("name"):
        return _type(columns[0])
    return {
        "type": "object",
        "properties": {each["name"]: _type(each) for each in columns},
        "required": [each["name"] for each in columns if each.get("required", True)],
        "additionalProperties": False,
    }


def _type(column: dict[str, Any]) -> dict[str, Any]:
    kind = column["type"]
    if kind == "tensor":
        return _tensor(column["tensor-spec"])
    if kind == "array":
        return {"type": "array", "items": _type(column["items"])}
    if kind == "object":
        return _schema([{"name": name, **each} for name, each in column["properties"].items()])
    if kind == "map":
        return {"type": "object", "additionalProperties": _type(column["values"])}
    found = _KINDS.get(kind, "string")
    return {"type": found if column.get("required", True) else [found, "null"]}


def _tensor(spec: dict[str, Any]) -> dict[str, Any]:
    """Of one record: the first size is that of the batch."""
    starts = (("bool", "boolean"), ("int", "integer"), ("uint", "integer"), ("float", "number"))
    found: dict[str, Any] = {
        "type": next((kind for start, kind in starts if spec["dtype"].startswith(start)), "string")
    }
    for size in reversed(spec["shape"][1:]):
        bounds = {} if size < 0 else {"minItems": size, "maxItems": size}
        found = {"type": "array", "items": found, **bounds}
    return found


def _sentence(error: Exception) -> str:
    """The first line of what *error* says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
