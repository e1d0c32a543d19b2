"""
statsmodels: the results of a fit, by a formula or on arrays, with `predict(exog)`; and those of time series.

The model is statsmodels' own pickle, `model.pickle`, so loading it runs the code in it. The rows that it was
fitted on are left out, but for time series, which cannot look ahead without them. For those a record is a
horizon, `{"step": 3}`: the third value after the last that was seen.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_FILE = "model.pickle"
_STEP = "step"


class Loaded(NamedTuple):
    """Results and how to ask them: *formula* wants a frame, *series* looks ahead."""

    results: Any
    columns: tables.Columns
    formula: bool
    series: bool


def owns(model: Any) -> bool:
    """Whether *model* is what statsmodels' `fit` returns."""
    wrapper, base = sys.modules.get("statsmodels.base.wrapper"), sys.modules.get("statsmodels.base.model")
    kinds = [getattr(wrapper, "ResultsWrapper", None), getattr(base, "Results", None)]
    return isinstance(model, tuple(kind for kind in kinds if kind is not None))


def owns_files(path: Path) -> bool:
    """Whether *path* is a folder with a `model.pickle`."""
    return (path / _FILE).is_file() and not (path / "model.py").exists()


def save(model: Any, folder: Path) -> None:
    """Write *model* as `model.pickle`, without what it was fitted on where it can do without. Raises as said."""
    try:
        copy = pickle.loads(pickle.dumps(model))  # noqa: S301  # our own bytes; what follows changes the object
        if not _is_series(copy) and hasattr(copy, "remove_data"):
            copy.remove_data()
        copy.save(str(folder / _FILE))
        tables.remember(folder, **_exog(model))
    except (TypeError, AttributeError, NotImplementedError, pickle.PicklingError) as error:
        raise ValueError(f"the model cannot be pickled: {error}") from error


def load(folder: Path) -> Loaded:
    """Load the model, which runs the code in it. Raises as the protocol says."""
    results = _read(folder)
    options = tables.options(folder)
    method = options.get("method", "predict")
    if method != "predict":
        raise ValueError(f"{type(results).__name__} has no {method}()")
    series, formula = _is_series(results), _is_formula(results)
    said = {**_exog(results), **options}
    names = [_STEP] if series else said.get("exog") or said.get("columns")
    return Loaded(results, tables.Columns(names, said.get("dtypes"), said.get("exog_count")), formula, series)


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says."""
    return _ask(model, model.columns.table(records, frame=model.formula))


def predict_columns(model: Loaded, columns: dict[str, Any], rows: int) -> list[Any]:
    """Return one prediction for each of *rows*. Raises as the protocol says."""
    return _ask(model, model.columns.table_of(columns, rows, frame=model.formula))


def requirements(model: Any) -> list[str]:
    """Pin statsmodels, what its numbers rest on, and what reads a formula."""
    results = _read(model) if isinstance(model, Path) else model
    reader = ["patsy", "formulaic"] if _is_formula(results) else []
    return tables.pinned(["statsmodels", "numpy", "pandas", "scipy", *filter(tables.distribution, reader)])


def _read(folder: Path) -> Any:
    if not (folder / _FILE).is_file():
        raise FileNotFoundError(f"{folder} has no {_FILE}")
    try:
        return pickle.loads((folder / _FILE).read_bytes())  # noqa: S301  # it is statsmodels' only format
    except Exception as error:  # unpickling can fail in any way
        raise ValueError(f"{_FILE} cannot be loaded: {type(error).__name__}: {error}") from error


def _is_series(results: Any) -> bool:
    return type(results.model).__module__.startswith("statsmodels.tsa.") and hasattr(results, "forecast")


def _is_formula(results: Any) -> bool:
    return getattr(results.model, "formula", None) is not None


def _exog(results: Any) -> dict[str, Any]:
    """The columns at training, which go with the data: by name where that was a frame. A formula knows its own."""
    names = getattr(results.model, "exog_names", None)
    if names is None or _is_series(results) or _is_formula(results):
        return {}
    if type(results.model.data).__name__ == "PandasData":
        return {"exog": [str(name) for name in names]}
    return {"exog_count": len(names)}


def _ask(model: Loaded, table: Any) -> list[Any]:
    import numpy as np

    if model.series:
        return _ahead(model, table[:, 0])
    try:
        answers = model.results.predict(table)
    except Exception as error:  # of the formula's reader, whose classes have no base but this
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    found: list[Any] = np.asarray(answers).tolist()
    return found


def _ahead(model: Loaded, steps: Any) -> list[Any]:
    import numpy as np

    wrong = [step for step in steps.tolist() if not (step >= 1 and step == int(step))]
    if wrong:
        raise ValueError(f"a step is a whole number from 1, not {wrong[0]}")
    whole = steps.astype(int)
    ahead = np.asarray(model.results.forecast(int(whole.max())))
    found: list[Any] = ahead[whole - 1].tolist()
    return found
