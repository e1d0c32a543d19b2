"""
From a version tag to production by the commands that the jobs of the workflows run, with the tokens that the workflows
give them: approved by the review of an environment, or by a comment.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_ci.lifecycle.project import Project
from tests.cli.conftest import CONFIG, FILES, Workplace, _workplace
from tests.cli.jobs import Job, Runner
from tests.cli.test_release import MODEL, TRAIN_WITH_MODEL
from tests.github import commits, events
from tests.github.emulator import ACTIONS
from tests.github.gateway import GitHubServer
from tests.repositories import clone, git, make_clone

__all__ = ["commits"]

TAG = "churn@v1.0.0"
REFUSED = 4
REVIEWER = "octo-lead"


def config(folder: Path, *, production: str = "after: staging, approval: {required: 1}") -> str:
    """Two addresses in *folder*; the one that comes first is named last."""
    return (
        f"{CONFIG}targets:\n  production: {{kind: uri, uri: {folder}/production, production: true, {production}}}\n"
        f"  staging: {{kind: uri, uri: {folder}/staging}}\n"
    )


@dataclass
class Repository:
    """A repository at GitHub, whose version 1.0.0 is tagged, and the jobs that its workflows start."""

    github: GitHubServer
    project: Workplace
    runner: Runner
    published: Path
    permissions: dict[str, dict[str, str]]
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(100))

    @property
    def tagged(self) -> str:
        return git(self.project.remote, "rev-parse", f"{TAG}^{{commit}}")

    @property
    def main(self) -> str:
        return git(self.project.remote, "rev-parse", "main")

    def started(self, event: str, *, actor: str = "octocat") -> Run:
        """A run of the workflow, as GitHub begins one for *event*."""
        named = {"head_branch": TAG, "head_sha": self.tagged}
        if event in {"workflow_dispatch", "issue_comment"}:
            named = {"head_branch": "main", "head_sha": self.main}
        number = self.github.add_run(next(self.numbers), pending=["production"], actor=actor, event=event, **named)
        return Run(self, number, event, actor)

    def deployed(self, target: str) -> list[dict[str, Any]]:
        """The records of deployments to *target*, newest first."""
        found = json.loads(self.project.run("deployments", "--json", "--target", target))
        return [one["deployment"] for one in found]

    def shown(self) -> dict[str, list[str]]:
        """The states of GitHub's Deployments by environment, oldest first."""
        found: dict[str, list[str]] = {}
        for one in self.github.deployments():
            state = one["statuses"][0]["state"] if one["statuses"] else ""
            found.setdefault(one["environment"], []).append(state)
        return found

    def explain(self, target: str) -> dict[tuple[str, str], str]:
        """What `explain` says of each fact about *target*, as somebody with a token of their own asks."""
        env: dict[str, Any] = {
            "GITHUB_TOKEN": self.github.token("hubot"),
            "GITHUB_API_URL": self.github.url,
            "GITHUB_REPOSITORY": self.github.repository,
        }
        story = json.loads(self.project.run("explain", target, "--json", **env))
        return {(fact["section"], fact["name"]): fact["check"] for fact in story["facts"]}

    def agreed(self) -> list[tuple[str, str]]:
        """Who decided on production, and how."""
        found = Project.open(self.project.root).ledger.find("target/production")
        return [(record.body["approver"], record.body["method"]) for record in found if record.kind == "approval"]

    def serves(self, target: str) -> bool:
        return (self.published / target / "current.json").exists()


