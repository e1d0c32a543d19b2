"""The points of metrics are written as Python's `json` would write them, and read as they were logged."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlops_ci as mlops
from mlops_ci.capture import events, history
from mlops_ci.capture.history import Point
from mlops_ci.tracking import points

NUMBERS = st.floats() | st.integers(-(2**70), 2**70)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run folder."""
    monkeypatch.setenv("MLOPS_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def points_of(folder: Path) -> dict[str, list[Point]]:
    events.read(folder, folder / "history")
    with (folder / "history").open("rb") as lines:
        return history.read(lines)


@given(st.text(), NUMBERS, st.none() | NUMBERS)
def test_the_line_is_json_whatever_is_logged(name, value, step):
    """The short way and the general one write the same event."""
    line = points.line(name, value, step)
    event = json.loads(line)
    general = json.loads(points.lines_of({name: float(value)}, step)) | {"time": event["time"]}
    assert json.dumps(event) == json.dumps(general | ({} if step is None else {"step": event["step"]}))
    if step is not None:
        assert repr(float(event["step"])) == repr(float(step))
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("value", [np.float64(0.5), np.float32(0.5), np.array(0.5), True, 1], ids=repr)
def test_numbers_of_other_kinds_are_floats(folder, value):
    """Subclasses of float too, whose `repr` is another."""
    with mlops.start_run() as run:
        run.log_metric("a", value, step=np.int64(3))
        run.log_metric("b", 2.5, step=value)
    found = points_of(folder)
    assert [(point.step, point.value) for point in found["a"]] == [(3, float(value))]
    assert [(point.step, point.value) for point in found["b"]] == [(float(value), 2.5)]


def test_a_history_is_logged_at_once(folder):
    """As Keras, XGBoost and LightGBM hold it; more than one line of it."""
    losses = [1 / (1 + index) for index in range(2 * points.POINTS_A_LINE + 1)]
    with mlops.start_run() as run:
        run.log_metric("loss", 7.0)
        run.log_history({"loss": losses})
        run.log_history({"train": {"rmse": np.array([3.0, 2.0])}, "auc": (0.5, math.nan)}, steps=np.array([10, 20]))
    found = points_of(folder)
    assert [(point.step, point.value) for point in found["loss"]] == list(enumerate([7.0, *losses]))
    assert [(point.step, point.value) for point in found["train.rmse"]] == [(10, 3.0), (20, 2.0)]
    assert math.isnan(found["auc"][1].value)
    assert not events.read(folder).warnings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"a": "text"}, "'a' is 'text', not a sequence"),
        ({"a": 0.5}, "'a' is 0.5, not a sequence"),
        ({"a": [1, "x"]}, "'a' is 'x', not a number"),
        ({"a": [[1], [2]]}, r"'a' is \[1\], not a number"),
        ({"a": [1, 2, 3]}, "'a' has 3 values for 2 steps"),
    ],
)
def test_what_is_no_history_is_a_warning_and_the_rest_is_kept(folder, wrong, said):
    """The training goes on."""
    with mlops.start_run() as run, pytest.warns(mlops.TrackingWarning, match=said):
        run.log_history({**wrong, "ok": [1, 2]}, steps=[0, 5])
    assert {name: metric.count for name, metric in events.read(folder).metrics.items()} == {"ok": 2}


def test_several_processes_log_in_every_way_at_once(folder):
    """No line is mixed with another; each process's points stay in order."""
    code = """
import sys, mlops_ci as m
who = sys.argv[1]
for i in range(300):
    m.log_metric("shared", i, step=i)
    m.log_metrics({who: i, "nan": float("nan")})
    m.log_history({who: [i + 0.25, i + 0.5]})
"""
    children = [subprocess.Popen([sys.executable, "-c", code, who]) for who in "abc"]
    assert [child.wait() for child in children] == [0, 0, 0]
    found = points_of(folder)
    expected = [value for i in range(300) for value in (i, i + 0.25, i + 0.5)]
    for who in "abc":
        assert [point.value for point in found[who]] == expected
        assert [point.step for point in found[who]] == list(range(900))
    assert sorted(point.step for point in found["shared"]) == sorted([*range(300)] * 3)
    assert len(found["nan"]) == 900
    assert not events.read(folder).warnings


def test_the_file_has_each_point_when_the_call_returns(folder):
    """Nothing waits in the process."""
    with mlops.start_run() as run:
        for count in range(1, 50):
            run.log_metric("loss", 1 / count)
            assert events.read(folder).metrics["loss"].count == count
        run.log_history({"loss": [0.0, 0.0]})
        assert events.read(folder).metrics["loss"].count == 51
