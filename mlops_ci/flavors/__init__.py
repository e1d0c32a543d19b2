"""
Flavors: one module per framework, that saves its models, loads them and asks them for predictions.

A copy of the module, named `model_flavor.py`, runs inside the serving image. So each one is self-contained:
the standard library at import, its framework inside functions, and nothing of this package. Faults are
`ValueError` and `FileNotFoundError` with one sentence. The order of `PROVIDERS` is the order of detection.

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
    "sklearn": "mlops_ci.flavors.sklearn",
    "python": "mlops_ci.flavors.python",
}


class Flavor(Protocol):
    """What every flavor's module can do; `tests/contracts/test_flavors.py` holds each to it."""

    def owns(self, model: Any) -> bool:
        """Whether *model*, an object of the training process, is of this flavor. Imports no framework."""
        ...

    def owns_files(self, path: Path) -> bool:
        """Whether the file or folder at *path* looks like what this flavor saves. Opens nothing."""
        ...

    def save(self, model: Any, folder: Path) -> None:
        """
        Write *model* into *folder*, which exists.

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
