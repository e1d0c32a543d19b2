"""
What a parameter and a metric can be, and how nested ones become flat names joined by dots.

Pure functions. What stands for an object is the same in every process: no memory address, no order of a set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_LONGEST = 500
_DEEPEST = 20


def params(source: Any) -> dict[str, Any]:
    """
    Return the flat parameters of *source*: name → string, number, boolean or None.

    Args:
        source: A mapping, an `argparse.Namespace`, a dataclass, a named tuple, a pydantic model, or whatever
            has `get_params()`; each may hold others.

    Raises:
        TypeError: It is none of them.
    """
    return {name: scalar(value) for name, value in _leaves(source, None, _DEEPEST)}


def metrics(source: Any) -> tuple[dict[str, float], list[str]]:
    """
    Return the flat metrics of *source*, and a sentence on each value that is no number.

    Raises:
        TypeError: *source* is nothing that has names.
    """
    found: dict[str, float] = {}
    wrong: list[str] = []
    for name, value in _leaves(source, None, _DEEPEST):
        try:
            found[name] = number(name, value)
        except TypeError as error:
            wrong.append(str(error))
    return found, wrong


def columns(source: Any, length: int | None = None) -> tuple[dict[str, list[float]], list[str]]:
    """
    Return the flat columns of numbers in *source*, and a sentence on each that is none, or not *length* long.

    Raises:
        TypeError: *source* is nothing that has names.
    """
    found: dict[str, list[float]] = {}
    wrong: list[str] = []
    for name, value in _leaves(source, None, _DEEPEST):
        try:
            points = column(name, value)
        except TypeError as error:
            wrong.append(str(error))
            continue
        if length is None or len(points) == length:
            found[name] = points
        else:
            wrong.append(f"{name!r} has {len(points)} values for {length} steps")
    return found, wrong


def column(name: str, value: Any) -> list[float]:
    """
    Return *value*, a sequence or an array of one dimension, as a list of floats.

    Raises:
        TypeError: It is not one, or holds something else than numbers.
    """
    items = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(items, (str, bytes)) or not hasattr(items, "__iter__"):
        raise TypeError(f"{name!r} is {brief(value)}, not a sequence of numbers")
    return [item if type(item) is float else number(name, item) for item in items]


def number(name: str, value: Any) -> float:
    """
    Return *value* as a float; NaN and infinity are numbers, text is not.

    Raises:
        TypeError: It is not a number.
    """
    if isinstance(value, (str, bytes, type(None))):
        raise TypeError(f"{name!r} is {value!r}, not a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name!r} is {brief(value)}, not a number") from None


def scalar(value: Any) -> Any:
    """Return *value* if it is a string, number, boolean or None, else a short text that stands for it."""
    if isinstance(value, Enum):
        value = value.value
    elif getattr(value, "shape", None) == () and hasattr(value, "item"):  # NumPy's and PyTorch's numbers
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, str):
        return _cut(str(value))
    if isinstance(value, (list, tuple)) and all(isinstance(item, (str, int, float, type(None))) for item in value):
        return _cut(json.dumps(value, ensure_ascii=False))
    return brief(value)


def brief(value: Any) -> str:
    """Return a short text for any object."""
    return _cut(" ".join(_ADDRESS.sub("", _text(value)).split()))


def _text(value: Any) -> str:
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_text, value)))}}}"
    if hasattr(value, "get_params"):
        return type(value).__name__
    if hasattr(value, "__fspath__") or hasattr(value, "isoformat"):
        return str(value)
    return repr(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _leaves(source: Any, prefix: str | None, depth: int) -> Iterator[tuple[str, Any]]:
    fields = _fields(source) if depth else None
    if fields is None:
        if prefix is None:
            raise TypeError(f"a {type(source).__name__} has no names for its values: give a dict")
        yield prefix, source
        return
    if prefix is not None and (not fields or hasattr(source, "get_params")):
        yield prefix, source if hasattr(source, "get_params") else "{}"
    for key, value in fields.items():
        name = str(key) if prefix is None else f"{prefix}.{key}"
        # get_params() names the parameters of the parts as well
        yield from [(name, value)] if hasattr(source, "get_params") else _leaves(value, name, depth - 1)


def _fields(source: Any) -> Mapping[Any, Any] | None:
    """The names and values in *source*, or None if it is a value itself."""
    if isinstance(source, Mapping):
        return source
    if isinstance(source, type):
        return None
    if hasattr(source, "__dataclass_fields__"):
        return {name: getattr(source, name) for name in source.__dataclass_fields__}
    if type(source).__name__ in {"Namespace", "SimpleNamespace"}:
        return dict(vars(source))
    for method in ("get_params", "model_dump", "_asdict"):
        if callable(getattr(source, method, None)):
            found: Mapping[Any, Any] = getattr(source, method)()
            return found
    return None
