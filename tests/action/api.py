"""
As much of GitHub's API as the action's own tests need: it takes what it is sent, writes it down, and knows nothing.

What the API is told, and what it answers, is tested in tests/github against better peers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Api:
    """
    The server at *url*.

    Attributes:
        answers: What GET answers for a path that ends so; otherwise an empty list.
        sent: What it was sent: method, path, token and body.
    """

    url: str
    answers: dict[str, Any] = field(default_factory=lambda: {"/check-runs": {"total_count": 0, "check_runs": []}})
    sent: list[tuple[str, str, str, Any]] = field(default_factory=list)

    def told(self, path: str) -> list[Any]:
        """What was posted to paths that end so."""
        return [body for method, where, _, body in self.sent if method in {"POST", "PATCH"} and where.endswith(path)]


class _Server(ThreadingHTTPServer):
    api: Api


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.answer(200)

    def do_POST(self) -> None:
        self.answer(201)

    def do_PATCH(self) -> None:
        self.answer(200)

    def answer(self, status: int) -> None:
        api, path = self.server.api, self.path.partition("?")[0]
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else None
        api.sent.append((self.command, path, self.headers.get("Authorization", "").rpartition(" ")[2], body))
        made = {
            "id": len(api.sent),
            "url": f"{api.url}{path}/1",
            "html_url": f"https://github.com{path}#1",
            **(body or {}),
        }
        found = next((known for end, known in api.answers.items() if path.endswith(end)), [])
        content = json.dumps(made if self.command != "GET" else found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def serve() -> Iterator[Api]:
    """Serve it on this machine while the block runs."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.api = Api(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.api
        finally:
            server.shutdown()
            thread.join()
