"""
What whoever may push can write into the ledger, and what it does to a deployment: nothing. And what is left where
something fails in the worst moment.

The target is an address in a folder, and the approvals are signatures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mlops_ci import digests, records
from mlops_ci.config import Freeze
from mlops_ci.entities import ArtifactRef, Deployment, Image, ModelVersion, Plan, TargetLock
from mlops_ci.errors import IntegrityError, MlopsCIError, NotFound, Refused, ServiceError, UsageError
from mlops_ci.lifecycle.deploying import freezes, manifests, restoring
from mlops_ci.lifecycle.deploying.performing import Task, perform
from mlops_ci.lifecycle.deploying.planning import prospect
from mlops_ci.lifecycle.deployments import current, deployments
from mlops_ci.lifecycle.render import fetch_model, image_of, open_target
from mlops_ci.records import Record
from mlops_ci.targets import Order, Target, Tell, nothing_to_say
from tests.repositories import commit, git
from tests.unit.lifecycle.scenes import MALLORY, Scene


def forged(scene: Scene, deployment: Deployment, change: Callable[[dict[str, str]], dict[str, str]]) -> Deployment:
    """*deployment* with other manifests, and a plan that names them."""
    project = scene.project
    record = next(one for one in deployments(project, deployment.plan.target) if one.read(Deployment) == deployment)
    kept = manifests.read(project, record)
    reference = manifests.keep(project, change(kept.files), kept.service)
    plan = records.replace(deployment.plan, manifests_digest=reference.digest)
    return records.replace(deployment, plan=plan, plan_digest=records.digest(plan), manifests=reference)


def hostile(files: Mapping[str, str]) -> dict[str, str]:
    """A manifest that says something else, and nothing that is not valid."""
    said = json.loads(files["manifest.json"])
    return {"manifest.json": json.dumps({**said, "note": "mallory was here"})}


@pytest.mark.full
def test_going_back_takes_what_was_deployed(live: Scene) -> None:
    assert live.published["version"] == "1.1.0"
    assert live.roll_back().deployment.plan.version == "1.0.0"
    assert live.published["version"] == "1.0.0"
    assert live.roll_back().deployment.plan.version == "1.1.0"
    assert (
        live.roll_back(to="1.0.0").deployment.approvals == deployments(live.project, "production")[0].body["approvals"]
    )


def test_a_record_with_manifests_of_ones_own_is_passed_over(live: Scene) -> None:
    first = deployments(live.project, "production")[0].read(Deployment)
    live.push(forged(live, first, hostile))
    told: list[str] = []
    for to in ("1.0.0", ""):
        live.roll_back(to=to, tell=told.append)
        assert "note" not in live.published
    assert any("nobody vouches" in line for line in told)


@pytest.mark.full
def test_nothing_else_to_go_back_to_is_no_reason_to_take_a_forged_record(scene: Scene) -> None:
    scene.deploy("1.1.0")
    made = scene.last()
    plan = records.replace(made.plan, version="1.0.0", version_record="0" * 64)
    scene.push(forged(scene, made, hostile))
    scene.push(records.replace(made, plan=plan, plan_digest=records.digest(plan)))
    with pytest.raises(Refused, match=r"nobody vouches for .*never asked about"):
        scene.roll_back(to="1.0.0")
    assert scene.published["version"] == "1.1.0"


@pytest.mark.full
def test_the_approvals_of_another_plan_do_not_vouch(live: Scene) -> None:
    """The record names approvals and a request that are good, and are about something else."""
    first = deployments(live.project, "production")[0].read(Deployment)
    record = live.push(forged(live, first, hostile))
    project = live.project
    with pytest.raises(Refused, match="nobody vouches"):
        restoring.trusted(project, open_target(project.config, "production"), record)


@pytest.mark.full
def test_manifests_beside_the_plan_are_not_applied(live: Scene) -> None:
    """The plan was approved, and the record names other bytes."""
    first = deployments(live.project, "production")[0].read(Deployment)
    other = forged(live, first, hostile)
    record = live.push(records.replace(first, manifests=other.manifests))
    lie = live.push(records.replace(other, plan_digest=first.plan_digest))
    project = live.project
    for each in (record, lie):
        with pytest.raises(IntegrityError, match="not those of its plan"):
            manifests.fetch(project, each)
    live.roll_back(to="1.0.0")
    assert "note" not in live.published


@pytest.mark.full
def test_a_key_that_was_taken_away_vouches_no_more(live: Scene) -> None:
    commit(live.root, {".mlops/allowed_signers": "# nobody\n"})
    git(live.root, "push", "--quiet", "origin", "HEAD:main")
    with pytest.raises(Refused, match="0 of 1 approvals hold"):
        live.roll_back()
    assert live.published["version"] == "1.1.0"


@pytest.mark.full
def test_what_the_target_runs_needs_nobody_to_vouch_for_it(live: Scene) -> None:
    """A failure is undone even where those who agreed are gone."""
    commit(live.root, {".mlops/allowed_signers": "# nobody\n"})
    git(live.root, "push", "--quiet", "origin", "HEAD:main")
    project = live.project
    record = current(project, "production")
    assert record is not None
    assert restoring.trusted(project, open_target(project.config, "production"), record).files


@pytest.mark.full
def test_manifests_that_were_not_kept_are_not_taken_for_none(live: Scene) -> None:
    """To apply nothing is to delete everything."""
    first = deployments(live.project, "production")[0].read(Deployment)
    live.push(records.replace(first, manifests=None, plan=records.replace(first.plan, version="0.9.0")))
    with pytest.raises(NotFound, match="were not kept"):
        live.roll_back(to="0.9.0")
    assert live.published["version"] == "1.1.0"


@pytest.mark.full
def test_an_artifact_that_is_no_manifest_is_a_sentence(scene: Scene) -> None:
    scene.deploy("1.0.0", "staging")
    made, project = scene.last("staging"), scene.project
    for data in (b"\xff\xfe", b"[" * 100_000, b'{"target/manifest.json": 1}', b"[]"):
        file = scene.folder() / "any"
        file.write_bytes(data)
        reference = ArtifactRef(path="manifests.json", digest=digests.of_file(file), size_bytes=len(data))
        project.artifacts.put({reference.digest: file})
        plan = records.replace(made.plan, manifests_digest=reference.digest)
        record = scene.push(records.replace(made, plan=plan, plan_digest=records.digest(plan), manifests=reference))
        with pytest.raises(IntegrityError, match="are no files"):
            manifests.fetch(project, record)


@pytest.mark.full
def test_a_target_without_approvals_takes_only_what_is_valid(scene: Scene) -> None:
    scene.deploy("1.0.0", "staging")
    scene.deploy("1.1.0", "staging")
    first = deployments(scene.project, "staging")[0].read(Deployment)
    scene.push(forged(scene, first, lambda _: {"manifest.json": "{}"}))
    told: list[str] = []
    assert scene.roll_back("staging", to="1.0.0", tell=told.append).deployment.manifests == first.manifests
    assert any("is not valid" in line for line in told)


@pytest.mark.full
def test_a_record_of_another_project_or_kind_is_not_gone_back_to(live: Scene) -> None:
    first = deployments(live.project, "production")[0].read(Deployment)
    project = live.project
    for fields in ({"project": "other"}, {"kind": "kubernetes"}):
        plan = records.replace(first.plan, **fields)
        record = live.push(records.replace(first, plan=plan, plan_digest=records.digest(plan)))
        with pytest.raises(Refused, match="of the project"):
            restoring.trusted(project, open_target(project.config, "production"), record)


@pytest.mark.full
def test_a_version_does_not_write_outside_of_its_folder(scene: Scene) -> None:
    for number, path in enumerate(["../outside", "/outside", "a/../../outside"]):
        record = scene.register(f"2.0.{number}", path=path)
        into = scene.folder() / "inner"
        with pytest.raises(IntegrityError, match="outside of its folder"):
            fetch_model(scene.project, record.read(ModelVersion), into)
        assert not list(into.parent.rglob("*"))


def test_images_that_cannot_be_read_or_are_none_are_passed_over(scene: Scene) -> None:
    version = scene.register("3.0.0")
    file = ArtifactRef(path="f", digest=f"sha256:{'0' * 64}", size_bytes=1)
    good = Image(
        model="churn",
        version="3.0.0",
        version_record=version.id,
        reference="registry.example/acme/churn:3.0.0",
        image_id="",
        digest=f"sha256:{'a' * 64}",
        size_bytes=1,
        base="",
        platform="",
        builder="",
        builder_version="",
        context_digest="",
        lock_inputs="sha256:0",
        lock=file,
        sbom=file,
        pushed=True,
    )
    wanted = f"{good.reference}@{good.digest}"
    scene.project.ledger.append([records.new(good, author=MALLORY)])
    for fields in (
        {"digest": good.digest + '"\nprivileged: true'},
        {"digest": "sha256:abc"},
        {"reference": f"registry.example/acme/churn@sha256:{'b' * 64}"},
        {"reference": 'registry.example/acme/churn:x"\n'},
    ):
        scene.project.ledger.append([records.new(records.replace(good, **fields), author=MALLORY)])
    broken = records.new(good, author=MALLORY)
    scene.project.ledger.append([records.replace(broken, body={**broken.body, "pushed": "maybe"})])
    assert image_of(scene.project, version.id) == wanted


@pytest.mark.full
def test_too_few_digits_of_a_plan_are_refused(scene: Scene) -> None:
    for plan in ("s", "0", "sha256:", "sha256:0123456", "0123456"):
        with pytest.raises(UsageError, match="too short"):
            prospect(scene.project, "staging", plan=plan, into=scene.folder())


def test_a_freeze_for_ever_is_one() -> None:
    window = Freeze(from_="2026-12-20", until="9999-12-31")
    assert freezes.until(window, records.moment("2027-05-01T12:00:00Z")) is not None
    assert freezes.until(window, records.moment("2026-12-19T23:59:59Z")) is None


@pytest.mark.full
def test_a_lock_that_nobody_can_read_locks_nobody_out(scene: Scene) -> None:
    for expires in ("never", "", "2099-01-01"):
        lock = TargetLock(target="staging", reason="", expires=expires)
        scene.project.ledger.append([records.new(lock, author=MALLORY)])
    assert scene.deploy("1.0.0", "staging").new


class Log:
    """A ledger that is away as often as it is told."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.outcomes: list[str] = []

    def append(self, made: list[Record]) -> bool:
        self.away -= 1
        if self.away >= 0:
            raise ServiceError("the database does not answer")
        self.outcomes += [str(one.body["status"]) for one in made]
        return True


