"""The load generator, a real process, against a real server that answers rightly, wrongly or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from mlops_ci.lifecycle.serving import load


class Service(BaseHTTPRequestHandler):
    """Answers with `predictions`, and `status`; every request is counted."""

    protocol_version = "HTTP/1.1"
    predictions: ClassVar[Any] = [0.5]
    status: ClassVar[int] = 200
    asked: ClassVar[list[bytes]] = []
    connections: ClassVar[set[Any]] = set()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append(body)
        self.connections.add(self.client_address)
        text = json.dumps({"predictions": self.predictions, "model": "m"}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def measure(port: int, *connections: int) -> list[dict[str, Any]]:
    orders = [
        {
            "host": "127.0.0.1",
            "port": port,
            "body": '{"records": [1]}',
            "predictions": [0.5],
            "connections": count,
            "warm_s": 0.05,
            "seconds": 0.2,
            "grace_s": 0.1,
        }
        for count in connections
    ]
    lines = "".join(json.dumps(order) + "\n" for order in orders)
    done = subprocess.run(
        [sys.executable, "-I", load.__file__], input=lines, capture_output=True, text=True, check=True, timeout=60
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_asks_over_connections_that_stay_open() -> None:
    handler = type("Right", (Service,), {"asked": [], "connections": set()})
    with served(handler) as port:
        one, four = measure(port, 1, 4)
    assert one["fault"] == four["fault"] == ""
    assert one["rps"] > 0
    assert 0 < one["p50_ms"] <= one["p99_ms"]
    assert len(handler.connections) == 5  # type: ignore[attr-defined]
    assert set(handler.asked) == {b'{"records": [1]}'}  # type: ignore[attr-defined]
    assert one["answers"] + four["answers"] <= len(handler.asked)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"predictions": [0.6]}, 'it answered 200: {"predictions": [0.6]'),
        ({"predictions": [0.5, 0.5]}, "it answered 200"),
        ({"status": 503}, "it answered 503"),
    ],
)
def test_an_answer_that_is_not_right_is_a_fault(changes: dict[str, Any], fault: str) -> None:
    with served(type("Wrong", (Service,), changes)) as port:
        (found,) = measure(port, 2)
    assert found["fault"].startswith(fault)
    assert found["answers"] == 0


def test_the_last_digits_do_not_count() -> None:
    with served(type("Other", (Service,), {"predictions": [0.5000001]})) as port:
        (found,) = measure(port, 1)
    assert found["fault"] == ""


class Silent(Service):
    """Takes requests and closes the connection."""

    def do_POST(self) -> None:
        self.close_connection = True


def test_a_connection_that_breaks_off_is_a_fault() -> None:
    with served(Silent) as port:
        (found,) = measure(port, 1)
    assert found["fault"].startswith("it broke a connection off")


def test_nobody_there_is_a_fault() -> None:
    with served(Silent) as port:
        pass
    (found,) = measure(port, 1)
    assert found["fault"].startswith("it takes no connection")
