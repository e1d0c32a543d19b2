"""Attacks on the pull-request step, and accidents that honest people meet: through the real command and git."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops_ci import records
from mlops_ci.entities import Author, Metric, Run
from mlops_ci.lifecycle.two_jobs.bundle import read_bundle, write_bundle
from tests.cli.conftest import CONFIG, Workplace
from tests.cli.jobs import Change, Job, Runner
from tests.cli.test_github import BETTER, CHECK, WORSE, open_it, opened, ours
from tests.cli.test_release import MODEL, TRAIN_WITH_MODEL
from tests.cli.test_two_jobs import FORK, follow, fork, runs, train
from tests.github import events, faults
from tests.github.fixtures import emulator, github, make_github
from tests.repositories import git

if TYPE_CHECKING:
    from tests.github.gateway import GitHubServer

__all__ = ["emulator", "github", "make_github"]
SCOPED = CONFIG.replace("command: python train.py", "command: python train.py\n  paths: [train.py, params.json]")
GREEN = {"success", "neutral", "skipped"}  # what GitHub lets a required check pass with
LATER = CONFIG + "  - metric: recall\n    max_drop: 0.01\n"  # which the baseline has not logged
WITH_RECALL = TRAIN_WITH_MODEL.replace('{"accuracy": params', '{"recall": 0.1, "accuracy": params')
RECALL = {**BETTER, "train.py": WITH_RECALL}
DEPENDABOT: dict[str, Any] = {"triggering_actor": {"login": "dependabot[bot]"}}


@pytest.fixture
def runner(project: Workplace, tmp_path: Path, github: GitHubServer) -> Runner:
    """Runs jobs over a remote whose main branch has a model that was trained."""
    project.commit({"model.py": MODEL, "train.py": TRAIN_WITH_MODEL, "mlops.yaml": CONFIG})
    project.push()
    made = Runner(project, tmp_path, github)
    made.push(run_id=10)
    github.calls.clear()
    return made


def rebase_main(runner: Runner, files: dict[str, str], *, expect: int = 0) -> None:
    """Commit *files* to main, and train that."""
    runner.project.commit(files)
    runner.project.push()
    runner.push(run_id=20, expect=expect)


def into_branch(runner: Runner, branch: str, files: dict[str, str], head: str, *, number: int) -> Change:
    """A pull request of the commit *head* into *branch*, which is main with *files*."""
    work = runner.project
    git(work.root, "switch", "--quiet", "-C", branch, "origin/main")
    base = work.commit(files)
    git(work.root, "merge", "--quiet", "--no-ff", "-X", "ours", "-m", "merge", head)
    merge = git(work.root, "rev-parse", "HEAD")
    git(work.root, "switch", "--quiet", "main")
    work.push("--force", f"{base}:refs/heads/{branch}", f"{merge}:refs/pull/{number}/merge")
    return Change(number, head, base, merge)


def forged(bundle: str, into: Path, *claims: dict[str, Any]) -> Path:
    """The bundle with other claims: one run for each of *claims*."""
    found = read_bundle(Path(bundle), into / "read")
    run = found.runs[0].read(Run)
    made = [
        records.new(records.replace(run, run_id=f"{number:016x}", **claim), author=Author(name="hubot"))
        for number, claim in enumerate(claims, 1)
    ]
    write_bundle(into / "forged.zip", made, found.files)
    return into / "forged.zip"


def conclusion(github: GitHubServer, sha: str, name: str = CHECK) -> str:
    """What a branch rule sees: the newest check of that name."""
    return next((check["conclusion"] for check in github.check_runs(sha) if check["name"] == name), "none")


# A check that is green although the gates are not.


def test_the_head_does_not_say_whether_an_inconclusive_comparison_passes(runner: Runner, github: GitHubServer) -> None:
    rebase_main(runner, {"mlops.yaml": LATER}, expect=1)
    change = opened(runner, {**RECALL, "mlops.yaml": LATER + "on_inconclusive: pass\n"})
    job = runner.pull_request(change, expect=6)
    assert job.outputs["verdict"] == "inconclusive"
    assert conclusion(github, change.head) == "failure"


def test_a_fork_does_not_say_whether_an_inconclusive_comparison_passes(runner: Runner, github: GitHubServer) -> None:
    rebase_main(runner, {"mlops.yaml": LATER}, expect=1)
    change = fork(runner, {**RECALL, "mlops.yaml": LATER + "on_inconclusive: pass\n"})
    follow(runner, change, train(runner, change, expect=6))
    assert conclusion(github, change.head) == "failure"


def test_starting_the_workflow_by_hand_on_the_branch_does_not_turn_the_check_green(
    runner: Runner, github: GitHubServer
) -> None:
    change = opened(runner, {**WORSE, "mlops.yaml": CONFIG.replace("min: 0.8", "min: 0.1").replace("0.01", "0.9")})
    runner.pull_request(change, run_id=50, expect=1)
    assert conclusion(github, change.head) == "failure"
    payload = {"inputs": None, "ref": "refs/heads/feature", "repository": {"default_branch": "main"}}
    runner("workflow_dispatch", "refs/heads/feature", payload, sha=change.head, run_id=51)
    assert conclusion(github, change.head) == "failure"


def test_a_fork_cannot_name_its_check_where_no_configuration_rules(runner: Runner, github: GitHubServer) -> None:
    """A branch without mlops.yaml is in many repositories: of pages, of an old release."""
    work = runner.project
    change = runner.propose({"mlops.yaml": CONFIG + "report: {name: build}\n"}, number=1, fork=FORK)
    empty = git(work.root, "hash-object", "-t", "tree", "-w", "--stdin", stdin="")
    change.base = git(work.root, "commit-tree", empty, "-m", "pages")
    merging = ["-p", change.base, "-p", change.head, "-m", "merge"]
    change.merge = git(work.root, "commit-tree", f"{change.head}^{{tree}}", *merging)
    work.push("--force", f"{change.base}:refs/heads/pages", f"{change.merge}:refs/pull/1/merge")
    open_it(github, change)
    follow(runner, change, train(runner, change))
    assert conclusion(github, change.head, "build") == "none"


def test_a_pull_request_into_another_branch_does_not_turn_the_check_green(runner: Runner, github: GitHubServer) -> None:
    """Checks are of commits: the same head, proposed to a branch with weak gates, shares them."""
    change = opened(runner, WORSE)
    runner.pull_request(change, run_id=50, expect=1)
    weak = CONFIG.replace("min: 0.8", "min: 0.1").replace("0.01", "0.9")
    other = into_branch(runner, "legacy", {"mlops.yaml": weak}, change.head, number=2)
    other.number = github.open_pull_request(
        head_sha=change.head, base_sha=other.base, base_branch="legacy", merge_sha=other.merge
    )
    payload = other.payload(runner.repository)
    payload["pull_request"]["base"]["ref"] = "legacy"
    runner("pull_request", "refs/pull/2/merge", payload, sha=other.merge, run_id=51)
    assert conclusion(github, change.head) == "failure"


def test_a_stranger_who_proposes_the_same_commit_does_not_turn_the_check_green(
    runner: Runner, github: GitHubServer, tmp_path: Path
) -> None:
    change = opened(runner, WORSE)
    runner.pull_request(change, run_id=50, expect=1)
    copy = Change(2, change.head, change.base, change.merge, branch="copy", repository=FORK)
    open_it(github, copy)
    trained = train(runner, copy, run_id=51, expect=1)
    metrics = {"accuracy": Metric(last=0.99, min=0.99, max=0.99)}
    trained.outputs["bundle"] = str(forged(trained.outputs["bundle"], tmp_path, {"metrics": metrics}))
    follow(runner, copy, trained, run_id=51)
    assert conclusion(github, change.head) == "failure"


@pytest.mark.parametrize("path", ["params.*", "**/params.json", "/params.json", "../params.json"])
def test_a_path_that_git_reads_in_another_way_is_refused(runner: Runner, path: str) -> None:
    scoped = CONFIG.replace("command: python train.py", f"command: python train.py\n  paths: ['{path}']")
    runner.project.commit({"mlops.yaml": scoped})
    assert "mlops.yaml:4: run.paths" in runner.project.run("config", "check", expect=2)


@pytest.mark.parametrize("path", ["./params.json", "parms.json"])
def test_a_path_that_names_nothing_does_not_let_every_change_pass(
    runner: Runner, github: GitHubServer, path: str
) -> None:
    scoped = CONFIG.replace("command: python train.py", f"command: python train.py\n  paths: ['{path}']")
    rebase_main(runner, {"mlops.yaml": scoped})
    change = opened(runner, WORSE)
    runner.pull_request(change, expect=1)
    assert conclusion(github, change.head) == "failure"


# Baselines and versions.


def test_a_bundle_cannot_say_that_it_trained_the_tip_of_main(runner: Runner, tmp_path: Path) -> None:
    """Main is proposed to a branch whose code trains; what was checked out is the merge, and not main."""
    tip = git(runner.project.remote, "rev-parse", "main")
    git(runner.project.root, "fetch", "--quiet", "origin")
    change = into_branch(runner, "lax", {"params.json": '{"accuracy": 0.99}'}, _empty(runner, tip), number=1)
    change.head = tip
    trained = runner.pull_request(change, run_id=50, part="train")
    tree = git(runner.project.remote, "rev-parse", f"{tip}^{{tree}}")
    found = read_bundle(Path(trained.outputs["bundle"]), tmp_path / "look").runs[0].read(Run)
    claim = {"git": records.replace(found.git, trained_sha=tip, tree=tree)}
    bundle = forged(trained.outputs["bundle"], tmp_path, claim)
    runner.pull_request(change, run_id=50, part="record", bundles=[bundle], code=False, expect=4)
    assert len(runs(runner)) == 1
    git(runner.project.root, "tag", "-m", "one", "churn@v1.0.0", tip)
    git(runner.project.root, "push", "--quiet", "origin", "churn@v1.0.0")
    payload = {"repository": {"default_branch": "main"}}
    released = runner("push", "refs/tags/churn@v1.0.0", payload, sha=tip)
    assert released.outputs["run-id"] == runs(runner)[0]["run_id"]


def _empty(runner: Runner, parent: str) -> str:
    return git(runner.project.root, "commit-tree", f"{parent}^{{tree}}", "-p", parent, "-m", "nothing")


def test_a_token_that_the_head_asks_for_is_not_given_to_training(runner: Runner) -> None:
    script = TRAIN_WITH_MODEL + "import os\nprint('train.py has', 'GITHUB_TOKEN' in os.environ)\n"
    asking = CONFIG.replace("command: python train.py", "command: python train.py\n  env: [GITHUB_TOKEN]")
    change = opened(runner, {**BETTER, "train.py": script, "mlops.yaml": asking})
    assert "train.py has False" in runner.pull_request(change).said


def test_no_interpreter_of_a_project_is_told_where_records_are_kept(project: Workplace, tmp_path: Path) -> None:
    """Neither the one that trains nor the same one when it is asked for its packages."""
    seen, tools = tmp_path / "seen", tmp_path / "tools"
    tools.mkdir()
    script = f'#!/bin/sh\necho "${{RUNS_STORE-nothing}} ${{FAR_STORE-nothing}}" >> {seen}\nexec {sys.executable} "$@"\n'
    (tools / "python").write_text(script)
    (tools / "python").chmod(0o755)
    stores = "store: env:RUNS_STORE\ntargets: {far: {kind: local, port: 39006, store: 'env:FAR_STORE'}}\n"
    project.commit({"mlops.yaml": CONFIG + stores})
    secrets = {name: f"sqlite:///{tmp_path / name}.db" for name in ("RUNS_STORE", "FAR_STORE")}
    project.run("run", **secrets, PATH=os.pathsep.join([str(tools), project.env["PATH"]]))
    assert seen.read_text().splitlines() == ["nothing nothing"] * 2


# Filling the store.


def test_a_stranger_cannot_fill_the_ledger(runner: Runner, tmp_path: Path) -> None:
    change = fork(runner, BETTER)
    trained = train(runner, change)
    params = {f"p{number}": "x" * 90_000 for number in range(2)}
    trained.outputs["bundle"] = str(forged(trained.outputs["bundle"], tmp_path, *[{"params": params}] * 20))
    follow(runner, change, trained, expect=4)
    assert len(runs(runner)) == 1


# What honest people meet.


def test_a_fork_that_changes_nothing_of_the_model_is_not_affected(runner: Runner, github: GitHubServer) -> None:
    rebase_main(runner, {"mlops.yaml": SCOPED})
    change = fork(runner, {"notes.md": "a word\n"})
    trained = train(runner, change)
    assert trained.outputs["verdict"] == "not affected"
    follow(runner, change, trained)
    assert conclusion(github, change.head) in GREEN


def test_a_dependency_update_is_recorded_when_main_has_moved(runner: Runner, github: GitHubServer) -> None:
    """GitHub makes the merge commit anew whenever the target moves; Dependabot's job may take an hour."""
    change = opened(runner, BETTER)
    trained = train(runner, change)
    runner.project.commit({"notes.md": "a word\n"})
    runner.project.push()
    moved = runner.propose(BETTER, number=change.number)
    github.push(change.number, change.head, merge_sha=moved.merge)
    follow(runner, change, trained, **DEPENDABOT)
    assert conclusion(github, change.head) in GREEN


