"""
Many processes that do the same to one store at the same moment.

Run as a program it forks them: they are processes like others, and what takes time, the imports, is done once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mlops_ci import records
from mlops_ci.entities import Author, GitState, Metric, Run
from mlops_ci.errors import Conflict, MlopsCIError
from mlops_ci.records import Record
from mlops_ci.store import Store
from mlops_ci.store.databases import engines

AUTHOR = Author(name="Ada Lovelace", email="ada@example.org")


def race(url: str, task: str, processes: int = 8) -> list[Any]:
    """What each of *processes* answers that do *task*, a function of this module, to the store at *url*, at once."""
    command = [sys.executable, str(Path(__file__)), url, task, str(processes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_record(run_id: str, second: int = 0, size: int = 20, **fields: Any) -> Record:
    """A run with *size* params and *size* metrics."""
    time_ = f"2026-01-02T03:04:{second:02}.000000Z"
    given: dict[str, Any] = {
        "run_key": f"key of {run_id}",
        "project": "churn",
        "experiment": "main",
        "status": "finished",
        "started": time_,
        "ended": time_,
        "duration_s": 1.0,
        "git": GitState(trained_sha="a" * 40, head_sha="a" * 40, tree="b" * 40, branch="main"),
        "params": {f"p{number}": number / 7 for number in range(size)},
        "metrics": {f"m{number}": Metric(last=number / 7, min=0.0, max=9.0, count=10) for number in range(size)},
    }
    return records.new(Run(run_id=run_id, **(given | fields)), author=AUTHOR, time=time_)


def opens(url: str, _number: int) -> str:
    with Store.open(url) as store:
        return str(len(list(store.all())))


def appends(url: str, number: int) -> float:
    """Seconds that it took, the connection included."""
    before = time.perf_counter()
    with Store.open(url) as store:
        assert store.append([run_record(f"r{number}", number % 60)]) == 1
    return time.perf_counter() - before


def appends_the_same(url: str, _number: int) -> int:
    with Store.open(url) as store:
        record = run_record("r")
        return store.append([record], {"model/x/1": record})


def claims(url: str, number: int) -> str:
    record = run_record(f"r{number}", size=1)
    with Store.open(url) as store:
        try:
            store.append([record], {"model/x/1": record})
        except Conflict:
            return "lost"
    return record.id


def ends_one_run(url: str, number: int) -> str:
    """Each says something else of one run; the first by time counts, and that is not the first that comes."""
    record = run_record("r", 59 - number, size=3, status="killed", params={"number": number})
    with Store.open(url) as store:
        store.append([record])
    return record.id


def is_killed_while_opening(url: str, number: int) -> None:
    """With its statement *number*, counted from 0."""
    kill_with_statement(number)
    Store.open(url).close()


def kill_with_statement(number: int) -> None:
    """Let this process be killed before the statement *number*, counted from 0."""
    statements = iter(range(number))

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def before(*_: Any) -> None:
        if next(statements, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)


def alone(do: Callable[[str, int], Any], url: str, number: int) -> int:
    """Do one thing in a process of its own, and return how that ended: 0, or minus the signal's number."""
    process = os.fork()
    if process == 0:
        _answer_and_end(do, url, number, os.open(os.devnull, os.O_WRONLY))
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def _answer_and_end(do: Callable[[str, int], Any], url: str, number: int, where: int) -> None:
    try:
        answer = do(url, number)
    except MlopsCIError as error:
        answer = f"{type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001  # a forked process must not go on with what its parent does
        answer = f"bug: {error!r}"
    os.write(where, json.dumps(answer).encode() + b"\n")
    os._exit(0)


def _main(url: str, task: str, processes: int) -> None:
    engines.make(engines.parse(url)).dispose()  # imports the driver
    gate, opened = os.pipe()
    answers = []
    for number in range(processes):
        answer, where = os.pipe()
        if os.fork() == 0:
            os.close(opened)
            os.read(gate, 1)  # until it is closed
            _answer_and_end(globals()[task], url, number, where)
        os.close(where)
        answers.append(answer)
    os.close(opened)
    for answer in answers:
        with os.fdopen(answer) as lines:
            sys.stdout.write(lines.read() or '"killed"\n')


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
