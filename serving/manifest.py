"""What this service is, and the proof of it: the manifest, the model's bytes, the versions of its libraries."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

HOME = Path(__file__).resolve().parent.parent
MODEL = HOME / "model"
DRAIN = "MLOPS_DRAIN_S"
"""The variable that says otherwise than `drain_s`: where nobody else answers meanwhile, waiting is of no use."""

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*==\s*([^\s;#]+)")


class Refusal(SystemExit):
    """The service does not start; the sentence says why. The exit code is 1."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"this service does not start: {sentence}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """
    How the service behaves: `serving:` of mlops.yaml, by way of the manifest.

    *workers* are processes, and replaced above *max_memory_mb* (0: never). Times are in seconds; *max_body_bytes*
    counts what was decompressed; *max_rows* is of one request. *max_waiting* requests wait for the model before others
    are turned away, and *batch_rows* records of theirs are asked at once (1: never several). *drain_s* is how long a
    service that was told to end still takes requests.
    """

    workers: int = 1
    max_memory_mb: int = 0
    timeout_s: float = 10.0
    max_body_bytes: int = 32_000_000
    max_rows: int = 10_000
    max_waiting: int = 100
    batch_rows: int = 1
    drain_s: float = 5.0
    api_keys: bool = False
    access_log: bool = False
    tracing: bool = False
    grpc_port: int = 0
    log_predictions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """`manifest.json`: *content* is all of it, *settings* what it says of the service."""

    content: dict[str, Any]
    settings: Settings

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.content["model"])

    @property
    def version(self) -> str:
        """The model's version."""
        return str(self.content["version"])

    @property
    def digest(self) -> str:
        """The digest of the model's files together."""
        return str(self.content["digest"])

    @property
    def title(self) -> str:
        """Model and version, for sentences."""
        return f"{self.model} {self.version}"


def read() -> Manifest:
    """Read the manifest. Raises `Refusal` if it is none of ours."""
    try:
        content: dict[str, Any] = json.loads((HOME / "manifest.json").read_text(encoding="utf-8"))
        settings = Settings(**content.get("serving", {}))
        if DRAIN in os.environ:
            settings = replace(settings, drain_s=float(os.environ[DRAIN]))
        return Manifest(content, settings)
    except (OSError, ValueError, TypeError) as error:
        raise Refusal(f"manifest.json cannot be read: {error}") from error


def verify(manifest: Manifest) -> None:
    """Raise `Refusal` unless `model/` holds exactly the files that *manifest* names, byte by byte."""
    expected = {file["path"]: file["digest"] for file in manifest.content["files"]}
    there = {path.relative_to(MODEL).as_posix(): path for path in MODEL.rglob("*")}
    if linked := sorted(name for name, path in there.items() if path.is_symlink()):
        raise Refusal(f"model/{linked[0]} is a link, and may lead anywhere")
    folders = {parent.as_posix() for name in expected for parent in PurePosixPath(name).parents}
    found = {name: path for name, path in there.items() if not (path.is_dir() and name in folders)}
    if missing := sorted(expected.keys() - found.keys()):
        raise Refusal(f"model/{missing[0]} is missing")
    if extra := sorted(found.keys() - expected.keys()):
        raise Refusal(f"model/{extra[0]} does not belong to {manifest.title}")
    for name, digest in sorted(expected.items()):
        if (actual := _digest(found[name])) != digest:
            raise Refusal(f"model/{name} is not the file that was registered: it has {actual}, not {digest}")


def other_versions() -> list[str]:
    """One sentence for each package that is pinned in `requirements.txt` and installed in another version, or not."""
    path = HOME / "requirements.txt"
    pins = _PIN.findall(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [sentence for name, pinned in pins if (sentence := _difference(name, pinned))]


@dataclass(frozen=True, slots=True)
class Example:
    """The model's input example, and what it answered when it was saved; both empty if it has none."""

    records: list[Any]
    predictions: list[Any]


def example() -> Example:
    """Read `model/input_example.json`."""
    path = MODEL / "input_example.json"
    if not path.exists():
        return Example([], [])
    found = json.loads(path.read_text(encoding="utf-8"))
    return Example(found["records"], found.get("predictions", []))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _difference(name: str, pinned: str) -> str:
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is not installed, and the model was made with {pinned}"
    same = found.partition("+")[0] == pinned.partition("+")[0]
    return "" if same else f"{name} {found} is installed, and the model was made with {pinned}"


def forbid_bytecode() -> None:
    """Or a model that is code would leave a file that `verify` refuses at the next start."""
    sys.dont_write_bytecode = True
