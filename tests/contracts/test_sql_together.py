"""Many processes and one database, of every kind: nothing is lost, nobody sees an error, one wins where one must."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from mlops_ci.entities import Run
from mlops_ci.errors import UsageError
from mlops_ci.store import Store, migrations, schema, steps
from mlops_ci.store.databases import engines
from tests.servers import PostgreSQL

from . import writers
from .writers import race, run_record

_TABLES = {**schema.ledger.tables, **schema.projection.tables}


def test_eight_processes_may_start_together_on_a_fresh_database(url: str) -> None:
    assert race(url, "opens") == ["0"] * 8

    assert _shape(url) == _as_it_should_be()


def test_who_starts_while_another_migrates_waits_for_it(url: str) -> None:
    inside, go_on = Event(), Event()

    def slow(connection: sa.Connection) -> None:
        migrations.STEPS["0001_ledger"](connection)
        inside.set()
        assert go_on.wait(60)

    engine = engines.make(engines.parse(url))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(migrations.migrate, engines.writing(engine), url, migrations.STEPS | {"0001_ledger": slow})
        assert inside.wait(60)
        second = pool.submit(Store.open, url)
        try:
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
        finally:
            go_on.set()
        first.result()
        second.result().close()
    engine.dispose()

    assert _shape(url) == _as_it_should_be()


def test_a_record_that_several_write_at_once_is_there_once(url: str) -> None:
    assert sorted(race(url, "appends_the_same")) == [0] * 7 + [1]

    with Store.open(url) as store:
        assert list(store.all()) == [run_record("r")]
        assert store.claims("") == {"model/x/1": run_record("r")}


def test_a_name_that_several_claim_at_once_goes_to_one_and_the_others_leave_nothing(url: str) -> None:
    answers = race(url, "claims")

    [winner] = set(answers) - {"lost"}
    assert sorted(answers).count("lost") == 7
    with Store.open(url) as store:
        assert [record.id for record in store.all()] == [winner]
        assert [found.record_id for found in store.runs()] == [winner]


def test_of_endings_that_come_at_once_the_first_by_time_counts(url: str) -> None:
    ids = race(url, "ends_one_run")

    with Store.open(url) as store:
        assert sorted(record.id for record in store.all()) == sorted(ids)
        assert [found.record_id for found in store.runs()] == [ids[7]]
        store.rebuild()
        assert [found.record_id for found in store.runs()] == [ids[7]]
        assert [found.entity.params for found in store.runs()] == [{"number": 7}]


@pytest.mark.parametrize("processes", [24, pytest.param(100, marks=pytest.mark.full)])
def test_many_processes_append_to_one_database(url: str, processes: int) -> None:
    answers = race(url, "appends", processes)

    assert [answer for answer in answers if not isinstance(answer, float)] == []
    with Store.open(url) as store:
        assert sum(1 for _ in store.all()) == processes
        assert {found.entity.run_id for found in store.runs(limit=1000)} == {f"r{n}" for n in range(processes)}


@pytest.mark.xdist_group("postgresql")
def test_more_writers_than_the_server_has_connections_for(postgresql: PostgreSQL) -> None:
    url = postgresql.fresh()
    Store.open(url).close()
    database = engines.parse(url).database
    postgresql.do(f"CREATE ROLE few LOGIN CONNECTION LIMIT 2; GRANT ALL ON DATABASE {database} TO few")
    postgresql.do("GRANT ALL ON ALL TABLES IN SCHEMA public TO few", database)

    answers = race(url.replace("tests@", "few@"), "appends", 16)

    assert [answer for answer in answers if not isinstance(answer, float)] == []
    with Store.open(url) as store:
        assert sum(1 for _ in store.all()) == 16


# Before its statement 9 MySQL has a table of records, and no index on it.
@pytest.mark.parametrize("points", [[4, 9, 18, 33, 50], pytest.param(range(200), marks=pytest.mark.full)])
def test_a_migration_that_is_killed_anywhere_is_done_by_the_next_start(
    request: pytest.FixtureRequest, tmp_path: Path, url: str, points: Sequence[int]
) -> None:
    """Before each of its statements; and once more, somewhere else, when it is done again."""
    kind = sa.make_url(url).get_backend_name()
    killed = 0
    for point in points:
        fresh = url if kind != "sqlite" else f"sqlite:///{tmp_path / f'{point}.db'}"
        if kind != "sqlite":
            fresh = request.getfixturevalue(kind).fresh()
        if writers.alone(writers.is_killed_while_opening, fresh, point) != -signal.SIGKILL:
            break
        killed += 1
        writers.alone(writers.is_killed_while_opening, fresh, point // 2)
        with Store.open(fresh) as store:
            assert store.append([run_record("r")]) == 1
            assert [found.entity.run_id for found in store.runs()] == ["r"]
        assert _shape(fresh) == _as_it_should_be(), point
    assert killed > 2


def test_a_rebuilding_that_is_killed_is_done_by_the_next_start(url: str) -> None:
    with Store.open(url) as store:
        store.append([run_record(f"r{number}") for number in range(3)])
    for point in (4, 9, 30):
        script = (
            "import sys; from tests.contracts import writers; from mlops_ci.store import Store\n"
            f"store = Store.open(sys.argv[1]); writers.kill_with_statement({point}); store.rebuild()"
        )
        done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr

        with Store.open(url) as store:
            assert len(store.runs()) == 3
        assert _shape(url) == _as_it_should_be()


def test_an_older_program_stops_and_changes_nothing_also_one_that_has_been_running(url: str) -> None:
    with Store.open(url) as running:
        running.append([run_record("r1")])
        with running._writer.begin() as connection:
            connection.execute(sa.insert(schema.steps), {"name": "0099_of_tomorrow"})

        for use in (lambda: running.append([run_record("r2")]), lambda: Store.open(url), running.rebuild):
            with pytest.raises(UsageError, match=r"was written by a newer mlops-ci \(0099_of_tomorrow is unknown here"):
                use()

        assert [found.entity.run_id for found in running.runs()] == ["r1"]
        assert len(list(running.all())) == 1


def test_who_runs_while_another_migrates_takes_part_in_it(url: str) -> None:
    """What a killed migration left is done by whoever appends next, even if it was opened before."""
    with Store.open(url) as running:
        with running._writer.begin() as connection:
            connection.execute(sa.delete(schema.steps).where(schema.steps.c.name == "0003_projection"))
            connection.execute(sa.insert(schema.steps), {"name": steps.begun("0003_projection")})

        assert running.append([run_record("r1")]) == 1

        assert [found.read(Run).run_id for found in running.all()] == ["r1"]
    assert _shape(url) == _as_it_should_be()


def _shape(url: str) -> dict[str, Any]:
    """The tables of ours, with their columns and indices; and what is said to have been done."""
    engine = engines.make(engines.parse(url))
    try:
        seen = sa.inspect(engine)
        tables: dict[str, Any] = {
            name: (
                {column["name"] for column in seen.get_columns(name)},
                {str(index["name"]) for index in seen.get_indexes(name)} & _indices(_TABLES[name]),
            )
            for name in seen.get_table_names()
        }
        with engine.connect() as connection:
            return tables | {"steps": steps.done(connection)}
    finally:
        engine.dispose()


def _as_it_should_be() -> dict[str, Any]:
    tables: dict[str, Any] = {
        name: ({column.name for column in table.columns}, _indices(table)) for name, table in _TABLES.items()
    }
    return tables | {"steps": steps.ALL}


def _indices(table: sa.Table) -> set[str]:
    return {str(index.name) for index in table.indexes}
