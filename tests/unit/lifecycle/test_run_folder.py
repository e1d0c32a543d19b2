"""Who trains, who has ended, and what a run that goes on has logged so far."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pytest

from mlops_ci import records
from mlops_ci.lifecycle import run_folder, take_in
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.run_folder import Context
from mlops_ci.tracking.folder import birth_of
from tests.repositories import make_clone

TRAIN = """
import sys, mlops_ci as m
with m.start_run("spring", tags={"team": "risk"}) as run:
    run.log_params({"depth": 3})
    for line in sys.stdin:
        run.log_metric("loss", float(line))
        print("logged", flush=True)
    if run.folder is None:
        raise ValueError("no folder")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose ledger is a file beside it."""
    config = f"project: churn\nstore: sqlite:///{tmp_path}/mlops.db\nartifacts: {tmp_path}/artifacts\n"
    work = make_clone(tmp_path, {"train.py": TRAIN, "mlops.yaml": config})
    monkeypatch.chdir(work)
    return Project.open(work)


@pytest.fixture
def training(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A training that was started by itself, and logs what it is told."""
    words = [sys.executable, "train.py"]
    with subprocess.Popen(words, cwd=project.checkout.root, stdin=-1, stdout=-1, text=True) as process:
        yield process
        process.kill()


def log(training: subprocess.Popen[str], value: float) -> None:
    stdin, stdout = cast(IO[str], training.stdin), cast(IO[str], training.stdout)
    stdin.write(f"{value}\n")
    stdin.flush()
    assert stdout.readline() == "logged\n"


def begin(project: Project, **facts: object) -> Path:
    """The folder of a run that `mlops-ci run` has begun in this process."""
    folder = project.checkout.state / "runs" / os.urandom(4).hex()
    folder.mkdir(parents=True)
    context = Context(
        run_id=folder.name,
        run_key=folder.name,
        project="churn",
        experiment="churn",
        git=run_folder.identity.facts(project),
        ci=None,
        author=project.author,
        command=["python"],
        started=records.now(),
        pids=[os.getpid()],
        births=[birth_of(os.getpid())],
    )
    run_folder.write_context(folder, records.replace(context, **facts))
    return folder


def test_a_run_can_be_looked_at_while_it_goes_on_and_is_recorded_when_it_has_ended(project, training):
    """Created, logging, finished."""
    log(training, 0.5)
    log(training, 0.25)
    (run,) = run_folder.under_way(project)
    assert (run.experiment, run.context.pids, run.context.alone) == ("spring", [training.pid], True)
    assert (run.seen.params, run.seen.tags, run.seen.metrics) == ({"depth": 3}, {"team": "risk"}, {"loss": 0.25})
    assert run.context.started <= run.logged <= records.now()
    assert not list(run_folder.left(project))
    log(training, 0.125)
    assert [run.seen.metrics for run in run_folder.under_way(project)] == [{"loss": 0.125}]
    training.communicate()
    assert not run_folder.under_way(project)
    (taken,) = take_in.leftovers(project)
    assert (taken.run.status, taken.run.metrics["loss"].count) == ("finished", 3)
    assert not list(run_folder.left(project))


def test_a_run_that_raised_has_failed(project, training):
    """And says what it raised."""
    cast(IO[str], training.stdin).write("no number\n")
    training.communicate()
    (taken,) = take_in.leftovers(project)
    assert taken.run.status == "failed"
    assert "could not convert string to float" in taken.run.warnings[0]


def test_a_run_that_was_killed_ended_when_it_last_wrote(project, training):
    """However late that is noticed, and however often it was begun to take it in."""
    log(training, 0.5)
    (run,) = run_folder.under_way(project)
    training.kill()
    training.wait()
    for path in (path for path in run.folder.rglob("*") if path.is_file()):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (run.folder / run_folder.ENVIRONMENT).write_text("{}")
    (taken,) = take_in.leftovers(project)
    assert (taken.run.status, taken.run.ended) == ("killed", "2023-11-14T22:13:20.000000Z")


def test_a_process_that_got_the_number_of_one_that_ended_is_not_taken_for_it(project):
    """After a restart of the machine the numbers begin again."""
    going_on, over = begin(project), begin(project, births=["another boot 1"])
    assert [run.folder for run in run_folder.under_way(project)] == [going_on]
    assert [folder for folder, _ in run_folder.left(project)] == [over]


def test_a_folder_of_an_older_program_is_alive_while_its_process_is(project):
    """It says nothing of births."""
    folder = begin(project, births=[])
    assert [run.folder for run in run_folder.under_way(project)] == [folder]


def test_runs_under_way_come_latest_first(project):
    """Also those that have not logged anything."""
    early = begin(project, started="2026-01-01T00:00:00.000000Z")
    late = begin(project, started="2026-01-02T00:00:00.000000Z")
    found = run_folder.under_way(project)
    assert [run.folder for run in found] == [late, early]
    assert [run.logged for run in found] == ["", ""]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"time": "x", "pid": 1, "argv": []}'])
def test_a_folder_that_says_nothing_is_left_alone(project, text):
    """Training may be about to write there."""
    folder = project.checkout.state / "runs" / "odd"
    folder.mkdir(parents=True)
    (folder / "started.json").write_text(text)
    assert not run_folder.under_way(project)
    assert not list(run_folder.left(project))
