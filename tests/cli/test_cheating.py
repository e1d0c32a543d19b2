"""
Ways to get a deployment past the people who have to agree, each tried with every way of agreeing: an SSH key, a
comment, the review of an environment. Every test first shows that the approval was good, so that only the cheat fails.

What one way alone can be cheated with is in `test_approvals`, `test_comment_approvals`, `test_environment_approvals`
and `test_request_issue`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_ci import records
from mlops_ci.entities import Approval, ApprovalRequest, Author, Plan
from mlops_ci.lifecycle.approvals.approval_requests import Asked, requests
from mlops_ci.lifecycle.approvals.approve import Standing
from mlops_ci.records import Record
from tests.cli.test_comment_approvals import APPROVED, PORT, WAITS, Scene, asked_for, config, scene
from tests.cli.test_environment_approvals import ReleaseRun, start
from tests.github import commits
from tests.repositories import git

__all__ = ["asked_for", "commits", "scene", "start"]

pytestmark = pytest.mark.full

METHODS = ["ssh", "comment", "review"]
LEAD = "octo-lead"
STAGING = f"  staging: {{kind: local, port: {PORT + 1}, approval: {{required: 1}}}}\n"


@dataclass
class Cheat:
    """A release that waits for production, and people who agree by one of three *method*s."""

    run: ReleaseRun
    folder: Path
    method: str

    @property
    def scene(self) -> Scene:
        return self.run.scene

    def key(self, name: str) -> Path:
        """A key of *name*'s own."""
        path = self.folder / f"key-{name.partition('@')[0]}"
        if not path.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    def signers(self, *names: str) -> str:
        """The file that lets *names* sign, by the addresses that GitHub gives them or by their own."""
        addresses = {name: name if "@" in name else f"7+{name}@users.noreply.github.com" for name in names}
        keys = {name: self.key(name).with_suffix(".pub").read_text() for name in names}
        return "".join(f'{addresses[name]} namespaces="mlops-ci" {keys[name]}' for name in names)

    def allow(self, *names: str) -> None:
        """Let *names* sign, by the default branch."""
        self.scene.place.commit({".mlops/allowed_signers": self.signers(*names)})
        self.scene.place.push()

    def agree(self, who: str = LEAD, *, reject: str = "", method: str = "", asked: Asked | None = None) -> None:
        """Let *who* decide on what was asked for last, as far as somebody takes it."""
        asked = asked or self.asked
        digest = asked.request.plan_digest
        if (method or self.method) == "ssh":
            options = ["--reject", reject] if reject else []
            self.sign(digest, who, *options)
        elif (method or self.method) == "comment":
            words = f"/reject {digest} {reject}" if reject else f"/approve {digest}"
            self.scene.answer(self.scene.comment(who, words))
        else:
            self.run.review(who, state="rejected" if reject else "approved", comment=reject)
            self.run.take(asked.request.plan)

    def sign(self, digest: str, who: str, *options: str) -> None:
        command = ["approve", digest, "--key", str(self.key(who)), *options]
        for code in (0, WAITS):  # refused or not: whether it counts is seen later
            try:
                self.scene.place.run(*command, expect=code)
            except AssertionError:
                continue
            return
        raise AssertionError(command)

    @property
    def asked(self) -> Asked:
        """What this run asked for last."""
        mine = [one for one in requests(self.scene.project) if one.request.run == str(self.run.number)]
        return mine[-1]

    def standing(self, plan: Plan | None = None) -> Standing:
        return self.run.standing(plan or self.asked.request.plan)

    def is_good(self) -> None:
        assert self.standing().reached(1), self.standing()

    def deploys_nothing(self, plan: Plan | None = None) -> None:
        """Nobody's decision counts, and the command, which renders the plan itself, is refused."""
        stand = self.standing(plan)
        assert not stand.reached(1), stand
        if plan is None:
            self.scene.deploy(token=False, expect=WAITS, **self.run.env())

    def approvals(self) -> list[Record]:
        return [one for one in self.scene.project.ledger.find("target/production") if one.kind == "approval"]

    def request_for(self, plan: Plan, **facts: Any) -> Asked:
        """Push a request for *plan* of this run, made before the approvals."""
        request = records.replace(self.asked.request, plan=plan, plan_digest=records.digest(plan), **facts)
        record = self.scene.write(request, time=self.asked.record.time)
        return next(one for one in requests(self.scene.project) if one.record.id == record.id)

    def carry_over(self, to: Asked) -> None:
        """Push every approval again as one of the request *to*: as it is, and with its text made to fit."""
        for record in self.approvals():
            approval = records.replace(record.read(Approval), request=to.record.id)
            about = {"plan_digest": to.request.plan_digest, "target": to.request.plan.target}
            self.scene.write(records.replace(approval, **about))
            payload = approval.payload.replace(record.body["request"], to.record.id)
            payload = payload.replace(record.body["plan_digest"], to.request.plan_digest)
            payload = payload.replace('"target":"production"', f'"target":"{to.request.plan.target}"')
            self.scene.write(records.replace(approval, payload=payload, **about))


