"""
Who may push may write any record of any body and any time. None of that brings a version to production.

The port of production is taken here, so that nothing starts: exit code 3 says that the approval was there,
4 that it was not.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops_ci import records, signatures
from mlops_ci.entities import Approval, ApprovalRequest, Author, Deployment
from mlops_ci.errors import AwaitsApproval, Refused
from mlops_ci.lifecycle.approvals.approval_requests import requests
from mlops_ci.lifecycle.approvals.four_eyes import identity
from mlops_ci.lifecycle.deploying.deploy import deploy
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record
from tests.cli.conftest import CONFIG, Workplace
from tests.cli.test_release import allow, keys, trained
from tests.repositories import git

__all__ = ["keys", "trained"]

APPROVED, WAITS = 3, 4
STRANGER = Author(name="somebody", email="somebody@example.com")


@dataclass(frozen=True)
class Release:
    """A registered version, a production that wants approval, and people's keys."""

    place: Workplace
    keys: dict[str, Path]
    port: int

    @property
    def project(self) -> Project:
        return Project.open(self.place.root)

    def targets(self, *, approval: str = "{required: 1}", staging: str = "") -> None:
        """Put targets with these rules on the default branch."""
        self.place.commit(
            {
                "mlops.yaml": CONFIG
                + f"targets:\n  staging: {{kind: local, port: 39001{staging}}}\n"
                + f"  production: {{kind: local, port: {self.port}, approval: {approval}}}\n"
            }
        )
        self.place.push()

    def signers(self, *lines: tuple[str, str]) -> None:
        """Let these names and keys sign."""
        text = "".join(
            f'{name} namespaces="mlops-ci" {self.keys[key].with_suffix(".pub").read_text()}' for name, key in lines
        )
        self.place.commit({".mlops/allowed_signers": text})
        self.place.push()

    def version(self, version: str) -> None:
        """Train HEAD, tag it and register it."""
        self.place.run("run")
        git(self.place.root, "tag", f"churn@v{version}")
        self.place.push("HEAD:main", f"churn@v{version}")
        self.place.run("register", f"churn@v{version}")

    def deploy(self, *options: str, expect: int = WAITS, target: str = "production", **variables: str) -> str:
        said = self.place.run("deploy", target, *options, expect=expect, **variables)
        if expect == WAITS:
            assert self.statuses("production").count("failed") == 0, "it was tried"
        return said

    def statuses(self, target: str) -> list[str]:
        found = self.project.ledger.find(f"target/{target}")
        return [record.body["status"] for record in found if record.kind == "deployment"]

    def ask(self, *options: str, target: str = "production") -> Record:
        """Deploy, be refused, and return the request that this made."""
        self.deploy(*options, target=target)
        return [asked.record for asked in requests(self.project) if asked.request.plan.target == target][-1]

    def approve(self, request: Record, key: str = "approver", *options: str, expect: int = 0) -> str:
        digest = request.body["plan_digest"].removeprefix("sha256:")
        return self.place.run("approve", digest, "--key", str(self.keys[key]), *options, expect=expect)

    def write(self, entity: Any, *, time: str | None = None, author: Author = STRANGER) -> Record:
        """Push a record past the commands."""
        record = records.new(entity, author=author, time=time)
        self.project.ledger.append([record])
        return record

    def forge_approval(self, request: Record, key: str, *, time: str = "") -> Record:
        """Sign an approval of *request* with a key at hand and push it past `mlops-ci approve`."""
        asked = request.read(ApprovalRequest)
        time = time or records.now()
        said = {
            "decision": "approve",
            "plan": asked.plan_digest,
            "reason": "",
            "request": request.id,
            "target": asked.plan.target,
            "time": time,
        }
        payload = json.dumps(said)
        approval = Approval(
            plan_digest=asked.plan_digest,
            target=asked.plan.target,
            decision="approve",
            approver="approver@example.com",
            method="ssh",
            payload=payload,
            signature=signatures.sign(payload, self.keys[key]),
            request=request.id,
        )
        return self.write(approval, time=time)

    def went_live(self, request: Record, *, named: bool = True, status: str = "live", previous: str = "") -> Record:
        """Record the deployment that `deploy` would have recorded, had the port been free."""
        asked = request.read(ApprovalRequest)
        deployment = Deployment(
            plan=asked.plan,
            plan_digest=asked.plan_digest,
            policy_sha=asked.policy_sha,
            status=status,  # type: ignore[arg-type]
            request=request.id if named else "",
            previous=previous,
        )
        return self.write(deployment)


@pytest.fixture
def release(trained: Workplace, keys: dict[str, Path]) -> Iterator[Release]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Release(trained, keys, server.getsockname()[1])
        trained.run("register", "churn@v1.0.0")
        found.targets()
        allow(trained, keys)
        yield found


def ago(days: float) -> str:
    return records.timestamp(records.moment(records.now()) - timedelta(days=days))


