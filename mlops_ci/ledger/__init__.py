"""
The ledger: where records are kept, for good. Append-only.

A record is found by its keys (`Record.keys`): `find("sha/…", "tree/…")`. A claim is a name that can be
taken once (a model version, say) and that always leads to the record which took it.
What records mean, and queries over many of them, are the business of other rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from mlops_ci.records import Record

PROVIDERS = {
    "git": "mlops_ci.ledger.git:GitLedger",
    "sql": "mlops_ci.ledger.sql:SqlLedger",
}


class Ledger(Protocol):
    """What every ledger can do; `tests/contracts/test_ledger.py` holds each to it."""

    def append(self, records: Sequence[Record], *, claims: Mapping[str, Record] | None = None) -> bool:
        """
        Write *records*, all or none; those already there change nothing.

        Args:
            records: What happened, in order.
            claims: Name → the one of *records* that takes it. A name already taken by the same record is fine.

        Returns:
            False if the ledger's remote did not answer: the records are kept here and `sync` sends them.

        Raises:
            Conflict: A name is taken by another record; nothing was written.
            ServiceError: The remote did not answer, and *claims* were asked for; nothing was written.
        """
        ...

    def find(self, *keys: str) -> list[Record]:
        """
        Return the records that have a key equal to, or below, one of *keys* (`model/x` finds `model/x/1.0.0`).

        Each once, ordered by time and then id.

        Raises:
            ServiceError: The ledger did not answer.
        """
        ...

    def claims(self, prefix: str) -> dict[str, Record]:
        """Return the claims whose name is *prefix* or below it, by name. Raises as `find`."""
        ...

    def all(self) -> Iterator[Record]:
        """Yield every record once, ordered by time and then id. Raises as `find`."""
        ...

    def unseen(self, mark: str, known: Callable[[Sequence[str]], set[str]]) -> tuple[Iterator[Record], str]:
        """
        Yield what the holder of *mark* has not seen, in no special order, and perhaps some that it has.

        Args:
            mark: What this returned when the holder last took everything in; "" at first.
            known: Which of some record ids the holder knows; those records may be left out.

        Returns:
            The records, and the mark that stands for all that is there now.

        Raises:
            ServiceError: The ledger did not answer.
            IntegrityError: What was there at *mark* is there no more.
        """
        ...

    def fold(self, *, at_least: int = 1) -> tuple[int, int]:
        """
        Pack some old records more tightly, where the ledger has a way to; nobody notices but by its speed.

        Args:
            at_least: Do nothing if fewer could be packed.

        Returns:
            How many were packed, and how many still could be.

        Raises:
            ServiceError: The ledger did not answer, or refuses; nothing was changed.
        """
        ...

    def pending(self) -> int:
        """How many records wait here for `sync`."""
        ...

    def waiting(self) -> list[Record]:
        """Return the records that were written here and that the ledger's remote may not have; asks nobody."""
        ...

    def sync(self) -> int:
        """
        Send what waits and return how many records that were; again is harmless.

        Raises:
            ServiceError: The remote did not answer; everything still waits.
            Conflict: A name that was claimed here has been taken by another record meanwhile; the rest was sent.
        """
        ...
