"""What `process.yaml` declares, and how a running service is asked whether it is that."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from mlops_ci.errors import InputError, MissingDependency, ServiceError, UsageError
from mlops_ci.targets import Answer, Ask

_ASK_TIMEOUT_S = 2.0
_ANSWER_TIMEOUT_S = 30.0
_TAIL_BYTES = 20_000
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class Process(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `process.yaml`; its comments say what each field means."""

    model: str
    version: str
    digest: str
    argv: list[str]
    host: str
    port: int
    ready: str
    metadata: str
    start_timeout_s: float
    stop_timeout_s: float
    inherit: list[str] = []
    env: dict[str, str] = {}
    folders: dict[str, str] = {}

    @property
    def title(self) -> str:
        """Model and version, for sentences."""
        return f"{self.model} {self.version}"

    @property
    def url(self) -> str:
        """Where it answers, as others are told."""
        return f"http://{_bracketed(self.host)}:{self.port}"

    @property
    def probe_url(self) -> str:
        """Where it answers on this machine, also where it listens on every address."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # compared, not bound
        return f"http://{_bracketed(host)}:{self.port}"


def read(text: str) -> Process:
    """
    Read a `process.yaml`.

    Raises:
        InputError: It is malformed; the sentence names the field.
    """
    import yaml  # noqa: PLC0415  # costs time that most commands need not pay

    try:
        process = msgspec.convert(yaml.safe_load(text), Process)
    except yaml.YAMLError as error:
        raise InputError(f"process.yaml is not YAML: {' '.join(str(error).split())}") from error
    except msgspec.ValidationError as error:
        raise InputError(f"process.yaml: {error}") from error
    if not process.argv:
        raise InputError("process.yaml: argv is empty")
    for name, path in process.folders.items():
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise InputError(f"process.yaml: folders.{name} leads out of the target's folder")
    return process


def runnable(process: Process) -> list[str]:
    """
    Return the command line of *process* on this machine.

    Raises:
        UsageError: Its interpreter is not here.
        MissingDependency: The interpreter lacks bentoml.
    """
    first, *rest = process.argv
    program = sys.executable if first == "python" else shutil.which(first)
    if program is None:
        raise UsageError(f"there is no program {first} on this machine", hint="see `python` of the target")
    if rest[:2] == ["-m", "bentoml"]:
        probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('bentoml') is None)"
        if subprocess.run([program, "-c", probe], check=False, capture_output=True).returncode:
            raise MissingDependency("bentoml", extra="serve")
    return [program, *rest]


def ask(url: str, path: str) -> bytes | None:
    """Return what GET *path* answers with 200; None for anything else. No proxy is asked, and no redirect followed."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_ASK_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read() if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def asking(url: str) -> Ask:
    """Return how the service at *url* is asked; no proxy is asked, and no redirect followed."""
    place = urlsplit(url)

    def asked(path: str, body: bytes | None) -> Answer:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_ANSWER_TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise ServiceError(f"{url}{path} did not answer: {why}", hint="the log of the service says more") from error
        finally:
            connection.close()

    return asked


def last_words(log: Path) -> str:
    """The last line of *log* that says something, for a sentence."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = [_COLOR.sub("", line).strip() for line in file.read().decode(errors="replace").splitlines()]
    ours = [line for line in lines if line.startswith("this service does not start: ")]
    said = ours or [line for line in lines if line]
    return said[-1].removeprefix("this service does not start: ") if said else "it said nothing"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
