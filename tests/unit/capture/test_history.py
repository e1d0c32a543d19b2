"""The history of a run is read as it was written, and written without holding all of it."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci.capture import history
from mlops_ci.capture.history import History, Point

POINTS = st.lists(
    st.builds(
        Point,
        st.integers(-(2**53), 2**53).map(float) | st.floats(allow_nan=False),
        st.integers(0, 2 * 10**15).map(lambda time_us: time_us / 1e6),
        st.floats(allow_nan=False),
    ),
    min_size=1,
)


def written(path: Path, series: dict[str, list[Point]]) -> bytes:
    with History(path) as points:
        for name, each in series.items():
            for step, time, value in each:
                points.add(name, value, time, step)
    return path.read_bytes() if path.exists() else b""


@given(st.dictionaries(st.text(), POINTS))
def test_history_is_read_as_it_was_written(series):
    """Every point, infinities included; the bytes are UTF-8 and strict JSON."""
    with TemporaryDirectory() as folder:
        data = written(Path(folder) / "history.jsonl", series)
    assert history.read(data.splitlines()) == series  # bytes are split at "\\n" and "\\r" alone
    for line in data.decode("utf-8").split("\n")[:-1]:
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_what_a_line_looks_like(tmp_path):
    """Whole steps as integers, times as differences, NaN as text."""
    points = {"loss": [Point(0, 1.5, math.nan), Point(1, 1.500002, 0.25)], "auc": [Point(0.5, 2.0, 1.0)]}
    assert written(tmp_path / "history.jsonl", points) == (
        b'{"metric":"auc","steps":[0.5],"times_us":[2000000],"values":[1.0]}\n'
        b'{"metric":"loss","steps":[0,1],"times_us":[1500000,2],"values":["nan",0.25]}\n'
    )


@pytest.mark.full
def test_a_million_points_are_never_all_held(tmp_path):
    """They are in the file all the same, and the summary is of all of them."""
    count = 5 * history.MOST_WAITING + 1
    tracemalloc.start()
    with History(tmp_path / "history.jsonl") as points:
        for index in range(count):
            points.add("ab"[index % 2], index / 7, 1e9 + index, None)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 200 * history.MOST_WAITING
    summary = points.summaries()["a"]
    assert (summary.count, summary.min, summary.max) == (count // 2 + 1, 0.0, (count - 1) / 7)
    with (tmp_path / "history.jsonl").open("rb") as lines:
        series = history.read(lines)
    assert [point.step for point in series["a"]] == list(range(count // 2 + 1))
    assert [point.value for point in series["b"]] == [index / 7 for index in range(1, count, 2)]


@given(st.lists(st.floats(), min_size=1), st.integers(1, 5))
def test_a_summary_does_not_depend_on_when_points_were_written(values, most):
    """Extremes are over the finite points, wherever the bites end."""
    finite = [value for value in values if math.isfinite(value)] or values[-1:]
    with History(most_waiting=most) as points:
        for value in values:
            points.add("loss", value, 0, None)
    found = points.summaries()["loss"]
    expected = (values[-1], min(finite), max(finite), len(values))
    assert repr((found.last, found.min, found.max, found.count)) == repr(expected)
