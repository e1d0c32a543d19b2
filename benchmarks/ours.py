"""Our side: what `mlops-ci run` does in its own process, and the store's queries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

import mlops_ci as mlops
from benchmarks import repositories
from mlops_ci import records
from mlops_ci.entities import Author, GitState, Metric, Run
from mlops_ci.ledger.sql import SqlLedger
from mlops_ci.lifecycle import identity, run_folder, take_in
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.run_folder import Context
from mlops_ci.store import Store

METRICS = [f"m{index}" for index in range(20)]
PARAMS = {f"p{index}": index for index in range(20)}
MOST = 1_000_003


def value(run: int, metric: int) -> float:
    """What every side logs: all values of a metric differ, in no order."""
    return ((run * 7919 + metric * 104_729) % MOST) / MOST


class Ours:
    """A project whose ledger is the database at *url*; the git facts of its checkout are read once."""

    name = "mlops-ci"

    def __init__(self, folder: Path, url: str) -> None:
        work = repositories.make(folder, store="git", artifacts=f"{folder}/artifacts")
        repositories.commit(work, "configuration")
        opened = Project.open(work)
        self._project = opened.ruled_by(records.replace(opened.config, store=url))
        self._git = identity.facts(self._project)
        self._artifacts = folder / "artifacts"
        ledger = self._project.ledger
        assert isinstance(ledger, SqlLedger)  # noqa: S101  # by the URL
        self.store: Store = ledger.store
        self._engine = sa.create_engine(url)

    def close(self) -> None:
        """Let go of the database."""
        self.store.close()
        self._engine.dispose()

    def begin(self) -> tuple[Path, Context]:
        """The run folder that `mlops-ci run` makes before it starts the training."""
        run_id = os.urandom(8).hex()
        folder = self._project.checkout.state / "runs" / run_id
        context = Context(
            run_id=run_id,
            run_key=identity.run_key("bench", "bench", self._git, None, run_id),
            project="bench",
            experiment="bench",
            git=self._git,
            ci=None,
            author=self._project.author,
            command=["python", "log.py"],
            started=records.now(),
            pids=[os.getpid()],
            exit_code=0,
        )
        folder.mkdir(parents=True)
        run_folder.write_context(folder, context)
        os.environ["MLOPS_RUN_DIR"] = str(folder)
        return folder, context

    def record(self, begun: tuple[Path, Context]) -> None:
        """From the run folder into the ledger; afterwards a power cut takes nothing back."""
        taken = take_in.take_in(self._project, *begun)
        assert taken.sent  # noqa: S101

    def log_run(self, _given: object = None) -> None:
        """A run, from its start to its record."""
        begun = self.begin()
        with mlops.start_run() as run:
            run.log_params(PARAMS)
            run.log_metrics({name: value(0, index) for index, name in enumerate(METRICS)})
        self.record(begun)

    def log_points(self, begun: tuple[Path, Context], count: int) -> None:
        """Points one by one."""
        with mlops.start_run() as run:
            for step in range(count):
                run.log_metric("loss", step / 7, step=step)
        self.record(begun)

    def log_points_only(self, _begun: tuple[Path, Context], count: int) -> None:
        """Points one by one, into the run folder: what the training waits for."""
        with mlops.start_run() as run:
            for step in range(count):
                run.log_metric("loss", step / 7, step=step)

    def log_history(self, begun: tuple[Path, Context], count: int) -> None:
        """All points at once."""
        with mlops.start_run() as run:
            run.log_history({"loss": [step / 7 for step in range(count)]}, steps=range(count))
        self.record(begun)

    def fill(self, count: int, experiment: str) -> None:
        """Append *count* runs as `sync` takes in those of another ledger: 500 a transaction."""
        self.store.project(self._runs(count, experiment))
        settle(self._engine)

    def best(self, experiment: str) -> float:
        """The greatest value of a metric."""
        found = self.store.best(experiment, "m7")
        assert found is not None  # noqa: S101
        return found.entity.metrics["m7"].last

    def ids(self, experiment: str, count: int) -> list[str]:
        """The ids of *count* runs."""
        return [found.entity.run_id for found in self.store.runs(experiment=experiment, limit=count)]

    def compare(self, ids: Sequence[str]) -> int:
        """Everything that is known of the runs."""
        return sum(len(found.entity.metrics) for found in self.store.named(ids))

    def size_bytes(self) -> int:
        """Of the database and the artifacts."""
        files = (path for path in self._artifacts.rglob("*") if path.is_file())
        return database_bytes(self._engine) + sum(path.stat().st_size for path in files)

    def _runs(self, count: int, experiment: str) -> Iterator[records.Record]:
        author, begin = Author(name="bench"), datetime(2026, 1, 1, tzinfo=UTC)
        for number in range(count):
            started = records.timestamp(begin + timedelta(seconds=number))
            sha = f"{number:040x}"
            metrics = {name: value(number, index) for index, name in enumerate(METRICS)}
            run = Run(
                run_id=f"{count:08x}{number:08x}",
                run_key=records.digest([experiment, number]),
                project="bench",
                experiment=experiment,
                status="finished",
                started=started,
                ended=started,
                duration_s=1.0,
                git=GitState(trained_sha=sha, head_sha=sha, tree=sha, branch="main"),
                command=["python", "log.py"],
                exit_code=0,
                params=dict(PARAMS),
                metrics={name: Metric(last=each, min=each, max=each) for name, each in metrics.items()},
            )
            yield records.new(run, author=author, time=started)


def database_bytes(engine: sa.Engine) -> int:
    """What the database takes on disk."""
    if engine.dialect.name == "sqlite":
        file = Path(str(engine.url.database))
        return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))
    with engine.connect() as connection:
        return int(connection.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0)


def settle(engine: sa.Engine) -> None:
    """Do at once what PostgreSQL does by itself a minute after many rows were added."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text("VACUUM ANALYZE"))
