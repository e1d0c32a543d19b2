"""
The fixtures of the testbed.

`tests/conftest.py` imports them for every test: nothing is started, and no package of the testbed imported, before a
test asks.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.github.emulator import Emulator
    from tests.github.gateway import GitHubServer


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """The stateful peer, one for each process of the tests, in however many folders this is imported."""
    from tests.github.emulator import running  # noqa: PLC0415  # when a test asks

    yield running()
    running().stop()


@pytest.fixture
def make_github(emulator: Emulator) -> Iterator[Callable[..., GitHubServer]]:
    """Make a `GitHubServer`, with options; what was asked or answered against GitHub's description fails the test."""
    from tests.github.gateway import GitHubServer  # noqa: PLC0415  # when a test asks

    made: list[GitHubServer] = []

    def make(**options: Any) -> GitHubServer:
        made.append(GitHubServer(emulator, options.pop("name", f"churn-{secrets.token_hex(4)}"), **options))
        return made[-1]

    yield make
    for server in made:
        server.close()
    unexpected = [line for server in made for line in server.unexpected()]
    assert not unexpected, "\n".join(unexpected)


@pytest.fixture
def github(make_github: Callable[..., GitHubServer]) -> GitHubServer:
    """GitHub with an empty repository of the test's own."""
    return make_github()
