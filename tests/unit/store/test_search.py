"""Orders and pages: every run once, in the order that was asked for, whatever is added meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ci.errors import UsageError
from mlops_ci.store import Scope, Store

from . import population
from .conftest import MakeRun
from .population import Known
from .test_filters import FILTERS, Pair, populated  # noqa: F401  # the fixture

_, KNOWN = population.populate()

_KEYS: dict[str, Callable[[Known], Any]] = {
    "metrics.acc": lambda known: known.metric("acc"),
    'metrics."val loss"': lambda known: known.metric("val loss"),
    "min(metrics.acc)": lambda known: known.metric("acc", "min"),
    "started": lambda known: known.started,
    "duration_s": lambda known: known.run.duration_s if math.isfinite(known.run.duration_s) else None,
    "branch": lambda known: known.attribute("branch"),
    "experiment": lambda known: known.experiment,
    "tags.team": lambda known: known.tags.get("team"),
    "dirty": lambda known: known.run.git.dirty,
}
_ORDERS = st.lists(
    st.tuples(st.sampled_from(list(_KEYS)), st.sampled_from(["", "asc", "desc", "DESC"])),
    max_size=3,
    unique_by=lambda key: key[0],
)


def _sorted(known: list[Known], order: list[tuple[str, str]]) -> list[str]:
    found = sorted(known, key=lambda each: each.record.id)
    if "started" not in {name for name, _ in order}:
        found.sort(key=lambda each: each.started, reverse=True)
    for name, way in reversed(order):
        get = _KEYS[name]
        there = [each for each in found if get(each) is not None]
        there.sort(key=get, reverse=way.lower() == "desc")
        found = there + [each for each in found if get(each) is None]
    return [each.run.run_id for each in found]


def _pages(store: Store, text: str, order: str, limit: int) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        page = store.search(text, order_by=order, limit=limit, cursor=cursor)
        found += [run.entity.run_id for run in page.runs]
        assert len(page.runs) == limit or not page.cursor
        cursor = page.cursor
        if not cursor:
            return found


@settings(max_examples=120, deadline=None)
@given(_ORDERS, st.integers(1, 25), st.just(("", lambda _: True)) | FILTERS)
def test_pages_are_the_whole_list_in_order(
    populated: Store,  # noqa: F811
    order: list[tuple[str, str]],
    limit: int,
    pair: Pair,
) -> None:
    text, holds = pair
    expected = _sorted([each for each in KNOWN if holds(each)], order)

    assert _pages(populated, text, ", ".join(" ".join(key) for key in order), limit) == expected


_STARTS = st.integers(0, 9).map("2026-01-01T00:00:0{}.000000Z".format)
_ACCURACIES = st.sampled_from([None, 0.1, 0.5, 0.9, math.nan])
_NEW = st.lists(st.tuples(_STARTS, _ACCURACIES), max_size=6)


@settings(max_examples=60, deadline=None)
@given(_NEW, st.lists(_NEW, max_size=5), st.integers(1, 4), st.sampled_from(["", "metrics.acc desc", "started"]))
def test_what_is_added_meanwhile_moves_nothing(
    make_run: MakeRun, first: list[Any], later: list[list[Any]], limit: int, order: str
) -> None:
    numbers = iter(range(1000))

    def made(some: list[Any]) -> list[Any]:
        return [
            make_run(f"r{next(numbers)}", started=started, metrics={} if accuracy is None else {"acc": accuracy})
            for started, accuracy in some
        ]

    with Store.open("sqlite://") as store:
        store.append(made(first))
        there = [run.entity.run_id for run in store.search("", order_by=order, limit=100).runs]
        found, cursor, more = [], "", True
        while more:
            page = store.search("", order_by=order, limit=limit, cursor=cursor)
            found += [run.entity.run_id for run in page.runs]
            cursor, more = page.cursor, bool(page.cursor)
            if later:
                store.append(made(later.pop()))

        assert [run_id for run_id in found if run_id in there] == there
        assert len(set(found)) == len(found)


def test_a_cursor_of_another_query_is_refused(store: Store, make_run: MakeRun) -> None:
    store.append([make_run(f"r{number}") for number in range(5)])
    cursor = store.search("dirty = false", limit=2).cursor

    assert len(store.search("dirty = false", limit=9, cursor=cursor).runs) == 3
    others: list[dict[str, Any]] = [
        {"filter": "dirty = true"},
        {"order_by": "duration_s"},
        {"scope": Scope(deleted=True)},
        {"cursor": cursor[:-2]},
        {"cursor": "!"},
        {"cursor": "é"},
    ]
    for other in others:
        with pytest.raises(UsageError, match="this cursor belongs to another query, or was cut short"):
            store.search(**({"filter": "dirty = false", "cursor": cursor} | other))


def test_a_page_has_one_run_at_least(store: Store) -> None:
    with pytest.raises(UsageError, match="a page of 0 runs"):
        store.search("", limit=0)


def test_runs_of_many_experiments_are_sorted_together(store: Store, make_run: MakeRun) -> None:
    """More than are walked side by side."""
    store.append([make_run(f"r{number:02}", experiment=f"e{number}", metrics={"acc": number}) for number in range(40)])

    found = [run.entity.run_id for run in store.search("", order_by="metrics.acc desc", limit=3).runs]
    few = [run.entity.run_id for run in store.search("experiment in ('e3', 'e5')", order_by="metrics.acc").runs]

    assert found == ["r39", "r38", "r37"]
    assert few == ["r03", "r05"]
    assert len(list(store.every("metrics.acc >= 0"))) == 40
