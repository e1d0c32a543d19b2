"""MLflow's side: its public client on its own database store."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from benchmarks.ours import METRICS, MOST, PARAMS, database_bytes, settle, value

A_BATCH = 1_000  # the most metrics that one `log_batch` takes


class Mlflow:
    """A client on the database at *url*."""

    name = "MLflow"

    def __init__(self, folder: Path, url: str) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
        from mlflow import MlflowClient  # noqa: PLC0415  # a second that only these benchmarks pay
        from mlflow.entities import Metric, Param  # noqa: PLC0415

        self._metric, self._param = Metric, Param
        self._artifacts = folder
        self._ids: dict[str, str] = {}
        self._client = MlflowClient(tracking_uri=url)
        self._experiment: str = self._client.create_experiment("bench", artifact_location=folder.as_uri())
        self._engine = sa.create_engine(url)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def begin(self) -> str:
        """A run to log to."""
        return str(self._client.create_run(self._experiment).info.run_id)

    def log_run(self, _given: object = None) -> None:
        """A run, by its fastest calls: one batch with everything."""
        self._log_run(self._experiment)

    def log_points(self, run_id: str, count: int) -> None:
        """Points in the largest batches that it takes."""
        for first in range(0, count, A_BATCH):
            now = int(time.time() * 1000)
            steps = range(first, min(first + A_BATCH, count))
            self._client.log_batch(run_id, metrics=[self._metric("loss", step / 7, now, step) for step in steps])
        self._client.set_terminated(run_id)

    def log_points_one_by_one(self, run_id: str, count: int) -> None:
        """Points as a training loop has them."""
        for step in range(count):
            self._client.log_metric(run_id, "loss", step / 7, step=step)
        self._client.set_terminated(run_id)

    def fill(self, count: int, experiment: str) -> None:
        """Log one run through the API and copy its rows by SQL, with other ids and values."""
        named = self._client.create_experiment(experiment, artifact_location=self._artifacts.as_uri())
        self._ids[experiment] = str(named)
        given = {"original": self._log_run(str(named)), "count": count, "experiment": int(named)}
        with self._engine.begin() as connection:
            for table in ("runs", "params", "metrics", "latest_metrics", "tags"):
                connection.execute(sa.text(_copy(connection, table)), given)
        settle(self._engine)

    def best(self, experiment: str) -> float:
        """The greatest value of a metric."""
        found = self._client.search_runs(
            [self._ids[experiment]], order_by=["metrics.m7 DESC"], max_results=1, filter_string="status = 'FINISHED'"
        )
        return float(found[0].data.metrics["m7"])

    def ids(self, experiment: str, count: int) -> list[str]:
        """The ids of *count* runs."""
        return [run.info.run_id for run in self._client.search_runs([self._ids[experiment]], max_results=count)]

    def compare(self, ids: Sequence[str]) -> int:
        """What its comparison page asks for: each run, one by one."""
        return sum(len(self._client.get_run(run_id).data.metrics) for run_id in ids)

    def search(self, ids: Sequence[str], experiment: str) -> int:
        """The same runs in one search."""
        named = ", ".join(f"'{run_id}'" for run_id in ids)
        found = self._client.search_runs([self._ids[experiment]], f"attributes.run_id IN ({named})")
        return sum(len(run.data.metrics) for run in found)

    def size_bytes(self) -> int:
        """Of the database and the artifacts."""
        files = (path for path in self._artifacts.rglob("*") if path.is_file())
        return database_bytes(self._engine) + sum(path.stat().st_size for path in files)

    def _log_run(self, experiment_id: str) -> str:
        run_id = str(self._client.create_run(experiment_id).info.run_id)
        now = int(time.time() * 1000)
        self._client.log_batch(
            run_id,
            metrics=[self._metric(name, value(0, index), now, 0) for index, name in enumerate(METRICS)],
            params=[self._param(name, str(each)) for name, each in PARAMS.items()],
        )
        self._client.set_terminated(run_id)
        return run_id


def _copy(connection: sa.Connection, table: str) -> str:
    """SQL that copies the rows of the run `:original` under `:count - 1` other ids, beside those of `:experiment`."""
    names = list(connection.execute(sa.text(f"SELECT * FROM {table} LIMIT 0")).keys())  # noqa: S608
    postgres = connection.dialect.name == "postgresql"
    computed = {
        "run_uuid": "lpad(to_hex(CAST(:experiment AS INTEGER)), 8, '0') || lpad(to_hex(n), 24, '0')"
        if postgres
        else "printf('%08x%024x', :experiment, n)",
        "start_time": "start_time + n",
    }
    if "metrics" in table:
        computed["value"] = f"CAST((n * 7919 + CAST(substr(key, 2) AS INTEGER) * 104729) % {MOST} AS FLOAT) / {MOST}"
    quoted = ", ".join(f'"{name}"' for name in names)
    chosen = ", ".join(computed.get(name, f'"{name}"') for name in names)
    first = "SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < :count - 1"
    return (
        f"WITH RECURSIVE series(n) AS ({first}) INSERT INTO {table} ({quoted}) "  # noqa: S608
        f"SELECT {chosen} FROM {table}, series WHERE run_uuid = :original"
    )
