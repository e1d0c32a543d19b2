"""The databases that contract tests meet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import MariaDB, PostgreSQL

DATABASES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("sqlite", "postgresql", "mysql")]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    server = PostgreSQL(synchronized=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mysql() -> Iterator[MariaDB]:
    server = MariaDB(synchronized=False)
    yield server
    server.stop()


def database_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of a fresh database of *kind*; a server is started the first time."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'mlops.db'}"
    server: PostgreSQL | MariaDB = request.getfixturevalue(kind)
    return server.fresh()


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of every kind."""
    return database_url(request.param, request, tmp_path)
