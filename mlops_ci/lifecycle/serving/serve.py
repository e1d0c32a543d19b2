"""Serve: the same service that an image holds, as a child of the command, until that is told to end."""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Literal

import msgspec

from mlops_ci.config import Serving
from mlops_ci.entities import ModelVersion
from mlops_ci.errors import UsageError
from mlops_ci.lifecycle.find_version import find_version
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.serving import environments
from mlops_ci.lifecycle.serving.children import Child, claim_port
from mlops_ci.lifecycle.serving.environments import Tell
from mlops_ci.lifecycle.serving.folders import Notify, Prepared, prepare

_POLL_S = 0.05
_LONG_LINE = 1000
_INTERRUPTED = 130
_PATIENCE = 3  # so many signals, and the service is killed


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """
    What is asked for.

    Attributes:
        version: As `find_version` takes it; the newest unless named.
        host: An address of this machine.
        port: 0 for one that is free.
        workers: Processes; as configured unless given.
        runtime: As configured unless given.
        python: An interpreter to be used as it is; "" for one that has the pinned libraries.
    """

    version: str = ""
    host: str = "127.0.0.1"
    port: int = 3000
    workers: int | None = None
    runtime: Literal["bentoml", "asgi"] | None = None
    python: str = ""

    def over(self, serving: Serving) -> Serving:
        """The configuration with what is asked for instead."""
        changed = {name: value for name in ("workers", "runtime") if (value := getattr(self, name)) is not None}
        found: Serving = msgspec.structs.replace(serving, **changed)
        return found


@dataclass(frozen=True)
class Service:
    """A version made ready to be served: its folder, and the interpreter that has what it pins."""

    version: ModelVersion
    prepared: Prepared
    python: str

    @property
    def url(self) -> str:
        """Where it will answer."""
        return self.prepared.process.url

    def child(self, tell: Callable[[str], None]) -> Child:
        """The process that it will be; *tell* gets what it says."""
        process = self.prepared.process
        return Child(process.title, process.probe_url, process.digest, tell)

    def start(self, child: Child) -> None:
        """Start *child*: only variables that are named reach it."""
        prepared, process = self.prepared, self.prepared.process
        env = {name: os.environ[name] for name in process.inherit if name in os.environ}
        for name, path in process.folders.items():
            (prepared.home / path).mkdir(parents=True, exist_ok=True)
            env[name] = str(prepared.home / path)
        child.start([self.python, *process.argv[1:]], folder=prepared.service, env=env | process.env)


def open_service(project: Project, wanted: Wanted, *, notify: Notify, tell: Tell) -> Service:
    """
    Prepare what is *wanted*, by the configuration of the work tree; nothing is started.

    Args:
        project: The checkout.
        wanted: The version, and where and how it is to run.
        notify: Told what takes its time, in a sentence.
        tell: Told how far that is.

    Raises:
        NotFound: There is no such version.
        ServiceError: The port is taken, something did not answer, or there is no room.
        UsageError: The interpreter cannot be used, or the libraries cannot be installed here.
    """
    host = _address(wanted.host)
    if wanted.port:
        claim_port(host, wanted.port)
    version, record = find_version(project.ledger, project.config, wanted.version)
    serving = wanted.over(project.config.serving)
    port = wanted.port or free_port(host)
    prepared = prepare(project, version, record.id, serving, host=host, port=port, notify=notify)
    return Service(version, prepared, interpreter(prepared, wanted.python, notify=notify, tell=tell))


def interpreter(prepared: Prepared, python: str, *, notify: Notify, tell: Tell) -> str:
    """The interpreter that runs what is *prepared*: *python* as it is, or one that has what is pinned."""
    requirements = prepared.service / "requirements.txt"
    if python:
        return environments.named(python, requirements)
    return environments.environment(prepared.home, requirements, notify=notify, tell=tell)


def follow(service: Service, *, ready: Callable[[], None], tell: Callable[[str], None]) -> int:
    """
    Run *service* until it is told to end, by a signal to us; the exit code: 130 for an interrupt, else 0.

    Args:
        service: What to run.
        ready: Called when it takes requests.
        tell: Gets each line that it says.

    Raises:
        ServiceError: It does not start, or ends of itself.
    """
    child = service.child(tell)
    received: list[int] = []
    started = False

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) >= _PATIENCE:
            child.send(signal.SIGKILL)
        elif started:
            child.send(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        claim_port(service.prepared.process.host, service.prepared.process.port)
        service.start(child)
        while not received and child.running and not started:
            time.sleep(_POLL_S)
            started = child.ready
        if started and not received:
            ready()
            child.wait()
    finally:
        child.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    if not received:
        raise child.failure("ended" if started else "does not start")
    return _INTERRUPTED if signal.SIGINT in received else 0


def curl(service: Service) -> str:
    """A command line that asks for a prediction, with the model's own example; "" if it has none."""
    example = service.prepared.service / "model" / "input_example.json"
    if not example.is_file():
        return ""
    text = json.dumps({"records": json.loads(example.read_bytes())["records"][:1]}, ensure_ascii=False)
    if len(text) > _LONG_LINE:
        file = service.prepared.service.parent / "request.json"
        file.write_text(text, encoding="utf-8")
        text = f"@{file}"
    key = ["-H", "X-API-Key: …"] if "MLOPS_API_KEYS" in service.prepared.process.inherit else []
    return shlex.join(["curl", *key, "-d", text, f"{service.url}/predict"])


def free_port(host: str = "127.0.0.1") -> int:
    """A port of this machine that nobody has right now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _address(host: str) -> str:
    try:
        return "127.0.0.1" if host == "localhost" else str(ipaddress.ip_address(host))
    except ValueError as error:
        raise UsageError(f"{host!r} is no address", hint="--host takes one of this machine, or 0.0.0.0") from error
