"""A small project in a real clone, and the real command to run in it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.commands import run_command
from tests.repositories import clone, commit, git, make_clone

TRAIN = """
import json, pathlib, sys
import mlops_ci as mlops

params = json.loads(pathlib.Path("params.json").read_text())
with mlops.start_run() as run:
    run.log_params(params)
    run.log_metrics({"accuracy": params["accuracy"], "log_loss": 1 - params["accuracy"]})
"""

CONFIG = """\
project: churn
run:
  command: python train.py
gates:
  - metric: accuracy
    min: 0.8
    max_drop: 0.01
"""

FILES = {
    "train.py": TRAIN,
    "params.json": '{"accuracy": 0.9}',
    "mlops.yaml": CONFIG,
    ".gitignore": "*.out\n",
}


@dataclass(frozen=True)
class Workplace:
    """A clone, and how a person works in it."""

    root: Path
    env: dict[str, str]

    def run(self, *args: str, expect: int = 0, **variables: str) -> str:
        """Run `mlops-ci` with *args*; its output and its complaints, if it ends with the code that is expected."""
        done = run_command(args, self.root, {**self.env, **variables})
        said = done.stdout + done.stderr
        assert done.returncode == expect, f"{args} ended with {done.returncode}:\n{said}"
        assert "Traceback" not in done.stderr or "train.py" in done.stderr, said
        return said

    def commit(self, files: dict[str, str] | None = None, *, branch: str = "") -> str:
        """Commit *files*, on a new *branch* if one is named; the SHA."""
        if branch:
            git(self.root, "switch", "--quiet", "-c", branch)
        return commit(self.root, files or {})

    def push(self, *refs: str) -> None:
        """Push *refs*, or HEAD to main."""
        git(self.root, "push", "--quiet", "origin", *(refs or ("HEAD:main",)))

    def clone(self, name: str, *options: str) -> Workplace:
        """The same remote in a fresh clone, as a CI job sees it."""
        return Workplace(clone(self.remote, self.root.parent / name, *options), self.env)

    @property
    def remote(self) -> Path:
        """The bare repository."""
        return self.root.parent / "origin.git"


@pytest.fixture
def empty(tmp_path: Path) -> Workplace:
    """A clone without any file of ours."""
    return _workplace(make_clone(tmp_path), tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Workplace:
    """A clone with training script and configuration, pushed to main."""
    return _workplace(make_clone(tmp_path, FILES), tmp_path)


def _workplace(root: Path, tmp_path: Path) -> Workplace:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    env = {**os.environ, "PATH": path, "MLOPS_STATE_HOME": str(tmp_path / "state"), "NO_COLOR": "1", "COLUMNS": "120"}
    return Workplace(root, env)