@pytest.fixture(params=METHODS)
def cheat(request: pytest.FixtureRequest, start: Callable[..., ReleaseRun], tmp_path: Path) -> Cheat:
    """A run that has asked; octo-lead may agree."""
    made = Cheat(start(), tmp_path, request.param)
    if made.method == "ssh":
        made.allow(LEAD)
    made.run.ask()
    return made


def test_without_a_cheat_it_is_deployed(cheat: Cheat) -> None:
    cheat.deploys_nothing()
    cheat.agree()
    cheat.is_good()
    cheat.scene.deploy(token=False, expect=APPROVED, **cheat.run.env())


def test_another_image_under_the_same_tag(cheat: Cheat) -> None:
    cheat.agree()
    cheat.is_good()
    pushed = records.replace(cheat.asked.request.plan, image=f"ghcr.io/acme/churn:1.0.0@sha256:{'b' * 64}")
    cheat.deploys_nothing(pushed)
    cheat.carry_over(cheat.request_for(pushed))
    cheat.deploys_nothing(pushed)


def test_other_manifests_than_were_approved(cheat: Cheat) -> None:
    cheat.agree()
    cheat.is_good()
    plan = records.replace(cheat.asked.request.plan, manifests_digest=f"sha256:{'c' * 64}")
    cheat.carry_over(cheat.request_for(plan))
    cheat.deploys_nothing(plan)


def test_the_approval_of_another_version(cheat: Cheat) -> None:
    cheat.agree()
    cheat.is_good()
    plan = records.replace(cheat.asked.request.plan, version="1.0.1")
    cheat.carry_over(cheat.request_for(plan))
    cheat.deploys_nothing(plan)


def test_the_approval_of_another_target(cheat: Cheat) -> None:
    """Whoever approved production did not approve staging, nor the other way round."""
    cheat.scene.place.commit({"mlops.yaml": config() + STAGING})
    cheat.scene.place.push()
    cheat.agree()
    plan = records.replace(cheat.asked.request.plan, target="staging")
    cheat.carry_over(cheat.request_for(plan))
    stand = cheat.run.standing(plan)
    assert stand.counted == []


def test_a_tag_that_was_moved_to_another_commit(cheat: Cheat) -> None:
    """The version stays what it was registered as; a run of the new commit is none of this version."""
    cheat.agree()
    cheat.is_good()
    before = cheat.asked.request.plan
    cheat.scene.place.commit({"params.json": '{"accuracy": 0.99}'})
    cheat.scene.place.run("run")
    git(cheat.scene.place.root, "tag", "--force", "churn@v1.0.0")
    cheat.scene.place.push("--force", "churn@v1.0.0")
    assert "registered already" in cheat.scene.place.run("register", "churn@v1.0.0", expect=WAITS)
    run = cheat.run.github.world.tables.runs[cheat.run.number]
    run["head_sha"] = git(cheat.scene.place.root, "rev-parse", "HEAD")
    if cheat.method == "review":
        cheat.deploys_nothing()
    else:
        assert cheat.asked.request.plan == before
        cheat.scene.deploy(token=False, expect=APPROVED, **cheat.run.env())


def test_an_approval_that_was_used_already(cheat: Cheat) -> None:
    cheat.agree()
    cheat.is_good()
    asked = cheat.standing().request
    assert asked is not None
    used = next(one for one in requests(cheat.scene.project) if one.record.id == asked.id)
    cheat.run.went_live(used)
    cheat.run.went_live(used, named=False, after_s=120, status="stopped")
    again = cheat.run.ask(used.request.plan)
    cheat.carry_over(again)
    backdated = cheat.request_for(used.request.plan, people=["x"])
    cheat.carry_over(backdated)
    cheat.deploys_nothing(used.request.plan)


def test_a_request_that_was_written_to_suit(cheat: Cheat) -> None:
    """It claims to need nobody, to exclude nobody, to last for ever; who wrote the change agrees with it."""
    if cheat.method == "ssh":
        cheat.allow(LEAD, "monalisa@example.com")
    wanted = {"required": 0, "people": [], "approvers": ["monalisa"], "expires": "2099-01-01T00:00:00.000000Z"}
    suits = cheat.request_for(cheat.asked.request.plan, **wanted)
    who = "monalisa@example.com" if cheat.method == "ssh" else "monalisa"
    cheat.agree(who, asked=suits)
    cheat.deploys_nothing()


def test_a_request_by_somebody_else_for_oneself(cheat: Cheat) -> None:
    """Whoever tagged lets another name stand as the one who asked."""
    if cheat.method == "ssh":
        cheat.allow("defunkt")
    request = records.replace(cheat.asked.record.read(ApprovalRequest), people=[])
    cheat.scene.write(request, author=Author(name="hubot", via="github"), time=cheat.asked.record.time)
    cheat.agree("defunkt")
    cheat.deploys_nothing()


