"""
CatBoost: one `model.cbm`, its own format, which runs no code when it is loaded.

`flavor.json` remembers of which of CatBoost's classes it was, since they answer differently. Categories are text or
whole numbers; what they are is in the model's file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_FILE = "model.cbm"


class Loaded(NamedTuple):
    """A model and how to ask it: *texts* are the places of the columns that are no numbers, *whole* of categories."""

    model: Any
    method: str
    columns: tables.Columns
    texts: frozenset[int]
    whole: frozenset[int]


def owns(model: Any) -> bool:
    """Whether *model* is one of CatBoost's."""
    module = sys.modules.get("catboost")
    return hasattr(module, "CatBoost") and isinstance(model, module.CatBoost)  # type: ignore[union-attr]


def owns_files(path: Path) -> bool:
    """Whether *path* is a `.cbm` file, or a folder with one."""
    return tables.one_file(path, _FILE, (".cbm",)) is not None


def save(model: Any, folder: Path) -> None:
    """Write *model* as `model.cbm`. Raises as the protocol says."""
    import catboost

    try:
        model.save_model(str(folder / _FILE))
    except catboost.CatBoostError as error:
        raise ValueError(f"the model cannot be saved: {error}") from error
    name = next(each.__name__ for each in type(model).__mro__ if each.__module__.startswith("catboost."))
    tables.remember(folder, **{"class": name})


def load(folder: Path) -> Loaded:
    """Load the model. Raises as the protocol says."""
    options = tables.options(folder)
    model = read(folder)
    method = options.get("method", "predict")
    if not hasattr(model, method):
        raise ValueError(f"{type(model).__name__} has no {method}()")
    names = model.feature_names_
    if names == [str(index) for index in range(len(names))]:
        names = options.get("columns")
    whole = frozenset(model.get_cat_feature_indices())
    others = {*model.get_text_feature_indices(), *model.get_embedding_feature_indices()}
    columns = tables.Columns(names, options.get("dtypes"), len(model.feature_names_))
    return Loaded(model, method, columns, whole | others, whole)


def read(folder: Path) -> Any:
    """Return the model in *folder*, or in the file of that path. Raises as `load`."""
    path = tables.one_file(folder, _FILE, (".cbm",))
    if path is None:
        raise FileNotFoundError(f"{folder} has no {_FILE}")
    import catboost

    try:
        model = catboost.CatBoost().load_model(str(path))
    except catboost.CatBoostError as error:
        raise ValueError(f"{path.name} cannot be loaded: CatBoostError: {error}") from error
    said = tables.options(folder).get("class", "CatBoostClassifier" if len(model.classes_) else "CatBoost")
    return model if said == "CatBoost" else getattr(catboost, said)().load_model(str(path))


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says."""
    return _ask(model, model.columns.array(records, text=bool(model.texts)))


def predict_columns(model: Loaded, columns: dict[str, Any], rows: int) -> list[Any]:
    """Return one prediction for each of *rows*. Raises as the protocol says."""
    return _ask(model, model.columns.array_of(columns, rows, text=bool(model.texts)))


def requirements(model: Any) -> list[str]:  # noqa: ARG001  # all of CatBoost's models need the same
    """Pin CatBoost and what its numbers rest on."""
    return tables.pinned(["catboost", "numpy", "pandas", "scipy"])


def _ask(model: Loaded, table: Any) -> list[Any]:
    import catboost

    if model.texts:
        table = [_row(model, number, row) for number, row in enumerate(table.tolist())]
    try:
        answers = getattr(model.model, model.method)(table, thread_count=tables.threads())
    except (catboost.CatBoostError, ValueError) as error:
        raise tables.refusal(error) from error
    if answers.ndim == 2 and answers.shape[1] == 1:  # the class among several
        answers = answers[:, 0]
    found: list[Any] = answers.tolist()
    return found


def _row(model: Loaded, number: int, row: list[Any]) -> list[Any]:
    """*row* with categories as CatBoost takes them: JSON knows no whole numbers, and an array of them neither."""
    found = [value if index in model.texts or value is not None else float("nan") for index, value in enumerate(row)]
    for index in model.whole:
        value = found[index]
        if isinstance(value, float) and value.is_integer():
            found[index] = int(value)
        elif not isinstance(value, (str, int)):
            name = repr(model.columns.names[index]) if model.columns.names else f"place {index}"
            raise ValueError(
                f"record {number} has {tables.kind(value)} in {name}, where the model wants text or a whole number"
            )
    return found
