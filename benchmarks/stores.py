"""
In one process, each store open: logging, queries, bytes on disk; ours, MLflow's, and plain `sqlite3` as the floor.

What is counted for ours is everything from the start of the run until its record, and the history of its metrics, are
in the ledger and the artifact store for good: the run folder, reading it back, digests, both writes and their fsync.
For MLflow it is its fastest public calls: `create_run`, `log_batch` (1,000 metrics each), `set_terminated`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.floors import Floor
from benchmarks.mlflow_client import Mlflow
from benchmarks.ours import Ours
from benchmarks.timing import Call, interleave, ratio, table
from tests.servers import PostgreSQL

COMPARED = 20


@dataclass(frozen=True)
class Pair:
    """The two stores in databases of one kind, and the floor."""

    kind: str
    ours: Ours
    peer: Mlflow
    floor: Floor


@contextmanager
def pairs(folder: Path) -> Iterator[list[Pair]]:
    """The stores on SQLite, and on a PostgreSQL server of our own with the settings that it comes with; all empty."""
    with ExitStack() as stack:
        server = PostgreSQL()
        stack.callback(server.stop)
        on_server = [server.fresh().replace("postgresql:", "postgresql+psycopg:") for _ in range(2)]
        urls = {"PostgreSQL": on_server, "SQLite": [f"sqlite:///{folder}/{name}.db" for name in ("ours", "mlflow")]}
        found = []
        for kind, (ours, mlflow) in urls.items():
            place = folder / kind
            place.mkdir()
            pair = Pair(kind, Ours(place / "ours", ours), Mlflow(place / "mlflow", mlflow), Floor(place / "floor.db"))
            for each in (pair.ours, pair.peer, pair.floor):
                stack.callback(each.close)
            found.append(pair)
        yield found


def run(folder: Path) -> None:
    """A run of 20 params and 20 metrics."""
    with pairs(folder) as found:
        for pair in found:
            calls = [Call(each.name, each.log_run) for each in (pair.ours, pair.peer, pair.floor)]
            samples = interleave(calls, times=40, warm=3)
            table(f"log a run of 20 params and 20 metrics ({pair.kind}, in process)", samples)
            ratio("faster than MLflow (aim 10)", samples[pair.peer.name], samples[pair.ours.name])


def points(folder: Path) -> None:
    """10,000 points of one metric."""
    with pairs(folder) as found:
        for pair in found:
            _points(pair, 10_000, times=7)


def million(folder: Path) -> None:
    """1,000,000 points of one metric; MLflow once, and its calls of one point each for 10,000."""
    with pairs(folder) as found:
        for pair in found:
            _points(pair, 1_000_000, times=3)
        peer, count = found[-1].peer, 10_000
        calls = [Call("MLflow, log_metric", lambda run_id: peer.log_points_one_by_one(run_id, count), peer.begin)]
        table(f"{count:,} points, a call each ({found[-1].kind})", interleave(calls, times=1, warm=0))


def best(folder: Path) -> None:
    """Best of 2,000 runs, a comparison of 20 of them, and their bytes on disk."""
    with pairs(folder) as found:
        for pair in found:
            _best(pair, 2_000, times=200, peer_times=40)
            _compare(pair, "of 2000")


def hundred_thousand(folder: Path) -> None:
    """Best of 100,000 runs, and a comparison of 20 of them; some minutes, nearly all of it for MLflow."""
    with pairs(folder) as found:
        for pair in found:
            if pair.kind == "SQLite":
                # SQLite's plan for MLflow's query reads every run's metrics for every run: at 100,000, many minutes.
                _best(pair, 8_000, times=50, peer_times=2)
                _best(pair, 100_000, times=200, peer_times=0)
            else:
                _best(pair, 100_000, times=200, peer_times=5)
                _compare(pair, "of 100000")


def _points(pair: Pair, count: int, times: int) -> None:
    ours, peer, floor = pair.ours, pair.peer, pair.floor
    calls = [
        Call("mlops-ci, log_metric in a loop", lambda begun: ours.log_points(begun, count), ours.begin),
        Call("  of that, the loop", lambda begun: ours.log_points_only(begun, count), ours.begin),
        Call("mlops-ci, log_history", lambda begun: ours.log_history(begun, count), ours.begin),
        Call(floor.name, lambda _: floor.log_points(count)),
    ]
    theirs = Call("MLflow, log_batch", lambda run_id: peer.log_points(run_id, count), peer.begin)
    before = ours.size_bytes(), peer.size_bytes()
    long = count > 100_000
    first = interleave([calls[0]], times=1, warm=0)
    after = ours.size_bytes()
    samples = interleave(calls if long else [*calls, theirs], times=times, warm=0 if long else 1)
    if long:
        samples |= interleave([theirs], times=1, warm=0)
    logged = 1 if long else times + 1
    table(f"{count:,} points of one metric ({pair.kind}, in process)", samples)
    for call in (calls[0], calls[2]):
        ratio(f"faster than MLflow: {call.name.partition(', ')[2]} (aim 10)", samples[theirs.name], samples[call.name])
    del first
    sizes = (after - before[0]) / count, (peer.size_bytes() - before[1]) / count / logged
    print(f"  bytes on disk for a point: {sizes[0]:.0f} in mlops-ci, {sizes[1]:.0f} in MLflow")


def _best(pair: Pair, count: int, times: int, peer_times: int) -> None:
    ours, peer, floor, name = pair.ours, pair.peer, pair.floor, f"of {count}"
    before = ours.size_bytes(), peer.size_bytes()
    fill = [
        Call("mlops-ci, as `sync` takes runs in", lambda _: ours.fill(count, name)),
        Call("MLflow, rows copied by SQL in its schema", lambda _: peer.fill(count, name)),
        Call(floor.name, lambda _: floor.fill(count)),
    ]
    table(f"fill the store with {count:,} runs ({pair.kind})", interleave(fill, times=1, warm=0))
    sizes = (ours.size_bytes() - before[0]) / count, (peer.size_bytes() - before[1]) / count
    print(f"  bytes on disk for a run: {sizes[0]:,.0f} in mlops-ci, {sizes[1]:,.0f} in MLflow")
    answers: set[float] = set()
    mine = [
        Call(ours.name, lambda _: answers.add(ours.best(name))),
        Call(f"{floor.name}, an index", lambda _: answers.add(floor.best())),
        Call(f"{floor.name}, every row read", lambda _: answers.add(floor.best_by_reading())),
    ]
    theirs = Call(peer.name, lambda _: answers.add(peer.best(name)))
    title = f"best of {count:,} runs by a metric ({pair.kind}; aim {5 if count <= 2_000 else 10} ms)"
    samples = interleave(mine, times=times - peer_times)
    for name_, more in interleave([*mine, theirs], times=peer_times, warm=0).items() if peer_times else ():
        samples[name_] = samples.get(name_, []) + more
    table(title, samples)
    if peer_times:
        ratio("faster than MLflow (aim 10)", samples[peer.name], samples[ours.name])
    if len(answers) != 1:
        raise SystemExit(f"the stores disagree about the best run: {answers}")


def _compare(pair: Pair, name: str) -> None:
    ours, peer = pair.ours, pair.peer
    mine, theirs = ours.ids(name, COMPARED), peer.ids(name, COMPARED)
    calls = [
        Call(ours.name, lambda _: ours.compare(mine)),
        Call("MLflow, get_run for each", lambda _: peer.compare(theirs)),
        Call("MLflow, search_runs by ids", lambda _: peer.search(theirs, name)),
    ]
    if not ours.compare(mine) == peer.compare(theirs) == peer.search(theirs, name) == COMPARED * 20:
        raise SystemExit("the stores disagree about what is compared")
    samples = interleave(calls, times=20)
    table(f"open a comparison of {COMPARED} runs ({pair.kind})", samples)
    for call in calls[1:]:
        ratio(f"faster than {call.name}", samples[call.name], samples[ours.name])