class Fails:
    """A target on which the order "new" fails in `wait`, as it is told."""

    def __init__(self, error: MlopsCIError) -> None:
        self.error = error
        self.runs = "old"

    def apply(self, order: Order, tell: Tell) -> None:
        tell("begun")
        self.runs = order.plan_digest

    def wait(self, order: Order, tell: Tell) -> str:
        tell("waiting")
        if order.plan_digest == "new":
            raise self.error
        return "http://churn"

    def verify(self, order: Order, smoke: object) -> None:
        pass

    def rollback(self, order: Order, tell: Tell) -> None:
        self.apply(order, tell)


def tasks(target: Fails, log: Log) -> list[Task]:
    project: Any = SimpleNamespace(ledger_of=lambda _: log, author=MALLORY, event=None)
    facts = dict.fromkeys(("target", "kind", "project", "model", "version_record", "model_digest"), "")
    plan = Plan(**facts, version="1", manifests_digest="", policy_digest="", production=False)
    kept = ArtifactRef(path="", digest="", size_bytes=0)
    return [
        Task(
            project,
            cast(Target, target),
            plan,
            "",
            Order(files={}, plan_digest=name),
            Path("none"),
            kept,
            nothing_to_say,
        )
        for name in ("new", "old")
    ]


@pytest.mark.parametrize(("away", "outcomes"), [(0, ["failed", "restored"]), (1, ["restored"]), (2, [])])
def test_a_ledger_that_is_away_keeps_nobody_from_going_back(away: int, outcomes: list[str]) -> None:
    target, log = Fails(ServiceError("it crashes")), Log(away)
    new, old = tasks(target, log)
    with pytest.raises(ServiceError, match=r"it crashes; .* runs again") as caught:
        perform(new, back_to=old)
    assert (target.runs, log.outcomes) == ("old", outcomes)
    assert ("is not recorded" in str(caught.value)) == (away > 0)


def test_what_was_begun_is_undone_whatever_kind_of_error_it_is() -> None:
    """A usage error means that nothing was begun, and after `apply` something was."""
    target, log = Fails(UsageError("the cluster has no such kind any more")), Log(0)
    new, old = tasks(target, log)
    with pytest.raises(ServiceError, match="runs again"):
        perform(new, back_to=old)
    assert (target.runs, log.outcomes) == ("old", ["failed", "restored"])
