"""Two clones that append, fold, sync and lose their network in any order know the same in the end."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_ci.errors import Conflict, ServiceError
from mlops_ci.git import Checkout
from mlops_ci.ledger.git import GitLedger
from mlops_ci.records import Record
from tests.crashes.worker import a_run, an_adoption
from tests.repositories import clone, git, make_clone

CLONE, NUMBER = st.integers(0, 1), st.integers(0, 5)
STEP = st.one_of(
    st.tuples(st.just("append"), CLONE, NUMBER),
    st.tuples(st.just("claim"), CLONE, NUMBER),
    st.tuples(st.just("fold"), CLONE, st.integers(1, 3)),
    st.tuples(st.just("sync"), CLONE, st.just(0)),
    st.tuples(st.just("look"), CLONE, NUMBER),
    st.tuples(st.just("network"), st.just(0), st.just(0)),
)


@pytest.mark.full
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, min_size=4, max_size=12))
def test_two_clones_converge(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for name, place, number in steps:
            getattr(world, name)(place, number)
        world.end()


class World:
    """Two clones of a remote that may be away, and what must be true of them."""

    def __init__(self, folder: Path) -> None:
        one = make_clone(folder)
        self.remote, self.away = folder / "origin.git", folder / "away.git"
        git(self.remote, "config", "uploadpack.allowFilter", "true")
        self.ledgers = [GitLedger(Checkout.find(place)) for place in (one, clone(self.remote, folder / "two"))]
        self.appended: dict[str, Record] = {}
        self.claimed: dict[str, Record] = {}

    def append(self, place: int, number: int) -> None:
        records = [a_run(number), an_adoption(number)]
        self.ledgers[place].append(records)
        self.appended |= {record.id: record for record in records}

    def claim(self, place: int, number: int) -> None:
        """Two names, and as many who want them as there are numbers."""
        name, record = f"version/m/{number % 2}", a_run(number)
        try:
            self.ledgers[place].append([record], claims={name: record})
        except Conflict:
            assert self.claimed[name] != record
        except ServiceError:
            assert self.is_away
        else:
            assert self.claimed.setdefault(name, record) == record
            self.appended[record.id] = record

    def fold(self, place: int, most: int) -> None:
        try:
            self.ledgers[place].fold(most_refs=most * 3)
        except ServiceError:
            assert self.is_away

    def sync(self, place: int, _: int) -> None:
        try:
            self.ledgers[place].sync()
        except ServiceError:
            assert self.is_away

    def look(self, place: int, number: int) -> None:
        try:
            found = self.ledgers[place].find(f"run/run-{number}")
        except ServiceError:
            assert self.is_away
        else:
            assert {record.id for record in found} <= self.appended.keys()

    def network(self, _: int, __: int) -> None:
        """Goes away, or comes back."""
        if self.is_away:
            self.away.rename(self.remote)
        else:
            self.remote.rename(self.away)

    @property
    def is_away(self) -> bool:
        return self.away.exists()

    def end(self) -> None:
        """Everything that was appended anywhere is known everywhere."""
        if self.is_away:
            self.network(0, 0)
        for ledger in self.ledgers:
            ledger.sync()
        expected = sorted(self.appended.values(), key=lambda record: (record.time, record.id))
        for _ in range(2):
            for ledger in self.ledgers:
                assert list(ledger.all()) == expected
                assert ledger.claims("version") == dict(sorted(self.claimed.items()))
                assert ledger.pending() == 0
                for record in expected:
                    assert record in ledger.find(record.keys[0])
            self.ledgers[0].fold()
