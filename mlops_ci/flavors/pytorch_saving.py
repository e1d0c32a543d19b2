"""
The ways to write a PyTorch module, for training alone: a service has no copy of this.

`mlops_ci.flavors.pytorch` says which ways there are, and reads what they write.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from . import tables
from .tensors import Input

_FLOATS = ("float64", "float32", "float16", "bfloat16")
_Way = Callable[[Any, Path], None]


class Asking(NamedTuple):
    """
    How the flavor loads and asks, so that what was saved is tried as a service will.

    Attributes:
        load: The saved model of a folder, as something to call with tensors.
        predict: The answers of such a thing, or of the module, given its inputs, its columns and records.
    """

    load: Callable[[Path], Callable[..., Any]]
    predict: Callable[[Callable[..., Any], list[Input], list[str] | None, list[Any]], list[Any]]


def save(model: Any, folder: Path) -> None:
    """
    Write *model* without an example: a program and TorchScript as they are, a module as TorchScript or with its code.

    Raises:
        ValueError: Neither can be done.
    """
    import torch

    if isinstance(model, torch.jit.ScriptModule):
        torch.jit.save(model, folder / "model.pt")
    elif isinstance(model, torch.nn.Module):
        _first_that_works(_for_prediction(model), folder, [_script, _code])
    else:
        torch.export.save(model, folder / "model.pt2")


def save_with_example(model: Any, folder: Path, records: list[Any], asking: Asking) -> None:
    """
    Write *model* in the first way whose result answers *records* as *model* does.

    Raises:
        ValueError: There is none, or the model does not take the records.
    """
    import torch

    if not isinstance(model, torch.nn.Module) or isinstance(model, torch.jit.ScriptModule):
        save(model, folder)
        return
    module = _for_prediction(model)
    inputs, columns = _inputs(module, records, asking)
    batch: list[Any] = []

    def keep(*given: Any) -> Any:
        batch[:] = given
        return module(*given)

    # torch.export would take a single record for the only size there is.
    expected = asking.predict(keep, inputs, columns, records if len(records) > 1 else records * 2)[: len(records)]

    def tried(way: _Way) -> _Way:
        def attempt(module: Any, folder: Path) -> None:
            way(module, folder)
            tables.remember(folder, inputs=[[each.name, each.dtype] for each in inputs])
            found = asking.load(folder)
            if not _close(asking.predict(found, inputs, columns, records), expected):
                raise ValueError("what was saved answers otherwise than the model")
            if not _close(asking.predict(found, inputs, columns, records[:1]), expected[:1]):
                raise ValueError("what was saved answers one record otherwise than the model answers several")

        return attempt

    ways: list[_Way] = [partial(_export, batch=tuple(batch)), partial(_trace, batch=tuple(batch)), _script, _code]
    _first_that_works(module, folder, [tried(way) for way in ways])


def _for_prediction(model: Any) -> Any:
    """A copy, on the CPU and in evaluation mode: the training goes on with its own."""
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    try:
        return copy.deepcopy(model).cpu().eval()
    except Exception as error:
        raise ValueError(f"the module cannot be copied: {_sentence(error)}") from error


def _inputs(module: Any, records: list[Any], asking: Asking) -> tuple[list[Input], list[str] | None]:
    """The inputs and columns with which *module* takes *records*: numbers as its weights are, else whole ones."""
    known = list(inspect.signature(module.forward).parameters)
    first = records[0]
    several = isinstance(first, dict) and set(first) == set(known[: len(first)])
    several = several and (len(first) > 1 or isinstance(first[known[0]], list))
    names = known[: len(first)] if several else ["input"]
    columns = list(first) if isinstance(first, dict) else None
    floats = str(next((each.dtype for each in module.parameters() if each.is_floating_point()), "torch.float32"))
    numbers = floats.partition(".")[2]
    whole = [
        "int64" if _whole([record[name] if several else record for record in records]) else numbers for name in names
    ]
    reasons = []
    for dtypes in ([numbers] * len(names), whole):
        inputs = [Input(name, dtype, None) for name, dtype in zip(names, dtypes)]  # noqa: B905  # Python 3.9
        try:
            asking.predict(module, inputs, columns, records)
        except Exception as error:  # noqa: BLE001  # it is the user's model
            reasons.append(_sentence(error))
        else:
            return inputs, columns
    raise ValueError(f"the model does not answer the input example: {reasons[0]}")


def _whole(value: Any) -> bool:
    """Whether there are whole numbers alone in *value*."""
    if isinstance(value, dict):
        value = list(value.values())
    return all(map(_whole, value)) if isinstance(value, list) else isinstance(value, int)


def _first_that_works(module: Any, folder: Path, ways: list[_Way]) -> None:
    """Write *module* in the first of the *ways* that can, and leave nothing of those that cannot."""
    reasons = []
    for way in ways:
        before = set(folder.iterdir())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, and inside torch.export
                warnings.simplefilter("ignore", FutureWarning)
                way(module, folder)
        except Exception as error:  # noqa: BLE001  # compilers fail in any way
            reasons.append(_sentence(error))
            for path in set(folder.iterdir()) - before:
                path.unlink()
        else:
            return
    raise ValueError(
        f"{type(module).__name__} can be saved in no way ({'; '.join(dict.fromkeys(reasons))}): "
        "log it with an input example, or log the program that torch.export.export makes of it"
    )


def _export(module: Any, folder: Path, batch: tuple[Any, ...]) -> None:
    import torch

    any_size = torch.export.Dim("batch")
    program = torch.export.export(module, batch, dynamic_shapes=tuple({0: any_size} for _ in batch))
    torch.export.save(program, folder / "model.pt2")


def _trace(module: Any, folder: Path, batch: tuple[Any, ...]) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)  # the trace would not follow the model's conditions
        torch.jit.save(torch.jit.trace(module, batch, strict=False), folder / "model.pt")


def _script(module: Any, folder: Path) -> None:
    import torch

    torch.jit.save(torch.jit.script(module), folder / "model.pt")


def _code(module: Any, folder: Path) -> None:
    """The definition, the constructor's arguments as the attributes of the same names have them, and the weights."""
    from safetensors.torch import save_model

    from . import python

    made = type(module)
    definition = python.Source(made).text()
    parameters = list(inspect.signature(made).parameters.values())
    lacking = [each.name for each in parameters if not hasattr(module, each.name) and each.default is each.empty]
    if lacking:
        raise ValueError(f"its constructor's {lacking[0]!r} is not known: keep it as an attribute of that name")
    arguments = {each.name: getattr(module, each.name) for each in parameters if hasattr(module, each.name)}
    (folder / "module.py").write_text(definition, encoding="utf-8")
    text = json.dumps({"class": made.__name__, "arguments": arguments}, indent=1) + "\n"
    (folder / "module.json").write_text(text, encoding="utf-8")
    save_model(module, str(folder / "model.safetensors"))


def _close(found: Any, expected: Any) -> bool:
    """Whether two answers are the same but for the last digits of their numbers."""
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(_close, found, expected))
    if isinstance(expected, dict):
        same_names = isinstance(found, dict) and found.keys() == expected.keys()
        return same_names and all(_close(found[name], each) for name, each in expected.items())
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(found, expected, rel_tol=1e-3, abs_tol=1e-5)
    return bool(found == expected)


def _sentence(error: Exception) -> str:
    """The first line of what *error* says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
