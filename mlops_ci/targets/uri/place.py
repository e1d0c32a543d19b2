"""
Where models are published: a folder or a bucket, as this kind of target needs it.

Paths are relative to the address, with slashes. What the files mean is the business of others.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol


class Stamped(NamedTuple):
    """Bytes, and what tells them from those that are there later."""

    data: bytes
    tag: str


class Entry(NamedTuple):
    """A file that is there; *modified* is in seconds after 1970."""

    size_bytes: int
    modified: float


class Changed(Exception):
    """Somebody else wrote or deleted it meanwhile."""


class Place(Protocol):
    """Everything raises `ServiceError` where the place does not answer or says no."""

    address: str
    """A URI without a slash at its end."""

    def read(self, path: str) -> Stamped | None:
        """Return what is at *path*; None if nothing is."""
        ...

    def write_if(self, path: str, data: bytes, tag: str) -> str:
        """
        Write *data* if what is there still has *tag* (""; if nothing is there), and return its tag.

        Readers see what was there or *data*, and nothing between.

        Raises:
            Changed: It is another one.
        """
        ...

    def put_file(self, path: str, source: Path, digest: str) -> None:
        """
        Copy *source* to *path*, which appears whole or not at all.

        Raises:
            ServiceError: *source* does not have *digest*.
        """
        ...

    def digest(self, path: str) -> str | None:
        """Read all of *path* and return its digest; None if nothing is there."""
        ...

    def list(self, folder: str) -> dict[str, Entry]:
        """Return every file below *folder* by path; none if there is no such folder."""
        ...

    def delete(self, path: str, tag: str = "") -> None:
        """Delete *path* if it is there; with *tag*, only that. Raises `Changed` if it is another one."""
        ...

    def point(self, path: str | None) -> None:
        """Let the link `current` lead to *path*, or nowhere; nothing happens where there are no links."""
        ...

    def pointed(self) -> str | None:
        """Return where the link `current` leads, "" if nowhere; None where there are no links."""
        ...

    def tidy(self) -> None:
        """Delete what killed writers left half written."""
        ...
