"""The tests of a framework are collected in its environment alone, where `test_environments.py` runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flavors.environment import FLAVORS, ROOT

HERE = os.environ.get("MLOPS_TEST_FLAVOR")
collect_ignore_glob = [f"test_{flavor}*.py" for flavor in FLAVORS if flavor != HERE]

ASK = """
import json, sys, warnings
warnings.simplefilter("error")
warnings.simplefilter("ignore", DeprecationWarning)
sys.modules["mlops_ci"] = None
from importlib import import_module
from pathlib import Path
flavor = import_module("flavors." + sys.argv[1])
loaded = flavor.load(Path("model"))
answers = [flavor.predict(loaded, records) for records in json.load(sys.stdin)]
print("answers:", json.dumps(answers, allow_nan=False))
"""


def _ask(folder: Path, flavor: str, *requests: list[Any], then: str = "") -> Any:
    """Ask the model in *folder* as its service does: with copies of the modules, in a fresh process, without ours."""
    place = folder.parent / "flavors"
    place.mkdir(exist_ok=True)
    (place / "__init__.py").write_text('"""The flavor of this service\'s model."""\n')
    for name in ("tables", "tensors", flavor):
        shutil.copyfile(ROOT / "mlops_ci" / "flavors" / f"{name}.py", place / f"{name}.py")
    done = subprocess.run(
        [sys.executable, "-c", ASK + then, flavor],
        cwd=folder.parent,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    lines = done.stdout.splitlines()
    told = next(line for line in lines if line.startswith("answers: "))
    answers = json.loads(told.removeprefix("answers: "))
    return (answers, lines[lines.index(told) + 1 :]) if then else answers


@pytest.fixture
def ask() -> Callable[..., Any]:
    """How a service asks a saved model: the answers to each request."""
    return _ask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The empty folder of a model."""
    made = tmp_path / "model"
    made.mkdir()
    return made
