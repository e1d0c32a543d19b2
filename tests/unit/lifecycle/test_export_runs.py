"""Runs in a file: nothing lost, nothing changed, and no half of a file."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mlops_ci import records
from mlops_ci.entities import Author, GitState, Metric, Run, RunChange, Scalar
from mlops_ci.errors import UsageError
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.queries.export_runs import export_runs
from mlops_ci.lifecycle.queries.query_runs import search_runs
from mlops_ci.records import Record
from mlops_ci.store import Store
from tests.repositories import commit, make_clone

AUTHOR = Author(name="Ada")
CONFIG = "project: churn\nstore: sqlite:///mlops.db\nrun:\n  command: python train.py\n"
PARAMS: list[dict[str, Scalar]] = [
    {"lr": 0.1, "depth": 3, "on": True, "mixed": 1, "Mixed": "=1+1", "huge": 2**70, "a \"b\" 'c'": "x,\ny"},
    {"lr": 1, "depth": 2**53 + 1, "on": False, "mixed": "1", "none": None},
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    work = make_clone(tmp_path)
    commit(work, {"mlops.yaml": CONFIG})
    with Store.open("sqlite:///mlops.db", work) as store:
        store.append([_run(0, PARAMS[0], accuracy=0.1 + 0.2), _run(1, PARAMS[1], accuracy=math.nan, loss=-math.inf)])
        change = RunChange(run_id="r0", shas=[], tree="", tags={"team": "ads"}, note="look")
        store.append([records.new(change, author=AUTHOR)])
    return Project.open(work)


def _run(number: int, params: dict[str, Scalar], **metrics: float) -> Record:
    time = f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}.123456Z"
    run = Run(
        run_id=f"r{number}",
        run_key=f"k{number}",
        project="churn",
        experiment="main",
        status="finished",
        started=time,
        ended=time,
        duration_s=1.5,
        git=GitState(trained_sha="a" * 40, head_sha="a" * 40, tree="t", branch="main"),
        params=params,
        metrics={name: Metric(last=value, min=value, max=value) for name, value in metrics.items()},
        tags={"team": "search"},
    )
    return records.new(run, author=AUTHOR, time=time)


def test_csv_has_every_digit_and_every_text(project: Project, tmp_path: Path) -> None:
    assert export_runs(project, tmp_path / "runs.csv", order_by="run_id") == 2

    with (tmp_path / "runs.csv").open(newline="", encoding="utf-8") as file:
        one, two = csv.DictReader(file)
    assert float(one["metrics.accuracy"]) == 0.1 + 0.2
    assert (two["metrics.accuracy"], two["metrics.loss"], one["metrics.loss"]) == ("nan", "-inf", "")
    assert (one["params.Mixed"], one["params.huge"], one["params.on"]) == ("=1+1", str(2**70), "true")
    assert one["params.a \"b\" 'c'"] == "x,\ny"
    assert (one["tags.team"], one["note"], two["tags.team"]) == ("ads", "look", "search")
    assert list(one)[:5] == ["run_id", "project", "experiment", "status", "started"]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_json_is_read_back(project: Project, tmp_path: Path, suffix: str) -> None:
    export_runs(project, tmp_path / f"runs.{suffix}", order_by="run_id")

    text = (tmp_path / f"runs.{suffix}").read_text("utf-8")
    rows = json.loads(text) if suffix == "json" else [json.loads(line) for line in text.splitlines()]

    assert [row["run_id"] for row in rows] == ["r0", "r1"]
    assert (rows[0]["params.mixed"], rows[1]["params.mixed"]) == (1, "1")
    assert (rows[0]["metrics.accuracy"], rows[1]["metrics.accuracy"]) == (0.1 + 0.2, "NaN")
    assert "params.huge" not in rows[1]


def test_parquet_keeps_types(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "it's.parquet"
    export_runs(project, file, order_by="run_id")

    with duckdb.connect() as connection:
        table = f"read_parquet('{str(file).replace(chr(39), chr(39) * 2)}')"
        types = dict(row[:2] for row in connection.sql(f"DESCRIBE SELECT * FROM {table}").fetchall())
        wanted = '"params.depth", "params.on", "metrics.accuracy", "metrics.loss", epoch_us(started)'
        rows = connection.sql(f"SELECT {wanted} FROM {table}").fetchall()

    expected = {
        "params.lr": "DOUBLE",
        "params.depth": "BIGINT",
        "params.on": "BOOLEAN",
        "params.mixed_1": "VARCHAR",
        "params.huge": "VARCHAR",
        "params.none": "VARCHAR",
        "metrics.accuracy": "DOUBLE",
        "started": "TIMESTAMP WITH TIME ZONE",
        "tags.team": "VARCHAR",
    }
    assert {name: types[name] for name in expected} == expected
    assert rows[0] == (3, True, 0.1 + 0.2, None, 1767225600123456)
    assert rows[1][:2] == (2**53 + 1, False)
    assert math.isnan(rows[1][2])
    assert rows[1][3] == -math.inf


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_no_run_is_a_file_too_and_a_filter_holds(project: Project, tmp_path: Path, suffix: str) -> None:
    assert export_runs(project, tmp_path / f"none.{suffix}", "run_id = 'x'") == 0
    assert export_runs(project, tmp_path / f"one.{suffix}", "params.depth = 3") == 1
    assert (tmp_path / f"none.{suffix}").exists()
    assert {path.name for path in tmp_path.glob("*.*")} == {f"none.{suffix}", f"one.{suffix}", "origin.git"}


def test_what_cannot_be_written_leaves_what_was_there(project: Project, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("before")
    (tmp_path / "folder.csv").mkdir()
    before = sorted(tmp_path.iterdir())
    for name, text, says in [
        ("runs.csv", "metrics.accuracy >", "the filter cannot be read"),
        ("runs.xls", "", "what format is 'runs.xls'"),
        ("folder.csv", "", "is a folder"),
        ("nowhere/runs.csv", "", "cannot be written: No such file"),
    ]:
        with pytest.raises(UsageError, match=says):
            export_runs(project, tmp_path / name, text)
    assert (tmp_path / "runs.csv").read_text() == "before"
    assert sorted(tmp_path.iterdir()) == before


def test_a_broken_record_leaves_no_half_file(project: Project, tmp_path: Path) -> None:
    with Store.open("sqlite:///mlops.db", project.checkout.root) as store, store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE mlops_records SET canonical = replace(canonical, 'finished', 'failed')")

    with pytest.raises(Exception, match="was changed after it was written"):
        export_runs(project, tmp_path / "runs.csv")

    assert not list(tmp_path.glob("*runs.csv*"))


def test_memory_does_not_grow_with_the_runs(project: Project, tmp_path: Path) -> None:
    def peak() -> int:
        tracemalloc.start()
        export_runs(project, tmp_path / "runs.jsonl")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    def add(first: int, count: int) -> None:
        with Store.open("sqlite:///mlops.db", project.checkout.root) as store:
            store.append([_run(number, {"text": "x" * 2000}, accuracy=0.5) for number in range(first, first + count)])

    add(10, 1000)
    small = peak()
    add(2000, 3000)

    assert peak() < small * 1.3


def test_rows_for_python_are_flat(project: Project) -> None:
    rows = search_runs("params.depth > 2", order_by=["params.depth desc"], path=project.checkout.root)

    assert [row["run_id"] for row in rows] == ["r1", "r0"]
    assert rows[1]["metrics.accuracy"] == 0.1 + 0.2
    assert rows[1]["tags.team"] == "ads"
    assert search_runs(limit=1, path=project.checkout.root)[0]["run_id"] == "r1"
    with pytest.raises(UsageError, match="the filter cannot be read"):
        search_runs("depth > 2", path=project.checkout.root)


def test_search_runs_is_there_and_costs_nothing_until_it_is_used() -> None:
    code = "import sys, mlops_ci; mlops_ci.search_runs; print('sqlalchemy' in sys.modules)"
    done: Any = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "False\n"
