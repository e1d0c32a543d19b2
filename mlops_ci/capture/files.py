"""
Reads the parameter and metric files that the configuration names: JSON, YAML and TOML, flattened with dots.

They were asked for by name, so a missing or wrong one is an `InputError`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlops_ci.entities import Scalar
from mlops_ci.errors import InputError

# YAML 1.2's numbers that PyYAML, which reads 1.1, takes for text: 1e-3
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def params(paths: Sequence[Path]) -> dict[str, Scalar]:
    """
    Return the parameters in *paths*; of two files with the same name, the later one counts.

    A list is one parameter, as JSON text.

    Raises:
        InputError: A file is missing, or is no mapping.
    """
    return {name: _scalar(value) for path in paths for name, value in _leaves(_mapping(path, "params"), "")}


def metrics(paths: Sequence[Path]) -> dict[str, float]:
    """
    Return the metrics in *paths*; of two files with the same name, the later one counts.

    NaN and infinity are kept, for a gate to fail on them.

    Raises:
        InputError: A file is missing, is no mapping, or holds a value that is no number.
    """
    return {
        name: _number(path, name, value) for path in paths for name, value in _leaves(_mapping(path, "metrics"), "")
    }


def _mapping(path: Path, key: str) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f"{path} was not written", hint=f"`run: {key}:` in mlops.yaml names it: does the training write it there?"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint=f"`run: {key}:` in mlops.yaml names it") from error
    found = _parse(path, text)
    if not isinstance(found, Mapping):
        raise InputError(f"{path} holds {_kind(found)}, and not names with values", hint='write {"name": value, …}')
    return found


def _parse(path: Path, text: str) -> Any:
    import yaml  # noqa: PLC0415  # most runs need none of it

    try:
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix in {".yaml", ".yml"}:
            return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # both are safe
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: this is not JSON: {error.msg}", hint=_SUFFIX_HINT) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: this is not TOML: {error}") from error
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: this is not YAML: {problem or ' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise InputError(f"{path}: this is nested too deeply") from error


_SUFFIX_HINT = "a file of YAML ends in .yaml, and one of TOML in .toml"


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and (value or not name):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)  # YAML's and TOML's dates


def _number(path: Path, name: str, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    if path.suffix in {".yaml", ".yml"} and isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    raise InputError(
        f"{path}{_line(path, name)}: {name!r} is {_kind(value)}, and a metric is one number",
        hint="leave it out of the file, or write it to one of `run: params:` if it is a parameter",
    )


def _line(path: Path, name: str) -> str:
    """`:<line>` of the last part of *name*, if exactly one line could be it."""
    key = re.compile(rf"""(^|[\s{{,])["']?{re.escape(name.rpartition(".")[2])}["']?\s*:""")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    found = [number for number, line in enumerate(lines, start=1) if key.search(line)]
    return f":{found[0]}" if len(found) == 1 else ""


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int | float):
        return "a number too large"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"
