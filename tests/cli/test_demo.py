"""`mlops-ci demo`: the whole loop, twice in one folder, and nothing that stays behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import processes_of


@pytest.mark.xdist_group("demo")
@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.full)])
def test_the_demo_walks_the_whole_loop_and_can_be_repeated(tmp_path: Path, times: int) -> None:
    """It shows a failed gate and a refusal, leaves the comment, and ends what it started."""
    folder = tmp_path / "demo"
    for _ in range(times):
        done = demo(folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(re.findall(r"exit code (\d+)", done.stdout)) == {"1", "4"}
        assert "Traceback" not in done.stdout + done.stderr
        assert "ready to merge" in (folder / "comment.md").read_text("utf-8")
        assert (folder / "comment.html").read_text("utf-8").startswith("<!doctype html>")
        assert not processes_of(folder)
        (folder / "comment.md").write_text("of the first time", "utf-8")


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    """What is in it may be somebody's work."""
    (tmp_path / "thesis.tex").touch()
    done = demo(tmp_path)
    assert done.returncode != 0
    assert "name another folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it as a person does, in a terminal that is none."""
    env = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "mlops_ci", "demo", folder]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
