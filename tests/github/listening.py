"""Listening on this machine: connections that can be ended, requests that are read whole, answers that may be cut."""

from __future__ import annotations

import socket
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.github.messages import Reply, Request

_BODILESS = {204, 302, 304}


class Server(ThreadingHTTPServer):
    """A server that ends its connections, and waits for the threads that had them."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, *asked: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*asked)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One connection; `handled` answers each of its requests."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def handled(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        with suppress(ConnectionError):
            self.handled()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815

    def asked(self) -> Request:
        path, _, query = self.path.partition("?")
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        return Request(self.command, path, query, {name.lower(): value for name, value in self.headers.items()}, data)

    def say(self, reply: Reply, *, cut: bool = False) -> None:
        data = b"" if reply.status in _BODILESS else reply.data
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json; charset=utf-8", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data) + (16 if cut and not data else 0)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut

    def log_message(self, *_: object) -> None:
        pass
