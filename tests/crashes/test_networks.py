"""A remote that says no, or that is cut off in mid-sentence: the record waits here, and nothing is half there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from mlops_ci.errors import Conflict, MlopsCIError, ServiceError
from tests.crashes.worker import a_run, an_adoption, open_ledger
from tests.git_http import serving
from tests.repositories import clone, git
from tests.wire import Wire

SOME = [record for number in range(20) for record in (a_run(number), an_adoption(number))]


@pytest.mark.parametrize("status", [401, 403, 413, 429, 500, 503])
def test_a_host_that_refuses_a_push_gets_the_record_later(work: Path, tmp_path: Path, status: int) -> None:
    git(tmp_path / "origin.git", "config", "http.receivepack", "true")
    with serving(tmp_path) as host:
        git(work, "remote", "set-url", "origin", f"{host.url}/origin.git")
        ledger = open_ledger(f"git {work}")
        ledger.append(SOME[:4])
        host.refusing = status
        assert ledger.append(SOME[4:8]) is False
        with pytest.raises(ServiceError, match="did not do what was asked"):
            ledger.sync()
        with pytest.raises(ServiceError):
            ledger.append(SOME[8:10], claims={"version/m/1": SOME[8]})
        assert ledger.pending() == 4
        host.pushes.clear()
        with pytest.raises(ServiceError):
            ledger.fold()
        assert len(host.pushes) <= (4 if status == 413 else 1)  # only what is too large is tried again, halved
        assert list(ledger.all()) == sorted(SOME[:8], key=lambda record: (record.time, record.id))
        host.refusing = 0
        assert (ledger.sync(), ledger.pending()) == (4, 0)
        assert ledger.fold() == (8, 0)
    other = open_ledger(f"git {clone(tmp_path / 'origin.git', tmp_path / 'other')}")
    assert {record.id for record in other.all()} == {record.id for record in SOME[:8]}


CUTS = [0, 40, 500, 1500, 4000, 12_000]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("way", ["cut_sent", "cut_received"])
def test_a_push_that_is_cut_leaves_all_or_nothing(work: Path, tmp_path: Path, way: str, cut: int) -> None:
    remote = tmp_path / "origin.git"
    ledger = open_ledger(f"git {work}")
    ledger.append(SOME[:2])
    wire = Wire(work, remote, tmp_path / "wire")
    wire.set(service="receive-pack", **{way: cut})
    ledger = open_ledger(f"git {work}")
    sent = ledger.append(SOME[2:])
    here = {record.id for record in open_ledger(f"git {clone(remote, tmp_path / 'other')}").all()}
    assert here in ({record.id for record in SOME}, {record.id for record in SOME[:2]})
    assert not sent or len(here) == len(SOME)  # what was acknowledged is there
    assert {record.id for record in ledger.all()} == {record.id for record in SOME}
    wire.set()
    ledger.sync()
    assert ledger.pending() == 0
    assert {record.id for record in open_ledger(f"git {tmp_path / 'other'}").all()} == {record.id for record in SOME}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("way", ["cut_sent", "cut_received"])
def test_a_claim_that_is_cut_off_is_taken_or_it_is_not(work: Path, tmp_path: Path, way: str, cut: int) -> None:
    remote = tmp_path / "origin.git"
    wire = Wire(work, remote, tmp_path / "wire")
    wire.set(service="receive-pack", **{way: cut})
    ledger, other = open_ledger(f"git {work}"), open_ledger(f"git {clone(remote, tmp_path / 'other')}")
    mine, theirs = SOME[0], SOME[2]
    try:
        acknowledged = ledger.append([mine], claims={"version/m/1": mine})
    except MlopsCIError:
        acknowledged = False
    wire.set()
    try:
        other.append([theirs], claims={"version/m/1": theirs})
    except Conflict:
        winner = mine
    else:
        winner = theirs
    assert not (acknowledged and winner is theirs)
    for view in (ledger, other):
        assert view.claims("version") == {"version/m/1": winner}
    if winner is mine:  # it may be asked for again, whatever the first answer was
        assert ledger.append([mine], claims={"version/m/1": mine}) is True


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("way", ["cut_sent", "cut_received"])
def test_a_fold_that_is_cut_off_folded_everything_or_nothing(work: Path, tmp_path: Path, way: str, cut: int) -> None:
    remote = tmp_path / "origin.git"
    git(remote, "config", "uploadpack.allowFilter", "true")
    ledger = open_ledger(f"git {work}")
    ledger.append(SOME)
    wire = Wire(work, remote, tmp_path / "wire")
    wire.set(service="receive-pack", **{way: cut})
    ledger = open_ledger(f"git {work}")
    with suppress(ServiceError):
        ledger.fold()
    loose = git(remote, "for-each-ref", "refs/mlops/records").splitlines()
    folded = git(remote, "for-each-ref", "refs/mlops/ledger").splitlines()
    assert bool(loose) != bool(folded)
    wire.set()
    for view in (ledger, open_ledger(f"git {clone(remote, tmp_path / 'other')}")):
        assert {record.id for record in view.all()} == {record.id for record in SOME}
    ledger.fold()
    assert git(remote, "for-each-ref", "refs/mlops/records") == ""


@pytest.mark.parametrize("cut", [0, 60, 200, 400])
def test_a_fetch_that_is_cut_off_says_so_and_works_again(work: Path, tmp_path: Path, cut: int) -> None:
    remote = tmp_path / "origin.git"
    git(remote, "config", "uploadpack.allowFilter", "true")
    ledger = open_ledger(f"git {work}")
    ledger.append(SOME)
    ledger.fold()
    other = clone(remote, tmp_path / "other")
    wire = Wire(other, remote, tmp_path / "wire")
    wire.set(service="upload-pack", cut_received=cut)
    view = open_ledger(f"git {other}")
    with pytest.raises(ServiceError):
        list(view.all())
    wire.set()
    assert {record.id for record in view.all()} == {record.id for record in SOME}
    assert view.find(SOME[0].keys[0]) == [SOME[0]]
