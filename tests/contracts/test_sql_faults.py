"""What each fault of a database server is said to be, and that nothing is lost by it."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from mlops_ci.errors import ConfigError, MlopsCIError, ServiceError, UsageError
from mlops_ci.store import Store, schema
from mlops_ci.store.databases import engines
from tests.servers import MariaDB, PostgreSQL, Server

from .writers import run_record

SERVERS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("postgresql", "mysql")]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(server: Server) -> str:
    """A fresh database with a store in it."""
    made = server.fresh()
    Store.open(made).close()
    return made


def _open(url: str) -> None:
    Store.open(url).close()


@pytest.mark.xdist_group("postgresql")
def test_a_url_is_understood_as_people_write_it(postgresql: PostgreSQL) -> None:
    url = postgresql.fresh()
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        _open(url.replace("postgresql", scheme, 1))


@pytest.mark.xdist_group("mysql")
def test_a_url_of_mysql_or_mariadb_is_the_same(mysql: MariaDB) -> None:
    url = mysql.fresh()
    for number, scheme in enumerate(("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")):
        with Store.open(url.replace("mysql", scheme, 1)) as store:
            assert len(store.runs()) == number
            store.append([run_record(f"r{number} ")])


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("postgresql://ada:s3cret@host", ConfigError, "postgresql://ada:***@host names no database"),
        ("postgresql://ada:s3cret@host:port/db", ConfigError, "'postgresql://ada:***@host:port/db' is not the URL"),
        ("postgresql:/ada:se@s3cret@host/db", ConfigError, "'postgresql:***@host/db' is not the URL"),
        ("mysql+nosuch://ada:s3cret@host/db", ConfigError, "the driver nosuch cannot be used here"),
        ("mysql+mysqldb://ada:s3cret@host/db", ConfigError, "the driver mysqldb is not installed"),
        ("postgresql+asyncpg://ada:s3cret@host/db", ConfigError, "the driver asyncpg cannot be used here"),
        ("mysql://ada:s3cret@127.0.0.1:1/db?nosuch=1", ConfigError, "the store's URL has an unknown option"),
        ("postgresql://ada@127.0.0.1:1/db?password=s3cret", ServiceError, "does not answer"),
        ("postgresql://ada:s3cret@127.0.0.1:1/db", ServiceError, "does not answer"),
        ("mysql://ada:s3cret@127.0.0.1:1/db", ServiceError, "does not answer"),
        ("postgresql://ada:s3cret@nosuch.invalid/db", ServiceError, "does not answer"),
        ("mysql://ada:s3cret@nosuch.invalid/db", ServiceError, "does not answer"),
    ],
)
def test_a_url_that_leads_nowhere_is_explained_without_its_password(
    url: str, error: type[MlopsCIError], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)) as caught:
        _open(url)

    assert "s3cret" not in str(caught.value) + caught.value.hint
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("psycopg", "postgres://host/db", "postgresql"),
        ("pymysql", "mariadb://host/db", "mysql"),
    ],
)
def test_a_driver_that_is_not_installed_is_named_with_its_extra(module: str, url: str, extra: str) -> None:
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from mlops_ci.errors import MissingDependency; from mlops_ci.store import Store\n"
        f"try: Store.open({url!r})\nexcept MissingDependency as error: print(error, '-', error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.stdout == f"{module} is not installed - pip install 'mlops-ci[{extra}]'\n", done.stderr


def test_a_user_that_the_server_does_not_know_is_explained(server: Server, url: str) -> None:
    with pytest.raises(UsageError, match="refuses this user or password"):
        _open(server.url(engines.parse(url).database or "", "nobody_such"))


def test_a_database_that_is_not_there_is_explained(server: Server) -> None:
    with pytest.raises(UsageError, match="does not exist on its server") as caught:
        _open(server.url("nosuch"))
    assert "create the database" in caught.value.hint


def test_a_user_who_may_only_look_can_look(server: Server, url: str) -> None:
    database = engines.parse(url).database
    with Store.open(url) as store:
        store.append([run_record("r1")])
    if isinstance(server, PostgreSQL):
        server.do(f"CREATE ROLE looks_{database} LOGIN")
        server.do(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO looks_{database}", database)
    else:
        server.do(f"CREATE USER looks_{database}@localhost")
        server.do(f"GRANT SELECT ON {database}.* TO looks_{database}@localhost")

    with Store.open(server.url(str(database), f"looks_{database}")) as store:
        assert len(store.runs()) == 1
        with pytest.raises(UsageError, match="does not let this user do that"):
            store.append([run_record("r2")])


@pytest.mark.xdist_group("postgresql")
def test_a_server_of_postgresql_that_only_reads_is_explained(postgresql: PostgreSQL) -> None:
    url = postgresql.fresh()
    Store.open(url).close()
    postgresql.do(f"ALTER DATABASE {engines.parse(url).database} SET default_transaction_read_only = on")

    with Store.open(url) as store:
        assert store.runs() == []
        with pytest.raises(UsageError, match="cannot be written: the server only reads"):
            store.append([run_record("r1")])


@pytest.mark.xdist_group("mysql")
def test_a_server_of_mysql_that_only_reads_is_explained(mysql: MariaDB) -> None:
    url = mysql.fresh()
    Store.open(url).close()
    database = engines.parse(url).database
    mysql.do(f"CREATE USER writes_{database}@localhost")
    mysql.do(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO writes_{database}@localhost")
    mysql.do("SET GLOBAL read_only = 1")
    try:
        with Store.open(mysql.url(str(database), f"writes_{database}")) as store:
            assert store.runs() == []
            with pytest.raises(UsageError, match="cannot be written: the server only reads"):
                store.append([run_record("r1")])
    finally:
        mysql.do("SET GLOBAL read_only = 0")


def test_a_connection_that_was_cut_while_nothing_happened_is_made_again(server: Server, url: str) -> None:
    with Store.open(url) as store:
        _cut(server, url)
        assert store.append([run_record("r1")]) == 1
        _cut(server, url)
        time.sleep(1.1)  # a connection that was left alone for so long is looked at before it is used
        assert len(store.runs()) == 1


# What PyMySQL leaves of a socket that nobody answers at is collected later.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_server_that_crashes_in_mid_transaction_loses_nothing_that_was_acknowledged(server: Server, url: str) -> None:
    with Store.open(url) as store:
        store.append([run_record("r1")])
        with _before_params_are_written(store, server.crash), pytest.raises(ServiceError) as caught:
            store.append([run_record(f"lost {number}") for number in range(3)])
        assert re.search(r"broke the connection off|does not answer", str(caught.value))
        assert "try again" in caught.value.hint
        server.start()

        assert [record.id for record in store.all()] == [run_record("r1").id]
        assert store.append([run_record("r2")]) == 1
        assert {found.entity.run_id for found in store.runs()} == {"r1", "r2"}
    del caught
    gc.collect()


def test_a_server_that_is_started_again_in_mid_transaction_is_not_even_noticed(server: Server, url: str) -> None:
    def restart() -> None:
        server.crash()
        server.start()

    with Store.open(url) as store:
        with _before_params_are_written(store, restart):
            assert store.append([run_record(f"r{number}") for number in range(3)]) == 3

        assert len(list(store.all())) == len(store.runs()) == 3


def test_who_waits_too_long_for_another_writer_says_so(server: Server, url: str) -> None:
    with Store.open(url) as store, closing(server.connect(engines.parse(url).database)) as other:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"SELECT * FROM {schema.steps.name} FOR UPDATE")
            with pytest.raises(ServiceError, match="is locked by another program"):
                _hurried(store).append([run_record("r1")])
            cursor.execute("ROLLBACK")

        assert store.append([run_record("r1")]) == 1


def _hurried(store: Store) -> Store:
    """The same store, with a connection that waits a second at most."""
    with store._engine.connect() as connection:
        name = "lock_timeout = '1s'" if store._engine.dialect.name == "postgresql" else "innodb_lock_wait_timeout = 1"
        connection.exec_driver_sql(f"SET SESSION {name}")
        connection.commit()
    return store


@contextmanager
def _before_params_are_written(store: Store, happens: Callable[[], None]) -> Iterator[None]:
    """Let something happen, once, when a transaction has written records and keys, and not yet all that they say."""
    left = [happens]

    def before(_connection: Any, statement: Any, *_: Any) -> None:
        if left and getattr(statement, "is_insert", False) and statement.table is schema.params:
            left.pop()()

    sa.event.listen(store._engine, "before_execute", before)
    yield
    assert not left


def _cut(server: Server, url: str) -> None:
    database = engines.parse(url).database
    if isinstance(server, PostgreSQL):
        server.do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    else:
        for (number,) in server.do(f"SELECT id FROM information_schema.processlist WHERE db = '{database}'"):
            server.do(f"KILL {number}")
