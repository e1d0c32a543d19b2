"""What every test may rely on: git without anybody's configuration, and no CI around it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from mlops_ci.errors import MlopsCIError
from tests.github.fixtures import emulator, github, make_github
from tests.repositories import ENVIRONMENT, make_clone

__all__ = ["emulator", "github", "make_github"]

# How long an example takes says something about the machine, and nothing about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    """Show the hint of an error of ours that a test did not expect."""
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, MlopsCIError) and error.hint:
        error.add_note(error.hint)


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("GIT_", "GITHUB_", "MLOPS_")) and not name.startswith("GIT_SSL"):
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A clone with one pushed commit; its remote is `origin.git` beside it."""
    return make_clone(tmp_path)
