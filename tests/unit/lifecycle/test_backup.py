"""Back up and restore: any kind of ledger into any other, whole or not at all, and no byte changed unnoticed."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import permutations, product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_ci import digests, records
from mlops_ci.entities import Adoption, ArtifactRef, Metric
from mlops_ci.errors import Conflict, IntegrityError, MlopsCIError, UsageError
from mlops_ci.lifecycle.backups.back_up import back_up, check, restore
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record

from .places import AUTHOR, KINDS, close, deletion, experiment_change, place, put, quiet, run, time, version


@dataclass
class History:
    """Records with their claims, in pages, and the bytes that they name."""

    pages: list[tuple[list[Record], dict[str, Record]]] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)

    def write(self, project: Project, folder: Path) -> None:
        if self.contents:
            put(project, folder, *self.contents)
        for page, claims in self.pages:
            assert project.ledger.append(page, claims=claims)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Runs with all that records can hold, some of them changed, adopted, registered; times that collide."""
    history = History()
    seconds = st.integers(0, 5)
    numbers = st.floats() | st.integers(-(2**70), 2**70) | st.text(max_size=5) | st.none() | st.booleans()
    for index in range(draw(st.integers(0, 5))):
        content = draw(st.binary(max_size=40))
        history.contents.append(content)
        path, value = draw(st.text(min_size=1, max_size=5)), draw(st.floats())
        reference = ArtifactRef(path=path, digest=digests.of_bytes(content), size_bytes=len(content))
        recorded = run(
            f"{index:02}",
            second=draw(seconds),
            params=draw(st.dictionaries(st.text(max_size=4), numbers, max_size=3)),
            metrics={"m": Metric(last=value, min=value, max=value)},
            artifacts=[reference] if draw(st.booleans()) else [],
        )
        page, claims = [recorded], {}
        if draw(st.booleans()):
            page.append(deletion(recorded, second=draw(seconds), reason=draw(st.text(max_size=5))))
        if draw(st.booleans()):
            page.append(experiment_change("churn", second=draw(seconds), name=draw(st.text(min_size=1, max_size=5))))
        if draw(st.booleans()):
            adoption = Adoption(sha=f"{index:040}", tree="b" * 40, run_id=f"{index:02}")
            page.append(records.new(adoption, author=AUTHOR, time=time(draw(seconds))))
        if draw(st.booleans()):
            registered, claims = version(recorded, f"1.0.{index}", second=draw(seconds))
            page.append(registered)
        history.pages.append((page, dict(claims)))
    return history


def state(project: Project) -> tuple[list[str], dict[str, str], set[str]]:
    """All that a backup is of."""
    claims = {name: record.id for name, record in project.ledger.claims("").items()}
    return [r.id for r in project.ledger.all()], claims, {each.digest for each in project.artifacts.stored()}


@pytest.fixture
def opened() -> Iterator[Callable[..., Project]]:
    """Opens places, and closes them."""
    found: list[Project] = []

    def open_(*args: object, **options: object) -> Project:
        found.append(place(*args, **options))  # type: ignore[arg-type]
        return found[-1]

    yield open_
    for project in found:
        close(project)


