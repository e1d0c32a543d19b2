"""What differs between two runs."""

from __future__ import annotations

import math

import pytest

from mlops_ci.entities import MetricChange, ValueChange
from mlops_ci.gates import Gate

from .runs import dataset, report, run


def test_gated_metrics_come_first_and_the_others_follow_by_name():
    found = report(
        run({"a": 1.0, "b": 1.0, "z": 1.0}),
        run({"b": 1.0, "old": 1.0}),
        Gate(metric="z", min=0),
        Gate(metric="gone", min=0),
    )
    assert [change.metric for change in found.metrics] == ["z", "gone", "a", "b", "old"]


def test_a_change_is_exact_and_its_trend_follows_the_direction():
    [change] = report(run({"loss": 0.3}), run({"loss": 0.2})).metrics
    assert change == MetricChange(metric="loss", baseline=0.2, candidate=0.3, change=0.1, relative=0.5, trend="worse")


def test_what_the_gate_says_about_the_direction_counts_more_than_the_name():
    gate = Gate(metric="loss", better="higher", max_drop=1)
    assert report(run({"loss": 0.3}), run({"loss": 0.2}), gate).metrics[0].trend == "better"


def test_a_change_from_0_has_no_percentage_and_an_unknown_name_no_trend():
    [change] = report(run({"widgets": 3.0}), run({"widgets": 0.0})).metrics
    assert (change.change, change.relative, change.trend) == (3.0, None, "unknown")


def test_what_is_no_number_has_no_change():
    [change] = report(run({"loss": math.nan}), run({"loss": 0.2})).metrics
    assert (change.change, change.trend) == (None, "unknown")


def test_params_that_differ_are_listed_and_the_others_counted():
    before = run(params={"lr": 0.1, "depth": 3, "shuffle": 1, "old": "x", "n": 1})
    after = run(params={"lr": 0.2, "depth": 3, "shuffle": True, "new": None, "n": 1.0})
    found = report(after, before)
    assert found.params == [
        ValueChange(name="lr", baseline=0.1, candidate=0.2),
        ValueChange(name="new", baseline=None, candidate=None),
        ValueChange(name="old", baseline="x", candidate=None),
        ValueChange(name="shuffle", baseline=1, candidate=True),
    ]
    assert found.unchanged_params == 2


def test_other_test_data_is_said_aloud_and_other_training_data_listed():
    before = run(data=[dataset("train", "a", rows=10), dataset("test", "b")])
    after = run(data=[dataset("train", "c", rows=12), dataset("test", "d")])
    found = report(after, before, notes=["A note."])
    assert [change.name for change in found.data] == ["test.digest", "train.digest", "train.rows"]
    [about_the_test_data, given] = found.notes
    assert "data test differs from the baseline's (bbbbbbbbbbbb became dddddddddddd)" in about_the_test_data
    assert given == "A note."


def test_a_baseline_that_did_not_finish_is_as_good_as_none():
    found = report(run({"a": 1.0}), run({"a": 1.0}, status="failed"), Gate(metric="a", max_drop=0.1))
    assert (found.baseline, found.verdict) == (None, "not evaluated")
    assert "The baseline failed" in found.notes[0]


def test_a_gated_metric_has_a_trail_that_ends_with_the_baseline():
    before = [run({"accuracy": value, "auc": 1.0}) for value in (0.7, 0.8)]
    found = report(run({"accuracy": 0.95}), run({"accuracy": 0.9}), Gate(metric="accuracy", min=0), trail=before)
    assert {change.metric: change.trail for change in found.metrics} == {"accuracy": [0.7, 0.8, 0.9]}


@pytest.mark.parametrize(
    ("before", "baseline", "trail"),
    [
        ([], {"accuracy": 0.9}, [0.9]),
        ([{}, {"accuracy": math.nan}, {"accuracy": 0.8}], {"accuracy": 0.9}, [0.8, 0.9]),
        ([{"accuracy": 0.8}], {}, []),
        ([{"accuracy": 0.8}], {"accuracy": math.inf}, []),
    ],
)
def test_a_trail_has_numbers_alone_and_none_without_the_baselines(before, baseline, trail):
    gate = Gate(metric="accuracy", min=0)
    found = report(run({"accuracy": 0.95}), run(baseline), gate, trail=[run(metrics) for metrics in before])
    assert found.metrics[0].trail == trail


def test_only_a_gated_metric_has_a_trail_and_none_without_a_baseline():
    assert report(run({"a": 1}), run({"a": 1})).metrics[0].trail == []
    assert report(run({"a": 1}), None, Gate(metric="a", min=0), trail=[run({"a": 1})]).metrics[0].trail == []
