"""A target with a store of its own: what is decided and deployed there is kept there, and nowhere else."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_ci import records
from mlops_ci.ci import Event
from mlops_ci.entities import CiRun, Deployment
from mlops_ci.errors import AwaitsApproval, ConfigError, NotFound, Refused
from mlops_ci.lifecycle.approvals.approval_requests import open_requests, requests
from mlops_ci.lifecycle.backups import back_up
from mlops_ci.lifecycle.collect_garbage import collect
from mlops_ci.lifecycle.deploying import locks
from mlops_ci.lifecycle.deploying.compare import compare
from mlops_ci.lifecycle.deploying.deploy import deploy
from mlops_ci.lifecycle.deployments import deployments, past
from mlops_ci.lifecycle.events import needs, release_tag
from mlops_ci.lifecycle.explain import explain
from mlops_ci.lifecycle.project import Project
from tests.cli.commands import run_command
from tests.repositories import git
from tests.unit.lifecycle.scenes import CONFIG, MALLORY, Scene

OF_TARGETS = {"request", "approval", "deployment", "target-lock"}


@pytest.fixture
def apart(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Production's records go to a database whose address is a secret, and staging comes before it."""
    monkeypatch.setenv("PRODUCTION_STORE", f"sqlite:///{tmp_path / 'production.db'}")
    config = CONFIG.replace("approval:", "after: staging, store: 'env:PRODUCTION_STORE', approval:")
    scene.rule({"mlops.yaml": config.replace("PLACE", str(tmp_path / "place"))})
    return scene


def kinds(project: Project) -> dict[str, set[str]]:
    """The kinds of the records of targets, by where they are."""
    stores = {"project": project.ledger, "production": project.ledger_of("production")}
    return {name: {record.kind for record in store.all()} & OF_TARGETS for name, store in stores.items()}


def test_its_records_are_there_and_nowhere_else(apart: Scene) -> None:
    apart.deploy("1.0.0", "staging")
    apart.deploy("1.0.0")
    locks.lock(apart.project, "production", reason="load test", for_s=60)
    assert kinds(apart.project) == {"project": {"deployment"}, "production": OF_TARGETS}
    assert apart.published["version"] == "1.0.0"
    assert [one.deployment.plan.target for one in past(apart.project)] == ["production", "staging"]
    held = locks.holding(apart.project, "production")
    assert held is not None
    assert held.lock.reason == "load test"
    assert [(one.target, one.state) for one in compare(apart.project)] == [("production", "same"), ("staging", "same")]
    told = [fact for fact in explain(apart.project, "production").facts if fact.section in {"deployment", "approval"}]
    assert {fact.check for fact in told} >= {"verified"}
    assert "wrong" not in {fact.check for fact in told}


def test_going_back_reads_and_writes_it(apart: Scene) -> None:
    for version in ("1.0.0", "1.1.0"):
        apart.deploy(version, "staging")
        apart.deploy(version)
    assert apart.roll_back().deployment.plan.version == "1.0.0"
    assert kinds(apart.project)["project"] == {"deployment"}
    assert deployments(apart.project, "production")[-1].read(Deployment).cause == "rollback"


def test_what_is_pushed_to_the_repository_is_not_believed(apart: Scene) -> None:
    """Who may push, and has no credentials of production's store, cannot write its history."""
    apart.deploy("1.0.0", "staging")
    apart.deploy("1.0.0")
    made = apart.last()
    apart.push(records.replace(made, status="stopped"))
    apart.push(records.replace(made, plan=records.replace(made.plan, version="6.6.6")))
    assert [record.body["plan"]["version"] for record in deployments(apart.project, "production")] == ["1.0.0"]
    assert apart.last() == made


def test_the_target_before_is_asked_of_its_own_store(apart: Scene, tmp_path: Path) -> None:
    config = CONFIG.replace("approval:", "after: staging, approval:").replace(
        "PLACE-staging", f"PLACE-staging, store: 'sqlite:///{tmp_path / 'staging.db'}'"
    )
    apart.rule({"mlops.yaml": config.replace("PLACE", str(tmp_path / "place"))})
    apart.deploy("1.0.0", "staging")
    forged = records.replace(apart.last("staging"), plan=records.replace(apart.last("staging").plan, version="1.1.0"))
    apart.push(forged)
    with pytest.raises(AwaitsApproval, match="is not live on staging"):
        deploy(apart.project, "production", version="1.1.0", into=apart.folder())
    apart.deploy("1.0.0")


