"""A git host over HTTP: `git http-backend` behind Python's own server, which may be told to say no."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.repositories import ENVIRONMENT


@dataclass
class Host:
    """Serves the repositories below *folder* at *url*; while *refusing* is set, every push is answered with it."""

    folder: Path
    url: str
    refusing: int = 0
    pushes: list[int] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    host: Host


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        host, body = self.server.host, self.body()
        if "git-receive-pack" in self.path:
            host.pushes.append(host.refusing or 200)
            if host.refusing:
                self.send_error(host.refusing)
                return
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=self.environment(body), capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def environment(self, body: bytes) -> dict[str, str]:
        path, _, query = self.path.partition("?")
        return {
            **os.environ,
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.server.host.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "somebody",
        }

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
        del format, args


@contextmanager
def serving(folder: Path) -> Iterator[Host]:
    """Serve until the block ends."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.host = Host(folder, f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.host
        finally:
            server.shutdown()
            thread.join()
