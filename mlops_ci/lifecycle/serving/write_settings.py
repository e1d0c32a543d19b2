"""Writes settings of the service into `mlops.yaml`, and nothing else; see `config.edit`."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from mlops_ci import config as configuration
from mlops_ci.config.edit import by_hand, set_values
from mlops_ci.errors import UsageError

_SECTION = "serving"


def write_settings(path: Path, values: Mapping[str, int], *, dry_run: bool = False) -> str:
    """
    Let the configuration at *path* say *values* under `serving:`; return what changes as a diff, "" for nothing.

    A value that is as usual and not said is not written. With *dry_run* nothing is.

    Raises:
        ConfigError: The file is wrong.
        UsageError: It cannot be written, or not without changing something else; the hint is what to write by hand.
    """
    path = path.resolve()
    before = configuration.load(path)
    if all(getattr(before.serving, name) == value for name, value in values.items()):
        return ""
    data = path.read_bytes()
    try:
        old = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not in UTF-8", hint=by_hand(_SECTION, values)) from error
    wanted = {name: value for name, value in values.items() if getattr(before.serving, name) != value}
    new = set_values(old, _SECTION, wanted)
    expected = msgspec.structs.replace(before, serving=msgspec.structs.replace(before.serving, **wanted))
    if configuration.parse(new, path.name) != expected:
        raise UsageError(f"{path.name} would say something else as well", hint=by_hand(_SECTION, values))
    if not dry_run:
        _replace(path, new.encode(), data)
    shown = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), path.name, path.name)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in shown)


def _replace(path: Path, data: bytes, before: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(data)
        shutil.copymode(path, partial)
        if path.read_bytes() != before:
            raise UsageError(f"{path.name} was changed meanwhile", hint="run the same command again")
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
