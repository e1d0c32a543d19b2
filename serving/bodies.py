"""Reads the body of a request, within the limits of size and time, compressed or not."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from contextlib import suppress
from types import coroutine
from typing import Any

from serving.errors import Rejected

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_LINGER_S = 2.0
_COMPRESSED = {b"gzip": 31, b"x-gzip": 31, b"deflate": 47}


async def read(receive: Receive, headers: dict[bytes, bytes], *, limit: int, timeout_s: float) -> bytes:
    """
    Return the body, decompressed.

    Args:
        receive: ASGI's.
        headers: Of the request, by name in lower case.
        limit: The most bytes that it may have, compressed and decompressed.
        timeout_s: Seconds for all of it.

    Raises:
        Rejected: 408 for who is slow, 413 for what is too large, 415 and 400 for what cannot be decompressed.
    """
    announced = headers.get(b"content-length", b"")
    try:
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        body = await _within(timeout_s, _all(receive, limit))
    except TimeoutError:
        raise Rejected(408, "slow", f"the body did not arrive within {timeout_s:g} s", close=True) from None
    except Rejected:
        if b"expect" not in headers:  # who asks first sends nothing after a no
            await _discard(receive)
        raise
    encoding = headers.get(b"content-encoding")
    return body if encoding is None else _decompressed(body, encoding.strip().lower(), limit)


async def _all(receive: Receive, limit: int) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise Disconnected
    if len(body) > limit:
        raise _too_large(limit)
    return body


@coroutine
def _within(seconds: float, work: Coroutine[Any, Any, bytes]) -> Generator[Any, Any, bytes]:
    """
    Await *work*, and for at most *seconds* if it has to wait at all.

    Most bodies are here before anybody asks for them, and a timer costs as much as a small prediction.
    """
    try:
        first = work.send(None)
    except StopIteration as done:
        body: bytes = done.value
        return body
    return (yield from _timed(seconds, first, work).__await__())


async def _timed(seconds: float, first: Any, work: Coroutine[Any, Any, bytes]) -> bytes:
    async with asyncio.timeout(seconds):
        return await _rest(first, work)


@coroutine
def _rest(first: Any, work: Coroutine[Any, Any, bytes]) -> Generator[Any, Any, bytes]:
    """Go on with *work*, which waits for *first*."""
    try:
        yield first
    except BaseException:
        work.close()
        raise
    return (yield from work.__await__())


async def _discard(receive: Receive) -> None:
    """Read on for a moment: who is still sending when the connection is closed never sees the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while (await receive()).get("more_body"):
                pass


class Disconnected(Exception):
    """The caller went away before the request was whole."""


def _decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    if encoding == b"identity":
        return body
    if encoding not in _COMPRESSED:
        raise Rejected(
            415, "encoding", f"content-encoding {encoding.decode(errors='replace')!r} is not known: use gzip"
        )
    parts: list[bytes] = []
    room = limit
    while body:  # gzip may have several members
        reader = zlib.decompressobj(_COMPRESSED[encoding])
        try:
            parts.append(reader.decompress(body, room + 1))
        except zlib.error as error:
            raise Rejected(400, "encoding", f"the body is not {encoding.decode()}: {error}") from None
        room -= len(parts[-1])
        if room < 0:
            raise _too_large(limit)
        if not reader.eof:
            raise Rejected(400, "encoding", f"the {encoding.decode()} ends too early")
        body = reader.unused_data
    return b"".join(parts)


def _too_large(limit: int) -> Rejected:
    return Rejected(413, "too-large", f"a request has at most {limit:,} bytes", close=True)
