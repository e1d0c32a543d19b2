"""
The run folder: where it is, and how an event gets into it.

    started.json    who began, written first
    events.jsonl    one event a line, as Python's `json` writes it (NaN included)
    artifacts/      copies of what was logged
    model/          the model
    tmp/            what is being written; nobody reads it

An event is one `write` to a descriptor that appends: several processes can log, and what the call returned
from survives a kill of the process, since the kernel has it. At most the last line is torn.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

VARIABLE = "MLOPS_RUN_DIR"
CONVERT = "MLOPS_CONVERT"


def locate() -> Path:
    """
    Return the path of the run folder: `$MLOPS_RUN_DIR`, else a new one in the git directory.

    All work trees of a repository share that directory, and nothing in it dirties them. Without git it is
    `.mlops/runs/<id>` here.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).absolute()
    top = work_tree(Path.cwd())
    state = _common_git_directory(top) / "mlops" if top else Path.cwd() / ".mlops"
    return state / "runs" / os.urandom(8).hex()


def work_tree(start: Path) -> Path | None:
    """Return the nearest folder, from *start* upwards, that has a `.git`."""
    return next((folder for folder in (start, *start.parents) if (folder / ".git").exists()), None)


def prepare(folder: Path, experiment: str | None) -> None:
    """
    Make *folder* and write `started.json`, unless it is there.

    Raises:
        OSError: It cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "started.json"
    if path.exists():
        return
    started = {
        "id": folder.name,
        "time": time.time(),
        "pid": os.getpid(),
        "birth": birth_of(os.getpid()),
        "cwd": str(Path.cwd()),
        "argv": sys.argv,
        "experiment": experiment or "",
    }
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(started), encoding="ascii")
    fresh.replace(path)


def birth_of(pid: int) -> str:
    """
    When the process *pid* began, as a text that no later process of that number has; "" where that is not known.

    It counts from the machine's start, which is named too, and so does not depend on clocks.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return ""
    return f"{boot.strip()} {stat.rpartition(')')[2].split()[19]}"  # the 22nd field; the 2nd may hold anything


class EventLog:
    """Appends to `events.jsonl`; opened when it is written to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "events.jsonl"
        self._descriptor = -1
        self._torn = False

    def append(self, event: dict[str, Any]) -> None:
        """
        Write *event*; when this returns, a kill of the process no longer loses it.

        Raises:
            OSError: It was not written, or only a part of it, which the next event leaves behind.
        """
        self.write(json.dumps(event, separators=(",", ":"), default=str).encode("ascii") + b"\n")

    def write(self, line: bytes) -> None:
        """Write an event that is a line already. Promises and raises as `append`."""
        if self._descriptor < 0:
            self._open()
        if self._torn:
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self._torn = written < len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def close(self) -> None:
        """Let go of the file; the next event opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self._path, flags, 0o666)
        size = os.fstat(self._descriptor).st_size
        if size:
            os.lseek(self._descriptor, size - 1, os.SEEK_SET)
            self._torn = os.read(self._descriptor, 1) != b"\n"  # whoever wrote before us was killed


def _common_git_directory(top: Path) -> Path:
    """The git directory that all work trees share. In a linked one and in a submodule `.git` is a file."""
    entry = top / ".git"
    if entry.is_dir():
        return entry
    directory = top / entry.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
    try:
        common = (directory / "commondir").read_text(encoding="utf-8").strip()
    except FileNotFoundError:  # a submodule
        return directory.resolve()
    return (directory / common).resolve()
