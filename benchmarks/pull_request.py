"""
What the step of a pull request costs on a git ledger, by how much was recorded before: bytes, connections, commands.

Each step runs in a fresh clone, as in CI: `mlops-ci run`, `gate` and `report` of a commit whose base was trained long
ago. The remote is a bare repository on this machine, behind a program that counts what passes.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks import generate, repositories
from benchmarks.repositories import MLOPS
from mlops_ci.git import Checkout
from mlops_ci.ledger.git.folded import TIP, Folded
from mlops_ci.ledger.git.folding import compose
from mlops_ci.records import Record
from tests.wire import Wire

_AT_ONCE = 2_000


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    wall_s: float
    connections: int
    received: int
    sent: int
    git_commands: int

    def __str__(self) -> str:
        kilobytes = f"{self.received / 1000:,.1f} kB in, {self.sent / 1000:,.1f} kB out"
        return f"{self.connections} connections, {kilobytes}, {self.git_commands} git commands, {self.wall_s:.2f} s"


def pull_request(folder: Path, counts: Sequence[int] = (1_000, 10_000, 100_000)) -> None:
    """Print the cost of a pull request's step with so many runs recorded before it."""
    work = repositories.make(folder / "made", store="git")
    (work / "log.py").write_text(_TRAINING, "utf-8")
    repositories.commit(work, "base")
    repositories.call([MLOPS, "-q", "run"], work)
    remote = work.parent / "origin.git"
    # A host packs when nobody waits for it.
    for name, value in (("uploadpack.allowFilter", "true"), ("receive.autogc", "false"), ("gc.auto", "0")):
        subprocess.run(["git", "config", name, value], cwd=remote, check=True)
    repositories.call([MLOPS, "-q", "sync", "--fold"], work)
    for number in range(4):
        repositories.commit(work, f"untrained {number}")
    print("the step of a pull request, in a fresh clone, by the number of runs recorded before (git ledger)")
    recorded = 1
    for count in counts:
        _fold(work, generate.runs(count - recorded, first=recorded))
        recorded = count
        subprocess.run(["git", "gc", "--quiet", "--prune=now"], cwd=remote, check=True)
        size_mb = sum(file.stat().st_size for file in remote.rglob("*") if file.is_file()) / 1e6
        print(f"  {count:,} runs; the remote has {size_mb:,.0f} MB")
        for name, cost in _step(folder / f"clone-{count}", remote).items():
            print(f"    {name:<14} {cost}", flush=True)


def _fold(work: Path, runs: Iterator[Record]) -> None:
    """Put *runs* into the ledger as folds would have done over the years, without a ref for each first."""
    folded = Folded(Checkout.find(work))
    while some := list(islice(runs, _AT_ONCE)):
        tip = folded.update()
        commit = compose(folded, some)
        folded.repository.push({TIP: commit}, replacing={TIP: tip})


def _step(clone: Path, remote: Path) -> dict[str, Cost]:
    subprocess.run(["git", "clone", "-q", str(remote), str(clone)], check=True)
    for name, value in (("user.name", "benchmark"), ("user.email", "benchmark@example.com")):
        subprocess.run(["git", "config", name, value], cwd=clone, check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "candidate"], cwd=clone, check=True)
    wire = Wire(clone, remote, clone.parent / f"{clone.name}-wire")
    commands = {"run": [MLOPS, "-q", "run"], "gate": [MLOPS, "gate"], "report": [MLOPS, "report", "-o", "report.md"]}
    return {name: _cost(command, clone, wire) for name, command in commands.items()}


def _cost(command: Sequence[str], clone: Path, wire: Wire) -> Cost:
    traces = clone.parent / f"{clone.name}-traces"
    traces.mkdir(exist_ok=True)
    for file in traces.iterdir():
        file.unlink()
    started = time.perf_counter()
    repositories.call(command, clone, {"GIT_TRACE2_EVENT": str(traces)})
    wall_s = time.perf_counter() - started
    passed = wire.connections()
    return Cost(
        wall_s,
        len(passed),
        sum(one.received for one in passed),
        sum(one.sent for one in passed),
        sum(1 for file in traces.iterdir() if _is_ours(file)),
    )


def _is_ours(trace: Path) -> bool:
    """Whether a trace is of a command that we ran, and not of one that git ran."""
    with trace.open(encoding="utf-8") as lines:
        return "/" not in json.loads(next(lines))["sid"]


_TRAINING = """
import mlops_ci as mlops
with mlops.start_run() as run:
    run.log_params({f"p{i}": i for i in range(20)})
    run.log_metrics({f"m{i}": i / 7 for i in range(20)})
"""