def test_a_dependency_update_whose_check_was_lost_gets_it_when_the_job_is_run_again(
    runner: Runner, github: GitHubServer
) -> None:
    change = opened(runner, BETTER)
    trained = train(runner, change)
    github.fault(method="POST", path="check-runs", times=4, kind=faults.status(500))
    follow(runner, change, trained, expect=3, **DEPENDABOT)
    follow(runner, change, Job(trained.place, "", {}, ""), **DEPENDABOT)
    assert conclusion(github, change.head) in GREEN


def test_of_a_matrix_one_job_may_adopt_and_another_train(runner: Runner, github: GitHubServer) -> None:
    """One job of a pull request was cancelled; after the merge it trains, and the other adopts."""
    cells = {version: json.dumps({"python": version}) for version in ("3.11", "3.12")}
    change = opened(runner, BETTER)
    matrix: dict[str, Any] = {"MLOPS_MATRIX_TOTAL": "2"}
    runner.pull_request(change, run_id=50, MLOPS_MATRIX_CELL=cells["3.11"], **matrix)
    git(runner.project.root, "merge", "--quiet", "--ff-only", change.merge)
    runner.project.push()
    first = runner.push(part="train", run_id=51, MLOPS_MATRIX_CELL=cells["3.11"], **matrix)
    second = runner.push(part="train", run_id=51, MLOPS_MATRIX_CELL=cells["3.12"], **matrix)
    assert "adopted" in first.said
    done = runner.push(part="record", run_id=51, bundles=[second.outputs["bundle"]], code=False)
    assert done.outputs["verdict"] == "pass"
    assert conclusion(github, change.merge) == "success"


