"""
Reads a run folder that `mlops_ci.tracking` wrote, possibly while it was killed, possibly a newer version of it.

Only well-formed facts come out; what was not understood is said in `Events.warnings`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlops_ci import records
from mlops_ci.entities import Column, Dataset, Metric, Scalar, Stage

_FAULTS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class Point(NamedTuple):
    """One point of a metric; *time* is in seconds since 1970. *step* counts the points before it, if none was given."""

    step: float
    time: float
    value: float


class Events(msgspec.Struct, kw_only=True):
    """
    What training logged.

    Attributes:
        experiment: As named in code; "" if it was not.
        history: Every point of every metric, in the order of logging.
        artifacts: Paths below `artifacts/` of the run folder.
        model: The model's folder.
        started: When the first process began, as records write it; "" if that is not known.
        ended: Whether every process that logged said that it was done.
        error: What the last process that failed said.
        warnings: Sentences: what tracking warned of, and what could not be read here.
    """

    experiment: str = ""
    params: dict[str, Scalar] = {}
    metrics: dict[str, Metric] = {}
    history: dict[str, list[Point]] = {}
    tags: dict[str, str] = {}
    artifacts: list[str] = []
    stages: list[Stage] = []
    datasets: list[Dataset] = []
    model: Path | None = None
    started: str = ""
    ended: bool = False
    error: str = ""
    warnings: list[str] = []


def read(folder: Path) -> Events:
    """Read the run folder at *folder*; a folder without events gives empty ones."""
    found = Events(started=_started(folder))
    reader = _Reader(found)
    for number, event in _events(folder / "events.jsonl", found.warnings):
        reader.take(number, event)
    reader.finish()
    found.metrics = {name: _summary(points) for name, points in found.history.items()}
    found.model = folder / "model" if (folder / "model").is_dir() else None
    lost = [path for path in found.artifacts if not (folder / "artifacts" / path).exists()]
    found.artifacts = [path for path in found.artifacts if path not in lost]
    found.warnings.extend(f"artifact {path} was logged and is gone" for path in lost)
    return found


def history_bytes(events: Events) -> bytes:
    """
    Return every point as JSON Lines, one metric a line: name, steps, times, values.

    Non-finite values are "nan", "inf" and "-inf", since JSON has no word for them.
    """
    lines = []
    for name, points in sorted(events.history.items()):
        columns = {"steps": 0, "times": 1, "values": 2}
        table = {key: [_jsonable(point[index]) for point in points] for key, index in columns.items()}
        lines.append(json.dumps({"metric": name, **table}, ensure_ascii=False, separators=(",", ":")) + "\n")
    return "".join(lines).encode()


def read_history(data: bytes) -> dict[str, list[Point]]:
    """Return what `history_bytes` wrote."""
    tables = (json.loads(line) for line in data.splitlines())
    return {
        table["metric"]: [
            Point(float(step), float(time), float(value))
            for step, time, value in zip(table["steps"], table["times"], table["values"], strict=True)
        ]
        for table in tables
    }


class _Reader:
    """Takes events in, one by one."""

    def __init__(self, found: Events) -> None:
        self._found = found
        self._open: dict[int, bool] = {}
        self._unknown: dict[str, int] = {}
        self._changed: set[str] = set()

    def take(self, number: int, event: dict[str, Any]) -> None:
        """Take the event of line *number* in; a malformed one is a warning."""
        kind = _text(event.get("event"))
        if kind not in _KINDS:
            self._unknown[kind] = self._unknown.get(kind, 0) + 1
            return
        takes: Callable[[dict[str, Any]], None] = getattr(self, f"_{kind}")
        try:
            takes(event)
        except _FAULTS:
            self._found.warnings.append(f"events.jsonl:{number}: this is no {kind} event")

    def finish(self) -> None:
        """Say what is known only at the end."""
        self._found.ended = bool(self._open) and not any(self._open.values())
        self._found.warnings.extend(f"param {name} was logged with different values" for name in sorted(self._changed))
        self._found.warnings.extend(
            f"{count} event{'s'[: count != 1]} of kind {kind!r} not understood: was it logged by a newer mlops-ci?"
            for kind, count in sorted(self._unknown.items())
        )

    def _start(self, event: dict[str, Any]) -> None:
        self._open[int(event["pid"])] = True
        self._found.experiment = _text(event["experiment"]) or self._found.experiment

    def _end(self, event: dict[str, Any]) -> None:
        self._open[int(event["pid"])] = False
        self._found.error = _text(event["error"]) or self._found.error

    def _params(self, event: dict[str, Any]) -> None:
        for key, value in event["values"].items():
            name, scalar = _text(key), _scalar(value)
            if name in self._found.params and not _same(self._found.params[name], scalar):
                self._changed.add(name)
            self._found.params[name] = scalar

    def _metrics(self, event: dict[str, Any]) -> None:
        time, step = float(event["time"]), event.get("step")
        found = {_text(name): float(value) for name, value in event["values"].items()}
        at = None if step is None else float(step)
        for name, value in found.items():
            points = self._found.history.setdefault(name, [])
            points.append(Point(len(points) if at is None else at, time, value))

    def _tags(self, event: dict[str, Any]) -> None:
        self._found.tags.update({_text(name): _text(value) for name, value in event["values"].items()})

    def _artifact(self, event: dict[str, Any]) -> None:
        path = _text(event["path"])
        if path not in self._found.artifacts:
            self._found.artifacts.append(path)

    def _stage(self, event: dict[str, Any]) -> None:
        self._found.stages.append(Stage(name=_text(event["name"]), duration_s=float(event["duration_s"])))

    def _data(self, event: dict[str, Any]) -> None:
        columns, rows = event.get("columns"), event.get("rows")
        dataset = Dataset(
            name=_text(event["name"]),
            path=_text(event["path"]),
            digest=_text(event["digest"]),
            size_bytes=int(event["size_bytes"]),
            rows=None if rows is None else int(rows),
            columns=[Column(name=_text(name), type=_text(kind)) for name, kind in columns] if columns else None,
            note=_text(event.get("note", "")),
        )
        self._found.datasets = [each for each in self._found.datasets if each.name != dataset.name] + [dataset]

    def _model(self, event: dict[str, Any]) -> None:
        """The folder says it all."""

    def _warning(self, event: dict[str, Any]) -> None:
        self._found.warnings.append(_text(event["message"]))


_KINDS = {"start", "end", "params", "metrics", "tags", "artifact", "stage", "data", "model", "warning"}


def _events(path: Path, warnings: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each event with the number of its line."""
    try:
        file = path.open("rb")
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            warnings.append(f"{path.name} cannot be read: {error.strerror}")
        return
    with file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                torn = not line.endswith(b"\n")
                what = "the last event was cut off: the training was killed, or the disk full" if torn else "no event"
                warnings.append(f"{path.name}:{number}: {what}")
                continue
            if isinstance(event, dict):
                yield number, event
            else:
                warnings.append(f"{path.name}:{number}: no event")


def _started(folder: Path) -> str:
    try:
        started = json.loads((folder / "started.json").read_bytes())
        return records.timestamp(records.from_seconds(float(started["time"])))
    except (OSError, *_FAULTS):
        return ""


def _summary(points: list[Point]) -> Metric:
    """Extremes are over the finite points; a metric that has none is as non-finite as its last."""
    last = points[-1].value
    finite = [point.value for point in points if math.isfinite(point.value)] or [last]
    return Metric(last=last, min=min(finite), max=max(finite), count=len(points))


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _same(one: Scalar, other: Scalar) -> bool:
    return repr(one) == repr(other)  # 1, 1.0 and True differ; NaN does not


def _text(value: Any) -> str:
    """*value* as text that UTF-8 can hold."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _jsonable(value: float) -> float | str:
    value = float(value)
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
