"""
A process that is made to be killed: it does one thing over and over, and says what it was told had been done.

    worker.py TASK ADDRESS START

ADDRESS is `git FOLDER` or `sql URL`. Every line of output is a fact that must still hold when the process is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from mlops_ci import records
from mlops_ci.entities import Adoption, Author, GitState, Metric, Run
from mlops_ci.errors import Conflict, MlopsCIError
from mlops_ci.git import Checkout
from mlops_ci.ledger import Ledger
from mlops_ci.records import Record

AUTHOR = Author(name="engineer", email="e@example.com")


def a_run(number: int) -> Record:
    """The run *number*: every process makes the same of it."""
    sha, second = f"{number:040x}", f"{number % 60:02}"
    return records.new(
        Run(
            run_id=f"run-{number}",
            run_key=f"key-{number}",
            project="p",
            experiment="e",
            status="finished",
            started=f"2026-01-02T03:04:{second}.000000Z",
            ended=f"2026-01-02T03:05:{second}.000000Z",
            duration_s=60,
            git=GitState(trained_sha=sha, head_sha=sha, tree=sha[::-1]),
            params={f"p{name}": number for name in range(5)},
            metrics={f"m{name}": Metric(last=number / 7, min=0.5, max=number + 0.5) for name in range(5)},
        ),
        author=AUTHOR,
        time=f"2026-01-02T03:05:{second}.000000Z",
    )


def an_adoption(number: int) -> Record:
    """Belongs to the run *number*, and is appended together with it."""
    adoption = Adoption(sha=f"{number + 2**64:040x}", tree="c" * 40, run_id=f"run-{number}")
    return records.new(adoption, author=AUTHOR, time=a_run(number).time)


def open_ledger(address: str) -> Ledger:
    kind, _, place = address.partition(" ")
    if kind == "git":
        from mlops_ci.ledger.git import GitLedger  # noqa: PLC0415  # a process needs one of the two

        return GitLedger(Checkout.find(Path(place)))
    from mlops_ci.ledger.sql import SqlLedger  # noqa: PLC0415

    return SqlLedger(place)


def append(address: str, start: int) -> None:
    """Append runs, two records at a time, and claim a name for each."""
    ledger = open_ledger(address)
    for number in count(start):
        run, adoption = a_run(number), an_adoption(number)
        try:
            ledger.append([run, adoption], claims={f"version/m/{number}": run})
        except Conflict:
            say(f"conflict {number}")
        else:
            say(f"appended {number}")


def wait_here(address: str, start: int) -> None:
    """Append runs that may have to wait here."""
    ledger = open_ledger(address)
    for number in count(start):
        ledger.append([a_run(number), an_adoption(number)])
        say(f"kept {number}")


def fold(address: str, start: int) -> None:
    """Append one, fold all."""
    ledger = open_ledger(address)
    for number in count(start):
        ledger.append([a_run(number), an_adoption(number)])
        say(f"appended {number}")
        ledger.fold()


def sync(address: str, start: int) -> None:
    """Send what waits, if the remote is there."""
    ledger = open_ledger(address)
    del start
    while True:
        try:
            ledger.sync()
        except MlopsCIError as error:
            say(f"failed {error}")
        else:
            say("synced")


def project(address: str, start: int) -> None:
    """Take everything into a projection, from nothing."""
    from mlops_ci.store import Store  # noqa: PLC0415

    ledger = open_ledger(address)
    for number in count(start):
        with Store.open(f"sqlite:///{address.removeprefix('git ')}/../projection.db") as store:
            store.take_in(ledger.unseen)
            say(f"projected {number}")
            store.rebuild()


TASKS: dict[str, Callable[[str, int], None]] = {
    function.__name__: function for function in (append, wait_here, fold, sync, project)
}


def say(fact: str) -> None:
    sys.stdout.write(f"{fact}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    TASKS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
