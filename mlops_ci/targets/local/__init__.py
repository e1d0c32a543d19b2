"""
A service as a process on this machine: for trying a version out, and for a machine that is the production.

The process outlives the command that starts it. The folder of the target holds what it needs to run
again (the service, the rendered `process.yaml`, its log) and `process.json`, which says what runs.
"""

from __future__ import annotations

import difflib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from mlops_ci.errors import InputError, ServiceError, UsageError
from mlops_ci.release import SERVICE_ENV, Release
from mlops_ci.rendering import render_tree
from mlops_ci.targets import Change, Check, Order, Smoke, Status, Tell, nothing_to_say, nothing_to_smoke
from mlops_ci.targets.local import processes
from mlops_ci.targets.local.process import Process, ask, asking, last_words, read, runnable
from mlops_ci.targets.local.state import Running, State, held, said

_POLL_S = 0.1
_PORT_TIMEOUT_S = 3.0
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


class LocalTarget:
    """Runs one version at a time, on one port."""

    Options: ClassVar[type[msgspec.Struct]] = LocalOptions
    needs_image: ClassVar[bool] = False

    def __init__(self, name: str, options: LocalOptions, *, project: str, state: Path) -> None:
        del project  # the folder is this project's own
        self._name = name
        self._options = options
        self._state = State(state)

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

    def plan(self, files: Mapping[str, str]) -> list[Change]:
        """Compare `process.yaml` with that of what runs; see `Target.plan`."""
        process = read(files.get("process.yaml", ""))
        what = f"{process.title} at {process.url}"
        running = self._state.recorded()
        if running is None or not processes.alive(running.handle):
            return [Change(action="create", what=what)]
        before, after = (text.splitlines(keepends=True) for text in (self._state.text(running), files["process.yaml"]))
        title = running.process.title
        diff = "".join(
            difflib.unified_diff(before, after, f"process.yaml ({title})", f"process.yaml ({process.title})")
        )
        return [Change(action="update" if diff else "same", what=what, diff=diff)]

    @contextmanager
    def lock(self, owner: str) -> Iterator[None]:
        """Hold the target's folder; the lock ends with its process; see `Target.lock`."""
        with held(self._state.home, self._name, owner):
            yield

    def apply(self, order: Order, tell: Tell = nothing_to_say) -> None:
        """Stop what runs and start what was ordered, unless it is what runs; see `Target.apply`."""
        if "process.yaml" not in order.files:
            raise InputError(f"there is no process.yaml for {self._name}", hint="render it first")
        process = read(order.files["process.yaml"])
        argv = runnable(process)
        with said():
            release = self._state.release(order)
            before = self._state.recorded()
            same = before and before.release == release and before.plan_digest == order.plan_digest
            if before and same and self._answers(before):
                tell(f"{process.title} runs already")
                return
            self._claim_port(process, before)
            self._state.keep(order, release)
            running = Running(
                handle=processes.announced(),
                process=process,
                release=release,
                plan_digest=order.plan_digest,
                replaces=before.good if before else None,
            )
            self._replace(before, running, argv, tell)

    def wait(self, order: Order, tell: Tell = nothing_to_say) -> str:
        """Ask it until it is ready; see `Target.wait`."""
        del tell  # a start takes seconds
        running = self._begun(order)
        process, log = running.process, self._state.log(running)
        end = time.monotonic() + process.start_timeout_s
        while ask(process.probe_url, process.ready) is None:
            if not processes.alive(running.handle):
                raise ServiceError(f"{process.title} ended before it was ready: {last_words(log)}", hint=_hint(log))
            if time.monotonic() > end:
                raise ServiceError(
                    f"{process.title} was not ready within {process.start_timeout_s:g} s", hint=_hint(log)
                )
            time.sleep(_POLL_S)
        return process.url

    def verify(self, order: Order, smoke: Smoke = nothing_to_smoke) -> None:
        """Let the process say what it is, try it, and keep it as what can be gone back to; see `Target.verify`."""
        running = self._begun(order)
        process = running.process
        if not self._answers(running):
            raise ServiceError(
                f"{process.url} answers, and does not say that it is {process.title}",
                hint=_hint(self._state.log(running)),
            )
        smoke(asking(process.probe_url))
        before = running.replaces
        if before and before.release == running.release:
            before = before.replaces
        with said():
            self._state.record(msgspec.structs.replace(running, ready=True, replaces=before))
            self._state.prune(running, before)

    def rollback(self, order: Order | None, tell: Tell = nothing_to_say) -> None:
        """Start again what is kept of *order*, else what passed before; see `Target.rollback`."""
        with said():
            running = self._state.recorded()
            wanted = self._wanted(running, order)
            if wanted is None:
                if running:
                    processes.stop(running.handle, running.process.stop_timeout_s)
                self._state.forget()
            elif running is None or running != wanted or not self._answers(running):
                try:
                    argv = runnable(wanted.process)
                except UsageError as error:
                    raise ServiceError(f"{wanted.process.title}: {error}", hint=error.hint) from error
                again = msgspec.structs.replace(
                    wanted, handle=processes.announced(), ready=False, replaces=running.good if running else None
                )
                self._replace(running, again, argv, tell)

    def status(self) -> Status | None:
        """Ask the process that was started last; see `Target.status`."""
        running = self._state.recorded()
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
        if not self._state.home.is_dir():
            return False
        with self.lock(f"`remove` in process {os.getpid()}"), said():
            running = self._state.recorded()
            stopped = running is not None and processes.stop(running.handle, running.process.stop_timeout_s)
            self._state.forget()
            shutil.rmtree(self._state.home / "releases", ignore_errors=True)
        return stopped

    def _replace(self, before: Running | None, running: Running, argv: list[str], tell: Tell) -> None:
        """Stop *before* and start *running*, which is noted first."""
        folder = self._state.folder(running)
        if before and processes.stop(before.handle, before.process.stop_timeout_s):
            tell(f"{before.process.title} is stopped")
        log = self._state.log(running)
        if log.exists():
            log.replace(folder / "service.log.1")
        self._state.record(running)
        environment = {name: os.environ[name] for name in running.process.inherit if name in os.environ}
        for name, path in running.process.folders.items():
            (self._state.home / path).mkdir(parents=True, exist_ok=True)
            environment[name] = str(self._state.home / path)
        environment |= running.process.env
        try:
            handle = processes.start(running.handle, argv, env=environment, folder=folder / "service", log=log)
        except OSError as error:
            raise ServiceError(f"{running.process.title} does not start: {argv[0]}: {error.strerror}") from error
        self._state.record(msgspec.structs.replace(running, handle=handle))
        tell(f"{running.process.title} starts as process {handle.pid}")

    def _begun(self, order: Order) -> Running:
        """What `apply` or `rollback` started, if that is what *order* names."""
        running, process = self._state.recorded(), read(order.files.get("process.yaml", ""))
        if running is None:
            raise ServiceError(f"nothing runs on {self._name}, where {process.title} should", hint="apply it first")
        if running.process.digest != process.digest or running.process.title != process.title:
            raise ServiceError(f"{running.process.title} runs on {self._name}, and not {process.title}")
        return running

    def _wanted(self, running: Running | None, order: Order | None) -> Running | None:
        """What a rollback to *order* has to start: what passed last, unless another one was named that is kept."""
        good = running.good if running else None
        if order is None:
            return good
        known = [each for each in (good, good.replaces if good else None) if each]
        process = read(order.files.get("process.yaml", ""))
        for each in known:
            if each.process == process and order.plan_digest in {each.plan_digest, ""}:
                return each
        try:
            release = self._state.release(msgspec.structs.replace(order, service=None))
        except UsageError as error:
            if good and running and not running.ready:
                return good
            raise ServiceError(f"{process.title} cannot be started again: {error}", hint=error.hint) from error
        handle = processes.Handle(token="")
        return Running(handle=handle, process=process, release=release, plan_digest=order.plan_digest)

    def _answers(self, running: Running) -> bool:
        said = ask(running.process.probe_url, running.process.metadata) if processes.alive(running.handle) else None
        with suppress(ValueError, TypeError, KeyError):
            return said is not None and bool(msgspec.json.decode(said)["digest"] == running.process.digest)
        return False

    def _claim_port(self, process: Process, before: Running | None) -> None:
        """Refuse before anything is stopped if somebody else has the port."""
        ours = processes.members(before.handle) if before else []
        if before and ours and before.process.port == process.port:
            return
        # A process that has just died holds its port for a moment longer, and nobody is seen to.
        end = time.monotonic() + (_PORT_TIMEOUT_S if before else 0)
        while processes.listens(process.host, process.port):
            found = processes.holder(process.port)
            if not found and time.monotonic() < end:
                time.sleep(_POLL_S)
                continue
            who = f"{found[1]} (process {found[0]})" if found else "another process"
            raise ServiceError(
                f"port {process.port} is taken by {who}",
                hint=f"end it, or give targets.{self._name}.port another number",
            )


def _hint(log: Path) -> str:
    return f"what it said is in {log}"
