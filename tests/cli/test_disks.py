"""Disks that are full or read-only: nothing recorded is lost, and what training left is recorded when there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Workplace

FILLS = """
import pathlib
import mlops_ci as mlops

with mlops.start_run() as run:
    run.log_metrics({"accuracy": 0.9})
with pathlib.Path("../fill").open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 512)
    except OSError:
        pass
"""
# In a mount namespace of its own, with a file system of four megabytes; a user namespace where one is needed for that.
SMALL_DISK = """
set -e
mkdir disk && mount -t tmpfs -o size=4m tmpfs disk
git clone --quiet origin.git disk/work && cd disk/work
git checkout --quiet origin/main
{steps}
"""


@pytest.fixture
def small(project: Workplace) -> Workplace:
    project.commit({"train.py": FILLS})
    project.push()
    return project


def on_a_small_disk(place: Workplace, steps: str) -> str:
    """Run *steps* in a clone on a small disk, and return all that was said."""
    command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "sh", "-c"]
    script = SMALL_DISK.format(steps=steps.replace("mlops-ci", f"{sys.executable} -m mlops_ci"))
    done = subprocess.run(
        [*command, script], cwd=place.remote.parent, env=place.env, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_run_that_fills_the_disk_is_recorded_when_there_is_room(small: Workplace) -> None:
    said = on_a_small_disk(
        small,
        """
        code=0; mlops-ci run || code=$?
        echo "first $code"
        code=0; mlops-ci sync || code=$?
        echo "again $code"
        rm ../fill
        mlops-ci sync
        mlops-ci runs --json > ../../runs.json
        """,
    )
    assert "first 3" in said
    assert "again 3" in said
    assert "make room" in said
    [run] = json.loads((small.remote.parent / "runs.json").read_text("utf-8"))
    assert (run["entity"]["status"], run["entity"]["metrics"]["accuracy"]["last"]) == ("finished", 0.9)


def test_a_read_only_disk_is_said_and_nothing_is_lost(small: Workplace) -> None:
    said = on_a_small_disk(
        small,
        """
        mlops-ci run > /dev/null || rm ../fill
        mlops-ci sync
        mount -o remount,ro ../
        for command in "run" "gate"; do
          code=0; mlops-ci $command || code=$?
          echo "$command ends with $code"
        done
        mount -o remount,rw ../
        mlops-ci runs --json > ../../runs.json
        """,
    )
    assert "run ends with 2" in said
    assert "gate ends with 3" in said
    assert "Read-only file system" in said
    assert len(json.loads((small.remote.parent / "runs.json").read_text("utf-8"))) == 1


def test_the_remote_has_it_all(small: Workplace, tmp_path: Path) -> None:
    """What was sent from a disk that is gone is known everywhere."""
    on_a_small_disk(small, "mlops-ci run > /dev/null || rm ../fill; mlops-ci sync")
    del tmp_path
    assert len(json.loads(small.run("runs", "--json"))) == 1
