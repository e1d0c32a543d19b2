"""
What images are built with and pushed to, each of its own in a temporary folder: a Docker daemon, buildah's storage,
a registry, and the base image, which debootstrap makes. Needs root.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.integration.served_model import free_port

PASSWORD = "correct horse"
_HTPASSWD = "robot:$2b$04$9UnyDNH5oc.a/qEzhDB.oe1ionc.4cXfJ9knUBHEudPRdiblVhi7i\n"
_LEFT_OUT = ("./dev", "./proc", "./sys", "./run", "./var/cache", "./var/lib/apt", "./var/log", "./usr/share/doc")
_INCLUDED = "python3,python3-venv,ca-certificates"


def run(*command: str | Path, env: dict[str, str] | None = None, stdin: bytes | None = None) -> str:
    """What *command* prints; it has to end well."""
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode(errors="replace")


def make_base(folder: Path) -> Path:
    """A tar of a small Debian with Python; of the one that $MLOPS_TEST_BASE names, if that is a folder."""
    tree = Path(os.environ.get("MLOPS_TEST_BASE") or folder / "tree")
    if not tree.is_dir():
        run("debootstrap", "--variant=minbase", f"--include={_INCLUDED}", "bookworm", tree)
    excluded = [f"--exclude={name}/*" for name in _LEFT_OUT]
    packed = folder / "base.tar"
    run("tar", "-C", tree, "--numeric-owner", "--sort=name", *excluded, "-cf", packed, ".")
    return packed


class Process:
    """A process of our own that is ended by its id, and with the tests."""

    def __init__(self, name: str) -> None:
        # Not in pytest's folder: a socket's path has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix=f"mlops-{name}-"))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *command: str | Path, env: dict[str, str] | None = None) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", *command],
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def wait_for(self, answers: Any) -> None:
        for _ in range(3000):
            if answers():
                return
            assert self.process
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(self.log)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)

    def stop(self) -> None:
        """End it, and keep nothing."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class Registry(Process):
    """Debian's docker-registry on a port of localhost; with *password* only `robot` may use it."""

    def __init__(self, *, password: bool = False) -> None:
        super().__init__("registry")
        self.port = free_port()
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "store")}, "delete": {"enabled": True}},
            "http": {"addr": f"localhost:{self.port}"},
        }
        if password:
            (self.folder / "htpasswd").write_text(_HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.folder / "htpasswd")}}
        (self.folder / "config.yml").write_text(json.dumps(config))
        self.up()

    @property
    def name(self) -> str:
        return f"localhost:{self.port}"

    def up(self) -> None:
        self.start("docker-registry", "serve", self.folder / "config.yml")
        self.wait_for(lambda: "listening on" in self.log)

    def get(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("localhost", self.port, timeout=20)
        try:
            connection.request("GET", path, headers={"accept": ", ".join(_MANIFESTS)})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def manifest(self, repository: str, tag: str) -> dict[str, Any]:
        status, body, _ = self.get(f"/v2/{repository}/manifests/{tag}")
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def uploads(self) -> int:
        """How many blobs it has been sent."""
        return sum("http.request.method=PUT" in line and "/blobs/uploads/" in line for line in self.log.splitlines())


_MANIFESTS = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"]


class Docker(Process):
    """A Docker daemon with a network of its own."""

    def __init__(self, data: Path | None = None) -> None:
        super().__init__("docker")
        self.socket = self.folder / "socket"
        number = free_port() % 250
        self.bridge = f"mlops{number}"
        run("ip", "link", "add", "name", self.bridge, "type", "bridge")
        self.address = f"10.213.{number}.1"
        run("ip", "address", "add", f"{self.address}/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        places = {"data-root": data or self.folder / "data", "exec-root": self.folder / "exec"}
        options = [f"--{name}={place}" for name, place in (places | {"pidfile": self.folder / "pid"}).items()]
        self.start("dockerd", *options, f"--host=unix://{self.socket}", f"--bridge={self.bridge}")
        self.wait_for(lambda: "API listen on" in self.log)

    @property
    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": f"unix://{self.socket}"}

    def __call__(self, *arguments: str | Path, stdin: bytes | None = None) -> str:
        """What Debian's `docker` prints."""
        return run("/usr/bin/docker", *arguments, env=self.environment, stdin=stdin).strip()

    def stop(self) -> None:
        self.end()
        run("ip", "link", "delete", self.bridge)
        unmount(self.folder)
        super().stop()


class Storage:
    """A storage of buildah's own, which knows *registries* that speak no TLS."""

    def __init__(self, registries: Sequence[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-buildah-"))
        places = f'graphroot = "{self.folder}/root"\nrunroot = "{self.folder}/run"\n'
        (self.folder / "storage.conf").write_text(f'[storage]\ndriver = "overlay"\n{places}')
        (self.folder / "registries.conf").write_text("unqualified-search-registries = []\n")
        for name in registries:
            self.trust(name)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.folder / "registries.conf"),
        }

    def trust(self, registry: str) -> None:
        """Speak to *registry* without TLS."""
        with (self.folder / "registries.conf").open("a") as file:
            file.write(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')

    def __call__(self, *arguments: str | Path) -> str:
        return run("buildah", *arguments, env=self.environment).strip()

    def stop(self) -> None:
        unmount(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def unmount(folder: Path) -> None:
    """Let go of what was mounted below *folder*."""
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        place = line.split()[1]
        if place.startswith(f"{folder}/"):
            run("umount", "--lazy", place)


def members(archive: Path) -> dict[str, tarfile.TarInfo]:
    """What is in a tar, by name."""
    with tarfile.open(archive) as tar:
        return {member.name: member for member in tar}
