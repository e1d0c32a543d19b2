"""
Reads a run folder that `mlops_ci.tracking` wrote, possibly while it was killed, possibly a newer version of it.

Only well-formed facts come out; what was not understood is said in `Events.warnings`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mlops_ci import records
from mlops_ci.capture.history import LATEST, History
from mlops_ci.entities import Column, Dataset, Metric, Scalar, Stage

_EVENTS = "events.jsonl"
_SEEN = 256 * 1024
_FAULTS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class Events(msgspec.Struct, kw_only=True):
    """
    What training logged.

    Attributes:
        experiment: As named in code; "" if it was not.
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
    tags: dict[str, str] = {}
    artifacts: list[str] = []
    stages: list[Stage] = []
    datasets: list[Dataset] = []
    model: Path | None = None
    started: str = ""
    ended: bool = False
    error: str = ""
    warnings: list[str] = []


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a run that is under way; *metrics* are the last values."""

    experiment: str = ""
    params: dict[str, Scalar] = {}
    tags: dict[str, str] = {}
    metrics: dict[str, float] = {}


def read(folder: Path, history: Path | None = None) -> Events:
    """
    Read the run folder at *folder*; a folder without events gives empty ones.

    Args:
        folder: What training left, or still writes to.
        history: Where to write every point of every metric, as `capture.history` reads it; no file if there is none.

    Raises:
        OSError: *history* cannot be written.
    """
    found = Events(started=_started(folder))
    with History(history) as points:
        reader = _Reader(found, points)
        _take_all(folder / _EVENTS, reader)
        reader.finish()
    found.metrics = points.summaries()
    found.model = folder / "model" if (folder / "model").is_dir() else None
    lost = {path for path in found.artifacts if not (folder / "artifacts" / path).exists()}
    found.artifacts = [path for path in found.artifacts if path not in lost]
    found.warnings.extend(f"artifact {path} was logged and is gone" for path in sorted(lost))
    return found


def glance(folder: Path) -> Glance:
    """
    Look at a run that is under way: the first and the last 256 kB of its events, however long they are.

    A metric that was logged in between alone is not seen.
    """
    found = Events()
    with History() as points:
        reader = _Reader(found, points)
        with suppress(OSError), (folder / _EVENTS).open("rb") as file:
            for line in _ends(file):
                _take(line, 0, reader)
    metrics = {name: metric.last for name, metric in points.summaries().items()}
    return Glance(experiment=found.experiment, params=found.params, tags=found.tags, metrics=metrics)


class _Reader:
    """Takes events in, one by one."""

    def __init__(self, found: Events, points: History) -> None:
        self._found = found
        self._points = points
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

    def points(self, values: Mapping[str, float], time: float, step: float | None) -> None:
        """Take in a point of each metric in *values*."""
        for name, value in values.items():
            self._points.add(name, value, time, step)

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
        step = event.get("step")
        values = {_text(name): float(value) for name, value in event["values"].items()}
        self.points(values, _time(event["time"]), None if step is None else float(step))

    def _history(self, event: dict[str, Any]) -> None:
        steps, values = event.get("steps"), [float(value) for value in event["values"]]
        axis = None if steps is None else [float(step) for step, _ in zip(steps, values, strict=True)]
        self._points.extend(_text(event["metric"]), values, _time(event["time"]), axis)

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
        self.warn(_text(event["message"]))

    def warn(self, sentence: str) -> None:
        """Keep a *sentence* about what was logged, or could not be read."""
        self._found.warnings.append(sentence)


_KINDS = {"start", "end", "params", "metrics", "history", "tags", "artifact", "stage", "data", "model", "warning"}
_PLAIN_POINTS = b'{"event":"metrics",'


class _Points(msgspec.Struct, tag_field="event", tag="metrics"):
    values: dict[str, float]
    time: float
    step: float | None = None


_decode_points = msgspec.json.Decoder(_Points).decode


def _take_all(path: Path, reader: _Reader) -> None:
    """Give each event in the file at *path* to *reader*, with the number of its line."""
    try:
        file = path.open("rb")
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            reader.warn(f"{path.name} cannot be read: {error.strerror}")
        return
    with file:
        for number, line in enumerate(file, start=1):
            _take(line, number, reader)


def _take(line: bytes, number: int, reader: _Reader) -> None:
    """Give the event in *line*, whatever it is, to *reader*."""
    # Nearly every line of a long file is a point: it takes a way that is five times as fast.
    if line.startswith(_PLAIN_POINTS):
        with suppress(msgspec.MsgspecError):
            points = _decode_points(line)
            if 0.0 <= points.time <= LATEST:
                reader.points(points.values, points.time, points.step)
                return
    if not line.strip():
        return
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        torn = not line.endswith(b"\n")
        what = "the last event was cut off: the training was killed, or the disk full" if torn else "no event"
        reader.warn(f"events.jsonl:{number}: {what}")
        return
    if isinstance(event, dict):
        reader.take(number, event)
    else:
        reader.warn(f"events.jsonl:{number}: no event")


def _ends(file: BinaryIO) -> Iterator[bytes]:
    """The lines at the two ends of *file*, but for the one that training is writing."""
    start = file.read(_SEEN)
    read = start.rfind(b"\n") + 1
    yield from start[:read].splitlines(keepends=True)
    first = max(read, file.seek(0, os.SEEK_END) - _SEEN)
    file.seek(first)
    end = file.read(_SEEN)  # what it begins with may be the rest of a line, which is no event
    yield from end[: end.rfind(b"\n") + 1].splitlines(keepends=True)


def _started(folder: Path) -> str:
    try:
        started = json.loads((folder / "started.json").read_bytes())
        return records.timestamp(records.from_seconds(float(started["time"])))
    except (OSError, *_FAULTS):
        return ""


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _same(one: Scalar, other: Scalar) -> bool:
    return repr(one) == repr(other)  # 1, 1.0 and True differ; NaN does not


def _text(value: Any) -> str:
    """*value* as text that UTF-8 can hold."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _time(value: Any) -> float:
    """*value* as seconds since 1970; it may be anything, and then a `ValueError` says that it is no time."""
    time = float(value)
    if not 0.0 <= time <= LATEST:
        raise ValueError(f"{time} is no time")
    return time
