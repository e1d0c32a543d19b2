"""What the store answers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from mlops_ci import records
from mlops_ci.entities import Adoption, Author, Run
from mlops_ci.errors import NotFound, UsageError
from mlops_ci.store import FoundRun, Scope, Store
from mlops_ci.store.search import found

from .conftest import MakeRun

AUTHOR = Author(name="Ada")


def test_runs_come_whole_and_with_the_record_that_says_so(store: Store, make_run: MakeRun) -> None:
    record = make_run("r1", metrics={"accuracy": 0.9}, params={"lr": 0.1})
    store.append([record])

    [found] = store.runs()

    assert found.entity == record.read(Run)
    assert (found.record_id, found.time, found.author) == (record.id, record.time, record.author)


def test_the_latest_start_comes_first(store: Store, make_run: MakeRun) -> None:
    store.append([make_run(f"r{day}", started=f"2026-01-0{day}T00:00:00.000000Z") for day in (2, 3, 1)])

    assert _ids(store.runs()) == ["r3", "r2", "r1"]
    assert _ids(store.runs(descending=False, limit=2)) == ["r1", "r2"]


def test_runs_are_sorted_by_a_metric_and_those_without_it_come_last(store: Store, make_run: MakeRun) -> None:
    store.append(
        [
            make_run("none"),
            make_run("nan", metrics={"loss": math.nan}),
            make_run("inf", metrics={"loss": math.inf}),
            make_run("low", metrics={"loss": 0.1, "other": 9.0}),
            make_run("high", metrics={"loss": 0.7}),
        ]
    )

    for descending, first in ((True, ["high", "low"]), (False, ["low", "high"])):
        found = _ids(store.runs(order_by="metrics.loss", descending=descending))
        assert found[:2] == first
        assert set(found[2:]) == {"none", "nan", "inf"}


def test_what_runs_cannot_be_sorted_by_is_refused(store: Store) -> None:
    for order, says in {
        "accuracy": "the order cannot be read at character 1: runs have no 'accuracy'; write metrics.accuracy",
        "started, sha": "at character 10: runs cannot be sorted by their commits",
        "started upwards": "expected `asc`, `desc`, a comma, or the end, not 'upwards'",
    }.items():
        with pytest.raises(UsageError, match=re.escape(says)):
            store.runs(order_by=order)


def test_runs_are_filtered(store: Store, make_run: MakeRun) -> None:
    store.append(
        [
            make_run("r1", experiment="a", params={"lr": 1, "opt": "adam"}),
            make_run("r2", experiment="a", status="failed", branch="dev", params={"lr": "1"}),
            make_run("r3", experiment="b", project="other", sha="c" * 40, params={"lr": True}),
        ]
    )

    assert _found(store.runs(experiment="a")) == {"r1", "r2"}
    assert _found(store.runs(experiment="a", status="failed")) == {"r2"}
    assert _found(store.runs(branch="dev")) == {"r2"}
    assert _found(store.runs(project="other")) == {"r3"}
    assert _found(store.runs(sha="c" * 40)) == {"r3"}
    assert _found(store.runs(params={"lr": 1})) == {"r1"}
    assert _found(store.runs(params={"lr": True})) == {"r3"}
    assert _found(store.runs(params={"lr": 1, "opt": "sgd"})) == set()
    assert _found(store.runs(experiment="A")) == set()
    assert _found(store.runs(experiment="b", status=None, branch=None, sha=None, params=None)) == {"r3"}


def test_a_run_is_found_by_the_start_of_its_id(store: Store, make_run: MakeRun) -> None:
    store.append([make_run("abc1"), make_run("abd2"), make_run("ab"), make_run("ABC3")])

    assert store.run("abc").entity.run_id == "abc1"
    assert store.run("ab").entity.run_id == "ab"
    with pytest.raises(UsageError, match="several runs start with 'a': ab, abc1, abd2"):
        store.run("a")
    for absent in ("x", "", "abc12", "%", "\udcff"):
        with pytest.raises(UsageError):
            store.run(absent)
    with pytest.raises(NotFound, match="no run 'x'"):
        store.run("x")


def test_the_best_run_is_finished_finite_and_the_first_of_equals(store: Store, make_run: MakeRun) -> None:
    store.append(
        [
            make_run("late", metrics={"acc": 0.9}, started="2026-01-03T00:00:00.000000Z"),
            make_run("early", metrics={"acc": 0.9}, started="2026-01-02T00:00:00.000000Z"),
            make_run("low", metrics={"acc": 0.1}),
            make_run("failed", metrics={"acc": 0.99}, status="failed"),
            make_run("infinite", metrics={"acc": math.inf}),
            make_run("other", metrics={"acc": 0.99}, experiment="b"),
            make_run("elsewhere", metrics={"acc": 0.95}, project="p2"),
        ]
    )

    assert _ids([store.best("main", "acc", project="churn")]) == ["early"]
    assert _ids([store.best("main", "acc")]) == ["elsewhere"]
    assert _ids([store.best("main", "acc", higher_is_better=False)]) == ["low"]
    assert store.best("main", "f1") is None


def test_every_experiment_has_its_best_run(store: Store, make_run: MakeRun) -> None:
    store.append(
        [
            make_run("a1", experiment="a", metrics={"acc": 0.1}),
            make_run("a2", experiment="a", metrics={"acc": 0.2}),
            make_run("b1", experiment="b", metrics={"acc": 0.9}),
            make_run("c1", experiment="c", metrics={"loss": 0.9}),
            make_run("d1", experiment="a", project="other", metrics={"acc": 0.5}),
        ]
    )

    assert _ids(store.best_of_each("acc")) == ["b1", "d1", "a2"]
    assert _ids(store.best_of_each("acc", higher_is_better=False, scope=Scope(project="churn"))) == ["a1", "b1"]


def test_several_runs_are_found_by_their_names(store: Store, make_run: MakeRun) -> None:
    store.append([make_run("abc"), make_run("def"), make_run("ghi")])

    assert _ids(store.named(["gh", "abc", "ghi"])) == ["ghi", "abc", "ghi"]
    with pytest.raises(NotFound, match="no run 'x'"):
        store.named(["abc", "x"])


def test_an_experiment_may_appear_while_runs_are_looked_up(store: Store, make_run: MakeRun) -> None:
    """Where a server answers two queries, somebody may write between them."""
    store.append([make_run("r1", experiment="new")])

    with store._read() as connection:
        rows = connection.execute(sa.select(*found.STATE)).all()
        [run] = found.as_runs(connection, rows, {})

    assert run.experiment == "new"


@pytest.mark.parametrize(
    ("ask", "plan"),
    [
        (
            lambda store: store.best("main", "acc"),
            "USING COVERING INDEX mlops_metrics_best (experiment=? AND name=? AND last>?)",
        ),
        (
            lambda store: store.search("", order_by="metrics.acc desc"),
            "USING COVERING INDEX mlops_metrics_best (experiment=? AND name=? AND last>?)",
        ),
        (
            lambda store: store.search("metrics.acc > 0.5 and params.model = 'rf'"),
            "USING COVERING INDEX mlops_metrics_best (experiment=? AND name=? AND last>?)",
        ),
        (lambda store: store.search("params.model = 'rf'"), "USING INDEX ix_mlops_runs_started_us"),
        (lambda store: store.search("sha = 'aaaa'"), "USING PRIMARY KEY (sha>? AND sha<?)|ix_mlops_commits_sha"),
    ],
)
def test_an_index_answers(store: Store, make_run: MakeRun, ask: Callable[[Store], object], plan: str) -> None:
    store.append([make_run("r1", metrics={"acc": 0.9}, params={"model": "rf"})])
    asked: list[Any] = []
    sa.event.listen(store._engine, "before_cursor_execute", lambda *args: asked.append(args[2:4]))

    ask(store)

    with store._read() as connection:
        plans = [
            str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())
            for statement, values in list(asked)
        ]
    assert any(part in each for each in plans for part in plan.split("|"))
    assert not any("SCAN mlops_runs'" in each or "SCAN mlops_metrics" in each for each in plans)


def test_an_adoption_gives_a_run_one_more_commit_whichever_came_first(store: Store, make_run: MakeRun) -> None:
    adoption = records.new(Adoption(sha="d" * 40, tree="b" * 40, run_id="r1"), author=AUTHOR)
    store.append([adoption])
    assert store.runs(sha="d" * 40) == []
    store.append([make_run("r1"), make_run("r2")])

    assert store.commits("r1") == ["a" * 40, "d" * 40]
    assert _ids(store.runs(sha="d" * 40)) == ["r1"]


def _ids(runs: list[FoundRun | None] | list[FoundRun]) -> list[str]:
    return [run.entity.run_id for run in runs if run]


def _found(runs: list[FoundRun]) -> set[str]:
    return set(_ids(runs))
