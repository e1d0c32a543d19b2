"""How a model gets into the run folder: its files, and what goes in and out of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlops_ci import flavors
from mlops_ci.flavors import Flavor
from mlops_ci.tracking import files, tables

_REQUIREMENTS = "requirements.txt"


class Kept(NamedTuple):
    """What became of a model; *warnings* are sentences."""

    flavor: str
    warnings: list[str]


def keep(
    model: Any,
    run_folder: Path,
    example: Any,
    flavor: str | None,
    requirements: Sequence[str] | None,
    method: str | None,
) -> Kept:
    """
    Write `model/` whole or not at all; the arguments are those of `Run.log_model`.

    An example that the saved model cannot answer is a warning, and is left out with the signature.

    Raises:
        ValueError: There is no such flavor, or it cannot save this model.
        OSError: There is no room, or the like.
    """
    folder = files.scratch(run_folder) / "model"
    folder.mkdir()
    try:
        name, told = _save(model, folder, flavor)
        module = flavors.find(name)
        _write_options(folder, name, method, example)
        told += _write_requirements(module, model, folder, requirements)
        if example is not None:
            told += _try(module, folder, example)
        files.replace(folder, run_folder / "model")
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)
    return Kept(name, told)


def _save(model: Any, folder: Path, flavor: str | None) -> tuple[str, list[str]]:
    """Write the model's own files; a path's are copied. Returns the flavor's name and what it warned of."""
    if isinstance(model, (str, os.PathLike)):
        files.copy(Path(model), folder if Path(model).is_dir() else folder / Path(model).name)
        return flavor or flavors.detect_files(folder), []
    name = flavor or flavors.detect(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flavors.find(name).save(model, folder)
    return name, [str(each.message) for each in caught]


def _write_options(folder: Path, flavor: str, method: str | None, example: Any) -> None:
    """`flavor.json`: the flavor, and what it cannot see in the model itself."""
    path = folder / "flavor.json"
    options: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    options["flavor"] = flavor
    if method:
        options["method"] = method
    types = tables.dtypes(example)
    kept = {name: dtype for name, dtype in types.items() if dtype.startswith(("category", "datetime64"))}
    if kept:
        options["dtypes"] = kept  # JSON would give them back as text
    first = tables.records(example)[0] if example is not None else None
    if isinstance(first, dict):
        options["columns"] = list(first)
    _write_json(path, options)


def _write_requirements(module: Flavor, model: Any, folder: Path, given: Sequence[str] | None) -> list[str]:
    path = folder / _REQUIREMENTS
    if given is None and path.is_file():
        return []
    if given is None:
        try:
            given = module.requirements(folder if isinstance(model, (str, os.PathLike)) else model)
        except (ValueError, SyntaxError) as error:
            return [f"its requirements are not known: {error}"]
    path.write_text("".join(f"{line}\n" for line in given), encoding="utf-8")
    return []


def _try(module: Flavor, folder: Path, example: Any) -> list[str]:
    """Ask the model as it was saved, as its service will; write the example and the signature."""
    records = json.loads(json.dumps(tables.records(example)))
    path_before = sys.path[:]
    try:
        answers = module.predict(module.load(folder), records)
        predictions = [tables.plain(answer) for answer in answers]
    except Exception as error:  # noqa: BLE001  # it is the user's model
        return [f"the saved model does not answer the input example: {type(error).__name__}: {error}"]
    finally:
        sys.path[:] = path_before
    signature = {
        "inputs": tables.schema(records, tables.dtypes(example), whole=False),
        "outputs": tables.schema(predictions, {}, whole=True),
    }
    _write_json(folder / "signature.json", signature)
    _write_json(folder / "input_example.json", {"records": records, "predictions": predictions})
    return []


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
