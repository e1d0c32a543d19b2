"""What every artifact store promises, checked against each."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from mlops_ci import digests
from mlops_ci.artifacts import PROVIDERS, ArtifactStore
from mlops_ci.artifacts.git import GitArtifacts
from mlops_ci.artifacts.local import LocalArtifacts
from mlops_ci.errors import IntegrityError, NotFound, UsageError
from mlops_ci.git import Checkout
from tests.repositories import ENVIRONMENT, clone, git, make_clone

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


def wait(store: ArtifactStore, digests_: list[str], folder: Path) -> None:
    """Let nobody have needed *digests_* for two days, as far as *store* knows."""
    store.mark(digests_)
    long_ago = datetime.now(UTC) - timedelta(days=2)
    if isinstance(store, LocalArtifacts):
        for digest in digests_:
            os.utime(store._place(digest), (long_ago.timestamp(), long_ago.timestamp()))
        return
    remote = folder / "origin.git"
    marks = {digest.removeprefix("sha256:"): long_ago.isoformat() for digest in digests_}
    blob = git(remote, "hash-object", "-w", "--stdin", stdin=json.dumps(marks))
    git(remote, "update-ref", "refs/mlops/unnamed", blob)


def yesterday() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


def names(store: ArtifactStore) -> set[str]:
    return {each.digest for each in store.stored()}


def test_what_is_stored_is_listed_elsewhere(opened: Open, files: dict[str, Path]) -> None:
    assert list(opened().stored()) == []
    opened().put(files)
    found = {each.digest: each.size_bytes for each in opened().stored()}
    assert found.keys() == files.keys()
    assert all(size in {None, files[digest].stat().st_size} for digest, size in found.items())


def test_only_what_waited_is_removed(opened: Open, files: dict[str, Path], tmp_path: Path) -> None:
    old, young, needed = files
    opened().put(files)
    wait(opened(), [old], tmp_path)
    opened().mark([old, young])
    assert opened().remove([old, young], before=yesterday()) == {old}
    assert names(opened()) == {young, needed}
    with pytest.raises(NotFound):
        opened().get([old], tmp_path / "out")


def test_what_is_put_again_no_longer_waits(opened: Open, files: dict[str, Path], tmp_path: Path) -> None:
    opened().put(files)
    wait(opened(), list(files), tmp_path)
    opened().put(dict([next(iter(files.items()))]))
    assert opened().remove(files, before=yesterday()) == set(list(files)[1:])
    assert names(opened()) == {next(iter(files))}


def test_what_was_removed_is_put_again_where_it_was_sent_before(
    opened: Open, files: dict[str, Path], tmp_path: Path
) -> None:
    trainer = opened()
    trainer.put(files)
    wait(opened(), list(files), tmp_path)
    assert opened().remove(files, before=yesterday()) == files.keys()
    assert trainer.put(files) is True
    assert opened().get(files, tmp_path / "out").keys() == files.keys()


def test_a_mark_that_stays_keeps_its_moment(opened: Open, files: dict[str, Path], tmp_path: Path) -> None:
    opened().put(files)
    wait(opened(), list(files), tmp_path)
    before = {each.digest: each.since for each in opened().stored()}
    opened().mark(files.keys())
    assert {each.digest: each.since for each in opened().stored()} == before


def test_what_was_removed_already_is_not_removed_again(opened: Open, files: dict[str, Path], tmp_path: Path) -> None:
    opened().put(files)
    wait(opened(), list(files), tmp_path)
    assert opened().remove(files, before=yesterday()) == files.keys()
    assert opened().remove(files, before=yesterday()) == set()
    assert opened().remove(["sha256:" + "0" * 64], before=yesterday()) == set()


def test_what_has_not_our_names_is_neither_listed_nor_removed_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "store/sha256/ab"
    folder.mkdir(parents=True)
    for name in ("notes.txt", "a" * 64, "AB" + "0" * 62):
        (folder / name).write_text("mine")
    store = LocalArtifacts(tmp_path / "store")
    assert list(store.stored()) == []
    assert store.remove(["sha256:" + "a" * 64], before=datetime.now(UTC)) == set()
    assert len(list(folder.iterdir())) == 3


def test_what_has_not_our_names_is_not_listed_in_git(work: Path) -> None:
    blob = git(work, "hash-object", "-w", "--stdin", stdin="mine")
    git(work, "push", "--quiet", "origin", f"{blob}:refs/mlops/objects/mine", f"{blob}:refs/mlops/others")
    assert list(GitArtifacts(Checkout.find(work)).stored()) == []


def test_junk_instead_of_marks_marks_nothing(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"these")
    files = {digests.of_bytes(b"these"): tmp_path / "file"}
    store = GitArtifacts(Checkout.find(work))
    for junk in ("no JSON", "[1]", '{"x": "y"}', json.dumps({next(iter(files)).removeprefix("sha256:"): "now"})):
        blob = git(work, "hash-object", "-w", "--stdin", stdin=junk)
        git(work, "push", "--quiet", "--force", "origin", f"{blob}:refs/mlops/unnamed")
        assert [each.since for each in store.stored()] in ([], [None])
        assert store.put(files) is True
        assert store.remove(files, before=datetime.now(UTC)) == set()


def test_a_folder_puts_back_what_a_killed_removal_left_aside(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"these")
    digest = digests.of_bytes(b"these")
    store = LocalArtifacts(tmp_path / "store")
    store.put({digest: tmp_path / "file"})
    place = store._place(digest)
    for look in (lambda: store.get([digest], tmp_path / "out"), lambda: list(store.stored())):
        place.rename(place.with_name(f".going-{place.name}"))
        assert look()
        assert place.read_bytes() == b"these"


def test_a_folder_loses_what_killed_writers_left_long_ago(tmp_path: Path) -> None:
    folder = tmp_path / "store/sha256/ab"
    folder.mkdir(parents=True)
    for name in (".partial-old", ".partial-young", ".mine"):
        (folder / name).write_text("half")
    for name in (".partial-old", ".mine"):
        os.utime(folder / name, (0, 0))
    LocalArtifacts(tmp_path / "store").remove([], before=yesterday())
    assert {path.name for path in folder.iterdir()} == {".partial-young", ".mine"}


def test_others_may_read_what_one_put_in_a_folder(tmp_path: Path) -> None:
    """As far as the process lets them: a share is there for the team."""
    (tmp_path / "file").write_bytes(b"these")
    digest = digests.of_bytes(b"these")
    store = LocalArtifacts(tmp_path / "store")
    before = os.umask(0o022)
    try:
        store.put({digest: tmp_path / "file"})
    finally:
        os.umask(before)
    assert store._place(digest).stat().st_mode & 0o777 == 0o644


MEANWHILE = """
import datetime, sys
from pathlib import Path
from mlops_ci.artifacts.git import GitArtifacts
from mlops_ci.git import Checkout

