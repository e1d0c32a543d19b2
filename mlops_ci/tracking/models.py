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
from mlops_ci.flavors.tables import remember
from mlops_ci.tracking import files, tables

_REQUIREMENTS = "requirements.txt"
_SIGNATURE = "signature.json"


class Kept(NamedTuple):
    """What became of a model; *warnings* are sentences, and so is *conversion*, if there was one."""

    flavor: str
    warnings: list[str]
    conversion: str


class Wish(NamedTuple):
    """How a model is to be kept; the arguments of `Run.log_model`."""

    example: Any = None
    flavor: str | None = None
    requirements: Sequence[str] | None = None
    method: str | None = None
    convert: str | None = None


def keep(model: Any, run_folder: Path, wish: Wish) -> Kept:
    """
    Write `model/` whole or not at all.

    An example that the saved model cannot answer is a warning, and is left out with the signature. So is a
    conversion that is not exact, and the model is kept as it was saved.

    Raises:
        ValueError: There is no such flavor or conversion, or it cannot save this model.
        OSError: There is no room, or the like.
    """
    if wish.convert not in {None, "", "onnx"}:
        raise ValueError(f"there is no conversion to {wish.convert!r}; known: onnx")
    folder = files.scratch(run_folder) / "model"
    folder.mkdir()
    try:
        name, told = _save(model, folder, wish)
        _write_options(folder, name, wish.method, wish.example)
        conversion = ""
        if wish.convert and name != wish.convert:
            try:
                conversion = _convert(name, folder, wish.example)
            except ValueError as error:
                told.append(f"not converted to ONNX: {error}")
            else:
                model = folder = folder.with_name("converted")
                wish, name = wish._replace(requirements=None), "onnx"
        module = flavors.find(name)
        told += _write_requirements(module, model, folder, wish.requirements)
        if wish.example is not None:
            told += _try(module, folder, wish.example)
        elif hasattr(module, "signature") and (said := module.signature(folder)):
            _write_json(folder / _SIGNATURE, said)
        files.replace(folder, run_folder / "model")
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)
    return Kept(name, told, conversion)


def _convert(flavor: str, native: Path, example: Any) -> str:
    """Make the folder `converted` beside *native*; return what to tell. Raises `ValueError` as `convert.to_onnx`."""
    from mlops_ci.tracking import convert

    folder = native.with_name("converted")
    folder.mkdir()
    path_before = sys.path[:]
    try:
        outcome = convert.to_onnx(flavor, native, example, folder)
    finally:
        sys.path[:] = path_before
    remember(folder, flavor="onnx")
    return outcome.sentence(flavor)


def _save(model: Any, folder: Path, wish: Wish) -> tuple[str, list[str]]:
    """Write the model's own files; a path's are copied. Returns the flavor's name and what it warned of."""
    if isinstance(model, (str, os.PathLike)):
        files.copy(Path(model), folder if Path(model).is_dir() else folder / Path(model).name)
        return wish.flavor or flavors.detect_files(folder), []
    name = wish.flavor or flavors.detect(model)
    module = flavors.find(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if wish.example is not None and hasattr(module, "save_with_example"):
            module.save_with_example(model, folder, _records(wish.example))
        else:
            module.save(model, folder)
    return name, [str(each.message) for each in caught]


def _write_options(folder: Path, flavor: str, method: str | None, example: Any) -> None:
    """`flavor.json`: the flavor, and what it cannot see in the model itself."""
    options: dict[str, Any] = {"flavor": flavor}
    if method:
        options["method"] = method
    types = tables.dtypes(example)
    if types:
        options["dtypes"] = types  # JSON knows text and numbers alone
    first = tables.records(example)[0] if example is not None else None
    if isinstance(first, dict):
        options["columns"] = list(first)
    remember(folder, **options)


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
    records = _records(example)
    path_before = sys.path[:]
    try:
        loaded = module.load(folder)
        predictions = [tables.plain(answer) for answer in module.predict(loaded, records)]
        seen = tables.ranges(example)
        outputs = tables.schema(predictions, {}, whole=True)
        if tables.is_number(outputs) and tables.is_enough(example):
            answers = (answer for batch in tables.batches(example) for answer in module.predict(loaded, batch))
            outputs[tables.SEEN] = tables.bounds(map(tables.plain, answers))
    except Exception as error:  # noqa: BLE001  # it is the user's model
        why = error.__cause__ or error  # a service keeps from callers what the library says of their values
        return [f"the saved model does not answer the input example: {type(why).__name__}: {why}"]
    finally:
        sys.path[:] = path_before
    signature = {
        "inputs": tables.schema(records, tables.dtypes(example), whole=False, seen=seen),
        "outputs": outputs,
    }
    _write_json(folder / _SIGNATURE, signature)
    _write_json(folder / "input_example.json", {"records": records, "predictions": predictions})
    return []


def _records(example: Any) -> list[Any]:
    """The first records of *example*, as a service gets them."""
    found: list[Any] = json.loads(json.dumps(tables.records(example)))
    return found


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
