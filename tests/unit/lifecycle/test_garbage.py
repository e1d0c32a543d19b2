"""Collecting garbage: what goes, what stays, and what waits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_ci.entities import ArtifactRef, Model
from mlops_ci.errors import Refused
from mlops_ci.lifecycle.collect_garbage import Swept, collect
from mlops_ci.lifecycle.project import Project

from .places import KINDS, close, deletion, experiment_change, place, put, run, version

NOW, FORTNIGHT = timedelta(0), timedelta(days=14)


@pytest.fixture(params=KINDS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    found = place(tmp_path / "place", request.param)
    yield found
    close(found)


@pytest.fixture
def files(project: Project, tmp_path: Path) -> list[ArtifactRef]:
    return put(project, tmp_path / "bytes", *(b"content %d" % number for number in range(6)))


def stored(project: Project) -> set[str]:
    return {each.digest for each in project.artifacts.stored()}


def sweep(project: Project, older_than: timedelta = NOW) -> Swept:
    """As if it had been done twice: a store whose bytes have no age marks them first."""
    collect(project, older_than=older_than)
    return collect(project, older_than=older_than)


def test_only_what_nobody_needs_goes(project: Project, files: list[ArtifactRef]) -> None:
    living, deleted, shared, registered, nobodys, environment = files
    runs = [
        run("01", artifacts=[living, shared], environment=environment),
        run("02", artifacts=[deleted, shared], environment=environment),
        run("03", model=Model(flavor="python", digest="sha256:" + "1" * 64, size_bytes=0, files=[registered])),
    ]
    number, claims = version(runs[2], "1.0.0", second=1)
    project.ledger.append([*runs, number], claims=claims)
    project.ledger.append([deletion(each, second=2) for each in runs[1:]])
    done = [sweep(project)]
    gone = {deleted.digest, nobodys.digest}
    assert stored(project) == {file.digest for file in files} - gone
    assert done[0].kept.artifacts == 4
    assert done[0].waiting == ()
    assert sweep(project).removed == ()


def test_what_is_young_waits(project: Project, files: list[ArtifactRef]) -> None:
    done = sweep(project, FORTNIGHT)
    assert done.removed == ()
    assert [(heap.why, heap.artifacts) for heap in done.waiting] == [("unnamed", 6)]
    assert stored(project) == {file.digest for file in files}


def test_a_run_that_was_deleted_lately_keeps_its_bytes(project: Project, files: list[ArtifactRef]) -> None:
    one = run("01", artifacts=files)
    ahead = deletion(one, second=10**9)
    project.ledger.append([one, ahead])
    assert sweep(project, NOW).removed == ()
    project.ledger.append([deletion(one, second=10**9 + 1, deleted=False)])
    assert sweep(project, NOW).kept.artifacts == 6


def test_a_restored_run_keeps_its_bytes(project: Project, files: list[ArtifactRef]) -> None:
    one = run("01", artifacts=files)
    project.ledger.append([one, deletion(one, second=1), deletion(one, second=2, deleted=False)])
    assert sweep(project).removed == ()
    assert len(stored(project)) == 6


def test_the_bytes_of_a_deleted_experiment_go_too(project: Project, files: list[ArtifactRef]) -> None:
    other = run("02", experiment="other", artifacts=files[3:])
    project.ledger.append([run("01", artifacts=files[:3]), other, experiment_change("churn", second=1, deleted=True)])
    sweep(project)
    assert stored(project) == {file.digest for file in files[3:]}


def test_a_dry_run_changes_nothing_and_says_the_same(project: Project, files: list[ArtifactRef]) -> None:
    collect(project, older_than=NOW, dry_run=True)
    assert stored(project) == {file.digest for file in files}
    assert {each.since for each in project.artifacts.stored()} == {None} or project.config.store != "git"
    collect(project, older_than=FORTNIGHT)
    assert collect(project, older_than=FORTNIGHT, dry_run=True).removed == ()
    planned = collect(project, older_than=NOW, dry_run=True)
    done = collect(project, older_than=NOW)
    assert (planned.removed, planned.waiting, planned.kept) == (done.removed, done.waiting, done.kept)
    assert sum(heap.artifacts for heap in done.removed) == 6


def test_what_git_has_here_is_measured_and_what_deleted_runs_named_too(
    project: Project, files: list[ArtifactRef]
) -> None:
    one = run("01", artifacts=files[:2])
    project.ledger.append([one, deletion(one, second=1)])
    heaps = {heap.why: heap for heap in collect(project, older_than=FORTNIGHT).waiting}
    assert (heaps["deleted"].artifacts, heaps["unnamed"].artifacts) == (2, 4)
    assert heaps["deleted"].size_bytes == sum(file.size_bytes for file in files[:2])


def test_put_again_is_kept_by_the_next(project: Project, files: list[ArtifactRef], tmp_path: Path) -> None:
    collect(project, older_than=FORTNIGHT)
    for path in (project.checkout.root / ".bytes").rglob("*"):
        os.utime(path, (0, 0))
    put(project, tmp_path / "bytes", b"content 0")
    collect(project, older_than=timedelta(minutes=1))
    assert files[0].digest in stored(project)


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_others_may_use_is_left_alone_until_somebody_knows(kind: str, tmp_path: Path) -> None:
    elsewhere = place(tmp_path / "place", kind, artifacts=str(tmp_path / "share"))
    try:
        put(elsewhere, tmp_path / "bytes", b"another project's")
        with pytest.raises(Refused, match="records of another ledger may name") as caught:
            collect(elsewhere, older_than=NOW)
        assert "--only-this-ledger" in caught.value.hint
        assert collect(elsewhere, older_than=NOW, dry_run=True).removed
        assert len(stored(elsewhere)) == 1
        collect(elsewhere, older_than=NOW, only_this_ledger=True)
        assert stored(elsewhere) == set()
    finally:
        close(elsewhere)