what, place, digest, file = sys.argv[1:]
store = GitArtifacts(Checkout.find(Path(place)))
if what == "put":
    assert store.put({digest: Path(file)})
else:
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    assert store.remove([digest], before=before) == {digest}
"""


def meanwhile(remote: Path, what: str, place: Path, digest: str, file: Path) -> Path:
    """Do *what*, from the clone at *place*, while the next push is under way: it was sent, and not taken yet."""
    done = remote.parent / "done"
    own = {**ENVIRONMENT, "PATH": os.environ["PATH"], "HOME": str(remote.parent)}
    words = ["env", "-i", *(f"{name}={value}" for name, value in own.items())]
    words += [sys.executable, "-c", MEANWHILE, what, str(place), digest, str(file)]
    hook = remote / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\n[ -e {done}.begun ] && exit 0\ntouch {done}.begun\n{shlex.join(words)} && touch {done}\n", "utf-8"
    )
    hook.chmod(0o755)
    return done


@pytest.mark.parametrize("first", ["put", "remove"])
def test_of_a_put_and_a_removal_at_once_in_git_the_put_stays(first: str, work: Path, tmp_path: Path) -> None:
    remote = tmp_path / "origin.git"
    (tmp_path / "file").write_bytes(b"these")
    digest = digests.of_bytes(b"these")
    one, two = (clone(remote, tmp_path / name) for name in ("one", "two"))
    store = GitArtifacts(Checkout.find(one))
    assert store.put({digest: tmp_path / "file"}) is True
    wait(store, [digest], tmp_path)
    done = meanwhile(remote, "remove" if first == "put" else "put", two, digest, tmp_path / "file")
    if first == "put":
        assert store.put({digest: tmp_path / "file"}) is True
    else:
        assert store.remove([digest], before=yesterday()) == set()
    assert done.exists()
    assert names(GitArtifacts(Checkout.find(work))) == {digest}
    elsewhere = GitArtifacts(Checkout.find(clone(remote, tmp_path / "elsewhere")))
    assert elsewhere.get([digest], tmp_path / "out")[digest].read_bytes() == b"these"


def test_many_put_the_same_bytes_into_a_fresh_remote_at_once(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"these")
    digest = digests.of_bytes(b"these")
    places = [clone(tmp_path / "origin.git", tmp_path / f"clone{number}") for number in range(8)]
    writers = [
        subprocess.Popen([sys.executable, "-c", MEANWHILE, "put", place, digest, tmp_path / "file"]) for place in places
    ]
    assert [writer.wait() for writer in writers] == [0] * 8
    assert names(GitArtifacts(Checkout.find(work))) == {digest}


def test_of_a_put_and_a_removal_at_once_in_a_folder_the_put_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"these")
    digest = digests.of_bytes(b"these")
    store = LocalArtifacts(tmp_path / "store")
    store.put({digest: tmp_path / "file"})
    place, start = store._place(digest), Barrier(2)

    def remove() -> None:
        start.wait()
        store.remove([digest], before=yesterday())

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor() as pool:
            for _ in range(2000):
                os.utime(place, (0, 0))
                removal = pool.submit(remove)
                start.wait()
                assert store.put({digest: tmp_path / "file"}) is True
                removal.result()
                assert place.read_bytes() == b"these"
    finally:
        sys.setswitchinterval(before)


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
