"""A server with its children: started, watched by way of /proc, and ended by their ids. For Linux."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PATIENCE_S = 10.0


class _Stat(NamedTuple):
    """Of one process; *started*, in ticks since the machine's start, tells it from a later one of the same id."""

    parent: int
    cpu_s: float
    started: int
    rss_bytes: int


class Tree:
    """A process that was started here, and those that it starts. They end with this one, however that ends."""

    def __init__(self, words: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._words = list(words)
        # A session of its own: Ctrl-C is for whoever measures, who ends this.
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", *self._words],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def demand(self) -> None:
        """Stop everything, with the log's last words, if it has ended."""
        if self._process.poll() is not None:
            said = self.log.read_text("utf-8", "replace")[-2000:]
            raise SystemExit(f"{self._words} ended with {self._process.returncode}: {said}")

    def cpu_s(self) -> float:
        """CPU seconds, user and system, of those that live."""
        return sum(stat.cpu_s for stat in self._stats().values())

    def rss_bytes(self) -> int:
        """What is resident of all of them; a page that two share counts twice."""
        return sum(stat.rss_bytes for stat in self._stats().values())

    def end(self) -> None:
        """Ask the first to end; what is there after that, and after some seconds, is killed."""
        known = self._stats()
        if self._process.poll() is None:
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        until = time.monotonic() + 1
        while (left := self._left(known)) and time.monotonic() < until:
            time.sleep(0.05)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _left(self, known: Mapping[int, _Stat]) -> list[int]:
        now = {pid: _stat(pid) for pid in known}
        return [pid for pid, stat in now.items() if stat is not None and stat.started == known[pid].started]

    def _stats(self) -> dict[int, _Stat]:
        everyone = {int(path.name): _stat(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
        found: dict[int, _Stat] = {}
        wanted = {self._process.pid}
        while wanted:
            found |= {pid: stat for pid in wanted if (stat := everyone.get(pid)) is not None}
            wanted = {pid for pid, stat in everyone.items() if stat and stat.parent in wanted and pid not in found}
        return found


def _stat(pid: int) -> _Stat | None:
    """None where there is no such process, or it is dead and nobody has asked how it ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    if words[0] == "Z":
        return None
    cpu_s = _TICK_S * (int(words[11]) + int(words[12]))
    return _Stat(int(words[1]), cpu_s, int(words[19]), int(words[21]) * os.sysconf("SC_PAGE_SIZE"))
