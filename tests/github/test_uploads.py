"""Downloading what a run uploaded: from another host, which is told nothing, and whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlops_ci.errors import IntegrityError, NotFound, Refused, ServiceError
from mlops_ci.github import GitHub, PermissionMissing
from mlops_ci.github.uploads import Upload, download, uploads

TOKEN = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"
ARCHIVE = b"PK\x05\x06" + bytes(200_000)
DIGEST = f"sha256:{hashlib.sha256(ARCHIVE).hexdigest()}"
UPLOAD = Upload(7, "bundle", len(ARCHIVE), expired=False, run_id=5, digest=DIGEST)
API = "/repos/octocat/churn/actions"

Respond = Callable[[BaseHTTPRequestHandler, int], None]


class Host:
    """A host that answers each path as it is told; the number says how often it was asked there before."""

    def __init__(self) -> None:
        self.answers: dict[str, Respond] = {}
        self.asked: list[tuple[str, str | None]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                before = sum(asked == path for asked, _ in host.asked)
                host.asked.append((path, self.headers.get("authorization")))
                with suppress(ConnectionError):
                    host.answers.get(path, status(404))(self, before)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def sends(data: bytes, **headers: str) -> Respond:
    def respond(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(200)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return respond


def redirect(place: str) -> Respond:
    def respond(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return respond


def status(code: int) -> Respond:
    def respond(handler: BaseHTTPRequestHandler, _: int) -> None:
        data = b'{"message": "No"}'
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return respond


def cut(handler: BaseHTTPRequestHandler, _: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(ARCHIVE)))
    handler.end_headers()
    handler.wfile.write(ARCHIVE[:1000])
    handler.close_connection = True


def in_turn(*responds: Respond) -> Respond:
    def respond(handler: BaseHTTPRequestHandler, before: int) -> None:
        responds[min(before, len(responds) - 1)](handler, before)

    return respond


@pytest.fixture
def api() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


@pytest.fixture
def storage(api: Host) -> Iterator[Host]:
    """Where GitHub keeps it; the API sends everybody there."""
    host = Host()
    api.answers[f"{API}/artifacts/7/zip"] = redirect(f"{host.url}/kept?sig=secret")
    yield host
    host.close()


@pytest.fixture
def hub(api: Host) -> GitHub:
    return GitHub(token=TOKEN, repository="octocat/churn", api_url=api.url, sleep=lambda _: None)


def test_a_download_is_verified_and_the_token_stays_at_home(
    hub: GitHub, api: Host, storage: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other host gets neither our token, nor what a .netrc has for it."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login octocat password hunter2\n", "utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    storage.answers["/kept"] = sends(ARCHIVE)
    into = tmp_path / "into"
    into.mkdir()
    assert download(hub, UPLOAD, into, most_bytes=1_000_000).read_bytes() == ARCHIVE
    assert api.asked == [(f"{API}/artifacts/7/zip", f"token {TOKEN}")]
    assert storage.asked == [("/kept", None)]
    assert [file.name for file in into.iterdir()] == ["7.zip"]


def test_a_download_that_breaks_is_begun_again(hub: GitHub, api: Host, storage: Host, tmp_path: Path) -> None:
    """With a new address each time, since one is good for a minute."""
    storage.answers["/kept"] = in_turn(cut, status(503), sends(ARCHIVE))
    assert download(hub, UPLOAD, tmp_path, most_bytes=1_000_000).read_bytes() == ARCHIVE
    assert len(api.asked) == 3


def test_a_download_that_always_breaks_leaves_nothing(hub: GitHub, storage: Host, tmp_path: Path) -> None:
    """And its error holds no address: that would be a key for a minute."""
    storage.answers["/kept"] = cut
    with pytest.raises(ServiceError) as caught:
        download(hub, UPLOAD, tmp_path, most_bytes=1_000_000)
    assert len(storage.asked) == 4
    assert "secret" not in f"{caught.value}{caught.value.hint}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("upload", [UPLOAD, Upload(7, "bundle", 10, expired=False, run_id=5)])
def test_what_is_too_large_is_refused(hub: GitHub, storage: Host, tmp_path: Path, upload: Upload) -> None:
    """By what GitHub says of its size, and by what arrives."""
    storage.answers["/kept"] = sends(ARCHIVE)
    with pytest.raises(Refused, match="more than 150,000 bytes"):
        download(hub, upload, tmp_path, most_bytes=150_000)
    assert list(tmp_path.iterdir()) == []
    assert len(storage.asked) == (0 if upload is UPLOAD else 1)


def test_a_bomb_is_measured_by_what_comes_out(hub: GitHub, storage: Host, tmp_path: Path) -> None:
    """A small answer that unpacks on the way."""
    storage.answers["/kept"] = sends(gzip.compress(bytes(5_000_000)), Content_Encoding="gzip")
    with pytest.raises(Refused, match="more than 1,000,000 bytes"):
        download(hub, Upload(7, "bundle", 10, expired=False, run_id=5), tmp_path, most_bytes=1_000_000)
    assert list(tmp_path.iterdir()) == []


def test_other_bytes_are_refused(hub: GitHub, storage: Host, tmp_path: Path) -> None:
    """The digest is that of the archive."""
    storage.answers["/kept"] = sends(ARCHIVE[:-1] + b"x")
    with pytest.raises(IntegrityError):
        download(hub, UPLOAD, tmp_path, most_bytes=1_000_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["http://kept.example/x", "file:///etc/passwd", "gopher://127.0.0.1/", "//"])
def test_no_way_where_others_could_read_along(hub: GitHub, api: Host, tmp_path: Path, place: str) -> None:
    """`https`, or this machine."""
    api.answers[f"{API}/artifacts/7/zip"] = redirect(place)
    with pytest.raises(Refused):
        download(hub, UPLOAD, tmp_path, most_bytes=1_000_000)
    assert list(tmp_path.iterdir()) == []


def test_a_second_hop_is_followed_and_a_circle_is_not(hub: GitHub, storage: Host, tmp_path: Path) -> None:
    """Some servers send on once more."""
    storage.answers["/kept"] = in_turn(redirect("/there"), redirect("/kept"))
    storage.answers["/there"] = sends(ARCHIVE)
    assert download(hub, UPLOAD, tmp_path, most_bytes=1_000_000).exists()
    storage.answers["/kept"] = redirect("/kept")
    with pytest.raises(ServiceError, match="on and on"):
        download(hub, UPLOAD, tmp_path, most_bytes=1_000_000)


def test_what_is_gone(hub: GitHub, api: Host, tmp_path: Path) -> None:
    """GitHub says 410 of what has expired since it was listed."""
    api.answers[f"{API}/artifacts/7/zip"] = status(410)
    with pytest.raises(NotFound):
        download(hub, UPLOAD, tmp_path, most_bytes=1_000_000)
    with pytest.raises(NotFound, match="expired"):
        download(hub, Upload(7, "bundle", 10, expired=True, run_id=5), tmp_path, most_bytes=1_000_000)


def test_a_token_that_may_not(hub: GitHub, api: Host, tmp_path: Path) -> None:
    """It takes `actions: read`."""
    api.answers[f"{API}/artifacts/7/zip"] = status(403)
    with pytest.raises(PermissionMissing) as caught:
        download(hub, UPLOAD, tmp_path, most_bytes=1_000_000)
    assert caught.value.permission == "actions: read"


def test_uploads_of_all_pages(hub: GitHub, api: Host) -> None:
    """With a digest where GitHub tells one."""
    entries = [{"id": 7, "name": "bundle", "size_in_bytes": 3, "expired": False, "digest": "sha256:00"}]
    first = json.dumps({"total_count": 2, "artifacts": entries}).encode()
    second = json.dumps({"total_count": 2, "artifacts": [{**entries[0], "id": 8, "digest": None}]}).encode()
    more = f'<{api.url}{API}/more?page=2>; rel="next"'
    api.answers[f"{API}/runs/5/artifacts"] = sends(first, Link=more)
    api.answers[f"{API}/more"] = sends(second)
    found = uploads(hub, 5)
    assert [(upload.id, upload.digest, upload.run_id) for upload in found] == [(7, "sha256:00", 5), (8, "", 5)]
