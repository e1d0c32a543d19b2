"""A few metrics of a history as curves that a picture can show."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mlops_ci.capture import curves
from mlops_ci.capture.history import History


def history(path: Path, series: dict[str, list[float]], **options: int) -> list[bytes]:
    with History(path, **options) as points:
        for step in range(max(map(len, series.values()))):
            for name, values in series.items():
                if step < len(values):
                    points.add(name, values[step], float(step), None)
    return path.read_bytes().splitlines(keepends=True)


def test_curves_come_in_the_order_that_is_asked_for(tmp_path):
    lines = history(tmp_path / "h", {"a": [1, 2], "b": [3, 4, 5], "c": [6, 7]})
    found = curves.read(lines, ["b", "a", "none"])
    assert [(one.metric, one.steps, one.values) for one in found] == [
        ("b", [0, 1, 2], [3, 4, 5]),
        ("a", [0, 1], [1, 2]),
    ]


def test_a_metric_of_many_lines_is_one_curve(tmp_path):
    lines = history(tmp_path / "h", {"a": [1, 2, 3, 4, 5]}, most_waiting=2)
    assert len(lines) > 1
    assert curves.read(lines, ["a"])[0].values == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("number", [39, 40, 41, 1_000, 12_345])
def test_a_long_one_is_thinned_out_and_keeps_its_ends(tmp_path, number):
    [found] = curves.read(history(tmp_path / "h", {"a": [float(n) for n in range(number)]}), ["a"])
    assert len(found.values) == min(number, 40)
    assert (found.values[0], found.values[-1], found.steps[-1]) == (0, number - 1, number - 1)
    assert found.values == sorted(set(found.values))


def test_points_that_are_no_numbers_are_left_out_and_one_point_is_no_curve(tmp_path):
    series = {"a": [1, math.nan, 3, math.inf], "b": [1, math.nan], "c": [1]}
    found = curves.read(history(tmp_path / "h", series), ["a", "b", "c"])
    assert [(one.metric, one.steps, one.values) for one in found] == [("a", [0, 2], [1, 3])]


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"metric": "a"}', b'{"metric":"a","steps":[1],"values":[1,2]}', b"\xff", b""]
)
def test_what_is_no_history_is_said_in_one_way(line):
    with pytest.raises(ValueError, match=r"."):
        curves.read([line], ["a"])


def test_a_value_that_is_no_number_is_said_too():
    with pytest.raises(ValueError, match="high"):
        curves.read([b'{"metric":"a","steps":[1],"values":["high"]}'], ["a"])
