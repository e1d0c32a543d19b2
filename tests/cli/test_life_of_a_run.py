"""What happens to runs and experiments after they were recorded, with the real commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import CONFIG, Workplace
from tests.cli.test_release import MODEL, TRAIN_WITH_MODEL
from tests.repositories import git

REUSE = CONFIG.replace("train.py\n", "train.py\n  reuse: true\n")


def trained(place: Workplace) -> str:
    """Train; the run's id."""
    return place.run("run").split()[1]


@pytest.fixture
def run_id(project: Workplace) -> str:
    """A run of what is on main."""
    return trained(project)


def better(project: Workplace) -> None:
    """A branch that is a bit better than main."""
    project.commit({"params.json": '{"accuracy": 0.93}'}, branch="better")


def test_a_deleted_run_is_no_baseline_until_it_is_restored(project: Workplace, run_id: str) -> None:
    better(project)
    trained(project)
    assert baseline(project) == run_id
    assert project.run("runs", "delete", run_id[:6], "--reason", "wrong data") == f"run {run_id} is deleted\n"
    assert baseline(project) == ""
    elsewhere = project.clone("elsewhere")
    said = elsewhere.run("gate", expect=2)
    assert "was deleted by engineer" in said
    assert "wrong data" in said
    assert f"mlops-ci runs restore {run_id}" in said
    assert elsewhere.run("runs", "restore", run_id) == f"run {run_id} is restored\n"
    assert baseline(project) == run_id


def baseline(project: Workplace) -> str:
    """The id of the run that what is checked out is compared with; "" if there is none."""
    found = json.loads(project.run("gate", "--json"))["baseline"]
    return found["run_id"] if found else ""


def test_what_is_so_already_is_said_and_changes_nothing(project: Workplace, run_id: str) -> None:
    assert project.run("runs", "restore", run_id) == f"run {run_id} is not deleted\n"
    project.run("runs", "delete", run_id)
    before = git(project.remote, "for-each-ref")
    assert project.run("runs", "delete", run_id) == f"run {run_id} was deleted already\n"
    assert json.loads(project.run("runs", "delete", run_id, "--json")) == {
        "changed": [],
        "unchanged": [run_id],
        "collected": [],
        "sent": True,
    }
    assert git(project.remote, "for-each-ref") == before


def test_several_runs_are_deleted_all_or_none(project: Workplace, run_id: str) -> None:
    project.commit({"params.json": '{"accuracy": 0.91}'})
    other = trained(project)
    project.run("runs", "delete", run_id, other, "ffff", expect=2)
    assert project.run("runs", "restore", run_id, other).count("is not deleted") == 2
    assert project.run("runs", "delete", run_id, other, run_id).count("is deleted") == 2


def test_a_deleted_run_is_not_reused(project: Workplace) -> None:
    project.commit({"mlops.yaml": REUSE})
    first = trained(project)
    assert trained(project) == first
    project.run("runs", "delete", first)
    second = trained(project)
    assert second != first
    project.run("runs", "delete", second)
    project.run("runs", "restore", first)
    assert trained(project) == first


def test_tags_and_notes_are_changed_and_taken_away(project: Workplace, run_id: str) -> None:
    assert "is tagged" in project.run("runs", "tag", run_id, "team=fraud", "formula=a=b")
    assert "has these tags already" in project.run("runs", "tag", run_id, "formula=a=b")
    assert "is tagged" in project.run("runs", "tag", run_id, "--remove", "team")
    assert "has these tags already" in project.run("runs", "tag", run_id, "--remove", "team")
    assert "has the note" in project.run("runs", "note", run_id, "looks odd")
    assert "has this note already" in project.run("runs", "note", run_id, "looks odd")
    assert "has the note" in project.run("runs", "note", run_id, "")
    for wrong in (["x"], ["=x"], [], ["a=b", "--remove", "a"]):
        project.run("runs", "tag", run_id, *wrong, expect=2)


def test_a_run_that_a_version_was_registered_of_is_not_deleted(project: Workplace) -> None:
    run_id = released(project)
    said = project.run("runs", "delete", run_id, expect=4)
    assert f"run {run_id} cannot be deleted: churn 1.0.0 was registered of it" in said


def released(project: Workplace, *, register: bool = True) -> str:
    """Train a model on main and tag it; its run."""
    project.commit({"model.py": MODEL, "train.py": TRAIN_WITH_MODEL})
    run_id = trained(project)
    git(project.root, "tag", "churn@v1.0.0")
    project.push("HEAD:main", "churn@v1.0.0")
    if register:
        project.run("register", "churn@v1.0.0")
    return run_id