def test_a_scheduled_job_that_died_is_not_stood_for_by_an_older_run(runner: Runner) -> None:
    """Of a matrix: what was trained before is not what was asked for now."""
    cells = [json.dumps({"python": version}) for version in ("3.11", "3.12")]
    sha = git(runner.project.remote, "rev-parse", "main")

    def job(part: str, *, run_id: int, cell: str = "", **options: Any) -> Job:
        variables = {"MLOPS_MATRIX_CELL": cell, "MLOPS_MATRIX_TOTAL": "2"} if cell else {}
        payload = events.schedule_event(repository=runner.repository)
        return runner("schedule", "refs/heads/main", payload, sha=sha, part=part, run_id=run_id, **options, **variables)

    both = [job("train", run_id=50, cell=cell).outputs["bundle"] for cell in cells]
    job("record", run_id=50, bundles=both, code=False)
    one = job("train", run_id=51, cell=cells[0]).outputs["bundle"]
    assert "1 of 2 training jobs left no run" in job("record", run_id=51, bundles=[one], code=False, expect=5).said


def test_the_schedule_trains_again(runner: Runner) -> None:
    sha = git(runner.project.remote, "rev-parse", "main")
    runner("schedule", "refs/heads/main", {"schedule": "17 4 * * 1"}, sha=sha, run_id=60)
    assert len(runs(runner)) == 2


