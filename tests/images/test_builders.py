"""What every builder can do, each asked in the same words; see `mlops_ci.images.Builder`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from mlops_ci import images, providers
from mlops_ci.errors import NotFound, ServiceError
from mlops_ci.images import Builder, Order
from mlops_ci.images.docker import DockerBuilder
from tests.images.conftest import Shop

pytestmark = pytest.mark.xdist_group("images")


@pytest.fixture(params=sorted(images.PROVIDERS))
def builder(request: pytest.FixtureRequest, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Builder:
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    opened: Builder = providers.load("builder", images.PROVIDERS, request.param)()
    return opened


def order(folder: Path, base: str, name: str, lines: str, **facts: object) -> Order:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(f"FROM {base}\n{lines}")
    (folder / "file").write_text("text of the file\n")
    return Order(context=folder, reference=name, epoch=1_700_000_000, **facts)


def heard(told: list[str]) -> Callable[[str], None]:
    """Remembers what a builder says, and shows it if the test fails."""

    def hear(line: str) -> None:
        told.append(line)
        print(line)  # noqa: T201  # pytest shows it

    return hear


def test_what_is_built_is_there_and_can_be_read(builder: Builder, shop: Shop, tmp_path: Path) -> None:
    name = f"{shop.registry.name}/contract:{builder.name}"
    assert builder.inspect(name) is None
    told: list[str] = []
    built = builder.build(order(tmp_path, shop.base, name, "COPY file /file\nUSER 10001\n"), heard(told))
    assert builder.inspect(name) == built
    assert builder.inspect(built.image_id) == built
    assert built.platform.startswith("linux/")
    assert built.size_bytes > 100_000_000
    assert any("COPY file" in line for line in told)
    assert builder.read(built.image_id, "/file") == b"text of the file\n"
    assert builder.read(built.image_id, "/no/such/file") == b""
    assert b"Package: libc6" in builder.read(built.image_id, "/var/lib/dpkg/status")
    digest = builder.push(name, print)
    assert shop.registry.get(f"/v2/contract/manifests/{digest}")[0] == 200
    assert builder.push(name, print) == digest


def test_nothing_is_left_running_or_stopped(builder: Builder, shop: Shop, tmp_path: Path) -> None:
    name = f"{shop.registry.name}/left:{builder.name}"
    command = (shop.docker, "ps", "--all") if builder.name == "docker" else (shop.storage, "containers")
    before = command[0](*command[1:], "--quiet")
    built = builder.build(order(tmp_path, shop.base, name, "COPY file /file\n"), print)
    builder.read(built.image_id, "/file")
    builder.read(built.image_id, "/nothing")
    assert command[0](*command[1:], "--quiet") == before


def test_a_build_beside_one_that_was_killed_is_begun_again(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BuildKit joins steps that are the same, and one of a dead session fails whoever joined it; once."""
    stand_in = tmp_path / "bin" / "docker"
    stand_in.parent.mkdir()
    mark = tmp_path / "lost"
    lost = f'[ "$1" != build ] || [ -e {mark} ] || {{ touch {mark}; echo no active sessions; exit 1; }}'
    stand_in.write_text(f'#!/bin/sh\n{lost}\nexec /usr/bin/docker "$@"\n')
    stand_in.chmod(0o755)
    for name, value in {**shop.environment, "PATH": f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    name = f"{shop.registry.name}/lost:1"
    assert DockerBuilder().build(order(tmp_path, shop.base, name, "COPY file /file\n"), print).size_bytes
    assert mark.exists()


def test_a_secret_reaches_the_build_and_no_ear(builder: Builder, shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter-2")
    lines = "RUN --mount=type=secret,id=word cat /run/secrets/word && echo && test -s /run/secrets/word\n"
    told: list[str] = []
    name = f"{shop.registry.name}/secret:{builder.name}"
    secrets = {"word": tmp_path / "secret"}
    builder.build(order(tmp_path / "c", shop.base, name, lines, secrets=secrets, hidden=["hunter-2"]), heard(told))
    assert any("****" in line for line in told)
    assert not any("hunter-2" in line for line in told)
    assert builder.read(name, "/run/secrets/word") == b""


def test_a_base_that_is_not_there(builder: Builder, shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="the base image was not found"):
        builder.build(order(tmp_path, f"{shop.registry.name}/none:1", "none:1", "COPY file /\n"), print)


def test_a_step_that_fails_is_told_with_its_lines(builder: Builder, shop: Shop, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(ServiceError, match=r"building failed: .*ended with exit code"):
        builder.build(order(tmp_path, shop.base, "failed:1", "RUN echo why it failed; exit 3\n"), heard(told))
    assert any("why it failed" in line for line in told)
    assert builder.inspect("failed:1") is None


class Failing(BaseHTTPRequestHandler):
    """A registry that answers 500 to every upload, or hangs up in the middle of one."""

    protocol_version: ClassVar[str] = "HTTP/1.1"
    how: ClassVar[str]

    def _answer(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/v2/" else 404)

    def do_HEAD(self) -> None:
        self._answer(404)

    def do_POST(self) -> None:
        if self.how == "500":
            self._answer(500)
        else:
            self._answer(202, {"location": f"{self.path}1", "docker-upload-uuid": "1", "range": "0-0"})

    def do_PATCH(self) -> None:
        self.rfile.read(1)
        self.close_connection = True

    def do_PUT(self) -> None:
        self.do_PATCH()

    def log_message(self, *_: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def registry_that_fails(how: str) -> Iterator[str]:
    server = Quiet(("127.0.0.1", 0), type("Answer", (Failing,), {"how": how}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


# Docker tries an upload five times, and waits longer each time.
@pytest.mark.parametrize(
    ("builder", "how", "said"),
    [
        ("buildah", "500", "something is wrong with it"),
        pytest.param("docker", "500", "something is wrong with it", marks=pytest.mark.full),
        pytest.param("buildah", "hangs up", "did not answer", marks=pytest.mark.full),
        pytest.param("docker", "hangs up", "did not answer", marks=pytest.mark.full),
    ],
    indirect=["builder"],
)
def test_a_registry_that_fails(builder: Builder, shop: Shop, tmp_path: Path, how: str, said: str) -> None:
    with registry_that_fails(how) as registry:
        shop.storage.trust(registry)
        name = f"{registry}/failing:{builder.name}"
        builder.build(order(tmp_path, shop.base, name, "COPY file /file\n"), print)
        with pytest.raises(ServiceError, match=said):
            builder.push(name, print)