@pytest.mark.parametrize(("source", "target"), list(product(KINDS, repeat=2)))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
def test_what_was_backed_up_is_restored_into_any_kind_byte_by_byte(
    opened: Callable[..., Project], source: str, target: str, history: History
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, two = opened(folder / "one", source), opened(folder / "two", target)
        history.write(one, folder / "bytes")
        done = back_up(one, folder / "all.zip", with_artifacts=True, progress=quiet)
        restored = restore(two, folder / "all.zip", progress=quiet)
        ids, claims, stored = state(one)
        assert (ids, claims) == state(two)[:2]
        assert [records.encode(r) for r in one.ledger.all()] == [records.encode(r) for r in two.ledger.all()]
        named = {file["digest"] for r in one.ledger.all() if r.kind == "run" for file in r.body.get("artifacts", [])}
        assert state(two)[2] == named <= stored
        assert two.artifacts.get(named, folder / "out").keys() == named
        assert (restored.records, restored.claims, restored.artifacts) == (len(ids), len(claims), len(named))
        assert (done.records, done.claims, done.artifacts, done.left_out) == (len(ids), len(claims), len(named), {})
        again = restore(two, folder / "all.zip", progress=quiet)
        assert (again.records, again.claims, again.artifacts, again.there) == (0, 0, 0, len(ids))
        back = restore(one, folder / "all.zip", progress=quiet)
        assert (back.records, back.claims, back.artifacts) == (0, 0, 0)


@pytest.fixture
def filled(opened: Callable[..., Project], tmp_path: Path) -> Project:
    """A ledger with two runs, a version and three artifacts."""
    project = opened(tmp_path / "filled", "sql")
    files = put(project, tmp_path / "bytes", b"one", b"two", b"")
    first, second = run("01", artifacts=files), run("02", second=1)
    registered, claims = version(first, "1.0.0", second=2)
    project.ledger.append([first, second])
    project.ledger.append([registered], claims=claims)
    return project


@pytest.fixture
def backup(filled: Project, tmp_path: Path) -> Path:
    """That ledger's backup."""
    back_up(filled, tmp_path / "all.zip", with_artifacts=True, progress=quiet)
    return tmp_path / "all.zip"


def test_the_file_is_an_ordinary_zip_file(backup: Path) -> None:
    with zipfile.ZipFile(backup) as members:
        assert members.testzip() is None
        names = members.namelist()
        lines = members.read("records.jsonl").splitlines()
    assert {name.partition("/")[0] for name in names} == {"records.jsonl", "claims.jsonl", "artifacts", "manifest.json"}
    assert [records.decode(line).kind for line in lines] == ["run", "run", "version"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_ledger_that_has_something_keeps_it(
    opened: Callable[..., Project], kind: str, backup: Path, tmp_path: Path
) -> None:
    target = opened(tmp_path / "target", kind)
    own, shared = run("03", second=9), run("01", artifacts=[])
    target.ledger.append([own, shared])
    done = restore(target, backup, progress=quiet)
    assert done.records == 3
    assert {own.id, shared.id} < set(state(target)[0])
    assert len(state(target)[0]) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_another_record_has_is_said_and_all_else_is_restored(
    opened: Callable[..., Project], kind: str, backup: Path, tmp_path: Path
) -> None:
    target = opened(tmp_path / "target", kind)
    other, claims = version(run("09"), "1.0.0", second=8)
    target.ledger.append([other], claims=claims)
    for _ in range(2):
        with pytest.raises(Conflict, match=r"version/churn/1\.0\.0: another record .* everything else was restored"):
            restore(target, backup, progress=quiet)
        ids, names, stored = state(target)
        assert names == {"version/churn/1.0.0": other.id}
        # Without its name, the version in the backup was never registered here.
        assert [r.kind for r in target.ledger.all()] == ["run", "run", "version"]
        assert len(stored) == 3
        assert other.id in ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_cannot_have_all_its_names_has_none(
    opened: Callable[..., Project], kind: str, tmp_path: Path
) -> None:
    source, target = opened(tmp_path / "source", "sql"), opened(tmp_path / "target", kind)
    several, _ = version(run("01"), "1.0.0", second=1)
    single, claims = version(run("02"), "2.0.0", second=2)
    source.ledger.append([several], claims=dict.fromkeys(["lock/a", "lock/b"], several))
    source.ledger.append([single], claims=claims)
    back_up(source, tmp_path / "all.zip", with_artifacts=True, progress=quiet)
    other, _ = version(run("03"), "3.0.0", second=3)
    target.ledger.append([other], claims={"lock/a": other})
    with pytest.raises(Conflict, match=r"^lock/a: another record"):
        restore(target, tmp_path / "all.zip", progress=quiet)
    assert state(target)[1] == {"lock/a": other.id, "version/churn/2.0.0": single.id}
    assert set(state(target)[0]) == {other.id, single.id}


def test_a_backup_replaces_nothing(filled: Project, backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        back_up(filled, backup, with_artifacts=True, progress=quiet)
    assert backup.read_bytes() == before


def test_without_artifacts_there_are_none(filled: Project, tmp_path: Path) -> None:
    done = back_up(filled, tmp_path / "records.zip", with_artifacts=False, progress=quiet)
    assert (done.records, done.artifacts, done.with_artifacts) == (3, 0, False)
    assert check(tmp_path / "records.zip", quiet) == done


class _Stop(BaseException):
    """Whoever does this is interrupted."""


def stopping(after: int) -> Callable[[str, int, int], None]:
    """Progress that ends the work when it has been told of it *after* times."""
    left = iter(range(after))

    def tell(_what: str, _done: int, _total: int) -> None:
        if next(left, None) is None:
            raise _Stop

    return tell


def test_an_interrupted_backup_leaves_nothing(filled: Project, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for after in range(100):
        try:
            back_up(filled, folder / "all.zip", with_artifacts=True, progress=stopping(after))
        except _Stop:
            assert list(folder.iterdir()) == []
        else:
            break
    assert after > 3
    assert [path.name for path in folder.iterdir()] == ["all.zip"]


def test_what_a_killed_backup_left_goes_with_the_next(filled: Project, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / ".all.zip.partial-abc").write_text("half")
    back_up(filled, folder / "all.zip", with_artifacts=True, progress=quiet)
    assert [path.name for path in folder.iterdir()] == ["all.zip"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_restore_can_be_run_again(
    opened: Callable[..., Project], kind: str, filled: Project, backup: Path, tmp_path: Path
) -> None:
    for after in range(100):
        target = opened(tmp_path / f"target{after}", kind)
        try:
            restore(target, backup, progress=stopping(after))
        except _Stop:
            restore(target, backup, progress=quiet)
            assert state(target) == state(filled)
        else:
            break
    assert after > 5


def test_one_flipped_byte_anywhere_is_noticed(backup: Path, tmp_path: Path) -> None:
    good = backup.read_bytes()
    bad = tmp_path / "bad.zip"
    named = set()
    for position in range(len(good)):
        bad.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(MlopsCIError) as caught:
            check(bad, quiet)
        named.add(str(caught.value))
    with zipfile.ZipFile(backup) as members:
        for name in members.namelist():
            assert any(name in sentence for sentence in named), name


def test_a_truncated_file_is_noticed_and_says_where_it_ends(backup: Path, tmp_path: Path) -> None:
    good = backup.read_bytes()
    bad = tmp_path / "bad.zip"
    said = set()
    for length in range(4, len(good)):
        bad.write_bytes(good[:length])
        with pytest.raises(IntegrityError, match="is truncated, or was changed, in") as caught:
            check(bad, quiet)
        said.add(str(caught.value).partition(" in ")[2])
    with zipfile.ZipFile(backup) as members:
        assert set(members.namelist()) <= said


def test_a_file_that_was_tampered_with_writes_nothing(
    opened: Callable[..., Project], backup: Path, tmp_path: Path
) -> None:
    """Even one that is a sound zip file: with a record more, say."""
    target = opened(tmp_path / "target", "sql")
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(backup) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            more = records.encode(run("99", second=50)) + b"\n" if name == "records.jsonl" else b""
            new.writestr(name, old.read(name) + more)
        new.comment = old.comment
    with pytest.raises(IntegrityError, match=r"records\.jsonl"):
        restore(target, bad, progress=quiet)
    assert state(target) == ([], {}, set())


def test_what_is_no_backup_is_said_to_be_none(tmp_path: Path) -> None:
    for content in (b"", b"hello"):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(UsageError, match="is no backup"):
            check(tmp_path / "file", quiet)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a", "b")
    with pytest.raises(MlopsCIError):
        check(tmp_path / "other.zip", quiet)
    with pytest.raises(UsageError, match="cannot read"):
        check(tmp_path / "nothing.zip", quiet)


def test_bytes_that_are_gone_are_left_out_and_said(filled: Project, tmp_path: Path) -> None:
    """They are lost where somebody needs them."""
    file = put(filled, tmp_path / "bytes", b"doomed")[0]
    doomed = run("05", second=5, artifacts=[file])
    filled.ledger.append([doomed])
    next((filled.checkout.root / ".bytes").rglob(file.digest[7:])).unlink()
    done = back_up(filled, tmp_path / "one.zip", with_artifacts=True, progress=quiet)
    assert (done.left_out.keys(), done.lost) == ({file.digest}, (file.digest,))
    filled.ledger.append([deletion(doomed, second=6)])
    done = back_up(filled, tmp_path / "two.zip", with_artifacts=True, progress=quiet)
    assert (done.left_out.keys(), done.lost) == ({file.digest}, ())


def test_what_is_too_large_for_the_store_is_said_before_anything_is_written(
    opened: Callable[..., Project], tmp_path: Path
) -> None:
    source, target = opened(tmp_path / "one", "sql"), opened(tmp_path / "two", "git")
    files = put(source, tmp_path / "bytes", b"small", bytes(50_000_001))
    source.ledger.append([run("01", artifacts=files)])
    back_up(source, tmp_path / "all.zip", with_artifacts=True, progress=quiet)
    with pytest.raises(UsageError, match=r"1 artifacts .* too large"):
        restore(target, tmp_path / "all.zip", progress=quiet)
    assert state(target) == ([], {}, set())


def test_the_order_in_which_members_are_restored_does_not_matter(
    opened: Callable[..., Project], tmp_path: Path
) -> None:
    """Two backups of two ledgers, restored in either order, make the same ledger."""
    paths = []
    for name in ("one", "two"):
        source = opened(tmp_path / name, "sql")
        source.ledger.append([run(name, second=len(paths)), run("both", second=7)])
        paths.append(tmp_path / f"{name}.zip")
        back_up(source, paths[-1], with_artifacts=True, progress=quiet)
    ends = []
    for order, some in enumerate(permutations(paths)):
        target = opened(tmp_path / f"target{order}", "sql")
        for path in some:
            restore(target, path, progress=quiet)
        ends.append(state(target))
    assert ends[0] == ends[1]
    assert len(ends[0][0]) == 3
