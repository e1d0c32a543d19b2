"""What every artifact store promises, checked against each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_ci import digests
from mlops_ci.artifacts import PROVIDERS, ArtifactStore
from mlops_ci.artifacts.git import GitArtifacts
from mlops_ci.artifacts.local import LocalArtifacts
from mlops_ci.errors import IntegrityError, NotFound, UsageError
from mlops_ci.git import Checkout
from tests.repositories import clone, git, make_clone

Open = Callable[[], ArtifactStore]


@pytest.fixture(params=sorted(PROVIDERS))
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store again and again, each time as another machine would."""
    if request.param == "local":
        return lambda: LocalArtifacts(tmp_path / "store")
    remote = make_clone(tmp_path).parent / "origin.git"
    count = iter(range(99))
    return lambda: GitArtifacts(Checkout.find(clone(remote, tmp_path / f"clone{next(count)}")))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three files: empty, text with line endings that git likes to change, and bytes."""
    found = {}
    for name, data in (("empty", b""), ("text", b"a\r\nb\n"), ("bytes", os.urandom(300_000))):
        (tmp_path / name).write_bytes(data)
        found[digests.of_bytes(data)] = tmp_path / name
    return found


def test_what_was_put_is_read_elsewhere_byte_by_byte(opened: Open, files: dict[str, Path], tmp_path: Path) -> None:
    assert opened().put(files) is True
    found = opened().get(files, tmp_path / "out")
    assert {digest: path.read_bytes() for digest, path in found.items()} == {
        digest: path.read_bytes() for digest, path in files.items()
    }


def test_putting_again_changes_nothing(opened: Open, files: dict[str, Path]) -> None:
    for store in (opened(), opened()):
        assert store.put(files) is True
        assert store.put(files) is True
        assert store.sync() == 0


def test_an_unknown_digest_is_one_sentence(opened: Open, files: dict[str, Path], tmp_path: Path) -> None:
    store = opened()
    store.put(files)
    with pytest.raises(NotFound, match="sha256:000000000000 is not among the artifacts"):
        store.get(["sha256:" + "0" * 64], tmp_path / "out")


def test_bytes_that_do_not_have_the_digest_are_refused(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"these")
    with pytest.raises(IntegrityError, match="does not have the digest"):
        opened().put({digests.of_bytes(b"those"): tmp_path / "file"})


def test_nothing_asked_for_is_nothing_brought(opened: Open, tmp_path: Path) -> None:
    assert opened().get([], tmp_path / "out") == {}


def test_swapped_bytes_are_noticed_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"these")
    digest = digests.of_bytes(b"these")
    store = LocalArtifacts(tmp_path / "store")
    store.put({digest: tmp_path / "file"})
    next((tmp_path / "store").rglob(digest.removeprefix("sha256:"))).write_bytes(b"those")
    with pytest.raises(IntegrityError):
        store.get([digest], tmp_path / "out")


def test_swapped_bytes_are_noticed_in_git(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"these")
    digest = digests.of_bytes(b"these")
    GitArtifacts(Checkout.find(work)).put({digest: tmp_path / "file"})
    remote = tmp_path / "origin.git"
    other = git(remote, "hash-object", "-w", "--stdin", stdin="those")
    git(remote, "update-ref", f"refs/mlops/objects/{digest.removeprefix('sha256:')}", other)
    elsewhere = clone(remote, tmp_path / "elsewhere")
    with pytest.raises(IntegrityError):
        GitArtifacts(Checkout.find(elsewhere)).get([digest], tmp_path / "out")


def test_git_takes_no_file_above_fifty_megabytes(work: Path, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(50_000_001)
    with pytest.raises(UsageError, match="takes 50 MB") as caught:
        GitArtifacts(Checkout.find(work)).put({"sha256:" + "0" * 64: tmp_path / "large"})
    assert "artifacts:" in caught.value.hint


def test_git_keeps_bytes_for_sync_while_the_remote_is_away(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"these")
    digest = digests.of_bytes(b"these")
    store = GitArtifacts(Checkout.find(work))
    (tmp_path / "origin.git").rename(tmp_path / "away")
    assert store.put({digest: tmp_path / "file"}) is False
    assert store.get([digest], tmp_path / "out")[digest].read_bytes() == b"these"
    (tmp_path / "away").rename(tmp_path / "origin.git")
    assert (store.sync(), store.sync()) == (1, 0)
    elsewhere = GitArtifacts(Checkout.find(clone(tmp_path / "origin.git", tmp_path / "other")))
    assert elsewhere.get([digest], tmp_path / "out2")[digest].read_bytes() == b"these"


def test_git_sends_what_was_put_offline_when_it_is_put_again(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"these")
    files = {digests.of_bytes(b"these"): tmp_path / "file"}
    store = GitArtifacts(Checkout.find(work))
    (tmp_path / "origin.git").rename(tmp_path / "away")
    assert [store.put(files), store.put(files)] == [False, False]
    (tmp_path / "away").rename(tmp_path / "origin.git")
    assert store.put(files) is True
    assert store.sync() == 0
    elsewhere = GitArtifacts(Checkout.find(clone(tmp_path / "origin.git", tmp_path / "other")))
    assert elsewhere.get(files, tmp_path / "out").keys() == files.keys()


@pytest.mark.parametrize("again", ["sync", "put"])
def test_git_sends_what_was_put_before_there_was_a_remote(work: Path, tmp_path: Path, again: str) -> None:
    (tmp_path / "file").write_bytes(b"these")
    files = {digests.of_bytes(b"these"): tmp_path / "file"}
    git(work, "remote", "remove", "origin")
    store = GitArtifacts(Checkout.find(work))
    assert store.put(files) is True
    assert store.sync() == 0
    git(work, "remote", "add", "origin", str(tmp_path / "origin.git"))
    store = GitArtifacts(Checkout.find(work))
    assert store.sync() == 1 if again == "sync" else store.put(files) is True
    elsewhere = GitArtifacts(Checkout.find(clone(tmp_path / "origin.git", tmp_path / "other")))
    assert elsewhere.get(files, tmp_path / "out").keys() == files.keys()
    assert store.sync() == 0
