# ruff: noqa: PLC0415  # a run is recorded without what queries need, nearly every start without migrations
"""
The store: records and their projection in an SQL database. The only room that knows SQLAlchemy.

It keeps the records of an SQL ledger, or a copy of those of another ledger (`project`), and answers
queries over many of them. Appending and projecting are one transaction, and the projection can be
dropped and built again with the same answers. SQLAlchemy takes a quarter of a second to import: import
this room where it is used, not before.
"""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import sqlalchemy as sa

from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.records import Record
from mlops_ci.store import facts, projection, steps
from mlops_ci.store.databases import engines, faults
from mlops_ci.store.databases.sqlite_files import StoreWarning
from mlops_ci.store.search.scope import Scope

if TYPE_CHECKING:
    from mlops_ci.entities import Deployment, GateReport, ModelVersion
    from mlops_ci.store.queries import RunFilter
    from mlops_ci.store.search.found import Columns, ExperimentSummary, FoundRun, Page, Recorded

__all__ = [
    "Columns",
    "ExperimentSummary",
    "FoundRun",
    "Page",
    "Recorded",
    "RunFilter",
    "Scope",
    "Store",
    "StoreWarning",
]

_ATTEMPTS = 5
_THE_OTHER = "ledger"
Unseen = Callable[[str, Callable[[Sequence[str]], set[str]]], tuple[Iterator[Record], str]]
_T = TypeVar("_T")


