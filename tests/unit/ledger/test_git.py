"""What the git ledger promises beyond the contract: nobody's repository is touched, a network is not needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlops_ci import records
from mlops_ci.entities import Adoption, Author
from mlops_ci.errors import Conflict, ServiceError
from mlops_ci.git import Checkout
from mlops_ci.ledger.git import GitLedger
from mlops_ci.records import Record
from tests.repositories import clone, commit, git


def a_record(run_id: str, author: str = "engineer") -> Record:
    adoption = Adoption(sha="a" * 40, tree="b" * 40, run_id=run_id)
    return records.new(adoption, author=Author(name=author, email="e@example.com"), time="2026-01-02T03:04:05.000006Z")


def ledger_of(folder: Path) -> GitLedger:
    return GitLedger(Checkout.find(folder))


def snapshot(folder: Path) -> dict[str, str]:
    """Everything of a user's repository that must stay as it is."""
    return {
        "config": (folder / ".git/config").read_text(),
        "refs": git(folder, "for-each-ref"),
        "status": git(folder, "status", "--porcelain", "--ignored"),
        "index": git(folder, "ls-files", "--stage"),
        "head": (folder / ".git/HEAD").read_text(),
        "shallow": str((folder / ".git/shallow").exists()),
        "objects": git(folder, "count-objects", "-v"),
    }


def test_the_users_repository_stays_as_it_is(work: Path) -> None:
    before = snapshot(work)
    ledger = ledger_of(work)
    ledger.append([a_record("one")], claims={"version/m/1.0.0": a_record("one")})
    ledger.find("run/one")
    list(ledger.all())
    assert snapshot(work) == before


def test_a_clone_made_later_holds_none_of_it(work: Path, tmp_path: Path) -> None:
    ledger_of(work).append([a_record("one")])
    later = clone(tmp_path / "origin.git", tmp_path / "later")
    assert "mlops" not in git(later, "for-each-ref")
    assert [record.body["run_id"] for record in ledger_of(later).find("run/one")] == ["one"]


def test_works_from_a_shallow_clone_on_a_detached_head(work: Path, tmp_path: Path) -> None:
    commit(work, {"a": "a"})
    git(work, "push", "--quiet", "origin", "HEAD:main")
    shallow = clone(tmp_path / "origin.git", tmp_path / "shallow", "--depth=1")
    git(shallow, "checkout", "--quiet", "--detach")
    before = snapshot(shallow)
    assert ledger_of(shallow).append([a_record("one")]) is True
    assert len(ledger_of(work).find("run/one")) == 1
    assert snapshot(shallow) == before


def test_the_same_record_is_the_same_commit_wherever_it_is_written(work: Path, tmp_path: Path) -> None:
    other = clone(tmp_path / "origin.git", tmp_path / "other")
    for folder in (work, other):
        assert ledger_of(folder).append([a_record("one")]) is True
    assert (
        len({line.split()[0] for line in git(tmp_path / "origin.git", "for-each-ref", "refs/mlops").splitlines()}) == 1
    )


@pytest.mark.parametrize("author", ["a <b> c", "line\nbreak", "", "名前", "null\0byte"])
def test_any_author_can_be_written(work: Path, author: str) -> None:
    ledger = ledger_of(work)
    ledger.append([a_record("one", author)])
    assert ledger.find("run/one")[0].author.name == author


def test_an_unreachable_remote_keeps_the_record_until_sync(work: Path, tmp_path: Path) -> None:
    remote, away = tmp_path / "origin.git", tmp_path / "away"
    ledger = ledger_of(work)
    remote.rename(away)
    assert ledger.append([a_record("one")]) is False
    assert ledger.pending() == 1
    with pytest.raises(ServiceError):
        ledger.sync()
    assert ledger.pending() == 1
    away.rename(remote)
    assert ledger.sync() == 1
    assert (ledger.pending(), ledger.sync()) == (0, 0)
    assert len(ledger_of(clone(remote, tmp_path / "other")).find("run/one")) == 1


def test_a_claim_needs_the_remote(work: Path, tmp_path: Path) -> None:
    ledger = ledger_of(work)
    (tmp_path / "origin.git").rename(tmp_path / "away")
    with pytest.raises(ServiceError):
        ledger.append([a_record("one")], claims={"version/m/1.0.0": a_record("one")})
    assert ledger.pending() == 0


def test_without_a_remote_the_clone_alone_is_the_ledger(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path, {"a": "a"})
    ledger = ledger_of(tmp_path)
    assert ledger.append([a_record("one")], claims={"version/m/1": a_record("one")}) is True
    with pytest.raises(Conflict):
        ledger.append([a_record("two")], claims={"version/m/1": a_record("two")})
    assert [record.body["run_id"] for record in ledger.find("run")] == ["one"]


def test_a_ledger_that_was_lost_here_is_read_again(work: Path) -> None:
    ledger_of(work).append([a_record("one")])
    shutil.rmtree(work / ".git/mlops")
    assert len(list(ledger_of(work).all())) == 1
