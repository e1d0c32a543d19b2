"""
A service as a process on this machine: for trying a version out, and for a machine that is the production.

The process outlives the command that starts it. The folder of the target holds what it needs to run
again (the service, the rendered `process.yaml`, its log) and `process.json`, which says what runs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from mlops_ci import digests
from mlops_ci.errors import InputError, ServiceError, UsageError
from mlops_ci.release import SERVICE_ENV, Release
from mlops_ci.rendering import render_tree
from mlops_ci.targets import Check, Status, Verify, nothing_to_verify
from mlops_ci.targets.local import processes
from mlops_ci.targets.local.process import Process, ask, last_words, read, runnable

_POLL_S = 0.1
_INHERIT = ["HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "USER"]
_WHERE = {
    "api_keys": ["MLOPS_API_KEYS", "MLOPS_API_KEYS_FILE"],
    "tracing": ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES"],
}
_FOLDERS = {"BENTOML_HOME": "bentoml"}


class LocalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A process of this machine."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="Where the service listens.")]
    host: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f.:]+$", description="An address of this machine.")] = (
        "127.0.0.1"
    )
    python: Annotated[
        str, msgspec.Meta(description="The interpreter that has bentoml. Default: the one that deploys.")
    ] = ""
    start_timeout_s: Annotated[
        float, msgspec.Meta(gt=0, description="Seconds before a start that has not answered has failed.")
    ] = 60.0
    stop_timeout_s: Annotated[
        float, msgspec.Meta(gt=0, description="Seconds to finish requests before the process is killed.")
    ] = 10.0


class _Running(msgspec.Struct, frozen=True, kw_only=True):
    """One start of one version. *release* names its folder; *replaces* is what runs again if it fails."""

    handle: processes.Handle
    process: Process
    release: str
    content: str
    plan_digest: str = ""
    ready: bool = False
    replaces: _Running | None = None


class LocalTarget:
    """Runs one version at a time, on one port."""

    Options: ClassVar[type[msgspec.Struct]] = LocalOptions
    applies: ClassVar[bool] = True

    def __init__(self, name: str, options: LocalOptions, *, state: Path) -> None:
        self._name = name
        self._options = options
        self._home = state

    def render(self, release: Release, overrides: Path | None = None) -> dict[str, str]:
        """Render `process.yaml`; see `Target.render`."""
        options = self._options
        values = {
            "release": release.values,
            "options": msgspec.to_builtins(options),
            "argv": [
                options.python or "python",
                *("-m", "serving", "--host", options.host, "--port", str(options.port)),
            ],
            "inherit": _INHERIT
            + [name for key, names in _WHERE.items() if release.settings.get(key) for name in names],
            "environment": {name: value for name, value in SERVICE_ENV.items() if name not in _FOLDERS}
            | {"MLOPS_DRAIN_S": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
            "folders": _FOLDERS,
        }
        return render_tree("targets/local", values, overrides)

    def check(self, files: Mapping[str, str]) -> Check:
        """Read `process.yaml`; see `Target.check`."""
        try:
            read(files.get("process.yaml", ""))
        except InputError as error:
            return Check(problems=[str(error)])
        return Check()

    def apply(self, bundle: Path, *, plan_digest: str = "", verify: Verify = nothing_to_verify) -> str:
        """Stop what ran, start what was rendered, go back if that fails; see `Target.apply`."""
        place = bundle / "targets" / self._name / "process.yaml"
        if not place.is_file():
            raise InputError(f"the bundle has no targets/{self._name}/process.yaml", hint="render it first")
        text = place.read_text(encoding="utf-8")
        process = read(text)
        argv = runnable(process)
        content = digests.of_tree([digests.reference(place, "process.yaml"), *digests.of_files(bundle / "service")])
        with self._lock():
            before = self._recorded()
            if before and before.content == content and before.plan_digest == plan_digest and self._answers(before):
                return before.process.url
            self._claim_port(process, before)
            release = self._keep(bundle / "service", text, content)
            fallback = before if before and before.ready else before.replaces if before else None
            running = _Running(
                handle=processes.announced(),
                process=process,
                release=release,
                content=content,
                plan_digest=plan_digest,
                replaces=msgspec.structs.replace(fallback, replaces=None) if fallback else None,
            )
            if before:
                processes.stop(before.handle, before.process.stop_timeout_s)
            self._replace(running, argv, verify)
        return process.url

    def status(self) -> Status | None:
        """Ask the process that was started last; see `Target.status`."""
        running = self._recorded()
        if running is None or not processes.alive(running.handle):
            return None
        process = running.process
        return Status(
            model=process.model,
            version=process.version,
            digest=process.digest,
            url=process.url,
            plan_digest=running.plan_digest,
            ready=self._answers(running),
        )

    def remove(self) -> bool:
        """Stop it and forget it; see `Target.remove`."""
        if not self._home.is_dir():
            return False
        with self._lock():
            running = self._recorded()
            stopped = running is not None and processes.stop(running.handle, running.process.stop_timeout_s)
            (self._home / "process.json").unlink(missing_ok=True)
            shutil.rmtree(self._home / "releases", ignore_errors=True)
        return stopped

    def _replace(self, running: _Running, argv: list[str], verify: Verify) -> None:
        """Start *running*; if it does not become ready and right, start again what it replaces and say so."""
        try:
            running = self._start(running, argv)
            self._wait(running)
            verify(running.process.url)
        except ServiceError as error:
            processes.stop(running.handle, running.process.stop_timeout_s)
            raise ServiceError(f"{error}; {self._go_back(running.replaces)}", hint=error.hint) from error
        self._record(msgspec.structs.replace(running, ready=True, replaces=None))
        for folder in (self._home / "releases").iterdir():
            if folder.name != running.release:
                shutil.rmtree(folder, ignore_errors=True)

    def _go_back(self, before: _Running | None) -> str:
        if before is None:
            (self._home / "process.json").unlink(missing_ok=True)
            return "nothing ran before, and nothing runs now"
        again = msgspec.structs.replace(before, handle=processes.announced(), ready=False, replaces=before)
        try:
            again = self._start(again, runnable(before.process))
            self._wait(again)
        except (ServiceError, UsageError) as error:
            return f"and {before.process.title}, which ran before, does not start again either: {error}"
        self._record(msgspec.structs.replace(again, ready=True, replaces=None))
        return f"{before.process.title} runs again"

    def _start(self, running: _Running, argv: list[str]) -> _Running:
        folder = self._home / "releases" / running.release
        log = folder / "service.log"
        if log.exists():
            log.replace(folder / "service.log.1")
        self._record(running)  # before it starts, so that a kill right now leaves nothing that cannot be found
        environment = {name: os.environ[name] for name in running.process.inherit if name in os.environ}
        for name, path in running.process.folders.items():
            (self._home / path).mkdir(parents=True, exist_ok=True)
            environment[name] = str(self._home / path)
        try:
            handle = processes.start(
                running.handle,
                argv,
                env=environment | running.process.env,
                folder=folder / "service",
                log=log,
            )
        except OSError as error:
            raise ServiceError(f"{running.process.title} does not start: {argv[0]}: {error.strerror}") from error
        running = msgspec.structs.replace(running, handle=handle)
        self._record(running)
        return running

    def _wait(self, running: _Running) -> None:
        """Return when *running* is ready and says that it is what it should be."""
        process, log = running.process, self._home / "releases" / running.release / "service.log"
        hint = f"what it said is in {log}"
        end = time.monotonic() + process.start_timeout_s
        while ask(process.probe_url, process.ready) is None:
            if not processes.alive(running.handle):
                raise ServiceError(f"{process.title} ended before it was ready: {last_words(log)}", hint=hint)
            if time.monotonic() > end:
                raise ServiceError(f"{process.title} was not ready within {process.start_timeout_s:g} s", hint=hint)
            time.sleep(_POLL_S)
        if not self._answers(running):
            raise ServiceError(f"{process.url} answers, and does not say that it is {process.title}", hint=hint)

    def _answers(self, running: _Running) -> bool:
        said = ask(running.process.probe_url, running.process.metadata) if processes.alive(running.handle) else None
        with suppress(ValueError, TypeError):
            return said is not None and msgspec.json.decode(said)["digest"] == running.process.digest
        return False

    def _claim_port(self, process: Process, before: _Running | None) -> None:
        """Refuse before anything is stopped if somebody else has the port."""
        ours = processes.members(before.handle) if before else []
        if before and ours and before.process.port == process.port:
            return
        if processes.listens(process.host, process.port):
            found = processes.holder(process.port)
            who = f"{found[1]} (process {found[0]})" if found else "another process"
            raise ServiceError(
                f"port {process.port} is taken by {who}",
                hint=f"end it, or give targets.{self._name}.port another number",
            )

    def _keep(self, service: Path, text: str, content: str) -> str:
        """Copy what will run to where it can run again; the bundle may vanish."""
        name = content.removeprefix("sha256:")[:16]
        place, partial = self._home / "releases" / name, self._home / "releases" / f".{name}"
        if not place.exists():
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(service, partial / "service")
            (partial / "process.yaml").write_text(text, encoding="utf-8")
            partial.rename(place)
        return name

    def _recorded(self) -> _Running | None:
        try:
            return msgspec.json.decode((self._home / "process.json").read_bytes(), type=_Running)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise InputError(f"{self._home / 'process.json'} cannot be read: {error}") from error

    def _record(self, running: _Running) -> None:
        partial = self._home / ".process.json"
        partial.write_bytes(msgspec.json.encode(running))
        partial.replace(self._home / "process.json")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the target for this process; the system lets go of it whatever happens to us."""
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with (self._home / "lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
        except BlockingIOError as error:
            raise ServiceError(
                f"another command is changing the target {self._name!r} on this machine",
                hint="wait for it, then run the same command again",
            ) from error
        except OSError as error:
            raise ServiceError(f"{error.filename or self._home}: {error.strerror}") from error
