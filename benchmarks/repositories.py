"""A repository to measure in, and the environment that commands get there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
MLOPS = str(BIN / "mlops-ci")


def make(folder: Path, *, store: str, artifacts: str = "git") -> Path:
    """A clone of a bare remote, with a configuration."""
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", "origin.git"], cwd=folder, check=True)
    subprocess.run(["git", "clone", "-q", "origin.git", "work"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    work = folder / "work"
    for name, value in (("user.name", "benchmark"), ("user.email", "benchmark@example.com")):
        subprocess.run(["git", "config", name, value], cwd=work, check=True)
    config = f"project: bench\nstore: {store}\nartifacts: {artifacts}\nrun: {{command: python log.py}}\n"
    config += "gates: [{metric: m3, min: 0, max_drop: 5%}]\n"
    (work / "mlops.yaml").write_text(config, "utf-8")
    (work / ".gitignore").write_text("*.out\nreport.md\n", "utf-8")
    return work


def commit(work: Path, message: str) -> None:
    """Commit whatever there is, and push it."""
    subprocess.run(["git", "add", "."], cwd=work, check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", message], cwd=work, check=True)
    subprocess.run(["git", "push", "-q", "origin", "HEAD:main"], cwd=work, check=True)


def call(command: Sequence[str], work: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end; whoever measures is not interested in what it prints."""
    subprocess.run(command, cwd=work, env={**environment(), **(env or {})}, check=True, capture_output=True)


def environment() -> dict[str, str]:
    """Ours, with the environment's own `python` first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "MLOPS_", "MLFLOW_"))}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept.get('PATH', '')}"}
