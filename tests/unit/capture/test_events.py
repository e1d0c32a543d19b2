"""A run folder is read whatever state it is in."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import records
from mlops_ci.capture import events
from mlops_ci.capture.events import Events, Point
from mlops_ci.entities import Metric


def write(folder: Path, *lines: object) -> Path:
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    (folder / "events.jsonl").write_text(text)
    return folder


def metrics(time: float = 1.0, **values: float) -> dict:
    return {"event": "metrics", "values": values, "time": time}


def test_an_empty_folder_has_no_events(tmp_path):
    """Training need not log."""
    found = events.read(tmp_path)
    assert not found.params
    assert not found.ended
    assert not found.warnings


def test_extremes_are_over_finite_points(tmp_path):
    """And the last value is the last, NaN too."""
    found = events.read(write(tmp_path, *(metrics(loss=value) for value in (1.0, math.inf, 0.5, math.nan))))
    assert math.isnan(found.metrics["loss"].last)
    assert (found.metrics["loss"].min, found.metrics["loss"].max, found.metrics["loss"].count) == (0.5, 1.0, 4)
    alone = events.read(write(tmp_path, metrics(loss=math.nan))).metrics["loss"]
    assert all(map(math.isnan, (alone.last, alone.min, alone.max)))
    records.canonical({"loss": alone.last})


def test_steps_count_where_none_is_given(tmp_path):
    """For each metric on its own."""
    found = events.read(write(tmp_path, metrics(a=1), metrics(a=2, b=3), {**metrics(b=4), "step": 7}))
    assert [point.step for point in found.history["a"]] == [0, 1]
    assert [point.step for point in found.history["b"]] == [0, 7]


def test_a_torn_last_line_is_left_out_and_said(tmp_path):
    """The training was killed in the middle of a write."""
    found = events.read(write(tmp_path, metrics(a=1), '{"event":"metrics","val'))
    assert found.metrics == {"a": Metric(last=1, min=1, max=1)}
    assert "cut off" in found.warnings[0]


@pytest.mark.parametrize(
    "line",
    [
        "[]\n",
        "\0\0\0\n",
        "3\n",
        "[" * 100_000 + "\n",
        '{"event": "metrics"}\n',
        '{"event": "metrics", "values": {"a": "x"}, "time": 1}\n',
        '{"event": "metrics", "values": [1], "time": 1}\n',
        '{"event": "params", "values": 3}\n',
        '{"event": "data", "name": "x"}\n',
        '{"event": "start", "pid": "x", "experiment": ""}\n',
        '{"event": "stage", "name": "x", "duration_s": null}\n',
        '{"event": ["unhashable"]}\n',
        '{"event": {"a": 1}}\n',
        "{}\n",
    ],
    ids=range(14),
)
def test_nonsense_is_one_warning(tmp_path, line):
    """And what stands around it is read."""
    found = events.read(write(tmp_path, metrics(ok=1), line, metrics(ok=2)))
    assert found.metrics["ok"].count == 2
    assert len(found.warnings) == 1


def test_events_of_a_newer_version_are_counted(tmp_path):
    """One sentence for each kind."""
    found = events.read(write(tmp_path, {"event": "profile"}, {"event": "profile"}, {"event": "unknown"}))
    assert [warning[:40] for warning in found.warnings] == [
        "2 events of kind 'profile' not understoo",
        "1 event of kind 'unknown' not understood",
    ]


def test_text_that_utf8_cannot_hold_is_mended(tmp_path):
    """Or no record could be written."""
    found = events.read(write(tmp_path, '{"event": "params", "values": {"a\\ud800": "\\udfff"}}\n'))
    records.canonical(found.params)


def test_params_that_changed_are_said(tmp_path):
    """The last one counts; the same again, NaN too, is no change."""
    same = {"event": "params", "values": {"lr": 1, "x": math.nan, "odd": {"a": [1]}}}
    found = events.read(write(tmp_path, same, same, {"event": "params", "values": {"lr": 2}}))
    assert found.params["lr"] == 2
    assert found.params["odd"] == '{"a": [1]}'
    assert found.warnings == ["param lr was logged with different values"]


def test_a_run_has_ended_when_each_process_has(tmp_path):
    """One that was killed has not."""
    lines = [{"event": "start", "pid": pid, "experiment": ""} for pid in (1, 2)]
    lines += [{"event": "end", "pid": 1, "error": ""}]
    assert not events.read(write(tmp_path, *lines)).ended
    assert events.read(write(tmp_path, *lines, {"event": "end", "pid": 2, "error": "boom"})).error == "boom"


def test_an_artifact_that_is_gone_is_said(tmp_path):
    """Somebody removed it."""
    found = events.read(write(tmp_path, {"event": "artifact", "path": "roc.png"}))
    assert not found.artifacts
    assert found.warnings == ["artifact roc.png was logged and is gone"]


POINTS = st.lists(
    st.builds(
        Point,
        st.integers(-(2**53), 2**53).map(float) | st.floats(allow_nan=False),
        st.floats(0, 2e9),
        st.floats(allow_nan=False),
    ),
    min_size=1,
)


@given(st.dictionaries(st.text(), POINTS))
def test_history_is_read_as_it_was_written(history):
    """Every point, infinities included; the bytes are UTF-8 and strict JSON."""
    data = events.history_bytes(Events(history=history))
    assert events.read_history(data) == history
    for line in data.splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_history_keeps_nan():
    """As the text "nan"."""
    data = events.history_bytes(Events(history={"loss": [Point(0, 1, math.nan)]}))
    assert data == b'{"metric":"loss","steps":[0],"times":[1],"values":["nan"]}\n'
    assert math.isnan(events.read_history(data)["loss"][0].value)
