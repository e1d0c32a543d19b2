"""The workflows that `mlops-ci init` writes: what starts them, what their tokens may, and the pair of jobs at work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.action.place import CONFIG, RUNS, Place
from tests.action.runner import Result
from tests.cli.test_release import MODEL
from tests.github import commits, events
from tests.github.gateway import GitHubServer
from tests.repositories import git

WRITE = {"contents": "write", "pull-requests": "write", "checks": "write"}
RELEASE = {
    "contents": "write",
    "deployments": "write",
    "issues": "write",
    "pull-requests": "read",
    "actions": "read",
    "packages": "write",
}

TAG = "tiny@v1.0.0"
TRAIN_WITH_MODEL = """\
import json
import mlops_ci
from model import Factor

with mlops_ci.start_run() as run:
    run.log_metrics({"accuracy": 0.75})
    run.log_model(Factor(0.75), input_example=[{"x": 1.0}])
json.dump({"accuracy": 0.75}, open("metrics.json", "w"))
"""

__all__ = ["commits"]

pytestmark = pytest.mark.xdist_group("action")


def written(folder: Path, *options: str) -> Path:
    """The folder of the workflows that `mlops-ci init` writes."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    subprocess.run([sys.executable, "-m", "mlops_ci", "init", *options], cwd=folder, check=True, capture_output=True)
    return folder / ".github" / "workflows"


@pytest.fixture
def workflows(tmp_path: Path) -> Path:
    return written(tmp_path / "started")


def read(path: Path) -> dict[str, Any]:
    # YAML 1.1, which PyYAML reads, takes `on` for a boolean.
    return {("on" if key is True else key): value for key, value in yaml.safe_load(path.read_text("utf-8")).items()}


@pytest.mark.parametrize("options", [[], ["--one-step"]])
def test_every_event_has_its_workflow_and_no_path_keeps_it_back(tmp_path: Path, options: list[str]) -> None:
    folder = written(tmp_path / "started", *options)
    events = {name: read(folder / f"{name}.yml")["on"] for name in ("mlops", "mlops-record")}
    wanted = {"pull_request", "merge_group", "push", "release", "workflow_dispatch", "schedule"}
    assert set(events["mlops"]) == wanted
    assert set(events["mlops-record"]) == {"workflow_run", "issue_comment"}
    assert "paths" not in str(events)


@pytest.mark.parametrize("options", [[], ["--one-step"]])
def test_rights_are_given_to_jobs_one_by_one_and_explained(tmp_path: Path, options: list[str]) -> None:
    """Nothing for the whole workflow, a comment at each permission, and every action but ours pinned by commit."""
    for path in written(tmp_path / "started", *options).iterdir():
        text, workflow = path.read_text("utf-8"), read(path)
        assert workflow["permissions"] == {}
        assert all(job["permissions"] and job["timeout-minutes"] for job in workflow["jobs"].values())
        rights = re.findall(r"(?m)^      [a-z-]+: (?:read|write)\b(.*)$", text)
        assert len(rights) == sum(len(job["permissions"]) for job in workflow["jobs"].values())
        assert all(comment.startswith(" # ") for comment in rights)
        for used in re.findall(r"uses: (.*)", text):
            assert re.match(r"(actions/[a-z-]+@[0-9a-f]{40} # v\d|mlops-ci/mlops-ci@v1 )", used), used


def test_who_may_write_has_no_checkout(workflows: Path) -> None:
    """But for a release and what it deploys, which run no training; and recording is never cancelled."""
    for path in workflows.iterdir():
        for name, job in read(path)["jobs"].items():
            used = [step.get("uses", "") for step in job["steps"]]
            if "write" in job["permissions"].values():
                assert not [step for step in job["steps"] if "run" in step]
                if name not in {"release", "deploy"}:
                    assert not [each for each in used if each.startswith("actions/checkout")]
                assert job.get("concurrency", {}).get("cancel-in-progress", False) is False
                assert ("concurrency" in job) == (name == "release")


