"""A door in front of the API server, which can be shut; and kubeconfigs that lead through it, or have fewer rights."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


class Door:
    """Passes connections on to *server* ("https://host:port") while it is open; shut, it cuts them and takes none."""

    def __init__(self, server: str) -> None:
        place = urlsplit(server)
        self._to = (str(place.hostname), place.port or 443)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._ended = False
        self._pairs: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._begin(self._take)

    def shut(self) -> None:
        """Cut every connection; who comes now is turned away."""
        self._open.clear()
        for each in self._pairs:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let them in again."""
        self._open.set()

    def end(self) -> None:
        """For good."""
        self._ended = True
        self.shut()
        for thread in self._threads:
            thread.join(10)
        for each in (*self._pairs, self._listener):
            each.close()

    def _begin(self, target: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _take(self) -> None:
        while not self._ended:
            try:
                found, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            found.settimeout(None)
            if not self._open.is_set():
                found.close()
                continue
            try:
                beyond = socket.create_connection(self._to, timeout=10)
            except OSError:
                found.close()
                continue
            beyond.settimeout(None)
            self._pairs += [found, beyond]
            for pair in ((found, beyond), (beyond, found)):
                self._begin(_pass_on, *pair)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def read(kubeconfig: Path) -> dict[str, Any]:
    """What a kubeconfig says, with the certificates that it names in it."""
    found: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
    for holder, keys in ((found["clusters"][0]["cluster"], CLUSTER_FILES), (found["users"][0]["user"], USER_FILES)):
        for key in keys:
            if key in holder:
                data = (kubeconfig.parent / holder.pop(key)).read_bytes()
                holder[f"{key}-data"] = base64.b64encode(data).decode()
    return found


CLUSTER_FILES = ("certificate-authority",)
USER_FILES = ("client-certificate", "client-key")


def through(kubeconfig: Path, door: Door) -> str:
    """The text of a kubeconfig that leads through *door*."""
    found = read(kubeconfig)
    cluster = found["clusters"][0]["cluster"]
    name = str(urlsplit(cluster["server"]).hostname)
    cluster |= {"server": f"https://127.0.0.1:{door.port}", "tls-server-name": name}
    return yaml.safe_dump(found)


def with_token(kubeconfig: Path, token: str) -> str:
    """The text of a kubeconfig for whoever has *token*."""
    found = read(kubeconfig)
    found["users"][0]["user"] = {"token": token}
    return yaml.safe_dump(found)
