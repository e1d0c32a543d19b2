"""The interpreter of the training tells about itself."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_ci import digests
from mlops_ci.capture import environment
from mlops_ci.resources import PACKAGE


def test_the_probe_sees_what_the_interpreter_sees():
    """Its own packages, not ours."""
    found = environment.start(sys.executable, os.environ).result()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["implementation"] == "CPython"
    assert found["packages"]["scikit-learn"]
    assert list(found["packages"]) == sorted(found["packages"])


def test_another_interpreter_has_other_packages(tmp_path):
    """A bare virtual environment has none of ours."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    found = environment.start(str(tmp_path / "venv" / "bin" / "python"), os.environ).result()
    assert found["platform"]
    assert "msgspec" not in found["packages"]


def test_the_users_files_do_not_get_in_the_way(tmp_path, monkeypatch):
    """A `json.py` in the current folder is the user's."""
    (tmp_path / "json.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    assert environment.start(sys.executable, os.environ).result()["packages"]


@pytest.mark.parametrize("program", ["no-such-python", "false", "true"])
def test_no_answer_is_a_warning(program):
    """And the run is recorded without."""
    probe = environment.start(shutil.which(program) or program, os.environ)
    assert probe.result() == {}
    assert len(probe.warnings) == 1


def test_the_probe_reads_in_old_pythons():
    """It runs where the training runs."""
    ast.parse((PACKAGE / "capture" / "probe.py").read_text("utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["/opt/py/bin/python3.12", "train.py"], "/opt/py/bin/python3.12"),
        (["SEED=1", "/opt/py/python", "train.py"], "/opt/py/python"),
        (["env", "A=b", "/opt/py/python", "-m", "x"], "/opt/py/python"),
        (["make", "train"], shutil.which("python3")),
        (["./train.sh"], shutil.which("python3")),
        (["python-config"], shutil.which("python3")),
        ([], shutil.which("python3")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_first_words_tell_the_interpreter(command, expected):
    """Else it is the one on the path."""
    assert environment.interpreter_of(command) == expected


@pytest.mark.parametrize("runner", ["uv", "poetry", "pdm"])
def test_a_runner_uses_the_projects_environment(runner, tmp_path):
    """If there is one already."""
    command = [runner, "run", "python", "train.py"]
    assert environment.interpreter_of(command, tmp_path) == shutil.which("python3")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert environment.interpreter_of(command, tmp_path) == str(python)


def test_lock_files_are_named_by_digest(tmp_path: Path):
    """Those at the top."""
    for name in ("uv.lock", "requirements-dev.txt", "requirements.txt", "notes.txt"):
        (tmp_path / name).write_text(name)
    found = environment.lock_files(tmp_path)
    assert [file.path for file in found] == ["requirements-dev.txt", "requirements.txt", "uv.lock"]
    assert found[2].digest == digests.of_bytes(b"uv.lock")
