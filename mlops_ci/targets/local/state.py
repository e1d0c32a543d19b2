"""
What a local target keeps in its folder: the services that ran, and the note of which one runs.

The note, `process.json`, is written before what it says is done, so that a kill leaves nothing that cannot be found.
Starting and stopping is the business of others.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mlops_ci import digests
from mlops_ci.entities import ArtifactRef
from mlops_ci.errors import InputError, ServiceError, UsageError
from mlops_ci.targets import Order
from mlops_ci.targets.local import processes
from mlops_ci.targets.local.process import Process


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """
    One start of one version.

    Attributes:
        release: Names its folder, after its content.
        ready: Whether it passed `verify`.
        replaces: What passed before it, and what before that.
    """

    handle: processes.Handle
    process: Process
    release: str
    plan_digest: str = ""
    ready: bool = False
    replaces: Running | None = None

    @property
    def good(self) -> Running | None:
        """What passed last: this or what it replaces, with the one before, and no more than that one."""
        found = self if self.ready else self.replaces
        if found is None or found.replaces is None:
            return found
        return msgspec.structs.replace(found, replaces=msgspec.structs.replace(found.replaces, replaces=None))


class State:
    """The folder *home* of one target."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def recorded(self) -> Running | None:
        """Return what was started last. Raises `InputError` if the note cannot be read."""
        try:
            return msgspec.json.decode((self.home / "process.json").read_bytes(), type=Running)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise InputError(f"{self.home / 'process.json'} cannot be read: {error}") from error

    def record(self, running: Running) -> None:
        """Note what runs, or is about to."""
        partial = self.home / ".process.json"
        partial.write_bytes(msgspec.json.encode(running))
        partial.replace(self.home / "process.json")

    def forget(self) -> None:
        """Note that nothing runs."""
        (self.home / "process.json").unlink(missing_ok=True)

    def folder(self, running: Running) -> Path:
        """Where *running* was kept."""
        return self.home / "releases" / running.release

    def log(self, running: Running) -> Path:
        """What *running* says."""
        return self.folder(running) / "service.log"

    def text(self, running: Running) -> str:
        """Return its `process.yaml` as it is kept; "" if it is gone."""
        try:
            return (self.folder(running) / "process.yaml").read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def release(self, order: Order) -> str:
        """
        Return the name of what *order* names.

        Raises:
            UsageError: It has no service, and none that was kept is the one.
        """
        text = order.files.get("process.yaml", "")
        if order.service is None:
            return self._kept(text)
        data = text.encode()
        declared = ArtifactRef(path="process.yaml", digest=digests.of_bytes(data), size_bytes=len(data))
        return digests.of_tree([declared, *digests.of_files(order.service)]).removeprefix("sha256:")[:16]

    def keep(self, order: Order, release: str) -> None:
        """Copy what will run to where it can run again; what was ordered may vanish."""
        place, partial = self.home / "releases" / release, self.home / "releases" / f".{release}"
        if order.service is None or place.exists():
            return
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(order.service, partial / "service")
        (partial / "process.yaml").write_text(order.files["process.yaml"], encoding="utf-8")
        partial.rename(place)

    def prune(self, *kept: Running | None) -> None:
        """Delete every service but *kept*."""
        names = {running.release for running in kept if running}
        for folder in (self.home / "releases").iterdir():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def _kept(self, text: str) -> str:
        folders = sorted(self.home.glob("releases/[0-9a-f]*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders:
            if (folder / "process.yaml").read_text(encoding="utf-8") == text:
                return folder.name
        raise UsageError(
            "the service that ran with this process.yaml is not kept on this machine any more",
            hint="deploy its version again: `mlops-ci deploy TARGET --version VERSION`",
        )


@contextmanager
def held(home: Path, name: str, owner: str) -> Iterator[None]:
    """Hold the target *name* for *owner*; the system lets go of it whatever happens to us. Raises `ServiceError`."""
    with said():
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "lock").open("a+", encoding="utf-8")
    with file:
        with said():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise ServiceError(
                    f"{file.read() or 'another command'} is changing the target {name!r} on this machine",
                    hint="wait for it, then run the same command again",
                ) from error
            file.truncate(0)
            file.write(owner)
            file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextmanager
def said() -> Iterator[None]:
    """Say in a sentence what the file system did not do."""
    try:
        yield
    except OSError as error:
        raise ServiceError(f"{error.filename or 'the folder of the target'}: {error.strerror or error}") from error