def test_a_deleted_run_is_not_registered(project: Workplace) -> None:
    run_id = released(project, register=False)
    project.run("runs", "delete", run_id)
    said = project.run("register", "churn@v1.0.0", expect=2)
    assert "was deleted by engineer" in said
    assert f"mlops-ci runs restore {run_id}" in said


def test_what_was_collected_is_said_when_the_run_is_restored_and_registered(project: Workplace) -> None:
    run_id = released(project, register=False)
    project.run("runs", "delete", run_id)
    project.run("gc", "--older-than", "0d")
    assert "named by deleted runs only" in project.run("gc", "--older-than", "0d")
    said = project.clone("other").run("runs", "restore", run_id)
    assert f"the bytes of run {run_id} were collected: it is a baseline, and cannot be registered" in said
    said = project.run("register", "churn@v1.0.0", expect=2)
    assert f"run {run_id} was deleted once, and its model was collected since" in said
    project.run("runs", "delete", run_id)
    trained(project)
    assert "churn 1.0.0 registered" in project.run("register", "churn@v1.0.0")


def test_a_version_of_a_deleted_experiment_is_still_explained(project: Workplace) -> None:
    released(project)
    project.run("experiments", "delete", "churn")
    for _ in range(2):
        project.run("gc", "--older-than", "0d")
    said = project.run("explain", "1.0.0")
    assert "nothing is wrong" in said
    assert "deleted by engineer" in said


def test_an_experiment_is_renamed_and_its_runs_stay_the_baseline(project: Workplace, run_id: str) -> None:
    project.push()
    assert "is the new name of 'churn'" in project.run("experiments", "rename", "churn", "fraud")
    assert "has that name already" in project.run("experiments", "rename", "churn", "fraud")
    project.commit({"mlops.yaml": CONFIG.replace("train.py\n", "train.py\n  experiment: fraud\n")}, branch="renamed")
    second = trained(project)
    assert baseline(project) == run_id
    listed = json.loads(project.run("experiments", "--json"))
    assert [(each["name"], each["runs"], each["deleted"]) for each in listed] == [("fraud", 2, False)]
    assert sorted(listed[0]["recorded_as"]) == ["churn", "fraud"]
    # A branch that was begun before still has the old name.
    project.commit({"mlops.yaml": CONFIG, "params.json": '{"accuracy": 0.91}'})
    trained(project)
    assert baseline(project) == second


@pytest.mark.usefixtures("run_id")
def test_a_name_that_is_taken_is_refused(project: Workplace) -> None:
    project.commit({"mlops.yaml": CONFIG.replace("train.py\n", "train.py\n  experiment: other\n")})
    trained(project)
    assert "there is an experiment 'other' already" in project.run("experiments", "rename", "churn", "other", expect=4)
    project.run("experiments", "rename", "churn", "third")
    said = project.run("experiments", "rename", "other", "churn", expect=4)
    assert "runs of another experiment were recorded as 'churn', which is called 'third' now" in said
    project.run("experiments", "delete", "third")
    assert "which is deleted" in project.run("experiments", "rename", "other", "churn", expect=4)
    assert "which is deleted" in project.run("experiments", "rename", "other", "third", expect=4)
    project.run("experiments", "restore", "churn")
    assert "did you mean 'third'" in project.run("experiments", "archive", "thirt", expect=2)
    project.run("experiments", "rename", "third", " ", expect=2)


@pytest.mark.usefixtures("run_id")
def test_experiments_are_archived_deleted_and_restored(project: Workplace) -> None:
    assert "is archived" in project.run("experiments", "archive", "churn")
    assert "was archived already" in project.run("experiments", "archive", "churn")
    assert "all are archived or deleted" in project.run("experiments")
    assert "archived" in project.run("experiments", "--archived")
    assert "this run" in project.run("gate")
    assert "is listed again" in project.run("experiments", "unarchive", "churn")
    assert "is not archived" in project.run("experiments", "unarchive", "churn")
    assert "is deleted" in project.run("experiments", "delete", "churn", "--reason", "gone")
    assert "was deleted already" in project.run("experiments", "delete", "churn")
    said = project.run("gate", expect=2)
    assert "belongs to experiment 'churn', deleted by engineer" in said
    assert "mlops-ci experiments restore churn" in said
    assert "is deleted" in project.run("experiments", "archive", "churn", expect=2)
    assert "deleted" in project.run("experiments", "--deleted")
    assert "is restored" in project.run("experiments", "restore", "churn")
    assert "is not deleted" in project.run("experiments", "restore", "churn")
    assert "this run" in project.run("gate")