def test_what_is_trained_by_one_job_is_recorded_by_the_other(place: Place, workflows: Path) -> None:
    """A pull request: `train` can only read and tells nobody; `record` brings the run, the comment and the check."""
    payload = place.proposed({"accuracy.txt": "0.8"})
    result = place.start(workflows / "mlops.yml", "pull_request", payload, tokens={"train": "ro", "record": "rw"})
    assert {name: job.result for name, job in result.jobs.items()} == {
        "train": "success",
        "record": "success",
        "release": "skipped",
        "deploy": "skipped",
    }, result.log
    assert result.jobs["train"].permissions == {"contents": "read"}
    assert result.jobs["record"].permissions == WRITE
    assert {token for _, _, token, _ in place.api.sent} == {"rw"}
    (check,) = place.api.told("/check-runs")
    assert (check["head_sha"], check["conclusion"]) == (payload["pull_request"]["head"]["sha"], "success")
    assert place.refs("refs/mlops/records")


def test_a_failed_gate_is_recorded_too(place: Place, workflows: Path) -> None:
    result = place.start(workflows / "mlops.yml", "pull_request", place.proposed({"accuracy.txt": "0.1"}))
    assert (result.jobs["train"].result, result.jobs["record"].result) == ("failure", "failure"), result.log
    (check,) = place.api.told("/check-runs")
    assert check["conclusion"] == "failure"
    assert place.refs("refs/mlops/records")


def test_a_fork_trains_and_another_workflow_records(place: Place, workflows: Path) -> None:
    """The bundle waits; the workflow that records starts by itself, for this run and not for one of the repository."""
    payload = place.proposed({"accuracy.txt": "0.8"}, branch="feature", fork="hubot/tiny")
    result = place.start(workflows / "mlops.yml", "pull_request", payload)
    assert (result.jobs["train"].result, result.jobs["record"].result) == ("success", "skipped"), result.log
    assert place.refs() == []
    for source, started in (("hubot/tiny", True), ("octo/tiny", False)):
        run = {"id": 1, "name": "mlops", "event": "pull_request", "conclusion": "success", "head_branch": "feature"}
        run["head_repository"] = {"full_name": source}
        job = {"if": read(workflows / "mlops-record.yml")["jobs"]["record"]["if"], "steps": [{"run": "true"}]}
        only = place.folder / "condition.yml"
        only.write_text(json.dumps({"on": "workflow_run", "jobs": {"it": {"runs-on": "ubuntu-latest", **job}}}))
        followed = place.start(only, "workflow_run", place.about(action="completed", workflow_run=run))
        assert (followed.jobs["it"].result == "success") is started


RELEASES = [
    ("push", {"ref": "refs/tags/tiny@v1.0.0"}),
    ("release", {"action": "published", "release": {"tag_name": "tiny@v1.0.0"}}),
    ("workflow_dispatch", {"ref": "refs/heads/main", "inputs": {"tag": "tiny@v1.0.0"}}),
]


@pytest.mark.parametrize(("event", "payload"), RELEASES)
def test_a_version_tag_is_released_however_it_is_named(
    place: Place, workflows: Path, event: str, payload: dict[str, Any]
) -> None:
    """By a job of its own, at the tagged commit, without a cache; nothing is trained."""
    place.tagged("tiny@v1.0.0")
    tagged = git(place.remote, "rev-parse", "tiny@v1.0.0")
    place.push({"later.txt": "1"})
    result = place.start(workflows / "mlops.yml", event, place.about(**payload))
    assert [result.jobs[name].result for name in ("train", "record")] == ["skipped", "skipped"]
    release = result.jobs["release"]
    assert release.permissions == RELEASE
    assert result.jobs["deploy"].result == "skipped"
    assert f"checked out {tagged}" in result.log
    assert release.outcome("Look for an environment in the cache") == "skipped"
    # Nothing was trained before, and the sentence says so of the commit that the tag names.
    assert f"no run of commit {tagged[:7]}" in result.log


