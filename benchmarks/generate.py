"""
Fills a store with made-up runs, the way that real ones come: as records, through `Store.append`.

`python benchmarks/generate.py sqlite:////tmp/many.db 100000` fills one and says how fast and how large.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from mlops_ci import records
from mlops_ci.entities import Author, GitState, Metric, Run
from mlops_ci.records import Record
from mlops_ci.store import Store

_START = datetime(2026, 1, 1, tzinfo=UTC)
_MODELS = ("rf", "xgb", "linear", "mlp")
_BATCH = 500


def runs(count: int, *, params: int = 20, metrics: int = 20, experiments: int = 1, first: int = 0) -> Iterator[Record]:
    """Yield *count* runs, a minute after each other, the same for the same arguments."""
    for number in range(first, first + count):
        yield _run(number, params, metrics, experiments)


def fill(store: Store, made: Iterator[Record]) -> float:
    """Append all of *made* in batches, and return the seconds that took."""
    began = time.perf_counter()
    while batch := list(islice(made, _BATCH)):
        store.append(batch)
    return time.perf_counter() - began


def _run(number: int, params: int, metrics: int, experiments: int) -> Record:
    chance = random.Random(number)  # noqa: S311  # made up, and the same each time
    sha = hashlib.sha1(str(number).encode(), usedforsecurity=False).hexdigest()
    started = _START + timedelta(minutes=number)
    values = {"accuracy": chance.random()} | {f"metric_{index}": chance.random() for index in range(1, metrics)}
    run = Run(
        run_id=hashlib.sha256(sha.encode()).hexdigest()[:16],
        run_key=hashlib.sha256(sha.encode()).hexdigest(),
        project="churn",
        experiment=f"experiment-{number % experiments}",
        status="failed" if chance.random() < 0.05 else "finished",
        started=records.timestamp(started),
        ended=records.timestamp(started + timedelta(seconds=30)),
        duration_s=30.0,
        git=GitState(trained_sha=sha, head_sha=sha, tree=sha[::-1], branch=chance.choice(["main", "dev"])),
        params={"model": chance.choice(_MODELS), "seed": number}
        | {f"param_{index}": chance.choice([0.1, 0.01, 1, "adam"]) for index in range(2, params)},
        metrics={name: Metric(last=value, min=value / 2, max=value, count=10) for name, value in values.items()},
        tags={"team": chance.choice(["search", "ads"])},
    )
    return records.new(run, author=Author(name="Ada"), time=run.ended)


def main(url: str, count: int) -> None:
    """Fill the store at *url* with *count* runs of 20 params and 20 metrics."""
    with Store.open(url, Path.cwd()) as store:
        seconds = fill(store, runs(count))
    print(f"{count:,} runs in {seconds:.1f} s, {seconds / count * 1000:.2f} ms each")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
