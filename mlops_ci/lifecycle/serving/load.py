"""
A script of its own: asks a service for predictions as fast as it answers, and measures.

Reads orders from its input, a JSON object a line, and answers each with a line: requests per second, latencies in
milliseconds, and what went wrong. Ends with its input, and so with whoever started it.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from contextlib import suppress
from typing import Any

from mlops_ci.lifecycle.smoke_test import same

_TOLERANCE = 1e-3  # the service's own, for its example
_MOST_FAULTS = 5


class Load:
    """
    One measurement: *connections* that each ask again when they were answered.

    Args:
        order: `host`, `port`, `body` (the request, as text), `predictions` (the right ones), `connections`, and
            the seconds to warm up (`warm_s`), to measure (`seconds`) and to let the last ones finish (`grace_s`).
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        body = order["body"].encode()
        head = ("POST /predict HTTP/1.1", "host: service", "content-type: application/json")
        self._request = "\r\n".join((*head, f"content-length: {len(body)}", "", "")).encode() + body
        self._right = b""
        self._times: list[float] = []
        self._faults: list[str] = []

    async def run(self) -> dict[str, Any]:
        """Measure, and say what was found."""
        self._begin = time.perf_counter() + self._order["warm_s"]
        self._end = self._begin + self._order["seconds"]
        asking = [asyncio.create_task(self._ask_on()) for _ in range(self._order["connections"])]
        _, late = await asyncio.wait(asking, timeout=self._end + self._order["grace_s"] - time.perf_counter())
        for task in late:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        times = sorted(self._times)
        return {
            "rps": len(times) / self._order["seconds"],
            "p50_ms": _percentile(times, 0.50) * 1000,
            "p99_ms": _percentile(times, 0.99) * 1000,
            "answers": len(times),
            "fault": self._faults[0] if self._faults else "",
        }

    async def _ask_on(self) -> None:
        while len(self._faults) < _MOST_FAULTS and time.perf_counter() < self._end:
            try:
                reader, writer = await asyncio.open_connection(self._order["host"], self._order["port"])
            except OSError as error:
                self._faults.append(f"it takes no connection: {error.strerror}")
                return
            try:
                await self._ask(reader, writer)
            except (OSError, EOFError, asyncio.IncompleteReadError, ValueError) as error:
                self._faults.append(f"it broke a connection off ({type(error).__name__})")
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (started := time.perf_counter()) < self._end:
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            _, _, rest = head.partition(b"\ncontent-length:")
            body = await reader.readexactly(int(rest.partition(b"\r")[0]))
            ended = time.perf_counter()
            if not head.startswith(b"http/1.1 200") or not self._is_right(body):
                self._faults.append(f"it answered {head[9:12].decode()}: {body[:200].decode(errors='replace')}")
                return
            if self._begin <= ended <= self._end:
                self._times.append(ended - started)

    def _is_right(self, body: bytes) -> bool:
        if body == self._right:
            return True
        if not same(json.loads(body).get("predictions"), self._order["predictions"], _TOLERANCE):
            return False
        self._right = body
        return True


def _percentile(times: list[float], share: float) -> float:
    """The smallest time that *share* of all do not exceed; 0 for none."""
    return times[max(0, math.ceil(share * len(times)) - 1)] if times else 0.0


def main() -> None:
    """Carry out one order after the other."""
    answers = sys.stdout
    for line in sys.stdin:
        answers.write(json.dumps(asyncio.run(Load(json.loads(line)).run())) + "\n")
        answers.flush()


if __name__ == "__main__":
    with suppress(BrokenPipeError, KeyboardInterrupt):
        main()
