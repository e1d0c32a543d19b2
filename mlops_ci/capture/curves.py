"""
Curves: how a few metrics went while training, from the history file that `capture.history` writes.

Thinned out to what a picture can show. Which metrics are worth one is the business of `lifecycle`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from mlops_ci.entities import Curve

MOST_POINTS = 40


class _Part(msgspec.Struct):
    metric: str
    steps: list[float | str]
    values: list[float | str]


_decode = msgspec.json.Decoder(_Part).decode


def read(lines: Iterable[bytes], metrics: Sequence[str], *, most_points: int = MOST_POINTS) -> list[Curve]:
    """
    Return the curves of *metrics*, in that order, from the *lines* of a history: an open file, say.

    Points that are no numbers are left out, and so is a metric that keeps fewer than two. Of more than *most_points*
    (at least 2), the first, the last and evenly spaced ones between them are kept.

    Raises:
        ValueError: These are not the lines of a history.
    """
    found: dict[str, list[tuple[float, float]]] = {metric: [] for metric in metrics}
    try:
        for line in lines:
            part = _decode(line)
            if part.metric in found:
                points = zip(map(float, part.steps), map(float, part.values), strict=True)
                found[part.metric] += [point for point in points if all(map(math.isfinite, point))]
    except msgspec.MsgspecError as error:
        raise ValueError(f"this is no history: {error}") from error
    return [_curve(metric, _thinned(points, most_points)) for metric, points in found.items() if len(points) > 1]


def _thinned(points: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    if len(points) <= most:
        return points
    return [points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)]


def _curve(metric: str, points: list[tuple[float, float]]) -> Curve:
    return Curve(metric=metric, steps=[step for step, _ in points], values=[value for _, value in points])
