"""
XGBoost: a `Booster`, or an estimator of its scikit-learn interface.

The model is one `model.ubj`, XGBoost's own format, which runs no code when it is loaded and says itself whether
it is a classifier's. It is asked as a `Booster`, so that the service needs no scikit-learn; the answers are those
of the estimator: classes from 0, or for the `method` `predict_proba` the probabilities in their order; trees after
the best iteration are left out.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_FILE = "model.ubj"
# What the file calls the types of categories that are whole numbers.
_WHOLE = {9: "int8", 10: "uint8", 11: "int16", 13: "int32", 15: "int64"}


class Loaded(NamedTuple):
    """
    A booster and how to ask it; *rounds* are those that count, (0, 0) for all.

    *whole* has the columns of categories that are whole numbers, each with the type that the booster insists on.
    """

    booster: Any
    method: str
    columns: tables.Columns
    classifier: bool
    objective: str
    classes: int
    rounds: tuple[int, int]
    missing: float
    frame: bool
    whole: dict[str, str]
    linear: bool


def owns(model: Any) -> bool:
    """Whether *model* is a booster, or one of XGBoost's estimators."""
    module = sys.modules.get("xgboost")
    kinds = tuple(getattr(module, name) for name in ("Booster", "XGBModel") if hasattr(module, name))
    return isinstance(model, kinds)


def owns_files(path: Path) -> bool:
    """Whether *path* is a `.ubj` file, or a folder with one."""
    return tables.one_file(path, _FILE, (".ubj",)) is not None


def save(model: Any, folder: Path) -> None:
    """Write *model* as `model.ubj`. Raises as the protocol says."""
    from sklearn.exceptions import NotFittedError  # it is what XGBoost raises, where scikit-learn is

    try:
        model.save_model(folder / _FILE)
    except NotFittedError as error:
        raise ValueError("the model was not trained") from error
    missing = getattr(model, "missing", None)
    if missing is not None and not math.isnan(missing):
        tables.remember(folder, missing=float(missing))


def load(folder: Path) -> Loaded:
    """Load the model. Raises as the protocol says."""
    booster = read(folder)
    options = tables.options(folder)
    learner = json.loads(booster.save_config())["learner"]
    said = json.loads(booster.attr("scikit_learn") or "null")
    best = booster.attr("best_iteration")
    classifier = bool(said) and said.get("_estimator_type") == "classifier"
    method = options.get("method", "predict")
    if method != "predict" and not (classifier and method == "predict_proba"):
        raise ValueError(f"an XGBoost {'classifier' if classifier else 'model'} has no {method}()")
    booster.set_param({"nthread": tables.threads()})
    return Loaded(
        booster=booster,
        method=method,
        columns=tables.Columns(
            booster.feature_names or options.get("columns"), options.get("dtypes"), booster.num_features()
        ),
        classifier=classifier,
        objective=learner["objective"]["name"],
        classes=int(learner["learner_model_param"]["num_class"]),
        rounds=(0, int(best) + 1) if said and best is not None else (0, 0),
        missing=options.get("missing", math.nan),
        frame=_has_categories(booster),
        whole=_whole(booster) if _has_categories(booster) else {},
        linear=learner["gradient_booster"]["name"] == "gblinear",
    )


