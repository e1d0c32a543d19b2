"""
Tune: measure a version's service with several settings, take what is worth it, and write it into the configuration.

All settings run side by side and are asked in turns, so that whatever else this machine does meets each of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from mlops_ci.config import Serving
from mlops_ci.entities import ModelVersion
from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.lifecycle.find_version import find_version
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.serving import decision
from mlops_ci.lifecycle.serving.children import Child, bound
from mlops_ci.lifecycle.serving.decision import Choice, Figure, Measured
from mlops_ci.lifecycle.serving.environments import Tell
from mlops_ci.lifecycle.serving.folders import Notify, Prepared, prepare
from mlops_ci.lifecycle.serving.serve import Service, Wanted, free_port, interpreter

BATCHES = (1, 8, 32, 128)
CONNECTIONS = (decision.ALONE, *decision.CROWDS)
_TURNS = 3
_LONGEST_S = 2.0
_SHORTEST_S = 0.04
_WARM = 0.2
_END_S = 2.0
_OVERHEAD_S = 0.02
_RESERVE = 0.1
_MEASURED = ("rps", "p50_ms", "p99_ms")
_MOST_WORKERS = 8  # all settings run at the same time
_LOAD = "mlops_ci.lifecycle.serving.load"


_Ask = Callable[[dict[str, Any]], dict[str, Any]]
_Example = tuple[str, list[Any]]


class _Setting(NamedTuple):
    batch_rows: int
    workers: int


@dataclass
class _Run:
    """A setting that runs, and what was measured of it."""

    setting: _Setting
    child: Child
    found: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    fault: str = ""
    peak_rss_mb: float = 0.0

    def take(self, connections: int, found: dict[str, Any]) -> None:
        """Keep what was *found* under a load; one fault is enough."""
        self.found.setdefault(connections, []).append(found)
        self.fault = found["fault"] or ("" if found["answers"] else "it answered nothing in time")

    def measured(self) -> Measured:
        """What there is to decide on."""
        figures = [
            Figure(
                connections=connections,
                **{name: round(statistics.median(one[name] for one in found), 3) for name in _MEASURED},
            )
            for connections, found in sorted(self.found.items())
        ]
        return Measured(
            batch_rows=self.setting.batch_rows,
            workers=self.setting.workers,
            figures=figures,
            peak_rss_mb=round(self.peak_rss_mb, 1),
            fault=self.fault,
        )


@dataclass(frozen=True)
class Tuned:
    """What was measured of *version*, and what is to be taken."""

    model: str
    version: str
    measured: list[Measured]
    choice: Choice


@dataclass(frozen=True)
class Tuning:
    """
    What is measured, and how.

    Attributes:
        project: The checkout.
        wanted: The version, and how it is to run; without `workers`, one is tried and as many as there are cores.
        seconds: For all of it, but for what has to be fetched and installed first.
        notify: Told what takes its time.
        tell: Told how far it is.
    """

    project: Project
    wanted: Wanted
    seconds: float
    notify: Notify
    tell: Tell

    def measure(self) -> Tuned:
        """
        Measure, and decide. Nothing is left running.

        Raises:
            UsageError: The model has no input example, so nothing can be asked; or there is not enough time.
            ServiceError: The service does not start, or does not answer its example rightly without batching.
        """
        version, record = find_version(self.project.ledger, self.project.config, self.wanted.version)
        counts = [self.wanted.workers] if self.wanted.workers else sorted({1, min(cores(), _MOST_WORKERS)})
        now = self.project.config.serving.batch_rows
        settings = [_Setting(rows, count) for count in counts for rows in sorted({*BATCHES, now})]
        first = self._prepared(version, record.id, settings[0])
        example = _example(first.service)
        python = interpreter(first, self.wanted.python, notify=self.notify, tell=self.tell)
        until = time.monotonic() + self.seconds
        prepared = {setting: self._prepared(version, record.id, setting) for setting in settings}
        measured: list[Measured] = []
        for number, count in enumerate(counts):
            group = {one: Service(version, each, python) for one, each in prepared.items() if one.workers == count}
            share = (until - time.monotonic()) / (len(counts) - number)
            measured += self._together(group, example, time.monotonic() + share)
        for each in measured:
            if each.batch_rows == 1 and each.fault:
                raise ServiceError(
                    f"without batching there is nothing to compare with: {each.fault}",
                    hint="a slow model needs more time: --seconds, or `serving: timeout_s`",
                )
        choice = decision.choose(measured, decision.choose_workers(measured), now=now)
        return Tuned(version.model, version.version, measured, choice)

    def _prepared(self, version: ModelVersion, record: str, setting: _Setting) -> Prepared:
        """The service with *setting*, and without what others than the caller would notice or pay for."""
        serving = msgspec.structs.replace(
            self.wanted.over(self.project.config.serving),
            batch_rows=setting.batch_rows,
            workers=setting.workers,
            drain_s=0.0,
            grpc_port=0,
            access_log=False,
            api_keys=False,
            tracing=False,
            log_predictions=Serving().log_predictions,
        )
        host, notify = self.wanted.host, self.notify
        return prepare(self.project, version, record, serving, host=host, port=free_port(host), notify=notify)

    def _together(self, group: dict[_Setting, Service], example: _Example, until: float) -> list[Measured]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_ended_in_order())
            runs = [_Run(setting, service.child(_silent)) for setting, service in group.items()]
            for run, service in zip(runs, group.values(), strict=True):
                stack.callback(run.child.stop, _END_S)
                service.start(run.child)
            for run in runs:
                run.child.wait_until_ready(until)
            with _generator() as ask:
                self._in_turns(runs, example, ask, until)
            for run in runs:
                run.peak_rss_mb = _peak_rss_mb(run.child.pid)
        return [run.measured() for run in runs]

    def _in_turns(self, runs: Sequence[_Run], example: _Example, ask: _Ask, until: float) -> None:
        """Measure each of *runs* under each load, and again, for as long as there is time."""
        loads = [connections for _ in range(_TURNS) for connections in CONNECTIONS]
        for done, connections in enumerate(loads):
            left = (until - time.monotonic()) * (1 - _RESERVE)
            window = min(_LONGEST_S, left / (len(loads) - done) / len(runs) - _OVERHEAD_S)
            if window < _SHORTEST_S:
                if done >= len(CONNECTIONS):
                    return
                raise UsageError("there is not enough time to measure this service", hint="give it more: --seconds")
            for number, run in enumerate(runs):
                self.tell("measuring", done * len(runs) + number + 1, len(loads) * len(runs))
                if not run.fault:
                    run.take(connections, ask(_order(run.child.url, example, connections, window, until)))


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _order(url: str, example: _Example, connections: int, window: float, until: float) -> dict[str, Any]:
    """
    An order for the load generator.

    What is still being answered at the end of the *window* is waited for: it would be in the way of the next one.
    """
    place, (body, predictions) = urlsplit(url), example
    return {
        "host": place.hostname,
        "port": place.port,
        "body": body,
        "predictions": predictions,
        "connections": connections,
        "warm_s": _WARM * window,
        "seconds": (1 - _WARM) * window,
        "grace_s": max(0.0, until - time.monotonic() - window),
    }


def _example(service: Path) -> _Example:
    """The request that is sent, and the predictions that are right."""
    path = service / "model" / "input_example.json"
    found = json.loads(path.read_bytes()) if path.is_file() else {}
    if not found.get("records") or not found.get("predictions"):
        raise UsageError(
            "the model has no input example to be measured with",
            hint="log_model(…, input_example=…) keeps one; train, tag and register again",
        )
    return json.dumps({"records": found["records"][:1]}), found["predictions"][:1]


@contextlib.contextmanager
def _generator() -> Iterator[_Ask]:
    """The load generator, in a process of its own so that it does not slow down what it measures."""
    process = subprocess.Popen(
        bound([sys.executable, "-I", "-m", _LOAD]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
        env={name: os.environ[name] for name in ("LANG", "PATH") if name in os.environ},
    )

    def ask(order: dict[str, Any]) -> dict[str, Any]:
        if process.stdin is None or process.stdout is None:  # pragma: no cover
            raise ServiceError("the load generator cannot be reached")
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise ServiceError("the load generator ended", hint="this is safe to run again")
        found: dict[str, Any] = json.loads(line)
        return found

    try:
        yield ask
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def _peak_rss_mb(pid: int) -> float:
    """The largest memory of *pid* and of those that it started, each at its worst; 0 where that cannot be seen."""
    folder = Path("/proc", str(pid))
    try:
        status = (folder / "status").read_text(encoding="utf-8")
        children = (folder / "task" / str(pid) / "children").read_text(encoding="utf-8").split()
    except OSError:
        return 0.0
    own = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return own / 1000 + sum(_peak_rss_mb(int(child)) for child in children)


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let whoever ends us end what we started too, where the kernel does not."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silent(_line: str) -> None:
    pass
