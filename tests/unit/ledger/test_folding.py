"""What folding promises: nobody notices it, whatever else happens at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ci import records
from mlops_ci.entities import Adoption, Author
from mlops_ci.errors import Conflict, IntegrityError, ServiceError
from mlops_ci.git import Checkout
from mlops_ci.ledger.git import GitLedger, folding, layout
from mlops_ci.ledger.git.folded import Folded
from mlops_ci.records import Record
from tests.repositories import clone, git, make_clone
from tests.wire import Wire

LEDGER = "refs/mlops/ledger"
GROWN = 30_000


def a_record(number: int) -> Record:
    adoption = Adoption(sha=f"{number:040x}", tree=f"{number:040x}", run_id=f"run-{number}")
    time = f"2026-01-02T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000000Z"
    return records.new(adoption, author=Author(name="engineer", email="e@example.com"), time=time)


def some_records(count: int, start: int = 0) -> list[Record]:
    return [a_record(number) for number in range(start, start + count)]


def ledger_of(folder: Path) -> GitLedger:
    return GitLedger(Checkout.find(folder))


def refs_of(remote: Path, below: str = "refs/mlops/records") -> list[str]:
    return git(remote, "for-each-ref", "--format=%(refname)", below).splitlines()


def put_folded(ledger: GitLedger, some: Sequence[Record]) -> None:
    """Append and fold, as time would."""
    for start in range(0, len(some), 100):
        ledger.append(some[start : start + 100])
    while ledger.fold()[1]:
        pass


def fold_at_once(folded: Folded, some: Sequence[Record]) -> None:
    """Fold records that never had refs: many of them in little time."""
    for start in range(0, len(some), 5_000):
        tip = folded.update()
        commit = folding.compose(folded, some[start : start + 5_000])
        folded.repository.push({LEDGER: commit}, replacing={LEDGER: tip})
        folded.repository.update(f"update {LEDGER} {commit}")


@pytest.fixture
def remote(work: Path) -> Path:
    found = work.parent / "origin.git"
    git(found, "config", "uploadpack.allowFilter", "true")
    return found


def test_after_a_fold_everything_is_found_as_before(work: Path, remote: Path, tmp_path: Path) -> None:
    ledger, some = ledger_of(work), some_records(30)
    ledger.append(some)
    ledger.append(some[:1], claims={"version/m/1": some[0]})

    assert ledger.fold() == (30, 0)

    assert refs_of(remote) == []
    for view in (ledger, ledger_of(clone(remote, tmp_path / "other"))):
        assert list(view.all()) == some
        assert view.find("run/run-7", f"sha/{3:040x}", "tree/none") == [some[3], some[7]]
        assert view.find("run") == some
        assert view.claims("version") == {"version/m/1": some[0]}
        assert view.fold() == (0, 0)


def test_what_arrives_after_a_fold_lies_beside_it(work: Path, remote: Path) -> None:
    ledger, some = ledger_of(work), some_records(9)
    for start in (0, 3, 6):
        ledger.append(some[start : start + 3])
        assert list(ledger.all()) == some[: start + 3]
        assert ledger.fold() == (3, 0)
    ledger.append(some[:4])  # sent again, as after an answer that was lost
    assert len(refs_of(remote)) == 8
    assert list(ledger.all()) == some
    assert ledger.find("run/run-1") == [some[1]]
    assert ledger.fold() == (4, 0)
    assert (list(ledger.all()), ledger.find("run/run-1")) == (some, [some[1]])


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A remote with so many records that pages of its index are divided."""
    work = make_clone(tmp_path_factory.mktemp("grown"))
    remote = work.parent / "origin.git"
    git(remote, "config", "uploadpack.allowFilter", "true")
    fold_at_once(Folded(Checkout.find(work)), some_records(GROWN))
    return remote


