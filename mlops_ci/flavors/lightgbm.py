"""
LightGBM: a `Booster`, or an estimator of its scikit-learn interface.

The model is one `model.txt`, LightGBM's own format, which runs no code when it is loaded; trees after the best
iteration are left out. It is asked as a `Booster`; the answers are those of the estimator: a classifier's labels
are in `flavor.json`, and the `method` `predict_proba` gives the probabilities in their order.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_FILE = "model.txt"
_UNNAMED = re.compile(r"Column_\d+")


class Loaded(NamedTuple):
    """A booster and how to ask it: *classes* are a classifier's labels, *frame* says that it wants a data frame."""

    booster: Any
    method: str
    columns: tables.Columns
    classes: list[Any] | None
    frame: bool


def owns(model: Any) -> bool:
    """Whether *model* is a booster, or one of LightGBM's estimators."""
    module = sys.modules.get("lightgbm")
    kinds = tuple(getattr(module, name) for name in ("Booster", "LGBMModel") if hasattr(module, name))
    return isinstance(model, kinds)


def owns_files(path: Path) -> bool:
    """Whether *path* is a folder with a `model.txt`, or such a file."""
    return _find(path) is not None and not (path / "model.py").exists()


def save(model: Any, folder: Path) -> None:
    """Write *model* as `model.txt`. Raises as the protocol says."""
    booster = model
    if not hasattr(model, "save_model"):
        if not model.__sklearn_is_fitted__():
            raise ValueError("the model was not trained")
        booster = model.booster_
        if hasattr(model, "classes_") and not callable(model.objective):  # one's own objective: raw scores
            tables.remember(folder, classes=model.classes_.tolist())
    booster.save_model(folder / _FILE)


def load(folder: Path) -> Loaded:
    """Load the model. Raises as the protocol says."""
    booster = read(folder)
    options = tables.options(folder)
    method, classes = options.get("method", "predict"), options.get("classes")
    if method != "predict" and not (classes and method == "predict_proba"):
        raise ValueError(f"a LightGBM {'classifier' if classes else 'model'} has no {method}()")
    names = _names(booster.feature_name(), options.get("columns"))
    columns = tables.Columns(names, options.get("dtypes"), booster.num_feature())
    return Loaded(booster, method, columns, classes, bool(booster.pandas_categorical))


def read(folder: Path) -> Any:
    """Return the booster in *folder*, or in the file of that path. Raises as `load`."""
    path = _find(folder)
    if path is None:
        raise FileNotFoundError(f"{folder} has no {_FILE}")
    import lightgbm

    try:
        return lightgbm.Booster(model_file=path)
    except (lightgbm.basic.LightGBMError, ValueError, IndexError) as error:
        raise ValueError(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says."""
    return _ask(model, model.columns.table(records, frame=model.frame))


def predict_columns(model: Loaded, columns: dict[str, Any], rows: int) -> list[Any]:
    """Return one prediction for each of *rows*. Raises as the protocol says."""
    return _ask(model, model.columns.table_of(columns, rows, frame=model.frame))


def requirements(model: Any) -> list[str]:
    """Pin LightGBM and what its numbers rest on."""
    booster = read(model) if isinstance(model, Path) else model
    booster = booster if hasattr(booster, "save_model") else booster.booster_
    return tables.pinned(["lightgbm", "numpy", "scipy", *(["pandas"] if booster.pandas_categorical else [])])


def _find(path: Path) -> Path | None:
    file = path if path.is_file() else path / _FILE
    return file if file.is_file() and file.name == _FILE else None


def _names(trained: list[str], said: list[str] | None) -> list[str] | None:
    """The columns as callers write them: LightGBM keeps a blank as an underscore."""
    if all(map(_UNNAMED.fullmatch, trained)):
        return said
    written = {name.replace(" ", "_"): name for name in said or ()}
    return [written.get(name, name) for name in trained]


def _ask(model: Loaded, table: Any) -> list[Any]:
    import lightgbm
    import numpy as np

    if model.frame:
        table.columns = [name.replace(" ", "_") for name in table.columns]
    try:
        values = np.asarray(model.booster.predict(table, num_threads=tables.threads()))
    except (lightgbm.basic.LightGBMError, KeyError, ValueError) as error:
        raise tables.refusal(error) from error
    if model.classes:
        if values.ndim == 1:
            values = np.column_stack((1.0 - values, values))
        if model.method == "predict":
            return [model.classes[index] for index in values.argmax(axis=1).tolist()]
    found: list[Any] = values.tolist()
    return found
