"""For the tests of this folder: a pull request, and a way to ask that knows nothing of clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from tests.github.gateway import GitHubServer

__all__ = ["Ask", "ask", "number"]

Ask = Callable[..., requests.Response]


@pytest.fixture
def ask(github: GitHubServer) -> Iterator[Ask]:
    """Send one request as the workflow does."""
    with requests.Session() as session:

        def send(
            method: str, path: str, body: Any = None, *, token: str = "", timeout: float = 20
        ) -> requests.Response:
            token = token or github.token(
                permissions={"pull-requests": "write", "checks": "write", "statuses": "write"}
            )
            headers = {"authorization": f"Bearer {token}"}
            place = path if path.startswith("/") else f"/repos/{github.repository}/{path}".rstrip("/")
            return session.request(
                method, github.url + place, json=body, headers=headers, timeout=timeout, allow_redirects=False
            )

        yield send


@pytest.fixture
def number(github: GitHubServer) -> int:
    """Of an open pull request."""
    return github.open_pull_request(head_sha="a" * 40, base_sha="b" * 40)