def test_an_index_page_that_grows_too_large_is_divided(grown: Path, tmp_path: Path) -> None:
    """Enough records for pages on two levels, with every key still found."""
    files = git(grown, "ls-tree", "-r", "-l", LEDGER).splitlines()
    pages = {line.split("\t")[1]: int(line.split()[3]) for line in files if "\tindex/" in line}
    segments = [int(line.split()[3]) for line in files if "\tsegments/" in line]
    assert {path.count("/") for path in pages} >= {2}
    assert max(pages.values()) <= 4_000
    assert max(segments) <= 64_000
    assert len(segments) < GROWN / 200
    ledger = ledger_of(clone(grown, tmp_path / "other"))
    for number in range(0, GROWN, GROWN // 9):
        some = [a_record(number)]
        assert ledger.find(f"run/run-{number}") == some
        assert ledger.find(f"sha/{number:040x}", f"tree/{number:040x}") == some
    assert git(grown, "fsck", "--no-dangling", "--strict") == ""


def test_many_records_under_one_key_are_all_found(work: Path, remote: Path) -> None:
    same = Adoption(sha="a" * 40, tree="b" * 40, run_id="")
    author = Author(name="engineer")
    some = [records.new(records.replace(same, run_id=f"r{number:0400}"), author=author) for number in range(600)]
    put_folded(ledger_of(work), some)
    assert len(refs_of(remote)) == 0
    assert {record.id for record in ledger_of(work).find("sha/" + "a" * 40)} == {record.id for record in some}


def test_a_record_that_no_object_should_hold_stays_a_ref(work: Path, remote: Path) -> None:
    ledger, small = ledger_of(work), a_record(2)
    adoption = Adoption(sha="a" * 40, tree="c" * 40, run_id="large")
    large = records.Record(
        kind="adoption",
        schema="1.0",
        time=small.time,
        author=small.author,
        body={"sha": adoption.sha, "tree": adoption.tree, "run_id": "large", "more": "x" * layout.LARGEST_BYTES},
    )
    ledger.append([large, small])
    assert ledger.fold() == (1, 1)
    assert ledger.fold() == (0, 1)
    assert len(refs_of(remote)) == 2
    assert {record.id for record in ledger.all()} == {large.id, small.id}


def test_one_push_takes_so_many_refs_and_the_oldest_first(work: Path, remote: Path) -> None:
    ledger, some = ledger_of(work), some_records(12)
    for record in reversed(some):
        ledger.append([record])
    folded = [ledger.fold(most_refs=10) for _ in range(3)]
    assert folded == [(5, 7), (5, 2), (2, 0)]
    assert list(ledger.all()) == some
    [first] = git(remote, "ls-tree", "-r", "--name-only", LEDGER, "segments/00/00").splitlines()
    lines = git(remote, "show", f"{LEDGER}:{first}").splitlines()
    assert [records.decode(line.encode()) for line in lines] == some[:5]


def test_a_record_of_a_kind_that_only_a_newer_program_knows_is_kept(work: Path, remote: Path) -> None:
    """Else an older program would collect the artifacts that it names, and leave it out of a backup."""
    ledger, some = ledger_of(work), some_records(2)
    newer = records.replace(some[0], kind="waiver", body={"digest": "sha256:1"})
    (remote / "newer").write_bytes(records.encode(newer))
    tree = git(remote, "mktree", stdin=f"100644 blob {git(remote, 'hash-object', '-w', 'newer')}\trecord.json\n")
    commit = git(remote, "commit-tree", tree, "-m", "newer")
    git(remote, "update-ref", f"refs/mlops/records/waiver/w1/{newer.id}", commit)
    ledger.append(some)
    for _ in range(2):
        assert {record.id for record in ledger.all()} == {newer.id, *(record.id for record in some)}
        assert [record.id for record in ledger.find("waiver/w1")] == [newer.id]
        assert ledger.find("run/run-1") == [some[1]]
        ledger.fold()
    assert len(refs_of(remote)) == 1


def test_few_are_left_as_they_are_if_that_is_asked_for(work: Path, remote: Path) -> None:
    ledger = ledger_of(work)
    ledger.append(some_records(4))
    assert ledger.fold(at_least=5) == (0, 4)
    assert len(refs_of(remote)) == 8
    assert ledger.fold(at_least=4) == (4, 0)


def refuse_pushes_of_more_than(remote: Path, refs: int) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\n[ "$(wc -l)" -le {refs} ] || {{ echo "too many refs" >&2; exit 1; }}\n')
    hook.chmod(0o755)


def test_a_bite_that_is_refused_is_halved_until_it_is_taken(work: Path, remote: Path) -> None:
    ledger, some = ledger_of(work), some_records(16)
    ledger.append(some)
    refuse_pushes_of_more_than(remote, 9)  # the ledger, and two refs for each of four records
    assert [ledger.fold() for _ in range(4)] == [(4, 12), (3, 9), (4, 5), (2, 3)]
    assert list(ledger.all()) == some


def test_where_nothing_may_be_folded_nothing_changes(work: Path, remote: Path) -> None:
    ledger, some = ledger_of(work), some_records(4)
    ledger.append(some)
    before = git(remote, "for-each-ref")
    refuse_pushes_of_more_than(remote, 0)
    with pytest.raises(ServiceError, match="did not do what was asked"):
        ledger.fold()
    assert git(remote, "for-each-ref") == before
    assert list(ledger.all()) == some


def test_of_two_folds_at_the_same_moment_one_is_refused_whole(work: Path, remote: Path, tmp_path: Path) -> None:
    some = some_records(6)
    ledger_of(work).append(some)
    other = clone(remote, tmp_path / "other")
    late, early = Folded(Checkout.find(work)), ledger_of(other)
    tip = late.update()
    commit = folding.compose(late, some[:3])
    refs = {line.split()[1]: line.split()[0] for line in git(remote, "show-ref").splitlines() if "/records/" in line}
    assert early.fold() == (6, 0)

    with pytest.raises(ServiceError):
        late.repository.push({LEDGER: commit, **dict.fromkeys(refs, "")}, replacing={LEDGER: tip, **refs})

    for view in (ledger_of(work), early):
        assert list(view.all()) == some
    ledger_of(work).append(some_records(3, start=6))
    assert ledger_of(work).fold() == (3, 0)
    assert list(early.all()) == some_records(9)


def test_a_version_is_claimed_once_also_when_a_fold_comes_between(work: Path, remote: Path, tmp_path: Path) -> None:
    one, two = ledger_of(work), ledger_of(clone(remote, tmp_path / "other"))
    first, second = some_records(2)
    one.append([first], claims={"version/m/1.0.0": first})
    assert two.fold() == (1, 0)
    with pytest.raises(Conflict, match=r"version/m/1\.0\.0 is taken"):
        two.append([second], claims={"version/m/1.0.0": second})
    assert one.append([first], claims={"version/m/1.0.0": first}) is True
    for view in (one, two):
        assert view.claims("version") == {"version/m/1.0.0": first}
        assert list(view.all()) == [first]


def test_what_has_not_been_sent_yet_is_not_folded_and_not_lost(work: Path, remote: Path, tmp_path: Path) -> None:
    ledger, some = ledger_of(work), some_records(4)
    ledger.append(some[:2])
    remote.rename(tmp_path / "away")
    assert ledger.append(some[2:]) is False
    with pytest.raises(ServiceError):
        ledger.fold()
    (tmp_path / "away").rename(remote)
    assert ledger.fold() == (2, 0)
    assert list(ledger.all()) == some
    assert ledger.sync() == 2
    assert list(ledger_of(clone(remote, tmp_path / "other")).all()) == some


@pytest.mark.parametrize(("filter_", "version"), [("true", 2), ("false", 2), ("true", 0), ("false", 0)])
def test_any_server_will_do(work: Path, remote: Path, tmp_path: Path, filter_: str, version: int) -> None:
    git(remote, "config", "uploadpack.allowFilter", filter_)
    put_folded(ledger_of(work), some_records(200))
    other = clone(remote, tmp_path / "other")
    wire = Wire(other, remote, tmp_path / "wire")
    wire.set(version=version)
    ledger, some = ledger_of(other), some_records(210)
    assert ledger.find("run/run-7") == [some[7]]
    ledger.append(some[200:])
    assert ledger.fold() == (10, 0)
    assert list(ledger.all()) == some
    assert ledger_of(work).find("run/run-205", "run/run-5") == [some[5], some[205]]
    assert wire.connections()


@pytest.mark.parametrize("newest", [3_000, GROWN])
def test_a_look_up_reads_only_what_it_needs(work: Path, remote: Path, tmp_path: Path, grown: Path, newest: int) -> None:
    """What a pull request asks for, of a clone that knows nothing: bounded, however much is recorded."""
    if newest == GROWN:
        remote = grown
    else:
        fold_at_once(Folded(Checkout.find(work)), some_records(newest))
    other = clone(remote, tmp_path / "other")
    wire = Wire(other, remote, tmp_path / "wire")
    keys = [f"{kind}/{commit:040x}" for commit in range(newest - 8, newest) for kind in ("sha", "tree")]

    assert ledger_of(other).find(*keys) == some_records(8, start=newest - 8)
    cold = wire.connections()
    assert len(cold) <= 5
    assert sum(one.received + one.sent for one in cold) < 60_000

    assert len(ledger_of(other).find(*keys)) == 8
    warm = wire.connections()
    assert len(warm) == 2
    assert sum(one.received + one.sent for one in warm) < 6_000


def test_taking_in_what_is_new_costs_what_is_new(grown: Path, tmp_path: Path) -> None:
    remote = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--mirror", str(grown), str(remote))
    git(remote, "config", "uploadpack.allowFilter", "true")
    work, other = clone(remote, tmp_path / "work"), clone(remote, tmp_path / "other")
    wire = Wire(other, remote, tmp_path / "wire")
    ledger, view, some = ledger_of(work), ledger_of(other), some_records(40, start=GROWN)

    def take(mark: str, known: set[str]) -> tuple[set[str], str, int]:
        found, mark = view.unseen(mark, known.intersection)
        ids = {record.id for record in found}
        return ids, mark, sum(one.received for one in wire.connections())

    seen, mark, first = take("", set())
    assert len(seen) == GROWN
    nothing, mark, later = take(mark, seen)
    assert (nothing, later < 1_000) == (set(), True)
    ledger.append(some[:20])
    new, mark, later = take(mark, seen)
    assert new == {record.id for record in some[:20]}
    assert later < first / 20
    assert take(mark, seen | new)[0] == set()
    ledger.fold()
    ledger.append(some[20:])
    again, mark, later = take(mark, seen | new)
    assert again == {record.id for record in some}  # a segment is read whole, also what was seen as a ref
    assert later < first / 20


def test_history_that_was_rewritten_is_noticed(work: Path, remote: Path) -> None:
    ledger, some = ledger_of(work), some_records(6)
    ledger.append(some[:3])
    ledger.fold()
    ledger.append(some[3:])
    ledger.fold()
    _, mark = ledger.unseen("", lambda _: set())
    git(remote, "update-ref", LEDGER, git(remote, "rev-parse", f"{LEDGER}~1"))
    with pytest.raises(IntegrityError, match="are gone from"):
        ledger.unseen(mark, lambda _: set())
    git(remote, "update-ref", "-d", LEDGER)
    with pytest.raises(IntegrityError, match="are gone from"):
        ledger.unseen(mark, lambda _: set())


@pytest.mark.parametrize("path", ["segments/00/00", "segments/00", "segments", "index/zz", "segments/zz/zz", "index"])
def test_junk_in_the_ledger_stops_nobody(work: Path, remote: Path, path: str) -> None:
    git(remote, "update-ref", LEDGER, junk(remote, path))
    ledger, some = ledger_of(work), some_records(3)
    ledger.append(some)
    assert list(ledger.all()) == some
    assert ledger.find("run/run-1") == [some[1]]


def junk(remote: Path, path: str) -> str:
    stream = f"commit refs/heads/junk\ncommitter a <a@b> 1 +0000\ndata 0\nM 100644 inline {path}\ndata 5\njunk\n\n"
    git(remote, "fast-import", "--quiet", stdin=stream)
    return git(remote, "rev-parse", "refs/heads/junk")


KEY = st.builds("{}/{}".format, st.sampled_from(["sha", "run"]), st.integers(0, 9))


@settings(max_examples=200)
@given(st.lists(st.tuples(KEY, st.integers(0, 5_000)), max_size=400))
def test_a_page_and_what_it_is_divided_into_say_the_same(entries: list[tuple[str, int]]) -> None:
    """Whatever is put in, in whatever portions, every hash leads to its segments, and no page holds another's."""
    wanted: dict[str, set[int]] = {}
    for key, number in entries:
        wanted.setdefault(layout.hash_of(key) or "", set()).add(number)
    lines = layout.with_lines(b"", wanted)
    path = "index/00"
    by_start = [line for line in lines if line.startswith("00")]
    for page_path, page in layout.pages(path, by_start):
        digits = page_path.removeprefix("index").replace("/", "")
        assert all(line.startswith(digits) for line in page.decode().splitlines())
    found = layout.segments_of("".join(f"{line}\n" for line in lines).encode(), wanted)
    assert found == wanted