def test_what_is_changed_while_the_remote_is_away_is_refused_plainly(project: Workplace, run_id: str) -> None:
    project.remote.rename(project.remote.with_name("away"))
    for words in (["runs", "delete", run_id], ["gc"], ["backup", "../all.zip"], ["experiments", "delete", "churn"]):
        assert "the git remote did not do what was asked" in project.run(*words, expect=3)
    assert not (project.root.parent / "all.zip").exists()


def test_a_backup_comes_back_in_another_repository_and_database(project: Workplace) -> None:
    released(project)
    said = project.run("backup", "../all.zip")
    assert "all.zip is verified: 3 records, 1 claim, " in said
    assert said.splitlines()[0].removeprefix("../") in project.run("restore", "--check", "../all.zip")
    report = json.loads(project.run("restore", "--check", "../all.zip", "--json"))
    assert (report["records"], report["claims"], report["left_out"], report["lost"]) == (3, 1, {}, [])
    other = project.clone("other")
    (other.root / "sql.yaml").write_text(CONFIG + "store: sqlite:///mlops.db\nartifacts: .bytes\n")
    said = other.run("--config", "sql.yaml", "restore", "../all.zip")
    assert f"restored 3 records, 1 claim, {report['artifacts']} artifacts" in said
    assert "everything in the backup is here already" in other.run("--config", "sql.yaml", "restore", "../all.zip")
    assert "1.0.0" in other.run("--config", "sql.yaml", "models")
    done = json.loads(project.run("restore", "../all.zip", "--json"))
    assert (done["records"], done["there"]) == (0, 3)


@pytest.mark.usefixtures("run_id")
def test_a_damaged_backup_is_refused(project: Workplace) -> None:
    backup = project.root.parent / "all.zip"
    project.run("backup", str(backup))
    data = backup.read_bytes()
    backup.write_bytes(data[: len(data) // 2])
    assert "is truncated, or was changed, in" in project.run("restore", "--check", str(backup), expect=4)
    assert "is truncated, or was changed, in" in project.run("restore", str(backup), expect=4)
    assert "is there already" in project.run("backup", str(backup), expect=2)


@pytest.mark.usefixtures("run_id")
def test_bytes_that_are_lost_end_a_backup_with_another_code(project: Workplace) -> None:
    for ref in git(project.remote, "for-each-ref", "--format=%(refname)", "refs/mlops/objects").split():
        git(project.remote, "update-ref", "-d", ref)
    other = project.clone("other")
    said = other.run("backup", "../all.zip", expect=4)
    assert "lost: sha256:" in said
    assert "is verified: 1 record, " in said


@pytest.mark.usefixtures("run_id")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_backup_that_is_interrupted_leaves_nothing(project: Workplace, number: signal.Signals) -> None:
    """Stopped while it waits for the remote, after it had made its file."""
    slow = project.root.parent / "slow"
    slow.write_text(f'#!/bin/sh\ntouch "{slow}.begun"\nexec sleep 60\n')
    slow.chmod(0o755)
    folder = project.root.parent / "backups"
    folder.mkdir()
    git(project.root, "remote", "set-url", "origin", f"ext::{slow}")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_ci", "backup", str(folder / "all.zip")],
        cwd=project.root,
        env={**project.env, "GIT_ALLOW_PROTOCOL": "ext"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not Path(f"{slow}.begun").exists():
        assert process.poll() is None
    assert list(folder.iterdir())
    os.killpg(process.pid, number)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert list(folder.iterdir()) == []


def test_gc_says_what_goes_what_waits_and_what_stays(project: Workplace, run_id: str) -> None:
    project.run("runs", "delete", run_id)
    said = project.run("gc", "--older-than", "0d", "--dry-run", "--json")
    assert json.loads(said)["removed"] == []
    assert json.loads(said)["waiting"][0]["why"] == "deleted"
    assert "waits" in project.run("gc", "--older-than", "0d")
    assert "would go" in project.run("gc", "--older-than", "0d", "--dry-run")
    assert "deleted" in project.run("gc", "--older-than", "0d")
    assert "the artifact store is empty" in project.run("gc")
    assert "14d" in project.run("gc", "--older-than", "soon", expect=2)


def test_a_share_is_not_swept_by_one_of_its_users(project: Workplace, tmp_path: Path) -> None:
    project.commit({"mlops.yaml": f"{CONFIG}artifacts: {tmp_path / 'share'}\n"})
    trained(project)
    assert "--only-this-ledger" in project.run("gc", expect=4)
    assert "needed" in project.run("gc", "--dry-run")
    assert "needed" in project.run("gc", "--only-this-ledger")
