"""Whole processes: what a person or a CI job waits for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.repositories import BIN, MLOPS, commit, environment, make
from benchmarks.timing import Command, interleave, ratio, table

OURS = """
import mlops_ci as mlops
with mlops.start_run() as run:
    run.log_params({f"p{i}": i for i in range(20)})
    run.log_metrics({f"m{i}": i / 7 for i in range(20)})
"""

THEIRS = """
import mlflow
with mlflow.start_run():
    mlflow.log_params({f"p{i}": i for i in range(20)})
    mlflow.log_metrics({f"m{i}": i / 7 for i in range(20)})
"""


def start(folder: Path) -> None:
    """`--version`, as a whole process."""
    env = dict(os.environ)
    ours = Command("mlops-ci --version", [MLOPS, "--version"], folder, env)
    floor = Command("python -c pass", [sys.executable, "-c", "pass"], folder, env)
    peer = Command("mlflow --version", [str(BIN / "mlflow"), "--version"], folder, env)
    found = interleave([ours, floor, peer], times=9)
    table("start", found)
    ratio("of python -c pass (at most 8)", found[ours.name], found[floor.name])
    ratio("faster than mlflow --version (at least 25)", found[peer.name], found[ours.name])


def log(folder: Path) -> None:
    """A run of 20 params and 20 metrics, as a whole process, on a store that exists."""
    env = environment()
    env["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    contenders = []
    for name, artifacts in (("a folder", f"{folder}/artifacts"), ("git, the default", "git")):
        work = make(folder / name, store="sqlite:///../log.db", artifacts=artifacts)
        (work / "log.py").write_text(OURS, "utf-8")
        commit(work, "script")
        words = [MLOPS, "-q", "run", "--", sys.executable, "log.py"]
        contenders.append(Command(f"mlops-ci run, artifacts: {name}", words, work, env))
    (folder / "log_mlflow.py").write_text(THEIRS, "utf-8")
    peer = Command("mlflow client", [sys.executable, "log_mlflow.py"], folder, env)
    contenders.append(peer)
    found = interleave(contenders, times=7)  # the turn that does not count makes the stores
    table("log a run of 20 params and 20 metrics (SQLite, existing store, whole process; aim 350 ms)", found)
    for ours in contenders[:2]:
        ratio(f"faster than mlflow's client: {ours.name} (aim 10)", found[peer.name], found[ours.name])


def gate(folder: Path) -> None:
    """`gate` and `report` on a warm clone, without training; the git ledger over a bare remote."""
    work = make(folder / "repository", store="git")
    (work / "log.py").write_text(OURS, "utf-8")
    for message in ("baseline", "candidate"):
        commit(work, message)
        Command("", [MLOPS, "-q", "run"], work, environment()).once()
    line = f"{MLOPS} gate > gate.out; {MLOPS} report -o report.md"
    both = Command("gate and report", ["sh", "-c", line], work, environment())
    one = Command("gate", [MLOPS, "gate"], work, environment())
    table("gate and report on a warm clone (aim: at most 600 ms of CPU)", interleave([both, one], times=9))