def __getattr__(name: str) -> Any:
    """Load what queries return when somebody names it."""
    if name == "RunFilter":
        from mlops_ci.store import queries

        return queries.RunFilter
    if name in __all__:
        from mlops_ci.store.search import found

        return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Store:
    """
    An open database, of the newest schema.

    Every method raises `ServiceError` when the database does not answer, and `UsageError` when its file
    cannot be what it should be.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reader = engines.reading(engine)
        self._writer = engines.writing(engine)
        self._address = engines.shown(engine.url)
        weakref.finalize(self, engine.dispose)  # servers are told, also where nobody closes

    @classmethod
    def open(cls, url: str, base: Path | None = None) -> Self:
        """
        Open the database at *url*, making or migrating it if need be; processes may do so at the same time.

        Args:
            url: `sqlite:///mlops.db` for a file, `sqlite:////abs/path.db`, `postgresql://user@host/database`,
                `mysql://user@host/database` or `mariadb://…`.
            base: The folder that a relative path counts from; the working directory unless given.

        Raises:
            UsageError: No database's URL, no database, or one that a newer program has written.
            MissingDependency: The driver of this kind of database is not installed.
        """
        store = cls(engines.make(engines.parse(url, base)))
        try:
            store._migrate()
        except BaseException:
            store.close()
            raise
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
        prepared = facts.prepare(records)

        def write(connection: sa.Connection) -> int:
            new = facts.add(connection, prepared)
            facts.claim(connection, claims or {})
            projection.apply(connection, new)
            return len(new)

        return self._transact(write)

    def take_in(self, unseen: Unseen) -> int:
        """
        Take in what another ledger has and this store has not, at the cost of what is new.

        Args:
            unseen: That ledger's `Ledger.unseen`; it is always the same one.

        Returns:
            How many records those were.

        Raises:
            IntegrityError: What was taken in before is there no more.
        """
        with self._read() as connection:
            before = facts.mark(connection, _THE_OTHER)
        records, mark = unseen(before, self._known)
        new = self.project(records)
        if mark != before:  # only now: what is interrupted is begun again
            self._transact(lambda connection: facts.set_mark(connection, _THE_OTHER, mark))
        return new

    def _known(self, ids: Sequence[str]) -> set[str]:
        with self._read() as connection:
            return facts.known(connection, ids)

    def project(self, records: Iterable[Record]) -> int:
        """Take in those of another ledger's *records* that are not here yet, and return how many those were."""
        rest = iter(records)
        new = 0
        while page := list(islice(rest, facts.PAGE)):
            new += self.append(page)
        return new

    def rebuild(self) -> None:
        """Drop the projection and build it again from the records."""
        from mlops_ci.store import migrations

        with faults.told_plainly(self._address):
            migrations.rebuild(self._writer, self._address)

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

    def search(
        self,
        filter: str = "",  # noqa: A002  # what MLflow's users call it
        *,
        order_by: str | Sequence[str] = (),
        descending: bool = False,
        limit: int = 20,
        cursor: str = "",
        scope: Scope = Scope(),  # noqa: B008  # frozen
    ) -> Page:
        """
        List the runs for which *filter* holds, a page at a time.

        Args:
            filter: As in `metrics.accuracy > 0.9 and params.model = 'rf'`; docs/queries.md has the language.
            order_by: As in `metrics.accuracy desc, started`; missing values come last, and equals by the latest start.
            descending: What holds for keys that do not say `asc` or `desc`.
            limit: How many at most.
            cursor: That of the page before.
            scope: Of which experiments, and whether what was archived or deleted is meant too.

        Raises:
            UsageError: The filter or the order cannot be read, or the cursor belongs to others.
        """
        from mlops_ci.store.search import pages

        query = pages.read(filter, order_by, descending=descending, scope=scope)
        with self._read() as connection:
            return pages.page(connection, query, limit=limit, cursor=cursor)

    def every(
        self,
        filter: str = "",  # noqa: A002
        *,
        order_by: str | Sequence[str] = (),
        descending: bool = False,
        scope: Scope = Scope(),  # noqa: B008
    ) -> Iterator[FoundRun]:
        """As `search`, but all of them, of which few are in memory at a time. No lock is held between two pages."""
        from mlops_ci.store.search import pages

        query = pages.read(filter, order_by, descending=descending, scope=scope)
        cursor, more = "", True
        while more:
            with self._read() as connection:
                page = pages.page(connection, query, limit=facts.PAGE, cursor=cursor)
            yield from page.runs
            cursor, more = page.cursor, bool(page.cursor)
            del page  # before the next one comes

    def columns(self, filter: str = "", *, scope: Scope = Scope()) -> Columns:  # noqa: A002, B008
        """Return which params, metrics and tags the runs have for which *filter* holds. Raises as `search`."""
        from mlops_ci.store.search import found, pages

        query = pages.read(filter, scope=scope)
        with self._read() as connection:
            return found.columns(connection, pages.matching(connection, query))

    def runs(
        self,
        *,
        order_by: str = "started",
        descending: bool = True,
        limit: int = 20,
        **where: Unpack[RunFilter],
    ) -> list[FoundRun]:
        """
        List runs that are not deleted.

        Args:
            order_by: As in `search`; runs without it come last.
            descending: Whether the greatest comes first, unless *order_by* says so itself.
            limit: How many at most.
            where: Which: `runs(experiment="churn", branch="main")`.
        """
        from mlops_ci.store import queries
        from mlops_ci.store.search import pages

        query = queries.query_of(where, order_by, descending=descending)
        with self._read() as connection:
            return pages.page(connection, query, limit=limit).runs

    def run(self, run_id: str) -> FoundRun:
        """
        Return the run whose id is, or is the only one to start with, *run_id*; also if it was deleted.

        Raises:
            NotFound: There is none.
            UsageError: Several start so.
        """
        return self.named([run_id])[0]

    def named(self, run_ids: Sequence[str]) -> list[FoundRun]:
        """As `run`, of several, in that order."""
        from mlops_ci.store import queries

        with self._read() as connection:
            return queries.find_runs(connection, run_ids)

    def best(
        self, experiment: str, metric: str, *, higher_is_better: bool = True, project: str | None = None
    ) -> FoundRun | None:
        """Return the finished run with the best last value of *metric*; of equals the one that started first."""
        from mlops_ci.store import queries

        scope = Scope(project=project, experiment=experiment)
        with self._read() as connection:
            runs = queries.best_runs(connection, scope, metric, higher_is_better=higher_is_better)
        return runs[0] if runs else None

    def best_of_each(
        self,
        metric: str,
        *,
        higher_is_better: bool = True,
        scope: Scope = Scope(),  # noqa: B008
    ) -> list[FoundRun]:
        """As `best`, one for each experiment that has such a run, the best first."""
        from mlops_ci.store import queries

        with self._read() as connection:
            return queries.best_runs(connection, scope, metric, higher_is_better=higher_is_better)

    def experiments(
        self, project: str | None = None, *, archived: bool = False, deleted: bool = False
    ) -> list[ExperimentSummary]:
        """List experiments, the latest used first; those that were archived or deleted only where that is asked for."""
        from mlops_ci.store import queries

        with self._read() as connection:
            return queries.list_experiments(connection, Scope(project=project, archived=archived, deleted=deleted))

    def commits(self, run_id: str) -> list[str]:
        """Return the commits that a run stands for: those it was trained at, and those that adopted it."""
        from mlops_ci.store import queries

        with self._read() as connection:
            return queries.commits_of(connection, run_id)

    def versions(self, model: str | None = None) -> list[Recorded[ModelVersion]]:
        """List registered versions, the latest first."""
        from mlops_ci.store import queries

        with self._read() as connection:
            return queries.list_versions(connection, model)

    def deployments(self, target: str | None = None, *, limit: int = 20) -> list[Recorded[Deployment]]:
        """List deployments, the latest first."""
        from mlops_ci.store import queries

        with self._read() as connection:
            return queries.list_deployments(connection, target, limit)

    def verdicts(self, run_id: str) -> list[Recorded[GateReport]]:
        """List the verdicts on a run, the latest first."""
        from mlops_ci.store import queries

        with self._read() as connection:
            return queries.list_verdicts(connection, run_id)

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with faults.told_plainly(self._address), self._reader.connect() as connection:
            yield connection

    def _transact(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Do *work* in a transaction that writes, alone; and again from its start where something got in the way."""
        with faults.told_plainly(self._address):
            for attempt in range(_ATTEMPTS):
                try:
                    with self._writer.begin() as connection:
                        if steps.lock(connection) == steps.ALL:
                            return work(connection)
                except sa.exc.DBAPIError as error:
                    if attempt == _ATTEMPTS - 1 or not faults.was_in_the_way(error):
                        raise
                    time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311  # others wait as well
                else:
                    self._migrate()
            raise ServiceError(f"the store {self._address} is being migrated all the time", hint="try again")

    def _migrate(self) -> None:
        with self._read() as connection:
            try:
                done = steps.done(connection)
            except sa.exc.DBAPIError as error:
                if not faults.is_missing_table(error):
                    raise
                done = frozenset()
        steps.refuse_newer(done, self._address)
        if done == steps.ALL:
            return
        if engines.is_read_only(self._engine):
            raise UsageError(
                f"the store {self._address} is not of this program's schema, and cannot be written",
                hint="open it once where it can be written, or copy it there",
            )
        from mlops_ci.store import migrations

        with faults.told_plainly(self._address):
            migrations.migrate(self._writer, self._address)
