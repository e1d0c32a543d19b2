"""
The history of a run: every point of every metric, in a file that is written and read a bite at a time.

JSON Lines. A line holds points of one metric, in the order of logging; a metric may have many lines:

    metric      its name
    steps       where each point lies on the axis
    times_us    when it was logged, in microseconds: the first since 1970, each other since the one before it
    values      non-finite ones are "nan", "inf" and "-inf", since JSON has no word for them (steps too)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import sub
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import msgspec

from mlops_ci.entities import Metric

MOST_WAITING = 100_000
"""Points that are held in memory, of all metrics together."""

LATEST = 1e11
"""No moment is later, in seconds since 1970: what a time in microseconds can be."""

_EXACT = 2**53


class Point(NamedTuple):
    """One point of a metric; *time* is in seconds since 1970. *step* counts the points before it, if none was given."""

    step: float
    time: float
    value: float


class History:
    """
    Takes points in, sums each metric up, and writes all points to the file at *path*, if there is one.

    At most *most_waiting* points are held in memory. A context manager: the file is whole when the block is left.
    Raises `OSError` when it cannot be written.
    """

    def __init__(self, path: Path | None = None, *, most_waiting: int = MOST_WAITING) -> None:
        self._path = path
        self._most_waiting = most_waiting
        self._file: BinaryIO | None = None
        self._series: dict[str, _Series] = {}
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            if self._file:
                self._file.close()

    def add(self, name: str, value: float, time: float, step: float | None) -> None:
        """Take one point of the metric *name* in; *time* is from 0 to `LATEST`."""
        series = self._of(name)
        series.steps.append(series.count if step is None else step)
        series.times.append(time)
        series.values.append(value)
        series.count += 1
        self._count(1)

    def extend(self, name: str, values: Sequence[float], time: float, steps: Sequence[float] | None) -> None:
        """Take points in that were logged at once; *steps* are as many."""
        series = self._of(name)
        series.steps.extend(range(series.count, series.count + len(values)) if steps is None else steps)
        series.times.extend([time] * len(values))
        series.values.extend(values)
        series.count += len(values)
        self._count(len(values))

    def summaries(self) -> dict[str, Metric]:
        """What each metric comes to, by name, once the block is left."""
        return {name: series.summary() for name, series in self._series.items()}

    def _of(self, name: str) -> _Series:
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = _Series()
        return series

    def _count(self, more: int) -> None:
        self._waiting += more
        if self._waiting >= self._most_waiting:
            self._flush()

    def _flush(self) -> None:
        for name, series in sorted(self._series.items()):
            if series.values:
                series.sum_up()
                if self._path:
                    self._write(name, series)
                series.clear()
        self._waiting = 0

    def _write(self, name: str, series: _Series) -> None:
        if self._file is None and self._path:
            self._file = self._path.open("wb")
        if self._file:
            self._file.write(series.line(name))


def read(lines: Iterable[bytes]) -> dict[str, list[Point]]:
    """Return the points of each metric, from the *lines* of a history: an open file, say."""
    found: dict[str, list[Point]] = {}
    for line in lines:
        part = _decode(line)
        times = (time / 1e6 for time in accumulate(part.times_us))
        found.setdefault(part.metric, []).extend(
            map(Point._make, zip(map(float, part.steps), times, map(float, part.values), strict=True))
        )
    return found


class _Line(msgspec.Struct):
    metric: str
    steps: list[float | str]
    times_us: list[int]
    values: list[float | str]


_decode = msgspec.json.Decoder(_Line).decode


class _Series:
    """The points of one metric that wait to be written, and what those before them come to."""

    __slots__ = ("count", "last", "max", "min", "steps", "times", "values")

    def __init__(self) -> None:
        self.count = 0
        self.last, self.min, self.max = math.nan, math.inf, -math.inf
        self.clear()

    def clear(self) -> None:
        self.steps: list[float] = []
        self.times: list[float] = []
        self.values: list[float] = []

    def sum_up(self) -> None:
        """Extremes are over the finite points."""
        self.last = self.values[-1]
        finite = self.values if math.isfinite(sum(self.values)) else list(filter(math.isfinite, self.values))
        if finite:
            self.min = min(self.min, *finite)
            self.max = max(self.max, *finite)

    def summary(self) -> Metric:
        """A metric without a finite point is as non-finite as its last."""
        low, high = (self.min, self.max) if self.min <= self.max else (self.last, self.last)
        return Metric(last=self.last, min=low, max=high, count=self.count)

    def line(self, name: str) -> bytes:
        times = [round(time * 1e6) for time in self.times]
        part = _Line(
            metric=name,
            steps=_counted(self.steps),
            times_us=[times[0], *map(sub, times[1:], times)],
            values=_jsonable(self.values),
        )
        return msgspec.json.encode(part) + b"\n"


def _counted(steps: list[float]) -> list[float | str]:
    """*steps* as integers, where all of them are."""
    if math.isfinite(sum(steps)) and min(steps) >= -_EXACT and max(steps) <= _EXACT:
        whole: list[float | str] = [int(step) for step in steps]
        if whole == steps:
            return whole
    return _jsonable(steps)


def _jsonable(column: list[float]) -> list[float | str]:
    if math.isfinite(sum(column)):
        return list(column)
    return [value if math.isfinite(value) else str(value) for value in column]
