"""Services that tests start: rendered, run with `python -m serving`, and ended with the test."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from mlops_ci.entities import Signature
from tests.integration import served_model
from tests.integration.served_model import free_port

HELD = """
import os
import time


def predict(records):
    while not all(map(os.path.exists, records)):
        time.sleep(0.01)
    return [1 for _ in records]
"""
"""A model that answers when the paths that it is asked about are there; "/" always is."""


class Answer(NamedTuple):
    """What came back; *json* is None where it is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Service:
    """A running service of the folder *folder*."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.log_path = folder.parent / f"log-{self.port}"
        environment = {"MLOPS_DRAIN_S": "0", **(environment or {})}
        command = [sys.executable, "-m", "serving", "--port", str(self.port)]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**_plain_environment(), "HOME": str(folder.parent), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        atexit.register(self.process.kill)  # a test that fails may not get to its end

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log's lines, each of which must be JSON."""
        return [json.loads(line) for line in self.log.splitlines()]

    def wait(self) -> Service:
        """Wait until it is ready."""
        for _ in range(1200):
            with suppress(OSError):
                if self.ask("/readyz").status == 200:
                    return self
            assert self.process.poll() is None, self.log
            time.sleep(0.05)
        raise AssertionError(self.log)

    def ask(self, path: str, body: Any = None, *, method: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """GET *path*, or POST *body*: JSON, or bytes as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method or None)
        request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def predict(self, *records: Any, **options: Any) -> Answer:
        return self.ask("/predict", {"records": list(records)}, **options)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of *name* that have *labels*."""
        found = 0.0
        for line in self.ask("/metrics").body.decode().splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(f'{key}="{each}"' in sample for key, each in labels.items()):
                found += float(value)
        return found

    def end(self, number: int = signal.SIGTERM, timeout: float = 60) -> int:
        """Send a signal and wait for the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


Serve = Callable[..., Service]


@contextmanager
def serving(folder: Path, model: Path, **options: Any) -> Iterator[Service]:
    """Render *model* into *folder*, serve it, end it."""
    service = Service(rendered(folder, model, **options), environment=options.get("environment")).wait()
    try:
        yield service
    finally:
        service.end()


def rendered(folder: Path, model: Path, **options: Any) -> Path:
    """The service folder of *model*: what is no option of the process is a field of the release."""
    fields = {name: value for name, value in options.items() if name != "environment"}
    release = served_model.release(model, **{"runtime": "asgi", **fields})
    return served_model.write_bundle(folder, model, release) / "service"


def python_model(folder: Path, source: str, *, example: tuple[list[Any], list[Any]] | None = None) -> Path:
    """Write a model of plain Python: *source* is its `model.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(source, encoding="utf-8")
    (folder / "flavor.json").write_text('{"flavor": "python"}')
    if example:
        said = {"records": example[0], "predictions": example[1]}
        (folder / "input_example.json").write_text(json.dumps(said))
    return folder


ANY = Signature(inputs={}, outputs={})
"""Of a model that takes anything."""


def _plain_environment() -> dict[str, str]:
    """This process's, without what would change the service."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "OTEL_", "PYTEST"))}