@pytest.fixture
def released(place: Place, github: GitHubServer) -> Place:
    """One at a better peer of GitHub, whose version 1.0.0 is tagged and may go to an address of its own."""
    rule = f"uri: {place.folder}/published, production: true, approval: {{required: 1}}"
    targets = f"targets:\n  production: {{kind: uri, environment: prod-eu, {rule}}}\n"
    place.push({"mlops.yaml": CONFIG + targets, "model.py": MODEL, "train.py": TRAIN_WITH_MODEL})
    subprocess.run([sys.executable, "-m", "mlops_ci", "run"], cwd=place.work, check=True, capture_output=True)
    place.tagged(TAG)
    github.world.git = place.remote
    github.set_permission("octo-lead", "write")
    place.options |= {"server": github.url, "name": github.repository}
    return place


def started(place: Place, github: GitHubServer, workflow: Path, event: str, payload: dict[str, Any]) -> Result:
    """Run *workflow*, each of its jobs with a token that may do what the file says."""
    permissions = {name: job["permissions"] for name, job in read(workflow)["jobs"].items()}
    tokens = {name: github.token(permissions=each) for name, each in permissions.items()}
    repository = {"full_name": github.repository, "default_branch": "main", "fork": False}
    return place.start(workflow, event, {**payload, "repository": repository}, tokens=tokens)


def test_a_reviewed_environment_is_deployed_to_by_a_job_of_its_own(
    released: Place, workflows: Path, github: GitHubServer
) -> None:
    """What the first job says is what the second is told; GitHub's runner has its review when it starts that."""
    github.add_environment("prod-eu", ["octo-lead"])
    sha = git(released.remote, "rev-parse", TAG)
    number = github.add_run(next(RUNS), pending=["prod-eu"], event="push", head_branch=TAG, head_sha=sha)
    github.approve(number, "octo-lead", "prod-eu")
    github.add_deployment(number, "prod-eu")
    released.options["run"] = (number, 1)
    result = started(released, github, workflows / "mlops.yml", "push", {"ref": f"refs/tags/{TAG}", "after": sha})
    assert {name: job.result for name, job in result.jobs.items()} == {
        "train": "skipped",
        "record": "skipped",
        "release": "success",
        "deploy": "success",
    }, result.log
    first, second = result.jobs["release"], result.jobs["deploy"]
    assert (first.outputs["next"], first.outputs["version"]) == ("production", "1.0.0")
    assert first.outputs["plan"].startswith("sha256:")
    assert (first.environment, second.environment) == ("", "prod-eu")
    assert "tiny 1.0.0 is live on production" in result.log
    assert (released.folder / "published/current.json").exists()
    (shown,) = github.deployments()
    assert shown["statuses"][0]["state"] == "success"


@pytest.mark.full
def test_without_reviewers_a_comment_starts_the_job_that_deploys(
    released: Place, workflows: Path, github: GitHubServer
) -> None:
    sha = git(released.remote, "rev-parse", TAG)
    result = started(released, github, workflows / "mlops.yml", "push", {"ref": f"refs/tags/{TAG}", "after": sha})
    assert (result.jobs["release"].result, result.jobs["deploy"].result) == ("success", "skipped"), result.log
    assert result.jobs["release"].outputs["next"] == ""
    (issue,) = github.world.everything(f"{github.world.place}/issues")
    order = next(line for line in issue["body"].splitlines() if line.startswith("/approve "))
    for words, results in (("fine", ["skipped", "skipped"]), (order, ["success", "success"])):
        comment = github.add_comment(issue["number"], "octo-lead", words)
        facts = {"number": issue["number"], "body": words, "author": "octo-lead", "comment_id": comment}
        payload = events.issue_comment_event(repository=github.repository, on_pull_request=False, **facts)
        result = started(released, github, workflows / "mlops-record.yml", "issue_comment", payload)
        assert [result.jobs[name].result for name in ("approve", "deploy")] == results, result.log
    assert (released.folder / "published/current.json").exists()


def test_init_says_which_check_to_require(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk")
    command = [sys.executable, "-m", "mlops_ci", "init", "--name", "churn"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stderr
    assert "require the check mlops-ci/churn on trunk" in said
    assert "Settings → Rules" in said
    assert "`mlops-ci doctor`" in said
