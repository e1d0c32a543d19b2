"""What training code logs is in the run folder; what it cannot log is a warning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import pytest

import mlops_ci as mlops
from mlops_ci.capture import events


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run folder, as `mlops-ci run` names it."""
    folder = tmp_path / "run"
    monkeypatch.setenv("MLOPS_RUN_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def train(code: str, *, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=check)


def test_what_is_logged_is_read_back(folder):
    """Parameters, metrics, tags, stages and the experiment."""
    with mlops.start_run("spring", tags={"team": "risk"}) as run:
        run.log_param("depth", 3)
        run.log_params(Namespace(lr=0.1, name="x"))
        for step, loss in enumerate([0.5, 0.2, 0.3]):
            run.log_metric("loss", loss, step=step)
        run.log_metrics({"test": {"accuracy": 0.9}})
        with run.stage("fit"):
            pass
        assert run.folder == folder
    found = events.read(folder)
    assert found.experiment == "spring"
    assert found.params == {"depth": 3, "lr": 0.1, "name": "x"}
    loss = found.metrics["loss"]
    assert (loss.last, loss.min, loss.max, loss.count) == (0.3, 0.2, 0.5, 3)
    assert found.metrics["test.accuracy"].last == 0.9
    assert found.tags == {"team": "risk"}
    assert [stage.name for stage in found.stages] == ["fit"]
    assert found.ended
    assert found.started.endswith("Z")
    assert not found.error
    assert not found.warnings


def test_functions_start_a_run_and_the_process_ends_it(folder):
    """Without `start_run` and without `with`."""
    train("import mlops_ci as m; m.log_metric('accuracy', 1)", check=True)
    found = events.read(folder)
    assert found.metrics["accuracy"].last == 1
    assert found.ended


def test_an_exception_is_the_users_and_is_noted(folder):
    """It passes through the `with` block, and the run says what it was."""
    with pytest.raises(ValueError, match="no convergence"), mlops.start_run():
        raise ValueError("no convergence")
    assert events.read(folder).error == "no convergence"


def test_an_exception_without_a_with_block_is_noted(folder):
    """The interpreter tells at its end."""
    assert train("import mlops_ci as m; m.log_param('a', 1); 1 / 0").returncode == 1
    assert events.read(folder).error == "ZeroDivisionError: division by zero"


def test_leaving_with_exit_code_0_is_no_error(folder):
    """`sys.exit(0)` in a run."""
    train("import sys, mlops_ci as m\nwith m.start_run(): sys.exit(0)", check=True)
    assert not events.read(folder).error


@pytest.mark.parametrize("value", ["0.9", None, [1, 2], object()], ids=["text", "nothing", "list", "object"])
def test_a_metric_that_is_no_number_is_a_warning_that_names_it(folder, value):
    """The training goes on, and the record says it too."""
    with mlops.start_run() as run:
        with pytest.warns(mlops.TrackingWarning, match=r"log_metric: 'accuracy' is .*, not a number"):
            run.log_metric("accuracy", value)
        run.log_metric("loss", 1)
    found = events.read(folder)
    assert list(found.metrics) == ["loss"]
    assert len(found.warnings) == 1


def test_the_numbers_beside_a_wrong_one_are_kept(folder):
    """In one `log_metrics`."""
    with mlops.start_run() as run, pytest.warns(mlops.TrackingWarning, match="'model' is 'forest'"):
        run.log_metrics({"accuracy": 1, "model": "forest"})
    assert list(events.read(folder).metrics) == ["accuracy"]


def test_a_warning_is_told_once_and_points_at_the_users_line(folder):
    """Not at ours. A second warning would be an error here."""
    with mlops.start_run() as run:
        with pytest.warns(mlops.TrackingWarning) as caught:
            run.log_metric("accuracy", "x")
        run.log_metric("accuracy", "x")
    assert [warning.filename for warning in caught] == [__file__]
    assert len(events.read(folder).warnings) == 1


@pytest.mark.usefixtures("folder")
def test_warnings_can_be_made_errors():
    """For those who would rather stop."""
    code = "import mlops_ci as m, warnings\nwarnings.simplefilter('error', m.TrackingWarning)\nm.log_metric('a', 'b')"
    assert "TrackingWarning" in train(code).stderr


def test_a_full_disk_does_not_break_training(folder):
    """Every write fails, and the training ends as it would have."""
    folder.mkdir()
    (folder / "events.jsonl").symlink_to("/dev/full")
    done = train(
        "import mlops_ci as m\nfor i in range(9): m.log_metric('a', i)\nm.log_text('t', 'x')\nprint('trained')"
    )
    assert done.stdout == "trained\n"
    assert done.returncode == 0
    assert done.stderr.count("No space left on device") == done.stderr.count("TrackingWarning")


def test_a_folder_that_cannot_be_made_does_not_break_training(folder):
    """It is said once, and nothing is kept."""
    folder.write_text("in the way")
    done = train(
        "import mlops_ci as m\nm.log_metric('a', 1); m.log_text('b', 'x'); m.log_data('c', '.')\nprint('trained')"
    )
    assert done.stdout == "trained\n"
    assert done.stderr.count("TrackingWarning") == 1
    assert "nothing will be logged" in done.stderr


def test_a_start_inside_a_run_joins_it(folder):
    """One command is one run."""
    with mlops.start_run() as run:
        with pytest.warns(mlops.TrackingWarning, match="joins it"):
            inner = mlops.start_run("deep")
        with inner:
            inner.log_metric("a", 1)
        assert not run.ended
    assert events.read(folder).experiment == "deep"


def test_a_second_run_of_one_command_joins_the_first(folder):
    """`mlops-ci run` records one run for each command, and says so."""
    with mlops.start_run() as run:
        run.log_metric("a", 1)
    with pytest.warns(mlops.TrackingWarning, match="one run for each command"):
        second = mlops.start_run()
    with second:
        second.log_metric("a", 2)
    assert events.read(folder).metrics["a"].count == 2


def test_what_is_logged_after_the_end_is_kept(folder):
    """Metrics are often logged below the `with` block."""
    with mlops.start_run() as run:
        pass
    run.log_metric("late", 1)
    assert events.read(folder).metrics["late"].last == 1


def test_children_log_into_the_run_of_their_parent(tmp_path, monkeypatch):
    """By the environment; the variable is gone when the run is."""
    monkeypatch.chdir(tmp_path)
    with mlops.start_run() as run:
        train("import mlops_ci as m; m.log_metric('child', 1)", check=True)
        run.log_metric("parent", 1)
    assert "MLOPS_RUN_DIR" not in os.environ
    assert set(events.read(run.folder).metrics) == {"child", "parent"}


def test_many_processes_append_to_one_run(folder):
    """No line is mixed with another."""
    code = "import mlops_ci as m\nfor i in range(500): m.log_metric('x' * 50, i)"
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    found = events.read(folder)
    assert found.metrics["x" * 50].count == 1500
    assert not found.warnings


def test_without_git_the_folder_is_in_the_current_one(tmp_path, monkeypatch):
    """`.mlops/runs/<id>`."""
    monkeypatch.chdir(tmp_path)
    with mlops.start_run() as run:
        assert run.folder.parent == tmp_path / ".mlops" / "runs"
    started = json.loads((run.folder / "started.json").read_text())
    assert started["pid"] == os.getpid()
    assert started["id"] == run.id


def test_figures_are_whatever_can_savefig(folder):
    """PNG unless the name says another format."""

    class Figure:
        def savefig(self, path):
            path.write_text(path.suffix)

    @dataclass
    class Display:
        figure_: object

    with mlops.start_run() as run:
        run.log_figure("roc", Figure())
        run.log_figure("plots/roc.svg", Display(Figure()))
        with pytest.warns(mlops.TrackingWarning, match="has no savefig"):
            run.log_figure("x", 3)
    assert (folder / "artifacts/roc.png").read_text() == ".png"
    assert events.read(folder).artifacts == ["roc.png", "plots/roc.svg"]


def test_files_and_folders_are_copied(folder, tmp_path):
    """As they were when they were logged; again replaces."""
    (tmp_path / "plots" / "__pycache__").mkdir(parents=True)
    (tmp_path / "plots" / "a.txt").write_text("1")
    with mlops.start_run() as run:
        run.log_artifact("plots")
        run.log_artifact("plots/a.txt", "deep/b.txt")
        (tmp_path / "plots" / "a.txt").write_text("2")
        run.log_artifact("plots")
        run.log_text("note.md", "ü")
        run.log_dict("scores", {"a": {1, 2}})
    kept = folder / "artifacts"
    assert (kept / "plots/a.txt").read_text() == "2"
    assert not (kept / "plots/__pycache__").exists()
    assert (kept / "deep/b.txt").read_text() == "1"
    assert (kept / "note.md").read_text("utf-8") == "ü"
    assert json.loads((kept / "scores.json").read_text()) == {"a": "{1, 2}"}
    assert events.read(folder).artifacts == ["plots", "deep/b.txt", "note.md", "scores.json"]
    assert not list((folder / "tmp").iterdir())


def test_a_folder_that_holds_the_run_can_be_logged(folder, tmp_path):
    """The copy does not copy itself."""
    (tmp_path / "a.txt").write_text("a")
    with mlops.start_run() as run:
        run.log_artifact(".", "all")
    assert (folder / "artifacts/all/a.txt").read_text() == "a"
    assert not list((folder / "artifacts/all/run/tmp").iterdir())


@pytest.mark.parametrize("name", ["../out.txt", "/etc/passwd", "a/../../b", "", "C:\\x"])
def test_an_artifact_stays_in_the_run_folder(folder, name):
    """Whatever it is called."""
    with mlops.start_run() as run, pytest.warns(mlops.TrackingWarning, match="not a relative path"):
        run.log_text(name, "x")
    assert not (folder / "artifacts").exists()


def test_a_missing_artifact_is_a_warning(folder):
    """With its name."""
    with mlops.start_run() as run, pytest.warns(mlops.TrackingWarning, match=r"nowhere\.png"):
        run.log_artifact("nowhere.png")
    assert not events.read(folder).artifacts


def test_a_confusion_matrix_is_a_json_file(folder):
    """Rows are the truth; a matrix that does not fit its labels is a warning."""
    with mlops.start_run() as run:
        run.log_confusion_matrix(["no", "yes"], [[5, 1], [2, 7]])
        with pytest.warns(mlops.TrackingWarning, match="3 labels need a matrix of 3 x 3"):
            run.log_confusion_matrix(["a", "b", "c"], [[1, 2], [3, 4]])
    kept = json.loads((folder / "artifacts/confusion_matrix.json").read_text())
    assert kept == {"labels": ["no", "yes"], "matrix": [[5, 1], [2, 7]]}
