"""Training in one job, recording in another that runs none of the code: inside a repository, and for a fork."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import CONFIG, Workplace
from tests.cli.jobs import Change, Job, Runner
from tests.cli.test_github import BETTER, WORSE, opened, ours
from tests.cli.test_release import MODEL, TRAIN_WITH_MODEL
from tests.git_http import serving
from tests.github import events
from tests.repositories import git

if TYPE_CHECKING:
    from tests.github.gateway import GitHubServer

FORK = "hubot/churn"


@pytest.fixture
def runner(project: Workplace, tmp_path: Path, github: GitHubServer) -> Runner:
    """Runs jobs over a remote whose main branch has a model that was trained, and recorded by the second job."""
    project.commit({"model.py": MODEL, "train.py": TRAIN_WITH_MODEL, "mlops.yaml": CONFIG})
    project.push()
    made = Runner(project, tmp_path, github)
    trained = made.push(part="train", run_id=10)
    made.push(part="record", run_id=10, bundles=[trained.outputs["bundle"]], code=False)
    github.calls.clear()
    return made


def runs(runner: Runner) -> list[dict[str, Any]]:
    runner.project.run("sync")
    return [run["entity"] for run in json.loads(runner.project.run("runs", "--json"))]


def follow(runner: Runner, change: Change, trained: Job, *, expect: int = 0, run_id: int = 70, **said: Any) -> Job:
    """Upload what the first half left, end its run, and start the second half as GitHub does."""
    assert runner.github is not None
    bundle = Path(trained.outputs["bundle"]).read_bytes() if "bundle" in trained.outputs else b""
    runner.github.add_run(run_id, head_sha=change.head, head_branch=change.branch, head_repository=change.repository)
    if bundle:
        runner.github.add_artifact(run_id, "mlops-bundle", {"mlops-bundle.zip": bundle})
    payload = events.workflow_run_event(
        run_id=run_id,
        head_sha=change.head,
        head_branch=change.branch,
        head_repository=change.repository,
        name="mlops",
        repository=runner.repository,
        author="hubot",
    )
    payload["workflow_run"] |= said
    sha = git(runner.project.remote, "rev-parse", "main")
    return runner("workflow_run", "refs/heads/main", payload, sha=sha, part="record", code=False, expect=expect)


def fork(runner: Runner, files: dict[str, str]) -> Change:
    return opened(runner, files, fork=FORK)


def train(runner: Runner, change: Change, *, run_id: int = 70, **options: Any) -> Job:
    """The first half, with the token that a fork's job has."""
    assert runner.github is not None
    kept, runner.token = runner.token, runner.github.token(permissions={"contents": "read"})
    trained = runner.pull_request(change, run_id=run_id, part="train", **options)
    runner.token = kept
    return trained


