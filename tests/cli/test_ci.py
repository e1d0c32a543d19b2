"""`mlops-ci ci`: what the action runs, with the environment and the payloads that GitHub gives it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mlops_ci.git import Checkout
from mlops_ci.ledger.git import GitLedger
from tests.cli.conftest import CONFIG, Workplace
from tests.cli.jobs import Runner
from tests.cli.test_release import MODEL, TARGETS, TRAIN_WITH_MODEL
from tests.crashes.worker import an_adoption
from tests.repositories import git


@pytest.fixture
def runner(project: Workplace, tmp_path: Path) -> Runner:
    """Runs jobs over a remote whose main branch has a model."""
    project.commit({"model.py": MODEL, "train.py": TRAIN_WITH_MODEL, "mlops.yaml": CONFIG})
    project.push()
    return Runner(project, tmp_path)


def test_a_push_trains_and_becomes_the_baseline_of_a_pull_request(runner: Runner) -> None:
    first = runner.push()
    assert "not evaluated" in first.outputs["verdict"]
    job = runner.pull_request(runner.propose({"params.json": '{"accuracy": 0.93}'}))
    assert job.outputs["verdict"] == "pass"
    assert "0.93" in job.summary
    assert job.summary.strip() == Path(job.outputs["report"]).read_text().strip()
    (run,) = [run["entity"] for run in json.loads(job.place.run("runs", "--json", "-n", "1"))]
    assert (run["ci"]["pull_request"], run["git"]["branch"]) == (7, "feature")
    assert run["git"]["head_sha"] != run["git"]["trained_sha"]


def test_a_worse_model_fails_the_pull_request(runner: Runner) -> None:
    runner.push()
    job = runner.pull_request(runner.propose({"params.json": '{"accuracy": 0.7}'}), expect=1)
    assert job.outputs["verdict"] == "fail"
    assert "::error title=mlops-ci::" in job.said


def test_a_pull_request_cannot_weaken_its_own_gates(runner: Runner) -> None:
    runner.push()
    weaker = CONFIG.replace("0.8", "0.1").replace("0.01", "0.9")
    job = runner.pull_request(runner.propose({"params.json": '{"accuracy": 0.7}', "mlops.yaml": weaker}), expect=1)
    assert job.outputs["verdict"] == "fail"
    assert "gates" in job.summary


def test_without_a_configuration_on_the_base_nothing_is_judged(empty: Workplace, tmp_path: Path) -> None:
    files = {"model.py": MODEL, "train.py": TRAIN_WITH_MODEL, "mlops.yaml": CONFIG, "params.json": '{"accuracy": 0.1}'}
    other = Runner(empty, tmp_path)
    job = other.pull_request(other.propose(files))
    assert job.outputs["verdict"] == "not evaluated"


def test_a_merged_pull_request_is_adopted_and_not_trained_again(runner: Runner) -> None:
    runner.push()
    job = runner.pull_request(runner.propose({"params.json": '{"accuracy": 0.93}'}))
    work = runner.project
    merge = git(work.remote, "rev-parse", "refs/pull/7/merge")
    tree = git(work.root, "rev-parse", f"{merge}^{{tree}}")
    squashed = git(work.root, "commit-tree", tree, "-p", git(work.remote, "rev-parse", "main"), "-m", "squashed")
    work.push(f"{squashed}:main")
    git(work.remote, "update-ref", "-d", "refs/pull/7/merge")
    adopted = runner.push()
    assert "adopted" in adopted.said
    with pytest.raises(subprocess.CalledProcessError):
        git(adopted.place.root, "cat-file", "-e", merge)
    assert adopted.outputs["run-id"] == job.outputs["run-id"]
    later = runner.pull_request(runner.propose({"params.json": '{"accuracy": 0.94}'}))
    assert squashed[:7] in later.summary


def test_a_job_with_a_shallow_clone_finds_its_baseline(runner: Runner) -> None:
    """As actions/checkout makes it unless it is told otherwise; squash merges and untrained commits in between."""
    runner.push()
    for number in range(3):
        runner.project.commit({"notes.md": f"{number}\n"})
    runner.project.push()
    runner.depth = ["--depth=1"]
    job = runner.pull_request(runner.propose({"params.json": '{"accuracy": 0.7}'}), expect=1)
    assert git(job.place.root, "rev-list", "--count", "HEAD") == "1"
    assert (job.outputs["verdict"], "shallow" in job.summary) == ("fail", False)
    assert "3 commits" in job.summary


def test_a_push_folds_what_has_become_many(runner: Runner) -> None:
    work = runner.project
    ledger = GitLedger(Checkout.find(work.root))
    ledger.append([an_adoption(number) for number in range(500)])
    job = runner.push()
    assert "folded 50" in job.said  # those, the run and its verdict
    assert git(work.remote, "for-each-ref", "refs/mlops/records") == ""
    assert runner.pull_request(runner.propose({"params.json": '{"accuracy": 0.93}'})).outputs["verdict"] == "pass"
    assert "folded" not in runner.push().said


def test_a_tag_registers_renders_and_asks_for_approval(runner: Runner) -> None:
    targets = TARGETS.replace("  staging: {kind: local, port: 39001}\n", "")
    image = f"serving: {{image: ghcr.io/acme/churn@sha256:{'0' * 64}}}\n"
    cluster = "  cluster: {kind: kubernetes, after: production}\n"
    runner.project.commit({"mlops.yaml": CONFIG + image + targets + cluster})
    runner.project.push()
    runner.push()
    git(runner.project.root, "tag", "churn@v1.0.0")
    runner.project.push("churn@v1.0.0")
    sha = git(runner.project.root, "rev-parse", "HEAD")
    job = runner("push", "refs/tags/churn@v1.0.0", {"repository": {"default_branch": "main"}}, sha=sha)
    assert (job.outputs["model"], job.outputs["version"]) == ("churn", "1.0.0")
    assert (Path(job.outputs["manifests"]) / "targets/cluster/deployment.yaml").exists()
    assert "waiting for approval" in job.said
    assert len(json.loads(job.place.run("approvals", "--json"))) == 1


def test_an_event_that_is_not_ours_is_one_sentence(runner: Runner) -> None:
    sha = git(runner.project.remote, "rev-parse", "main")
    job = runner("issues", "refs/heads/main", {}, sha=sha, expect=2)
    assert "the event 'issues' is none that mlops-ci acts on" in job.said


def test_the_training_does_not_see_the_workflows_token(runner: Runner) -> None:
    script = TRAIN_WITH_MODEL + "    import os\n    run.set_tag('seen', os.environ.get('GITHUB_TOKEN', 'none'))\n"
    runner.project.commit({"train.py": script})
    runner.project.push()
    job = runner.push()
    (run,) = json.loads(job.place.run("runs", "--json"))
    assert run["entity"]["tags"]["seen"] == "none"


def test_a_pull_request_cannot_bring_a_store_with_better_runs(runner: Runner) -> None:
    runner.push()
    own = CONFIG + "store: sqlite:///runs.db\n"
    job = runner.pull_request(runner.propose({"params.json": '{"accuracy": 0.7}', "mlops.yaml": own}), expect=1)
    assert job.outputs["verdict"] == "fail"
    assert "store" in job.summary
    assert not (job.place.root / "runs.db").exists()


def test_a_payload_without_a_base_is_not_judged_by_the_branchs_own_rules(runner: Runner) -> None:
    runner.push()
    sha = git(runner.project.remote, "rev-parse", "main")
    job = runner("pull_request", "refs/pull/7/merge", {"pull_request": {"number": 7}}, sha=sha, expect=2)
    assert "does not say what the pull request is to be merged into" in job.said


def test_a_clone_without_the_base_says_so_before_it_trains(runner: Runner) -> None:
    base = {"sha": "b" * 40, "ref": "main"}
    sha = git(runner.project.remote, "rev-parse", "main")
    payload = {"pull_request": {"number": 7, "head": {"sha": sha, "ref": "x"}, "base": base}}
    job = runner("pull_request", "refs/pull/7/merge", payload, sha=sha, expect=2)
    assert "fetch-depth: 0" in job.said
    assert "no run is recorded yet" in job.place.run("runs")


def test_two_trainings_of_one_job_are_judged_each_by_its_own_run(runner: Runner) -> None:
    sha = git(runner.project.remote, "rev-parse", "main")
    payload = {"repository": {"default_branch": "main"}, "pull_request": None}
    script = "import json, os, pathlib\n" + TRAIN_WITH_MODEL.replace(
        "with mlops", "params['accuracy'] *= float(os.environ.get('X', '1'))\nwith mlops"
    )
    sha = runner.project.commit({"train.py": script})
    runner.project.push()
    base = git(runner.project.root, "rev-parse", "HEAD^")
    payload = {"pull_request": {"number": 7, "head": {"sha": sha, "ref": "x"}, "base": {"sha": base, "ref": "main"}}}
    verdicts = []
    for factor, code in (("1", 0), ("0.5", 1)):
        runner.project.env["X"] = factor
        runner.count = 0
        runner.name = f"cell{factor}-"
        verdicts.append(runner("pull_request", "refs/pull/7/merge", payload, sha=sha, expect=code).outputs["verdict"])
    assert verdicts == ["not evaluated", "fail"]
