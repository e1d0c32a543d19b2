"""Every mistake in a workflow that `mlops-ci doctor` knows, made in what `mlops-ci init` writes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlops_ci import config as configuration
from mlops_ci.lifecycle.setup_checks import workflow_files, workflow_jobs, workflow_triggers
from mlops_ci.lifecycle.setup_checks.expressions import may_be_true
from mlops_ci.lifecycle.setup_checks.findings import Finding
from mlops_ci.lifecycle.start_project import start_project
from tests.repositories import git

MLOPS, RECORD = ".github/workflows/mlops.yml", ".github/workflows/mlops-record.yml"
CONFIG = "project: churn\nrun: {command: python train.py}\n"
WITH_TARGET = CONFIG + "targets: {staging: {kind: local, port: 39001}}\n"


def looked(root: Path, text: str = CONFIG, *, name: str = "mlops.yaml", **known: Any) -> list[Finding]:
    every, broken = workflow_files.read_all(root)
    ours = workflow_files.using_us(every, name, default="mlops.yaml")
    if not ours:
        return broken
    config = configuration.parse(text, name)
    told = {"branch": "main", "queue": True, **known}
    return [*broken, *workflow_triggers.check(ours, every, config, **told), *workflow_jobs.check(ours, config)]


def bad(findings: list[Finding]) -> list[tuple[str, str]]:
    return [
        (finding.check.removeprefix("workflows."), finding.level) for finding in findings if finding.level != "right"
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `init` writes: `two` jobs, and `one`."""
    folder = tmp_path_factory.mktemp("written")
    for name in ("two", "one"):
        (folder / name).mkdir()
        git(folder / name, "init", "--quiet", "--initial-branch=main")
        start_project(folder / name, name="churn", one_step=name == "one")
    return folder


@pytest.fixture
def pair(written: Path, tmp_path: Path) -> Path:
    """A folder with the two workflows that `init` writes."""
    shutil.copytree(written / "two" / ".github", tmp_path / ".github")
    return tmp_path


@pytest.fixture
def one_step(written: Path, tmp_path: Path) -> Path:
    """A folder with the workflow that `init --one-step` writes, and the one for forks."""
    shutil.copytree(written / "one" / ".github", tmp_path / ".github")
    return tmp_path


def edit(root: Path, file: str, before: str, after: str) -> None:
    text = (root / file).read_text("utf-8")
    assert before in text, before
    (root / file).write_text(text.replace(before, after), "utf-8")


@pytest.mark.parametrize("kind", ["pair", "one_step"])
@pytest.mark.parametrize("text", [CONFIG, WITH_TARGET])
def test_what_init_writes_is_right(request: pytest.FixtureRequest, kind: str, text: str) -> None:
    findings = looked(request.getfixturevalue(kind), text)
    assert bad(findings) == []
    assert {finding.check.removeprefix("workflows.") for finding in findings} == {
        "pull_request",
        "merge_group",
        "push",
        "tag",
        "paths",
        "workflow_run",
        "permissions",
        "pinned",
    }


