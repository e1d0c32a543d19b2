"""
The loaded model: warmed up, compared with what it answered when it was saved, and asked by one at a time.

A quick model is asked in the event loop, where that costs least; one that takes longer, that runs somebody's own
code, or that is sent many records, in a thread, so that /livez answers meanwhile. What waits for that thread may be
asked in one go (`batch_rows`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from serving.batch import SMALL, Batch, arrays
from serving.bodies import Disconnected
from serving.errors import Rejected
from serving.manifest import MODEL, Example, Manifest, Refusal
from serving.thread import Thread

log = logging.getLogger("serving")

Gone = Callable[[], Coroutine[Any, Any, None]]

_OWN_CODE = {"python", "mlflow"}
_QUICK_S = 0.0015
_SLOW_S = 0.004
_HELD_UP_S = 1.0
_WARM_S = 0.3
_TOLERANCE = 1e-3  # for another processor, or a library's next patch; a wrong model is off by more
_GRACE_S = 5.0
_GIVE_UP = 3  # so many time-outs after it was asked, a model that has not answered is taken for hung


@dataclass(eq=False, slots=True)
class _Waiting:
    batch: Batch
    answer: asyncio.Future[list[Any]]


class Model:
    """
    Predicts for one process.

    Args:
        manifest: Names the flavor.
        example: What it is warmed up and compared with.
        observe: Told the seconds and the records of each time that the model was asked.

    Raises:
        Refusal: It cannot be loaded, or does not answer its own example as it did.
    """

    def __init__(self, manifest: Manifest, example: Example, observe: Callable[[float, int], None]) -> None:
        self._settings = manifest.settings
        self._observe = observe
        self._flavor = import_module(f"flavors.{manifest.content['flavor']}")
        try:
            self._model = self._flavor.load(MODEL)
        except Exception as error:
            log.exception("the model cannot be loaded")
            raise Refusal(f"the model cannot be loaded: {type(error).__name__}: {error}") from error
        self._by_columns = getattr(self._flavor, "predict_columns", None)
        self._may_be_quick = manifest.content["flavor"] not in _OWN_CODE
        self._usual_s = self._warm_up(example) if example.records else _SLOW_S
        self._quick = self._may_be_quick and self._usual_s < _QUICK_S
        self._hold_ups = 0
        self._queue: deque[_Waiting] = deque()
        self._thread = Thread()
        self._worker: asyncio.Task[None] | None = None
        self._asked_at = 0.0

    @property
    def waiting(self) -> int:
        """How many requests wait for the model."""
        return len(self._queue)

    @property
    def hung(self) -> bool:
        """Whether the model has not come back for several time-outs: only another process helps."""
        limit_s = _GIVE_UP * self._settings.timeout_s + _GRACE_S
        return bool(self._asked_at) and time.monotonic() - self._asked_at > limit_s

    async def predict(self, batch: Batch, gone: Gone | None = None) -> list[Any]:
        """
        Return one prediction for each of the records of *batch*, in their order.

        Args:
            batch: What is asked.
            gone: Comes back when whoever asks has gone away: then it leaves the queue.

        Raises:
            Disconnected: The caller is gone.
            Rejected: 400 for a record that the model does not take, 500 if the model failed, 503 if too many wait,
                504 if it took too long.
        """
        if self._quick and batch.rows <= SMALL and self._worker is None:
            return self._asked(batch)
        return await self._in_turn(batch, gone)

    def _remember(self, seconds: float) -> None:
        """Learn from a small batch whether the model is quick; one that held everybody up twice never is again."""
        self._usual_s += 0.1 * (min(seconds, 2 * _SLOW_S) - self._usual_s)
        if seconds > _HELD_UP_S and self._quick:
            self._hold_ups += 1  # the first may have been the machine's
            self._may_be_quick = self._may_be_quick and self._hold_ups < 2
            log.info("the model held everybody up for %.1f s", seconds)
        self._quick = self._may_be_quick and self._usual_s < (_SLOW_S if self._quick else _QUICK_S)

    async def _in_turn(self, batch: Batch, gone: Gone | None) -> list[Any]:
        if len(self._queue) >= self._settings.max_waiting:
            raise Rejected(503, "overloaded", f"{len(self._queue)} requests wait for the model", retry_after_s=1)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(batch, loop.create_future())
        self._queue.append(waiting)
        if self._worker is None:
            self._worker = loop.create_task(self._work(loop))
        watch = loop.create_task(gone()) if gone else None
        if watch:
            watch.add_done_callback(lambda _: waiting.answer.cancel())
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await waiting.answer
        except TimeoutError:
            sentence = f"there was no prediction within {self._settings.timeout_s:g} s"
            raise Rejected(504, "timeout", sentence) from None
        except asyncio.CancelledError:
            if watch and watch.done() and not watch.cancelled():
                raise Disconnected from None
            raise
        finally:
            if watch:
                watch.cancel()
            with suppress(ValueError):
                self._queue.remove(waiting)

    async def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._queue:
                group = self._next_group()
                if group:
                    self._asked_at = time.monotonic()
                    answers = await self._thread.call(loop, partial(self._ask_together, group))
                    self._asked_at = 0.0
                    for waiting, answer in zip(group, answers, strict=True):
                        _settle(waiting.answer, answer)
        finally:
            self._worker = None

    def _next_group(self) -> list[_Waiting]:
        """The next in the queue, and those behind it that may go with it; without those who no longer wait."""
        group: list[_Waiting] = []
        rows = 0
        while self._queue:
            waiting = self._queue[0]
            alone = waiting.batch.records is None
            if group and (alone or rows + waiting.batch.rows > self._settings.batch_rows):
                break
            self._queue.popleft()
            if waiting.answer.done():
                continue
            group.append(waiting)
            rows += waiting.batch.rows
            if alone:
                break
        return group

    def _ask_together(self, group: list[_Waiting]) -> list[list[Any] | BaseException]:
        """One answer, or fault, for each of *group*; a fault of one is not to be the others'."""
        if len(group) > 1:
            records = [record for waiting in group for record in waiting.batch.as_records()]
            try:
                answers = iter(self._asked(Batch(len(records), records=records)))
            except Rejected:
                log.info("a batch of %d requests failed: each is asked alone", len(group))
            else:
                return [[next(answers) for _ in range(waiting.batch.rows)] for waiting in group]
        return [self._tried(waiting.batch) for waiting in group]

    def _tried(self, batch: Batch) -> list[Any] | BaseException:
        try:
            return self._asked(batch)
        except Rejected as error:
            return error

    def _asked(self, batch: Batch) -> list[Any]:
        """Ask the model, and say whose fault it is if it does not answer."""
        started = time.perf_counter()
        try:
            answers = self._ask(batch)
            found = len(answers)
        except ValueError as error:  # what a flavor says of a record
            raise Rejected(400, "refused-by-model", str(error)) from error
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            log.exception("the model failed")
            raise Rejected(500, "model-failed", f"the model failed: {type(error).__name__}") from error
        seconds = time.perf_counter() - started
        if batch.rows <= SMALL:
            self._remember(seconds)
        self._observe(seconds, batch.rows)
        if found != batch.rows:
            raise Rejected(500, "model-failed", f"the model gave {found} answers to {batch.rows} records")
        return answers

    def _ask(self, batch: Batch) -> list[Any]:
        if batch.columns is not None and self._by_columns is not None:
            found: list[Any] = self._by_columns(self._model, arrays(batch.columns), batch.rows)
            return found
        answers: list[Any] = self._flavor.predict(self._model, batch.as_records())
        return answers

    def _warm_up(self, example: Example) -> float:
        """Ask for the example until nothing is new to the libraries, and return how long it usually takes."""
        batch = Batch(len(example.records), records=example.records)
        try:
            answers = self._ask(batch)
            found = len(answers)
        except Exception as error:
            log.exception("the model does not answer its own example")
            raise Refusal(f"the model does not answer its own example: {type(error).__name__}: {error}") from error
        if found != batch.rows:
            raise Refusal(f"the model gives {found} answers to the {batch.rows} records of its own example")
        if example.predictions and not _close(answers, example.predictions):
            raise Refusal(
                f"the model answers its own example with {_brief(answers)}, and said {_brief(example.predictions)}"
            )
        times: list[float] = []
        while sum(times) < _WARM_S and len(times) < 20:
            started = time.perf_counter()
            self._ask(batch)
            times.append(time.perf_counter() - started)
        return sorted(times)[len(times) // 2]


def _settle(answer: asyncio.Future[list[Any]], found: list[Any] | BaseException) -> None:
    if answer.done():  # nobody waits any more
        return
    if isinstance(found, BaseException):
        answer.set_exception(found)
    else:
        answer.set_result(found)


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_close(one[name], other[name]) for name in one)
    if isinstance(one, float) or isinstance(other, float):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return numbers and math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=1e-6)
    return bool(one == other)


def _brief(answers: Any) -> str:
    text = str(answers)
    return text if len(text) <= 100 else f"{text[:99]}…"