def read(folder: Path) -> Any:
    """Return the booster in *folder*, or in the file of that path. Raises as `load`."""
    path = tables.one_file(folder, _FILE, (".ubj",)) or _json(folder)
    if path is None:
        raise FileNotFoundError(f"{folder} has no {_FILE}")
    import xgboost

    try:
        return xgboost.Booster(model_file=path)
    except (xgboost.core.XGBoostError, ValueError) as error:
        lines = str(error).splitlines() or [""]
        raise ValueError(f"{path.name} cannot be loaded: {type(error).__name__}: {lines[0]}") from error


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says."""
    return _ask(model, model.columns.table(records, frame=model.frame))


def predict_columns(model: Loaded, columns: dict[str, Any], rows: int) -> list[Any]:
    """Return one prediction for each of *rows*. Raises as the protocol says."""
    return _ask(model, model.columns.table_of(columns, rows, frame=model.frame))


def requirements(model: Any) -> list[str]:
    """Pin XGBoost, as `xgboost` or `xgboost-cpu`, whichever is installed, and what its numbers rest on."""
    booster = read(model) if isinstance(model, Path) else model
    booster = booster.get_booster() if hasattr(booster, "get_booster") else booster
    frame = _has_categories(booster)
    return tables.pinned(["xgboost", "numpy", "scipy", *(["pandas"] if frame else [])])


def _has_categories(booster: Any) -> bool:
    """Whether the file says which they were; one that was written before XGBoost 3.1 knows only their numbers."""
    kept = getattr(booster, "get_categories", None)
    return "c" in (booster.feature_types or ()) and kept is not None and not kept().empty()


def _whole(booster: Any) -> dict[str, str]:
    trees = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    kinds = [each.get("type") for each in trees.get("gbtree", trees)["model"]["cats"]["enc"]]
    return {name: _WHOLE[kind] for name, kind in zip(booster.feature_names, kinds) if kind in _WHOLE}  # noqa: B905  # Python 3.9


def _json(folder: Path) -> Path | None:
    """The older of XGBoost's two formats, which nobody takes for a model unless the flavor is named."""
    ours = {"flavor.json", "signature.json", "input_example.json"}
    if folder.is_file():
        return folder if folder.suffix == ".json" else None
    found = [path for path in folder.glob("*.json") if path.name not in ours]
    return found[0] if len(found) == 1 else None


def _ask(model: Loaded, table: Any) -> list[Any]:
    if model.frame:
        for name in table.select_dtypes("category"):
            table[name] = _categories(table[name], model.whole.get(name))
    softmax = model.objective == "multi:softmax" and model.method == "predict_proba"
    values = _values(model, table, "margin" if softmax else "value")
    found: list[Any] = _answers(model, values, softmax=softmax).tolist()
    return found


def _categories(column: Any, whole: str | None) -> Any:
    """*column* with categories of the type that the booster insists on; if all is null, with one that nobody has."""
    import numpy as np
    import pandas as pd

    found = column.cat.categories
    if not len(found):
        found = pd.Index([0 if whole else ""])
    if whole is not None:
        limits = np.iinfo(whole)
        if found.dtype.kind not in "iu" or found.min() < limits.min or found.max() > limits.max:
            raise ValueError(f"column {column.name!r} has a category that training did not see")
        found = found.astype(whole)
    return pd.Categorical.from_codes(column.cat.codes, found)


def _values(model: Loaded, table: Any, kind: str) -> Any:
    import xgboost

    try:
        if model.linear:  # the one that cannot be asked in place
            names = model.booster.feature_names
            matrix = xgboost.DMatrix(table, missing=model.missing, feature_names=names, nthread=tables.threads())
            return model.booster.predict(matrix, output_margin=kind == "margin", iteration_range=model.rounds)
        return model.booster.inplace_predict(
            table, iteration_range=model.rounds, predict_type=kind, missing=model.missing
        )
    except (xgboost.core.XGBoostError, ValueError) as error:  # a category that training did not see
        raise tables.refusal(error) from error


def _answers(model: Loaded, values: Any, *, softmax: bool) -> Any:
    """What the estimator's `predict` or `predict_proba` makes of the booster's *values*."""
    import numpy as np

    if not model.classifier:
        return values
    if softmax:
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    if model.method == "predict_proba":
        return values if values.ndim == 2 else np.column_stack((1.0 - values, values))
    if values.ndim == 2 and model.classes:
        return values.argmax(axis=1)
    if model.objective == "multi:softmax":
        return values.astype(np.int32)
    above: Any = values > 0.5
    return above.astype(np.float64 if values.ndim == 2 else np.int64)  # several labels: as XGBoost gives them
