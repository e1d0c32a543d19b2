"""What a pull request sees: one comment, one check, the permission that is missing; against the stand-in for GitHub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import CONFIG, Workplace
from tests.cli.jobs import Change, Runner
from tests.cli.test_release import MODEL, TRAIN_WITH_MODEL
from tests.github import events, faults
from tests.repositories import git

if TYPE_CHECKING:
    from tests.github.gateway import GitHubServer

CHECK = "mlops-ci/churn"
BETTER = {"params.json": '{"accuracy": 0.93}'}
WORSE = {"params.json": '{"accuracy": 0.7}'}


@pytest.fixture
def runner(project: Workplace, tmp_path: Path, github: GitHubServer) -> Runner:
    """Runs jobs over a remote whose main branch has a model that was trained."""
    project.commit({"model.py": MODEL, "train.py": TRAIN_WITH_MODEL, "mlops.yaml": CONFIG})
    project.push()
    made = Runner(project, tmp_path, github)
    made.push()
    github.calls.clear()
    return made


def opened(runner: Runner, files: dict[str, str], **facts: Any) -> Change:
    """A pull request, known to git and to GitHub."""
    assert runner.github is not None
    change = runner.propose(files, number=1, **facts)
    open_it(runner.github, change)
    return change


def open_it(github: GitHubServer, change: Change) -> None:
    change.number = github.open_pull_request(
        head_sha=change.head,
        base_sha=change.base,
        head_branch=change.branch,
        head_repository="" if change.repository == github.repository else change.repository,
        merge_sha=change.merge,
    )


def ours(github: GitHubServer, number: int) -> list[str]:
    return [comment["body"] for comment in github.comments(number) if "mlops-ci v=1" in comment["body"]]


def test_a_pull_request_gets_one_comment_and_one_check(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    job = runner.pull_request(change)
    assert len(ours(github, change.number)) == 1
    assert "0.9300" in ours(github, change.number)[0]
    (check,) = github.check_runs(change.head)
    assert (check["name"], check["conclusion"]) == (CHECK, "success")
    assert job.outputs["comment"].endswith(f"#issuecomment-{github.comments(change.number)[0]['id']}")
    assert github.check_runs(change.merge) == []


def test_the_next_commit_edits_the_comment(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    runner.pull_request(change)
    worse = runner.propose(WORSE, number=change.number)
    github.push(change.number, worse.head)
    github.calls.clear()
    runner.pull_request(worse, expect=1)
    (body,) = ours(github, change.number)
    assert "not ready to merge" in body
    assert github.check_runs(worse.head)[0]["conclusion"] == "failure"
    assert len(github.calls) <= 6
    assert [call.method for call in github.calls] == ["GET", "PATCH", "POST"]


def test_a_failed_gate_is_shown_beside_its_line(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, WORSE)
    job = runner.pull_request(change, expect=1)
    line = CONFIG.splitlines().index("  - metric: accuracy") + 1
    (check,) = github.check_runs(change.head)
    assert {(note["path"], note["start_line"]) for note in check["annotations"]} == {("mlops.yaml", line)}
    assert {note["title"] for note in check["annotations"]} == {"churn: accuracy"}
    assert any("at least 0.8 is required" in note["message"] for note in check["annotations"])
    assert f"::error file=mlops.yaml,line={line},title=" in job.said


def test_a_run_of_an_older_commit_does_not_overwrite_a_newer_one(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    runner.pull_request(change, run_id=200)
    before = ours(github, change.number)
    older = runner.propose(WORSE, number=change.number)
    runner.pull_request(older, run_id=100, expect=1)
    assert ours(github, change.number) == before
    assert github.check_runs(older.head)[0]["conclusion"] == "failure"


def test_a_run_that_is_reused_tells_its_verdict_in_the_name_of_the_newer_job(
    runner: Runner, github: GitHubServer
) -> None:
    reusing = CONFIG.replace("command: python train.py", "command: python train.py\n  reuse: true")
    runner.project.commit({"mlops.yaml": reusing})
    runner.project.push()
    runner.push()
    change = opened(runner, BETTER)
    first = runner.pull_request(change, run_id=100)
    assert runner.pull_request(change, run_id=300).outputs["run-id"] == first.outputs["run-id"]
    before = ours(github, change.number)
    runner.pull_request(runner.propose(WORSE, number=change.number), run_id=200, expect=1)
    assert ours(github, change.number) == before


def test_a_planted_marker_is_nobodys_comment_of_ours(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    planted = "<!-- mlops-ci v=1 key=churn/churn sha=0 run=0 order=999999.1 -->"
    number = github.add_comment(change.number, "hubot", planted)
    runner.pull_request(change)
    bodies = {comment["id"]: comment["body"] for comment in github.comments(change.number)}
    assert bodies.pop(number) == planted
    assert ["0.9300" in body for body in bodies.values()] == [True]


def test_nothing_new_is_no_comment_and_a_green_check(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, {"notes.md": "a word\n"})
    runner.pull_request(change)
    assert ours(github, change.number) == []
    assert github.check_runs(change.head)[0]["conclusion"] == "success"


def test_a_missing_permission_is_named_and_changes_no_verdict(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    runner.token = github.token(permissions={"contents": "write"})
    job = runner.pull_request(change)
    assert job.outputs["verdict"] == "pass"
    for permission in ("pull-requests: write", "checks: write"):
        assert permission in job.said


def test_without_the_right_to_checks_the_commit_gets_a_status(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, WORSE)
    runner.token = github.token(permissions={"pull-requests": "write", "statuses": "write"})
    runner.pull_request(change, expect=1)
    (status,) = github.statuses(change.head)
    assert (status["context"], status["state"]) == (CHECK, "failure")


def test_a_check_that_github_does_not_take_is_worth_another_try(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    github.fault(method="POST", path="check-runs", times=4, kind=faults.status(500))
    job = runner.pull_request(change, expect=3)
    assert job.outputs["verdict"] == "pass"
    assert runner.pull_request(change).outputs["verdict"] == "pass"
    assert len(ours(github, change.number)) == 1


def test_a_comment_that_was_made_before_the_connection_broke_is_not_made_again(
    runner: Runner, github: GitHubServer
) -> None:
    change = opened(runner, BETTER)
    github.fault(method="POST", path="/comments", kind=faults.done_then_dropped())
    runner.pull_request(change)
    assert len(ours(github, change.number)) == 1


def test_a_training_that_fails_fails_the_check(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, {"train.py": "raise SystemExit(3)\n"})
    runner.pull_request(change, expect=5)
    assert github.check_runs(change.head)[0]["conclusion"] == "failure"
    assert "fail" in ours(github, change.number)[0]


def test_the_merge_queue_gets_a_check_and_no_comment(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    ref = f"refs/heads/gh-readonly-queue/main/pr-{change.number}-{change.base}"
    payload = events.merge_group_event(
        head_sha=change.merge, base_sha=change.base, number=change.number, repository=runner.repository
    )
    weaker = CONFIG.replace("min: 0.8", "min: 0.1")
    runner.project.commit({"mlops.yaml": weaker})
    job = runner("merge_group", ref, payload, sha=change.merge)
    assert job.outputs["verdict"] == "pass"
    assert github.check_runs(change.merge)[0]["conclusion"] == "success"
    assert ours(github, change.number) == []


def test_a_change_cannot_say_that_undecided_passes_or_that_nothing_is_told(
    runner: Runner, github: GitHubServer
) -> None:
    undecided = CONFIG.replace("metric: accuracy", "metric: recall")
    runner.project.commit({"mlops.yaml": undecided})
    runner.project.push()
    own = undecided + "on_inconclusive: pass\nreport: {check: none, comment: never, name: other}\n"
    change = opened(runner, {**BETTER, "mlops.yaml": own})
    runner.pull_request(change, expect=1)
    assert [(check["name"], check["conclusion"]) for check in github.check_runs(change.head)] == [(CHECK, "failure")]
    assert "on_inconclusive" in ours(github, change.number)[0]


def test_a_cancelled_training_is_recorded_and_fails_the_check(runner: Runner, github: GitHubServer) -> None:
    script = "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(60)\n"
    change = opened(runner, {"train.py": script})
    runner.pull_request(change, expect=5)
    assert github.check_runs(change.head)[0]["conclusion"] == "failure"
    assert json.loads(runner.project.run("runs", "--json", "-n", "1"))[0]["entity"]["status"] != "finished"
    runner.pull_request(change, attempt=2, expect=5)
    assert len(ours(github, change.number)) == 1


def test_an_unchanged_model_is_not_affected(runner: Runner, github: GitHubServer) -> None:
    scoped = CONFIG.replace("command: python train.py", "command: python train.py\n  paths: [train.py, params.json]")
    runner.project.commit({"mlops.yaml": scoped})
    runner.project.push()
    runner.push()
    change = opened(runner, {"docs/notes.md": "a word\n"})
    job = runner.pull_request(change)
    assert job.outputs["verdict"] == "not affected"
    assert github.check_runs(change.head)[0]["conclusion"] == "success"
    assert ours(github, change.number) == []
    assert "not affected" in job.summary
    changed = runner.propose(BETTER, number=change.number)
    assert runner.pull_request(changed).outputs["verdict"] == "pass"


def test_what_was_never_trained_cannot_hide_behind_a_change_of_nothing(runner: Runner) -> None:
    scoped = CONFIG.replace("command: python train.py", "command: python train.py\n  paths: [params.json]")
    runner.project.commit({"mlops.yaml": scoped})
    runner.project.push()
    runner.push()
    runner.project.commit(WORSE)  # pushed, and its job was cancelled
    runner.project.push()
    runner.project.commit({"notes.md": "a word\n"})
    runner.project.push()
    assert runner.push(expect=1).outputs["verdict"] == "fail"


def test_the_jobs_of_a_matrix_share_one_comment_and_one_check(runner: Runner, github: GitHubServer) -> None:
    script = TRAIN_WITH_MODEL.replace(
        "with mlops", "import os\nparams['accuracy'] *= float(os.environ.get('FACTOR', '1'))\nwith mlops"
    )
    runner.project.commit({"train.py": script})
    runner.project.push()
    runner.push()
    change = opened(runner, BETTER)
    cells = {"3.11": "1", "3.12": "0.5"}
    for version, factor in cells.items():
        runner.pull_request(
            change,
            run_id=50,
            expect=0 if factor == "1" else 1,
            MLOPS_MATRIX_CELL=json.dumps({"python": version}),
            MLOPS_MATRIX_TOTAL="2",
            FACTOR=factor,
        )
        (body,) = ours(github, change.number)
        assert ("1 of 2 jobs have reported" in body) == (version == "3.11")
    assert all(f"python {version}" in body for version in cells)
    assert github.check_runs(change.head)[0]["conclusion"] == "failure"
    runner.pull_request(
        change, run_id=50, attempt=2, MLOPS_MATRIX_CELL='{"python": "3.12"}', MLOPS_MATRIX_TOTAL="2", FACTOR="1"
    )
    assert github.check_runs(change.head)[0]["conclusion"] == "success"
    assert len(ours(github, change.number)) == 1


def test_two_models_of_one_repository_each_have_a_comment(runner: Runner, github: GitHubServer) -> None:
    other = CONFIG.replace("project: churn", "project: fraud")
    runner.project.commit({"models/fraud.yaml": other})
    runner.project.push()
    change = opened(runner, BETTER)
    runner.pull_request(change)
    runner.config = "models/fraud.yaml"
    runner.pull_request(change)
    keys = {re.findall(r"key=(\S+)", body)[0] for body in ours(github, change.number)}
    assert keys == {"churn/churn", "fraud/fraud"}
    assert {check["name"] for check in github.check_runs(change.head)} == {CHECK, "mlops-ci/fraud"}


def test_pictures_are_shown_from_a_branch_of_their_own(runner: Runner, github: GitHubServer) -> None:
    script = TRAIN_WITH_MODEL + (
        "    import pathlib\n    pathlib.Path('plots').mkdir(exist_ok=True)\n"
        "    pathlib.Path('plots/roc.svg').write_text('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')\n"
    )
    config = CONFIG.replace("command: python train.py", "command: python train.py\n  plots: [plots]")
    runner.project.commit({"train.py": script, "mlops.yaml": f"{config}report: {{assets: mlops-assets}}\n"})
    runner.project.push()
    runner.push()
    change = opened(runner, BETTER)
    runner.pull_request(change)
    (body,) = ours(github, change.number)
    (name,) = re.findall(r"\(\.\./blob/mlops-assets/([0-9a-f]{64}\.svg)\?raw=true\)", body)
    assert "<svg" in git(runner.project.remote, "show", f"mlops-assets:{name}")
    assert git(runner.project.remote, "rev-list", "--count", "mlops-assets") == "1"


def test_events_of_which_nothing_follows_are_green_and_quick(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, BETTER)
    payload = {**change.payload(runner.repository), "action": "closed"}
    said = runner("pull_request", "refs/pull/1/merge", payload, sha=change.merge).said
    assert "nothing to do: the pull request was closed" in said
    assert github.calls == []


@pytest.mark.parametrize("branch", ['"; curl x | sh #', "</details>@org/everyone ![x](http://h/x)|", "a\u202eb\u200bc"])
def test_a_hostile_branch_is_text(runner: Runner, github: GitHubServer, branch: str) -> None:
    change = opened(runner, BETTER)
    change.branch = branch
    runner.pull_request(change)
    (body,) = ours(github, change.number)
    assert "![x]" not in re.sub(r"`[^`]*`", "", body)
    assert "\u202e" not in body