def test_without_its_address_nothing_is_deployed_and_lists_do_without_it(
    apart: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart.deploy("1.0.0", "staging")
    apart.deploy("1.0.0")
    digest, record = apart.last().plan_digest, deployments(apart.project, "production")[-1].id
    assert explain(apart.project, record).facts
    monkeypatch.delenv("PRODUCTION_STORE")
    project = apart.project
    with pytest.raises(ConfigError, match=r"targets\.production\.store: env:PRODUCTION_STORE` names .* not set"):
        apart.deploy("1.0.0")
    assert project.out_of_reach == {"production": "PRODUCTION_STORE"}
    assert [one.deployment.plan.target for one in past(project)] == ["staging"]
    with pytest.raises(ConfigError):
        past(project, ["production"])
    assert requests(project) == []
    with pytest.raises(ConfigError, match="PRODUCTION_STORE"):
        open_requests(project, digest)
    assert explain(project, "1.0.0").facts
    with pytest.raises(NotFound) as unknown:
        explain(project, record)
    assert "the records of production were not looked through: PRODUCTION_STORE is not set" in unknown.value.hint
    assert [one.state for one in compare(project)] == ["unknown", "same"]
    assert apart.deploy("1.1.0", "staging").new


def test_a_release_without_its_address_begins_nothing(apart: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even on the targets whose addresses are known."""
    git(apart.root, "tag", "v1.0.0")
    monkeypatch.delenv("PRODUCTION_STORE")
    before = [record.id for record in apart.project.ledger.all()]
    with pytest.raises(ConfigError, match="PRODUCTION_STORE"):
        release_tag.release(apart.project, "v1.0.0", by_hand=True, into=apart.folder(), notify=lambda _sentence: None)
    assert [record.id for record in apart.project.ledger.all()] == before


@pytest.mark.parametrize("words", ["deployments", "approvals", "models", "deployments locks"])
def test_a_list_says_what_it_lacks(apart: Scene, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    apart.deploy("1.0.0", "staging")
    sentence = "production is left out: its store is `env:PRODUCTION_STORE`, which is not set"
    assert sentence not in run_command(words.split(), apart.root, os.environ).stderr
    monkeypatch.delenv("PRODUCTION_STORE")
    done = run_command(words.split(), apart.root, os.environ)
    assert done.returncode == 0
    assert sentence in done.stderr
    assert sentence not in done.stdout


def test_promoting_goes_by_the_default_branch(apart: Scene, tmp_path: Path) -> None:
    """A work tree that looks for staging's records in git finds what anybody may have pushed there."""
    asked = apart.root / "mlops.yaml"
    theirs = asked.read_text()
    apart.rule({"mlops.yaml": theirs.replace("-staging", f"-staging, store: 'sqlite:///{tmp_path / 'staging.db'}'")})
    apart.deploy("1.0.0", "staging")
    made = apart.last("staging")
    apart.push(records.replace(made, plan=records.replace(made.plan, version="1.1.0")))
    asked.write_text(theirs)
    said = run_command(["promote", "staging", "production"], apart.root, os.environ).stderr
    assert "churn 1.0.0" in said
    assert "1.1.0" not in said


def test_garbage_collection_and_backups_know_it(apart: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moving a target's records into a store of their own is a backup and a restore."""
    apart.deploy("1.0.0", "staging")
    apart.deploy("1.0.0")
    swept = collect(apart.project, older_than=timedelta(0), dry_run=True)
    assert not [heap for heap in (*swept.removed, *swept.waiting) if heap.why == "unnamed"]
    back_up.back_up(apart.project, tmp_path / "all.zip", with_artifacts=True, progress=nothing)
    before = [record.id for record in apart.project.all_records()]
    assert len(set(before)) == len(before)

    monkeypatch.setenv("PRODUCTION_STORE", f"sqlite:///{tmp_path / 'moved.db'}")
    assert deployments(apart.project, "production") == []
    restored = back_up.restore(apart.project, tmp_path / "all.zip", progress=nothing)
    assert restored.records == 3
    assert [record.id for record in apart.project.all_records()] == before
    assert apart.last().plan.version == "1.0.0"
    assert back_up.restore(apart.project, tmp_path / "all.zip", progress=nothing).records == 0

    monkeypatch.delenv("PRODUCTION_STORE")
    with pytest.raises(ConfigError, match="not set"):
        collect(apart.project, older_than=timedelta(0), dry_run=True)


def test_what_was_pushed_before_is_not_in_a_backup(apart: Scene, tmp_path: Path) -> None:
    """A restore would make it production's history."""
    apart.deploy("1.0.0", "staging")
    apart.deploy("1.0.0")
    forged = apart.push(records.replace(apart.last(), url="http://mallory.example"))
    made = back_up.back_up(apart.project, tmp_path / "all.zip", with_artifacts=False, progress=nothing)
    assert forged.id not in {record.id for record in apart.project.all_records()}
    assert made.records == len(list(apart.project.all_records()))


def test_a_branch_of_before_neither_collects_nor_backs_up(apart: Scene, tmp_path: Path) -> None:
    """It does not know what production may go back to."""
    apart.deploy("1.0.0", "staging")
    apart.deploy("1.0.0")
    (apart.root / "mlops.yaml").write_text(CONFIG.replace("PLACE", str(tmp_path / "place")))
    for command in (
        lambda: collect(apart.project, older_than=timedelta(0)),
        lambda: back_up.back_up(apart.project, tmp_path / "all.zip", with_artifacts=True, progress=nothing),
    ):
        with pytest.raises(Refused, match="the default branch keeps the records of production in another store"):
            command()


def test_the_action_installs_its_driver(apart: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = Event(kind="comment", name="issue_comment", run=CiRun(provider="github"), author=MALLORY)
    assert "postgresql" not in needs.extras(event, "record", apart.root)
    monkeypatch.setenv("PRODUCTION_STORE", "postgresql+psycopg://lead@db.example/churn")
    assert "postgresql" in needs.extras(event, "record", apart.root)
    assert "postgresql" in needs.extras(event, "record", tmp_path), "a job that answers comments has no checkout"


def nothing(what: str, done: int, total: int) -> None:
    """No progress is shown."""
