"""What is published in a folder and in a bucket, what readers see meanwhile, and what is left when it fails."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from mlops_ci import config, digests
from mlops_ci.errors import ConfigError, InputError, ServiceError, UsageError
from mlops_ci.targets import Ask, Order
from mlops_ci.targets.uri import UriOptions, UriTarget, lease
from mlops_ci.targets.uri.folder import FolderPlace
from mlops_ci.targets.uri.place import Entry, Place, Stamped
from mlops_ci.targets.uri.s3 import S3Place
from tests.integration.served_model import free_port, sample_release

ROOT = Path(__file__).resolve().parents[3]
PROJECT = "cancer-detection"


class Killed(BaseException):
    """What ends a process where nothing of it goes on."""


class Mortal:
    """A place that dies before or after its n-th write, and does nothing from then on. *left* counts them down."""

    def __init__(self, place: Place, left: int, *, after: bool) -> None:
        self._place = place
        self.left = left
        self._after = after
        self.address = place.address

    def _do(self, what: Callable[..., Any], *given: Any) -> Any:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self._after):
            raise Killed
        done = what(*given)
        if self.left == 0:
            raise Killed
        return done

    def read(self, path: str) -> Stamped | None:
        return self._place.read(path)

    def digest(self, path: str) -> str | None:
        return self._place.digest(path)

    def list(self, folder: str) -> dict[str, Entry]:
        return self._place.list(folder)

    def pointed(self) -> str | None:
        return self._place.pointed()

    def write_if(self, path: str, data: bytes, tag: str) -> str:
        return str(self._do(self._place.write_if, path, data, tag))

    def put_file(self, path: str, source: Path, digest: str) -> None:
        self._do(self._place.put_file, path, source, digest)

    def delete(self, path: str, tag: str = "") -> None:
        self._do(self._place.delete, path, tag)

    def point(self, path: str | None) -> None:
        self._do(self._place.point, path)

    def tidy(self) -> None:
        self._do(self._place.tidy)


class Address:
    """Where models are published, orders for it, and what a command would do with them."""

    def __init__(self, options: dict[str, Any], place: Place, folder: Path) -> None:
        self.options = options
        self.place = place
        self.folder = folder

    def open(self, place: Place | None = None, name: str = "batch", **options: Any) -> UriTarget:
        """The target as the next command would open it."""
        read = msgspec.convert({**self.options, **options}, UriOptions)
        if not place and not options and isinstance(self.place, S3Place):
            place = self.place  # a client of its own takes a moment
        return UriTarget(name, read, project=PROJECT, state=self.folder, place=place)

    def order(self, version: str, **texts: str) -> Order:
        """An order of a model of two files which both say *version*, unless *texts* say otherwise."""
        service = self.folder / "services" / f"{version}-{len(texts)}"
        for name, text in {"weights.bin": version, "deep/er.json": version, **texts}.items():
            place = service / "model" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        files = digests.of_files(service / "model")
        release = sample_release(version=version, files=files, model_digest=digests.of_tree(files))
        return Order(files=self.open().render(release), plan_digest=f"plan-{version}", service=service)

    def deploy(self, order: Order, place: Place | None = None, **options: Any) -> str:
        """Deploy as a command does, and return the URI of the model."""
        target = self.open(place, **options)
        with target.lock("ann@example.org"):
            target.apply(order)
            url = target.wait(order)
            target.verify(order)
        return url

    def pointer(self) -> dict[str, Any]:
        """What `current.json` says; nothing if it is not there."""
        found = self.place.read("current.json")
        return dict(json.loads(found.data)) if found else {}

    def complete(self) -> bool:
        """Whether all that the pointer names is there."""
        said = self.pointer()
        return all(
            self.place.digest(f"{said['path']}/model/{file['path']}") == file["digest"] for file in said["files"]
        )

    def abandon(self) -> None:
        """Let the lock of a dead owner end."""
        found = self.place.read("lock.json")
        if found:
            note = {**json.loads(found.data), "expires": "2020-01-01T00:00:00.000000Z"}
            self.place.write_if("lock.json", json.dumps(note).encode(), found.tag)

    def versions(self) -> set[str]:
        """The versions whose folders are there."""
        return {path.split("/")[1].rpartition("-")[0] for path in self.place.list("versions")}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a server that speaks S3."""
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "sesame", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.full)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    if request.param == "folder":
        folder = tmp_path / "published here"
        return Address({"uri": str(folder)}, FolderPlace(folder), tmp_path)
    return bucket_at(request.getfixturevalue("s3"), tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Address:
    return Address({"uri": str(tmp_path / "published")}, FolderPlace(tmp_path / "published"), tmp_path)


def bucket_at(endpoint: str, tmp_path: Path) -> Address:
    """A bucket of its own."""
    name = f"models-{os.urandom(4).hex()}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
    options = {"uri": f"s3://{name}/churn/live", "endpoint": endpoint}
    return Address(options, S3Place(name, "churn/live", endpoint=endpoint), tmp_path)


def test_a_version_is_published_and_told(address: Address) -> None:
    order = address.order("1.0.0")
    assert address.open().status() is None
    url = address.deploy(order)
    said = address.pointer()
    assert re.fullmatch(r"versions/1\.0\.0-[0-9a-f]{12}", said["path"])
    assert url == f"{address.place.address}/{said['path']}/model"
    assert (said["project"], said["target"], said["version"]) == (PROJECT, "batch", "1.0.0")
    assert (said["plan_digest"], said["before"]) == ("plan-1.0.0", [])
    assert said["deployed_at"].endswith("Z")
    assert address.complete()
    status = address.open().status()
    assert status is not None
    assert (status.version, status.digest, status.url) == ("1.0.0", said["digest"], url)
    assert (status.plan_digest, status.ready) == ("plan-1.0.0", True)


def test_it_is_published_when_the_bundle_is_gone(address: Address) -> None:
    first, second = address.order("1"), address.order("2")
    address.deploy(first)
    address.deploy(second)
    address.deploy(msgspec.structs.replace(first, service=None))
    assert address.pointer()["version"] == "1"
    gone = msgspec.structs.replace(address.order("3"), service=None)
    with pytest.raises(UsageError, match=r"cancer 3 is not kept in .*: versions/3-.* is missing"):
        address.deploy(gone)
    assert address.pointer()["version"] == "1"


def test_the_same_again_writes_nothing(address: Address) -> None:
    order = address.order("1")
    address.deploy(order)
    before = address.place.read("current.json"), address.place.list("versions")
    lines: list[str] = []
    address.open().apply(order, lines.append)
    assert (address.place.read("current.json"), address.place.list("versions")) == before
    assert not [line for line in lines if "written" in line]


def test_another_plan_for_the_same_version_is_told(address: Address) -> None:
    order = address.order("1")
    address.deploy(order)
    address.deploy(msgspec.structs.replace(order, plan_digest="another"))
    assert (address.pointer()["plan_digest"], address.versions()) == ("another", {"1"})


def test_the_plan_is_what_is_done(address: Address) -> None:
    first, second = address.order("1"), address.order("2")
    target = address.open()
    assert [change.action for change in target.plan(first.files)] == ["create", "create"]
    address.deploy(first)
    assert [change.action for change in target.plan(first.files)] == ["same", "same"]
    folder, pointer = target.plan(second.files)
    assert (folder.action, pointer.action) == ("create", "update")
    assert folder.what.endswith(": 3 files to write")
    assert pointer.what == f"cancer 2 at {address.place.address}/current.json"
    assert '-  "version": "1",\n' in pointer.diff
    assert '+  "version": "2",\n' in pointer.diff
    address.place.delete(f"{address.pointer()['path']}/model/weights.bin")
    assert [change.action for change in target.plan(first.files)] == ["update", "same"]
    status = target.status()
    assert status is not None
    assert not status.ready
    address.deploy(first)
    assert address.complete()


def test_a_rollback_names_the_version_before(address: Address) -> None:
    first = address.order("1")
    address.deploy(first)
    address.deploy(address.order("2"))
    named = msgspec.structs.replace(first, service=None)
    address.open().rollback(named)
    address.open().verify(named)
    assert (address.pointer()["version"], address.pointer()["plan_digest"]) == ("1", "plan-1")
    assert address.versions() == {"1", "2"}


def test_a_rollback_to_what_is_not_kept_changes_nothing(address: Address) -> None:
    first, second = address.order("1"), address.order("2")
    address.deploy(second)
    with pytest.raises(ServiceError, match="cancer 1 is not kept"):
        address.open().rollback(msgspec.structs.replace(first, service=None))
    assert address.pointer()["version"] == "2"


def test_a_rollback_of_the_first_leaves_nothing_published(address: Address) -> None:
    address.open().rollback(None)
    address.open().apply(address.order("1"))
    address.open().rollback(None)
    assert address.pointer() == {}
    assert address.open().status() is None
    assert address.place.pointed() in {None, ""}


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_as_many_versions_stay_as_asked_for(address: Address, keep: int) -> None:
    """And never fewer than the current one and the one before."""
    for version in "12345":
        address.deploy(address.order(version), keep=keep)
    assert address.versions() == set("12345"[-max(keep, 2) :])


def test_what_was_gone_back_to_is_not_pruned(address: Address) -> None:
    """However old it is; nor is what it replaced."""
    first = address.order("1")
    for order in (first, address.order("2"), address.order("3")):
        address.deploy(order, keep=3)
    address.open().rollback(first)
    address.open(keep=1).verify(first)
    assert address.versions() == {"1", "3"}


def test_remove_leaves_what_is_not_ours(address: Address) -> None:
    for version in "12":
        address.deploy(address.order(version))
    path = address.pointer()["path"]
    foreign = {"notes.txt", f"{path}/model/notes.txt", "versions/theirs/manifest.json", "versions/theirs/model/x"}
    for name in foreign:
        address.place.write_if(name, b"{}", "")
    assert address.open().remove() is True
    there = {name for folder in ("versions", ".") for name in address.place.list(folder)}
    assert {name for name in foreign if name.startswith("versions")} == {
        name for name in there if name.startswith("versions")
    }
    assert address.place.read("notes.txt") is not None
    assert address.pointer() == {}
    assert address.open().remove() is False


def test_an_address_of_another_target_is_refused(address: Address) -> None:
    order = address.order("1")
    address.deploy(order)
    other = address.open(name="other")
    theirs = Order(files=other.render(sample_release(files=digests.of_files(order.service / "model"))))  # type: ignore[operator]
    for refused in (lambda: other.apply(theirs), lambda: other.plan(theirs.files)):
        with pytest.raises(UsageError, match="belongs to the target 'batch' of cancer-detection") as caught:
            refused()
        assert "targets.other.uri" in caught.value.hint
    assert other.status() is None
    assert other.remove() is False
    with pytest.raises(UsageError, match="is of the target 'batch' of cancer-detection, and not of 'other'"):
        other.apply(order)
    assert address.pointer()["version"] == "1"


def test_a_smoke_test_has_nobody_to_ask(address: Address) -> None:
    def smoke(ask: Ask) -> None:
        raise AssertionError(ask)

    order = address.order("1")
    address.open().apply(order)
    address.open().verify(order, smoke)


@pytest.mark.parametrize("path", ["weights.bin", "deep/er.json"])
def test_a_file_that_was_changed_under_it_is_found_and_mended(address: Address, path: str) -> None:
    """Of the same size, even."""
    order = address.order("1")
    address.deploy(order)
    place = f"{address.pointer()['path']}/model/{path}"
    found = address.place.read(place)
    assert found is not None
    address.place.write_if(place, b"x" * len(found.data), found.tag)
    with pytest.raises(ServiceError, match=f"{path} in .* is not what was ordered"):
        address.open().verify(order)
    address.deploy(order)
    assert address.complete()
    address.place.delete(place)
    with pytest.raises(ServiceError, match=f"{path} in .* is missing"):
        address.open().verify(order)
    address.deploy(order)
    assert address.complete()


def test_a_manifest_that_was_changed_is_found_and_mended(address: Address) -> None:
    order = address.order("1")
    address.deploy(order)
    place = f"{address.pointer()['path']}/manifest.json"
    found = address.place.read(place)
    assert found is not None
    address.place.write_if(place, b"{}", found.tag)
    with pytest.raises(ServiceError, match=r"manifest\.json in .* is not what was ordered"):
        address.open().verify(order)
    address.deploy(order)


def test_another_version_than_the_ordered_one_does_not_pass(address: Address) -> None:
    with pytest.raises(ServiceError, match=r"nothing is published in .*, and not cancer 1"):
        address.open().verify(address.order("1"))
    address.deploy(address.order("2"))
    with pytest.raises(ServiceError, match=r"cancer 2 is published in .*, and not cancer 1"):
        address.open().verify(address.order("1"))


def test_a_model_that_is_not_the_ordered_one_is_refused_before_anything_is_written(address: Address) -> None:
    order = address.order("1")
    assert order.service is not None
    (order.service / "model/weights.bin").write_text("longer")
    with pytest.raises(UsageError, match=r"weights\.bin is not the file that manifest\.json names"):
        address.open().apply(order)
    assert address.place.list("versions") == {}
    (order.service / "model/weights.bin").write_text("2")
    with pytest.raises(ServiceError, match=r"weights\.bin is not the file sha256:.* that was ordered"):
        address.open().apply(order)
    assert address.pointer() == {}


def test_two_commands_at_once_do_not_both_deploy(address: Address) -> None:
    with (
        address.open().lock("ann@example.org on build-7"),
        pytest.raises(ServiceError, match=r"ann@example\.org on build-7 is changing the target 'batch' in ") as caught,
        address.open().lock("bob"),
    ):
        raise AssertionError
    assert "if its owner died" in caught.value.hint
    with address.open().lock("bob"):
        pass
    assert address.place.read("lock.json") is None


def test_the_lock_of_a_dead_owner_is_taken_over_once(address: Address) -> None:
    """Of several who wait for it, by one."""
    lost = lease.Lease(address.place, "batch", "ann", 300)
    lost.take()
    address.abandon()
    taken, refused, ready = [], [], threading.Barrier(4)

    def take(number: int) -> None:
        one = lease.Lease(address.place, "batch", f"owner {number}", 300)
        ready.wait()
        try:
            one.take()
        except ServiceError as error:
            refused.append(error)
        else:
            taken.append(one)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The server that stands in for S3 looks and writes in two steps, so there two may believe that they have it.
    holding = [one for one in taken if holds(one)]
    assert len(holding) == 1
    if "file" in address.place.address:
        assert (len(taken), len(refused)) == (1, 3)
    with pytest.raises(ServiceError, match="was lost to owner"):
        lost.demand()
    lost.give_back()
    holding[0].demand()


def holds(one: lease.Lease) -> bool:
    try:
        one.demand()
    except ServiceError:
        return False
    return True


def test_whoever_lost_the_lock_publishes_nothing(address: Address) -> None:
    address.deploy(address.order("1"))
    target, order = address.open(), address.order("2")
    with target.lock("ann"):
        address.abandon()
        with address.open().lock("bob"):
            with pytest.raises(ServiceError, match=r"the lock of the target 'batch' in .* was lost to bob"):
                target.apply(order)
            with pytest.raises(ServiceError, match="was lost to bob"):
                target.rollback(None)
        with pytest.raises(ServiceError, match="was lost to somebody who has let go of it"):
            target.apply(order)
    assert address.pointer()["version"] == "1"


def test_a_pointer_that_somebody_else_swapped_meanwhile_is_not_overwritten(address: Address) -> None:
    """Also without a lock that told."""

    class Hasty(Mortal):
        """Between its reading of the pointer and its writing, somebody else publishes."""

        def write_if(self, path: str, data: bytes, tag: str) -> str:
            if path == "current.json":
                address.open().apply(second)
            return self._place.write_if(path, data, tag)

    address.deploy(address.order("1"))
    second = address.order("2")
    with pytest.raises(ServiceError, match=r"somebody else changed current\.json in .* meanwhile"):
        address.open(Hasty(address.place, 1000, after=True)).apply(address.order("3"))
    assert address.pointer()["version"] == "2"


def test_a_lock_is_renewed_while_it_is_held(address: Address) -> None:
    def expires() -> str:
        found = address.place.read("lock.json")
        assert found is not None
        return str(json.loads(found.data)["expires"])

    with lease.held(address.place, "batch", "ann", valid_s=0.6) as held:
        first = expires()
        end = time.monotonic() + 60
        while expires() == first:
            assert time.monotonic() < end, "nobody renews it"
        held.demand()


@pytest.mark.parametrize("text", ["", "[]", '{"owner": "ann"}', '{"owner": "a", "token": "b", "expires": "never"}'])
def test_a_lock_that_is_none_is_not_taken_over(folder: Address, text: str) -> None:
    folder.place.write_if("lock.json", text.encode(), "")
    with pytest.raises(ServiceError, match=r"lock\.json in file:.* is not a lock"), folder.open().lock("ann"):
        raise AssertionError


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_write_the_pointer_names_a_complete_version(address: Address, after: bool) -> None:  # noqa: FBT001
    """And the same command finishes; until no write is left to be killed at."""
    address.deploy(address.order("0"), keep=1)
    for number in range(1, 100):
        address.deploy(address.order(f"{number}-a"), keep=1)
        order = address.order(f"{number}-b")
        mortal = Mortal(address.place, number, after=after)
        with suppress(Killed):
            address.deploy(order, mortal, keep=1)
        assert address.complete()
        assert address.pointer()["version"] in {f"{number}-a", f"{number}-b"}
        address.abandon()
        address.deploy(order, keep=1)
        assert address.complete()
        assert address.versions() == {f"{number}-a", f"{number}-b"}
        if mortal.left > 0:
            break
    assert 8 < number < 30


def test_killed_at_any_write_a_removal_is_finished_by_the_next(address: Address) -> None:
    first, second = address.order("1"), address.order("2")
    for number in range(1, 100):
        address.deploy(first)
        address.deploy(second)
        mortal = Mortal(address.place, number, after=False)
        with suppress(Killed):
            address.open(mortal).remove()
        address.abandon()
        address.open().remove()
        assert address.pointer() == {}
        assert address.place.list("versions") == {}
        if mortal.left > 0:
            break
    assert 8 < number < 30


def test_a_killed_first_deployment_is_taken_away_by_remove(address: Address) -> None:
    for number in range(2, 5):
        with suppress(Killed):
            address.deploy(address.order("1"), Mortal(address.place, number, after=True))
        address.abandon()
        address.open().remove()
        assert address.place.list("versions") == {}


def test_readers_never_see_a_mixture(folder: Address) -> None:
    """Of fifty swaps: what `current.json` names is whole, and so is what the link leads to."""
    orders = [folder.order(str(number)) for number in range(5)]
    folder.deploy(orders[0])
    home, over = Path(folder.options["uri"]), threading.Event()
    read_once = threading.Event()
    wrong: list[Any] = []

    def read() -> None:
        while not over.is_set():
            said = json.loads((home / "current.json").read_bytes())
            linked = (home / "current").resolve()
            for each, version in ((home / said["path"], said["version"]), (linked, None)):
                texts = {(each / "model" / name).read_text() for name in ("weights.bin", "deep/er.json")}
                manifest = json.loads((each / "manifest.json").read_bytes())
                if texts != {manifest["version"]} or version not in {None, manifest["version"]}:
                    wrong.append((said, texts))
            read_once.set()

    def guarded() -> None:
        try:
            read()
        except Exception as error:  # noqa: BLE001  # whatever a reader meets is the answer
            wrong.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    for number in range(50):
        read_once.clear()
        folder.open().apply(orders[number % 5])
        assert read_once.wait(60), wrong
    over.set()
    thread.join()
    assert not wrong


def test_the_link_follows_the_pointer(folder: Address) -> None:
    home = Path(folder.options["uri"])
    order = folder.order("2")
    for version, each in [("1", folder.order("1")), ("2", order)]:
        folder.deploy(each)
        assert (home / "current/model/weights.bin").read_text() == version
    (home / "current").unlink()
    with pytest.raises(ServiceError, match=r"the link `current` in file:.* does not lead to cancer 2"):
        folder.open().verify(order)
    assert [change.action for change in folder.open().plan(order.files)] == ["same", "update"]
    folder.deploy(order)
    assert (home / "current").readlink() == Path(folder.pointer()["path"])


def test_a_folder_of_somebody_elses_where_the_link_goes_stays(folder: Address) -> None:
    (Path(folder.options["uri"]) / "current").mkdir(parents=True)
    with pytest.raises(ServiceError, match="cannot write current in "):
        folder.deploy(folder.order("1"))
    folder.open().rollback(None)
    assert (Path(folder.options["uri"]) / "current").is_dir()


def test_published_files_are_as_readable_as_others(folder: Address) -> None:
    mask = os.umask(0o022)
    try:
        folder.deploy(folder.order("1"))
    finally:
        os.umask(mask)
    for path in Path(folder.options["uri"]).rglob("*.*"):
        assert path.is_dir() or path.stat().st_mode & 0o777 == 0o644, path


def test_what_killed_writers_left_is_tidied_after_an_hour(folder: Address) -> None:
    home = Path(folder.options["uri"])
    folder.deploy(folder.order("1"))
    (home / ".partial").mkdir(exist_ok=True)
    old, young = home / ".partial/old", home / ".partial/young"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    folder.deploy(folder.order("2"))
    assert (old.exists(), young.exists()) == (False, True)


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond *size_bytes*."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_one_sentence(folder: Address) -> None:
    """The write fails in the middle of a file; what was published stays, and nothing half written is left."""
    folder.deploy(folder.order("1"))
    order = folder.order("2", large="x" * 100_000)
    with (
        disk_of(50_000),
        pytest.raises(ServiceError, match=r"cannot write versions/2-.*/model/.* File too large") as caught,
    ):
        folder.open().apply(order)
    assert "make room" in caught.value.hint
    assert folder.pointer()["version"] == "1"
    assert folder.place.list(".partial") == {}
    folder.deploy(order)


def test_a_folder_that_cannot_be_written_is_one_sentence(folder: Address) -> None:
    Path(folder.options["uri"]).write_text("a file")
    with pytest.raises(ServiceError, match=r"cannot write lock\.json in .*published: File exists"):
        folder.deploy(folder.order("1"))


def test_a_pointer_that_cannot_be_read_is_one_sentence(address: Address) -> None:
    address.deploy(address.order("1"))
    whole = address.pointer()
    hostile = [{**whole, "path": "versions/../../etc-000000000000"}, {**whole, "path": "/etc"}, {**whole, "files": []}]
    for text in ["", "{", "[]", *map(json.dumps, hostile)]:
        found = address.place.read("current.json")
        assert found is not None
        address.place.write_if("current.json", text.encode(), found.tag)
        with pytest.raises(ServiceError, match=r"current\.json in .* cannot be read: "):
            address.open().status()


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a//b", ".", "", "..\\x"])
def test_a_manifest_that_leads_out_of_the_folder_is_refused(folder: Address, path: str) -> None:
    said = json.loads(folder.order("1").files["manifest.json"])
    said["files"][0]["path"] = path
    files = {"manifest.json": json.dumps(said)}
    assert "leads out of the folder" in folder.open().check(files).problems[0]
    with pytest.raises(InputError, match="leads out"):
        folder.open().apply(Order(files=files, service=folder.folder))


def test_a_manifest_names_each_file_once_and_by_a_digest(folder: Address) -> None:
    said = json.loads(folder.order("1").files["manifest.json"])
    twice = json.dumps({**said, "files": said["files"] * 2})
    assert "is there twice" in folder.open().check({"manifest.json": twice}).problems[0]
    no_digest = json.dumps({**said, "digest": "1"})
    assert (
        "manifest.json: Expected `str` matching regex" in folder.open().check({"manifest.json": no_digest}).problems[0]
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(version=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100))
def test_whatever_a_version_is_called_its_folder_is_below_the_address(folder: Address, version: str) -> None:
    target = folder.open()
    url = target.wait(Order(files=target.render(sample_release(version=version))))
    path = url.removeprefix(f"{folder.place.address}/")
    assert re.fullmatch(r"versions/[A-Za-z0-9_+][A-Za-z0-9._+-]*-[0-9a-f]{12}/model", path)


def test_what_a_template_adds_is_published_too(folder: Address, tmp_path: Path) -> None:
    source = (ROOT / "templates/targets/uri/manifest.json.j2").read_text()
    place = tmp_path / "templates/targets/uri/manifest.json.j2"
    place.parent.mkdir(parents=True)
    place.write_text(source.replace('"files"', '"team": "risk",\n  "files"'))
    order = folder.order("1")
    release = sample_release(files=digests.of_files(order.service / "model"))  # type: ignore[operator]
    folder.deploy(msgspec.structs.replace(order, files=folder.open().render(release, tmp_path / "templates")))
    assert folder.pointer()["team"] == "risk"


def test_the_life_of_a_bucket(s3: str, tmp_path: Path) -> None:
    """Published, replaced, gone back, another one refused, removed."""
    bucket = bucket_at(s3, tmp_path)
    first, second = bucket.order("1"), bucket.order("2")
    assert bucket.deploy(first, keep=2).startswith("s3://models-")
    bucket.deploy(second)
    target = bucket.open()
    with target.lock("ann"), pytest.raises(ServiceError, match=r"^ann is changing"), bucket.open().lock("bob"):
        raise AssertionError
    target.rollback(msgspec.structs.replace(first, service=None))
    target.verify(first)
    assert bucket.complete()
    assert (bucket.pointer()["version"], bucket.versions()) == ("1", {"1", "2"})
    assert target.remove() is True
    assert bucket.place.list("versions") == {}
    assert target.status() is None


def test_what_a_bucket_answers_is_one_sentence(s3: str, tmp_path: Path) -> None:
    """And no key is in it."""
    bucket = bucket_at(s3, tmp_path)
    for code, status, sentence in [
        ("AccessDenied", 403, "access is denied"),
        ("NoSuchBucket", 404, "there is no such bucket"),
        ("InternalError", 500, "the service answered 500 InternalError"),
        ("SignatureDoesNotMatch", 403, "the secret key is wrong"),
        ("ExpiredToken", 400, "the session has expired"),
        ("Unheard", 418, "the service answered 418 Unheard"),
    ]:
        with answering(status, code) as endpoint:
            with pytest.raises(ServiceError, match=sentence) as caught:
                bucket.open(endpoint=endpoint).remove()
            assert caught.value.hint
            assert "sesame" not in f"{caught.value} {caught.value.hint}"


def test_a_bucket_that_is_not_there_is_one_sentence(s3: str, tmp_path: Path) -> None:
    bucket = bucket_at(s3, tmp_path)
    with pytest.raises(ServiceError, match=r"cannot read current\.json in s3://not-there: there is no such bucket"):
        bucket.open(uri="s3://not-there").apply(bucket.order("1"))


def test_a_service_that_does_not_answer_is_one_sentence(s3: str, tmp_path: Path) -> None:
    bucket, nobody = bucket_at(s3, tmp_path), f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceError, match=f"{nobody} does not answer") as caught:
        bucket.open(endpoint=nobody).status()
    assert "`endpoint`" in caught.value.hint


