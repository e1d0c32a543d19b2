"""
Kill -9 at random moments: nothing acknowledged is lost, nothing is half there, and the next process goes on.

Some thirty times by default, with training (tests/cli/test_kill.py) and migrating
(tests/contracts/test_sql_together.py); more than five hundred in the full run.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlops_ci.ledger import Ledger
from mlops_ci.store import Store
from tests.crashes import worker
from tests.repositories import git

_MOST = 130 * 50  # each start of a worker has fifty numbers of its own at most
KILLS = [pytest.param(6, id="6"), pytest.param(130, id="130", marks=pytest.mark.full)]


def killed(task: str, address: str, start: int, seed: int) -> list[str]:
    """What a worker said until it was killed: at a random moment after its first word, or its start if it says none."""
    command = [sys.executable, worker.__file__, task, address, str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout
        said = [process.stdout.readline()]
        # The moment is random on purpose; whatever it is, the promise is the same.
        timer = threading.Timer(random.Random(seed).uniform(0, 0.25), process.send_signal, [signal.SIGKILL])  # noqa: S311
        timer.start()
        said += process.stdout.readlines()
        timer.join()
    assert process.returncode == -signal.SIGKILL
    return [line.strip() for line in said if line.endswith("\n")]


def numbers(said: list[str], word: str) -> list[int]:
    return [int(line.split()[1]) for line in said if line.startswith(word)]


def assert_whole(ledger: Ledger, at_least: set[int]) -> set[int]:
    """Every run is there with what was appended together with it, under each of its keys; return which."""
    found = {record.id for record in ledger.all()}
    there = {number for number in range(_MOST) if worker.a_run(number).id in found}
    assert there >= at_least
    for number in there:
        assert worker.an_adoption(number).id in found
    for number in sorted(there)[-3:]:
        run, adoption = worker.a_run(number), worker.an_adoption(number)
        for record in (run, adoption):
            for key in record.keys:
                assert record in ledger.find(key)
    assert len(found) == 2 * len(there)
    return there


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("kind", ["git", "sql"])
def test_killed_while_appending(work: Path, tmp_path: Path, kind: str, kills: int) -> None:
    address = f"git {work}" if kind == "git" else f"sql sqlite:///{tmp_path}/store.db"
    acknowledged: set[int] = set()
    for kill in range(kills // 2):
        said = killed("append", address, kill * 50, seed=kill)
        assert not numbers(said, "conflict")
        acknowledged.update(numbers(said, "appended"))
        there = assert_whole(worker.open_ledger(address), acknowledged)
        claims = worker.open_ledger(address).claims("version/m")
        assert {f"version/m/{number}" for number in acknowledged} <= claims.keys()
        assert {f"version/m/{number}" for number in there} >= claims.keys()
    if kind == "git":
        ledger = worker.open_ledger(address)
        ledger.sync()
        assert ledger.pending() == 0
        assert_whole(ledger, acknowledged)


@pytest.mark.parametrize("kills", KILLS)
def test_killed_while_folding(work: Path, kills: int) -> None:
    git(work.parent / "origin.git", "config", "uploadpack.allowFilter", "true")
    address = f"git {work}"
    acknowledged: set[int] = set()
    for kill in range(kills):
        acknowledged.update(numbers(killed("fold", address, kill * 40, seed=kill), "appended"))
        assert_whole(worker.open_ledger(address), acknowledged)
    ledger = worker.open_ledger(address)
    ledger.sync()
    ledger.fold()
    assert ledger.fold() == (0, 0)
    assert assert_whole(ledger, acknowledged) >= acknowledged


@pytest.mark.parametrize("kills", KILLS)
def test_killed_while_syncing(work: Path, tmp_path: Path, kills: int) -> None:
    remote, away = tmp_path / "origin.git", tmp_path / "away.git"
    address = f"git {work}"
    kept: set[int] = set()
    for kill in range(kills // 2):
        remote.rename(away)
        kept.update(numbers(killed("wait_here", address, kill * 50, seed=kill), "kept"))
        away.rename(remote)
        killed("sync", address, 0, seed=kill)
        assert_whole(worker.open_ledger(address), kept)
    ledger = worker.open_ledger(address)
    ledger.sync()
    assert ledger.pending() == 0
    assert_whole(ledger, kept)


@pytest.mark.parametrize("kills", KILLS)
def test_killed_while_projecting(work: Path, tmp_path: Path, kills: int) -> None:
    address = f"git {work}"
    ledger = worker.open_ledger(address)
    ledger.append([record for number in range(150) for record in (worker.a_run(number), worker.an_adoption(number))])
    ledger.fold()
    ledger.append([worker.a_run(200), worker.an_adoption(200)])
    for kill in range(kills):
        killed("project", address, 0, seed=kill)
        with Store.open(f"sqlite:///{tmp_path}/projection.db") as store:
            store.take_in(ledger.unseen)
            assert_whole(ledger, set(range(150)) | {200})
            assert list(store.all()) == list(ledger.all())
            assert len(store.runs(limit=1000)) == 151
            assert len(store.commits("run-200")) == 2
