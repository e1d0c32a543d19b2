"""Text and numbers come back as they were, and are found, in every kind of database."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import sqlalchemy as sa

from mlops_ci import records
from mlops_ci.entities import GitState, Metric, Run
from mlops_ci.errors import Conflict, UsageError
from mlops_ci.store import Store
from mlops_ci.store.databases.text import Text

from .writers import run_record

# What databases are known to take for the same, to cut, or to refuse.
STRANGE = [
    "r",
    "r ",
    "R",
    "ŕ",
    "r\0",
    "r\0\0",
    "r\1",
    "r\1\1",
    "r\1\2",
    "r\n",
    "r\t",
    "",
    " ",
    "ß",
    "ss",
    "😀",
    "😁",
    "\uffff",
]
STRANGE += [
    "x" * 254,
    "x" * 255,
    "x" * 256,
    "x" * 257,
    "x" * 5000,
    "😀" * 400,
    "\0" * 300,
    "r%",
    "r_",
    "r\\",
    "'",
    '"',
    "NULL",
]


@pytest.fixture
def store(url: str):
    with Store.open(url) as opened:
        yield opened


def test_no_two_texts_are_the_same_and_each_is_found(store: Store) -> None:
    runs = [
        run_record(text, size=0, run_key=text, params={text: text}, metrics={text: Metric(last=0.5, min=0.5, max=0.5)})
        for text in STRANGE
    ]
    assert store.append(runs) == len(STRANGE)

    assert sorted(record.id for record in store.all()) == sorted(record.id for record in runs)
    assert {found.entity.run_id for found in store.runs(limit=99)} == set(STRANGE)
    for text, record in zip(STRANGE, runs, strict=True):
        assert store.find([f"run/{text}"]) == ([record] if text else store.find(["run"])), repr(text)
        assert [found.record_id for found in store.runs(params={text: text})] == [record.id], repr(text)
        best = store.best("main", text)
        assert best
        assert best.record_id == record.id, repr(text)


def test_a_claim_is_its_own_whatever_its_name(store: Store) -> None:
    names = [f"n/{text}" for text in STRANGE if text and len(text) < 399]
    holders = {name: run_record(str(number), size=0) for number, name in enumerate(names)}
    for name, record in holders.items():
        store.append([record], {name: record})

    for name in holders:
        other = run_record("other", size=0)
        with pytest.raises(Conflict):
            store.append([other], {name: other})
    assert store.claims("") == holders
    with pytest.raises(UsageError, match="is too long for a name that is taken once"):
        store.append([run_record("r")], {"n" * 401: run_record("r")})


def test_text_is_sorted_by_code_point(store: Store) -> None:
    """As Python does, and not by a language's rules; a NUL comes before all."""
    names = [text for text in STRANGE if len(text) < 9 and text]
    table = sa.Table("t", sa.MetaData(), sa.Column("name", Text(255), primary_key=True))
    with store._writer.begin() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), [{"name": name} for name in names])

    with store._read() as connection:
        found = list(connection.scalars(sa.select(table.c.name).order_by(table.c.name)))
        for low, high in pairwise(sorted(names)):
            between = sa.select(table.c.name).where(table.c.name > low, table.c.name <= high)
            assert list(connection.scalars(between)) == [high]
    assert found == sorted(names)


def test_values_come_back_as_they_were(store: Store) -> None:
    params = {
        "huge": 2**70,
        "text": "x" * 300_000,
        "😀": "😀\0\x7f",
        "yes": True,
        "one": 1,
        "word": "1",
        "none": None,
        "e": 1e20,
    }
    numbers = [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, -0.0, 2.0**53]
    metrics = {f"m{n}": Metric(last=value, min=value, max=value, count=2**53 - 1) for n, value in enumerate(numbers)}
    git = GitState(trained_sha="1" * 64, head_sha="2" * 40, tree="3" * 40, branch="größe/😀" * 50)
    record = run_record("r", params=params, metrics=metrics, git=git, experiment="e" * 255, project="p\0")
    store.append([record])

    [found] = store.runs(experiment="e" * 255, project="p\0", branch=git.branch)

    assert found.entity.params == params
    assert records.encode(records.new(found.entity, author=found.author, time=found.time)) == records.encode(record)
    assert [run.record_id for run in store.runs(sha="1" * 64)] == [record.id]
    assert store.find(["sha/" + "2" * 40])[0].read(Run).git == git
    for number, value in enumerate(numbers):
        best = store.best("e" * 255, f"m{number}")
        assert bool(best) is math.isfinite(value), value


def test_text_that_is_no_unicode_is_refused_and_nothing_breaks(store: Store) -> None:
    with pytest.raises(UsageError):
        store.find(["run/\udcff"])
    store.append([run_record("r")])
    assert len(store.runs()) == 1