def test_missing_credentials_and_profiles_are_one_sentence(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = bucket_at(s3, tmp_path)
    with pytest.raises(ServiceError, match="there is no such profile"):
        bucket.open(profile="nobody").status()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(ServiceError, match="there are no credentials") as caught:
        bucket.open().status()
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_an_upload_that_is_denied_says_why(s3: str, tmp_path: Path) -> None:
    bucket = bucket_at(s3, tmp_path)
    order = bucket.order("1")
    assert order.service is not None
    source = order.service / "model/weights.bin"
    with answering(403, "AccessDenied") as endpoint:
        denied = S3Place("bucket", "x", endpoint=endpoint)
        with pytest.raises(ServiceError, match="cannot write weights in s3://bucket/x: access is denied"):
            denied.put_file("weights", source, digests.of_file(source))


def test_a_write_whose_answer_was_lost_is_ours(s3: str, tmp_path: Path) -> None:
    """The SDK tries again, and is told that something is there already: what it had written."""
    bucket = bucket_at(s3, tmp_path)
    tag = bucket.place.write_if("x", b"mine", "")
    assert bucket.place.write_if("x", b"mine", "") == tag


@contextmanager
def answering(status: int, code: str) -> Iterator[str]:
    """A server that answers everything with *status* and S3's *code*."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415  # only here

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<Error><Code>{code}</Code><Message>sesame</Message></Error>".encode()
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_DELETE = do_GET  # noqa: N815  # the server's own names

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"uri": "s3://ann:sesame@bucket/x"}, "must not hold credentials"),
        ({"uri": "s3://sesame@bucket/x"}, "must not hold credentials"),
        ({"uri": "file://ann:sesame@host/x"}, "must not hold credentials"),
        ({"uri": "https://ann:sesame@host/x"}, "must not hold credentials"),
        ({"uri": "s3://bucket", "endpoint": "https://ann:sesame@host"}, "endpoint must not hold credentials"),
        ({"uri": "s3://bucket", "endpoint": "sesame"}, "endpoint is not like https"),
        ({"uri": "az://container/x"}, "az:// cannot be published to yet"),
        ({"uri": "gs://bucket/x"}, "gs:// cannot be published to yet"),
        ({"uri": "https://host/x"}, "neither a folder, nor file://, nor s3://"),
        ({"uri": "folder/x"}, "not the absolute path"),
        ({"uri": ""}, "not the absolute path"),
        ({"uri": "file://host/x"}, "not the absolute path"),
        ({"uri": "/a/../b"}, "not the absolute path"),
        ({"uri": "s3://"}, "not like s3://bucket/prefix"),
        ({"uri": "s3://b/../x"}, "not like s3://bucket/prefix"),
        ({"uri": "s3://bucket/a//b"}, "empty part"),
        ({"uri": "/a", "profile": "x"}, "belong to s3://"),
        ({"uri": "/a", "keep": 0}, "keep"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_options(options: dict[str, Any], sentence: str) -> None:
    """With no secret in what is said."""
    text = json.dumps({"project": "x", "targets": {"batch": {"kind": "uri", **options}}})
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "mlops.yaml")
    assert sentence in str(caught.value)
    assert "sesame" not in f"{caught.value} {caught.value.hint}"


def test_a_file_address_is_its_folder(tmp_path: Path) -> None:
    assert UriOptions(uri="file:///a/b%20c").folder == Path("/a/b c")
    assert UriOptions(uri="file://localhost/a").folder == Path("/a")
    assert UriOptions(uri="s3://bucket/").bucket == ("bucket", "")
    assert FolderPlace(tmp_path / "b c").address == f"file://{tmp_path}/b%20c"


def test_the_documented_client_loads_each_version_once(folder: Address) -> None:
    """It also lives through an address where nothing is yet, and leaves out what is not what was published."""
    program = [sys.executable, "-u", "-c", CLIENT, str(ROOT / "docs/examples/reload.py"), folder.place.address]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        try:
            assert "the model that is loaded stays: " in client.stderr.readline()
            folder.deploy(folder.order("1"))
            assert client.stdout.readline() == "1 1\n"
            folder.deploy(folder.order("2"))
            assert client.stdout.readline() == "2 2\n"
            wrong = folder.order("3")
            folder.open().apply(folder.order("2"))
            said = folder.open().wait(wrong).removeprefix(folder.place.address).strip("/")
            folder.open().apply(wrong, lambda line: spoil(folder, said) if "names" not in line else None)
            while "weights.bin is not what was published" not in client.stderr.readline():
                pass
            folder.deploy(wrong)
            assert client.stdout.readline() == "3 3\n"
        finally:
            client.kill()


CLIENT = """
import runpy, sys
client = runpy.run_path(sys.argv[1])
show = lambda folder, said: print(said["version"], (folder / "weights.bin").read_text(), flush=True)
client["watch"](sys.argv[2], show, every_s=0.05)
"""


def spoil(folder: Address, model: str) -> None:
    """Change the weights after they were written, and before the pointer names them."""
    place = Path(folder.options["uri"]) / model / "weights.bin"
    if place.exists():
        place.write_text("x")


def test_no_answer_is_needed_to_import_the_target() -> None:
    """The SDK of a bucket is imported where there is one."""
    code = "import sys; import mlops_ci.targets.uri; print(sorted({'boto3', 'botocore'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_a_bucket_without_the_sdk_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from mlops_ci.errors import MissingDependency\n"
        "from mlops_ci.targets.uri.s3 import S3Place\n"
        "try: S3Place('bucket', '').read('x')\n"
        "except MissingDependency as error: print(error, error.hint)"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said == "boto3 is not installed pip install 'mlops-ci[s3]'\n"
