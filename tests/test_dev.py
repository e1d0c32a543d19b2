"""`./dev` says what there is, makes its environment once, and mends one that was interrupted."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

DEV = Path(__file__).resolve().parents[1] / "dev"
PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "tiny"
version = "1"
[tool.hatch.build.targets.wheel]
packages = ["tiny"]
[dependency-groups]
test = []
"""

pytestmark = pytest.mark.xdist_group("packaging")


def run(dev: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(dev), *arguments], capture_output=True, text=True, check=False)


def test_alone_it_lists_its_commands_with_a_line_each() -> None:
    """Six commands; nothing is installed for it."""
    done = run(DEV)
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [line[0] for line in lines] == ["demo", "test", "lint", "bench", "docs", "lock"]
    assert all(len(line) > 3 for line in lines)


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    """Exit code 2, and no traceback."""
    done = run(DEV, "tset")
    assert done.returncode == 2
    assert "did you mean test?" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_parses_on_older_pythons() -> None:
    """So that they can be told which one is needed."""
    ast.parse(DEV.read_text("utf-8"), feature_version=(3, 7))


@pytest.mark.full
def test_an_environment_is_made_once_and_mended_when_broken(tmp_path: Path) -> None:
    """The first call installs, the second is silent, and one after an interruption installs again."""
    dev = tmp_path / "dev"
    dev.write_bytes(DEV.read_bytes())
    for name, text in {"pyproject.toml": PROJECT, "tiny/__init__.py": "", "docs/generate.py": "import tiny"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    first, second = run(dev, "docs"), run(dev, "docs")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "installing what `./dev docs` needs" in first.stderr
    assert second.stderr == ""
    (tmp_path / ".venv" / "installed.json").unlink()
    (tmp_path / ".venv" / "bin" / "uv").write_text("half a program", "utf-8")
    third = run(dev, "docs")
    assert third.returncode == 0, third.stderr
    assert "installing what `./dev docs` needs" in third.stderr
