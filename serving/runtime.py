"""
What every service does alike: prove the model's bytes, load it, warm it up, say what it is.

This file is copied as it is beside the rendered `service.py` and knows nothing of the tool that put it
there. What varies by model is in `service.py`; what varies by framework is in `model_flavor.py`, which
has `load(folder)` and `predict(model, records)`.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import anyio.to_thread
import bentoml
import model_flavor
from pydantic import Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_HERE = Path(__file__).resolve().parent
_MODEL = _HERE / "model"
_SMALL = 32

# Strict, so that "17.99" or true is refused instead of guessed, and bounded as NumPy's types are.
Boolean = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]


def verified() -> dict[str, Any]:
    """Return the manifest; end the process unless `model/` holds exactly the files that it names."""
    manifest: dict[str, Any] = json.loads((_HERE / "manifest.json").read_text(encoding="utf-8"))
    expected = {file["path"]: file["digest"] for file in manifest["files"]}
    found = {path.relative_to(_MODEL).as_posix(): path for path in _MODEL.rglob("*") if path.is_file()}
    if missing := sorted(expected.keys() - found.keys()):
        _refuse(f"model/{missing[0]} is missing")
    if extra := sorted(found.keys() - expected.keys()):
        _refuse(f"model/{extra[0]} does not belong to {manifest['model']} {manifest['version']}")
    for name, digest in sorted(expected.items()):
        if (actual := _digest(found[name])) != digest:
            _refuse(f"model/{name} is not the file that was registered: it has {actual}, not {digest}")
    return manifest


def example() -> list[Any]:
    """Return the records of the model's input example; none if it has no example."""
    path = _MODEL / "input_example.json"
    if not path.exists():
        return []
    records: list[Any] = json.loads(path.read_text(encoding="utf-8"))["records"]
    return records


class Predictor:
    """The loaded model. It is warm when the constructor returns, so that no caller waits for that."""

    def __init__(self) -> None:
        sys.dont_write_bytecode = True  # or a model that is code would leave a file that `verified` refuses
        try:
            self._model = model_flavor.load(_MODEL)
            if records := example():
                model_flavor.predict(self._model, records)
        except Exception as error:  # noqa: BLE001  # a model can fail in any way, and must not start half
            _give_up(f"the model cannot be loaded: {type(error).__name__}: {error}")
        logging.getLogger("bentoml._internal.server.http_app").addFilter(quiet)
        self._turn = asyncio.Lock()  # not every model can be asked by two at once
        # What is alive now stays alive; walking it at every collection cost up to 190 ms at the 99th percentile.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)

    async def predict(self, records: list[Any]) -> list[Any]:
        """
        Return one prediction for each of *records*, in their order.

        Raises:
            ValueError: A record is not what the model was trained on.
        """
        ask = partial(model_flavor.predict, self._model, records)
        async with self._turn:
            # A thread costs more than a small prediction, but a large one must not silence /livez.
            predictions: list[Any] = ask() if len(records) <= _SMALL else await anyio.to_thread.run_sync(ask)
        return predictions


def quiet(record: logging.LogRecord) -> bool:
    """Log a caller's mistake in one line: BentoML adds 30 of traceback, with which a caller could fill the disk."""
    if record.exc_info and isinstance(record.exc_info[1], ValidationError):
        record.exc_info = None
        record.msg = f"400: {record.msg}"
    return True


def refusal(error: ValueError) -> JSONResponse:
    """Answer 400 in the form of BentoML's own: its exception for that comes out as a list."""
    return JSONResponse({"error": str(error), "detail": []}, status_code=400)


def metadata(manifest: dict[str, Any]) -> Starlette:
    """Make the application that answers GET /metadata with *manifest*; BentoML's own methods are all POST."""
    body = json.dumps(manifest, ensure_ascii=False).encode()

    async def answer(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/metadata", answer, methods=["GET"])])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _refuse(sentence: str) -> NoReturn:
    sys.exit(f"this service does not start: {sentence}")


def _give_up(sentence: str) -> NoReturn:
    """End the whole service from one of its workers, which BentoML would start again for ever."""
    sys.stderr.write(f"this service does not start: {sentence}\n")
    sys.stderr.flush()
    if bentoml.server_context.worker_index is not None:
        os.kill(os.getppid(), signal.SIGTERM)
    os._exit(1)
