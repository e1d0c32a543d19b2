"""A run folder is read whatever state it is in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import records
from mlops_ci.capture import events, history
from mlops_ci.capture.history import Point
from mlops_ci.entities import Metric
from mlops_ci.tracking import points


def write(folder: Path, *lines: object) -> Path:
    text = "".join(
        line if isinstance(line, str) else json.dumps(line, separators=(",", ":")) + "\n"  # as tracking writes them
        for line in lines
    )
    (folder / "events.jsonl").write_text(text)
    return folder


def metrics(time: float = 1.0, **values: float) -> dict:
    return {"event": "metrics", "values": values, "time": time}


def points_of(path: Path) -> dict[str, list[Point]]:
    with path.open("rb") as lines:
        return history.read(lines)


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
    events.read(write(tmp_path, metrics(a=1), metrics(a=2, b=3), {**metrics(b=4), "step": 7}), tmp_path / "history")
    found = points_of(tmp_path / "history")
    assert [point.step for point in found["a"]] == [0, 1]
    assert [point.step for point in found["b"]] == [0, 7]


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


@st.composite
def logged(draw: st.DrawFn) -> tuple[list[bytes], dict[str, list[float]]]:
    """Lines as several processes write them, all mixed, and what each metric must come to."""
    value = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
    numbers = draw(st.lists(st.tuples(st.sampled_from(["a", "b.c", "ü\ud800", ""]), value), max_size=30))
    lines: list[bytes] = []
    expected: dict[str, list[float]] = {}
    for name, number in numbers:
        lines += [points.line(name, number), *points.columns({name: [number, number]}, None)]
        expected.setdefault(name.replace("\ud800", "?"), []).extend([float(number)] * 3)
    return lines, expected


@given(logged(), st.integers(0, 300))
def test_a_torn_end_costs_the_last_event_alone(case, cut):
    """However much of it was written; everything before it is read, in order."""
    lines, expected = case
    with TemporaryDirectory() as name:
        folder = Path(name)
        torn = points.line("torn", 1.5, 3)
        (folder / "events.jsonl").write_bytes(b"".join(lines) + torn[: min(cut, len(torn) - 2)])
        found = events.read(folder, folder / "history")
        read = points_of(folder / "history") if expected else {}
    assert {name: [point.value for point in points] for name, points in read.items()} == expected
    assert {name: metric.count for name, metric in found.metrics.items()} == {
        name: len(values) for name, values in expected.items()
    }
    assert len(found.warnings) == (cut > 0)


@given(logged(), st.sampled_from([b"\0\0\n", b"[]\n", b'{"event":"metrics",\n', b'{"event":"metrics","values":3}\n']))
def test_junk_between_events_is_one_warning(case, junk):
    """And costs nothing else."""
    lines, expected = case
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "events.jsonl").write_bytes(b"".join([*lines, junk, *lines]))
        found = events.read(folder)
    assert {name: metric.count for name, metric in found.metrics.items()} == {
        name: 2 * len(values) for name, values in expected.items()
    }
    assert len(found.warnings) == 1


@pytest.mark.parametrize("time", [math.nan, math.inf, -1.0, 1e300], ids=str)
def test_a_point_without_a_sane_time_is_no_event(tmp_path, time):
    """No file of ours could say when it was."""
    found = events.read(write(tmp_path, metrics(time, a=1), metrics(a=2)), tmp_path / "history")
    assert found.metrics["a"].count == 1
    assert found.warnings == ["events.jsonl:1: this is no metrics event"]


def test_no_metric_no_history(tmp_path):
    """Not even an empty file."""
    events.read(write(tmp_path, {"event": "tags", "values": {}}), tmp_path / "history")
    assert not (tmp_path / "history").exists()


@given(logged(), st.integers(0, 40))
def test_a_glance_at_a_short_run_sees_all_of_it(case, cut):
    """The line that is being written is not there yet."""
    lines, expected = case
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "events.jsonl").write_bytes(b"".join(lines) + points.line("torn", 1.5)[:cut])
        seen = events.glance(folder)
    assert seen.metrics == {name: values[-1] for name, values in expected.items()}


@pytest.mark.parametrize("size", [10_000, 260_000, 262_144, 500_000, 600_000, 3_000_000])
def test_a_glance_at_a_long_run_sees_its_two_ends(tmp_path, size):
    """However long it is, and wherever a line is cut by where reading begins."""
    head = b'{"event":"params","values":{"depth":3}}\n'
    body = [points.line("loss", index / 7) for index in range(size // 90)]
    (tmp_path / "events.jsonl").write_bytes(head + b"".join(body) + points.line("loss", 0.125) + points.line("auc", 1))
    seen = events.glance(tmp_path)
    assert (seen.params, seen.metrics) == ({"depth": 3}, {"loss": 0.125, "auc": 1.0})


def test_a_glance_at_nothing_sees_nothing(tmp_path):
    """Training has not logged yet."""
    assert events.glance(tmp_path) == events.Glance()
