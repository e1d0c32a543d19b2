"""Which settings of a service are worth it: a rule over figures, and no measuring."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

ALONE = 1
CROWDS = (8, 32)
"""How many connections ask at once: one, whose latency must not suffer, and several, whose throughput is to grow."""

GAIN = 1.15
LOSS = 1.10
NOISE_MS = 1.0
"""Nobody notices less, and a quick service's slowest requests differ by that much from one second to the next."""
_AS_GOOD = 0.9


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What one setting did under one load: medians over its measurements. Latencies in milliseconds."""

    connections: int
    rps: float
    p50_ms: float
    p99_ms: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A setting and its figures; *fault* says why it is out of the question, *peak_rss_mb* 0 that it is not known."""

    batch_rows: int
    workers: int
    figures: list[Figure] = []
    peak_rss_mb: float = 0.0
    fault: str = ""

    def at(self, connections: int) -> Figure | None:
        """Its figures under the load of so many *connections*."""
        return next((figure for figure in self.figures if figure.connections == connections), None)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The settings to take, and the reason in a sentence."""

    batch_rows: int
    workers: int
    why: str


def choose_workers(measured: Sequence[Measured]) -> int:
    """The number of workers without batching: one, unless more are worth it."""
    plain = sorted((each for each in measured if each.batch_rows == 1), key=lambda each: each.workers)
    first = plain[0]
    return next((each.workers for each in plain[1:] if not objection(each, first)), first.workers)


def choose(measured: Sequence[Measured], workers: int, *, now: int = 1) -> Choice:
    """
    Decide on batching among the settings with so many *workers*; one of them is without batching.

    Of those that are about as good as the best that is worth it, the one that is configured *now* stays; else the
    smallest wins.
    """
    settings = sorted((each for each in measured if each.workers == workers), key=lambda each: each.batch_rows)
    off, others = settings[0], settings[1:]
    objections = {each.batch_rows: objection(each, off) for each in others}
    worth = [each for each in others if not objections[each.batch_rows]]
    if not worth:
        nearest = max(others, key=_throughput, default=None)
        why = f"batching stays off: with {nearest.batch_rows} rows {objections[nearest.batch_rows]}" if nearest else ""
        return Choice(batch_rows=off.batch_rows, workers=workers, why=why or "batching stays off")
    best = max(map(_throughput, worth))
    good = [each for each in worth if _throughput(each) >= _AS_GOOD * best]
    won = next((each for each in good if each.batch_rows == now), good[0])
    gains = " and ".join(f"{_gain(won, off, crowd):+.0%} at {crowd}" for crowd in CROWDS)
    why = f"batches of up to {won.batch_rows} rows answer more requests: {gains} connections"
    return Choice(batch_rows=won.batch_rows, workers=workers, why=why)


def objection(setting: Measured, plain: Measured) -> str:
    """Why *setting* is not to be taken instead of *plain*; "" if it is."""
    if setting.fault:
        return setting.fault
    for crowd in CROWDS:
        if _gain(setting, plain, crowd) < GAIN - 1:
            gain = _gain(setting, plain, crowd)
            return f"it answers {gain:+.0%} requests at {crowd} connections, and {GAIN - 1:+.0%} is the least"
    one, other = setting.at(ALONE), plain.at(ALONE)
    if one is None or other is None or one.p99_ms > max(LOSS * other.p99_ms, other.p99_ms + NOISE_MS):
        times = f"{one.p99_ms:.1f} ms instead of {other.p99_ms:.1f}" if one and other else "not measured"
        return f"the slowest requests of a single connection take longer (p99 {times})"
    return ""


def _gain(setting: Measured, plain: Measured, connections: int) -> float:
    one, other = setting.at(connections), plain.at(connections)
    return one.rps / other.rps - 1 if one and other and other.rps else -1.0


def _throughput(setting: Measured) -> float:
    found = [figure.rps for crowd in CROWDS if (figure := setting.at(crowd))]
    return min(found) * max(found) if found and not setting.fault else 0.0
