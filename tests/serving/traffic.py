"""Callers who send request after request, as a cluster routes them: to whoever says that it is ready."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self


class Traffic:
    """
    Traffic for the services on *ports*, until the block ends.

    Attributes:
        answers: The status of each answer.
        bodies: How often each body was answered with 200.
        faults: Requests that were sent and got no answer.
    """

    def __init__(self, ports: list[int], *, callers: int = 4, body: bytes = b'{"records": ["x"]}') -> None:
        self.ports = ports
        self.answers: list[int] = []
        self.bodies: Counter[bytes] = Counter()
        self.faults: list[str] = []
        self._body = body
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(callers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, answers: int) -> None:
        """Wait until there are so many."""
        for _ in range(3000):
            if len(self.answers) >= answers:
                return
            time.sleep(0.02)
        raise AssertionError(self.faults)

    def _call(self, number: int) -> None:
        connections: dict[int, http.client.HTTPConnection] = {}
        while not self._ended.is_set():
            port = self._ready(number)
            connection = connections.setdefault(port, http.client.HTTPConnection("127.0.0.1", port, timeout=20))
            try:
                connection.request("POST", "/predict", self._body)
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(f"{type(error).__name__}: {error}")
                connections.pop(port).close()
                continue
            self.answers.append(answer.status)
            self.bodies[said] += answer.status == 200
            if answer.getheader("connection") == "close":
                connection.close()
        for connection in connections.values():
            connection.close()

    def _ready(self, number: int) -> int:
        """The next who is ready; whoever is next, if nobody is."""
        for place in range(number, number + len(self.ports)):
            port = self.ports[place % len(self.ports)]
            probe = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                probe.request("GET", "/readyz")
                if probe.getresponse().status == 200:
                    return port
            except (OSError, http.client.HTTPException):
                continue
            finally:
                probe.close()
        return self.ports[number % len(self.ports)]
