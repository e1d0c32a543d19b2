"""
`mlops.yaml`, the one file that a user writes: read, checked, and described by a JSON Schema.

Everything that is wrong is said at once, each with its line. What the settings do, and which copy of the file
rules, is the business of `lifecycle`.
"""

from __future__ import annotations

import os
from pathlib import Path

from mlops_ci.config.structs import (
    ApprovalRule,
    Config,
    Gate,
    ModelSource,
    Registry,
    ReportConfig,
    RunConfig,
    Serving,
    Target,
)
from mlops_ci.errors import ConfigError

__all__ = [
    "ApprovalRule",
    "Config",
    "Gate",
    "ModelSource",
    "Registry",
    "ReportConfig",
    "RunConfig",
    "Serving",
    "Target",
    "load",
    "parse",
    "schema",
]

_MOST = 20


def load(path: Path) -> Config:
    """
    Read the configuration at *path*.

    Raises:
        ConfigError: It is missing or cannot be read, or as `parse`.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{_short(path)} is not there", hint="`mlops-ci init` writes one") from error
    except OSError as error:
        raise ConfigError(f"{_short(path)} cannot be read: {error.strerror}") from error
    return parse(text, _short(path))


def parse(text: bytes | str, source: str) -> Config:
    """
    Read the configuration *text*.

    Args:
        text: YAML.
        source: Where it comes from, for messages: "mlops.yaml at main (3f2a91c)".

    Raises:
        ConfigError: It is not YAML, or says something that cannot be acted on. Every problem has a line
            `source:line: path: what was found; what is allowed`.
    """
    from mlops_ci.config.nodes import compose  # noqa: PLC0415  # YAML costs time that some commands need not pay
    from mlops_ci.config.reader import Reader  # noqa: PLC0415  # as above

    root = compose(text, source)
    reader = Reader()
    config: Config = reader.read_as(Config, root)
    if reader.problems:
        lines = [f"{source}:{problem.line}: {_said(problem.path, problem.text)}" for problem in sorted(reader.problems)]
        more = [f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
        raise ConfigError("\n".join([*lines[:_MOST], *more]), hint="`mlops-ci config schema` prints what is allowed")
    return config


def schema() -> dict[str, object]:
    """Return the JSON Schema of the file; the copy in `mlops.schema.json` is the same."""
    from mlops_ci.config import json_schema  # noqa: PLC0415  # imports every kind of target

    return json_schema.schema()


def _said(path: str, text: str) -> str:
    return f"{path}: {text}" if path else text


def _short(path: Path) -> str:
    """*path* as seen from the working directory, if it is below it."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith("..") else shown
