"""Where images are built: a Docker daemon and a registry of our own, and the base images. Needs root and Debian."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.repositories import BIN, environment
from tests.images.daemons import Docker, Registry, make_base, run

BENTOML_BASE = "base-of-bentoml:1"
_PROGRAMS = ("debootstrap", "docker-registry", "dockerd", "ip", "setpriv")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Shop:
    """A daemon, a registry, and the name of the base image there, with its digest."""

    docker: Docker
    registry: Registry
    base: str

    @property
    def environment(self) -> dict[str, str]:
        """What commands need to build here."""
        return {
            **environment(),
            **self.docker.environment,
            # Debian's Docker comes first: it has BuildKit without a plugin.
            "PATH": os.pathsep.join([str(BIN), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
            "BENTOML_DO_NOT_TRACK": "True",
            "DOCKER_BUILDKIT": "1",
        }

    def size_bytes(self, image: str) -> int:
        """Of an image with its base, unpacked."""
        return int(self.docker("inspect", "--format", "{{.Size}}", image))

    def prune(self) -> None:
        """Forget every layer that no image needs, and all that was built or downloaded on the way."""
        self.docker("builder", "prune", "--all", "--force")

    def push(self, image: str) -> dict[str, int]:
        """Push *image*; the bytes of its layers in the registry, compressed, by digest."""
        self.docker("push", image)
        repository, _, tag = image.removeprefix(f"{self.registry.name}/").rpartition(":")
        layers = self.registry.manifest(repository, tag)["layers"]
        return {layer["digest"]: layer["size"] for layer in layers}


def missing() -> str:
    """Why there can be no shop on this machine, as a sentence; "" if there can."""
    absent = [name for name in _PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        return f"these programs are not here: {', '.join(absent)}"
    return "" if os.geteuid() == 0 else "a Docker daemon of its own needs root"


@contextmanager
def opened(folder: Path) -> Iterator[Shop]:
    """A shop that is gone afterwards, images and all."""
    with ExitStack() as stack:
        docker = Docker()
        stack.callback(_stop, docker)
        registry = Registry()
        stack.callback(registry.stop)
        packed = make_base(docker.folder)
        base = f"{registry.name}/base:1"
        docker("import", packed, base)
        packed.unlink()
        digest = next(word for word in docker("push", base).split() if word.startswith("sha256:"))
        _make_bentoml_base(docker, base, folder / "base-of-bentoml")
        yield Shop(docker, registry, f"{registry.name}/base@{digest}")


def _stop(docker: Docker) -> None:
    with suppress(AssertionError):  # what is left of a daemon that died is not worth hiding why
        docker.stop()


def _make_bentoml_base(docker: Docker, base: str, folder: Path) -> None:
    """
    The same base with what `bentoml containerize` takes for granted, or fetches.

    That is uv, a Python into which packages may be installed, and this machine's certificate authorities, since it
    hands no secret to the steps that install.
    """
    folder.mkdir(parents=True)
    shutil.copy(BIN / "uv", folder / "uv")
    shutil.copy(os.environ.get("SSL_CERT_FILE") or _CERTIFICATES, folder / "ca.crt")
    lines = [
        f"FROM {base}",
        "COPY uv /usr/local/bin/uv",
        f"COPY ca.crt {_CERTIFICATES}",
        f"ENV SSL_CERT_FILE={_CERTIFICATES}",
        "RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED",
    ]
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n", "utf-8")
    run("/usr/bin/docker", "build", "--quiet", "-t", BENTOML_BASE, folder, env=docker.environment)
