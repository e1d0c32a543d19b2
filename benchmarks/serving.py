"""
The generated service under load, beside its peers and the limit: what `wrk` counts of right answers.

`serving`: all contenders run at once, and idle but for the one that is measured; they take turns of a second, at 1, 8
and 32 connections. The ratios are medians of those of the rounds. `wrk` has one thread and shares the machine's cores
with the contender. It compares each answer with the one that was checked before; a wrong one ends the benchmark, and
each is checked once more at the end.

`serving-long`: one after the other, a minute at 8 connections for the 99th percentile, which a second understates
where garbage piles up; and what is resident before and after 200,000 requests, or after as many as fit the time.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks import servers
from benchmarks.servers import PEERS, Contender, Trained

CONNECTIONS = (1, 8, 32)
ROUNDS = 4
ROUND_S = 1

LONG = (servers.OURS_SKLEARN, servers.OURS_ONNX, servers.ASGI_ONNX, servers.BENTOML)
LONG_S = 60
LONG_CONNECTIONS = 8
LONG_REQUESTS = 200_000
_LONGEST_S = 120
_WARM_S = 2

RATIOS = (
    (servers.OURS_SKLEARN, servers.MLFLOW, "2.5"),
    (servers.OURS_ONNX, servers.MLFLOW, "2.5"),
    (servers.OURS_SKLEARN, servers.BENTOML, "2"),
    (servers.OURS_ONNX, servers.BENTOML, "2"),
    (servers.BENTOML_SERVE, servers.BENTOML, ""),
    (servers.OURS_ONNX, servers.FASTAPI, ""),
    (servers.OURS_ONNX, servers.LIMIT, ""),
    (servers.ASGI_ONNX, servers.LIMIT, "0.7"),
    (servers.ASGI_ONNX, servers.LIMIT_BY_NAMES, "0.7"),
)


@dataclass(frozen=True)
class Load:
    """What one turn of `wrk` found; *cpu_us* is of the contender's processes, for each request."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_us: float

    @property
    def rps(self) -> float:
        """Right answers per second."""
        return self.requests / self.seconds


def serving(folder: Path) -> None:
    """Requests per second, latency, CPU and memory at 1, 8 and 32 connections, interleaved."""
    trained = servers.train(folder / "model")
    print(", ".join(f"{name} {version(name)}" for name in ("bentoml", "fastapi", "uvicorn", "onnxruntime")))
    print(f"a pipeline of scikit-learn, 30 columns; {trained.sentence}")
    with servers.started(folder, trained) as contenders:
        loads = [Loads(contender, trained, folder) for contender in contenders.values()]
        for each in loads:
            each.turn(max(CONNECTIONS), ROUND_S)
        found: dict[int, dict[str, list[Load]]] = {count: {name: [] for name in contenders} for count in CONNECTIONS}
        for _ in range(ROUNDS):
            for count in CONNECTIONS:
                for each in loads:
                    found[count][each.contender.name].append(each.turn(count, ROUND_S))
        for each in loads:
            each.contender.demand(trained.labels)
        rss = {name: contender.tree.rss_bytes() for name, contender in contenders.items()}
    for count, of_count in found.items():
        _table(count, of_count, rss)
        _ratios(of_count)


def serving_long(folder: Path) -> None:
    """The 99th percentile over a minute at 8 connections, and memory over 200,000 requests."""
    trained = servers.train(folder / "model")
    print(
        f"{LONG_CONNECTIONS} connections for {LONG_S} s (aim: p99 under 15 ms), then on to {LONG_REQUESTS:,} requests"
    )
    print(f"  {'':<36} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}  resident, MB")
    for number, name in enumerate(LONG):
        with servers.started(folder / str(number), trained, [name]) as contenders:
            _long(Loads(contenders[name], trained, folder))


class Loads:
    """Puts *contender* under load."""

    def __init__(self, contender: Contender, trained: Trained, folder: Path) -> None:
        self.contender = contender
        self._body, self._expected = (folder / f"{contender.port}.{kind}" for kind in ("body", "expected"))
        self._body.write_bytes(contender.body())
        self._expected.write_bytes(contender.demand(trained.labels))

    def turn(self, connections: int, seconds: int) -> Load:
        """Ask it for *seconds*, and stop everything if one answer was wrong."""
        tree = self.contender.tree
        tree.demand()
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(PEERS / "check.lua")]
        words = ["wrk", *options, self.contender.url, "--", str(self._body), str(self._expected)]
        before = tree.cpu_s()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        cpu_s = tree.cpu_s() - before
        tree.demand()
        if done.returncode:
            raise SystemExit(f"{words} ended with {done.returncode}: {done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        if found["failed"] or not found["requests"]:
            raise SystemExit(f"{self.contender.name}: {found['failed']} of {found['requests']} answers were wrong")
        return Load(
            requests=found["requests"],
            seconds=found["duration"] / 1e6,
            p50_ms=found["p50"] / 1e3,
            p99_ms=found["p99"] / 1e3,
            max_ms=found["max"] / 1e3,
            cpu_us=1e6 * cpu_s / found["requests"],
        )


def _table(count: int, found: dict[str, list[Load]], rss: dict[str, int]) -> None:
    print(f"connections: {count} ({ROUNDS} × {ROUND_S} s, in turns; medians)", flush=True)
    print(f"  {'':<36} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU µs':>8} {'RSS MB':>8}")
    for name, loads in found.items():
        rps, p50, p99, cpu = (
            statistics.median(getattr(load, field) for load in loads) for field in ("rps", "p50_ms", "p99_ms", "cpu_us")
        )
        print(f"  {name:<36} {rps:8,.0f} {p50:8.2f} {p99:8.2f} {cpu:8.0f} {rss[name] / 1e6:8.0f}")


def _ratios(found: dict[str, list[Load]]) -> None:
    for one, other, aim in RATIOS:
        ratio = statistics.median(a.rps / b.rps for a, b in zip(found[one], found[other], strict=True))
        print(f"  {ratio:5.2f} × the requests per second of {other}: {one}{f' (aim {aim})' if aim else ''}")


def _long(loads: Loads) -> None:
    contender = loads.contender
    turns = [loads.turn(LONG_CONNECTIONS, _WARM_S)]
    resident = [contender.tree.rss_bytes()]
    turns.append(minute := loads.turn(LONG_CONNECTIONS, LONG_S))
    resident.append(contender.tree.rss_bytes())
    left = LONG_REQUESTS - _requests(turns)
    if left > 0:
        turns.append(loads.turn(LONG_CONNECTIONS, min(math.ceil(left / minute.rps), _LONGEST_S)))
        resident.append(contender.tree.rss_bytes())
    figures = f"{minute.rps:8,.0f} {minute.p50_ms:8.2f} {minute.p99_ms:8.2f} {minute.max_ms:8.1f}"
    memory = " → ".join(f"{each / 1e6:.0f}" for each in resident)
    asked = _requests(turns)
    print(f"  {contender.name:<36} {figures}  {memory}, the last after {asked:,} requests", flush=True)


def _requests(turns: Sequence[Load]) -> int:
    return sum(load.requests for load in turns)