def test_an_approval_survives_a_deployment_that_failed(release: Release) -> None:
    release.approve(release.ask())
    release.deploy(expect=APPROVED)
    release.deploy(expect=APPROVED)
    assert release.statuses("production") == ["failed", "failed"]


def test_another_targets_plan_under_this_ones_digest_brings_no_weaker_rule(release: Release) -> None:
    release.targets(staging=", approval: {four_eyes: false}")
    weak, strong = release.ask(target="staging"), release.ask()
    forged = records.replace(weak.read(ApprovalRequest), plan_digest=strong.body["plan_digest"], people=[])
    release.forge_approval(release.write(forged), "engineer")
    release.deploy()
    assert len(requests(release.project)) == 2
    release.approve(strong)
    release.deploy(expect=APPROVED)


def test_a_request_cannot_prolong_itself(release: Release) -> None:
    asked = release.ask().read(ApprovalRequest)
    old = release.write(records.replace(asked, expires="2099-01-01T00:00:00.000000Z"), time=ago(30))
    release.forge_approval(old, "approver", time=ago(29))
    release.forge_approval(old, "approver", time=ago(1))
    release.deploy()


@pytest.mark.parametrize("days", [30, 6, -6])
def test_an_old_approval_is_not_replayed_to_another_request(release: Release, days: float) -> None:
    asked = release.ask().read(ApprovalRequest)
    old = release.write(asked, time=ago(10))
    approval = release.forge_approval(old, "approver", time=ago(5))
    again = release.write(records.replace(asked, expires="2099-01-01T00:00:00.000000Z"), time=ago(days))
    release.write(records.replace(approval.read(Approval), request=again.id))
    release.deploy()


@pytest.mark.parametrize("days", [2, -2])
def test_a_decision_outside_of_its_request_does_not_count(release: Release, days: float) -> None:
    asked = release.ask().read(ApprovalRequest)
    request = release.write(records.replace(asked, people=["x"]), time=ago(1))
    release.forge_approval(request, "approver", time=ago(days) if days > 0 else "2099-01-01T00:00:00.000000Z")
    release.deploy()


def test_an_approval_is_used_up_by_what_it_approved(release: Release) -> None:
    first = release.ask("--version", "1.0.0")
    release.approve(first)
    live = release.went_live(first)
    release.place.commit({"params.json": '{"accuracy": 0.95}'})
    release.version("1.1.0")
    second = release.ask("--version", "1.1.0")
    assert second.body["replaces"] == live.id
    release.approve(second)
    release.went_live(second, previous=live.id)
    release.deploy("--version", "1.0.0")
    assert [asked.state for asked in requests(release.project)] == ["deployed", "deployed", "open"]
    # Whoever writes that production was stopped does not turn time back.
    release.went_live(second, status="stopped")
    release.deploy("--version", "1.0.0")


def test_an_approval_ends_when_another_version_goes_live(release: Release) -> None:
    approved = release.ask()
    release.approve(approved)
    release.went_live(approved, named=False)
    release.deploy()
    assert "overtaken" in release.place.run("approvals")


def test_who_asked_through_ci_is_known_by_the_login(release: Release) -> None:
    release.signers(("1234+OctoCat@users.noreply.github.com", "approver"))
    asked = release.ask().read(ApprovalRequest)
    by_ci = release.write(records.replace(asked, people=[]), author=Author(name="octocat", via="github"))
    release.forge_approval(by_ci, "approver")
    assert "four eyes" in release.deploy()
    assert "four eyes" in release.approve(by_ci, expect=4)


@pytest.mark.parametrize(
    "name",
    ["octocat", "OctoCat", "octocat@users.noreply.github.com", "1+Octocat@users.noreply.github.com"],
)
def test_the_spellings_of_a_login_are_one_person(name: str) -> None:
    assert identity(name) == "octocat"
    assert identity(f"x{name}") != "octocat"


def test_a_key_under_a_pattern_decides_nothing(release: Release) -> None:
    release.signers(("*@example.com", "engineer"))
    request = release.ask()
    release.forge_approval(request, "engineer")
    assert "pattern" in release.deploy()
    assert "pattern" in release.approve(request, "engineer", expect=4)


@pytest.mark.parametrize(
    "lines",
    [
        [("second@example.com,engineer@example.com", "engineer")],
        [("second@example.com", "engineer"), ("engineer@example.com", "engineer")],
    ],
)
def test_a_second_name_of_a_key_is_the_same_person(release: Release, lines: list[tuple[str, str]]) -> None:
    release.signers(*lines)
    request = release.ask()
    release.forge_approval(request, "engineer")
    assert "four eyes" in release.deploy()
    assert "four eyes" in release.approve(request, "engineer", expect=4)


