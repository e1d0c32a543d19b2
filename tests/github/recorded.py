"""
What GitHub really answered: the traffic that PyGithub's source distribution carries for its own tests.

It is downloaded once into the environment that the tests run in, verified, and only read. `Replay` is a server on
this machine that gives those answers again, headers included.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME, VERSION = "PyGithub", "2.10.0"
SHA256 = "90ff24ef1cd1bd57124c2a3869cafee9d7b066909129ecdaba2c2d1903bc118d"
_FOLDER = f"pygithub-{VERSION}/tests/ReplayData"
_LINES = 11  # of an exchange, the empty one after it included
_NOT_SENT_AGAIN = {"transfer-encoding", "content-encoding", "content-length", "connection", "status"}


@dataclass(frozen=True)
class Exchange:
    """A request and its answer; header names are in lower case."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text) if self.text else None


class Recorded:
    """The exchanges of each of PyGithub's tests."""

    def __init__(self) -> None:
        with tarfile.open(archive()) as tar:
            members = [member for member in tar if member.name.startswith(f"{_FOLDER}/") and member.isfile()]
            self._texts = {Path(member.name).stem: _text(tar, member) for member in members}

    @functools.cached_property
    def all(self) -> list[Exchange]:
        return [exchange for name in sorted(self._texts) for exchange in self.of(name)]

    def of(self, name: str) -> list[Exchange]:
        """The exchanges of the test *name*; those of files are left out."""
        lines = self._texts[name].split("\n")
        starts = range(0, len(lines) - _LINES + 1, _LINES)
        return [found for start in starts if (found := _exchange(lines[start : start + _LINES]))]

    def one(self, name: str, method: str, path: str) -> Exchange:
        """The exchange of *name* whose path ends in *path*."""
        return next(found for found in self.of(name) if found.method == method and found.path.endswith(path))


class Replay:
    """GitHub as it was: the answer to a method and a path is that of the exchange that was given for it."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Exchange] = {}
        self.seen: list[tuple[str, str]] = []
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                replay._answer(self)

            do_POST = do_PATCH = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def give(self, exchange: Exchange, path: str | None = None) -> None:
        """Answer as *exchange* from now on, at its own path or at *path*."""
        moved = exchange if path is None else replace(exchange, path=path)
        self._answers[moved.method, moved.path.partition("?")[0]] = moved

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        self.seen.append((handler.command, path))
        nothing = Exchange(handler.command, path, 404, {}, '{"message":"Not Found"}')
        answer = self._answers.get((handler.command, path), nothing)
        data = answer.text.encode()
        with suppress(ConnectionError):
            handler.send_response_only(answer.status)
            for name, value in answer.headers.items():
                if name not in _NOT_SENT_AGAIN:
                    handler.send_header(name, value)
            handler.send_header("content-length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)


def archive() -> Path:
    """The source distribution; downloaded by the first who asks."""
    folder = Path(sys.prefix) / "recorded"
    found = folder / f"{NAME.lower()}-{VERSION}.tar.gz"
    if not found.exists():
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            uv = str(Path(sys.executable).with_name("uv"))
            get = [
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--no-binary",
                NAME,
                f"{NAME}=={VERSION}",
                "--dest",
                aside,
            ]
            subprocess.run([uv, "tool", "run", *get], check=True)
            Path(aside, found.name).replace(found)
    assert hashlib.sha256(found.read_bytes()).hexdigest() == SHA256, f"{found} is not what it was"
    return found


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    assert file
    return file.read().decode("utf-8")


def _exchange(lines: list[str]) -> Exchange | None:
    if not lines[7].isdecimal():
        return None
    headers = {name.lower(): value for name, value in ast.literal_eval(lines[8])}
    return Exchange(lines[1], lines[4], int(lines[7]), headers, lines[9])
