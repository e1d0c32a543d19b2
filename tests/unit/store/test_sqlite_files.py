"""Files of SQLite that cannot be written, lie on a network, or meet a full disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_ci.errors import ServiceError
from mlops_ci.store import Store, StoreWarning
from mlops_ci.store.databases import engines, filesystems

from .conftest import MakeRun

NETWORK = "nas:/home / nfs4 rw 0 0\n"

# Imports everything while it still may: the interpreter can be root's alone.
_READER = """
import os, sys
from mlops_ci.errors import MlopsCIError
from mlops_ci.store import Store
from tests.unit.store.conftest import _run
with Store.open("sqlite://") as store:
    store.append([_run("first")])
    store.runs()
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    with Store.open(sys.argv[1]) as store:
        print(*sorted(run.entity.run_id for run in store.runs()))
        store.append([_run("new")])
except MlopsCIError as error:
    print(type(error).__name__, error, "-", error.hint)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can get at, which pytest's own is not."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


@pytest.mark.parametrize("what", ["the file", "the folder", "both"])
def test_a_file_that_cannot_be_written_answers_and_takes_nothing(folder: Path, make_run: MakeRun, what: str) -> None:
    file = folder / "100% mlops?.db"
    _fill(file, make_run)
    file.chmod(0o444 if what != "the folder" else 0o666)
    folder.chmod(0o555 if what != "the file" else 0o777)

    runs, refusal = _as_somebody_else(file)

    assert runs == "r1"
    assert refusal.startswith("UsageError the store sqlite:///")
    assert refusal.endswith(" cannot be written - the file and its folder must be writable")
    assert [found.name for found in folder.iterdir()] == [file.name]


def test_what_stands_in_the_log_of_a_writer_is_seen_where_nothing_can_be_written(
    folder: Path, make_run: MakeRun
) -> None:
    file = folder / "mlops.db"
    _fill(file, make_run)
    with Store.open(f"sqlite:///{file}") as writer:
        writer.append([make_run("r2")])
        assert (folder / "mlops.db-wal").stat().st_size
        for found in folder.iterdir():
            found.chmod(0o444)
        folder.chmod(0o555)

        runs, refusal = _as_somebody_else(file)

    assert runs == "r1 r2"
    assert "cannot be written" in refusal


def test_an_old_schema_that_cannot_be_written_says_so(folder: Path) -> None:
    file = folder / "mlops.db"
    file.touch()
    file.chmod(0o444)

    [said] = _as_somebody_else(file)

    assert said.startswith(
        f"UsageError the store sqlite:///{file} is not of this program's schema, and cannot be written"
    )
    assert said.endswith("open it once where it can be written, or copy it there")


def test_a_file_on_a_network_has_a_rollback_journal_and_a_warning(tmp_path: Path, make_run: MakeRun) -> None:
    url = engines.parse("sqlite:///mlops.db", tmp_path)
    with pytest.warns(StoreWarning, match=r"mlops\.db is on a network file system.*better a local disk"):
        engine = engines.make(url, NETWORK)
    with Store(engine) as store:
        store._migrate()
        store.append([make_run("r1")])
        with store._read() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert len(store.runs()) == 1


def test_the_warning_is_said_once(tmp_path: Path) -> None:
    url = engines.parse("sqlite:///mlops.db", tmp_path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for _ in range(3):
            engines.make(url, NETWORK).dispose()
    assert len(said) == 1


def test_a_file_on_a_local_disk_has_a_write_ahead_log(tmp_path: Path) -> None:
    local = f"/dev/vda / ext4 rw 0 0\n{NETWORK.replace(' / ', ' /somewhere/else ')}"
    assert filesystems.is_local(tmp_path, local)
    with (
        Store(engines.make(engines.parse("sqlite:///mlops.db", tmp_path), local)) as store,
        store._read() as connection,
    ):
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_disk_that_takes_no_more_loses_nothing_and_the_next_try_works(tmp_path: Path) -> None:
    """A limit on the size of files, as the kernel sets it, stands for the disk."""
    script = """
import resource, sys
from mlops_ci.errors import ServiceError
from mlops_ci.store import Store
from tests.unit.store.conftest import _run
with Store.open(sys.argv[1]) as store:
    acknowledged = []
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, most))
    try:
        for number in range(100):
            store.append([_run(f"r{number}", params={"notes": "x" * 20_000})])
            acknowledged.append(f"r{number}")
    except ServiceError as error:
        print(error, "-", error.hint)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert sorted(run.entity.run_id for run in store.runs(limit=999)) == sorted(acknowledged)
    assert store.append([_run("after")]) == 1
    print(len(acknowledged))
"""
    done = _run_python(script, f"sqlite:///{tmp_path}/mlops.db")
    said, acknowledged = done.stdout.splitlines()

    assert "the disk" in said
    assert "nothing was written" in said
    with Store.open(f"sqlite:///{tmp_path}/mlops.db") as store:
        assert len(list(store.all())) == len(store.runs(limit=999)) == int(acknowledged) + 1 > 3


def test_who_finds_the_lock_taken_for_too_long_says_so(tmp_path: Path, make_run: MakeRun) -> None:
    url = f"sqlite:///{tmp_path}/mlops.db?timeout=0.05"
    with Store.open(url) as one, Store.open(url) as two:
        with one._writer.begin(), pytest.raises(ServiceError, match="is locked by another program"):
            two.append([make_run("r1")])
        assert two.append([make_run("r1")]) == 1


def _fill(file: Path, make_run: MakeRun) -> None:
    with Store.open(f"sqlite:///{file}".replace("?", "%3F")) as store:
        store.append([make_run("r1")])


def _as_somebody_else(file: Path) -> list[str]:
    """What a user sees who is not root, to whom everything can be written."""
    return _run_python(_READER, f"sqlite:///{file}".replace("?", "%3F")).stdout.splitlines()


def _run_python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done
