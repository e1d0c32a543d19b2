"""The repositories of our own: several processes at once, and processes that were killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_ci.errors import ServiceError
from mlops_ci.git import Checkout
from mlops_ci.git.side import PushRefused, SideRepository
from tests.repositories import git

BUSY = """
import sys
from pathlib import Path
from mlops_ci.git import Checkout
from mlops_ci.git.side import SideRepository
side = SideRepository(Checkout.find(Path(sys.argv[1])), "ledger")
for number in range(5):
    side.fetch(["+refs/heads/*:refs/heads/*"], "--prune", "--depth=1", "--filter=tree:2")
    side.push({f"refs/mlops/x/{sys.argv[2]}-{number}": side.refs("refs/heads/main")["refs/heads/main"]})
"""


@pytest.fixture
def side(work: Path) -> SideRepository:
    return SideRepository(Checkout.find(work), "ledger")


def test_processes_that_fetch_and_push_at_once_wait_for_each_other(work: Path) -> None:
    """Git alone ends with "shallow.lock: File exists" here."""
    busy = [
        subprocess.Popen([sys.executable, "-c", BUSY, str(work), str(index)], stderr=subprocess.PIPE, text=True)
        for index in range(6)
    ]
    assert [one.communicate()[1] for one in busy] == [""] * 6
    assert len(git(work.parent / "origin.git", "for-each-ref", "refs/mlops").splitlines()) == 30


@pytest.mark.parametrize("lock", ["shallow.lock", "packed-refs.lock", "refs/heads/main.lock"])
def test_a_lock_that_a_killed_git_left_is_in_nobodys_way(side: SideRepository, lock: str) -> None:
    side.fetch(["+refs/heads/*:refs/heads/*"])
    (side.path / lock).touch()
    side.update("delete refs/heads/main")
    side.fetch(["+refs/heads/*:refs/heads/*"], "--depth=1")
    assert list(side.refs()) == ["refs/heads/main"]


def test_packing_loses_nothing_that_a_ref_leads_to(side: SideRepository) -> None:
    for number in range(60):
        blob = side.run(["hash-object", "-w", "--stdin"], stdin=b"%d" % number).decode().strip()
        side.update(f"update refs/mlops/x/{number} {blob}")
        side.change(["pack-objects", "--quiet", str(side.path / "objects/pack/pack")], stdin=blob.encode())
    before = side.refs()
    assert len(list((side.path / "objects/pack").glob("*.pack"))) == 60
    side.tidy()
    assert len(list((side.path / "objects/pack").glob("*.pack"))) == 1
    assert side.refs() == before
    assert side.read(list(before.values())) == side.read(list(before))
    assert None not in side.read(list(before))


def test_a_refusal_is_told_from_a_remote_that_is_away(work: Path, side: SideRepository) -> None:
    side.fetch(["+refs/heads/*:refs/heads/*"])
    main = side.refs()["refs/heads/main"]
    with pytest.raises(PushRefused):
        side.push({"refs/mlops/x": main}, replacing={"refs/mlops/x": "1" * 40})
    (work.parent / "origin.git").rename(work.parent / "away.git")
    with pytest.raises(Exception, match="did not do what was asked") as raised:
        side.push({"refs/mlops/x": main})
    assert not isinstance(raised.value, PushRefused)


def test_the_address_of_the_remote_is_in_no_process_list_and_no_file(work: Path, side: SideRepository) -> None:
    side.fetch(["+refs/heads/*:refs/heads/*"], "--depth=1", "--filter=tree:2")
    assert str(work.parent / "origin.git") not in (side.path / "config").read_text("utf-8")


def test_refs_that_go_while_they_are_fetched_are_asked_for_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when another clone folds records meanwhile."""
    side = served_by(work, monkeypatch, unlucky=3)
    assert side.fetch(["+refs/heads/*:refs/heads/*"])
    assert "refs/heads/main" in side.refs()


def test_a_remote_whose_refs_always_go_is_given_up(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = served_by(work, monkeypatch, unlucky=99)
    with pytest.raises(ServiceError, match="not our ref"):
        side.fetch(["+refs/heads/*:refs/heads/*"])
    assert len((work.parent / "asked").read_text().splitlines()) == 4


def served_by(work: Path, monkeypatch: pytest.MonkeyPatch, *, unlucky: int) -> SideRepository:
    """The ledger's repository, whose remote says the first *unlucky* times that a ref has gone."""
    asked, server = work.parent / "asked", work.parent / "server"
    server.write_text(
        f'#!/bin/sh\necho x >>"{asked}"\nif [ "$(wc -l <"{asked}")" -le {unlucky} ]; then\n'
        f'echo "fatal: git upload-pack: not our ref {"0" * 40}" >&2\nexit 128\nfi\n'
        f'exec git-upload-pack "{work.parent / "origin.git"}"\n'
    )
    server.chmod(0o755)
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext")
    git(work, "remote", "set-url", "origin", f"ext::{server}")
    return SideRepository(Checkout.find(work), "ledger")
