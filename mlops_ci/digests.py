"""Digests of bytes, files and folders, all written `sha256:<hex>` as OCI and in-toto do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from mlops_ci import records
from mlops_ci.entities import ArtifactRef


def of_bytes(data: bytes) -> str:
    """The digest of *data*."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """The digest of the bytes of the file at *path*."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def reference(path: Path, name: str) -> ArtifactRef:
    """The file at *path*, to be known as *name*."""
    return ArtifactRef(path=name, digest=of_file(path), size_bytes=path.stat().st_size)


def of_files(folder: Path) -> list[ArtifactRef]:
    """Every file below *folder*, sorted by its path; links are followed only inside *folder*."""
    root = folder.resolve()
    files = (path for path in folder.rglob("*") if path.is_file() and path.resolve().is_relative_to(root))
    return sorted((reference(path, path.relative_to(folder).as_posix()) for path in files), key=_path)


def of_tree(files: Iterable[ArtifactRef]) -> str:
    """The digest of a folder: that of the RFC 8785 list of its files' path, digest and size, sorted by path."""
    return records.digest(sorted(files, key=_path))


def _path(reference: ArtifactRef) -> str:
    return reference.path