@dataclass
class Run:
    """One run of a workflow."""

    repository: Repository
    number: int
    event: str
    actor: str
    attempt: int = 1
    comment: dict[str, Any] = field(default_factory=dict)

    def release(self, **options: Any) -> Job:
        """The first job, on the tagged commit."""
        return self._job("release", self.repository.tagged, **options)

    def approve(self, **options: Any) -> Job:
        """The first job that a comment starts."""
        return self._job("approve", self.repository.main, part="record", code=False, **options)

    def review(self, login: str = REVIEWER, **said: str) -> None:
        self.repository.github.approve(self.number, login, "production", **said)

    def deploy(self, before: Job, **options: Any) -> Job:
        """The second job: the outputs of the one *before* are its inputs, and GitHub makes a Deployment for it."""
        said = before.outputs
        self.repository.github.add_deployment(self.number, said["environment"], job=self.attempt)
        words = ["--deploy", said["next"], "--version", said["version"], "--plan", said["plan"]]
        of_tag = self.event in {"push", "release"}
        sha = self.repository.tagged if of_tag else self.repository.main
        return self._job("deploy", sha, words=words, **options)

    def again(self) -> None:
        """Run it again."""
        self.repository.github.run_again(self.number, self.actor)
        self.attempt += 1

    def _job(self, name: str, checked_out: str, **options: Any) -> Job:
        here, runner = self.repository, self.repository.runner
        assert runner.github is not None
        runner.token = runner.github.token(ACTIONS, here.permissions[name])
        ref = f"refs/tags/{TAG}" if self.event in {"push", "release"} else "refs/heads/main"
        sha = here.tagged if self.event in {"push", "release"} else here.main
        about: dict[str, Any] = {
            "run_id": self.number,
            "attempt": self.attempt,
            "GITHUB_SHA": sha,
            "GITHUB_TRIGGERING_ACTOR": self.actor,
        }
        return runner(self.event, ref, self._payload(), sha=checked_out, **about, **options)

    def _payload(self) -> dict[str, Any]:
        repository = self.repository.github.repository
        if self.event == "push":
            return events.push_event(after=self.repository.tagged, ref=f"refs/tags/{TAG}", repository=repository)
        if self.event == "release":
            return events.release_event(tag=TAG, repository=repository)
        if self.event == "workflow_dispatch":
            return events.workflow_dispatch_event(inputs={"tag": TAG}, repository=repository)
        return events.issue_comment_event(repository=repository, on_pull_request=False, **self.comment)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    """A folder with a remote, where the version is trained and tagged; and what init's workflows let each job do."""
    folder = tmp_path_factory.mktemp("tagged")
    files = {**FILES, "model.py": MODEL, "train.py": TRAIN_WITH_MODEL, "mlops.yaml": config(folder / "published")}
    with pytest.MonkeyPatch.context() as clean:
        for name in ("GITHUB_TOKEN", "GITHUB_ACTIONS"):
            clean.delenv(name, raising=False)
        place = _workplace(make_clone(folder, files), folder)
        place.run("run")
        git(place.root, "tag", TAG)
        place.push("HEAD:main", TAG)
        place.commit({"later": "main goes on\n"})
        place.push()
        fresh = folder / "fresh"
        git(folder, "init", "--quiet", "--initial-branch=main", str(fresh))
        subprocess.run([sys.executable, "-m", "mlops_ci", "init"], cwd=fresh, check=True, capture_output=True)
    jobs: dict[str, Any] = {}
    for path in (fresh / ".github/workflows").iterdir():
        jobs |= yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return folder, {name: job["permissions"] for name, job in jobs.items()}


@pytest.fixture
def repository(tagged: tuple[Path, dict[str, dict[str, str]]], tmp_path: Path, github: GitHubServer) -> Repository:
    """A copy of it at GitHub, where nothing is released; REVIEWER and hubot may write."""
    folder, permissions = tagged
    shutil.rmtree(folder / "published", ignore_errors=True)
    shutil.copytree(folder / "origin.git", tmp_path / "origin.git")
    place = _workplace(clone(tmp_path / "origin.git", tmp_path / "work"), tmp_path)
    github.world.git = place.remote
    for login in (REVIEWER, "hubot"):
        github.set_permission(login, "write")
    runner = Runner(place, tmp_path, github)
    return Repository(github, place, runner, folder / "published", permissions)


@pytest.fixture
def reviewed(repository: Repository) -> Repository:
    """One where the environment of production has reviewers."""
    repository.github.add_environment("production", [REVIEWER, "hubot"])
    return repository


def test_a_review_of_the_environment_lets_a_tag_go_to_production(reviewed: Repository) -> None:
    run = reviewed.started("push")
    first = run.release()
    asked = first.outputs
    assert (asked["model"], asked["version"], asked["next"], asked["environment"]) == (
        "churn",
        "1.0.0",
        "production",
        "production",
    )
    assert asked["plan"].startswith("sha256:")
    assert "waiting for approval" in first.said
    assert (reviewed.serves("staging"), reviewed.serves("production")) == (True, False)
    assert reviewed.shown() == {"staging": ["success"]}

    run.review(comment="looks good")
    run.deploy(first)
    assert reviewed.serves("production")
    assert reviewed.shown() == {"staging": ["success"], "production": ["success"]}
    (deployment,) = reviewed.deployed("production")
    assert (deployment["plan_digest"], len(deployment["approvals"])) == (asked["plan"], 1)
    assert reviewed.agreed() == [(REVIEWER, "github-environment")]
    facts = reviewed.explain("production")
    assert facts["approval", "approved"] == "verified"
    assert "wrong" not in facts.values()

    run.again()
    run.deploy(first)
    for event in ("release", "workflow_dispatch"):
        later = reviewed.started(event).release()
        assert "next" not in later.outputs
        assert "waiting for approval" not in later.said
    assert len(reviewed.deployed("production")) == len(reviewed.deployed("staging")) == 1
    assert reviewed.shown()["staging"] == ["success"]
    # The second is GitHub's own, for the job that was run again.
    assert len(reviewed.shown()["production"]) == 2


@pytest.mark.parametrize("event", ["release", "workflow_dispatch"])
@pytest.mark.full
def test_a_release_and_a_dispatch_lead_to_the_same_deployment(reviewed: Repository, event: str) -> None:
    run = reviewed.started(event)
    first = run.release()
    tag = reviewed.started("push")
    other = tag.release()
    assert other.outputs["plan"] == first.outputs["plan"]
    run.review()
    run.deploy(first)
    assert reviewed.shown() == {"staging": ["success"], "production": ["success"]}
    tag.review()
    assert "was live already" in tag.deploy(other).said
    assert len(reviewed.deployed("production")) == len(reviewed.deployed("staging")) == 1


