"""Opening a store: by many at once, by old programs, on bad files; and what each fault is said to be."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mlops_ci.errors import ConfigError, Conflict, IntegrityError, ServiceError, UsageError
from mlops_ci.store import Store, migrations, schema

from .conftest import MakeRun

_OPENER = """
import sys
from mlops_ci.store import Store
print("ready", flush=True)
sys.stdin.readline()
with Store.open(sys.argv[1]) as store:
    print(len(store.runs()))
"""


def test_eight_processes_may_start_together_on_a_fresh_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OPENER, f"sqlite:///{tmp_path}/new/mlops.db"]
    openers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for opener in openers:
        assert opener.stdout
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin
        opener.stdin.write("go\n")
        opener.stdin.flush()

    assert [(*opener.communicate(timeout=120), opener.returncode) for opener in openers] == [("0\n", "", 0)] * 8


def test_opening_waits_for_who_holds_the_lock_of_a_file_whose_journal_must_change(tmp_path: Path) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        closing(sqlite3.connect(tmp_path / "mlops.db", isolation_level=None)) as other,
    ):
        other.execute("CREATE TABLE somebody_elses (x)")
        other.execute("BEGIN IMMEDIATE")
        opening = pool.submit(Store.open, "sqlite:///mlops.db", tmp_path)
        with pytest.raises(TimeoutError):
            opening.result(timeout=0.3)
        other.execute("ROLLBACK")

        opening.result().close()


def test_a_store_of_the_newest_schema_opens_without_the_migrations(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mlops.db"
    Store.open(url).close()
    script = f"import sys; from mlops_ci.store import Store; Store.open({url!r}); print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()

    assert "mlops_ci.store.schema" in loaded
    assert "mlops_ci.store.migrations" not in loaded


def test_who_only_records_loads_nothing_that_queries_need(tmp_path: Path) -> None:
    script = (
        f"import sys; from mlops_ci.store import Store; from tests.unit.store.conftest import _run\n"
        f"with Store.open('sqlite:///{tmp_path}/mlops.db') as store: store.append([_run('r1', params={{'a': 1}})])\n"
        "print(*sys.modules)"
    )

    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()

    ours = {name for name in loaded if name.startswith("mlops_ci.store.")}
    assert "mlops_ci.store.projection" in ours
    assert {name for name in ours if re.search(r"filters|queries|pages|found|conditions", name)} == set()
    assert "sqlalchemy.dialects.mysql" not in loaded


def test_the_steps_that_are_known_and_those_that_can_be_done_are_the_same() -> None:
    assert tuple(migrations.STEPS) == schema.STEPS


@pytest.mark.parametrize("lost", [*schema.STEPS, "all"])
def test_a_step_that_was_done_but_not_recorded_is_entered_again(tmp_path: Path, make_run: MakeRun, lost: str) -> None:
    """As after a kill, in a database whose DDL is no part of a transaction."""
    run = make_run("r1", metrics={"acc": 0.5})
    with Store.open("sqlite:///mlops.db", tmp_path) as store:
        store.append([run], {"a": run})
    with closing(sqlite3.connect(tmp_path / "mlops.db")) as raw, raw:
        raw.execute("DELETE FROM mlops_steps WHERE name = ? OR ? = 'all'", (lost, lost))

    with Store.open("sqlite:///mlops.db", tmp_path) as store:
        assert [found.record_id for found in store.runs(order_by="metrics.acc")] == [run.id]
        assert store.claims("a") == {"a": run}


def test_an_old_projection_is_built_again_from_the_records(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run("r1")
    with Store.open("sqlite:///mlops.db", tmp_path) as store:
        store.append([run])
    with closing(sqlite3.connect(tmp_path / "mlops.db")) as raw, raw:
        raw.execute("DROP TABLE mlops_runs")
        raw.execute("CREATE TABLE mlops_runs (of_an_older_shape)")
        raw.execute("DELETE FROM mlops_steps WHERE name = '0003_projection'")

    with Store.open("sqlite:///mlops.db", tmp_path) as store:
        assert [found.record_id for found in store.runs()] == [run.id]


# As the first program made it, except for what has not changed since.
_OLD_PROJECTION = """
    CREATE TABLE mlops_runs (
        record_id VARCHAR(65) PRIMARY KEY, run_key VARCHAR(255) NOT NULL UNIQUE, run_id VARCHAR(255) NOT NULL,
        project VARCHAR(255) NOT NULL, experiment VARCHAR(255) NOT NULL, status VARCHAR(20) NOT NULL,
        branch VARCHAR(255) NOT NULL, started VARCHAR(40) NOT NULL, duration_s DOUBLE, recorded VARCHAR(40) NOT NULL
    );
    CREATE INDEX ix_mlops_runs_run_id ON mlops_runs (run_id);
    CREATE INDEX ix_mlops_runs_started ON mlops_runs (started);
    CREATE INDEX mlops_runs_of_experiment ON mlops_runs (experiment, started);
    CREATE TABLE mlops_params (
        record_id VARCHAR(65), name VARCHAR(255), value TEXT NOT NULL, PRIMARY KEY (record_id, name)
    ) WITHOUT ROWID;
    CREATE TABLE mlops_metrics (
        record_id VARCHAR(65), name VARCHAR(255), experiment VARCHAR(255) NOT NULL, last DOUBLE, min DOUBLE, max DOUBLE,
        count BIGINT NOT NULL, PRIMARY KEY (record_id, name)
    ) WITHOUT ROWID;
    CREATE INDEX mlops_metrics_best ON mlops_metrics (experiment, name, last);
    CREATE TABLE mlops_commits (
        record_id VARCHAR(65), sha VARCHAR(65), run_id VARCHAR(255) NOT NULL, PRIMARY KEY (record_id, sha)
    ) WITHOUT ROWID;
    CREATE INDEX ix_mlops_commits_sha ON mlops_commits (sha);
    DROP TABLE mlops_marks;
    DELETE FROM mlops_steps;
    INSERT INTO mlops_steps VALUES ('0001_ledger'), ('0002_projection');