def test_a_fork_may_change_two_models_of_one_repository(runner: Runner, github: GitHubServer) -> None:
    rebase_main(runner, {"models/fraud.yaml": CONFIG.replace("project: churn", "project: fraud")})
    change = fork(runner, BETTER)
    trained = train(runner, change)
    runner.config = "models/fraud.yaml"
    other = train(runner, change)
    runner.config = ""
    github.add_artifact(70, "mlops-bundle-fraud", {"mlops-bundle.zip": Path(other.outputs["bundle"]).read_bytes()})
    follow(runner, change, trained)
    assert conclusion(github, change.head) in GREEN


def test_a_matrix_of_models_waits_for_no_other_model(runner: Runner, github: GitHubServer) -> None:
    rebase_main(runner, {"models/fraud.yaml": CONFIG.replace("project: churn", "project: fraud")})
    change = opened(runner, BETTER)
    for config in ("mlops.yaml", "models/fraud.yaml"):
        runner.config = config
        cell: dict[str, Any] = {"MLOPS_MATRIX_CELL": "", "MLOPS_MATRIX_TOTAL": "2"}  # as with `gather: false`
        runner.pull_request(change, run_id=50, **cell)
    assert conclusion(github, change.head) in GREEN
    assert conclusion(github, change.head, "mlops-ci/fraud") in GREEN


