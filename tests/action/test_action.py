"""The action does its steps on a real repository, installs beside the user's Python, and runs no input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.action.place import CONFIG, Place
from tests.git_http import serving
from tests.repositories import git

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
WORK = "Do what the event asks for"

pytestmark = pytest.mark.xdist_group("action")


def test_a_push_is_trained_and_judged_and_told_to_the_next_step(place: Place) -> None:
    """The outputs carry the run and its verdict, the run is on the remote, and GitHub has the check."""
    result = place.act()
    job = result.jobs["mlops"]
    assert job.result == "success", result.log
    assert job.outputs["run-id"]
    assert job.outputs["verdict"] == "pass"
    assert Path(job.outputs["report"]).read_text("utf-8") in result.summary
    assert place.refs()
    (check,) = place.api.told("/check-runs")
    assert (check["name"], check["conclusion"]) == ("mlops-ci/tiny", "success")


def test_a_failed_gate_fails_the_step_and_still_tells_the_verdict(place: Place) -> None:
    """The outputs are set, so that a later step with `if: always()` can act on them."""
    place.push({"accuracy.txt": "0.25"})
    job = place.act().jobs["mlops"]
    assert (job.result, job.outcome(WORK)) == ("failure", "failure")
    assert job.outputs["verdict"] == "fail"
    assert job.outputs["run-id"]


def test_inputs_say_where_and_which(place: Place) -> None:
    """A project in a folder of its own, with a configuration of another name."""
    git(place.work, "rm", "--quiet", "mlops.yaml")
    place.push({"project/other name.yaml": CONFIG})
    result = place.act(config="other name.yaml", working_directory="project")
    assert result.jobs["mlops"].outputs["verdict"] == "pass", result.log


@pytest.mark.parametrize("names", [["bundle", "tag"], ["config", "python"]])
def test_an_input_is_never_run(place: Place, names: list[str]) -> None:
    """What would be a command in a script is a name here; where it names nothing, that is a sentence."""
    result = place.act(**dict.fromkeys(names, '"; touch stolen; $(touch stolen) `touch stolen` "'))
    assert not list(place.folder.rglob("stolen"))
    assert not list(place.home.rglob("stolen"))
    assert "Traceback" not in result.log


def test_a_branchs_name_is_never_run(place: Place) -> None:
    payload = place.proposed({"accuracy.txt": "0.8"}, branch='";touch${IFS}stolen;#$(touch${IFS}stolen)')
    result = place.act("pull_request", payload)
    assert result.jobs["mlops"].outputs["verdict"] == "pass", result.log
    assert not list(place.folder.rglob("stolen"))
    assert "stolen" not in place.api.told("/check-runs")[0]["output"]["summary"]


def test_training_has_the_users_python_and_not_the_token(place: Place) -> None:
    """What mlops-ci runs with is not on the training command's path, nor does it see the token."""
    result = place.act(github_token="secret-of-the-job")
    assert result.jobs["mlops"].result == "success", result.log
    seen = json.loads(place.seen.read_text("utf-8"))
    assert seen["token"] == ""
    assert not [name for name in seen["environment"] if name.startswith(("INPUT_", "MLOPS_CI_"))]
    assert not [entry for entry in seen["path"] if str(place.home) in entry and "site-packages" in entry]
    assert "secret-of-the-job" not in result.log


def test_no_python_that_is_new_enough_ends_in_a_sentence(place: Place) -> None:
    """The annotation names the step that is missing, and nothing else is tried."""
    result = place.act(python="/nowhere/python3.8")
    assert result.jobs["mlops"].outcome("Find Python") == "failure"
    assert result.jobs["mlops"].outcome(WORK) == "skipped"
    (annotation,) = [each for each in result.annotations if each["level"] == "error"]
    assert annotation["message"].startswith("mlops-ci needs Python 3.11 or newer")
    assert "\n  - uses: actions/setup-python" in annotation["message"]


def test_a_job_that_may_not_write_leaves_a_bundle(place: Place) -> None:
    """A pull request from a fork: the gate decides by the exit code, nothing is recorded, GitHub is told nothing."""
    payload = place.proposed({"accuracy.txt": "0.8"}, fork="hubot/tiny")
    with serving(place.remote.parent) as host:
        host.refusing = 403
        place.options["address"] = f"{host.url}/{place.remote.name}"
        result = place.act("pull_request", payload)
    job = result.jobs["mlops"]
    assert job.result == "success", result.log
    assert Path(job.outputs["bundle"]).exists()
    assert job.outputs["verdict"] == "pass"
    assert (place.refs(), place.api.sent) == ([], [])


def test_a_job_of_a_matrix_says_which_it_is(place: Place) -> None:
    """The cell is in the run, so that the jobs of a matrix can be gathered."""
    workflow = place.folder / "matrix.yml"
    step = {"uses": "mlops-ci/mlops-ci@v1"}
    checkout = {"uses": "actions/checkout@v7", "with": {"fetch-depth": "0"}}
    matrix = {"seed": [1]}
    jobs = {"mlops": {"runs-on": "ubuntu-latest", "strategy": {"matrix": matrix}, "steps": [checkout, step]}}
    workflow.write_text(json.dumps({"on": "push", "jobs": jobs}), "utf-8")
    result = place.start(workflow, "push", place.pushed())
    assert result.jobs["mlops"].result == "success", result.log
    assert r"{\"seed\": 1}" in git(place.remote, "log", "--all", "-p", "--format=")


def test_no_expression_stands_in_a_script() -> None:
    """Everything reaches a script through its environment: neither inputs nor environment are pasted in."""
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert len(scripts) == 3
    assert not [script for script in scripts if "${{" in script]


def test_other_actions_are_githubs_own_and_pinned() -> None:
    """The action asks for nobody else's code but the cache, by commit, and the packages of its locks."""
    used = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/cache/(restore|save)@[0-9a-f]{40}", each) for each in used)


def test_what_the_action_is_given_and_gives_stands_in_the_manual() -> None:
    """Every input and every output has its place in the tables of docs/github.md, and nothing else has."""
    page = (ROOT / "docs" / "github.md").read_text("utf-8").partition("\n## The action\n")[2]
    rows = re.findall(r"(?m)^\| (`.*?) \|", page)
    named = [name for row in rows for name in re.findall(r"`([a-z-]+)`", row)]
    assert sorted(named) == sorted([*ACTION["inputs"], *ACTION["outputs"]])