"""


def test_a_store_of_an_old_program_is_brought_up_to_date_and_answers_with_what_was_there(
    tmp_path: Path, make_run: MakeRun
) -> None:
    """One whose step has been retired since: with an older projection, and without the marks."""
    run = make_run("r1", metrics={"acc": 0.5})
    with Store.open("sqlite:///mlops.db", tmp_path) as store:
        store.append([run], {"a": run})
    with closing(sqlite3.connect(tmp_path / "mlops.db")) as raw, raw:
        for table in schema.projection.tables:
            raw.execute(f"DROP TABLE {table}")
        raw.executescript(_OLD_PROJECTION)
        row = "?, 'key of r1', 'r1', 'churn', 'main', 'finished', 'main', '2026-01-01T00:00:00.000000Z', 1, '2026'"
        raw.execute(f"INSERT INTO mlops_runs VALUES ({row})", [run.id])
        raw.execute("INSERT INTO mlops_metrics VALUES (?, 'acc', 'main', 0.5, 0.5, 0.5, 1)", [run.id])
        raw.execute("INSERT INTO mlops_commits VALUES (?, ?, 'r1')", [run.id, "a" * 40])

    with Store.open("sqlite:///mlops.db", tmp_path) as store:
        best = store.best("main", "acc")
        assert best
        assert best.record_id == run.id
        assert store.claims("a") == {"a": run}
        assert store.commits("r1") == ["a" * 40]
        assert store.take_in(lambda _mark, _known: (iter([make_run("r2")]), "here")) == 1
    with closing(sqlite3.connect(tmp_path / "mlops.db")) as raw:
        assert {name for (name,) in raw.execute("SELECT name FROM mlops_steps")} == set(schema.STEPS)


def test_an_older_program_says_so_and_stops(tmp_path: Path) -> None:
    Store.open("sqlite:///mlops.db", tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "mlops.db")) as raw, raw:
        raw.execute("INSERT INTO mlops_steps VALUES ('0099_of_tomorrow')")

    with pytest.raises(UsageError, match=r"was written by a newer mlops-ci \(0099_of_tomorrow") as caught:
        Store.open("sqlite:///mlops.db", tmp_path)

    assert caught.value.hint == "install a newer mlops-ci"


def test_records_are_as_safe_as_sqlite_can_make_them(store: Store) -> None:
    with store._read() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("synchronous", "foreign_keys", "busy_timeout")
        }

    assert settings == {"synchronous": 2, "foreign_keys": 1, "busy_timeout": 60_000}


def test_a_conflict_leaves_nothing_behind(store: Store, make_run: MakeRun) -> None:
    first, second = make_run("r1"), make_run("r2")
    store.append([first], {"lock/x": first})

    with pytest.raises(Conflict, match=rf"lock/x is taken, since {first.time}, by record {first.id[:12]}"):
        store.append([second], {"free": second, "lock/x": second})

    assert store.claims("") == {"lock/x": first}
    assert [run.record_id for run in store.runs()] == [first.id]


def test_a_record_that_somebody_changed_is_noticed(tmp_path: Path, store: Store, make_run: MakeRun) -> None:
    run = make_run("r1")
    store.append([run])
    with closing(sqlite3.connect(tmp_path / "mlops.db")) as raw, raw:
        raw.execute("UPDATE mlops_records SET canonical = replace(canonical, 'finished', 'failed')")

    for read in (lambda: store.find(["run/r1"]), store.runs, lambda: list(store.all())):
        with pytest.raises(IntegrityError, match=rf"record {run.id[:12]} was changed"):
            read()


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("mlops.db", ConfigError, "'mlops.db' is not the URL of a database"),
        ("postgresql//ada:secret@host/db", ConfigError, "'postgresql//ada:***@host/db' is not"),
        ("nosuch://ada:secret@host/db", ConfigError, "unknown kind of database: 'nosuch'"),
        ("sqlite://host/mlops.db", ConfigError, "is not the URL of a file"),
        ("sqlite:///mlops.db?timeout=soon", ConfigError, "timeout=soon"),
        ("oracle+oracledb://scott:tiger@host/db", ConfigError, "unknown kind of database: 'oracle'"),
    ],
)
def test_a_bad_address_is_explained(tmp_path: Path, url: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)) as caught:
        Store.open(url, tmp_path)

    assert "secret" not in str(caught.value)


def _text(path: Path) -> None:
    path.write_text("no database at all\n" * 100)


def _folder(path: Path) -> None:
    path.mkdir()


def _damaged(path: Path) -> None:
    Store.open(f"sqlite:///{path}").close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "says"), [(_text, "is not an SQLite database"), (_folder, "cannot be opened"), (_damaged, "is damaged")]
)
def test_a_bad_file_is_explained(tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(tmp_path / "mlops.db")

    with pytest.raises(UsageError, match=f"^the store sqlite:///{tmp_path}/mlops.db {says}$"):
        Store.open("sqlite:///mlops.db", tmp_path)


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"the folder of the store .*mlops\.db cannot be created"):
        Store.open("sqlite:///file/mlops.db", tmp_path)


def test_a_locked_file_is_explained(tmp_path: Path, make_run: MakeRun) -> None:
    with (
        Store.open("sqlite:///mlops.db?timeout=0.05", tmp_path) as store,
        closing(sqlite3.connect(tmp_path / "mlops.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceError, match=r"is locked by another program$"):
            store.append([make_run("r1")])


@pytest.mark.parametrize(
    ("pragma", "error", "says"),
    [
        ("max_page_count = 1", ServiceError, "cannot grow: the disk is full"),
        ("query_only = ON", UsageError, "cannot be written"),
    ],
)
def test_a_file_that_takes_no_more_is_explained(
    store: Store, make_run: MakeRun, pragma: str, error: type[Exception], says: str
) -> None:
    with store._read() as connection:
        connection.exec_driver_sql(f"PRAGMA {pragma}")
    with pytest.raises(error, match=says):
        store.append([make_run("r1", params={"notes": "x" * 100_000})])

    with store._read() as connection:
        connection.exec_driver_sql("PRAGMA query_only = OFF")
    assert list(store.all()) == []
