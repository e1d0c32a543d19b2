"""A folder of a disk, or of a share that several machines mount: everything appears by a rename."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mlops_ci import digests
from mlops_ci.errors import ServiceError
from mlops_ci.targets.uri.place import Changed, Entry, Stamped

_PARTIAL = ".partial"
_LEFT_AFTER_S = 3600.0
_LINK = "current"


class FolderPlace:
    """See `Place`. Half-written files are in `.partial`, on the same file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = folder.as_uri().rstrip("/")

    def read(self, path: str) -> Stamped | None:
        """Read a file; its tag is its digest."""
        with self._said("read", path), suppress(FileNotFoundError, NotADirectoryError):
            data = (self._folder / path).read_bytes()
            return Stamped(data, digests.of_bytes(data))
        return None

    def write_if(self, path: str, data: bytes, tag: str) -> str:
        """Write beside and rename; what must not be there yet is linked, which never replaces."""
        with self._said("write", path), self._alone(), self._partial() as partial:
            place = self._folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("xb") as file:
                file.write(data)
                _settle(file)
            found = self.read(path)
            if (found.tag if found else "") != tag:
                raise Changed(path)
            if tag:
                partial.replace(place)
            else:
                try:
                    place.hardlink_to(partial)
                except FileExistsError as error:
                    raise Changed(path) from error
            _settle_folder(place.parent)
        return digests.of_bytes(data)

    def put_file(self, path: str, source: Path, digest: str) -> None:
        """Copy beside, look at the copy, and rename."""
        with self._said("write", path), self._partial() as partial:
            place = self._folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as original, partial.open("xb") as copy:
                shutil.copyfileobj(original, copy, 1 << 20)
                _settle(copy)
            if digests.of_file(partial) != digest:
                raise ServiceError(f"{source.name} is not the file {digest[:19]} that was ordered")
            partial.replace(place)
            _settle_folder(place.parent)

    def digest(self, path: str) -> str | None:
        """Read a file in pieces."""
        with self._said("read", path), suppress(FileNotFoundError, NotADirectoryError):
            return digests.of_file(self._folder / path)
        return None

    def list(self, folder: str) -> dict[str, Entry]:
        """Walk; links are not followed."""
        found = {}
        with self._said("read", folder):
            for where, _, names in os.walk(self._folder / folder):
                for name in names:
                    place = Path(where) / name
                    with suppress(FileNotFoundError):
                        seen = place.stat(follow_symlinks=False)
                        found[place.relative_to(self._folder).as_posix()] = Entry(seen.st_size, seen.st_mtime)
        return found

    def delete(self, path: str, tag: str = "") -> None:
        """Delete a file, and the folders that it leaves empty."""
        with self._said("delete", path), self._alone():
            found = self.read(path) if tag else None
            if tag and found and found.tag != tag:
                raise Changed(path)
            place = self._folder / path
            place.unlink(missing_ok=True)
            for parent in place.parents:
                if parent == self._folder:
                    return
                with suppress(OSError):  # somebody else's files are in it, or somebody else was faster
                    parent.rmdir()

    def point(self, path: str | None) -> None:
        """Replace the link by a rename; what is there and is no link stays."""
        place = self._folder / _LINK
        with self._said("write", _LINK):
            if path is None:
                if place.is_symlink():
                    place.unlink()
            elif self.pointed() != path:
                with self._partial() as partial:
                    partial.symlink_to(path)
                    partial.replace(place)
                    _settle_folder(self._folder)

    def pointed(self) -> str | None:
        """Read the link."""
        place = self._folder / _LINK
        with self._said("read", _LINK):
            return str(place.readlink()) if place.is_symlink() else ""

    def tidy(self) -> None:
        """Delete half-written files that nobody has touched for an hour."""
        with self._said("delete", _PARTIAL):
            for path, entry in self.list(_PARTIAL).items():
                if time.time() - entry.modified > _LEFT_AFTER_S:
                    (self._folder / path).unlink(missing_ok=True)
        with suppress(OSError):
            (self._folder / _PARTIAL).rmdir()

    @contextmanager
    def _partial(self) -> Iterator[Path]:
        """A name for what is not finished, on the file system of what it will be."""
        place = self._folder / _PARTIAL / os.urandom(8).hex()
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield place
        finally:
            place.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Between looking and writing, keep others of this machine out, and of all where the file system can."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # some shares cannot; there the links alone are exclusive
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _said(self, what: str, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ServiceError(
                f"cannot {what} {path} in {self._folder}: {error.strerror or error}",
                hint="make the folder writable, make room on its disk, or name another one as `uri`",
            ) from error


def _settle(file: BinaryIO) -> None:
    """Wait until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def _settle_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
