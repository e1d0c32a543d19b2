"""What the same costs with Python's `sqlite3` alone: no checks, no history of anything, one transaction."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from benchmarks.ours import METRICS, PARAMS, value


class Floor:
    """A database file with one table for params, one for metrics, one for points."""

    name = "plain sqlite3"

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.execute("CREATE TABLE params (run TEXT, name TEXT, value TEXT)")
        self._connection.execute("CREATE TABLE metrics (run TEXT, name TEXT, value REAL)")
        self._connection.execute("CREATE INDEX best ON metrics (name, value)")
        self._connection.execute("CREATE TABLE points (run TEXT, name TEXT, value REAL, step REAL, time REAL)")
        self._connection.commit()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def log_run(self, _given: object = None) -> None:
        """Params and metrics of a run."""
        with self._connection as connection:
            connection.executemany("INSERT INTO params VALUES ('r', ?, ?)", PARAMS.items())
            rows = [(name, value(0, index)) for index, name in enumerate(METRICS)]
            connection.executemany("INSERT INTO metrics VALUES ('r', ?, ?)", rows)

    def log_points(self, count: int) -> None:
        """Points of one metric."""
        with self._connection as connection:
            rows = (("r", "loss", step / 7, step, 1.7e9) for step in range(count))
            connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", rows)

    def fill(self, count: int) -> None:
        """Metrics of *count* runs."""
        with self._connection as connection:
            connection.execute("DELETE FROM metrics")
            rows = ((run, name, value(run, index)) for run in range(count) for index, name in enumerate(METRICS))
            connection.executemany("INSERT INTO metrics VALUES (?, ?, ?)", rows)

    def best(self) -> float:
        """The greatest value of a metric, by the index."""
        query = "SELECT value FROM metrics WHERE name = 'm7' ORDER BY value DESC LIMIT 1"
        return float(self._connection.execute(query).fetchone()[0])

    def best_by_reading(self) -> float:
        """The greatest value of a metric, by reading them all."""
        query = "SELECT max(+value) FROM metrics WHERE +name = 'm7'"
        return float(self._connection.execute(query).fetchone()[0])
