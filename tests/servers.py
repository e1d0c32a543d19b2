"""
Real database servers for tests: each of its own, in a temporary folder, on a socket that only this machine sees.

One is started by the first test of a process that asks for it (a second or less), and stopped at the end.
Each test gets a database of its own on it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pymysql

_ELSEWHERE = [*sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True), "/usr/sbin"]


class Server(ABC):
    """
    A server that runs until `stop`; `crash` and `start` again lose nothing that was committed.

    Attributes:
        user: Who runs it where the tests run as root, which servers refuse.
        violence: The signal that ends it at once.
        socket: Where it listens.
    """

    user: ClassVar[str]
    violence: ClassVar[signal.Signals]

    def __init__(self, *, synchronized: bool = True) -> None:
        """Start it; unless *synchronized* it does not wait for the disk, and survives `crash` but no loss of power."""
        self.synchronized = synchronized
        # Not in pytest's folder: a socket's path has at most 107 characters, and another user must get here.
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-"))
        self._numbers = count(1)
        if os.getuid() == 0:
            shutil.chown(self.folder, self.user)
        self._initialize()
        self.start()

    @property
    @abstractmethod
    def socket(self) -> Path: ...

    @abstractmethod
    def url(self, database: str) -> str:
        """The URL of *database*, for the user who may do everything."""

    @abstractmethod
    def connect(self, database: str | None = None, **options: Any) -> Any:
        """A connection of the driver's own, which commits by itself."""

    @abstractmethod
    def _initialize(self) -> None: ...

    @abstractmethod
    def _command(self) -> list[str]: ...

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_user(*self._command()), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        for _ in range(3000):
            if self._listens() and self._answers():
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text(errors="replace"))

    def stop(self) -> None:
        """End it, and keep nothing."""
        self.crash()
        shutil.rmtree(self.folder)

    def crash(self) -> None:
        """End it as a loss of power does, except that the kernel still writes what it was given."""
        self._process.send_signal(self.violence)
        self._process.wait(timeout=60)

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{next(self._numbers)}"
        self.do(f"CREATE DATABASE {name}")
        return self.url(name)

    def do(self, statement: str, database: str | None = None) -> list[Any]:
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except (psycopg.OperationalError, pymysql.err.OperationalError):
            return False
        return True

    def _as_user(self, *command: str) -> list[str]:
        """*command* as somebody who is not root, and ended when the tests are killed."""
        who = []
        if os.getuid() == 0:
            entry = pwd.getpwnam(self.user)
            who = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
        return ["setpriv", f"--pdeathsig={self.violence.name.removeprefix('SIG')}", *who, *command]

    def _run(self, *command: str) -> None:
        subprocess.run(self._as_user(*command), check=True, capture_output=True, cwd=self.folder)


class PostgreSQL(Server):
    user = "postgres"
    violence = signal.SIGQUIT  # without a checkpoint, and children included

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    def url(self, database: str, user: str = "tests") -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def connect(self, database: str | None = None, **options: Any) -> Any:
        options = {"user": "tests", "host": str(self.folder), **options}
        return psycopg.connect(dbname=database or "postgres", autocommit=True, **options)

    def _initialize(self) -> None:
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--username=tests", "--no-sync"]
        self._run(_program("initdb"), f"--pgdata={self.folder / 'data'}", *options)

    def _command(self) -> list[str]:
        folders = ["-D", str(self.folder / "data"), "-k", str(self.folder)]
        fsync = "on" if self.synchronized else "off"
        return [_program("postgres"), *folders, "-c", "listen_addresses=", "-c", f"fsync={fsync}"]


class MariaDB(Server):
    user = "mysql"
    violence = signal.SIGKILL

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    def url(self, database: str, user: str = "root", scheme: str = "mysql") -> str:
        return f"{scheme}://{user}@localhost/{database}?unix_socket={self.socket}"

    def connect(self, database: str | None = None, **options: Any) -> Any:
        options = {"user": "root", "unix_socket": str(self.socket), **options}
        return pymysql.connect(database=database, autocommit=True, **options)

    def _initialize(self) -> None:
        data = f"--datadir={self.folder / 'data'}"
        method = "--auth-root-authentication-method=normal"
        self._run(_program("mariadb-install-db"), "--no-defaults", data, method, "--skip-test-db")

    def _command(self) -> list[str]:
        options = [f"--datadir={self.folder / 'data'}", f"--socket={self.socket}"]
        if not self.synchronized:
            options += ["--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync", "--innodb-doublewrite=0"]
        return [_program("mariadbd"), "--no-defaults", "--skip-networking", *options]


def _program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_ELSEWHERE]))
    assert found, f"{name} is not installed"
    return found
