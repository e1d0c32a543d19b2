"""
Prophet: forecasts of a time series. A record is a moment, and the prediction its `yhat`.

A record is `{"ds": "2026-01-31"}`, with `cap`, `floor`, conditions and the values of regressors where the model has
them. The model is one `prophet.json`, Prophet's own format, which runs no code when it is loaded. Intervals, which
Prophet draws at random, are not computed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_FILE = "prophet.json"
_MOMENT = "ds"


class Loaded(NamedTuple):
    """A fitted model and the columns that it asks for."""

    model: Any
    columns: tables.Columns


def owns(model: Any) -> bool:
    """Whether *model* is a `Prophet`."""
    module = sys.modules.get("prophet")
    return hasattr(module, "Prophet") and isinstance(model, module.Prophet)  # type: ignore[union-attr]


def owns_files(path: Path) -> bool:
    """Whether *path* is a folder with a `prophet.json`."""
    return (path / _FILE).is_file()


def save(model: Any, folder: Path) -> None:
    """Write *model* as `prophet.json`. Raises as the protocol says."""
    from prophet.serialize import model_to_json

    (folder / _FILE).write_text(model_to_json(model), encoding="utf-8")


def load(folder: Path) -> Loaded:
    """Load the model. Raises as the protocol says."""
    if not (folder / _FILE).is_file():
        raise FileNotFoundError(f"{folder} has no {_FILE}")
    from prophet.serialize import model_from_json

    method = tables.options(folder).get("method", "predict")
    if method != "predict":
        raise ValueError(f"Prophet has no {method}()")
    try:
        model = model_from_json((folder / _FILE).read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{_FILE} cannot be loaded: {type(error).__name__}: {error}") from error
    model.uncertainty_samples = 0
    return Loaded(model, tables.Columns(_names(model)))


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return `yhat` for each of *records*. Raises as the protocol says."""
    return _ask(model, model.columns.frame(records))


def predict_columns(model: Loaded, columns: dict[str, Any], rows: int) -> list[Any]:
    """Return `yhat` for each of *rows*. Raises as the protocol says."""
    return _ask(model, model.columns.frame_of(columns, rows))


def requirements(model: Any) -> list[str]:  # noqa: ARG001  # all models need the same
    """Pin Prophet and what its numbers rest on."""
    return tables.pinned(["prophet", "numpy", "pandas", "holidays"])


def _names(model: Any) -> list[str]:
    conditions = [each["condition_name"] for each in model.seasonalities.values() if each.get("condition_name")]
    growth = ["cap"] if model.growth == "logistic" else []
    floor = ["floor"] if model.logistic_floor else []
    return list(dict.fromkeys([_MOMENT, *growth, *floor, *conditions, *model.extra_regressors]))


def _ask(model: Loaded, frame: Any) -> list[Any]:
    import numpy as np
    import pandas as pd

    try:
        frame[_MOMENT] = pd.to_datetime(frame[_MOMENT])
    except (ValueError, TypeError) as error:
        raise ValueError(f"column {_MOMENT!r} has a value that is not a moment: {error}") from None
    answers = np.empty(len(frame))
    ordered = frame.sort_values(_MOMENT, kind="stable")  # as Prophet does, which forgets the order that it was given
    answers[ordered.index] = model.model.predict(ordered)["yhat"].to_numpy()
    found: list[Any] = answers.tolist()
    return found
