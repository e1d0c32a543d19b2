"""What the git ledger promises beyond the contract: nobody's repository is touched, a network is not needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlops_ci import records
from mlops_ci.entities import Adoption, Author
from mlops_ci.errors import Conflict, ServiceError, UsageError
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


def run_ids(ledger: GitLedger) -> list[str]:
    return sorted(record.body["run_id"] for record in ledger.all())


def without_remote(work: Path) -> GitLedger:
    git(work, "remote", "remove", "origin")
    return ledger_of(work)


def with_remote(work: Path) -> GitLedger:
    git(work, "remote", "add", "origin", str(work.parent / "origin.git"))
    return ledger_of(work)


def test_a_refused_claim_leaves_nothing_behind_without_a_remote(work: Path) -> None:
    ledger = without_remote(work)
    one, two = a_record("one"), a_record("two")
    for _ in range(2):
        assert ledger.append([one], claims={"version/m/1": one}) is True
    with pytest.raises(Conflict, match="version/m/1 is taken"):
        ledger.append([two], claims={"version/m/2": two, "version/m/1": two})
    assert run_ids(ledger) == ["one"]
    assert ledger.claims("version") == {"version/m/1": one}


def test_a_refused_claim_loses_no_record_that_waited_before(work: Path) -> None:
    ledger = without_remote(work)
    one, two = a_record("one"), a_record("two")
    ledger.append([one], claims={"version/m/1": one})
    ledger.append([two])
    with pytest.raises(Conflict):
        ledger.append([two], claims={"version/m/1": two})
    assert run_ids(ledger) == ["one", "two"]


def test_records_and_claims_made_without_a_remote_are_sent_once_there_is_one(work: Path, tmp_path: Path) -> None:
    one, two = a_record("one"), a_record("two")
    ledger = without_remote(work)
    ledger.append([one], claims={"version/m/1": one})
    ledger.append([two])
    assert (ledger.pending(), ledger.sync()) == (0, 0)

    ledger = with_remote(work)
    assert ledger.pending() == 2
    assert (run_ids(ledger), ledger.find("run/one"), ledger.claims("version")) == (
        ["one", "two"],
        [one],
        {"version/m/1": one},
    )
    assert (ledger.sync(), ledger.pending(), ledger.sync()) == (2, 0, 0)
    other = ledger_of(clone(tmp_path / "origin.git", tmp_path / "other"))
    for view in (ledger, other):
        assert (run_ids(view), view.claims("version")) == (["one", "two"], {"version/m/1": one})


def test_a_waiting_claim_that_another_took_meanwhile_is_named_and_the_rest_is_sent(work: Path, tmp_path: Path) -> None:
    other = ledger_of(clone(tmp_path / "origin.git", tmp_path / "other"))
    mine, theirs, free, plain = (a_record(name) for name in ("mine", "theirs", "free", "plain"))
    ledger = without_remote(work)
    ledger.append([mine], claims={"version/m/1": mine})
    ledger.append([free], claims={"version/m/2": free})
    ledger.append([plain])
    other.append([theirs], claims={"version/m/1": theirs})

    ledger = with_remote(work)
    for _ in range(2):
        with pytest.raises(Conflict, match="version/m/1 is taken"):
            ledger.sync()
        assert ledger.pending() == 1
    assert run_ids(other) == ["free", "plain", "theirs"]
    for view in (ledger, other):
        assert view.claims("version") == {"version/m/1": theirs, "version/m/2": free}


def test_a_waiting_claim_is_not_overtaken_from_the_same_clone(work: Path) -> None:
    one, two = a_record("one"), a_record("two")
    without_remote(work).append([one], claims={"version/m/1": one})
    ledger = with_remote(work)
    with pytest.raises(Conflict):
        ledger.append([two], claims={"version/m/1": two})
    assert ledger.append([one], claims={"version/m/1": one}) is True
    assert (ledger.pending(), ledger.sync()) == (0, 0)


def junk(remote: Path, name: str, content: bytes | None) -> None:
    """Push, as anybody may, a commit with *content* as its record.json (None: without one) to the ref *name*."""
    lines = ""
    if content is not None:
        (remote / "junk").write_bytes(content)
        lines = f"100644 blob {git(remote, 'hash-object', '-w', 'junk')}\trecord.json"
    tree = git(remote, "mktree", stdin=lines)
    git(remote, "update-ref", name, git(remote, "commit-tree", tree, "-m", "junk"))


SOUND = a_record("sound")
PARTIAL = records.Record(kind="adoption", schema="1.0", time=SOUND.time, author=SOUND.author, body={"run_id": "one"})
TIMELESS = records.new(SOUND.read(Adoption), author=SOUND.author, time="soon")
JUNK = {
    "no record.json": ("run/one/" + "0" * 64, None),
    "no JSON": ("run/one/" + "0" * 64, b"garbage\xff"),
    "no record": ("run/one/" + "0" * 64, b"{}"),
    "half a surrogate": (
        "run/one/" + "0" * 64,
        records.encode(SOUND).replace(b'"sound"', b'"\\ud800"'),
    ),
    "a kind that nobody knows": ("run/one/" + "0" * 64, records.encode(SOUND).replace(b'"adoption"', b'"nothing"')),
    "a body that is none of its kind": (f"run/one/{PARTIAL.id}", records.encode(PARTIAL)),
    "a time that is none": (f"run/sound/{TIMELESS.id}", records.encode(TIMELESS)),
    "a record under another key": (f"run/one/{SOUND.id}", records.encode(SOUND)),
    "a record under another id": ("run/sound/" + "0" * 64, records.encode(SOUND)),
    "a key itself": ("run/one", records.encode(SOUND)),
    "a name in other letters": ("run/one/\u2028x\u0085", b"garbage"),
}


@pytest.mark.parametrize(("name", "content"), JUNK.values(), ids=JUNK)
def test_junk_among_the_records_stops_nobody(work: Path, tmp_path: Path, name: str, content: bytes | None) -> None:
    ledger = ledger_of(work)
    ledger.append([a_record("two")])
    junk(tmp_path / "origin.git", f"refs/mlops/records/{name}", content)
    for view in (ledger, ledger_of(clone(tmp_path / "origin.git", tmp_path / "other"))):
        assert run_ids(view) == ["two"]
        assert view.find("run/one", "run/sound") == []
        assert [record.body["run_id"] for record in view.find("run")] == ["two"]


@pytest.mark.parametrize("content", [None, b"garbage"])
def test_junk_among_the_claims_is_left_out_and_named_when_it_is_in_the_way(
    work: Path, tmp_path: Path, content: bytes | None
) -> None:
    ledger, one, two = ledger_of(work), a_record("one"), a_record("two")
    ledger.append([one], claims={"version/m/1": one})
    junk(tmp_path / "origin.git", "refs/mlops/claims/version/m/2", content)
    assert ledger.claims("version/m") == {"version/m/1": one}
    assert ledger.claims("version/m/2") == {}
    with pytest.raises(Conflict, match="refs/mlops/claims/version/m/2"):
        ledger.append([two], claims={"version/m/2": two})
    assert run_ids(ledger) == ["one"]


def test_what_was_deleted_at_the_remote_is_gone_here_but_not_what_waits(work: Path, tmp_path: Path) -> None:
    remote, ledger = tmp_path / "origin.git", ledger_of(work)
    gone, waits = a_record("gone"), a_record("waits")
    ledger.append([gone], claims={"version/m/1": gone})
    assert (run_ids(ledger), len(ledger.claims("version"))) == (["gone"], 1)
    remote.rename(tmp_path / "away")
    assert ledger.append([waits]) is False
    (tmp_path / "away").rename(remote)
    for line in git(remote, "for-each-ref", "--format=delete %(refname)", "refs/mlops").splitlines():
        git(remote, "update-ref", "--stdin", stdin=f"{line}\n")

    assert (run_ids(ledger), ledger.find("sha/" + "a" * 40), ledger.claims("version")) == (["waits"], [waits], {})
    assert (ledger.find("run/waits"), ledger.find("run/gone")) == ([waits], [])
    assert (ledger.sync(), ledger.pending()) == (1, 0)
    other = ledger_of(clone(remote, tmp_path / "other"))
    for view in (ledger, other):
        assert run_ids(view) == ["waits"]


@pytest.mark.parametrize("folder", ["records/run", "claims/version/m"])
def test_a_ref_that_stood_in_the_way_of_a_folder_is_forgotten_once_it_is_deleted(
    work: Path, tmp_path: Path, folder: str
) -> None:
    remote, ledger, one = tmp_path / "origin.git", ledger_of(work), a_record("one")
    junk(remote, f"refs/mlops/{folder}", None)
    assert (run_ids(ledger), ledger.claims("version")) == ([], {})
    git(remote, "update-ref", "-d", f"refs/mlops/{folder}")
    ledger_of(clone(remote, tmp_path / "other")).append([one], claims={"version/m/1": one})
    assert (ledger.find("run/one"), ledger.claims("version/m/1")) == ([one], {"version/m/1": one})


def test_a_repository_that_cannot_be_made_leaves_nothing(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DEFAULT_HASH", "none such")
    with pytest.raises(UsageError):
        ledger_of(work).find("run/one")
    assert list((work / ".git/mlops").iterdir()) == []