PULL = (
    "  pull_request:\n    types: [opened, reopened, synchronize, edited] # edited: it may be for another branch now\n"
)
MISTAKES = {
    # What starts it.
    "no pull_request": (MLOPS, PULL, "", "pull_request", "wrong", "no pull request is judged"),
    "other branches only": (
        MLOPS,
        PULL,
        "  pull_request: {branches: [release/*]}\n",
        "pull_request",
        "wrong",
        "into main start nothing",
    ),
    "main ignored": (
        MLOPS,
        PULL,
        "  pull_request: {branches-ignore: ['m*']}\n",
        "pull_request",
        "wrong",
        "into main start nothing",
    ),
    "opened only": (
        MLOPS,
        PULL,
        "  pull_request: {types: [opened]}\n",
        "pull_request",
        "wrong",
        "lacks synchronize and reopened",
    ),
    "no merge_group": (MLOPS, "  merge_group:\n", "", "merge_group", "wrong", "has a merge queue"),
    "no push": (MLOPS, 'branches: ["main"]', 'branches: ["develop"]', "push", "wrong", "no baseline"),
    "main taken out again": (MLOPS, 'branches: ["main"]', 'branches: ["**", "!main"]', "push", "wrong", "no baseline"),
    "paths": (MLOPS, PULL, "  pull_request: {paths: ['src/**']}\n", "paths", "wrong", "stays pending"),
    "paths-ignore": (MLOPS, PULL, "  pull_request: {paths-ignore: ['*.md']}\n", "paths", "wrong", "`paths-ignore:`"),
    "paths of the queue": (
        MLOPS,
        "  merge_group:\n",
        "  merge_group: {paths: ['src/**']}\n",
        "paths",
        "wrong",
        "`merge_group`",
    ),
    "a renamed workflow": (MLOPS, "name: mlops\n", "name: Mlops CI\n", "workflow_run", "wrong", "called 'mlops'"),
    # What its jobs may do.
    "write-all": (
        MLOPS,
        "    permissions:\n      contents: read #",
        "    permissions: write-all #",
        "permissions",
        "wrong",
        "`permissions: write-all`",
    ),
    "training may write": (
        MLOPS,
        "contents: read #",
        "contents: write #",
        "permissions",
        "wrong",
        "whatever it runs may do so too",
    ),
    "training may comment": (
        MLOPS,
        "      contents: read #",
        "      pull-requests: write\n      contents: read #",
        "permissions",
        "wrong",
        "(pull-requests: write)",
    ),
    "training may identify itself": (
        MLOPS,
        "      contents: read #",
        "      id-token: write\n      contents: read #",
        "id_token",
        "warning",
        "id-token",
    ),
    "training may not read": (MLOPS, "contents: read #", "actions: read #", "permissions", "wrong", "`contents: read`"),
    "no comment": (
        MLOPS,
        "      pull-requests: write #",
        "      issues: write #",
        "permissions",
        "wrong",
        "record lacks `pull-requests: write`",
    ),
    "no check": (
        MLOPS,
        "      checks: write #",
        "      checks: read #",
        "permissions",
        "wrong",
        "`checks: write` or `statuses: write`",
    ),
    "no ledger": (
        RECORD,
        "      actions: read # the bundle of the other workflow\n      contents: write",
        "      actions: read\n      contents: read",
        "permissions",
        "wrong",
        "record lacks `contents: write`",
    ),
    "no bundle": (RECORD, "      actions: read #", "      issues: read #", "permissions", "wrong", "`actions: read`"),
    "training on strangers' events": (
        RECORD,
        "part: record",
        "part: all",
        "untrusted_code",
        "wrong",
        "trains on `workflow_run`",
    ),
    "a newer run ends the record": (
        RECORD,
        "permissions: {}\n",
        "permissions: {}\nconcurrency: {group: x, cancel-in-progress: true}\n",
        "cancel",
        "warning",
        "while it records",
    ),
    # What its steps bring.
    "credentials kept": (
        MLOPS,
        "          persist-credentials: false # or training could find them\n",
        "",
        "credentials",
        "warning",
        "the job train leaves its token",
    ),
    "shallow": (
        MLOPS,
        "          fetch-depth: 0 # the history, in which the baseline is looked for\n",
        "",
        "fetch_depth",
        "wrong",
        "lacks the target branch",
    ),
}


