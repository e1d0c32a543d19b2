"""
The ledger in an SQL database: a file of SQLite's, or a server that many share.

Records, claims and the projection are one transaction of `store`, which owns the tables. Whoever can
write to the database can change it; what was changed is noticed, since a record's id is its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mlops_ci.records import Record
from mlops_ci.store import Store


class SqlLedger:
    """The ledger in the database at *url*; an SQLite file's relative path counts from *base*."""

    def __init__(self, url: str, *, base: Path | None = None) -> None:
        self.store = Store.open(url, base)

    def append(self, records: Sequence[Record], *, claims: Mapping[str, Record] | None = None) -> bool:
        """See `Ledger.append`; a database either has the records or raises, so the answer is always True."""
        self.store.append(records, claims)
        return True

    def find(self, *keys: str) -> list[Record]:
        """See `Ledger.find`."""
        return self.store.find(keys)

    def claims(self, prefix: str) -> dict[str, Record]:
        """See `Ledger.claims`."""
        return self.store.claims(prefix)

    def all(self) -> Iterator[Record]:
        """See `Ledger.all`."""
        return self.store.all()

    def unseen(self, mark: str, known: Callable[[Sequence[str]], set[str]]) -> tuple[Iterator[Record], str]:
        """See `Ledger.unseen`; who wants to know only what is new asks the store itself."""
        del mark, known
        return self.all(), ""

    def fold(self, *, at_least: int = 1) -> tuple[int, int]:
        """See `Ledger.fold`; a database packs by itself."""
        del at_least
        return 0, 0

    def pending(self) -> int:
        """Nothing ever waits: see `append`."""
        return 0

    def waiting(self) -> list[Record]:
        """Nothing ever waits: see `append`."""
        return []

    def sync(self) -> int:
        """Nothing ever waits: see `append`."""
        return 0
