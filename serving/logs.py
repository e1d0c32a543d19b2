"""Logs as one JSON object a line, and a sample of the predictions, which no request ever waits for."""

from __future__ import annotations

import json
import logging
import queue
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from typing import Any

from serving.batch import Batch
from serving.manifest import Manifest

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_FILE_BYTES = 100_000_000
_FILES = 5
_WAITING = 1000
_RECORDS = 100
_LAST_S = 3.0


def to_stderr(manifest: Manifest) -> None:
    """Let everything that is logged in this process be JSON on stderr, named after the model version."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json({"model": manifest.model, "version": manifest.version}))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for chatty in ("bentoml", "uvicorn"):  # what they tell of a start and an end, we tell in a line each
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _Json(logging.Formatter):
    def __init__(self, always: dict[str, str]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
            **self._always,
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


class PredictionLog:
    """
    Writes down a share of what was asked and answered, in a thread of its own; what it has no room for is dropped.

    Args:
        options: `rate` (0 to 1), `path` (a file that is rotated at 100 MB, five of them kept; else stdout), and
            `leave_out`, the fields that are not written down.
        who: Model, version and digest.
        dropped: Told of each that was dropped.
    """

    def __init__(self, options: dict[str, Any], who: dict[str, str], dropped: Callable[[], None]) -> None:
        self._rate = float(options.get("rate", 0.0))
        self._hidden = frozenset(options.get("leave_out", ()))
        self._path = options.get("path", "")
        self._who = who
        self._dropped = dropped
        self._queue: queue.Queue[Any] = queue.Queue(_WAITING)
        self._listener: QueueListener | None = None

    def start(self) -> None:
        """Begin to write, if there is anything to be written."""
        if not self._rate:
            return
        try:
            handler: logging.Handler = (
                RotatingFileHandler(self._path, maxBytes=_FILE_BYTES, backupCount=_FILES, delay=True)
                if self._path
                else logging.StreamHandler(sys.stdout)
            )
        except OSError:
            logging.getLogger("serving").exception("predictions are not logged")
            self._rate = 0.0
            return
        handler.handleError = self._failed  # type: ignore[method-assign]  # a full disk, say
        handler.setFormatter(_Line(self))
        self._listener = _Listener(self._queue, handler)
        self._sender = _Sender(self._queue, self._dropped)
        self._listener.start()

    def stop(self) -> None:
        """Write what waits, for as long as somebody reads it."""
        if self._listener:
            self._listener.stop()
            self._listener = None

    def keep(self, request_id: str, batch: Batch, answers: list[Any]) -> None:
        """Perhaps keep this one. Raises nothing."""
        if not self._rate or random.random() >= self._rate:  # noqa: S311  # a sample is no secret
            return
        first = [self._shown(record) for record in batch.first(_RECORDS)]
        asked = (request_id, batch.rows, first, answers[:_RECORDS])
        self._sender.emit(logging.makeLogRecord({"asked": asked}))

    def line(self, moment: float, request_id: str, rows: int, records: list[Any], answers: list[Any]) -> str:
        """What is written down of a request of so many *rows*, of which these are the first."""
        said = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
            "request_id": request_id,
            **self._who,
            "rows": rows,
            "records": records,
            "predictions": answers,
        }
        return json.dumps(said, ensure_ascii=False, default=str)

    def _failed(self, record: logging.LogRecord) -> None:
        del record
        self._dropped()

    def _shown(self, record: Any) -> Any:
        if self._hidden and isinstance(record, dict):
            return {name: value for name, value in record.items() if name not in self._hidden}
        return record


class _Line(logging.Formatter):
    """Formats in the listener's thread."""

    def __init__(self, log: PredictionLog) -> None:
        super().__init__()
        self._log = log

    def format(self, record: logging.LogRecord) -> str:
        return self._log.line(record.created, *vars(record)["asked"])


class _Listener(QueueListener):
    def stop(self) -> None:
        """Write what waits, but do not wait for a reader who does not read: the thread ends with the process."""
        with suppress(queue.Full):
            self.enqueue_sentinel()
        if self._thread is not None:
            self._thread.join(_LAST_S)


class _Sender(QueueHandler):
    def __init__(self, line: queue.Queue[Any], dropped: Callable[[], None]) -> None:
        super().__init__(line)
        self._dropped = dropped

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        del record
        self._dropped()
