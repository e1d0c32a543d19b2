"""
Artifact stores: bytes by digest. What the bytes mean is said by records.

Writing is idempotent and reading verifies: what comes out has the digest that was asked for, or an
error comes instead. Which bytes nobody needs is for others to say; a store deletes only what has waited
for a name as long as it is told, because bytes are put before the record that names them is written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol

PROVIDERS = {
    "git": "mlops_ci.artifacts.git:GitArtifacts",
    "local": "mlops_ci.artifacts.local:LocalArtifacts",
}
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Stored:
    """
    Bytes in a store.

    *size_bytes* is None where only fetching them would tell. *since* is the moment since which nobody has put
    them; None while the store does not know one (see `ArtifactStore.mark`).
    """

    digest: str
    size_bytes: int | None
    since: datetime | None


def is_ours(name: str) -> bool:
    """Whether a store may have named bytes *name*: 64 hexadecimal digits."""
    return _HEX.fullmatch(name) is not None


class ArtifactStore(Protocol):
    """What every store can do; `tests/contracts/test_artifacts.py` holds each to it."""

    largest_bytes: ClassVar[int | None]
    """How large a file may be; None where only the disk says."""

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

    def stored(self) -> Iterator[Stored]:
        """
        Yield what others can get from this store, as it is now.

        Raises:
            ServiceError: The store did not answer.
        """
        ...

    def mark(self, digests: Collection[str]) -> None:
        """
        Say which bytes nobody needs: exactly *digests*. Those that were marked before keep their moment.

        A store that knows since when bytes lie there has nothing to do. Putting bytes takes their mark away.

        Raises:
            ServiceError: The store did not answer.
        """
        ...

    def remove(self, digests: Iterable[str], *, before: datetime) -> set[str]:
        """
        Delete those of *digests* that wait since *before* or longer, and return them.

        What somebody puts meanwhile stays, whoever is faster.

        Raises:
            ServiceError: The store did not answer; what was deleted until then is gone.
        """
        ...
