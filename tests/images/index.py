"""A package index of one's own, with a password: it shows the pages of the one that this machine uses."""

from __future__ import annotations

import base64
import re
import ssl
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urljoin


def upstream() -> str:
    """The index that uv uses on this machine, as it says itself."""
    asked = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--emit-index-url", "--no-header", "-"]
    done = subprocess.run(asked, input="six", capture_output=True, text=True, check=True)
    return done.stdout.split()[1].rstrip("/")


class Index:
    """Answers `robot` with *password*, at *address*; nobody else."""

    def __init__(self, address: str, password: str) -> None:
        wanted = "Basic " + base64.b64encode(f"robot:{password}".encode()).decode()
        served, origin = set[str](), upstream()
        self.served = served

        class Answer(BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.headers.get("authorization") != wanted:
                    self._answer(401, b"", {"WWW-Authenticate": "Basic realm=tests"})
                    return
                served.add(self.path.strip("/").rpartition("/")[2])
                page = origin + self.path.removeprefix("/simple")
                request = urllib.request.Request(page, headers={"accept": "text/html"})
                with urllib.request.urlopen(request, timeout=60, context=ssl.create_default_context()) as found:
                    text = found.read().decode()
                links = re.sub(r'href="([^"]+)"', lambda link: f'href="{urljoin(page, link[1])}"', text)
                self._answer(200, links.encode(), {"content-type": "text/html"})

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((address, 0), Answer)
        self.host = f"{address}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
