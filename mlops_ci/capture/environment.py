"""
The environment of the training: its interpreter, its packages, the project's lock files.

A small script is started in that interpreter and asked for later, so that it runs beside the training.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_ci import digests
from mlops_ci.entities import ArtifactRef
from mlops_ci.resources import PACKAGE

_SCRIPT = PACKAGE / "capture" / "probe.py"
_TIMEOUT_S = 60
_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?(\.exe)?", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")
_LOCK_FILES = (
    "requirements*.txt",
    "requirements*.lock",
    "pylock*.toml",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "pixi.lock",
    "conda-lock.yml",
    "environment.yml",
    "environment.yaml",
)


@dataclass
class Probe:
    """A question to an interpreter that is on its way; `warnings` says, after `result`, why there is no answer."""

    process: subprocess.Popen[bytes] | None
    warnings: list[str] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """Return python, implementation, platform and packages (name → version); {} if there is no answer."""
        if self.process is None:
            return {}
        try:
            output, _ = self.process.communicate(timeout=_TIMEOUT_S)
            found: dict[str, Any] = json.loads(output)
        except (subprocess.TimeoutExpired, ValueError):
            self.process.kill()
            self.process.communicate()
            self.warnings.append("the packages of the training's interpreter are not known: it did not answer")
            return {}
        return found


def start(python: str, env: Mapping[str, str]) -> Probe:
    """Ask the interpreter *python* about itself, in the environment *env*, without waiting for the answer."""
    try:
        process = subprocess.Popen(
            [python, str(_SCRIPT)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**env, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    except OSError as error:
        return Probe(None, [f"the packages of {python} are not known: {error.strerror}"])
    return Probe(process)


def interpreter_of(command: Sequence[str], root: Path | None = None) -> str:
    """
    Return the interpreter that *command* will use, as far as its first words tell.

    Args:
        command: The training command.
        root: Where it will run; `uv run` and `poetry run` use the environment there. Here unless given.
    """
    words = list(command)
    while words and (_ASSIGNMENT.fullmatch(words[0]) or words[0] == "env"):
        del words[0]
    runner = [Path(word).name for word in words[:2]]
    if runner in (["uv", "run"], ["poetry", "run"], ["pdm", "run"]):
        return _of_project(root or Path.cwd()) or _on_path()
    if words and _PYTHON.fullmatch(Path(words[0]).name):
        return shutil.which(words[0]) or words[0]
    return _on_path()


def lock_files(root: Path) -> list[ArtifactRef]:
    """Return the files at the top of *root* that pin or name dependencies, sorted by name."""
    found = {path for pattern in _LOCK_FILES for path in root.glob(pattern) if path.is_file()}
    return [digests.reference(path, path.name) for path in sorted(found)]


def _of_project(root: Path) -> str:
    """The interpreter of the project's own virtual environment, or ""."""
    environment = root / os.environ.get("UV_PROJECT_ENVIRONMENT", ".venv")
    places = (environment / "bin" / "python", environment / "Scripts" / "python.exe")
    return next((str(path) for path in places if path.exists()), "")


def _on_path() -> str:
    return shutil.which("python3") or shutil.which("python") or sys.executable
