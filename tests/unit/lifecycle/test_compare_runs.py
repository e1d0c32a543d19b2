"""Runs side by side: what differs first, and where the best value stands."""

from __future__ import annotations

import math
from typing import Any

from mlops_ci.entities import Author, Dataset, GitState, Metric, Run
from mlops_ci.lifecycle.queries.compare_runs import Line, compare
from mlops_ci.store import FoundRun


def _found(run_id: str, *, tags: dict[str, str] | None = None, **fields: Any) -> FoundRun:
    run = Run(
        run_id=run_id,
        run_key=run_id,
        project="churn",
        experiment="main",
        status="finished",
        started="2026-01-01T00:00:00.000000Z",
        ended="2026-01-01T00:00:01.000000Z",
        duration_s=1.0,
        git=GitState(trained_sha="a" * 40, head_sha="a" * 40, tree="t", branch="main"),
        **fields,
    )
    return FoundRun(
        record_id=run_id, time=run.ended, author=Author(name="Ada"), entity=run, experiment="main", tags=tags or {}
    )


def _metrics(**values: float) -> dict[str, Metric]:
    return {name: Metric(last=value, min=value, max=value) for name, value in values.items()}


def _line(lines: list[Line], name: str) -> Line:
    return next(line for line in lines if line.name == name)


def test_what_differs_comes_first() -> None:
    lines = compare(
        [
            _found("r1", params={"lr": 0.1, "depth": 3}, metrics=_metrics(accuracy=0.9)),
            _found("r2", params={"lr": 0.2, "depth": 3}, metrics=_metrics(accuracy=0.9), tags={"team": "ads"}),
        ]
    )

    assert [line.name for line in lines if line.differs] == ["lr", "team"]
    assert lines.index(_line(lines, "team")) < lines.index(_line(lines, "depth"))
    assert _line(lines, "team").values == [None, "ads"]
    assert _line(lines, "accuracy").best == []


def test_the_best_is_known_by_the_metrics_name_or_by_its_gate() -> None:
    runs = [
        _found("r1", metrics=_metrics(accuracy=0.9, log_loss=0.3, profit=5, odd=1)),
        _found("r2", metrics=_metrics(accuracy=0.95, log_loss=0.1, profit=7, odd=2)),
        _found("r3", metrics=_metrics(accuracy=math.nan, log_loss=math.inf, profit=7)),
        _found("r4"),
    ]

    lines = compare(runs, {"profit": "higher"})

    assert {name: _line(lines, name).best for name in ("accuracy", "log_loss", "profit", "odd")} == {
        "accuracy": [1],
        "log_loss": [1],
        "profit": [1, 2],
        "odd": [],
    }


def test_values_of_different_types_differ_and_nan_is_itself() -> None:
    one = _found("r1", params={"a": 1, "b": 1, "c": math.nan}, data=[_data("x")])
    two = _found("r2", params={"a": "1", "b": True, "c": math.nan}, data=[_data("y")])

    lines = compare([one, two])

    assert [line.name for line in lines if line.differs] == ["a", "b", "train"]
    assert _line(lines, "train").values == ["sha256:x", "sha256:y"]
    assert compare([]) == [Line(line.section, line.name, [], differs=False, best=[]) for line in compare([])]


def _data(digest: str) -> Dataset:
    return Dataset(name="train", path="train.csv", digest=f"sha256:{digest}", size_bytes=1)
