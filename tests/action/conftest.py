"""One runner for all of the action's tests, so that what a job leaves in the cache is there for the next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.action.api import Api, serve
from tests.action.place import Place


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner's; everything that outlives a job is in it."""
    return tmp_path_factory.mktemp("runner")


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH with uv in it, as some machines have one: fetching it takes seconds."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    return folder


@pytest.fixture
def api() -> Iterator[Api]:
    with serve() as served:
        yield served


@pytest.fixture
def place(tmp_path: Path, home: Path, api: Api, tools: Path) -> Place:
    return Place(tmp_path, home, api, tools)