def test_a_pull_request_is_trained_by_one_job_and_recorded_by_another(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    trained = runner.pull_request(change, run_id=50, part="train")
    assert trained.outputs["verdict"] == "pass"
    assert github.calls == []
    assert len(runs(runner)) == 1
    done = runner.pull_request(change, run_id=50, part="record", bundles=[trained.outputs["bundle"]], code=False)
    assert done.outputs["verdict"] == "pass"
    found = next(run for run in runs(runner) if run["git"]["head_sha"] == change.head)
    assert (found["git"]["trained_sha"], found["ci"]["pull_request"], found["self_reported"]) == (
        change.merge,
        change.number,
        False,
    )
    assert len(ours(github, change.number)) == 1
    assert not (done.place.root / "train.py").exists()


TARGETS = f"{CONFIG}targets:\n  staging: {{kind: kubernetes, replicas: 2}}\n"
OWN_SERVICE = ".mlops/templates/targets/kubernetes/service.yaml.j2"


def test_a_pull_request_shows_what_it_would_make_of_the_manifests(runner: Runner, github: GitHubServer) -> None:
    """The job that may write renders no template of the change, and shows its text instead."""
    runner.project.commit({"mlops.yaml": TARGETS})
    runner.project.push()
    edited = TARGETS.replace("replicas: 2", "replicas: 4")
    change = opened(runner, {"mlops.yaml": edited, OWN_SERVICE: "kind: Service\nrendered: {{ (40 + 2) | yaml }}\n"})
    trained = runner.pull_request(change, run_id=50, part="train")
    assert "+rendered: 42" in trained.summary
    runner.pull_request(change, run_id=50, part="record", bundles=[trained.outputs["bundle"]], code=False)
    (comment,) = ours(github, change.number)
    assert "```diff\n--- a/deployment.yaml\n+++ b/deployment.yaml\n" in comment
    assert "\n-  replicas: 2\n+  replicas: 4\n" in comment
    assert "+rendered: {{ (40 + 2) | yaml }}" in comment
    assert "42" not in comment.partition("```diff")[2].partition("</details>")[0]


def test_a_merged_pull_request_of_two_jobs_is_adopted(runner: Runner) -> None:
    change = opened(runner, BETTER)
    trained = runner.pull_request(change, run_id=50, part="train")
    runner.pull_request(change, run_id=50, part="record", bundles=[trained.outputs["bundle"]], code=False)
    git(runner.project.root, "merge", "--quiet", "--ff-only", change.merge)
    runner.project.push()
    first = runner.push(part="train", run_id=51)
    assert "adopted" in first.said
    assert "bundle" not in first.outputs
    done = runner.push(part="record", run_id=51, code=False)
    assert done.outputs["verdict"] == "pass"
    assert len(runs(runner)) == 2


def test_a_worse_model_fails_both_jobs(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, WORSE)
    trained = runner.pull_request(change, run_id=50, part="train", expect=1)
    runner.pull_request(change, run_id=50, part="record", bundles=[trained.outputs["bundle"]], code=False, expect=1)
    assert github.check_runs(change.head)[0]["conclusion"] == "failure"


def test_a_job_that_left_nothing_fails_the_check(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    job = runner.pull_request(change, run_id=50, part="record", bundles=["nothing/*.zip"], code=False, expect=5)
    assert github.check_runs(change.head)[0]["conclusion"] == "failure"
    assert "the training job left no run" in job.summary


def test_of_a_matrix_one_job_that_left_nothing_is_not_a_pass(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    trained = runner.pull_request(
        change, run_id=50, part="train", MLOPS_MATRIX_CELL='{"python": "3.12"}', MLOPS_MATRIX_TOTAL="2"
    )
    runner.pull_request(change, run_id=50, part="record", bundles=[trained.outputs["bundle"]], code=False, expect=5)
    assert github.check_runs(change.head)[0]["conclusion"] == "failure"


def test_the_jobs_of_a_matrix_are_recorded_together(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    bundles = [
        runner.pull_request(
            change,
            run_id=50,
            part="train",
            MLOPS_MATRIX_CELL=json.dumps({"python": version}),
            MLOPS_MATRIX_TOTAL="2",
        ).outputs["bundle"]
        for version in ("3.11", "3.12")
    ]
    runner.pull_request(change, run_id=50, part="record", bundles=bundles, code=False)
    (body,) = ours(github, change.number)
    assert "python 3.11" in body
    assert "python 3.12" in body
    assert [check["conclusion"] for check in github.check_runs(change.head)] == ["success"]


def test_a_forks_pull_request_gets_its_comment_and_no_baseline(runner: Runner, github: GitHubServer) -> None:
    change = fork(runner, BETTER)
    trained = train(runner, change)
    assert trained.outputs["verdict"] == "pass"
    assert len(runs(runner)) == 1
    done = follow(runner, change, trained)
    assert "not verified" in ours(github, change.number)[0]
    assert github.check_runs(change.head)[0]["name"] == "mlops-ci/churn"
    found = next(run for run in runs(runner) if run["git"]["head_sha"] == change.head)
    assert found["self_reported"]
    assert done.outputs["verdict"] == "pass"
    git(runner.project.root, "merge", "--quiet", "--ff-only", change.merge)
    runner.project.push()
    assert "adopted" not in runner.push(run_id=80).said


def test_a_fork_whose_model_is_worse_fails_the_check_and_not_the_second_job(
    runner: Runner, github: GitHubServer
) -> None:
    change = fork(runner, WORSE)
    trained = train(runner, change, expect=1)
    follow(runner, change, trained)
    assert github.check_runs(change.head)[0]["conclusion"] == "failure"


def test_a_job_that_cannot_write_leaves_a_bundle_by_itself(runner: Runner, github: GitHubServer) -> None:
    """The one-step workflow in a fork: nobody told it that the token is read-only."""
    change = fork(runner, BETTER)
    with serving(runner.project.remote.parent) as host:
        host.refusing = 403
        away = {
            "GIT_CONFIG_KEY_0": f"url.{host.url}/origin.git.insteadOf",
            "GIT_CONFIG_VALUE_0": runner.project.remote.as_uri(),
        }
        job = runner.pull_request(change, run_id=70, **away)
        assert host.pushes == [403]
    assert "the run is left in a bundle" in job.said
    assert Path(job.outputs["bundle"]).exists()
    assert job.outputs["verdict"] == "pass"
    assert github.calls == []


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ({"head_sha": "f" * 40}, "no open pull request"),
        ({"head_branch": "another"}, "no open pull request"),
        ({"head_repository": {"full_name": "stranger/churn"}}, "no open pull request"),
        ({"event": "push"}, "records by itself"),
    ],
)
def test_whom_a_fork_says_it_is_does_not_matter(
    runner: Runner, github: GitHubServer, claim: dict[str, Any], sentence: str
) -> None:
    change = fork(runner, BETTER)
    trained = train(runner, change)
    assert sentence in follow(runner, change, trained, **claim).said
    assert ours(github, change.number) == []
    assert github.check_runs(change.head) == []
    assert len(runs(runner)) == 1


def test_a_forged_pull_request_number_reaches_nobody(runner: Runner, github: GitHubServer) -> None:
    """The event's own number, and whatever the bundle says, are not asked."""
    other = github.open_pull_request(head_sha="e" * 40, base_sha="d" * 40, head_branch="other")
    change = fork(runner, BETTER)
    trained = train(runner, change)
    follow(runner, change, trained, pull_requests=[{"number": other}])
    assert ours(github, other) == []
    assert len(ours(github, change.number)) == 1


def test_a_bundle_of_another_commit_is_refused_whole(runner: Runner, github: GitHubServer) -> None:
    change = fork(runner, BETTER)
    trained = train(runner, change)
    later = runner.propose(WORSE, number=change.number, fork=FORK)
    github.push(change.number, later.head, merge_sha=later.merge)
    said = follow(runner, later, trained, expect=4).said
    assert "commit" in said
    assert len(runs(runner)) == 1
    assert "the bundle is of another commit" in ours(github, change.number)[0]
    assert github.check_runs(later.head)[0]["conclusion"] == "failure"


@pytest.mark.parametrize("name", ["../../mlops-bundle.zip", "other.zip"])
def test_an_upload_without_a_bundle_is_refused(runner: Runner, github: GitHubServer, name: str) -> None:
    change = fork(runner, BETTER)
    trained = train(runner, change)
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, Path(trained.outputs["bundle"]).read_bytes())
    github.add_artifact(70, "mlops-bundle", archive.getvalue())
    del trained.outputs["bundle"]
    assert "holds no readable mlops-bundle.zip" in follow(runner, change, trained, expect=4).said
    assert len(runs(runner)) == 1


def test_the_second_half_started_twice_says_the_same(runner: Runner, github: GitHubServer) -> None:
    change = fork(runner, BETTER)
    trained = train(runner, change)
    follow(runner, change, trained)
    follow(runner, change, Job(trained.place, "", {}, ""))
    assert len(ours(github, change.number)) == 1
    assert len(runs(runner)) == 2


def test_what_its_own_job_recorded_stays_one_run(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    trained = runner.pull_request(change, run_id=70, part="train")
    runner.pull_request(change, run_id=70, part="record", bundles=[trained.outputs["bundle"]], code=False)
    before = runs(runner)
    change.repository = runner.repository
    follow(runner, change, trained)
    assert runs(runner) == before
    assert len(ours(github, change.number)) == 1


def test_a_store_that_only_the_second_job_reaches(runner: Runner, tmp_path: Path) -> None:
    runner.project.commit({"mlops.yaml": CONFIG + "store: env:MLOPS_STORE\nartifacts: git\n"})
    runner.project.push()
    trained = runner.push(part="train", run_id=60)
    assert "not judged here" in trained.said
    done = runner.push(
        part="record",
        run_id=60,
        bundles=[trained.outputs["bundle"]],
        code=False,
        MLOPS_STORE=f"sqlite:///{tmp_path}/team.db",
    )
    assert done.outputs["verdict"] == "not evaluated"
