"""
scikit-learn, and everything that keeps its estimators' interface (imbalanced-learn's, and pipelines that end
in XGBoost's or LightGBM's).

The model is one `model.skops`, which runs no code when it is loaded, where skops is installed and trusts every
type in the model; else one `model.joblib`, a pickle. Predictions are those of the estimator's `predict`, or of
the `method` that `flavor.json` names. Records become a NumPy array in the order of the columns at training,
which gives the same numbers as a data frame at a fraction of the time; an estimator that asks for columns by
name, or that scikit-learn did not write, gets the data frame.
"""

from __future__ import annotations

import pickle  # for the name of its error
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_PICKLE = "model.joblib"
_SKOPS = "model.skops"
_PICKLES = (".joblib", ".pkl", ".pickle")
_BY_COLUMN_NAME = ("ColumnTransformer", "FunctionTransformer")


class Loaded(NamedTuple):
    """An estimator and how to ask it: *frame* says that it wants a data frame."""

    estimator: Any
    method: str
    columns: tables.Columns
    frame: bool


def owns(model: Any) -> bool:
    """Whether *model* is a scikit-learn estimator."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(model, base.BaseEstimator)


def owns_files(path: Path) -> bool:
    """Whether *path* is such a file, or a folder with exactly one, and without code that knows better."""
    return _find(path) is not None and not (path / "model.py").exists()


def save(model: Any, folder: Path) -> None:
    """Write *model*, and warn of code that only this project has. Raises as the protocol says."""
    safe = _safe(model)
    if safe is not None:
        (folder / _SKOPS).write_bytes(safe)
        return
    import joblib

    own = sorted(f"{module}.{name}" for module, name in _origins(model) if tables.distribution(module) is None)
    if own:
        warnings.warn(f"the model can be loaded only where {', '.join(own)} can be imported", stacklevel=2)
    try:
        joblib.dump(model, folder / _PICKLE)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise ValueError(f"the model cannot be pickled: {error}") from error


def load(folder: Path) -> Loaded:
    """Load the model, which runs the code in a pickle. Raises as the protocol says."""
    estimator = read(folder)
    options = tables.options(folder)
    method = options.get("method", "predict")
    if not hasattr(estimator, method):
        raise ValueError(f"{type(estimator).__qualname__} has no {method}()")
    names = _names(estimator)
    frame = names is not None and _needs_frame(estimator)
    if not frame:
        _forget_columns(estimator)
    return Loaded(estimator, method, tables.Columns(names or options.get("columns"), options.get("dtypes")), frame)


def read(folder: Path) -> Any:
    """Return the estimator in *folder*, or in the file of that path, as it was saved. Raises as `load`."""
    path = _find(folder)
    if path is None:
        raise FileNotFoundError(f"{folder} has no {_PICKLE}")
    try:
        if path.suffix == ".skops":
            import skops.io

            return skops.io.load(path)
        import joblib

        return joblib.load(path)
    except Exception as error:  # unpickling can fail in any way
        raise ValueError(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says."""
    return _ask(model, model.columns.table(records, frame=model.frame, text=True))


def predict_columns(model: Loaded, columns: dict[str, Any], rows: int) -> list[Any]:
    """Return one prediction for each of *rows*. Raises as the protocol says."""
    return _ask(model, model.columns.table_of(columns, rows, frame=model.frame, text=True))


def requirements(model: Any) -> list[str]:
    """Pin scikit-learn, what its numbers rest on, and the packages of the model's other parts; a path is loaded."""
    if isinstance(model, Path):
        path = _find(model)
        safe = path is not None and path.suffix == ".skops"
        model = read(model)
    else:
        safe = _safe(model) is not None
    modules = {"sklearn", "numpy", "scipy", "joblib", *(module for module, _ in _origins(model))}
    if safe:
        modules.add("skops")
    if _names(model) is not None and _needs_frame(model):
        modules.add("pandas")
    return tables.pinned(modules)


def _ask(model: Loaded, table: Any) -> list[Any]:
    try:
        answers = getattr(model.estimator, model.method)(table)
    except ValueError as error:
        raise tables.refusal(error) from error
    if isinstance(answers, list):  # predict_proba of several outputs: one array for each
        return [list(outputs) for outputs in zip(*(each.tolist() for each in answers))]  # noqa: B905  # Python 3.9
    for conversion in ("toarray", "to_numpy"):  # a sparse matrix, a data frame
        if hasattr(answers, conversion):
            answers = getattr(answers, conversion)()
    found: list[Any] = answers.tolist()
    return found


def _find(path: Path) -> Path | None:
    return tables.one_file(path, _SKOPS, (".skops",)) or tables.one_file(path, _PICKLE, _PICKLES)


def _safe(model: Any) -> bytes | None:
    """*model* as skops writes it; None where skops is absent, cannot write it, or would not trust it again."""
    if tables.distribution("skops") is None:
        return None
    import skops.io

    try:
        data: bytes = skops.io.dumps(model)
        return None if skops.io.get_untrusted_types(data=data) else data
    except Exception:  # noqa: BLE001  # it promises nothing about what it does not know; the pickle is left
        return None


def _names(estimator: Any) -> list[str] | None:
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
