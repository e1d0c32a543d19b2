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