def test_approving_what_one_started(cheat: Cheat) -> None:
    if cheat.method == "ssh":
        cheat.allow("octocat")
    cheat.agree("octocat")
    cheat.deploys_nothing()


def test_starting_again_what_one_approved(cheat: Cheat) -> None:
    cheat.agree()
    cheat.is_good()
    cheat.run.again(LEAD)
    cheat.deploys_nothing()


def test_an_approver_who_is_none_any_more(cheat: Cheat) -> None:
    cheat.agree()
    cheat.is_good()
    if cheat.method == "ssh":
        cheat.allow("hubot")
    cheat.scene.github.set_permission(LEAD, "read")
    cheat.deploys_nothing()


def test_an_approver_by_the_word_of_a_branch(cheat: Cheat) -> None:
    """Rules and keys that somebody has pushed beside the default branch."""
    loose = {"mlops.yaml": config("{required: 1, from: [mallory], four_eyes: false}")}
    cheat.scene.place.commit({**loose, ".mlops/allowed_signers": cheat.signers("mallory")}, branch="mine")
    cheat.scene.place.push("mine")
    cheat.agree("mallory")
    cheat.deploys_nothing()


def test_approving_what_one_has_rejected(cheat: Cheat) -> None:
    """A rejection stands as long as it is asked for, whatever the same person says afterwards."""
    cheat.agree(reject="no")
    cheat.agree()
    stand = cheat.standing()
    assert stand.rejected
    cheat.deploys_nothing()


def test_a_rejection_whose_record_was_followed_by_others_approvals(cheat: Cheat) -> None:
    if cheat.method == "ssh":
        cheat.allow(LEAD, "hubot")
    cheat.agree(reject="no")
    cheat.agree("hubot")
    cheat.deploys_nothing()


def test_one_person_by_three_ways(start: Callable[..., ReleaseRun], tmp_path: Path) -> None:
    cheat = Cheat(start(), tmp_path, "review")
    cheat.allow(LEAD)
    cheat.scene.rule("{required: 2}")
    asked = cheat.run.ask()
    for old in [one for one in requests(cheat.scene.project) if one.request.run == "" and one.state == "open"]:
        assert old.record.id != asked.record.id
    for method in METHODS:
        cheat.agree(method=method)
    stand = cheat.standing()
    assert not stand.reached(2)


def test_a_program_that_may_do_everything(cheat: Cheat) -> None:
    if cheat.method == "ssh":  # a program's key is one that the default branch names, and that is reviewed
        return
    cheat.scene.github.set_permission("octo-app[bot]", "admin")
    cheat.agree("octo-app[bot]")
    cheat.deploys_nothing()


def test_a_record_that_says_so(cheat: Cheat) -> None:
    """An approval that nobody gave, in each of the three forms, and each form with another's name."""
    cheat.agree()
    for record in cheat.approvals():
        approval = record.read(Approval)
        about = {"approver": "hubot", "request": cheat.asked.record.id}
        for method in ("ssh", "github-comment", "github-environment"):
            cheat.scene.write(records.replace(approval, **about, method=method))
        cheat.scene.write(records.replace(approval, **about, payload=approval.payload.replace(LEAD, "hubot")))
    cheat.scene.rule("{required: 2}")
    assert len(cheat.standing().counted) <= 1


@pytest.mark.parametrize("digits", [1, 7])
def test_too_few_digits_of_the_plan(cheat: Cheat, digits: int) -> None:
    prefix = cheat.asked.request.plan_digest.removeprefix("sha256:")[:digits]
    if cheat.method == "ssh":
        assert "too short" in cheat.scene.place.run("approve", prefix, "--key", str(cheat.key(LEAD)), expect=2)
    elif cheat.method == "comment":
        assert cheat.scene.answer(cheat.scene.comment(LEAD, f"/approve {prefix}")).decision is None
    assert cheat.approvals() == []
    cheat.deploys_nothing()


def test_a_team_that_one_has_left(scene: Scene, start: Callable[..., ReleaseRun], tmp_path: Path) -> None:
    slug = f"leads-{tmp_path.name.lower().replace('_', '-')}"
    scene.github.add_team(slug, [LEAD])
    scene.rule(f"{{required: 1, from: ['team:octo-org/{slug}']}}")
    cheat = Cheat(start(), tmp_path, "review")
    cheat.run.ask()
    cheat.agree()
    asks = scene.standing(plan=cheat.asked.request.plan)
    assert len(asks.counted) == 1, asks
    scene.github.world.do("DELETE", f"/orgs/octo-org/teams/{slug}/memberships/{LEAD}")
    asks = scene.standing(plan=cheat.asked.request.plan)
    assert asks.counted == []
