"""
Git's wire, where a test can see and cut it: a program that git takes for ssh, in front of a bare repository.

Git runs it with the server's command as its last argument. It runs that command here, passes on what both sides
say, and notes for each connection how many bytes went each way. Told to, it cuts the connection after some bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.repositories import git


@dataclass(frozen=True)
class Connection:
    """One connection: what the client asked for, and the bytes that each side sent."""

    service: str
    sent: int
    received: int


class Wire:
    """The way from the clone at *work* to the bare repository *remote*; it notes in *folder* what passes."""

    def __init__(self, work: Path, remote: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._log = folder / "connections.jsonl"
        git(work, "config", "remote.origin.url", f"ssh://host{remote}")
        git(
            work, "config", "ssh.variant", "ssh"
        )  # else git asks the program, and does not say which protocol it speaks
        git(work, "config", "core.sshCommand", f"'{sys.executable}' '{__file__}' '{folder}'")

    def set(self, **orders: object) -> None:
        """
        Say what is to happen from now on.

        Args:
            orders: `cut_sent` or `cut_received`: cut after so many bytes of what the client, or the server, says;
                `service`: only connections of this service; `version`: the protocol's version; `refuse`: a sentence
                with which every connection ends at once.
        """
        (self._folder / "orders.json").write_text(json.dumps(orders), "utf-8")

    def connections(self) -> list[Connection]:
        """What passed since this was last asked."""
        lines = self._log.read_text("utf-8").splitlines() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return [Connection(**json.loads(line)) for line in lines]


def _main(folder: Path, command: str) -> int:
    orders = json.loads((folder / "orders.json").read_text("utf-8")) if (folder / "orders.json").exists() else {}
    service = command.split(" ", 1)[0].removeprefix("git-")
    if orders.get("service", service) != service:
        orders = {}
    if "refuse" in orders:
        sys.stderr.write(f"{orders['refuse']}\n")
        return 128
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    if "version" in orders:
        env["GIT_PROTOCOL"] = f"version={orders['version']}"
    # What the client's own configuration says must not reach the server: here they are one machine.
    env = {name: value for name, value in env.items() if not name.startswith(("GIT_CONFIG_", "GIT_DIR"))}
    server = subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    assert server.stdin
    assert server.stdout
    counts = {"sent": 0, "received": 0}
    asking = threading.Thread(
        target=_pass_on, args=(sys.stdin.buffer, server.stdin, counts, "sent", orders, server), daemon=True
    )
    asking.start()
    _pass_on(server.stdout, sys.stdout.buffer, counts, "received", orders, server)
    code = server.wait()
    with (folder / "connections.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"service": service, **counts}) + "\n")
    sys.stdout.flush()
    os._exit(code)  # the other thread may wait for a client that waits for us


def _pass_on(
    source: IO[bytes],
    target: IO[bytes],
    counts: dict[str, int],
    way: str,
    orders: Mapping[str, int],
    server: subprocess.Popen[bytes],
) -> None:
    limit = orders.get(f"cut_{way}")
    try:
        while data := os.read(source.fileno(), 1 << 16):
            if limit is not None and counts[way] + len(data) >= limit:
                server.kill()
                return
            counts[way] += len(data)
            target.write(data)
            target.flush()
    except (BrokenPipeError, OSError):
        return
    finally:
        if target is not sys.stdout.buffer:
            with suppress(OSError):
                target.close()


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), sys.argv[-1]))
