"""A service as a child of this process: started, waited for, told to end; what it says is passed on by lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mlops_ci.errors import ServiceError
from mlops_ci.targets.local import processes
from mlops_ci.targets.local.process import ask

_BOUND = Path(__file__).with_name("bound.py")
_POLL_S = 0.05
_LINES = 30
_REFUSAL = "this service does not start: "
_END_S = 10.0


def bound(command: Sequence[str]) -> list[str]:
    """The command line of *command* as a process that does not outlive this one."""
    return [sys.executable, "-I", "-S", str(_BOUND), str(os.getpid()), *command]


class Child:
    """
    A service that runs, or has run.

    Args:
        title: Model and version, for sentences.
        url: Where this machine reaches it.
        digest: What it must say that its model is.
        tell: Gets each line that it says.
    """

    def __init__(self, title: str, url: str, digest: str, tell: Callable[[str], None]) -> None:
        self.title = title
        self.url = url
        self._digest = digest
        self._tell = tell
        self._last: deque[str] = deque(maxlen=_LINES)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self, argv: Sequence[str], *, folder: Path, env: dict[str, str]) -> None:
        """Start it, in a process group of its own: the keyboard's signals come by way of us."""
        self._process = subprocess.Popen(
            bound(argv),
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its number; 0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether it is."""
        return self._process is not None and self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it takes requests, and is what it should be."""
        if not self.running or ask(self.url, "/readyz") is None:
            return False
        said = ask(self.url, "/metadata")
        with suppress(ValueError, TypeError):
            return said is None or msgspec.json.decode(said)["digest"] == self._digest  # it may demand a key
        return False

    def wait_until_ready(self, until: float) -> None:
        """
        Return when it is ready.

        Args:
            until: When to give up, by `time.monotonic`.

        Raises:
            ServiceError: It has ended, or was not ready in time.
        """
        while not self.ready:
            if not self.running:
                raise self.failure("does not start")
            if time.monotonic() > until:
                raise ServiceError(f"{self.title} was not ready in time", hint="give it more time: --seconds")
            time.sleep(_POLL_S)

    def failure(self, what: str) -> ServiceError:
        """Say that it *what*, and the last that it said."""
        self._finish()
        lines = [_message(line) for line in self._last if line.strip()]
        refusals = [line.removeprefix(_REFUSAL) for line in lines if line.startswith(_REFUSAL)]
        said = (refusals or lines or ["it said nothing"])[-1]
        return ServiceError(f"{self.title} {what}: {said}", hint="" if refusals else "what it said before says more")

    def wait(self) -> int:
        """Wait until it has ended, and return its exit code."""
        code = self._process.wait() if self._process else 0
        self._finish()
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process and self.running:
            self._process.send_signal(number)

    def stop(self, timeout_s: float = _END_S) -> None:
        """End it and what it started, by force if that takes longer than *timeout_s*."""
        if not self._process:
            return
        self.send(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._finish()

    def _read(self) -> None:
        for line in (self._process.stdout if self._process else None) or ():
            said = line.rstrip("\n")
            self._last.append(said)
            if not said.startswith(_REFUSAL):  # it becomes our own sentence
                with suppress(OSError):  # nobody listens any more; the service is not to wait for that
                    self._tell(said)

    def _finish(self) -> None:
        """Take what it said at last; a grandchild that holds the other end keeps nobody waiting."""
        if self._reader:
            self._reader.join(1.0)
            if self._process and self._process.stdout and not self._reader.is_alive():
                self._process.stdout.close()


def _message(line: str) -> str:
    """What a line of its log says, without what stands around that."""
    with suppress(msgspec.DecodeError, KeyError, TypeError):
        return str(msgspec.json.decode(line)["message"])
    return line


def claim_port(host: str, port: int) -> None:
    """
    Say now that *port* is taken, rather than when everything is prepared.

    Raises:
        ServiceError: It is; the sentence says by whom, where that can be seen.
    """
    if processes.listens(host, port):
        found = processes.holder(port)
        who = f"{found[1]} (process {found[0]})" if found else "another process"
        raise ServiceError(f"port {port} is taken by {who}", hint="--port takes another number, 0 any that is free")
