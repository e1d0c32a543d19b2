"""Smoke test: ask a service for the predictions that its model made when it was saved."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from mlops_ci.entities import Smoke
from mlops_ci.errors import ServiceError
from mlops_ci.targets import Ask

_TIMEOUT_S = 30


def smoke_test(ask: Ask, url: str, example: Path) -> Smoke:
    """
    Send the records of the input *example* by *ask* to the service at *url* and compare what comes back.

    Raises:
        ServiceError: Nobody answered, or the answer is another.
    """
    expected = json.loads(example.read_bytes())
    started = time.monotonic()
    status, body = ask("/predict", json.dumps({"records": expected["records"]}).encode())
    answer = _json(body)
    latency_ms = round((time.monotonic() - started) * 1000, 1)
    matched = status == 200 and isinstance(answer, dict) and same(answer.get("predictions"), expected["predictions"])
    if not matched:
        raise ServiceError(
            f"{url} answered the model's own example with {status} and {json.dumps(answer)[:200]},"
            f" where the model had said {json.dumps(expected['predictions'])[:200]}",
            hint="the libraries in the service may differ from those of the training",
        )
    return Smoke(url=f"{url}/predict", status=status, matched=matched, answer=answer, latency_ms=latency_ms)


def predict(url: str, inputs: list[Any]) -> tuple[int, Any]:
    """
    POST *inputs* to the service at *url*; its status, and its answer as JSON or as text.

    Raises:
        ServiceError: Nobody answered.
    """
    request = urllib.request.Request(  # noqa: S310  # the address is the target's own
        f"{url}/predict",
        data=json.dumps({"records": inputs}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # as above
            return answer.status, _json(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except OSError as error:
        raise ServiceError(f"{url} did not answer: {error}", hint="the log of the service says more") from error


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


def same(one: Any, other: Any, tolerance: float = 1e-6) -> bool:
    """
    Whether two answers are equal, but for the last digits of floats: another processor may add up in another order.

    Args:
        one: Of JSON, as is *other*.
        other: What it should be.
        tolerance: How far a float may be off, as a share of it; of 1, where it is smaller.
    """
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair, tolerance) for pair in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name], tolerance) for name in one)
    if isinstance(one, float) or isinstance(other, float):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return numbers and abs(one - other) <= tolerance * max(1.0, abs(other))
    return bool(one == other)
