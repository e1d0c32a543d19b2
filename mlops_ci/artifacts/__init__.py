"""
Artifact stores: bytes by digest. What the bytes mean is said by records.

Writing is idempotent and reading verifies: what comes out has the digest that was asked for, or an
error comes instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

PROVIDERS = {
    "git": "mlops_ci.artifacts.git:GitArtifacts",
    "local": "mlops_ci.artifacts.local:LocalArtifacts",
}


class ArtifactStore(Protocol):
    """What every store can do; `tests/contracts/test_artifacts.py` holds each to it."""

    def put(self, files: Mapping[str, Path]) -> bool:
        """
        Store *files* (digest `sha256:<hex>` → where the bytes are); those already there cost nothing.

        Returns:
            False if the store's remote did not answer: the bytes are kept here and `sync` sends them.

        Raises:
            UsageError: A file is larger than this store takes; nothing was written.
            IntegrityError: A file's bytes do not have its digest.
            ServiceError: The store did not answer, or has no room.
        """
        ...

    def sync(self) -> int:
        """
        Send what waits here and return how many artifacts that were; again is harmless.

        Raises:
            ServiceError: The remote did not answer; everything still waits.
        """
        ...

    def get(self, digests: Iterable[str], folder: Path) -> dict[str, Path]:
        """
        Bring *digests* into *folder* (made if absent), each as a file named by its hex digits.

        Raises:
            NotFound: A digest is not in the store.
            IntegrityError: The store's bytes do not have the digest.
            ServiceError: The store did not answer.
        """
        ...
