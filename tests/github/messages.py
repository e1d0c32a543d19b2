"""A request to GitHub and its answer, as the testbed hands them about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Request:
    """
    One request.

    Attributes:
        path: As it was sent, percent-encoding included, without the query.
        headers: Names in lower case.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def body(self) -> Any:
        """The JSON that was sent, None where there was none."""
        try:
            return json.loads(self.data) if self.data else None
        except ValueError:
            return None


@dataclass(frozen=True)
class Reply:
    """One answer; *body* is sent as JSON, unless it is bytes or None."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def refusal(status: int, message: str, url: str = "https://docs.github.com/rest") -> Reply:
    """An error as GitHub words it."""
    return Reply(status, {"message": message, "documentation_url": url, "status": str(status)})


def page(request: Request, entries: list[Any], url: str) -> tuple[list[Any], dict[str, str]]:
    """The page of *entries* that is asked for, and the header that leads to the others; *url* is the API's root."""
    size = min(max(int(request.params.get("per_page") or 30), 1), 100)
    number = max(int(request.params.get("page") or 1), 1)
    last = max(-(-len(entries) // size), 1)
    rest = "".join(f"&{name}={value}" for name, value in parse_qsl(request.query) if name not in {"per_page", "page"})
    place = f"{url}{request.path}?per_page={size}{rest}&page="
    links = []
    if number > 1:
        links += [f'<{place}{number - 1}>; rel="prev"', f'<{place}1>; rel="first"']
    if number < last:
        links += [f'<{place}{number + 1}>; rel="next"', f'<{place}{last}>; rel="last"']
    shown = entries[(number - 1) * size : number * size]
    return shown, {"link": ", ".join(links)} if links else {}