def test_a_rejected_review_deploys_nothing_and_says_whose_it_is(reviewed: Repository) -> None:
    """GitHub starts no job after it, but for one that is run again and that somebody else lets pass."""
    run = reviewed.started("push")
    first = run.release()
    run.review(state="rejected", comment="recall fell")
    run.again()
    run.review("hubot")
    said = run.deploy(first, expect=REFUSED).said
    assert f"{REVIEWER} rejected it: recall fell" in said
    assert not reviewed.serves("production")
    assert reviewed.deployed("production") == []


def test_a_plan_that_changed_after_the_review_is_refused(reviewed: Repository) -> None:
    run = reviewed.started("push")
    first = run.release()
    run.review()
    reviewed.project.commit(
        {"mlops.yaml": config(reviewed.published).replace("required: 1", "required: 1, expires: 2d")}
    )
    reviewed.project.push()
    said = run.deploy(first, expect=REFUSED).said
    assert "something of it has changed" in said
    assert not reviewed.serves("production")


def test_one_review_of_two_that_are_needed_deploys_nothing(reviewed: Repository) -> None:
    """A job that deployed nothing has failed: GitHub would show its Deployment as a success."""
    text = config(reviewed.published, production="after: staging, approval: {required: 2}")
    reviewed.project.commit({"mlops.yaml": text})
    reviewed.project.push()
    run = reviewed.started("push")
    first = run.release()
    run.review()
    assert "has 1 of 2" in run.deploy(first, expect=REFUSED).said
    run.again()
    run.review("hubot")
    run.deploy(first)
    (deployment,) = reviewed.deployed("production")
    assert len(deployment["approvals"]) == 2


@pytest.mark.full
def test_what_comes_after_a_target_that_waits_is_not_asked_for(reviewed: Repository) -> None:
    """Else its reviewers would let a job begin that may not deploy yet."""
    text = config(reviewed.published, production="after: canary, approval: {required: 1}")
    canary = f"  canary: {{kind: uri, uri: {reviewed.published}/canary, after: staging, approval: {{required: 1}}}}\n"
    reviewed.project.commit({"mlops.yaml": text + canary})
    reviewed.project.push()
    first = reviewed.started("push").release()
    assert "next" not in first.outputs
    assert "not live on canary" in first.said
    (issue,) = issues(reviewed.github)
    assert "canary" in issue["title"]
    run = commented(reviewed, issue["number"], REVIEWER, typed_in(issue["body"]))
    run.deploy(run.approve())
    again = reviewed.started("workflow_dispatch")
    then = again.release()
    assert then.outputs["next"] == "production"
    again.review()
    again.deploy(then)
    assert reviewed.serves("production")


def test_a_comment_lets_a_tag_go_to_production(repository: Repository) -> None:
    github = repository.github
    first = repository.started("push").release()
    assert not {"next", "plan", "environment"} & set(first.outputs)
    assert repository.shown() == {"staging": ["success"]}
    (number,) = [one["number"] for one in issues(github)]
    typed = typed_in(github.issue(number)["body"])
    assert "churn" in github.issue(number)["title"]

    stranger = commented(repository, number, "mallory", typed)
    assert "next" not in stranger.approve().outputs
    run = commented(repository, number, REVIEWER, typed)
    approved = run.approve()
    assert "plan" in approved.outputs, approved.said
    assert approved.outputs["plan"].startswith(f"sha256:{typed.split()[1]}")
    assert (approved.outputs["next"], approved.outputs["version"], approved.outputs["environment"]) == (
        "production",
        "1.0.0",
        "production",
    )
    # Whoever releases it now leaves that to the job with the environment's secrets, too.
    again = repository.started("release").release()
    assert [again.outputs[name] for name in ("next", "plan")] == ["production", approved.outputs["plan"]]
    assert not repository.serves("production")
    run.deploy(approved)
    assert repository.serves("production")
    assert repository.shown() == {"staging": ["success"], "production": ["success"]}
    assert github.issue(number)["state"] == "closed"
    assert github.comments(number)[-1]["body"] == "**It is deployed.**"
    (deployment,) = repository.deployed("production")
    assert len(deployment["approvals"]) == 1
    assert repository.agreed() == [(REVIEWER, "github-comment")]
    assert repository.explain("production")["approval", "approved"] == "verified"


def issues(github: GitHubServer) -> list[dict[str, Any]]:
    return list(github.world.everything(f"{github.world.place}/issues?state=all"))


def typed_in(body: str) -> str:
    """The line that an issue tells people to type."""
    return next(line for line in body.splitlines() if line.startswith("/approve "))


def commented(repository: Repository, number: int, author: str, body: str) -> Run:
    """The run that a comment starts, a while after the issue."""
    comment = repository.github.add_comment(number, author, body)
    run = repository.started("issue_comment", actor=author)
    run.comment = {"number": number, "body": body, "author": author, "comment_id": comment}
    return run
