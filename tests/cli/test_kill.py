"""A kill at any moment loses nothing that was logged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mlops_ci
from tests.cli.conftest import Workplace

SLOW = """
import pathlib, time
import mlops_ci as mlops

with mlops.start_run() as run:
    run.log_params({"C": 1})
    for step in range(10_000):
        run.log_metric("loss", 1 / (step + 1), step=step)
        pathlib.Path("progress.out").write_text(str(step))
        time.sleep(0.01)
"""


def start(project: Workplace) -> subprocess.Popen[bytes]:
    """Start a long training and wait until it logs."""
    project.commit({"train.py": SLOW})
    command = [sys.executable, "-m", "mlops_ci", "run"]
    process = subprocess.Popen(command, cwd=project.root, env=project.env, start_new_session=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (project.root / "progress.out").exists():
        time.sleep(0.05)
    return process


def children_of(process: subprocess.Popen[bytes]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def acknowledged(project: Workplace) -> int:
    return int((project.root / "progress.out").read_text() or 0)


def recorded(project: Workplace) -> dict[str, object]:
    (run,) = json.loads(project.run("runs", "--json"))
    found: dict[str, object] = run["entity"]
    return found


def test_a_killed_run_is_taken_in_by_the_next_command(project: Workplace) -> None:
    process = start(project)
    children = children_of(process)
    process.kill()
    process.wait()
    for child in children:
        os.kill(child, signal.SIGKILL)
    assert "took in 1 run" in project.run("sync")
    run = recorded(project)
    assert (run["status"], run["params"]) == ("killed", {"C": 1})
    assert run["metrics"]["loss"]["count"] >= acknowledged(project)
    assert "took in 0 runs" in project.run("sync")


def test_a_run_whose_training_goes_on_is_left_alone(project: Workplace) -> None:
    process = start(project)
    children = children_of(process)
    process.kill()
    process.wait()
    assert "took in 0 runs" in project.run("sync")
    for child in children:
        os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and "took in 1 run" not in project.run("sync"):
        time.sleep(0.2)
    assert recorded(project)["status"] == "killed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_end_reaches_the_training_and_is_recorded_at_once(project: Workplace, number: int) -> None:
    process = start(project)
    os.kill(process.pid, number)
    assert process.wait(timeout=60) == 5
    run = recorded(project)
    assert run["status"] == "failed"
    assert run["metrics"]["loss"]["count"] >= acknowledged(project)


def test_training_started_without_us_is_taken_in_too(project: Workplace) -> None:
    link = project.root.parent / "python"
    link.mkdir()
    (link / "mlops_ci").symlink_to(Path(mlops_ci.__file__).parent)
    subprocess.run(
        [sys.executable, "train.py"], cwd=project.root, env={**project.env, "PYTHONPATH": str(link)}, check=True
    )
    assert "took in 1 run" in project.run("sync")
    run = recorded(project)
    assert (run["status"], run["git"]["dirty"], run["params"]) == ("finished", False, {"accuracy": 0.9})
    project.run("gate")


def test_training_started_without_us_is_no_baseline_once_head_has_moved(project: Workplace) -> None:
    subprocess.run([sys.executable, "train.py"], cwd=project.root, env=project.env, check=True)
    time.sleep(0.05)
    project.commit({"note": "x"})
    project.run("sync")
    run = recorded(project)
    assert run["git"]["dirty"] is True
    assert "HEAD moved" in run["warnings"][0]


def test_a_polite_end_reaches_what_a_shell_has_started(project: Workplace) -> None:
    config = "project: churn\nrun: {command: echo hi && python train.py && echo done}\n"
    project.commit({"mlops.yaml": config})
    process = start(project)
    process.terminate()
    process.wait(timeout=60)
    before = acknowledged(project)
    time.sleep(0.3)
    assert acknowledged(project) == before
