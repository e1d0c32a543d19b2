"""Everything that can be wrong ends in one sentence, a hint, and the exit code that the manual names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import CONFIG, TRAIN, Workplace
from tests.repositories import commit, git


def test_no_repository(empty: Workplace, tmp_path: Path) -> None:
    (tmp_path / "nowhere").mkdir()
    said = Workplace(tmp_path / "nowhere", {**empty.env, "GIT_CEILING_DIRECTORIES": str(tmp_path)}).run("run", expect=2)
    assert "is not in a git repository" in said
    assert "git init" in said


def test_no_commit(empty: Workplace, tmp_path: Path) -> None:
    (tmp_path / "fresh").mkdir()
    git(tmp_path / "fresh", "init", "--quiet")
    (tmp_path / "fresh/mlops.yaml").write_text(CONFIG)
    said = Workplace(tmp_path / "fresh", empty.env).run("run", expect=2)
    assert "no commit 'HEAD'" in said
    assert "commit your work first" in said


def test_no_configuration(empty: Workplace) -> None:
    said = empty.run("run", expect=2)
    assert "mlops.yaml" in said
    assert "mlops-ci init" in said


def test_all_errors_of_the_configuration_at_once_with_their_lines(project: Workplace) -> None:
    wrong = [
        "project: churn",
        "rnu: {command: x}",
        "gates:",
        "  - metric: accuracy",
        "    max_dorp: 0.1",
        "    min: high",
    ]
    project.commit({"mlops.yaml": "\n".join(wrong)})
    said = project.run("run", expect=2)
    assert "mlops.yaml:2" in said
    assert "did you mean 'run'" in said
    assert "mlops.yaml:5" in said
    assert "'max_drop'" in said
    assert "mlops.yaml:6" in said


def test_yaml_that_is_none(project: Workplace) -> None:
    project.commit({"mlops.yaml": "project: churn\nrun: [\n"})
    assert "mlops.yaml:" in project.run("run", expect=2)


def test_a_training_that_fails_is_recorded_with_its_own_code(project: Workplace) -> None:
    project.commit({"train.py": TRAIN + "\nsys.exit(7)\n"})
    said = project.run("run", expect=5)
    assert "the training command ended with 7" in said
    (run,) = json.loads(project.run("runs", "--json"))
    assert (run["entity"]["status"], run["entity"]["exit_code"]) == ("failed", 7)
    assert run["entity"]["metrics"]["accuracy"]["last"] == 0.9
    assert "failed" in project.run("gate", expect=2)


def test_a_command_that_does_not_exist(project: Workplace) -> None:
    assert "cannot start 'no-such-program'" in project.run("run", "--", "no-such-program", expect=2)
    assert "no run is recorded yet" in project.run("runs")


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("", "metrics.out"),
        ("pathlib.Path('metrics.out').write_text('accuracy = 1')", "metrics.out"),
        ('pathlib.Path("metrics.out").write_text(\'{"accuracy": "high"}\')', "accuracy"),
    ],
    ids=["missing", "not JSON", "text"],
)
def test_a_metrics_file_that_cannot_be_read(project: Workplace, written: str, sentence: str) -> None:
    config = CONFIG.replace("train.py\n", "train.py\n  metrics: [metrics.out]\n")
    project.commit({"mlops.yaml": config, "train.py": TRAIN + written})
    assert sentence in project.run("run", expect=2)
    (run,) = json.loads(project.run("runs", "--json"))
    assert run["entity"]["status"] == "failed"


def test_a_metric_that_is_nan_fails_its_gate(project: Workplace) -> None:
    config = CONFIG.replace("train.py\n", "train.py\n  metrics: [metrics.out]\n").replace("accuracy", "auc")
    script = TRAIN + "pathlib.Path('metrics.out').write_text('{\"auc\": NaN}')"
    project.commit({"mlops.yaml": config, "train.py": script})
    project.run("run")
    assert "nan" in project.run("gate", expect=1).lower()


def test_a_gate_without_a_run(project: Workplace) -> None:
    said = project.run("gate", expect=2)
    assert "no run of" in said
    assert "mlops-ci run" in said


def test_a_tag_on_a_commit_without_a_run(project: Workplace) -> None:
    git(project.root, "tag", "churn@v1.0.0")
    assert "no run of commit" in project.run("register", "churn@v1.0.0", expect=2)


@pytest.mark.parametrize(
    "tag", ["v1.0.0", "churn@1.0.0", "chrun@v1.0.0", "churn@v1.0", "churn@v01.0.0", "churn@v1.0.0\n"]
)
def test_a_tag_that_does_not_match(project: Workplace, tag: str) -> None:
    said = project.run("register", tag, expect=2)
    assert "does not name a version of churn" in said
    assert "churn@v1.2.3" in said


def test_a_tag_that_does_not_exist(project: Workplace) -> None:
    assert "no commit 'refs/tags/churn@v9.9.9'" in project.run("register", "churn@v9.9.9", expect=2)


def test_a_run_without_a_model_is_no_version(project: Workplace) -> None:
    project.run("run")
    git(project.root, "tag", "churn@v1.0.0")
    assert "left no model" in project.run("register", "churn@v1.0.0", expect=2)


def test_an_artifact_folder_that_cannot_be_written_keeps_the_run_for_later(project: Workplace) -> None:
    config = CONFIG + "artifacts: models\n"
    script = TRAIN + "    run.log_text('notes.txt', 'hello')\n"
    project.commit({"mlops.yaml": config, "train.py": script})
    (project.root / "models").write_text("a file where the folder should be")
    commit(project.root, {})
    said = project.run("run", expect=3)
    assert "cannot write artifacts to" in said
    (project.root / "models").unlink()
    git(project.root, "rm", "--quiet", "--cached", "models")
    assert "took in 1 run" in project.run("sync")
    assert len(json.loads(project.run("runs", "--json"))) == 1


def test_a_remote_that_is_away_costs_nothing_but_a_warning(project: Workplace) -> None:
    project.remote.rename(project.remote.with_name("away"))
    said = project.run("run")
    assert "mlops-ci sync" in said
    assert "did not" in project.run("sync", expect=3)
    project.remote.with_name("away").rename(project.remote)
    assert "sent 1 records" in project.run("sync")
    assert project.clone("other").run("runs").count("finished") == 1


def test_an_unknown_command_names_the_nearest(project: Workplace) -> None:
    assert "did you mean 'gate'" in project.run("gaet", expect=2)


def test_a_target_that_is_not_there(project: Workplace) -> None:
    assert "there is no target 'staging'" in project.run("deploy", "staging", expect=2)


def test_a_version_that_is_not_there(project: Workplace) -> None:
    assert "no version of churn is registered" in project.run("render", expect=2)


def test_outside_ci_the_ci_command_says_so(project: Workplace) -> None:
    assert "no CI that mlops-ci knows" in project.run("ci", expect=2)


def test_what_training_writes_does_not_keep_it_from_being_judged(project: Workplace) -> None:
    config = CONFIG.replace("train.py\n", "train.py\n  metrics: [metrics.json]\n")
    writes = "pathlib.Path('metrics.json').write_text('{\"auc\": 1}')\npathlib.Path('model.bin').write_text('x')\n"
    project.commit({"mlops.yaml": config, "train.py": TRAIN + writes})
    for _ in range(2):
        assert "uncommitted" not in project.run("run")
        project.run("gate")


def test_a_file_that_git_does_not_know_is_a_warning(project: Workplace) -> None:
    (project.root / "secret_sauce.py").write_text("x = 1")
    assert "not part of the commit: secret_sauce.py" in project.run("run")


def test_another_configuration_is_looked_up_by_its_path_on_the_base_too(project: Workplace) -> None:
    project.commit({"ml/churn.yaml": CONFIG})
    project.push()
    git(project.root, "fetch", "--quiet", "origin")
    weaker = {"ml/churn.yaml": CONFIG.replace("0.8", "0.1"), "params.json": '{"accuracy": 0.5}'}
    project.commit(weaker, branch="weaker")
    project.run("--config", "ml/churn.yaml", "run")
    assert "not ready" in project.run("--config", "ml/churn.yaml", "gate", "--base", "origin/main", expect=1)


def test_the_commands_own_options_are_its_own(project: Workplace) -> None:
    said = project.run("run", "python", "-c", "import sys; print(sys.argv[1:])", "--json", "-h")
    assert "['--json', '-h']" in said
    assert "No such option" in project.run("run", "--jsn", expect=2)


def test_json_is_json_whatever_training_prints(project: Workplace) -> None:
    project.commit({"train.py": TRAIN + "print('hello')\n"})
    command = [sys.executable, "-m", "mlops_ci", "run", "--json"]
    done = subprocess.run(command, cwd=project.root, env=project.env, capture_output=True, check=True)
    assert json.loads(done.stdout)["run"]["status"] == "finished"
    assert b"hello" in done.stderr


def test_debug_shows_where_and_keeps_the_exit_code(project: Workplace) -> None:
    command = [sys.executable, "-m", "mlops_ci", "--debug", "register", "nonsense"]
    done = subprocess.run(command, cwd=project.root, env=project.env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "does not name a version" in done.stderr


def test_runs_in_a_store_that_the_branch_brings_do_not_count(project: Workplace) -> None:
    project.commit({"mlops.yaml": CONFIG + "store: sqlite:///runs.db\n", "note": "x"}, branch="own-store")
    assert "finished" in project.run("run")
    assert "no run of" in project.run("gate", "--base", "origin/main", expect=2)


def test_two_projects_of_one_repository_do_not_see_each_others_runs(project: Workplace) -> None:
    run = "run: {command: python train.py, experiment: nightly}\n"
    project.commit({"one.yaml": f"project: one\n{run}", "other.yaml": f"project: other\n{run}"})
    project.run("--config", "one.yaml", "run")
    assert "no run of" in project.run("--config", "other.yaml", "gate", expect=2)


def test_init_writes_what_is_missing_and_says_when_nothing_is(project: Workplace) -> None:
    before = (project.root / "mlops.yaml").read_text()
    assert "wrote .github/workflows/mlops-record.yml" in project.run("init")
    assert (project.root / "mlops.yaml").read_text() == before
    assert "mlops-ci doctor" in project.run("init", expect=2)
