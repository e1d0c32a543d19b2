"""What Prometheus is told: requests, the model's time, and whether what comes and goes is as at training."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

from serving.batch import Batch
from serving.manifest import Manifest

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384)
_DECADES = (1000.0, 100.0, 10.0)
_TENTHS = tuple(step / 10 for step in range(11))
_STEPS = 20
_LABELS = 100
_LOOKED_AT = 256  # of a large batch, so many records tell enough


class Metrics:
    """The metrics of one process; where `PROMETHEUS_MULTIPROC_DIR` is set, `text` tells those of all."""

    def __init__(self, manifest: Manifest) -> None:
        # Imported here, for it reads its environment when it is imported.
        from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics  # noqa: PLC0415

        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._requests = Counter("mlops_requests", "Requests by path and status.", ["path", "status"])
        self._seconds = Histogram("mlops_request_seconds", "From headers to answer.", ["path"], buckets=_SECONDS)
        self._model_seconds = Histogram("mlops_model_seconds", "Inside the model.", buckets=_SECONDS)
        self._batch_rows = Histogram("mlops_batch_rows", "Records that the model was asked for at once.", buckets=_ROWS)
        self._rejected = Counter("mlops_rejected", "Requests without a prediction, by reason.", ["reason"])
        self._invalid = Counter("mlops_input_invalid", "Values that the schema refuses, by field.", ["field"])
        self._outside = Counter("mlops_input_out_of_range", "Values beyond those of the training.", ["field"])
        self._dropped = Counter("mlops_prediction_log_dropped", "Predictions that the log had no room for.")
        self.in_flight = Gauge("mlops_in_flight", "Requests that are being answered.", multiprocess_mode="livesum")
        self.waiting = Gauge("mlops_waiting", "Requests that wait for the model.", multiprocess_mode="livesum")
        self._ready = Gauge("mlops_ready", "1 while requests are welcome.", multiprocess_mode="livesum")
        names = ["project", "model", "version", "digest", "sha", "flavor"]
        info = Gauge("mlops_model", "What is served; always 1.", names, multiprocess_mode="max")
        info.labels(*(str(manifest.content.get(name, "")) for name in names)).set(1)
        signature = manifest.content.get("signature") or {}
        self._ranges = list(_ranges(signature.get("inputs", {})))
        self._fields = {name: self._invalid.labels(name) for name in signature.get("inputs", {}).get("properties", {})}
        self._count_predictions = _counter_of(signature.get("outputs", {}))
        self._known: dict[tuple[str, int], Any] = {}
        self._paths: dict[str, Any] = {}

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request; *path* must be one of a few."""
        key = (path, status)
        if key not in self._known:
            self._known[key] = self._requests.labels(path, str(status))
            self._paths[path] = self._seconds.labels(path)
        self._known[key].inc()
        self._paths[path].observe(seconds)

    def asked(self, seconds: float, rows: int) -> None:
        """The model was asked for *rows* records."""
        self._model_seconds.observe(seconds)
        self._batch_rows.observe(rows)

    def rejected(self, reason: str, places: list[dict[str, Any]]) -> None:
        """A request got no prediction; its *places* name fields."""
        self._rejected.labels(reason).inc()
        for place in places:
            for part in place.get("loc", ()):
                if part in self._fields:
                    self._fields[part].inc()

    def predicted(self, batch: Batch, answers: list[Any]) -> None:
        """Look whether inputs lie within what was seen at training, and count what was answered."""
        if batch.records is not None:
            for record in batch.records[:_LOOKED_AT]:
                for name, low, high in self._ranges:
                    if not low <= (low if (value := record.get(name)) is None else value) <= high:
                        self._outside.labels(name).inc()
        else:
            self._look_at_columns(batch.columns or {})
        for answer in answers[:_LOOKED_AT]:
            self._count_predictions(answer)

    def _look_at_columns(self, columns: dict[str, Any]) -> None:
        for name, low, high in self._ranges:
            for value in columns.get(name, ())[:_LOOKED_AT]:
                if value is not None and (value < low or value > high):  # both are false for NaN, which is null
                    self._outside.labels(name).inc()

    def dropped(self) -> None:
        """The log of predictions was full."""
        self._dropped.inc()

    def ready(self, *, ready: bool) -> None:
        """Requests are welcome from now on, or no longer."""
        self._ready.set(ready)

    def text(self) -> tuple[bytes, str]:
        """What Prometheus reads, and its content type."""
        from prometheus_client import (  # noqa: PLC0415  # as above
            CONTENT_TYPE_LATEST,
            REGISTRY,
            CollectorRegistry,
            generate_latest,
        )
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415  # as above

        registry = REGISTRY
        if _several():
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


def _several() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def _ranges(record: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    """The numeric fields of which the training showed a range."""
    for name, schema in record.get("properties", {}).items():
        low, high = schema.get("x-seen", (None, None))
        if low is not None:
            yield name, low, high


def _counter_of(outputs: dict[str, Any]) -> Callable[[Any], None]:
    """What counts predictions of such a schema: classes by name, numbers in buckets, scores by the largest."""
    kinds = outputs.get("type", "")
    if "number" in kinds:
        return _numbers(outputs.get("x-seen"))
    return _labels()


def _numbers(seen: list[float] | None) -> Callable[[Any], None]:
    from prometheus_client import Histogram  # noqa: PLC0415  # as above

    if seen and seen[1] > seen[0]:
        low, high = seen
        buckets = tuple(low + (high - low) * step / _STEPS for step in range(_STEPS + 1))
    else:
        buckets = (*(-each for each in _DECADES), -1.0, *_TENTHS, *reversed(_DECADES))
    histogram = Histogram("mlops_prediction_value", "Predictions that are numbers.", buckets=buckets)

    def count(value: Any) -> None:
        if isinstance(value, int | float) and math.isfinite(value):
            histogram.observe(value)

    return count


def _labels() -> Callable[[Any], None]:
    from prometheus_client import Counter  # noqa: PLC0415  # as above

    counter = Counter("mlops_predictions", "Predictions by class; of scores, by the place of the largest.", ["label"])
    known: dict[Any, Any] = {}

    def count(value: Any) -> None:
        if isinstance(value, list):
            value = (
                value.index(max(value)) if value and all(isinstance(each, int | float) for each in value) else "list"
            )
        elif isinstance(value, dict):
            value = value.get("label", "object")
        text = str(value)[:60]
        child = known.get(text)
        if child is None:
            child = counter.labels(text if len(known) < _LABELS else "other")
            if len(known) < _LABELS:
                known[text] = child
        child.inc()

    return count
