"""
Times A and B in turns, and prints what came of it.

A machine whose speed drifts slows both. Medians and ratios are what to quote; the ratio is the median of those of the
pairs.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One turn: wall and CPU seconds (user and system; of a process, its children included)."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Command:
    """A whole process to time."""

    name: str
    words: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)

    def once(self) -> Sample:
        """Run it to its end, timed by the operating system's own accounting of it and its children."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(self.words, cwd=self.cwd, env=self.env, capture_output=True, check=False)
        wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{self.words} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
        return Sample(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@dataclass(frozen=True)
class Call:
    """A function of this process to time; it gets what *prepare* returns, which is not timed."""

    name: str
    function: Callable[[Any], object]
    prepare: Callable[[], Any] = lambda: None

    def once(self) -> Sample:
        """Call it."""
        given = self.prepare()
        cpu_s, started = time.process_time(), time.perf_counter()
        self.function(given)
        wall_s = time.perf_counter() - started
        return Sample(wall_s, time.process_time() - cpu_s)


def interleave(contenders: Sequence[Command | Call], *, times: int, warm: int = 1) -> dict[str, list[Sample]]:
    """Time every contender *times* times, in turns, after *warm* turns that do not count."""
    found: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for turn in range(times + warm):
        for contender in contenders:
            sample = contender.once()
            if turn >= warm:
                found[contender.name].append(sample)
    return found


def table(title: str, found: Mapping[str, Sequence[Sample]]) -> None:
    """Print medians, with the smallest and largest; the 99th percentile where there are enough."""
    print(title, flush=True)
    for name, samples in found.items():
        wall = sorted(sample.wall_s for sample in samples)
        scale, unit = (1.0, "s ") if statistics.median(wall) >= 1 else (1e3, "ms")
        middle, low, high = (scale * value for value in (statistics.median(wall), wall[0], wall[-1]))
        cpu = scale * statistics.median(sample.cpu_s for sample in samples)
        last = f", p99 {scale * wall[int(0.99 * len(wall))]:.2f}" if len(wall) >= 100 else ""
        spread = f"({low:.2f} to {high:.2f}{last}; {len(wall)} ×)"
        print(f"  {name:<44} {middle:8.2f} {unit} {spread}, CPU {cpu:.2f}")


def ratio(what: str, one: Sequence[Sample], other: Sequence[Sample]) -> None:
    """Print how many times as long as *other* the turns of *one* took; one turn stands against all of the other."""
    if len(one) == len(other):
        pairs = [a.wall_s / b.wall_s for a, b in zip(one, other, strict=True)]
    else:
        pairs = [statistics.median(a.wall_s for a in one) / statistics.median(b.wall_s for b in other)]
    print(f"  {statistics.median(pairs):.1f} × {what}")
