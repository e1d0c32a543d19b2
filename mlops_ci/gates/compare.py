"""What differs between candidate and baseline: metrics, params, data. Differences, not judgements."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from mlops_ci import numerals, records
from mlops_ci.entities import Dataset, MetricChange, Run, Scalar, ValueChange
from mlops_ci.gates.directions import Direction, direction_of
from mlops_ci.gates.gate import Gate
from mlops_ci.numerals import exact

_MEASURED_ON = re.compile(r"(?<![a-z])(test|val|valid|validation|eval|evaluation|holdout|dev)(?![a-z])")


def metric_changes(
    candidate: Run, baseline: Run | None, gates: Sequence[Gate], *, trail: Sequence[Run] = ()
) -> list[MetricChange]:
    """
    One row for each metric: the gated ones first, in the order of the gates, then the others by name.

    *trail* are the runs before the baseline, oldest first; only the gated metrics tell how they came to be.
    """
    before = {name: metric.last for name, metric in (baseline.metrics if baseline else {}).items()}
    after = {name: metric.last for name, metric in candidate.metrics.items()}
    said = {gate.metric: gate.better for gate in gates if gate.better}
    gated = dict.fromkeys(gate.metric for gate in gates)
    runs = [*trail, baseline] if baseline else []
    changes = [
        _change(name, before.get(name), after.get(name), said.get(name) or direction_of(name))
        for name in dict.fromkeys([*gated, *sorted(before.keys() | after.keys())])
    ]
    return [
        records.replace(change, trail=_trail(change.metric, runs)) if change.metric in gated else change
        for change in changes
    ]


def _trail(metric: str, runs: Sequence[Run]) -> list[float]:
    """The values of *metric* in *runs*, those that are numbers; none where the last run, the baseline, has none."""
    values = [run.metrics[metric].last if metric in run.metrics else math.nan for run in runs]
    return [value for value in values if math.isfinite(value)] if values and math.isfinite(values[-1]) else []


def param_changes(candidate: Run, baseline: Run | None) -> tuple[list[ValueChange], int]:
    """The params that differ, by name, and how many do not. Without a baseline there is nothing to tell."""
    if baseline is None:
        return [], 0
    before, after = baseline.params, candidate.params
    changes = list(_changes(before, after))
    return changes, len(before.keys() | after.keys()) - len(changes)


def data_changes(candidate: Run, baseline: Run | None) -> list[ValueChange]:
    """What differs of the datasets: `train.digest`, and beside it `train.rows`, `train.size_bytes`, `train.columns`."""
    if baseline is None:
        return []
    before, after = _by_name(baseline.data), _by_name(candidate.data)
    found: list[ValueChange] = []
    for name in sorted(before.keys() | after.keys()):
        found += _changes(_facts(name, before.get(name)), _facts(name, after.get(name)))
    return found


def data_notes(candidate: Run, baseline: Run | None) -> list[str]:
    """Say that the metrics of the two runs were measured on different data, where names tell."""
    before = _by_name(baseline.data) if baseline else {}
    return [
        f"The data {name} differs from the baseline's ({_short(before[name])} became {_short(dataset)}):"
        " the two runs were not measured on the same thing."
        for name, dataset in sorted(_by_name(candidate.data).items())
        if name in before and before[name].digest != dataset.digest and _MEASURED_ON.search(name.lower())
    ]


def _change(name: str, before: float | None, after: float | None, better: Direction | None) -> MetricChange:
    if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
        return MetricChange(metric=name, baseline=before, candidate=after)
    change = float(numerals.difference(exact(after), exact(before)))
    relative = change / abs(before) if before else None
    return MetricChange(
        metric=name,
        baseline=before,
        candidate=after,
        change=change,
        relative=relative if relative is not None and math.isfinite(relative) else None,
        trend=_trend(change, better),
    )


def _trend(change: float, better: Direction | None) -> Literal["better", "worse", "same", "unknown"]:
    if not change:
        return "same"
    if better is None:
        return "unknown"
    return "better" if (change > 0) == (better == "higher") else "worse"


def _changes(before: Mapping[str, Scalar], after: Mapping[str, Scalar]) -> Iterator[ValueChange]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after or not _equal(before[name], after[name]):
            yield ValueChange(name=name, baseline=before.get(name), candidate=after.get(name))


def _equal(one: Scalar, other: Scalar) -> bool:
    """`1` and `1.0` are the same param; `1` and `true` are not, and NaN is itself."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    return one == other or (one != one and other != other)  # noqa: PLR0124  # only NaN differs from itself


def _by_name(data: Sequence[Dataset]) -> dict[str, Dataset]:
    return {dataset.name: dataset for dataset in data}


def _facts(name: str, dataset: Dataset | None) -> dict[str, Scalar]:
    if dataset is None:
        return {}
    facts: dict[str, Scalar] = {f"{name}.digest": dataset.digest, f"{name}.size_bytes": dataset.size_bytes}
    if dataset.rows is not None:
        facts[f"{name}.rows"] = dataset.rows
    if dataset.columns is not None:
        facts[f"{name}.columns"] = ", ".join(f"{column.name} {column.type}" for column in dataset.columns)
    return facts


def _short(dataset: Dataset) -> str:
    return dataset.digest.removeprefix("sha256:")[:12]
