"""Several runs side by side: what they were given, what came of it, and where they differ. A pure function of runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_ci.entities import Scalar
from mlops_ci.gates.directions import direction_of

if TYPE_CHECKING:
    from mlops_ci.store import FoundRun

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Line:
    """
    One thing, and its value in each run.

    Attributes:
        section: What it is: run, param, metric, tag or data (of which the value is the digest).
        name: What it is called.
        values: One for each run, None where a run has none.
        differs: Whether they are not all the same.
        best: The places of the best values, where it is known which way is better and they are not all the same.
    """

    section: Literal["run", "param", "metric", "tag", "data"]
    name: str
    values: list[Scalar]
    differs: bool
    best: list[int]


def compare(runs: Sequence[FoundRun], better: Mapping[str, Direction] | None = None) -> list[Line]:
    """
    Set *runs* side by side, what differs first.

    Args:
        runs: In the order of the columns.
        better: Which way metrics are better whose names do not say.
    """
    given = better or {}
    lines = [
        *(_line("run", name, [get(run) for run in runs]) for name, get in _OF_A_RUN.items()),
        *_lines("param", [run.entity.params for run in runs]),
        *(
            _with_best(line, given.get(line.name) or direction_of(line.name))
            for line in _lines("metric", [_last(run) for run in runs])
        ),
        *_lines("tag", [run.tags for run in runs]),
        *_lines("data", [{data.name: data.digest for data in run.entity.data} for run in runs]),
    ]
    return sorted(lines, key=lambda line: not line.differs)


_OF_A_RUN: dict[str, Callable[[FoundRun], Scalar]] = {
    "experiment": lambda run: run.experiment,
    "status": lambda run: run.entity.status,
    "started": lambda run: run.entity.started,
    "duration_s": lambda run: run.entity.duration_s,
    "commit": lambda run: run.entity.git.trained_sha + ("+" if run.entity.git.dirty else ""),
    "branch": lambda run: run.entity.git.branch or None,
    "note": lambda run: run.note or None,
}


def _last(run: FoundRun) -> dict[str, float]:
    return {name: metric.last for name, metric in run.entity.metrics.items()}


def _lines(section: Literal["param", "metric", "tag", "data"], of_each: Sequence[Mapping[str, Any]]) -> Iterable[Line]:
    for name in sorted({name for values in of_each for name in values}):
        yield _line(section, name, [values.get(name) for values in of_each])


def _line(section: Literal["run", "param", "metric", "tag", "data"], name: str, values: list[Scalar]) -> Line:
    # As text with its type: 1, true and "1" differ, and NaN is itself.
    different = {(type(value).__name__, repr(value)) for value in values}
    return Line(section, name, values, differs=len(different) > 1, best=[])


def _with_best(line: Line, direction: Direction | None) -> Line:
    numbers = [value for value in line.values if isinstance(value, int | float) and math.isfinite(value)]
    if direction is None or not line.differs or not numbers:
        return line
    best = max(numbers) if direction == "higher" else min(numbers)
    places = [place for place, value in enumerate(line.values) if value == best]
    return Line(line.section, line.name, line.values, line.differs, places)
