"""The folder that a build gets: what it holds decides what the image is, and so do modes and times."""

from __future__ import annotations

import os
from pathlib import Path

from mlops_ci import digests

_FILE, _FOLDER = 0o444, 0o555


def settle(folder: Path, epoch: int) -> str:
    """
    Give everything below *folder* one mode, for files and for folders, and the time *epoch*; return its digest.

    Nothing in it can be written afterwards: neither by mistake, nor in the image by its user. See `loosen`.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(_FOLDER if path.is_dir() else _FILE)
        os.utime(path, (epoch, epoch))
    os.utime(folder, (epoch, epoch))
    return digests.of_tree(digests.of_files(folder))


def loosen(folder: Path) -> None:
    """Let the owner delete what `settle` has protected."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