def test_a_waiver_alone_is_shown_though_the_model_is_not_affected(runner: Runner, github: GitHubServer) -> None:
    rebase_main(runner, {"mlops.yaml": SCOPED})
    row = "{metric: accuracy, ceiling: 0.1, owner: octocat, reason: known, expires: 2099-01-01}"
    change = opened(runner, {".mlops/waivers.yaml": f"waivers:\n  - {row}\n"})
    runner.pull_request(change)
    assert "waiver" in "".join(ours(github, change.number))


def test_a_run_without_a_file_that_was_promised_is_recorded_all_the_same(runner: Runner) -> None:
    promised = CONFIG.replace("command: python train.py", "command: python train.py\n  metrics: [metrics.json]")
    runner.project.commit({"mlops.yaml": promised})
    runner.project.push()
    job = runner.push(part="train", run_id=20, expect=2)
    assert "bundle" in job.outputs


def test_pictures_do_not_go_where_code_is(runner: Runner) -> None:
    script = TRAIN_WITH_MODEL + (
        "    import pathlib\n    pathlib.Path('plots').mkdir(exist_ok=True)\n"
        "    pathlib.Path('plots/roc.svg').write_text('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')\n"
    )
    config = CONFIG.replace("command: python train.py", "command: python train.py\n  plots: [plots]")
    runner.project.commit({"train.py": script, "mlops.yaml": f"{config}report: {{assets: main}}\n"})
    runner.project.push()
    before = git(runner.project.remote, "rev-parse", "main")
    runner.push(run_id=20)
    assert git(runner.project.remote, "rev-parse", "main") == before


def test_a_release_of_something_else_is_no_failure(runner: Runner) -> None:
    sha = git(runner.project.remote, "rev-parse", "main")
    git(runner.project.root, "tag", "-m", "a tool", "tool-1.0", sha)
    git(runner.project.root, "push", "--quiet", "origin", "tool-1.0")
    payload = {"action": "published", "release": {"tag_name": "tool-1.0"}, "repository": {"default_branch": "main"}}
    runner("release", "refs/tags/tool-1.0", payload, sha=sha)


def test_a_change_cannot_write_into_the_comment_of_another_model(runner: Runner, github: GitHubServer) -> None:
    rebase_main(runner, {"models/fraud.yaml": CONFIG.replace("project: churn", "project: fraud")})
    change = opened(runner, {**WORSE, "mlops.yaml": CONFIG.replace("project: churn", "project: fraud")})
    runner.pull_request(change, expect=1)
    assert not any("key=fraud/fraud" in body for body in ours(github, change.number))


def test_two_jobs_that_tell_at_once_leave_one_comment(runner: Runner, github: GitHubServer, tmp_path: Path) -> None:
    """Both look, neither finds one, both write: the later edits reach the older of them alone."""
    change = opened(runner, BETTER)
    github.fault(method="GET", path="/comments", times=2, kind=faults.slow(3))
    cells = [json.dumps({"python": version}) for version in ("3.11", "3.12")]

    def job(cell: str) -> Job:
        own = Runner(runner.project, tmp_path, github, name=f"cell{cells.index(cell)}-")
        return own.pull_request(change, run_id=50, MLOPS_MATRIX_CELL=cell, MLOPS_MATRIX_TOTAL="2")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(job, cells))
    bodies = ours(github, change.number)
    assert ["1 of 2 jobs have reported" in body for body in bodies] == [False]


