"""`mlops-ci doctor`: what it says of a project that is set up well, and of one that is not."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from mlops_ci.lifecycle.start_project import start_project
from tests.cli.conftest import CONFIG, Workplace
from tests.git_http import serving
from tests.github import faults, fixtures
from tests.github.gateway import GitHubServer
from tests.repositories import git

emulator, make_github, github = fixtures.emulator, fixtures.make_github, fixtures.github

CHECK = "mlops-ci/churn"
GITHUB_ACTIONS = 15368
PRODUCTION = "targets:\n  production: {kind: local, port: 39002}\n"
PROTECTED = "targets:\n  production: {kind: local, port: 39002, approval: {required: 1}}\n"
KEY = 'octo-lead@example.com namespaces="mlops-ci" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJunk\n'
READS = {"contents": "read", "administration": "read", "actions": "read"}


class Clinic:
    """A project, the GitHub that it takes for its own, and the doctor."""

    def __init__(self, project: Workplace, github: GitHubServer) -> None:
        self.project, self.github = project, github
        self.token = github.token("octocat")

    def env(self, **more: str) -> dict[str, str]:
        named = {"GITHUB_API_URL": self.github.url, "GITHUB_REPOSITORY": self.github.repository}
        return {**named, "GITHUB_TOKEN": self.token, **more}

    def says(self, *, expect: int = 0, **env: str) -> str:
        return self.project.run("doctor", expect=expect, **self.env(**env))

    def finds(self, *, expect: int = 0, **env: str) -> dict[str, dict[str, Any]]:
        """The worst finding of each check."""
        found = json.loads(self.project.run("doctor", "--json", expect=expect, **self.env(**env)))
        rising = ["right", "unknown", "warning", "wrong"]
        return {one["check"]: one for one in sorted(found["findings"], key=lambda one: rising.index(one["level"]))}


@pytest.fixture
def clinic(project: Workplace, github: GitHubServer) -> Clinic:
    """A project with workflows and a protected production, all of it pushed, whose check is required."""
    (project.root / "mlops.yaml").unlink()
    start_project(project.root, name="churn")
    files = {"mlops.yaml": CONFIG + PROTECTED, ".mlops/allowed_signers": KEY}
    project.commit(files)
    project.push()
    github.require_checks("main", [CHECK], app=GITHUB_ACTIONS)
    return Clinic(project, github)


def levels(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: one["level"] for name, one in found.items() if one["level"] != "right"}


def steady(said: str, clinic: Clinic) -> str:
    """What does not change from one run of the test to the next."""
    said = said.replace(clinic.github.repository, "octocat/churn")
    said = said.replace(str(clinic.project.remote), "<remote>").replace(str(clinic.project.root), "<clone>")
    said = re.sub(r"\brun \S+ of", "run <id> of", said)
    said = re.sub(r"\b[0-9a-f]{7}\b", "<commit>", said)
    return re.sub(r"Python 3[.0-9]+", "Python 3.x", said)


def test_a_project_that_is_set_up_well(clinic: Clinic, snapshot: SnapshotAssertion) -> None:
    clinic.project.run("run")
    assert steady(clinic.says(), clinic) == snapshot


@pytest.mark.parametrize("width", ["80", "120"])
def test_a_project_that_is_not(clinic: Clinic, snapshot: SnapshotAssertion, width: str) -> None:
    work, day = clinic.project, datetime.now(UTC).date()
    flow = (work.root / ".github/workflows/mlops.yml").read_text()
    flow = re.sub(r"  pull_request:\n    types: .*\n", "  pull_request: {paths: [src/**]}\n", flow).replace(
        "name: mlops\n", "name: ml\n"
    )
    flow = flow.replace("contents: read #", "contents: write #").replace("  merge_group:\n", "")
    waiver = (
        "waivers:\n- {metric: accuracy, ceiling: 0.7, owner: octocat, reason: known, "
        f"expires: {day - timedelta(days=1)}}}\n"
    )
    config = CONFIG.replace("churn", "churn2") + PRODUCTION + "artifacts: models\n"
    work.commit({".github/workflows/mlops.yml": flow, "mlops.yaml": config, ".mlops/waivers.yaml": waiver})
    git(work.root, "config", "remote.origin.url", "/nowhere/churn.git")
    said = clinic.says(expect=1, COLUMNS=width).replace(str(day - timedelta(days=1)), "<yesterday>")
    assert max(map(len, said.splitlines())) <= int(width)
    assert steady(said, clinic) == snapshot


def test_without_a_token_everything_here_is_looked_at(clinic: Clinic) -> None:
    found = clinic.finds(GITHUB_TOKEN="")
    assert levels(found) == {"records.baseline": "warning", "merging.required": "unknown", "token.valid": "unknown"}
    assert "GH_TOKEN=$(gh auth token)" in found["token.valid"]["hint"]
    assert "there is no token" in found["merging.required"]["text"]
    assert clinic.github.calls == []


def test_either_variable_holds_the_token(clinic: Clinic) -> None:
    found = clinic.finds(GITHUB_TOKEN="", GH_TOKEN=clinic.token)
    assert "octocat's" in found["token.valid"]["text"]


def test_the_json_has_a_stable_shape(clinic: Clinic) -> None:
    said = json.loads(clinic.project.run("doctor", "--json", **clinic.env()))
    assert set(said) == {"project", "repository", "ok", "findings"}
    assert (said["project"], said["repository"], said["ok"]) == ("churn", clinic.github.repository, True)
    assert {frozenset(one) for one in said["findings"]} == {
        frozenset({"check", "level", "text", "hint", "file", "line"})
    }
    assert all(one["hint"] for one in said["findings"] if one["level"] in {"warning", "wrong"})


def test_every_question_is_asked_once(clinic: Clinic) -> None:
    clinic.project.commit({"mlops.yaml": CONFIG + PRODUCTION})
    clinic.project.push()
    clinic.says(expect=1)
    assert len(clinic.github.calls) <= 6


# The clone.


def test_outside_a_repository_that_is_the_answer(tmp_path: Path, project: Workplace) -> None:
    place = tmp_path / "nowhere"
    place.mkdir()
    said = Workplace(place, {**project.env, "GIT_CEILING_DIRECTORIES": str(tmp_path)}).run("doctor", expect=1)
    assert "is not in a git repository" in said
    assert "`git init` makes one" in said


def test_a_repository_without_anything(tmp_path: Path, project: Workplace) -> None:
    git(tmp_path, "init", "--quiet", "bare-bones")
    said = Workplace(tmp_path / "bare-bones", project.env).run("doctor", expect=1)
    for sentence in ("the repository has no commit", "has no remote", "mlops.yaml is not there"):
        assert sentence in said


def test_a_shallow_clone(clinic: Clinic) -> None:
    place = clinic.project.clone("shallow", "--depth=1")
    found = Clinic(place, clinic.github).finds()
    assert found["git.history"]["level"] == "warning"


def test_a_remote_that_takes_no_records(clinic: Clinic) -> None:
    with serving(clinic.project.remote.parent) as host:
        git(clinic.project.root, "config", "remote.origin.url", f"{host.url}/origin.git")
        assert clinic.finds()["git.push"]["level"] == "right"
        host.refusing = 403
        found = clinic.finds(expect=1)["git.push"]
    assert (found["level"], "would wait in this clone" in found["text"]) == ("wrong", True)


def test_a_driver_that_is_not_installed(clinic: Clinic, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without/sitecustomize.py").write_text("import sys\nsys.modules['psycopg'] = None\n")
    clinic.project.commit({"mlops.yaml": f"{CONFIG}{PROTECTED}store: postgresql://octocat:secret@localhost:1/churn\n"})
    said = clinic.project.run("doctor", "--json", expect=1, **clinic.env(PYTHONPATH=str(tmp_path / "without")))
    found = {one["check"]: one for one in json.loads(said)["findings"]}
    assert "pip install 'mlops-ci[postgresql]'" in found["python.packages"]["hint"]
    assert found["records.store"]["level"] == "wrong"
    assert "secret" not in said
    assert clinic.finds(expect=1)["python.packages"]["level"] == "right"


def test_a_store_whose_address_is_not_set(clinic: Clinic) -> None:
    clinic.project.commit({"mlops.yaml": f"{CONFIG}{PROTECTED}store: env:STORE\n"})
    assert "`store: env:STORE` names an environment variable" in clinic.finds(expect=1)["records.store"]["text"]


# The files that rule.


def test_a_wrong_configuration_leaves_the_rest_to_be_looked_at(clinic: Clinic) -> None:
    clinic.project.commit({"mlops.yaml": CONFIG.replace("gates", "gate")})
    found = clinic.finds(expect=1)
    assert "did you mean 'gates'" in found["configuration.valid"]["text"]
    assert (found["git.remote"]["level"], found["token.valid"]["level"]) == ("right", "right")


def test_rules_that_are_not_merged_yet(clinic: Clinic) -> None:
    clinic.project.commit({"mlops.yaml": CONFIG.replace("0.8", "0.7") + PROTECTED})
    found = clinic.finds()["configuration.default_branch"]
    assert found["level"] == "warning"
    assert "otherwise in gates; until it is merged, main's rules" in found["text"]


@pytest.mark.parametrize(
    ("days", "level", "said"),
    [(-1, "warning", "ended on"), (0, "warning", "ends today"), (14, "warning", "ends in 14 days"), (15, "right", "")],
)
def test_waivers_that_end(clinic: Clinic, days: int, level: str, said: str) -> None:
    day = datetime.now(UTC).date() + timedelta(days=days)
    row = {"metric": "accuracy", "ceiling": 0.7, "owner": "octocat", "reason": "known", "expires": str(day)}
    clinic.project.commit({".mlops/waivers.yaml": json.dumps({"waivers": [row]})})
    found = clinic.finds()["configuration.waivers"]
    assert (found["level"], said in found["text"]) == (level, True)


def test_waivers_and_keys_that_cannot_be_read(clinic: Clinic) -> None:
    files = {".mlops/waivers.yaml": "waivers: [{metric: x}]\n", ".mlops/allowed_signers": KEY + "octocat no-key\n"}
    clinic.project.commit(files)
    found = clinic.finds(expect=1)
    assert found["configuration.waivers"]["level"] == "wrong"
    assert (found["configuration.allowed_signers"]["level"], found["configuration.allowed_signers"]["line"]) == (
        "wrong",
        2,
    )


# The store.


def test_a_baseline_is_found_with_its_distance(clinic: Clinic) -> None:
    clinic.project.run("run")
    clinic.project.commit({"notes.md": "x\n"})
    clinic.project.push()
    found = clinic.finds()["records.baseline"]
    assert (found["level"], "1 commit back" in found["text"]) == ("right", True)


def test_records_that_wait(clinic: Clinic) -> None:
    git(clinic.project.root, "config", "remote.origin.url", str(clinic.project.remote) + "x")
    clinic.project.run("run")
    git(clinic.project.root, "config", "remote.origin.url", str(clinic.project.remote))
    found = clinic.finds()["records.waiting"]
    assert (found["level"], found["hint"]) == ("warning", "`mlops-ci sync` sends it")


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("artifacts: models", "records.artifacts"),
        ("store: sqlite:///runs.db", "records.local_store"),
        ("  far: {kind: local, port: 39003, store: 'sqlite:////var/far.db'}", "records.local_store"),
    ],
)
def test_what_one_machine_has_is_not_enough_for_ci(clinic: Clinic, line: str, check: str) -> None:
    clinic.project.commit({"mlops.yaml": f"{CONFIG}{PROTECTED}{line}\n"})
    assert clinic.finds(expect=1)[check]["level"] == "wrong"
    for file in (clinic.project.root / ".github/workflows").iterdir():
        file.unlink()
    assert check not in clinic.finds(expect=1)


# The workflows; their mistakes are in tests/unit/lifecycle/test_workflow_checks.py.


def test_a_project_without_workflows(clinic: Clinic) -> None:
    for file in (clinic.project.root / ".github/workflows").iterdir():
        file.unlink()
    assert clinic.finds(expect=1)["workflows.used"]["level"] == "wrong"


def test_a_merge_queue_wants_its_own_trigger(clinic: Clinic) -> None:
    path = clinic.project.root / ".github/workflows/mlops.yml"
    path.write_text(path.read_text().replace("  merge_group:\n", ""))
    assert "workflows.merge_group" not in clinic.finds()
    rules = clinic.github.world.tables.rules["main"]
    rules.append({**rules[0], "type": "merge_queue", "parameters": _QUEUE})
    found = clinic.finds(expect=1)["workflows.merge_group"]
    assert (found["level"], "waits for ever" in found["text"]) == ("wrong", True)


_QUEUE = {
    "check_response_timeout_minutes": 60,
    "grouping_strategy": "ALLGREEN",
    "max_entries_to_build": 5,
    "max_entries_to_merge": 5,
    "merge_method": "SQUASH",
    "min_entries_to_merge": 1,
    "min_entries_to_merge_wait_minutes": 5,
}


def test_what_a_workflow_holds_cannot_move_the_cursor(clinic: Clinic) -> None:
    text = 'on: push\njobs: {"\\e[2J\\u202e[red]x": {runs-on: x, steps: [{uses: acme/mlops-ci@v1}]}}\n'
    (clinic.project.root / ".github/workflows/odd.yml").write_text(text)
    said = clinic.says(expect=1)
    assert not {"\x1b", "\u202e"} & set(said)
    assert "[red]x names no permissions" in said


# Blocking the merge.


@pytest.fixture
def unruled(clinic: Clinic) -> Clinic:
    """Nothing is required yet."""
    clinic.github.world.tables.rules["main"].clear()
    return clinic


def test_a_check_that_is_not_required(unruled: Clinic) -> None:
    found = unruled.finds(expect=1)["merging.required"]
    assert found["text"] == f"main does not require {CHECK}: a failed gate blocks no merge"
    assert "Settings → Rules → Rulesets → New branch ruleset → Require status checks" in found["hint"]
    assert f"https://github.com/{unruled.github.repository}/settings/rules/new?target=branch" in found["hint"]


@pytest.mark.parametrize("by", ["ruleset", "protection"])
def test_either_kind_of_rule_counts(unruled: Clinic, by: Any) -> None:
    unruled.github.require_checks("main", [CHECK], by=by)
    found = unruled.finds()
    assert found["merging.required"]["level"] == "right"
    assert "merging.app" not in found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mlops-ci/chrun", "and the check is called mlops-ci/churn"),
        ("record", "which is the job record and not the verdict"),
        ("mlops / train", "which is the job train and not the verdict"),
    ],
)
def test_another_name_is_pointed_out(unruled: Clinic, name: str, said: str) -> None:
    unruled.github.require_checks("main", [name, "lint"])
    found = unruled.finds(expect=1)
    assert found["merging.required"]["level"] == "wrong"
    assert said in found["merging.similar"]["text"]


def test_a_stranger_is_not_similar(unruled: Clinic) -> None:
    unruled.github.require_checks("main", ["lint", "build"])
    assert "merging.similar" not in unruled.finds(expect=1)


def test_a_check_of_another_app_never_comes(unruled: Clinic) -> None:
    unruled.github.require_checks("main", [CHECK], app=4242)
    found = unruled.finds(expect=1)["merging.app"]
    assert (found["level"], "the App 4242 alone" in found["text"]) == ("wrong", True)


def test_another_app_may_be_meant_where_its_token_is_used(unruled: Clinic) -> None:
    unruled.github.require_checks("main", [CHECK], app=4242)
    path = unruled.project.root / ".github/workflows/mlops.yml"
    own = "          part: record\n          github-token: ${{ steps.app.outputs.token }}\n"
    path.write_text(path.read_text().replace("          part: record\n", own))
    assert unruled.finds()["merging.app"]["level"] == "warning"


def test_protection_that_the_token_may_not_see_is_no_lack_of_it(unruled: Clinic) -> None:
    unruled.github.require_checks("main", [CHECK], by="protection")
    unruled.github.fault(path="/branches/main$", kind=faults.status(403))
    found = unruled.finds()["merging.required"]
    assert (found["level"], "required checks that can be read" in found["text"]) == ("unknown", True)


def test_no_check_no_rule(clinic: Clinic) -> None:
    clinic.project.commit({"mlops.yaml": CONFIG + PROTECTED + "report: {check: none}\n"})
    assert clinic.finds()["merging.required"]["level"] == "warning"


# Production.


def test_production_that_nothing_protects(clinic: Clinic) -> None:
    clinic.project.commit({"mlops.yaml": CONFIG + PRODUCTION})
    found = clinic.finds(expect=1)["production.protected"]
    assert "the environment production does not exist" in found["text"]
    assert "add `approval: {required: 1}` to targets.production" in found["hint"]
    clinic.github.add_environment("production")
    assert "has no required reviewers" in clinic.finds(expect=1)["production.protected"]["text"]


def test_reviewers_alone_protect_nothing(clinic: Clinic) -> None:
    """Nothing is deployed to a production target without a rule, whoever reviews its environment."""
    renamed = PRODUCTION.replace("kind: local", "environment: prod-eu, kind: local")
    clinic.project.commit({"mlops.yaml": CONFIG + renamed})
    clinic.github.add_environment("prod-eu", ["octo-lead"])
    found = clinic.finds(expect=1)["production.protected"]
    assert "how many reviewers of the environment prod-eu are needed" in found["text"]
    assert "without it nothing is deployed there" in found["hint"]


def test_an_approval_after_which_nothing_deploys(clinic: Clinic) -> None:
    for path in (clinic.project.root / ".github/workflows").iterdir():
        path.write_text(path.read_text().partition("\n  deploy:\n")[0] + "\n")
    found = clinic.finds()["production.deployed"]
    assert (found["level"], "no job deploys to production" in found["text"]) == ("warning", True)


def test_an_approval_that_nobody_can_give(clinic: Clinic) -> None:
    """On GitHub, whoever may write can."""
    clinic.project.commit({".mlops/allowed_signers": "# nobody yet\n"})
    assert clinic.finds()["production.protected"]["level"] == "right"
    found = clinic.finds(expect=1, GITHUB_REPOSITORY="")["production.protected"]
    assert "needs 1 approval, and .mlops/allowed_signers has 0 names" in found["text"]


def test_a_token_that_may_not_ask_says_which_permission(clinic: Clinic) -> None:
    clinic.project.commit({"mlops.yaml": CONFIG + PRODUCTION})
    clinic.token = clinic.github.token(permissions={"contents": "read"})
    found = clinic.finds()
    assert found["production.protected"]["level"] == "unknown"
    assert found["token.permissions"]["text"] == "the token lacks `actions: read`"


# GitHub, when it does not answer.


@pytest.mark.parametrize("path", ["/rules/branches/", "/environments/", "graphql"])
def test_a_question_without_an_answer_is_one_line(clinic: Clinic, path: str) -> None:
    clinic.project.commit({"mlops.yaml": CONFIG + PRODUCTION})
    clinic.project.push()
    clinic.github.fault(method=".*", path=path, kind=faults.retry_after(3600), times=99)
    found = json.loads(
        clinic.project.run("doctor", "--json", expect=0 if path != "/rules/branches/" else 1, **clinic.env())
    )
    unknown = [one for one in found["findings"] if one["level"] == "unknown"]
    assert unknown
    assert all("asks to wait" in one["text"] or "could not be asked" in one["text"] for one in unknown)


def test_a_token_that_is_not_valid(clinic: Clinic) -> None:
    clinic.token = "ghp_wrong"
    found = clinic.finds()
    assert "the token is not valid" in found["token.valid"]["text"]
    assert found["merging.required"]["level"] == "unknown"


def test_an_api_that_is_not_there(clinic: Clinic) -> None:
    said = clinic.says(GITHUB_API_URL="http://192.0.2.1")
    assert "is no address for a token" in said


# Where the repository is.


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/{}.git",
        "https://github.com/{}",
        "git@github.com:{}.git",
        "ssh://git@ssh.github.com:443/{}.git",
    ],
)
def test_the_repository_is_named_by_the_remote(clinic: Clinic, address: str) -> None:
    url = address.format(clinic.github.repository)
    git(clinic.project.root, "config", "remote.origin.url", url)
    git(clinic.project.root, "config", f"url.{clinic.project.remote}.insteadOf", url)
    found = clinic.finds(GITHUB_REPOSITORY="")
    assert levels(found) == {"records.baseline": "warning"}


def test_a_remote_elsewhere_is_told_of_no_token(clinic: Clinic) -> None:
    url = f"https://git.example.com/{clinic.github.repository}.git"
    git(clinic.project.root, "config", "remote.origin.url", url)
    git(clinic.project.root, "config", f"url.{clinic.project.remote}.insteadOf", url)
    assert "the remote is not on GitHub" in clinic.finds(GITHUB_REPOSITORY="")["token.valid"]["text"]
    assert clinic.github.calls == []


def test_in_ci(clinic: Clinic, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(json.dumps({"repository": {"default_branch": "main"}}))
    found = clinic.finds(
        GITHUB_ACTIONS="true", GITHUB_EVENT_NAME="push", GITHUB_REF="refs/heads/main",
        GITHUB_EVENT_PATH=str(tmp_path / "event.json"), GITHUB_SERVER_URL="https://github.com",
    )  # fmt: skip
    assert levels(found) == {"records.baseline": "warning"}
