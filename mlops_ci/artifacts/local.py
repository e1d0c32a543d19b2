"""
Artifacts in a folder: a disk, or a share that every machine of the team mounts.

A file's modification time says when it was last put, so that what is young can be told from garbage.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from mlops_ci import digests, records
from mlops_ci.artifacts import Stored, is_ours
from mlops_ci.errors import IntegrityError, NotFound, ServiceError

_GOING = ".going-"
_PARTIAL = ".partial-"


class LocalArtifacts:
    """Files below *folder*, as `sha256/<two digits>/<hex>`; each appears whole or not at all."""

    largest_bytes: ClassVar[int | None] = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, files: Mapping[str, Path]) -> bool:
        """Copy what is not there yet; see `ArtifactStore.put`."""
        try:
            for digest, source in files.items():
                place = self._place(digest)
                if not _touch(place):
                    _copy(source, place, digest)
        except OSError as error:
            raise self._failed("write artifacts to", error) from error
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
            if not place.exists() and not _put_back(place):
                raise NotFound(f"{digest[:19]} is not among the artifacts in {self._folder}")
            found[digest] = folder / place.name
            _copy(place, found[digest], digest)
        return found

    def stored(self) -> Iterator[Stored]:
        """Walk through the folder; see `ArtifactStore.stored`."""
        for place in (self._folder / "sha256").glob("[0-9a-f][0-9a-f]/*"):
            if place.name.startswith(_GOING):
                _put_back(place.with_name(place.name.removeprefix(_GOING)))
        for place in sorted((self._folder / "sha256").glob("[0-9a-f][0-9a-f]/*")):
            if is_ours(place.name) and place.name.startswith(place.parent.name) and not place.is_symlink():
                with suppress(FileNotFoundError):
                    found = place.stat()
                    yield Stored(f"sha256:{place.name}", found.st_size, records.from_seconds(found.st_mtime))

    def mark(self, digests_: Collection[str]) -> None:
        """Nothing to do: every file has its time."""

    def remove(self, digests_: Iterable[str], *, before: datetime) -> set[str]:
        """Delete files, and what killed processes left half written; see `ArtifactStore.remove`."""
        try:
            for left in (self._folder / "sha256").glob(f"[0-9a-f][0-9a-f]/{_PARTIAL}*"):
                if _is_old(left, before):
                    left.unlink(missing_ok=True)
            return {digest for digest in digests_ if _remove(self._place(digest), before)}
        except OSError as error:
            raise self._failed("delete artifacts in", error) from error

    def _place(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._folder / "sha256" / name[:2] / name

    def _failed(self, what: str, error: OSError) -> ServiceError:
        return ServiceError(
            f"cannot {what} {self._folder}: {error.strerror}",
            hint="make the folder writable, make room on its disk, or name another in `artifacts:`",
        )


def _touch(place: Path) -> bool:
    """Make a file young, so that nobody takes it for garbage; False if it has to be written."""
    try:
        os.utime(place)
    except OSError:  # it is not there, or another user's: a copy in its place is young too
        return False
    # It may have been taken away between being found and being made young. If it is there now, it is young there.
    return place.exists()


def _remove(place: Path, before: datetime) -> bool:
    """
    Delete a file that was last put at *before* or earlier.

    It is first taken out of its place, and then looked at again. So whoever puts it meanwhile either found it
    there and made it young, and it is put back; or did not find it, and wrote it anew.
    """
    if not _is_old(place, before):
        return False
    aside = place.with_name(_GOING + place.name)
    try:
        place.rename(aside)
    except FileNotFoundError:
        return False
    if not _is_old(aside, before):
        _put_back(place)
        return False
    aside.unlink(missing_ok=True)
    return True


def _is_old(place: Path, before: datetime) -> bool:
    try:
        return place.stat().st_mtime <= before.timestamp()
    except FileNotFoundError:
        return False


def _put_back(place: Path) -> bool:
    """Undo the first half of a removal that was stopped there; whether there was one."""
    try:
        place.with_name(_GOING + place.name).rename(place)
    except FileNotFoundError:
        return False
    return True


def _copy(source: Path, place: Path, digest: str) -> None:
    """Copy, verify, and only then give the file its name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f"{_PARTIAL}{os.urandom(8).hex()}")
    try:
        with source.open("rb") as original, partial.open("xb") as copy:
            shutil.copyfileobj(original, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        if digests.of_file(partial) != digest:
            raise IntegrityError(f"{source} does not have the digest {digest[:19]} that names it")
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)
