"""
scikit-learn, and everything that keeps its estimators' interface (XGBoost's, LightGBM's, imbalanced-learn's).

The model is one `model.joblib`. Predictions are those of the estimator's `predict`, or of the `method` that
`flavor.json` names. Records become a NumPy array in the order of the columns at training, which gives the
same numbers as a data frame at a fraction of the time; an estimator that asks for columns by name, or that
scikit-learn did not write, gets the data frame.

Standard library alone at import and nothing of the package around: a copy of this file serves the model.
"""

from __future__ import annotations

import json
import pickle  # for the name of its error
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

_FILE = "model.joblib"
_PICKLES = (".joblib", ".pkl", ".pickle")
_PACKAGES = {"sklearn": "scikit-learn"}  # where the distribution's name is not the module's
_BY_COLUMN_NAME = ("ColumnTransformer", "FunctionTransformer")


class Loaded(NamedTuple):
    """An estimator and how to ask it: *columns* is None where records are arrays, *dtypes* are for the *frame*."""

    estimator: Any
    method: str
    columns: list[str] | None
    frame: bool
    dtypes: dict[str, str]


def owns(model: Any) -> bool:
    """Whether *model* is a scikit-learn estimator."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(model, base.BaseEstimator)


def owns_files(path: Path) -> bool:
    """Whether *path* is a pickle, or a folder with exactly one, and without code that knows better how to load it."""
    return _find(path) is not None and not (path / "model.py").exists()


def save(model: Any, folder: Path) -> None:
    """Write *model* as `model.joblib`, and warn of code that only this project has. Raises as the protocol says."""
    import joblib

    own = sorted(f"{module}.{name}" for module, name in _origins(model) if _distribution(module) is None)
    if own:
        warnings.warn(f"the model can be loaded only where {', '.join(own)} can be imported", stacklevel=2)
    try:
        joblib.dump(model, folder / _FILE)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise ValueError(f"the model cannot be pickled: {error}") from error


def load(folder: Path) -> Loaded:
    """Load the model, which runs the code in it. Raises as the protocol says."""
    estimator = _read(folder)
    options = _options(folder)
    method = options.get("method", "predict")
    if not hasattr(estimator, method):
        raise ValueError(f"{type(estimator).__qualname__} has no {method}()")
    columns = _columns(estimator)
    frame = columns is not None and _needs_frame(estimator)
    if not frame:
        _forget_columns(estimator)
    return Loaded(estimator, method, columns or options.get("columns"), frame, options.get("dtypes", {}))


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says."""
    rows = _rows(records, model.columns)
    answers = getattr(model.estimator, model.method)(_frame(rows, model) if model.frame else _array(rows))
    if isinstance(answers, list):  # predict_proba of several outputs: one array for each
        return [list(outputs) for outputs in zip(*(each.tolist() for each in answers))]  # noqa: B905  # Python 3.9
    for conversion in ("toarray", "to_numpy"):  # a sparse matrix, a data frame
        if hasattr(answers, conversion):
            answers = getattr(answers, conversion)()
    found: list[Any] = answers.tolist()
    return found


def requirements(model: Any) -> list[str]:
    """Pin scikit-learn, what its numbers rest on, and the packages of the model's other parts; a path is loaded."""
    if isinstance(model, Path):
        model = _read(model)
    modules = {"sklearn", "numpy", "scipy", "joblib", *(module for module, _ in _origins(model))}
    if _columns(model) is not None and _needs_frame(model):
        modules.add("pandas")
    return sorted(f"{name}=={metadata.version(name)}" for name in set(map(_distribution, modules)) if name)


def _find(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix in _PICKLES else None
    if (path / _FILE).is_file():
        return path / _FILE
    found = [file for file in path.glob("*") if file.suffix in _PICKLES]
    return found[0] if len(found) == 1 else None


def _read(folder: Path) -> Any:
    import joblib

    path = _find(folder)
    if path is None:
        raise FileNotFoundError(f"{folder} has no {_FILE}")
    try:
        return joblib.load(path)
    except Exception as error:  # unpickling can fail in any way
        raise ValueError(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error


def _options(folder: Path) -> dict[str, Any]:
    path = folder / "flavor.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _rows(records: list[Any], columns: list[str] | None) -> list[Any]:
    """The records as lists in the order of training. Arrays, and text for a vectorizer, stay as they are."""
    if not isinstance(records[0], dict):
        return records
    if columns is None:
        raise ValueError("the model was trained without column names: send each record as an array")
    try:
        return [[record[name] for name in columns] for record in records]
    except (KeyError, TypeError):
        raise ValueError(next(_lacking(records, columns))) from None


def _lacking(records: list[Any], columns: list[str]) -> Iterator[str]:
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            yield f"record {number} is not an object like the first"
            continue
        yield from (f"record {number} has no {name!r}" for name in columns if name not in record)


def _array(rows: list[Any]) -> Any:
    """Numbers as float64, with NaN for null; a table that holds text keeps its values."""
    import numpy as np

    if isinstance(rows[0], str):
        return rows
    text = any(isinstance(value, str) for row in rows for value in row)
    return np.array(rows, dtype=object if text else np.float64)


def _frame(rows: list[Any], model: Loaded) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, columns=model.columns).astype(model.dtypes)


def _columns(estimator: Any) -> list[str] | None:
    """The columns at training, where that was a data frame."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _needs_frame(estimator: Any) -> bool:
    """Only scikit-learn's own estimators are known to take the array for the frame."""
    return any(
        type(part).__module__.partition(".")[0] != "sklearn"
        or type(part).__name__ in _BY_COLUMN_NAME
        or hasattr(part, "_sklearn_output_config")
        for part in _parts(estimator)
    )


def _forget_columns(estimator: Any) -> None:
    """Or each part would warn, at each prediction, that the array has no names. The copy is ours: `load` made it."""
    for part in _parts(estimator):
        vars(part).pop("feature_names_in_", None)


def _parts(model: Any) -> Iterator[Any]:
    """*model* and every estimator that it is made of, the fitted ones included."""
    queue, seen = [model], {id(model)}
    while queue:
        part = queue.pop()
        inner: list[Any] = []
        if isinstance(part, (list, tuple)):
            inner.extend(part)
        elif isinstance(part, dict):
            inner.extend(part.values())
        elif hasattr(part, "__dict__") and not isinstance(part, type):
            estimator = hasattr(part, "get_params")
            if estimator:
                yield part
            if estimator or type(part).__module__.startswith("sklearn."):
                inner.extend(vars(part).values())
        queue.extend(each for each in inner if id(each) not in seen)
        seen.update(map(id, inner))


def _origins(model: Any) -> set[tuple[str, str]]:
    """The module and the name of every class, and of every function to transform with, that *model* rests on."""
    parts = list(_parts(model))
    things = [type(part) for part in parts] + [part.func for part in parts if callable(getattr(part, "func", None))]
    plain = (each.func if isinstance(each, partial) else each for each in things)
    return {(getattr(each, "__module__", None) or type(each).__module__, each.__name__) for each in plain}


def _distribution(module: str) -> str | None:
    """The installed package that has *module*, "" for Python's own, None for the project's own."""
    root = module.partition(".")[0]
    name = _PACKAGES.get(root, root)
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        if sys.version_info < (3, 10):  # noqa: UP036  # lent to older interpreters, which cannot tell
            return ""
        known = root in sys.stdlib_module_names and root != "__main__"
        return "" if known else next(iter(metadata.packages_distributions().get(root, ())), None)
    return name
