"""
The store: records and their projection in an SQL database. The only room that knows SQLAlchemy.

It keeps the records of an SQL ledger, or a copy of those of another ledger (`project`), and answers
queries over many of them. Appending and projecting are one transaction, and the projection can be
dropped and built again with the same answers. SQLAlchemy takes a quarter of a second to import: import
this room where it is used, not before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import sqlalchemy as sa

from mlops_ci.entities import Deployment, GateReport, ModelVersion, Run
from mlops_ci.errors import UsageError
from mlops_ci.records import Record
from mlops_ci.store import engines, facts, faults, projection, queries, schema
from mlops_ci.store.queries import Recorded, RunFilter

__all__ = ["Recorded", "RunFilter", "Store"]


class Store:
    """
    An open database, of the newest schema.

    Every method raises `ServiceError` when the database does not answer, and `UsageError` when its file
    cannot be what it should be.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._writer = engines.writing(engine)
        self._address = engine.url.render_as_string(hide_password=True)

    @classmethod
    def open(cls, url: str, base: Path | None = None) -> Self:
        """
        Open the database at *url*, making or migrating it if need be; processes may do so at the same time.

        Args:
            url: `sqlite:///mlops.db` for a file, `sqlite:////abs/path.db`, or what SQLAlchemy knows.
            base: The folder that a relative path counts from; the working directory unless given.

        Raises:
            UsageError: No database's URL, no database, or one that a newer program has written.
        """
        store = cls(engines.make(engines.parse(url, base)))
        store._migrate()
        return store

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, records: Iterable[Record], claims: Mapping[str, Record] | None = None) -> int:
        """
        Write *records* and what they say, all or nothing; return how many are new.

        Raises:
            Conflict: Another record has one of the names in *claims*.
        """
        with self._write() as connection:
            new = facts.add(connection, records)
            facts.claim(connection, claims or {})
            projection.apply(connection, new)
        return len(new)

    def project(self, records: Iterable[Record]) -> int:
        """Take in those of another ledger's *records* that are not here yet, and return how many those were."""
        rest = iter(records)
        new = 0
        while page := list(islice(rest, facts.PAGE)):
            new += self.append(page)
        return new

    def rebuild(self) -> None:
        """Drop the projection and build it again from the records."""
        with self._write() as connection:
            projection.rebuild(connection)

    def find(self, keys: Sequence[str]) -> list[Record]:
        """As `Ledger.find`."""
        with self._read() as connection:
            return facts.find(connection, keys)

    def claims(self, prefix: str) -> dict[str, Record]:
        """As `Ledger.claims`; all of them if *prefix* is ""."""
        with self._read() as connection:
            return facts.claimed(connection, prefix)

    def all(self) -> Iterator[Record]:
        """As `Ledger.all`. No lock is held between two pages."""
        after = ("", "")
        while True:
            with self._read() as connection:
                page = facts.page(connection, after)
            if not page:
                return
            yield from (fact.record for fact in page)
            after = page[-1].order

    def runs(
        self,
        *,
        order_by: str = "started",
        descending: bool = True,
        limit: int = 20,
        **where: Unpack[RunFilter],
    ) -> list[Recorded[Run]]:
        """
        List runs.

        Args:
            order_by: `started`, `duration_s` or `metrics.<name>`; runs without it come last.
            descending: Whether the greatest comes first.
            limit: How many at most.
            where: Which: `runs(experiment="churn", branch="main")`.
        """
        with self._read() as connection:
            return queries.list_runs(connection, where, order_by, descending=descending, limit=limit)

    def run(self, run_id: str) -> Recorded[Run]:
        """
        Return the run whose id is, or is the only one to start with, *run_id*.

        Raises:
            NotFound: There is none.
            UsageError: Several start so.
        """
        with self._read() as connection:
            return queries.find_run(connection, run_id)

    def best(
        self, experiment: str, metric: str, *, higher_is_better: bool = True, project: str | None = None
    ) -> Recorded[Run] | None:
        """Return the finished run with the best last value of *metric*; of equals the one that started first."""
        with self._read() as connection:
            return queries.best_run(connection, experiment, metric, higher_is_better=higher_is_better, project=project)

    def commits(self, run_id: str) -> list[str]:
        """Return the commits that a run stands for: those it was trained at, and those that adopted it."""
        with self._read() as connection:
            return queries.commits_of(connection, run_id)

    def versions(self, model: str | None = None) -> list[Recorded[ModelVersion]]:
        """List registered versions, the latest first."""
        with self._read() as connection:
            return queries.list_versions(connection, model)

    def deployments(self, target: str | None = None, *, limit: int = 20) -> list[Recorded[Deployment]]:
        """List deployments, the latest first."""
        with self._read() as connection:
            return queries.list_deployments(connection, target, limit)

    def verdicts(self, run_id: str) -> list[Recorded[GateReport]]:
        """List the verdicts on a run, the latest first."""
        with self._read() as connection:
            return queries.list_verdicts(connection, run_id)

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with faults.told_plainly(self._address), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with faults.told_plainly(self._address), self._writer.begin() as connection:
            yield connection

    def _migrate(self) -> None:
        done = self._steps()
        if unknown := sorted(done.difference(schema.STEPS)):
            raise UsageError(
                f"the store {self._address} was written by a newer mlops-ci ({unknown[0]} is unknown here)",
                hint="install a newer mlops-ci",
            )
        if done.issuperset(schema.STEPS):
            return
        from mlops_ci.store import migrations  # noqa: PLC0415  # nearly every start finds nothing to do

        with self._write() as connection:
            migrations.migrate(connection)

    def _steps(self) -> set[str]:
        """What was done to the database; the one query that every start pays for."""
        with self._read() as connection:
            try:
                return set(connection.scalars(sa.select(schema.steps.c.name)))
            except sa.exc.DBAPIError as error:
                if faults.is_missing_table(error):
                    return set()
                raise
