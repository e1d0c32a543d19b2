"""
Builds by Docker's command line with BuildKit; inspects and pushes by its SDK, which has no BuildKit.

The daemon is the one that the command line would use: DOCKER_HOST's, or the current context's.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.images import Built, Order, Tell, program
from mlops_ci.providers import optional_extra

if TYPE_CHECKING:
    from docker import DockerClient

_LOST = "no active sessions"
"""What BuildKit says where a step is the same as one of a build that was killed, whose session is gone."""

_BUILDKIT_LEFT = 23
"""Since this version the command line hands BuildKit's builds to a plugin, buildx; before, it has its own."""


class DockerBuilder:
    """Docker on this machine, or where DOCKER_HOST says."""

    name: ClassVar[str] = "docker"

    def __init__(self) -> None:
        self._cli, self._number, self._buildx = _command_line()
        context = program.ask(self._cli, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        self._host = os.environ.get("DOCKER_HOST") or (context or "").strip()
        with optional_extra("image"):
            import docker  # noqa: PLC0415  # an extra
        env = {**os.environ, **({"DOCKER_HOST": self._host} if self._host else {})}
        with _translated("asking Docker"):
            self._client: DockerClient = docker.DockerClient.from_env(environment=env, timeout=600)
            self._server = str(self._client.version()["Version"])

    @property
    def version(self) -> str:
        """Of command line and daemon."""
        return f"{self._number} ({self._cli}{', buildx' if self._buildx else ''}), daemon {self._server}"

    @property
    def doubt(self) -> str:
        """BuildKit before 0.13 writes the time of day into images, and no daemon says which one it has."""
        return "Docker writes the time of day into an image, so a second build has another digest; buildah does not"

    def build(self, order: Order, tell: Tell) -> Built:
        """Build by `docker build`, or `docker buildx build` where that is what there is; see `Builder.build`."""
        how = ["buildx", "build", "--load", "--provenance=false"] if self._buildx else ["build"]
        secrets = [word for name, file in order.secrets.items() for word in ("--secret", f"id={name},src={file}")]
        fresh = [] if order.cached else ["--no-cache"]
        named = ["--progress", "plain", "--file", str(order.context / "Dockerfile"), "--tag", order.reference]
        env = {"DOCKER_BUILDKIT": "1", **({"DOCKER_HOST": self._host} if self._host else {})}
        command = [self._cli, *how, *fresh, *secrets, *named, str(order.context)]
        said: list[str] = []

        def hear(line: str) -> None:
            said.append(line)
            tell(line)

        try:
            program.run(command, hear, what="building", env=env, hidden=order.hidden)
        except ServiceError:
            if _LOST not in said:
                raise
            program.run(command, tell, what="building", env=env, hidden=order.hidden)
        built = self.inspect(order.reference)
        if built is None:
            raise ServiceError(f"{order.reference} was built and is not there", hint="run the same command again")
        return built

    def inspect(self, reference: str) -> Built | None:
        """Ask the daemon; see `Builder.inspect`."""
        from docker.errors import ImageNotFound  # noqa: PLC0415  # an extra

        with _translated("asking Docker"):
            try:
                facts: dict[str, Any] = self._client.images.get(reference).attrs
            except ImageNotFound:
                return None
        variant = f"/{facts['Variant']}" if facts.get("Variant") else ""
        return Built(
            image_id=facts["Id"],
            size_bytes=facts["Size"],
            layers=facts["RootFS"]["Layers"],
            platform=f"{facts['Os']}/{facts['Architecture']}{variant}",
        )

    def read(self, image: str, path: str) -> bytes:
        """Copy it out of a container that is never started; see `Builder.read`."""
        from docker.errors import NotFound as NotThere  # noqa: PLC0415  # an extra

        with _translated("reading the image"):
            container = self._client.containers.create(image, ["never started"])
            try:
                packed = io.BytesIO(b"".join(container.get_archive(path)[0]))
            except NotThere:
                return b""
            finally:
                container.remove()
        with tarfile.open(fileobj=packed) as tar:
            found = tar.extractfile(Path(path).name)
            return found.read() if found else b""

    def push(self, reference: str, tell: Tell) -> str:
        """Push by the SDK, with the credentials of Docker's configuration; see `Builder.push`."""
        repository, _, tag = reference.rpartition(":")
        digest, said = "", list[str]()
        with _translated("pushing"):
            for fact in self._client.api.push(repository, tag=tag, stream=True, decode=True):
                if "error" in fact:
                    raise program.failure([*said, str(fact["error"])], "pushing", str(fact["error"]))
                line = f"{fact['id']}: {fact['status']}" if "id" in fact else str(fact.get("status", ""))
                digest = fact.get("aux", {}).get("Digest", digest)
                # What is on its way says so many times a second.
                if line and not fact.get("progressDetail"):
                    said.append(line)
                    tell(line)
        if not digest:
            raise ServiceError(f"the registry did not confirm {reference}", hint="run the same command again")
        return digest


def _command_line() -> tuple[str, str, bool]:
    """
    The first `docker` on PATH that can build: its path, its version, and whether it builds by buildx.

    Raises:
        UsageError: There is none.
    """
    unable = []
    for folder in dict.fromkeys(os.get_exec_path()):
        cli = os.path.join(folder, "docker")  # noqa: PTH118  # a folder of PATH may be ""
        said = program.ask(cli, "--version") if os.access(cli, os.X_OK) else None
        found = re.match(r"Docker version ((\d+)[^\s,]*)", said or "")
        if not found:
            continue
        if int(found[2]) < _BUILDKIT_LEFT:
            return cli, found[1], False
        if program.ask(cli, "buildx", "version") is not None:
            return cli, found[1], True
        unable.append(f"{cli} {found[1]}")
    if unable:
        raise UsageError(
            f"Docker cannot build here: {', '.join(unable)} has no buildx",
            hint="install Docker's plugin buildx, or build with `--builder buildah`",
        )
    raise UsageError("there is no Docker here", hint="install it, or build with `--builder buildah`")


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """The SDK's errors, and those of what it asks with, are ours."""
    from docker.errors import APIError, DockerException  # noqa: PLC0415  # an extra
    from requests import RequestException  # noqa: PLC0415  # the SDK's own

    try:
        yield
    except APIError as error:
        said = str(error.explanation or error)
        raise program.failure([said], what, said) from error
    except (DockerException, RequestException) as error:
        if "FileNotFoundError" in str(error) or "ConnectionRefused" in str(error) or "Connection refused" in str(error):
            raise ServiceError(
                "the Docker daemon does not answer",
                hint="start it, set DOCKER_HOST, or build without a daemon: `--builder buildah`",
            ) from error
        raise program.failure([str(error)], what, str(error)) from error
