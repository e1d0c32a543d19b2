"""Answers as bytes: predictions with the name of what made them, and errors in one form."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import orjson

from serving.errors import Rejected
from serving.manifest import Manifest

Header = tuple[bytes, bytes]

_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")
_ANY_KEY = orjson.OPT_NON_STR_KEYS


class Answer(NamedTuple):
    """A whole answer; *headers* lack those that every answer has."""

    status: int
    headers: list[Header]
    body: bytes


class Answers:
    """Makes the answers of one model version."""

    def __init__(self, manifest: Manifest) -> None:
        self.who = {"model": manifest.model, "version": manifest.version, "digest": manifest.digest}
        self._tail = b"," + orjson.dumps(self.who)[1:]
        self.headers: list[Header] = [
            (b"x-model", _printable(f"{manifest.model}/{manifest.version}")),
            (b"x-model-digest", _printable(manifest.digest)),
        ]
        """On every answer, errors included."""
        outputs = (manifest.content.get("signature") or {}).get("outputs", {})
        self._nulls = "null" in orjson.dumps(outputs.get("type", "")).decode()

    def predictions(self, found: list[Any]) -> Answer:
        """The answer to /predict. Raises `Rejected` if JSON cannot hold what the model answered."""
        return Answer(200, [_JSON], b'{"predictions":' + self.encoded(found) + self._tail)

    def one(self, prediction: Any) -> Answer:
        """The answer for a single record: the fields of a prediction that is an object, or `prediction`."""
        (plain,) = orjson.loads(self.encoded([prediction]))
        body = plain if isinstance(plain, dict) else {"prediction": plain}
        return Answer(200, [_JSON], orjson.dumps({**body, **self.who}))

    def encoded(self, found: list[Any]) -> bytes:
        """
        *found* as JSON.

        Raises:
            Rejected: 500, for a NaN or an infinity that nobody asked for, or for what is no value of JSON at all.
        """
        try:
            written = orjson.dumps(found, option=_ANY_KEY)
        except TypeError as error:
            raise Rejected(500, "unsayable", f"the model's answer cannot be written as JSON: {error}") from error
        # The writer makes null of NaN; only then is there anything to look for.
        if b"null" in written and not self._nulls and (row := _first_non_finite(found)) is not None:
            raise Rejected(500, "non-finite", f"the model answered record {row} with a number that is not finite")
        return written

    def json(self, content: Any, status: int = 200) -> Answer:
        """*content* as it is."""
        return Answer(status, [_JSON], orjson.dumps(content, option=_ANY_KEY))

    def rejection(self, error: Rejected, request_id: str) -> Answer:
        """What a caller is told who gets no prediction."""
        headers = [_JSON]
        if error.close:
            headers.append(_CLOSE)
        if error.retry_after_s:
            headers.append((b"retry-after", str(error.retry_after_s).encode()))
        content = {"error": str(error), "detail": error.detail, "request_id": request_id, **self.who}
        return Answer(error.status, headers, orjson.dumps(content, option=_ANY_KEY, default=str))


def _first_non_finite(found: list[Any]) -> int | None:
    return next((row for row, value in enumerate(found) if _has_non_finite(value)), None)


def _has_non_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_non_finite, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_non_finite, value))


def _printable(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace").replace(b"\r", b"").replace(b"\n", b"")
