"""The action does its steps on a real repository, installs beside the user's Python, and runs no input."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.action.composite import Result, run_action, runner_environment
from tests.repositories import commit, git, make_clone

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
INSTALL = ROOT / ".github" / "action" / "install.py"
LOCK = (INSTALL.parent / "requirements.txt").read_text("utf-8")

TRAIN = """\
import json, os, sys
json.dump({"accuracy": float(open("accuracy.txt").read())}, open("metrics.json", "w"))
json.dump({"token": os.environ.get("GITHUB_TOKEN", ""), "path": sys.path}, open(os.environ["SEEN"], "w"))
"""
CONFIG = """\
project: tiny
run:
  command: python3 train.py
  metrics: [metrics.json]
gates:
  - metric: accuracy
    min: 0.5
"""


FILES = {"mlops.yaml": CONFIG, "train.py": TRAIN, "accuracy.txt": "0.75", ".gitignore": "metrics.json\n"}


class Repository:
    """A repository on a runner, with its remote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen = folder / "seen.json"
        self.checkout = make_clone(folder, FILES)

    def push(self, files: dict[str, str]) -> None:
        commit(self.checkout, files)
        git(self.checkout, "push", "--quiet", "origin", "HEAD:main")

    def run(self, temporary: Path, **inputs: str) -> Result:
        """Run the action as for a push of what is checked out."""
        head = git(self.checkout, "rev-parse", "HEAD")
        event = temporary / "event.json"
        repository = {"full_name": "octo/tiny", "default_branch": "main"}
        event.write_text(json.dumps({"ref": "refs/heads/main", "after": head, "repository": repository}), "utf-8")
        variables = {
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_SHA": head,
            "GITHUB_REPOSITORY": "octo/tiny",
            "GITHUB_ACTOR": "octo",
            "GITHUB_RUN_ID": "1000",
            "SEEN": str(self.seen),
        }
        environment = runner_environment(self.folder, **variables)
        named = {name.replace("_", "-"): value for name, value in inputs.items()}
        return run_action(ROOT, self.checkout, temporary, inputs=named, environment=environment)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner's folder; shared, so that the environment is made once, as in a job with several steps of ours."""
    return tmp_path_factory.mktemp("runner")


pytestmark = pytest.mark.xdist_group("action")


def test_a_push_is_trained_and_judged_and_told_to_the_next_step(repository: Repository, temporary: Path) -> None:
    """The outputs carry the run and its verdict, and the run is on the remote."""
    result = repository.run(temporary)
    assert result.exit_code == 0, result.log
    assert result.outputs["run-id"]
    assert result.outputs["verdict"] == "pass"
    assert Path(result.outputs["report"]).read_text("utf-8") in result.summary
    assert "refs/mlops/" in git(repository.checkout, "ls-remote", "origin")


def test_a_failed_gate_fails_the_step_and_still_tells_the_verdict(repository: Repository, temporary: Path) -> None:
    """Exit code 1 with the outputs set, so that a later step with `if: always()` can act on them."""
    repository.push({"accuracy.txt": "0.25"})
    result = repository.run(temporary)
    assert result.exit_code == 1, result.log
    assert result.outputs["verdict"] == "fail"
    assert result.outputs["run-id"]


def test_inputs_say_where_and_which(repository: Repository, temporary: Path) -> None:
    """A project in a folder of its own, with a configuration of another name."""
    git(repository.checkout, "rm", "--quiet", "mlops.yaml")
    repository.push({"project/other name.yaml": CONFIG})
    result = repository.run(temporary, config="other name.yaml", working_directory="project")
    assert result.exit_code == 0, result.log
    assert result.outputs["verdict"] == "pass"


def test_an_input_is_never_run(repository: Repository, temporary: Path) -> None:
    """What would be a command in a script is a file's name here."""
    result = repository.run(temporary, config='"; touch stolen; $(touch stolen) `touch stolen` "')
    assert result.exit_code == 2, result.log
    assert not list(repository.folder.rglob("stolen"))
    assert "Traceback" not in result.log


def test_training_has_the_users_python_and_not_the_token(repository: Repository, temporary: Path) -> None:
    """What mlops-ci runs with is not on the training command's path, nor does it see the token."""
    result = repository.run(temporary, github_token="secret-of-the-job")
    assert result.exit_code == 0, result.log
    seen = json.loads(repository.seen.read_text("utf-8"))
    assert seen["token"] == ""
    assert not [entry for entry in seen["path"] if str(temporary) in entry and "site-packages" in entry]
    assert "secret-of-the-job" not in result.log


def test_no_python_that_is_new_enough_ends_in_a_sentence(repository: Repository, temporary: Path) -> None:
    """The annotation names the step that is missing."""
    result = repository.run(temporary, python="/nowhere/python3.8")
    assert result.exit_code == 2
    assert "::error title=mlops-ci::mlops-ci needs Python 3.11 or newer" in result.log
    assert "actions/setup-python" in result.log


def test_no_expression_stands_in_a_script() -> None:
    """Everything reaches a script through its environment: neither inputs nor environment are pasted in."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_no_other_action_is_used() -> None:
    """The action asks for nobody else's code but the packages of its lock."""
    assert not [step for step in ACTION["runs"]["steps"] if "uses" in step]


def test_the_installer_parses_on_the_oldest_python_that_runners_have() -> None:
    """It must live to say which Python is needed."""
    ast.parse(INSTALL.read_text("utf-8"), feature_version=(3, 6))


def test_the_lock_holds_what_the_package_needs() -> None:
    """Every base requirement of pyproject.toml is locked, in a version that it admits."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ;\\]+)", LOCK))
    for requirement in map(Requirement, project["dependencies"]):
        assert requirement.name in locked, f"{requirement.name} is not locked: see the lock's first lines"
        assert requirement.specifier.contains(locked[requirement.name])


def test_the_lock_has_a_hash_for_every_package_and_names_no_index() -> None:
    """Where packages come from is the runner's affair; what they are is not."""
    entries = re.split(r"(?m)^(?=[a-z0-9-]+==)", LOCK)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in LOCK


def test_an_environment_is_made_once(tmp_path: Path, temporary: Path) -> None:
    """A second step of the same job takes the one that the first has made."""
    command = ["python3", "-I", str(INSTALL), str(temporary / "mlops-ci")]
    subprocess.run(command, check=True, capture_output=True)
    (temporary / "mlops-ci" / "left").touch()
    subprocess.run(command, check=True, capture_output=True, env=runner_environment(tmp_path))
    assert (temporary / "mlops-ci" / "left").exists()
