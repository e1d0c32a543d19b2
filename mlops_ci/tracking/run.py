"""
A run under way: what can be logged to it.

Every public method keeps the promise of the room: it raises nothing (but a `TrackingWarning` that somebody
made an error of).
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from mlops_ci.tracking import points, values
from mlops_ci.tracking.folder import CONVERT, VARIABLE, EventLog, locate, prepare

CONVERSION = "model.conversion"
_ROOM = str(Path(__file__).parent)
_Method = TypeVar("_Method", bound=Callable[..., Any])


class TrackingWarning(UserWarning):
    """Something was not logged; the training goes on."""


def _never_breaks(method: _Method) -> _Method:
    @functools.wraps(method)
    def guarded(self: Run, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except TrackingWarning:
            raise
        except Exception as error:  # noqa: BLE001  # the promise of this room
            self.warn(f"{method.__name__}: {_sentence(error)}")
            return None

    return cast(_Method, guarded)


class Run:
    """
    The run under way. Several processes may write to one, by `$MLOPS_RUN_DIR`, which it sets for its children.

    Attributes:
        id: The name of its folder.
        folder: Where everything goes; None if it could not be made, and then nothing is kept.
        ended: Whether it is over. What is logged afterwards is kept all the same.
    """

    def __init__(self, folder: Path | None) -> None:
        self.id = folder.name if folder else ""
        self.folder = folder
        self.ended = False
        self._log = EventLog(folder) if folder else None
        self._depth = 0
        self._told: set[str] = set()
        self._variable_was = os.environ.get(VARIABLE)

    @classmethod
    def start(cls, experiment: str | None, joined: Run | None) -> Run:
        """Make the folder and begin; *joined* is the run before this one in the process, if there was one."""
        try:
            folder = locate()
            prepare(folder, experiment)
        except OSError as error:
            run = cls(None)
            run.warn(f"start_run: nothing will be logged: {_sentence(error)}")
            return run
        run = cls(folder)
        os.environ[VARIABLE] = str(folder)
        run.begin(experiment)
        if joined is not None and joined.folder == folder:
            run.warn("start_run: `mlops-ci run` records one run for each command, so this one joins the one before")
        return run

    def __enter__(self) -> Run:  # noqa: PYI034  # typing has no Self before Python 3.11
        self._depth += 1
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._depth -= 1
        if self._depth <= 0:
            self.end(error)

    @_never_breaks
    def begin(self, experiment: str | None) -> None:
        """Say that this process logs to the run, as part of *experiment*."""
        self._append({"event": "start", "pid": os.getpid(), "experiment": experiment or ""})

    def join(self, experiment: str | None) -> None:
        """Go on as if started again, by a call that was made while this run is under way."""
        if self._depth:
            self.warn("start_run: inside a run, so this joins it")
        if experiment:
            self.begin(experiment)

    @_never_breaks
    def end(self, error: BaseException | None = None) -> None:
        """End the run; it failed if there is an *error*. The `with` block does this, or else the process's end."""
        if self.ended:
            return
        self.ended = True
        if self._variable_was is None:
            os.environ.pop(VARIABLE, None)
        failed = error is not None and not (isinstance(error, SystemExit) and not error.code)
        self._append({"event": "end", "pid": os.getpid(), "error": _sentence(error) if error and failed else ""})
        if self._log:
            self._log.close()

    @_never_breaks
    def log_param(self, name: str, value: Any) -> None:
        """Log one parameter. A *value* that holds others is logged as `name.key`, and any object as a short text."""
        self._append({"event": "params", "values": values.params({name: value})})

    @_never_breaks
    def log_params(self, params: Any) -> None:
        """
        Log many parameters.

        Args:
            params: A dict, an `argparse.Namespace`, a dataclass, or an estimator or pipeline with `get_params()`.
        """
        self._append({"event": "params", "values": values.params(params)})

    @_never_breaks
    def log_metric(self, name: str, value: Any, step: float | None = None) -> None:
        """
        Log one point of a metric. NaN and infinity are kept; text is refused with a warning.

        Args:
            name: Of the metric.
            value: Any number, NumPy's and 0-dimensional tensors too.
            step: Where on the axis (an epoch, a batch); the count of the points so far, unless given.
        """
        if self._log:
            self._log.write(points.line(str(name), value, step))

    @_never_breaks
    def log_metrics(self, metrics: Any, step: float | None = None) -> None:
        """
        Log a point of many metrics; nested names are joined by dots.

        Args:
            metrics: A dict (also the nested one of `classification_report(output_dict=True)`) or a dataclass.
            step: As in `log_metric`.
        """
        found, wrong = values.metrics(metrics)
        if found and self._log:
            self._log.write(points.lines_of(found, step))
        if wrong:
            raise TypeError("; ".join(wrong))

    @_never_breaks
    def log_history(self, history: Any, steps: Sequence[float] | None = None) -> None:
        """
        Log many points of many metrics at once; much faster than one by one.

        Args:
            history: Name → values, oldest first: lists or arrays of one dimension. Keras's `fit(…).history` is that,
                and the nested results of XGBoost and LightGBM, whose names are joined by dots.
            steps: Where each value lies on the axis; the count of the points so far, unless given.
        """
        axis = None if steps is None else values.column("steps", steps)
        found, wrong = values.columns(history, None if axis is None else len(axis))
        if self._log:
            for line in points.columns(found, axis):
                self._log.write(line)
        if wrong:
            raise TypeError("; ".join(wrong))

    def set_tag(self, name: str, value: Any) -> None:
        """Set one tag."""
        self.set_tags({name: value})

    @_never_breaks
    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags: words about the run that are no parameters. The last value of each counts."""
        self._append({"event": "tags", "values": {str(name): str(value) for name, value in tags.items()}})

    @_never_breaks
    def log_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """Keep a copy of the file or folder at *path* as *name*, a relative path; its own name unless given."""
        from mlops_ci.tracking import files

        source = Path(path).absolute()
        self._artifact(name or source.name, lambda target: files.copy(source, target))

    @_never_breaks
    def log_text(self, name: str, text: str) -> None:
        """Keep *text* as the file *name*."""
        self._artifact(name, lambda target: target.write_text(str(text), encoding="utf-8"))

    @_never_breaks
    def log_dict(self, name: str, content: Any) -> None:
        """Keep *content* as JSON in the file *name*; `.json` is added if it has no suffix."""
        text = json.dumps(content, indent=1, ensure_ascii=False, default=_jsonable) + "\n"
        self._artifact(_with_suffix(name, ".json"), lambda target: target.write_text(text, encoding="utf-8"))

    @_never_breaks
    def log_figure(self, name: str, figure: Any) -> None:
        """Keep what *figure*'s `savefig` draws, as a PNG unless *name* has another suffix (`.svg`, `.pdf`)."""
        for attribute in ("figure_", "figure"):  # scikit-learn's displays, matplotlib's axes
            if not hasattr(figure, "savefig"):
                figure = getattr(figure, attribute, figure)
        if not hasattr(figure, "savefig"):
            raise TypeError(f"{name!r} is a {type(figure).__name__}, which has no savefig()")
        self._artifact(_with_suffix(name, ".png"), figure.savefig)

    @_never_breaks
    def log_confusion_matrix(self, labels: Sequence[Any], matrix: Any) -> None:
        """
        Keep a confusion matrix as `confusion_matrix.json`.

        Args:
            labels: Of the classes, in the order of the matrix.
            matrix: Square: rows are the true classes, columns the predicted ones, as in scikit-learn.
        """
        rows = [[values.scalar(count) for count in row] for row in matrix]
        size = len(labels)
        if [len(row) for row in rows] != [size] * size:
            raise ValueError(f"{size} labels need a matrix of {size} x {size}")
        self.log_dict(
            "confusion_matrix.json", {"labels": [str(values.scalar(each)) for each in labels], "matrix": rows}
        )

    @_never_breaks
    def log_data(self, name: str, data: Any) -> None:
        """
        Record the digest, size and columns of what was trained on; the data itself is not kept.

        Args:
            name: What the data is for: "train", "test".
            data: The path of a file or folder, a data frame, or an array.
        """
        from mlops_ci.tracking import tables

        self._append({"event": "data", "name": str(name), **tables.fingerprint(data)})

    def stage(self, name: str) -> Stage:
        """Measure how long a `with` block takes."""
        return Stage(self, str(name))

    @_never_breaks
    def log_stage(self, name: str, duration_s: float) -> None:
        """Log how long a part of the run took."""
        self._append({"event": "stage", "name": str(name), "duration_s": round(float(duration_s), 6)})

    @_never_breaks
    def log_model(
        self,
        model: Any,
        input_example: Any = None,
        flavor: str | None = None,
        requirements: Sequence[str] | None = None,
        *,
        method: str | None = None,
        convert: str | None = None,
    ) -> None:
        """
        Keep the model as it will be served: its files, requirements, signature and an example. The last one counts.

        With an example, the model is loaded again from its files and asked, so that what is kept is known to work.

        Args:
            model: An estimator, an object with `predict(records)`, a function, or the path of a saved model.
            input_example: A data frame, an array, or dicts. They name and type the columns. Five are kept; of 100 or
                more, the smallest and the largest value in each column as well.
            flavor: How it is saved; found unless given.
            requirements: Lines for pip; those of the model's own packages, pinned, unless given.
            method: What the service calls (`predict_proba`); `predict` unless given.
            convert: "onnx": keep the model as ONNX, if that predicts the same on all records of the example and on
                changed ones; `$MLOPS_CONVERT`, which `mlops-ci run --convert` sets, unless given. *requirements* are
                those of the model as it was, and not of a converted one.
        """
        from mlops_ci.tracking import models

        if self.folder:
            convert = os.environ.get(CONVERT) if convert is None else convert
            wish = models.Wish(input_example, flavor, requirements, method, convert)
            kept = models.keep(model, self.folder, wish)
            self._append({"event": "model", "flavor": kept.flavor})
            if kept.conversion:
                self.set_tag(CONVERSION, kept.conversion)
            for sentence in kept.warnings:
                self.warn(f"log_model: {sentence}")

    def warn(self, message: str) -> None:
        """Tell the user and the record, once, that something was not logged."""
        if message in self._told:
            return
        self._told.add(message)
        with suppress(OSError):  # what is told may be that the disk is full
            self._append({"event": "warning", "message": message})
        warnings.warn(message, TrackingWarning, stacklevel=_depth_of_caller())

    def _append(self, event: dict[str, Any]) -> None:
        if self._log:
            self._log.append(event)

    def _artifact(self, name: str, write: Callable[[Path], object]) -> None:
        """Let *write* make the file or folder, and put it in its place when it is whole."""
        from mlops_ci.tracking import files

        if self.folder:
            self._append({"event": "artifact", "path": files.place(self.folder, name, write)})


class Stage:
    """A part of a run that is being measured; a context manager."""

    def __init__(self, run: Run, name: str) -> None:
        self._run, self._name, self._began = run, name, 0.0

    def __enter__(self) -> Stage:  # noqa: PYI034  # as above
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_error: object) -> None:
        self._run.log_stage(self._name, time.perf_counter() - self._began)


def _with_suffix(name: str, suffix: str) -> str:
    return name if Path(name).suffix else f"{name}{suffix}"


def _jsonable(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else values.scalar(value)


def _sentence(error: BaseException) -> str:
    """What went wrong, on one line."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, (OSError, ValueError, TypeError)) and text else f"{type(error).__name__}: {text}"


def _depth_of_caller() -> int:
    """The stack level, for `warnings.warn` in our caller, of the line of the user that called into this room."""
    depth, frame = 1, sys._getframe(1)  # noqa: SLF001  # as `warnings` itself does
    while frame.f_back is not None and str(Path(frame.f_code.co_filename).parent) == _ROOM:
        depth, frame = depth + 1, frame.f_back
    return depth