def test_a_job_without_a_checkout_finds_that_nothing_changed_since_an_older_run(runner: Runner) -> None:
    rebase_main(runner, {"mlops.yaml": SCOPED})
    rebase_main(runner, {"notes.md": "a word\n"})
    rebase_main(runner, {"notes.md": "two words\n"})
    change = opened(runner, {"notes.md": "three words\n"})
    runner.pull_request(change, run_id=50, part="train")
    done = runner.pull_request(change, run_id=50, part="record", code=False)
    assert done.outputs["verdict"] == "not affected"


def test_the_change_that_brings_the_configuration_is_recorded(runner: Runner, github: GitHubServer) -> None:
    git(runner.project.root, "rm", "--quiet", "mlops.yaml")
    runner.project.commit({})
    runner.project.push()
    change = opened(runner, {**BETTER, "mlops.yaml": CONFIG})
    trained = runner.pull_request(change, run_id=50, part="train")
    done = runner.pull_request(change, run_id=50, part="record", bundles=[trained.outputs["bundle"]], code=False)
    assert done.outputs["verdict"] == "not evaluated"
    assert conclusion(github, change.head) == "neutral"


def test_a_change_that_renames_the_project_is_judged_by_the_old_rules(runner: Runner, github: GitHubServer) -> None:
    change = opened(runner, {**WORSE, "mlops.yaml": CONFIG.replace("project: churn", "project: lapse")})
    trained = runner.pull_request(change, run_id=50, part="train", expect=1)
    runner.pull_request(change, run_id=50, part="record", bundles=[trained.outputs["bundle"]], code=False, expect=1)
    assert conclusion(github, change.head) == "failure"


def test_a_fork_that_is_gone_is_still_answered(runner: Runner, github: GitHubServer) -> None:
    change = runner.propose(BETTER, number=1, fork=FORK)
    number = github.open_pull_request(
        head_sha=change.head, base_sha=change.base, head_repository=None, merge_sha=change.merge
    )
    trained = train(runner, change)
    said = follow(runner, change, trained, head_repository=None).said
    assert "recorded run" in said or "no open pull request" in said
    assert len(runs(runner)) == (2 if ours(github, number) else 1)


@pytest.mark.parametrize("folder", ["a b", "it's", 'say "x"', "[x]"])
def test_a_checkout_may_lie_anywhere(runner: Runner, github: GitHubServer, folder: str) -> None:
    change = opened(runner, BETTER)
    runner.name = f"{folder}/job"
    (runner.tmp_path / folder).mkdir()
    trained = runner.pull_request(change, run_id=50, part="train")
    runner.pull_request(change, run_id=50, part="record", bundles=[trained.outputs["bundle"]], code=False)
    assert conclusion(github, change.head) == "success"


@pytest.mark.parametrize("name", ["pull_request", "merge_group", "push", "workflow_run", "issue_comment", "release"])
@pytest.mark.parametrize("payload", ["{}", "[]", "null", '{"pull_request": 3, "workflow_run": [], "release": "x"}'])
def test_an_event_without_its_facts_is_told_in_a_sentence(runner: Runner, name: str, payload: str) -> None:
    sha = git(runner.project.remote, "rev-parse", "main")
    event = runner.tmp_path / "event.json"
    event.write_text(payload)
    enough = payload.startswith("{") and name in {"push", "workflow_run", "issue_comment"}
    runner(name, "refs/heads/main", {}, sha=sha, expect=0 if enough else 2, GITHUB_EVENT_PATH=str(event))


def test_whoever_edits_our_comment_does_not_keep_it_as_it_is(runner: Runner, github: GitHubServer) -> None:
    """A maintainer may edit a bot's comment: a marker of a far future would end its renewal."""
    change = opened(runner, BETTER)
    runner.pull_request(change, run_id=50)
    (comment,) = github.comments(change.number)
    body = comment["body"]
    marker = body.rstrip().rpartition("\n")[2]
    far = marker.replace("50.1", "99999999999999.1").replace("run=50", "run=99999999999999")
    assert far != marker
    github.edit_comment(comment["id"], "all is well\n\n" + far, author="octocat")
    worse = runner.propose(WORSE, number=change.number)
    github.push(change.number, worse.head)
    runner.pull_request(worse, run_id=51, expect=1)
    assert any("not ready to merge" in found for found in ours(github, change.number))