@pytest.mark.parametrize(("file", "before", "after", "check", "level", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake(pair: Path, file: str, before: str, after: str, check: str, level: str, said: str) -> None:
    edit(pair, file, before, after)
    findings = [finding for finding in looked(pair) if finding.level != "right"]
    assert {(finding.check.removeprefix("workflows."), finding.level) for finding in findings} == {(check, level)}
    assert any(said in finding.text for finding in findings), [finding.text for finding in findings]
    assert all(finding.hint for finding in findings)
    assert all((pair / finding.file).is_file() for finding in findings)


def test_a_mistake_has_its_line(pair: Path) -> None:
    edit(pair, MLOPS, PULL, "  pull_request: {paths: ['src/**']}\n")
    (finding,) = [finding for finding in looked(pair) if finding.level != "right"]
    assert (pair / MLOPS).read_text().splitlines()[finding.line - 1].strip().startswith("pull_request:")


def test_pull_request_target_is_refused(pair: Path) -> None:
    edit(pair, MLOPS, PULL, "  pull_request_target:\n")
    assert ("pull_request_target", "wrong") in bad(looked(pair))


def test_a_moving_tag_is_no_pin(pair: Path) -> None:
    text = (pair / MLOPS).read_text()
    (pair / MLOPS).write_text(re.sub(r"actions/checkout@[0-9a-f]{40}", "actions/checkout@v7", text))
    (finding,) = [finding for finding in looked(pair) if finding.level != "right"]
    assert (finding.check, finding.level) == ("workflows.pinned", "warning")
    assert finding.text.endswith("actions/checkout@v7")


@pytest.mark.parametrize(("text", "level"), [(CONFIG, "warning"), (WITH_TARGET, "wrong")])
@pytest.mark.parametrize("tags", ['["v*"]', '["*/v*"]', '["churn@v*", "!churn@v1.*"]'])
def test_tags_that_are_not_the_registrys(pair: Path, text: str, level: str, tags: str) -> None:
    edit(pair, MLOPS, '    tags: ["*@v*"]\n  release:\n    types: [published]\n', f"    tags: {tags}\n")
    (finding,) = [finding for finding in looked(pair, text) if finding.level != "right"]
    assert (finding.check, finding.level) == ("workflows.tag", level)
    assert 'tags: ["churn@v*"]' in finding.hint


def test_a_release_is_as_good_as_its_tag(pair: Path) -> None:
    edit(pair, MLOPS, '    tags: ["*@v*"]\n', "")
    assert bad(looked(pair, WITH_TARGET)) == []


def test_jobs_that_no_tag_reaches_release_nothing(pair: Path) -> None:
    edit(pair, MLOPS, "if: github.ref_type == 'tag' || inputs.tag", "if: github.ref_type == 'branch'")
    assert ("tag", "wrong") in bad(looked(pair, WITH_TARGET))


def test_without_the_second_workflow_forks_hear_nothing(pair: Path) -> None:
    (pair / RECORD).unlink()
    assert bad(looked(pair)) == [("forks", "warning")]


def test_a_queue_that_nobody_could_ask_about(pair: Path) -> None:
    assert bad(looked(pair, queue=None)) == []
    edit(pair, MLOPS, "  merge_group:\n", "")
    assert bad(looked(pair, queue=None)) == [("merge_group", "unknown")]
    assert bad(looked(pair, queue=False)) == []


def test_an_unknown_default_branch_is_no_mistake(pair: Path) -> None:
    assert bad(looked(pair, branch="")) == [("push", "unknown")]


@pytest.mark.parametrize(
    ("report", "permissions", "expected"),
    [
        ("{check: status}", "statuses: write", []),
        ("{check: status}", "checks: write", [("permissions", "wrong")]),
        ("{check: check-run}", "statuses: write", [("permissions", "wrong")]),
        ("{check: auto}", "statuses: write", []),
        ("{check: none}", "issues: read", []),
    ],
)
def test_the_check_takes_what_it_is(
    one_step: Path, report: str, permissions: str, expected: list[tuple[str, str]]
) -> None:
    (one_step / RECORD).unlink()
    edit(one_step, MLOPS, "checks: write", permissions)
    found = [one for one in bad(looked(one_step, f"{CONFIG}report: {report}\n")) if one[0] != "forks"]
    assert found == expected


def test_no_comment_takes_no_permission_for_it(one_step: Path) -> None:
    edit(one_step, MLOPS, "      pull-requests: write # the comment\n", "")
    edit(one_step, RECORD, "      pull-requests: write # the comment\n", "")
    assert ("permissions", "wrong") in bad(looked(one_step))
    assert bad(looked(one_step, CONFIG + "report: {comment: never}\n")) == []


def test_permissions_that_nobody_named(tmp_path: Path) -> None:
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    steps = "steps: [{uses: actions/checkout@v7, with: {fetch-depth: 0}}, {uses: acme/mlops-ci@v1}]"
    (folder / "ml.yaml").write_text(f"on: [push, pull_request]\njobs: {{ml: {{runs-on: x, {steps}}}}}\n")
    findings = looked(tmp_path, queue=False)
    assert ("permissions", "wrong") in bad(findings)
    named = next(finding for finding in findings if finding.check == "workflows.permissions")
    assert "contents: write, pull-requests: write, checks: write" in named.hint
    assert {name for name, _ in bad(findings)} == {"permissions", "credentials", "pinned", "forks"}


def test_permissions_of_the_workflow_are_those_of_its_jobs(tmp_path: Path) -> None:
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    (folder / "ml.yml").write_text(
        "on: push\npermissions: {contents: write, checks: write}\n"
        "jobs: {ml: {runs-on: x, steps: [{uses: acme/mlops-ci@v1}]}}\n"
    )
    assert "permissions" not in {name for name, _ in bad(looked(tmp_path, queue=False))}


@pytest.mark.parametrize("on", ["on", '"on"', "'on'"])
@pytest.mark.parametrize("events", ["push", "[push, pull_request]", "{push: , pull_request: {}}"])
def test_every_way_to_write_the_triggers(on: str, events: str) -> None:
    """YAML 1.1 takes a bare `on` for a boolean; GitHub does not."""
    workflow = workflow_files.read(f"{on}: {events}\njobs: {{}}\n".encode(), "x.yml")
    assert workflow.triggers[0].event == "push"


@pytest.mark.parametrize(
    "text",
    ["", "just text", "- a list", "on: [push\n", "a: &a [*a]", "name: !!python/name:os.system x", "\x00", "{" * 5_000],
)
def test_a_file_that_is_no_workflow_is_one_finding(pair: Path, text: str) -> None:
    (pair / ".github/workflows/broken.yml").write_text(text)
    assert bad(looked(pair)) == [("readable", "wrong")]


@pytest.mark.parametrize(
    "text",
    [
        "on: 7\njobs: []\n",
        "on: {push: 3, pull_request: [x]}\njobs: {a: 1, b: [], c: {steps: {}}}\n",
        "on: {push: {branches: {a: b}, tags: 5}}\njobs: {a: {steps: [1, {uses: 2}, {uses: x/mlops-ci@v1, with: 3}]}}\n",
        "on: {workflow_run: {workflows: {}}}\npermissions: [a]\nconcurrency: 5\njobs: {a: {if: [y], steps: [ODD]}}\n",
    ],
)
def test_a_workflow_of_nonsense_ends_in_sentences(pair: Path, text: str) -> None:
    for file in (pair / ".github/workflows").iterdir():
        file.unlink()
    (pair / ".github/workflows/odd.yml").write_text(text.replace("ODD", "{uses: x/mlops-ci@v1, with: {part: [a]}}"))
    looked(pair)


def test_a_workflow_that_others_call_has_their_triggers(pair: Path) -> None:
    edit(pair, MLOPS, PULL, "  workflow_call:\n")
    assert ("pull_request", "wrong") in bad(looked(pair))
    (pair / ".github/workflows/caller.yml").write_text(
        f"on: {{pull_request: {{paths: [src]}}}}\njobs: {{ml: {{uses: ./{MLOPS}}}}}\n"
    )
    findings = looked(pair)
    assert bad(findings) == [("paths", "wrong")]
    assert next(one for one in findings if one.level == "wrong").file == ".github/workflows/caller.yml"


def test_the_workflows_of_another_project_are_not_this_ones(pair: Path) -> None:
    edit(
        pair,
        MLOPS,
        "        with:\n          part: train\n",
        "        with: {part: train, config: ./fraud/mlops.yaml}\n",
    )
    assert ("pull_request", "wrong") in bad(looked(pair))
    assert ("pull_request", "wrong") not in bad(looked(pair, name="fraud/mlops.yaml"))


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("main", "main", True),
        ("mai", "main", False),
        ("*", "main", True),
        ("*", "a/b", False),
        ("**", "a/b", True),
        ("releases/**", "releases/1/x", True),
        ("v[12].+", "v1.", True),
        ("v?1", "1", True),
        ("*@v*", "a@v1.2", True),
        ("a.c", "abc", False),
        ("[", "[", True),
        ("v[0-9]+", "v12", True),
    ],
)
def test_patterns_as_github_reads_them(pattern: str, name: str, *, expected: bool) -> None:
    assert workflow_files.matches([pattern], name) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("github.event_name == 'push'", True),
        ("github.event_name != 'push'", False),
        ("${{ false }}", False),
        ("GitHub.Event_Name == 'PUSH' && github.actor != 'x'", True),
        ("!(github.event_name == 'push')", False),
        ("github.actor == 'x' && github.event_name == 'schedule'", False),
        ("inputs.tag", False),
        ("!inputs.tag", True),
        ("github.actor == 'x' || github.event_name == 'schedule'", True),
        ("startsWith(github.ref, 'refs/tags/')", False),
        ("always() && startsWith(github.ref, 'refs/heads')", True),
        ("contains(github.event_name, 'us')", True),
        ("github.event_name == 'it''s'", False),
        ("success()", True),
        ("not ( an expression", True),
        ("a b", True),
        ("${{ github.event_name }} == 'schedule'", True),
        ("fromJSON('[1]')[0]", True),
        ("1 == 2", False),
        ("((((", True),
        ("github.event_name == 'schedule' || github.event_name == 'x' && always()", False),
    ],
)
def test_conditions_as_far_as_they_can_be_told(condition: str, *, expected: bool) -> None:
    known = {"github.event_name": "push", "github.ref": "refs/heads/", "inputs.": ""}
    assert may_be_true(condition, known) is expected
