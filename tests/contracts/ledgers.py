"""
The ledgers that the contract suite meets, each by an address that another process can open too.

Run as a program it is one of several writers: it opens a ledger, says that it is ready, and when told to,
appends or claims.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_ci.entities import Adoption, Author
from mlops_ci.errors import Conflict
from mlops_ci.git import Checkout
from mlops_ci.ledger import Ledger
from mlops_ci.ledger.git import GitLedger
from mlops_ci.ledger.sql import SqlLedger
from mlops_ci.records import Record, new

AUTHOR = Author(name="Ada Lovelace", email="ada@example.org")


@dataclass(frozen=True)
class Member:
    """A ledger, seen from two places: two clones of one remote, or two connections to one database."""

    one: str
    two: str

    def race(self, task: str, processes: int = 8) -> list[str]:
        """What each of several processes answers that do *task* at the same moment, half of them from each place."""
        writers = [
            subprocess.Popen(
                [sys.executable, __file__, address, task, str(index)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for index, address in zip(range(processes), [self.one, self.two] * processes, strict=False)
        ]
        for writer in writers:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
        answers = []
        for writer in writers:
            assert writer.stdin
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers:
            answer, _ = writer.communicate(timeout=120)
            assert writer.returncode == 0
            answers.append(answer.strip())
        return answers


def open_ledger(address: str) -> Ledger:
    kind, _, place = address.partition(" ")
    return GitLedger(Checkout.find(Path(place))) if kind == "git" else SqlLedger(place)


def make_git(folder: Path) -> Member:
    """Two clones of a bare remote; the caller keeps git's own configuration away."""
    remote = folder / "remote.git"
    _git("init", "--quiet", "--bare", remote)
    for name in ("one", "two"):
        _git("clone", "--quiet", remote, folder / name)
    return Member(f"git {folder / 'one'}", f"git {folder / 'two'}")


def make_sql(url: str) -> Member:
    """Two connections to one database."""
    return Member(f"sql {url}", f"sql {url}")


# What runs the suite, and the provider that it holds to it.
MEMBERS = {"git": "git", "sqlite": "sql", "postgresql": "sql", "mysql": "sql"}


def adoption(run_id: str, sha: str = "", *, time: str | None = None) -> Record:
    return new(Adoption(sha=sha or "a" * 40, tree="b" * 40, run_id=run_id), author=AUTHOR, time=time)


def _git(*args: str | Path) -> None:
    subprocess.run(["git", *args], check=True, capture_output=True)


def _write(address: str, task: str, index: str) -> str:
    ledger = open_ledger(address)
    print("ready", flush=True)  # noqa: T201  # the parent waits for it
    sys.stdin.readline()
    if task == "append":
        for number in range(3):
            ledger.append([adoption(f"{index}-{number}"), adoption(f"{index}-{number}-too")])
        return "done"
    record = adoption(index)
    try:
        ledger.append([record], claims={"model/churn/1.0.0": record})
    except Conflict:
        return "lost"
    return record.id


def _main(arguments: Sequence[str]) -> None:
    print(_write(*arguments))  # noqa: T201  # the parent reads it


if __name__ == "__main__":
    _main(sys.argv[1:])
