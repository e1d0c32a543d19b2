"""Describes a saved model by its files: digests, flavor, signature, requirements. Never loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mlops_ci import digests, flavors, providers
from mlops_ci.entities import ArtifactRef, Model, Signature
from mlops_ci.errors import ConfigError, InputError

_SIGNATURE = "signature.json"
_EXAMPLE = "input_example.json"
_REQUIREMENTS = "requirements.txt"


def describe(path: Path, flavor: str | None) -> Model:
    """
    Describe the model at *path*, a file or a folder, as `mlops_ci.tracking` or somebody's own code saved it.

    Args:
        path: A file is known by its name, the files of a folder by their paths in it.
        flavor: As the configuration says; found unless given.

    Raises:
        ConfigError: There is no such flavor.
        InputError: Nothing is there, no flavor knows such files, or a file that describes the model is malformed.
    """
    if flavor is not None and flavor not in flavors.PROVIDERS:
        raise ConfigError(f"unknown flavor {flavor!r}", hint=providers.suggestion(flavor, flavors.PROVIDERS))
    files = _files(path)
    if not files:
        raise InputError(
            f"there is no model in {path}", hint="`run: model: path:` in mlops.yaml, or log_model, names it"
        )
    return Model(
        flavor=flavor or _flavor(path),
        digest=digests.of_tree(files),
        size_bytes=sum(file.size_bytes for file in files),
        files=files,
        requirements=_requirements(path / _REQUIREMENTS),
        signature=_signature(path / _SIGNATURE),
        input_example=next((file for file in files if file.path == _EXAMPLE), None),
    )


def _files(path: Path) -> list[ArtifactRef]:
    if path.is_file():
        return [digests.reference(path, path.name)]
    return [file for file in digests.of_files(path) if "__pycache__" not in file.path.split("/")]


def _flavor(path: Path) -> str:
    try:
        return flavors.detect_files(path)
    except ValueError as error:
        raise InputError(str(error), hint="name it: `run: {model: {flavor: …}}` in mlops.yaml") from error


def _requirements(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        lines = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
        return [line for line in lines if line and not line.startswith("#")]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error.reason}") from error


def _signature(path: Path) -> Signature | None:
    if not path.is_file():
        return None
    try:
        found: Any = msgspec.json.decode(path.read_bytes(), type=Signature)
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{path} is no signature: {error}", hint='write {"inputs": …, "outputs": …}, each a JSON Schema'
        ) from error
    return found  # type: ignore[no-any-return]
