"""How a body is waited for, and how an answer is sent: what costs time at each request, and must hold all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from serving import bodies
from serving.errors import Rejected
from serving.protocol import Joined

Part = tuple[bytes, bool]


class Timed(asyncio.SelectorEventLoop):
    """Counts the timers that are set."""

    timers = 0

    def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*args, **options)


def run(work: Callable[[], Awaitable[Any]]) -> tuple[Any, int]:
    """What *work* comes to, and how many timers it took."""
    with asyncio.Runner(loop_factory=Timed) as runner:

        async def main() -> Any:
            return await work()

        found = runner.run(main())
        loop = runner.get_loop()
        assert isinstance(loop, Timed)
        return found, loop.timers


def receiver(*parts: Part | float, left: list[str] | None = None) -> bodies.Receive:
    """Receives *parts*; a number is a pause in seconds. Notes in *left* when it is left while it waits."""
    coming = iter(parts)

    async def receive() -> MutableMapping[str, Any]:
        try:
            while isinstance(part := next(coming, None), float):
                await asyncio.get_running_loop().create_task(asyncio.sleep(part))
        except BaseException as error:
            if left is not None:
                left.append(type(error).__name__)
            raise
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part[0], "more_body": part[1]}

    return receive


def read(receive: bodies.Receive, timeout_s: float = 5.0, limit: int = 100) -> Callable[[], Awaitable[bytes]]:
    return lambda: bodies.read(receive, {}, limit=limit, timeout_s=timeout_s)


def test_no_timer_is_set_for_what_is_here() -> None:
    assert run(read(receiver((b"one ", True), (b"two", False)))) == (b"one two", 0)


@pytest.mark.parametrize("first", [0.0, 0.02])
def test_what_comes_later_is_waited_for(first: float) -> None:
    parts = (first, (b"one ", True), 0.02, (b"two ", True), (b"three", False))
    found, timers = run(read(receiver(*parts)))
    assert found == b"one two three"
    assert timers >= 1


@pytest.mark.parametrize("parts", [(3600.0,), ((b"one", True), 3600.0), (0.001, (b"one", True), 3600.0)])
def test_what_comes_too_late_is_left(parts: tuple[Part | float, ...]) -> None:
    left: list[str] = []
    with pytest.raises(Rejected) as caught:
        run(read(receiver(*parts, left=left), timeout_s=0.05))
    assert (caught.value.status, caught.value.close) == (408, True)
    assert left[0] in {"CancelledError", "GeneratorExit"}


def test_a_fault_after_a_pause_is_the_callers() -> None:
    with pytest.raises(Rejected) as caught:
        run(read(receiver(0.001, (b"x" * 200, False)), limit=100))
    assert caught.value.status == 413


def test_who_is_cancelled_while_it_waits_leaves_nothing_behind() -> None:
    left: list[str] = []

    async def main() -> str:
        task = asyncio.ensure_future(read(receiver(3600.0, left=left))())
        await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"
        return "not cancelled"

    assert run(main)[0] == "cancelled"
    assert len(left) == 1


class Wire:
    """A transport that remembers what each packet would hold."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.packets.append(bytes(data))

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> str:
        return name


def sent(*steps: bytes | str) -> list[bytes]:
    """The packets of *steps*: bytes are written, "turn" is one of the loop, "close" closes."""
    wire = Wire()

    async def main() -> None:
        joined = Joined(wire, asyncio.get_running_loop())
        assert joined.get_extra_info("peername") == "peername"
        for step in steps:
            if isinstance(step, bytes):
                joined.write(step)
            elif step == "close":
                joined.close()
                assert joined.is_closing()
            else:
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    return wire.packets


@pytest.mark.parametrize(
    ("steps", "packets"),
    [
        ((b"head", b"body"), [b"headbody"]),
        ((b"head", b""), [b"head"]),
        ((b"head",), [b"head"]),
        ((b"head", "turn", b"body"), [b"head", b"body"]),
        ((b"head", b"one", b"two", b"three"), [b"headone", b"twothree"]),
        ((b"head", b"one", b"two"), [b"headone", b"two"]),
        ((b"head", b"body", "close"), [b"headbody"]),
        ((b"head", "close"), [b"head"]),
        (("close",), []),
        ((b"100", "turn", b"head", b"body", b"head", b"body"), [b"100", b"headbody", b"headbody"]),
    ],
)
def test_an_answer_is_one_packet_and_nothing_is_lost_or_moved(
    steps: tuple[bytes | str, ...], packets: list[bytes]
) -> None:
    assert sent(*steps) == packets


def test_what_is_written_to_a_closed_door_is_dropped() -> None:
    wire = Wire()

    async def main() -> None:
        joined = Joined(wire, asyncio.get_running_loop())
        joined.write(b"late")
        wire.closed = True
        await asyncio.sleep(0)

    asyncio.run(main())
    assert wire.packets == []