def test_one_key_or_one_name_is_one_voice(release: Release) -> None:
    release.targets(approval="{required: 2}")
    release.signers(("a@example.com", "approver"), ("b@example.com", "approver"), ("B@example.com", "stranger"))
    request = release.ask()
    release.forge_approval(request, "approver")
    release.forge_approval(request, "approver")
    release.forge_approval(request, "stranger")
    assert "has 1 of 2" in release.deploy()


def test_one_of_several_names_among_the_approvers_is_enough(release: Release) -> None:
    release.targets(approval="{required: 1, from: [lead@example.com]}")
    release.signers(("a@example.com,lead@example.com", "approver"))
    assert "lead@example.com approved" in release.approve(release.ask())
    release.deploy(expect=APPROVED)


def test_who_wrote_a_commit_that_a_merge_brings_in_does_not_approve(release: Release) -> None:
    root = release.place.root
    git(root, "switch", "--quiet", "-c", "topic")
    (root / "params.json").write_text('{"accuracy": 0.95}')
    git(root, "commit", "--quiet", "-am", "better", "--author=Approver <approver@example.com>")
    release.place.commit({"note.txt": "of the engineer"})
    git(root, "switch", "--quiet", "-")
    git(root, "merge", "--quiet", "--no-ff", "-m", "merge", "topic")
    release.version("1.1.0")
    request = release.ask("--version", "1.1.0")
    release.forge_approval(request, "approver")
    assert "four eyes" in release.deploy("--version", "1.1.0")
    assert "four eyes" in release.approve(request, expect=4)


def test_who_wrote_a_commit_since_the_serving_version_does_not_approve(release: Release) -> None:
    root = release.place.root
    release.went_live(release.ask())
    (root / "params.json").write_text('{"accuracy": 0.95}')
    git(root, "commit", "--quiet", "-am", "better", "--author=Approver <Approver@example.com>")
    release.place.commit({"note.txt": "of the engineer"})
    release.version("1.1.0")
    request = release.ask("--version", "1.1.0")
    lied = release.write(records.replace(request.read(ApprovalRequest), people=[]))
    release.forge_approval(lied, "approver")
    assert "four eyes" in release.deploy("--version", "1.1.0")


def test_who_deploys_did_not_approve(release: Release) -> None:
    release.approve(release.ask())
    said = release.deploy(GIT_AUTHOR_NAME="approver", GIT_AUTHOR_EMAIL="approver@example.com")
    assert "runs it" in said
    release.deploy(expect=APPROVED)


def test_a_request_without_people_lets_nobody_in(release: Release) -> None:
    """The only open request is forged, and somebody else deploys: git alone knows the author."""
    request = release.ask()
    live = release.went_live(request, named=False)
    asked = request.read(ApprovalRequest)
    lied = release.write(records.replace(asked, people=[], required=0, approvers=[], replaces=live.id))
    release.forge_approval(lied, "engineer")
    said = release.deploy(GIT_AUTHOR_NAME="somebody", GIT_AUTHOR_EMAIL="somebody@example.com")
    assert "engineer@example.com asked for this deployment" in said


def test_an_author_may_reject(release: Release) -> None:
    request = release.ask()
    release.approve(request)
    assert "engineer@example.com rejected" in release.approve(request, "engineer", "--reject", "it is wrong")
    assert "engineer@example.com rejected it: it is wrong" in release.deploy()


def test_who_is_no_approver_does_not_reject(release: Release) -> None:
    release.targets(approval="{required: 1, from: [approver@example.com]}")
    request = release.ask()
    assert "not among the approvers" in release.approve(request, "engineer", "--reject", "no", expect=4)


def test_records_that_are_none_disturb_nobody(release: Release) -> None:
    request = release.ask()
    naive, now = "2026-01-01T00:00:00", records.now()
    for kind, time in (("request", now), ("request", naive), ("approval", now), ("deployment", now)):
        body = {**(request.body if time == naive else {}), "target": "production"}
        body.setdefault("plan_digest", request.body["plan_digest"])
        release.project.ledger.append([Record(kind=kind, schema=records.SCHEMA, time=time, author=STRANGER, body=body)])
    release.approve(request)
    release.deploy(expect=APPROVED)


def test_waiting_for_people_is_told_apart_from_rules_that_are_missing(release: Release, tmp_path: Path) -> None:
    with pytest.raises(AwaitsApproval, match="needs 1 approval"):
        deploy(release.project, "production", into=tmp_path / "one")
    release.targets(approval="{required: 1}, after: staging")
    with pytest.raises(AwaitsApproval, match="comes before production"):
        deploy(release.project, "production", into=tmp_path / "two")
    release.place.commit({"mlops.yaml": CONFIG + "targets: {production: {kind: local, port: 39002}}\n"})
    release.place.push()
    with pytest.raises(Refused, match="nothing protects it") as caught:
        deploy(release.project, "production", into=tmp_path / "three")
    assert not isinstance(caught.value, AwaitsApproval)
