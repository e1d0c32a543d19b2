"""
Flavors: one module per framework, that saves its models, loads them and asks them for predictions.

A copy of the module, as `flavors/<name>.py`, runs inside the serving image. So each one is self-contained: the
standard library at import, its framework inside functions, and of this package nothing but `from . import tables`,
which is copied beside it. Faults are `ValueError` and `FileNotFoundError` with one sentence. The order of
`PROVIDERS` is the order of detection: a framework whose estimators are scikit-learn's too comes before it.

A model folder holds what `save` wrote, and beside it `flavor.json` (`{"flavor": …}` and what the flavor
wants to remember), `requirements.txt`, and, where there was an example, `signature.json` and
`input_example.json`.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

PROVIDERS = {
    "mlflow": "mlops_ci.flavors.mlflow",
    "xgboost": "mlops_ci.flavors.xgboost",
    "lightgbm": "mlops_ci.flavors.lightgbm",
    "catboost": "mlops_ci.flavors.catboost",
    "onnx": "mlops_ci.flavors.onnx",
    "statsmodels": "mlops_ci.flavors.statsmodels",
    "prophet": "mlops_ci.flavors.prophet",
    "transformers": "mlops_ci.flavors.transformers",
    "pytorch": "mlops_ci.flavors.pytorch",
    "tensorflow": "mlops_ci.flavors.tensorflow",
    "spacy": "mlops_ci.flavors.spacy",
    "sklearn": "mlops_ci.flavors.sklearn",
    "python": "mlops_ci.flavors.python",
}


class Flavor(Protocol):
    """
    What every flavor's module can do; `tests/contracts/test_flavors.py` holds each to it.

    One that has to see how a model is asked in order to save it has `save_with_example(model, folder, records)`, which
    is called instead of `save` where there is an example. One whose files know the signature has `signature(folder)`.
    A flavor whose records are rows of columns has `predict_columns` as well; where it is absent, whoever has columns
    makes records of them and calls `predict`.
    """

    def owns(self, model: Any) -> bool:
        """Whether *model*, an object of the training process, is of this flavor. Imports no framework."""
        ...

    def owns_files(self, path: Path) -> bool:
        """Whether the file or folder at *path* looks like what this flavor saves. Opens nothing."""
        ...

    def save(self, model: Any, folder: Path) -> None:
        """
        Write *model* into *folder*, which exists; what else `load` shall know, into `flavor.json` there.

        Raises:
            ValueError: This model cannot be loaded again elsewhere; the sentence says why.
        """
        ...

    def load(self, folder: Path) -> Any:
        """
        Load what `save` wrote, with the options in `flavor.json` if there are any.

        Raises:
            FileNotFoundError: There is no model in *folder*.
            ValueError: It cannot be read.
        """
        ...

    def predict(self, model: Any, records: list[Any]) -> list[Any]:
        """
        Return one JSON-like prediction for each record (an object by column name, or an array).

        Args:
            model: What `load` returned.
            records: At least one.

        Raises:
            ValueError: A record is not what the model was trained on.
        """
        ...

    def predict_columns(self, model: Any, columns: dict[str, Any], rows: int) -> list[Any]:
        """
        Return one JSON-like prediction for each row: what `predict` says of the same rows as records. Optional.

        Args:
            model: What `load` returned.
            columns: Name → a NumPy array of *rows* values: float64 with NaN for null, or object with None for null
                where they are text, a mixture, or integers to be kept. Those that the model lacks are ignored.
            rows: How many; at least one.

        Raises:
            ValueError: A column is missing, or is not what the model was trained on, or it was trained without names.
        """
        ...

    def requirements(self, model: Any) -> list[str]:
        """Return the pinned requirements (`name==version`, of this environment) of *model*, sorted."""
        ...


def find(name: str) -> Flavor:
    """
    Return the module of flavor *name*.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in PROVIDERS:
        raise ValueError(f"there is no flavor {name!r}; known: {', '.join(sorted(PROVIDERS))}")
    return cast(Flavor, import_module(PROVIDERS[name]))


def detect(model: Any) -> str:
    """
    Return the name of the flavor that *model*, an object of this process, is of.

    Raises:
        ValueError: It is of none.
    """
    for name in PROVIDERS:
        if find(name).owns(model):
            return name
    raise ValueError(
        f"no flavor saves a {type(model).__module__}.{type(model).__qualname__}; "
        "write a folder whose model.py has predict(records), and log its path"
    )


def detect_files(path: Path) -> str:
    """
    Return the name of the flavor of the saved model at *path*, a file or a folder.

    Raises:
        ValueError: None of them saves such files, or `flavor.json` names an unknown one.
    """
    said = path / "flavor.json"
    if said.is_file():
        try:
            name = str(json.loads(said.read_text(encoding="utf-8"))["flavor"])
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{said} does not name a flavor") from None
        find(name)
        return name
    for name in PROVIDERS:
        if find(name).owns_files(path):
            return name
    raise ValueError(f"{path} is not a model of a known flavor ({', '.join(sorted(PROVIDERS))})")
