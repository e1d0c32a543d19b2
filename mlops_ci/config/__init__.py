"""
`mlops.yaml`, the file that a user writes, and the waivers beside it: read, checked, described by a JSON Schema.

Everything that is wrong is said at once, each with its line. What the settings do, and which copy of the file
rules, is the business of `lifecycle`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_ci.config.structs import (
    ApprovalRule,
    Config,
    Freeze,
    ModelSource,
    Registry,
    ReportConfig,
    RunConfig,
    Serving,
    Target,
)
from mlops_ci.errors import ConfigError
from mlops_ci.gates import Gate

if TYPE_CHECKING:
    from mlops_ci.config.waivers import WaiverRow

__all__ = [
    "ApprovalRule",
    "Config",
    "Freeze",
    "Gate",
    "ModelSource",
    "Registry",
    "ReportConfig",
    "RunConfig",
    "Serving",
    "Target",
    "gate_lines",
    "load",
    "parse",
    "parse_waivers",
    "schema",
    "waivers_schema",
]


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
    from mlops_ci.config.reader import Reader, refuse_problems  # noqa: PLC0415  # as above

    root = compose(text, source)
    reader = Reader()
    config: Config = reader.read_as(Config, root)
    refuse_problems(reader.problems, source, hint="`mlops-ci config schema` prints what is allowed")
    return config


def gate_lines(text: bytes | str, gates: Sequence[Gate]) -> list[int]:
    """
    Return the line of *text* on which each of *gates* begins, from 1; [] if these are not the gates of *text*.

    What an alias stands for has the line of its anchor.
    """
    from mlops_ci.config.nodes import compose, items_of, line_of, scalar_of  # noqa: PLC0415  # as in `parse`

    try:
        items = items_of(compose(text, ""), "gates")
    except ConfigError:
        return []
    metrics = [scalar.value if (scalar := scalar_of(item, "metric")) else None for item in items]
    return [line_of(item) for item in items] if metrics == [gate.metric for gate in gates] else []


def parse_waivers(text: bytes | str, source: str) -> list[WaiverRow]:
    """
    Read the waivers *text*, as `.mlops/waivers.yaml` holds them; *source* as in `parse`.

    Raises:
        ConfigError: It is not YAML, or a row is wrong. Every problem has a line.
    """
    from mlops_ci.config import waivers  # noqa: PLC0415  # as in `parse`

    return waivers.parse(text, source)


def schema() -> dict[str, object]:
    """Return the JSON Schema of the file, which `docs/mlops.schema.json` is."""
    from mlops_ci.config import json_schema  # noqa: PLC0415  # imports every kind of target

    return json_schema.schema()


def waivers_schema() -> dict[str, object]:
    """Return the JSON Schema of `.mlops/waivers.yaml`."""
    from mlops_ci.config import waivers  # noqa: PLC0415  # as in `parse`

    return waivers.schema()


def _short(path: Path) -> str:
    """*path* as seen from the working directory, if it is below it."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith("..") else shown
