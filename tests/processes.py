"""Who still runs: for tests of what must leave nothing running."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def processes_of(folder: Path) -> list[str]:
    """
    The processes that work in *folder*, or name it in their command or their environment; each as its command line.

    A test itself is never among them, unless it names *folder* in its environment.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            facts = [(process / "cwd").readlink().as_posix()]
            facts += [(process / name).read_bytes().decode(errors="replace") for name in ("cmdline", "environ")]
            if any(str(folder) in fact for fact in facts):
                found.append(facts[1].replace("\0", " ") or process.name)
    return found
