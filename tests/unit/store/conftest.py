"""A store, and records to put in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from mlops_ci import records
from mlops_ci.entities import Author, GitState, Metric, Run
from mlops_ci.records import Record
from mlops_ci.store import Store

AUTHOR = Author(name="Ada", email="ada@example.org")


class MakeRun(Protocol):
    def __call__(
        self, run_id: str, *, recorded: str = ..., metrics: Mapping[str, float] = ..., **fields: Any
    ) -> Record: ...


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open("sqlite:///mlops.db", tmp_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    return _run


def _run(
    run_id: str,
    *,
    recorded: str = "2026-01-01T00:00:00.000000Z",
    metrics: Mapping[str, float] | None = None,
    sha: str = "a" * 40,
    branch: str = "main",
    **fields: Any,
) -> Record:
    given = {
        "run_key": f"key of {run_id}",
        "project": "churn",
        "experiment": "main",
        "status": "finished",
        "started": recorded,
        "ended": recorded,
        "duration_s": 1.0,
        "git": GitState(trained_sha=sha, head_sha=sha, tree="b" * 40, branch=branch),
        "metrics": {name: Metric(last=value, min=value, max=value) for name, value in (metrics or {}).items()},
    }
    return records.new(Run(run_id=run_id, **(given | fields)), author=AUTHOR, time=recorded)
