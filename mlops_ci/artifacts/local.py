"""Artifacts in a folder: a disk, or a share that every machine of the team mounts."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlops_ci import digests
from mlops_ci.errors import IntegrityError, NotFound, ServiceError


class LocalArtifacts:
    """Files below *folder*, as `sha256/<two digits>/<hex>`; each appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, files: Mapping[str, Path]) -> bool:
        """Copy what is not there yet; see `ArtifactStore.put`."""
        try:
            for digest, source in files.items():
                place = self._place(digest)
                if not place.exists():
                    _copy(source, place, digest)
        except OSError as error:
            raise ServiceError(
                f"cannot write artifacts to {self._folder}: {error.strerror}",
                hint="make the folder writable, make room on its disk, or name another in `artifacts:`",
            ) from error
        return True

    def sync(self) -> int:
        """Nothing ever waits."""
        return 0

    def get(self, digests_: Iterable[str], folder: Path) -> dict[str, Path]:
        """Copy out and verify; see `ArtifactStore.get`."""
        folder.mkdir(parents=True, exist_ok=True)
        found = {}
        for digest in digests_:
            place = self._place(digest)
            if not place.exists():
                raise NotFound(f"{digest[:19]} is not among the artifacts in {self._folder}")
            found[digest] = folder / place.name
            _copy(place, found[digest], digest)
        return found

    def _place(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._folder / "sha256" / name[:2] / name


def _copy(source: Path, place: Path, digest: str) -> None:
    """Copy, verify, and only then give the file its name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=".partial-")
    partial = Path(name)
    try:
        with source.open("rb") as original, os.fdopen(descriptor, "wb") as copy:
            shutil.copyfileobj(original, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        if digests.of_file(partial) != digest:
            raise IntegrityError(f"{source} does not have the digest {digest[:19]} that names it")
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)
