"""
Many writers at one moment: our ledgers, beside a file on a branch that everybody pushes, with retries.

The git remote is a bare repository on this machine: no host's limits, and no network. Run as a program this is one of
the writers: it says that it is ready, writes one record when told to, and says how many attempts that took.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops_ci import records
from mlops_ci.entities import Adoption, Author
from mlops_ci.git import Checkout
from mlops_ci.ledger.git import GitLedger
from tests.servers import PostgreSQL

RETRIES = 10
"""As a workflow would: push, and if that is refused, pull with a rebase and push again."""


@dataclass(frozen=True)
class Outcome:
    """What came of some writers: attempts of each (0: gave up), records that are there afterwards, seconds in all."""

    attempts: list[int]
    there: int
    wall_s: float

    def __str__(self) -> str:
        done = [attempt for attempt in self.attempts if attempt]
        median = statistics.median(done) if done else 0
        return (
            f"{self.there} of {len(self.attempts)} recorded, {len(self.attempts) - len(done)} gave up; "
            f"attempts: median {median:g}, most {max(done, default=0)}; {self.wall_s:.1f} s in all"
        )


def race(mode: str, places: list[str]) -> tuple[list[int], float]:
    """Let one writer for each of *places* write at the same moment; return their attempts and the wall time."""
    command = [sys.executable, __file__, mode]
    writers = [
        subprocess.Popen(
            [*command, place, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
        )
        for number, place in enumerate(places)
    ]
    if any(writer.stdout.readline() != "ready\n" for writer in writers):
        raise SystemExit("a writer did not start")
    started = time.perf_counter()
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    answers = [writer.communicate()[0] for writer in writers]
    return [int(answer or 0) for answer in answers], time.perf_counter() - started


def with_refs(folder: Path, writers: int) -> Outcome:
    """Our git ledger, each writer in a clone of its own."""
    clones = _clones(folder, writers)
    attempts, wall_s = race("refs", clones)
    there = len(list(GitLedger(Checkout.find(Path(clones[0]))).all()))
    return Outcome(attempts, there, wall_s)


def with_a_file(folder: Path, writers: int) -> Outcome:
    """A line in a file on a branch, each writer in a clone of its own, with retries."""
    clones = _clones(folder, writers)
    attempts, wall_s = race("file", clones)
    lines = _git(folder / "origin.git", "show", "main:runs.jsonl").splitlines()
    return Outcome(attempts, len(lines) - 1, wall_s)


def with_sql(url: str, writers: int) -> Outcome:
    """Our SQL ledger, each writer with a connection of its own."""
    from mlops_ci.store import Store  # noqa: PLC0415  # only this needs SQLAlchemy

    with Store.open(url) as store:
        attempts, wall_s = race("sql", [url] * writers)
        return Outcome(attempts, len(list(store.all())), wall_s)


def writers(folder: Path, count: int = 100) -> None:
    """Race the ways against each other, one after the other, and print what came of each."""
    print(f"{count} writers at one moment, one record each; the git remote is a bare repository on this machine")
    for way in (with_refs, with_a_file):
        (folder / way.__name__).mkdir()
        print(f"  {way.__name__:<12} {way(folder / way.__name__, count)}", flush=True)
    server = PostgreSQL()
    try:
        print(f"  {'PostgreSQL':<12} {with_sql(server.fresh(), count)}", flush=True)
    finally:
        server.stop()


def _record(number: int) -> records.Record:
    adoption = Adoption(sha=f"{number:040x}", tree=f"{number:040x}", run_id=f"run-{number}")
    return records.new(adoption, author=Author(name="benchmark"))


def _write_ref(place: str, number: int) -> int:
    ledger = GitLedger(Checkout.find(Path(place)))
    _wait()
    attempts, sent = 1, ledger.append([_record(number)])
    while not sent:
        attempts, sent = attempts + 1, ledger.sync() > 0
    return attempts


def _write_line(place: str, number: int) -> int:
    folder = Path(place)
    _wait()
    with (folder / "runs.jsonl").open("a", encoding="utf-8") as file:
        file.write(records.encode(_record(number)).decode() + "\n")
    _git(folder, "commit", "-qam", f"run {number}")
    for attempt in range(1, RETRIES + 1):
        try:
            _git(folder, "push", "-q", "origin", "HEAD:main")
        except subprocess.CalledProcessError:
            try:
                _git(folder, "pull", "-q", "--rebase", "-X", "union", "origin", "main")
            except subprocess.CalledProcessError:
                # Two lines at the end of a file are a conflict; a workflow that knows it takes both.
                if not _resolve(folder):
                    return 0
        else:
            return attempt
    return 0


def _resolve(folder: Path) -> bool:
    lines = [line for line in (folder / "runs.jsonl").read_text("utf-8").splitlines() if line[:1] not in "<=>|"]
    (folder / "runs.jsonl").write_text("".join(f"{line}\n" for line in dict.fromkeys(lines)), "utf-8")
    try:
        _git(folder, "add", "runs.jsonl")
        _git(folder, "-c", "core.editor=true", "rebase", "--continue")
    except subprocess.CalledProcessError:
        return False
    return True


def _write_row(url: str, number: int) -> int:
    from mlops_ci.store import Store  # noqa: PLC0415

    with Store.open(url) as store:
        _wait()
        store.append([_record(number)])
    return 1


def _wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


WRITERS: dict[str, Callable[[str, int], int]] = {"refs": _write_ref, "file": _write_line, "sql": _write_row}


def _clones(folder: Path, count: int) -> list[str]:
    _git(folder, "init", "-q", "--bare", "--initial-branch=main", "origin.git")
    first = folder / "0"
    _git(folder, "clone", "-q", "origin.git", str(first))
    (first / "runs.jsonl").write_text("{}\n", "utf-8")
    _git(first, "add", ".")
    _git(first, "commit", "-qm", "start")
    _git(first, "push", "-q", "origin", "HEAD:main")
    for number in range(1, count):
        _git(folder, "clone", "-q", "origin.git", str(folder / str(number)))
    return [str(folder / str(number)) for number in range(count)]


def _environment() -> dict[str, str]:
    who = {f"GIT_{role}_{what}": "benchmark" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, **who, "GIT_CONFIG_GLOBAL": os.devnull}


def _git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=folder, env=_environment(), capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    print(WRITERS[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
