"""How a file or folder gets into the run folder: whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

_NOT_COPIED = {".git", ".mlops", "__pycache__"}


def place(run_folder: Path, name: str, write: Callable[[Path], object]) -> str:
    """
    Let *write* make what belongs to `artifacts/<name>`, then put it there, over what was there before.

    Args:
        run_folder: The run folder.
        name: Relative, with slashes; the suffix is kept for *write*.
        write: Makes a file or folder at the path that it gets.

    Returns:
        The clean *name*.

    Raises:
        ValueError: *name* leads out of the folder.
        OSError: There is no room, or the like.
    """
    text = str(name).replace("\\", "/")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if not parts or ".." in parts or text.startswith("/") or ":" in parts[0]:
        raise ValueError(f"{name!r} is not a relative path inside the run's artifacts")
    target = run_folder.joinpath("artifacts", *parts)
    fresh = scratch(run_folder) / parts[-1]
    try:
        write(fresh)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace(fresh, target)
    finally:
        shutil.rmtree(fresh.parent, ignore_errors=True)
    return "/".join(parts)


def scratch(run_folder: Path) -> Path:
    """Make a fresh folder beside the artifacts, which nobody reads."""
    folder = run_folder / "tmp" / os.urandom(8).hex()
    folder.mkdir(parents=True)
    return folder


def replace(fresh: Path, target: Path) -> None:
    """Move *fresh* to *target*; a folder there makes room first."""
    if target.is_dir():
        shutil.rmtree(target)
    fresh.replace(target)


def copy(source: Path, target: Path) -> None:
    """
    Copy a file, or what is in a folder.

    Raises:
        OSError: There is none, or it cannot be read.
    """

    def skipped(folder: str, names: list[str]) -> set[str]:
        inside_itself = {name for name in names if Path(folder, name) == target.parent}
        return inside_itself | _NOT_COPIED.intersection(names)

    if source.is_dir():
        shutil.copytree(source, target, ignore=skipped, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)
