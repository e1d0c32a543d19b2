"""
Processes of this machine: started apart from us, found again, ended, and never mistaken for others.

A process number alone proves nothing, since the system gives it out again. What we start carries a token
in its environment, which its children inherit; only what carries it is ours. Where there is no `/proc`,
the moment at which the process started stands in for the token.
"""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

_PROC = Path("/proc")
_TOKEN = "MLOPS_CI_PROCESS"  # noqa: S105  # a name, not a secret
_POLL_S = 0.05
_KILL_TIMEOUT_S = 5.0  # a killed process goes as soon as the kernel lets it


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """How a process is found again. *started* is the system's own writing of when that was."""

    token: str
    pid: int = 0
    started: str = ""


def announced() -> Handle:
    """Return the handle of a process that is about to start, to be written down before it does."""
    return Handle(token=secrets.token_hex(16))


def start(handle: Handle, argv: list[str], *, env: Mapping[str, str], folder: Path, log: Path) -> Handle:
    """
    Start *argv* in *folder*, in a session of its own that outlives us; *log* takes what it says.

    Raises:
        OSError: There is no such program.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**env, _TOKEN: handle.token},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.returncode = 0  # it is meant to outlive this object, which would complain of that
    return Handle(token=handle.token, pid=process.pid, started=_started(process.pid))


def alive(handle: Handle) -> bool:
    """Whether the process itself runs; children that it left behind do not count."""
    _reap(handle.pid)
    return handle.pid > 0 and _started(handle.pid) == handle.started != ""


def members(handle: Handle) -> list[int]:
    """Return the process, if it runs, and all that it started, also where it died before them."""
    _reap(handle.pid)
    if not _PROC.is_dir():
        return [handle.pid] if alive(handle) else []
    mark = f"{_TOKEN}={handle.token}".encode()
    return [pid for pid in _all_pids() if mark in _environment(pid) and _started(pid)]


def stop(handle: Handle, timeout_s: float) -> bool:
    """Ask all members to end, and end those that have not after *timeout_s*; False if there were none."""
    if not members(handle):
        return False
    end = time.monotonic() + timeout_s
    # The first alone: it ends its children in order, and they would be ended twice.
    if alive(handle):
        _signal([handle.pid], signal.SIGTERM)
        _until(lambda: not alive(handle), end)
    _signal(members(handle), signal.SIGTERM)
    if not _until(lambda: not members(handle), end):
        _signal(members(handle), signal.SIGKILL)
        _until(lambda: not members(handle), time.monotonic() + _KILL_TIMEOUT_S)
    return True


def listens(host: str, port: int) -> bool:
    """Whether *port* is taken, asked by trying to take it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def holder(port: int) -> tuple[int, str] | None:
    """Return number and name of the process that listens on *port*; None where that cannot be seen."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    for pid in _all_pids() if inodes else ():
        with suppress(OSError):
            if any(str(link.readlink()) in inodes for link in (_PROC / str(pid) / "fd").iterdir()):
                return pid, (_PROC / str(pid) / "comm").read_text(encoding="utf-8").strip()
    return None


def _until(true: Callable[[], bool], end: float) -> bool:
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _reap(pid: int) -> None:
    """Take note of the death of a child of ours, which would stay a zombie."""
    if pid > 0:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _started(pid: int) -> str:
    """When *pid* started; "" if it does not run (a zombie does not)."""
    if not _PROC.is_dir():
        asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return asked.stdout.strip()
    try:
        # The name, in brackets, may hold anything; what follows it is counted from the state, field 3.
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{_boot()}:{fields[19]}"


def _boot() -> str:
    with suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _all_pids() -> Iterator[int]:
    return (int(path.name) for path in _PROC.iterdir() if path.name.isdigit())


def _environment(pid: int) -> list[bytes]:
    with suppress(OSError):
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return []


def _listening(port: int) -> Iterator[str]:
    """The inodes of the sockets that listen (state 0A) on *port*, from the kernel's tables."""
    for table in ("net/tcp", "net/tcp6"):
        with suppress(OSError):
            for line in (_PROC / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
                    yield fields[9]
