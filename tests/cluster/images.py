"""
Images of our service, made without a builder: the Python of these tests and the packages of the server are one layer,
which all of them share, the folder of a service is another. They go to the registry by its own protocol.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import platform
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement

from mlops_ci import digests
from mlops_ci.entities import Signature
from mlops_ci.release import SERVER, SERVICE_ENV, Release, service_files

_LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "lib2to3",
    "ensurepip",
    "turtledemo",
}
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_PREFIX = "/usr/local"

MODEL = '''
"""x times FACTOR. What else it does is said by the variable BEHAVIOUR, so that one image serves many tests."""

import os
import sys
import time

FACTOR = {factor}
BEHAVIOUR = os.environ.get("BEHAVIOUR", "{behaviour}")

if BEHAVIOUR == "crash":
    print("the weights are not those of this code", file=sys.stderr)
    os._exit(3)
if BEHAVIOUR == "oom":
    hoard = [bytearray(b"x") * 16_000_000 for _ in range(200)]
if BEHAVIOUR == "hang":
    time.sleep(3600)


def predict(records):
    if BEHAVIOUR == "dies" and any(record["x"] < 0 for record in records):
        os._exit(3)
    return [record["x"] * FACTOR + (1 if BEHAVIOUR == "wrong" else 0) for record in records]
'''
"""Behaviours: good, wrong (other answers than its example), crash, oom, hang (all three at start), dies (if x < 0)."""


class Service(NamedTuple):
    """A release and the folder of its service."""

    release: Release
    folder: Path


def write_service(
    folder: Path, version: str = "1.0.0", *, factor: float = 0.5, behaviour: str = "good", **changes: Any
) -> Service:
    """Write the service of a plain Python model into *folder*; *changes* are of the release."""
    model = folder / "model"
    model.mkdir(parents=True)
    (model / "model.py").write_text(MODEL.format(factor=factor, behaviour=behaviour))
    records = [{"x": 1.0}, {"x": 2.0}]
    example = {"records": records, "predictions": [each["x"] * factor for each in records]}
    (model / "input_example.json").write_text(json.dumps(example))
    files = digests.of_files(model)
    facts: dict[str, Any] = {
        "project": "shop",
        "model": "churn",
        "version": version,
        "sha": hashlib.sha1(version.encode(), usedforsecurity=False).hexdigest(),
        "tag": f"churn@v{version}",
        "version_record": hashlib.sha256(version.encode()).hexdigest(),
        "model_digest": digests.of_tree(files),
        "flavor": "python",
        "files": files,
        "runtime": "asgi",
        "signature": Signature(
            inputs={"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
            outputs={"type": "number"},
        ),
    }
    release = Release(**{**facts, **changes})
    for name, text in service_files(release).items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return Service(release, folder)


def push_service(repository: str, folder: Path) -> str:
    """Push the image of the service in *folder* to *repository* ("127.0.0.1:5000/churn"); its reference by digest."""
    registry = _Registry(repository)
    layers = [_base_layer(), _tar({f"/app/service/{path.relative_to(folder)}": path for path in _files(folder)})]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    environment = {
        "PATH": f"{_PREFIX}/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
        **SERVICE_ENV,
    }
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "Cmd": ["python3", "-m", "serving", "--host", "0.0.0.0", "--port", "3000"],  # noqa: S104  # in a pod
            "WorkingDir": "/app/service",
            "User": "10001:10001",
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": registry.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [registry.blob(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
    }
    return registry.manifest(json.dumps(manifest).encode())


class _Registry:
    """One repository of a registry that speaks no TLS."""

    def __init__(self, repository: str) -> None:
        self._repository = repository
        self._host, _, self._name = repository.partition("/")

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = _digest(data)
        if self._ask("HEAD", f"/v2/{self._name}/blobs/{digest}").status != 200:
            place = self._ask("POST", f"/v2/{self._name}/blobs/uploads/").headers["Location"]
            path = place.removeprefix(f"http://{self._host}")
            status = self._ask("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", data).status
            assert status == 201, status
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def manifest(self, data: bytes) -> str:
        answer = self._ask("PUT", f"/v2/{self._name}/manifests/{_digest(data)}", data, _MANIFEST)
        assert answer.status == 201, answer.status
        return f"{self._repository}@{_digest(data)}"

    def _ask(
        self, method: str, path: str, data: bytes | None = None, content_type: str = "application/octet-stream"
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        try:
            connection.request(method, path, data, {"content-type": content_type})
            answer = connection.getresponse()
            answer.read()
            return answer
        finally:
            connection.close()


@cache
def _base_layer() -> bytes:
    """This Python, its standard library, the packages of the server, and what the system lends them."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_paths()["stdlib"])
    executable = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    found = {f"{_PREFIX}/bin/python3": executable}
    found |= {f"{_PREFIX}/lib/{version}/{path.relative_to(library)}": path for path in _files(library)}
    found |= {f"{_PREFIX}/lib/{version}/site-packages/{name}": path for name, path in _packages()}
    return _tar(found | {str(path): path for path in _shared(executable, *found.values())})


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in _LEFT_OUT and not path.name.startswith("config-"):
            yield from _files(path)
        elif path.is_file():
            yield path


def _packages() -> Iterator[tuple[str, Path]]:
    """The files of what `SERVER` names and needs, as they are installed here."""
    seen: set[str] = set()
    wanted = [Requirement(line) for line in SERVER]
    while wanted:
        requirement = wanted.pop()
        if requirement.name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(requirement.name)
        installed = distribution(requirement.name)
        wanted += [Requirement(line) for line in installed.requires or []]
        for file in installed.files or []:
            if ".." not in file.parts and Path(str(file.locate())).is_file():
                yield str(file), Path(str(file.locate()))


def _shared(executable: Path, *files: Path) -> set[Path]:
    """The shared libraries outside of *files* that they load."""
    loaders = [executable, *(path for path in files if ".so" in path.suffixes)]
    said = subprocess.run(["ldd", *loaders], capture_output=True, text=True, check=False).stdout
    words = (word for line in said.splitlines() if "=>" in line or "ld-linux" in line for word in line.split())
    return {Path(word) for word in words if word.startswith("/") and not word.endswith(":") and Path(word).is_file()}


def _tar(files: dict[str, Path]) -> bytes:
    """A tar of *files* by their place in the image; times stay, as bytecode is known by them."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for place, path in files.items():
            member = tarfile.TarInfo(place.lstrip("/"))
            state = path.stat()
            member.size, member.mtime = state.st_size, int(state.st_mtime)
            member.mode = 0o755 if state.st_mode & 0o100 else 0o644
            with path.open("rb") as file:
                tar.addfile(member, file)
    return target.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
