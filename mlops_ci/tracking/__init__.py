"""
What training code calls. It writes the run folder and leaves everything else to who reads it.

The standard library alone (and a model's own framework, to save it), on Python 3.9 and newer, because it runs
in the environment of the training. Nothing here breaks the training: wrong use, a full disk, a model that
cannot be pickled are each told once as a `TrackingWarning`, in the record too. Who would rather have them as
errors says `warnings.simplefilter("error", mlops.TrackingWarning)`.

The functions act on the run under way, and start one if there is none. It ends with its `with` block, or
with the process.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_ci.tracking.run import Run, Stage, TrackingWarning

__all__ = [
    "Run",
    "TrackingWarning",
    "active_run",
    "log_artifact",
    "log_confusion_matrix",
    "log_data",
    "log_dict",
    "log_figure",
    "log_history",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "log_text",
    "set_tag",
    "set_tags",
    "stage",
    "start_run",
]

_lock = threading.RLock()
_current: Run | None = None


def start_run(experiment: str | None = None, tags: Mapping[str, Any] | None = None) -> Run:
    """
    Start a run, to be used in a `with` block; inside a run, join that one.

    Under `mlops-ci run` all of a command's runs are one, since it records one; several need several commands.

    Args:
        experiment: What the run is an attempt at; the configuration's unless given.
        tags: As `set_tags` takes them.
    """
    global _current  # noqa: PLW0603  # "the run under way" is a fact of the process
    with _lock:
        if _current is None or _current.ended:
            _current = Run.start(experiment, joined=_current)
            atexit.register(_end_with_process, _current, os.getpid())
        else:
            _current.join(experiment)
        if tags:
            _current.set_tags(tags)
        return _current


def active_run() -> Run:
    """Return the run under way; start one if there is none."""
    run = _current
    return start_run() if run is None or run.ended else run


def log_param(name: str, value: Any) -> None:
    """Log one parameter; see `Run.log_param`."""
    active_run().log_param(name, value)


def log_params(params: Any) -> None:
    """Log many parameters; see `Run.log_params`."""
    active_run().log_params(params)


def log_metric(name: str, value: Any, step: float | None = None) -> None:
    """Log one point of a metric; see `Run.log_metric`."""
    active_run().log_metric(name, value, step)


def log_metrics(metrics: Any, step: float | None = None) -> None:
    """Log a point of many metrics; see `Run.log_metrics`."""
    active_run().log_metrics(metrics, step)


def log_history(history: Any, steps: Sequence[float] | None = None) -> None:
    """Log many points of many metrics at once; see `Run.log_history`."""
    active_run().log_history(history, steps)


def set_tag(name: str, value: Any) -> None:
    """Set one tag; see `Run.set_tags`."""
    active_run().set_tag(name, value)


def set_tags(tags: Mapping[str, Any]) -> None:
    """Set tags; see `Run.set_tags`."""
    active_run().set_tags(tags)


def log_artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Keep a copy of a file or folder; see `Run.log_artifact`."""
    active_run().log_artifact(path, name)


def log_text(name: str, text: str) -> None:
    """Keep a text file; see `Run.log_text`."""
    active_run().log_text(name, text)


def log_dict(name: str, content: Any) -> None:
    """Keep a JSON file; see `Run.log_dict`."""
    active_run().log_dict(name, content)


def log_figure(name: str, figure: Any) -> None:
    """Keep a picture; see `Run.log_figure`."""
    active_run().log_figure(name, figure)


def log_confusion_matrix(labels: Sequence[Any], matrix: Any) -> None:
    """Keep a confusion matrix; see `Run.log_confusion_matrix`."""
    active_run().log_confusion_matrix(labels, matrix)


def log_data(name: str, data: Any) -> None:
    """Record what was trained on; see `Run.log_data`."""
    active_run().log_data(name, data)


def log_model(
    model: Any,
    input_example: Any = None,
    flavor: str | None = None,
    requirements: Sequence[str] | None = None,
    *,
    method: str | None = None,
    convert: str | None = None,
) -> None:
    """Keep the model; see `Run.log_model`."""
    active_run().log_model(model, input_example, flavor, requirements, method=method, convert=convert)


def stage(name: str) -> Stage:
    """Measure how long a `with` block takes; see `Run.stage`."""
    return active_run().stage(name)


def _end_with_process(run: Run, pid: int) -> None:
    """A forked child inherits this hook, and ends nothing. The interpreter leaves what ended it in `sys`."""
    if os.getpid() == pid and not run.ended:
        run.end(getattr(sys, "last_value", None))
