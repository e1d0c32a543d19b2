"""
How the points of metrics become lines of `events.jsonl`; what is written of most, so written without detours.

A point that is logged alone is a `metrics` event: the values of one step. Whole columns are `history` events, of so
many points each that a line stays short. The bytes are those that Python's `json` would write.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlops_ci.tracking import values

POINTS_A_LINE = 5_000
_MOST_NAMES = 10_000
_EXACT = 2**53

_beginnings: dict[str, str] = {}


def line(name: str, value: Any, step: Any = None) -> bytes:
    """
    Return the event of one point, now.

    Raises:
        TypeError: *value* or *step* is not a number.
    """
    if type(value) is not float:
        value = values.number(name, value)
    if value - value != 0.0:  # NaN and infinity, which are nothing but themselves in JSON of Python's
        return lines_of({name: value}, step)
    beginning = _beginnings.get(name) or _begin(name)
    if step is None:
        return f'{beginning}{value!r}}},"time":{time.time()!r}}}\n'.encode("ascii")
    if type(step) is not int or not -_EXACT < step < _EXACT:
        step = json.dumps(values.number("step", step))
    return f'{beginning}{value!r}}},"time":{time.time()!r},"step":{step}}}\n'.encode("ascii")


def lines_of(found: Mapping[str, float], step: Any = None) -> bytes:
    """
    Return the event of one point of each metric in *found*, now.

    Raises:
        TypeError: *step* is not a number.
    """
    event: dict[str, Any] = {"event": "metrics", "values": found, "time": time.time()}
    if step is not None:
        event["step"] = values.number("step", step)
    return _encoded(event)


def columns(found: Mapping[str, Sequence[float]], steps: Sequence[float] | None) -> Iterator[bytes]:
    """Yield the events of many points of each metric in *found*, all of now; *steps* are those of the first points."""
    now = time.time()
    for name, points in found.items():
        for first in range(0, len(points), POINTS_A_LINE):
            some = slice(first, first + POINTS_A_LINE)
            event: dict[str, Any] = {"event": "history", "metric": name, "values": points[some], "time": now}
            if steps is not None:
                event["steps"] = steps[some]
            yield _encoded(event)


def _begin(name: str) -> str:
    if len(_beginnings) >= _MOST_NAMES:
        _beginnings.clear()
    beginning = _beginnings[name] = f'{{"event":"metrics","values":{{{json.dumps(name)}:'
    return beginning


def _encoded(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode("ascii") + b"\n"
