"""docs/queries.md: every filter on it is read, and every command and the Python on it work on real runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_ci.store import filters
from tests.docs.pages import ROOT, blocks, commands, section, text_of
from tests.repositories import commit, make_clone

PAGE = ROOT / "docs/queries.md"
TRAIN = """
import sys
import mlops_ci as mlops

accuracy = float(sys.argv[1])
with mlops.start_run() as run:
    run.log_params({"model": "rf", "depth": 5})
    run.log_metrics({"accuracy": accuracy, "log_loss": 1 - accuracy})
    run.set_tag("team", "search")
"""
CONFIG = """\
project: churn
store: sqlite:///mlops.db
run:
  command: python train.py 0.9
gates:
  - metric: accuracy
    min: 0.8
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = make_clone(tmp_path_factory.mktemp("queries"))
    commit(work, {"train.py": TRAIN, "mlops.yaml": CONFIG, ".gitignore": "mlops.db*\n*.csv\n"})
    for accuracy in ("0.85", "0.95"):
        run(work, "-m", "mlops_ci", "run", "--", sys.executable, "train.py", accuracy)
    return work


def run(place: Path, *words: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "CI"))}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=place,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("text", [line for block in blocks(text_of(PAGE), "") for line in block.splitlines()])
def test_every_filter_on_the_page_is_read(text: str) -> None:
    assert filters.parse(text) != filters.parse("")


def test_every_command_on_the_page_works(place: Path) -> None:
    for command in commands(text_of(PAGE)):
        program, *words = shlex.split(command.line)
        assert program == "mlops-ci"
        assert run(place, "-m", "mlops_ci", *words)
    assert "0.95" in (place / "runs.csv").read_text()


def test_the_python_on_the_page_works(place: Path) -> None:
    [code] = blocks(section(PAGE, "From Python"), "python")

    said = run(place, "-c", f"{code}\nprint(len(rows), *best)")

    count, _, accuracy, model = said.split()
    assert (count, accuracy, model) == ("2", "0.95", "rf")
