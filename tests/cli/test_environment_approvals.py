"""
Decisions by the review of a GitHub environment, on a real project with a bare remote.

As in `test_comment_approvals`, the port of production is taken: exit code 3 says that the approval was there, 4 that it
was not. GitHub has one list of reviews for each run, without times; a run that is not clear about what was reviewed
approves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from mlops_ci import records
from mlops_ci.ci import Event
from mlops_ci.entities import Approval, ApprovalRequest, Author, CiRun, Deployment, Plan
from mlops_ci.errors import ServiceError
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals import approve
from mlops_ci.lifecycle.approvals.approval_requests import Asked, requests, rule_of
from mlops_ci.lifecycle.approvals.approve import Standing
from mlops_ci.lifecycle.approvals.decisions import statement
from mlops_ci.lifecycle.approvals.environment_reviews import Taken, take_reviews
from mlops_ci.lifecycle.approvals.github_witness import witness_of
from mlops_ci.lifecycle.deployments import deployments, serving
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record
from tests.cli.test_comment_approvals import APPROVED, PORT, WAITS, Scene, asked_for, config, scene
from tests.github import commits, faults
from tests.github.emulator import ACTIONS
from tests.github.gateway import GitHubServer
from tests.repositories import git

__all__ = ["asked_for", "commits", "scene"]

TAG = "churn@v1.0.0"
MAY_ASK = {"contents": "read", "actions": "read", "issues": "read", "pull-requests": "read"}


@dataclass
class ReleaseRun:
    """A workflow run that releases the version, in whose second job we are: it names the environment production."""

    scene: Scene
    number: int
    attempt: int = 1
    triggered_by: str = "octocat"
    event: str = "push"

    @property
    def github(self) -> GitHubServer:
        return self.scene.github

    @property
    def project(self) -> Project:
        opened = self.scene.project
        event = Event(
            kind="tag",
            name=self.event,
            run=CiRun(provider="github", run_id=str(self.number), attempt=self.attempt),
            author=Author(name=self.triggered_by, via="github"),
            repository=self.github.repository,
            sha=sha_of(self.scene),
            tag=TAG,
            api_url=self.github.url,
        )
        ruling = policy.at_default_branch(opened.checkout)
        return Project(opened.checkout, ruling.config, event)

    @property
    def plan(self) -> Plan:
        """The newest that somebody asked for."""
        return [asked for asked in requests(self.scene.project) if asked.state == "open"][-1].request.plan

    def ask(self, plan: Plan | None = None, **facts: Any) -> Asked:
        """What the first job does: ask for a decision on *plan*; *facts* are lies of somebody who may push."""
        project, wanted = self.project, plan or self.plan
        ruling = policy.at_default_branch(project.checkout)
        now = serving(deployments(project, wanted.target))
        rule = rule_of(ruling, wanted.target)
        record = approve.request(
            project, wanted, rule, people=[], policy_sha=ruling.sha, replaces=now.id if now else ""
        )
        if facts:
            time = facts.pop("time", record.time)
            request = records.replace(record.read(ApprovalRequest), **facts)
            record = self.scene.write(request, time=time, author=record.author)
        return next(asked for asked in requests(self.scene.project) if asked.record.id == record.id)

    def review(
        self, login: str, *, state: str = "approved", comment: str = "", environment: str = "production"
    ) -> None:
        self.github.approve(self.number, login, environment, state=state, comment=comment)

    def again(self, login: str) -> None:
        """Let *login* run it again."""
        self.github.run_again(self.number, login)
        self.attempt, self.triggered_by = self.attempt + 1, login

    def env(self) -> dict[str, str]:
        """What the second job has in its environment."""
        return {
            "GITHUB_TOKEN": self.github.token(ACTIONS, MAY_ASK),
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": self.event,
            "GITHUB_REF": f"refs/tags/{TAG}",
            "GITHUB_SHA": sha_of(self.scene),
            "GITHUB_REPOSITORY": self.github.repository,
            "GITHUB_API_URL": self.github.url,
            "GITHUB_SERVER_URL": (self.scene.folder / "server").as_uri(),
            "GITHUB_RUN_ID": str(self.number),
            "GITHUB_RUN_ATTEMPT": str(self.attempt),
            "GITHUB_TRIGGERING_ACTOR": self.triggered_by,
        }

    def take(self, plan: Plan | None = None, env: dict[str, str] | None = None) -> Taken:
        """What the second job does first."""
        project, wanted = self.project, plan or self.plan
        ruling = policy.at_default_branch(project.checkout)
        witness = witness_of(project, self.env() if env is None else env)
        return take_reviews(project, wanted, ruling, deployments(project, wanted.target), witness)

    def standing(self, plan: Plan | None = None) -> Standing:
        """What the second job counts."""
        project, wanted = self.project, plan or self.plan
        ruling = policy.at_default_branch(project.checkout)
        history = deployments(project, wanted.target)
        witness = witness_of(project, self.env())
        return approve.standing(project, wanted, ruling, history, people=[self.triggered_by], witness=witness)

    def forge(self, asked: Asked, login: str, /, **lies: Any) -> Record:
        """Push the record of a review past the commands."""
        reject = lies.pop("reject", "")
        about = {
            "repository": self.github.repository,
            "run": str(self.number),
            "attempt": "1",
            "environment": "production",
            "login": login,
        }
        return self.scene.write(
            Approval(
                plan_digest=asked.request.plan_digest,
                target=asked.request.plan.target,
                decision="reject" if reject else "approve",
                approver=login,
                method="github-environment",
                payload=statement(asked, time=records.now(), reject=reject, **{**about, **lies}),
                signature="",
                reason=reject,
                request=asked.record.id,
            )
        )

    def went_live(self, asked: Asked, *, named: bool = True, after_s: float = 60, status: str = "live") -> Record:
        deployment = Deployment(
            plan=asked.request.plan,
            plan_digest=asked.request.plan_digest,
            policy_sha=asked.request.policy_sha,
            status=status,  # type: ignore[arg-type]
            request=asked.record.id if named else "",
        )
        return self.scene.write(deployment, time=records.timestamp(asked.opens + timedelta(seconds=after_s)))

    def counts_nothing(self, because: str, plan: Plan | None = None) -> None:
        stand = self.standing(plan)
        assert stand.counted == []
        assert because in "; ".join([*stand.discounted, stand.rejected])


def sha_of(scene: Scene) -> str:
    return git(scene.place.root, "rev-parse", f"{TAG}^{{commit}}")


StartRun = Callable[..., ReleaseRun]


@pytest.fixture
def start(scene: Scene) -> StartRun:
    """Start the release workflow: a push of the version's tag, unless facts say otherwise."""
    scene.github.add_environment("production", ["octo-lead", "hubot"])

    def started(*, actor: str = "octocat", **facts: Any) -> ReleaseRun:
        about = {"event": "push", "head_branch": TAG, "head_sha": sha_of(scene), **facts}
        number = scene.github.add_run(pending=["production"], actor=actor, **about)
        return ReleaseRun(scene, number, triggered_by=actor, event=about["event"])

    return started


@pytest.fixture
def run(start: StartRun) -> ReleaseRun:
    return start()


def test_a_review_of_the_environment_approves_and_production_follows(run: ReleaseRun) -> None:
    asked = run.ask()
    assert (asked.request.run, run.take().records) == (str(run.number), [])
    run.review("octo-lead", comment="looks good")
    (record,) = run.take().records
    decision = record.read(Approval)
    assert (decision.approver, decision.method, decision.decision, decision.signature) == (
        "octo-lead",
        "github-environment",
        "approve",
        "",
    )
    said = json.loads(decision.payload)
    assert (said["run"], said["attempt"], said["environment"], said["plan"], said["target"]) == (
        str(run.number),
        "1",
        "production",
        asked.request.plan_digest,
        "production",
    )
    stand = run.standing()
    assert stand.reached(1)
    assert [one.id for one in stand.counted] == [record.id]
    assert stand.request is not None
    assert stand.request.id == asked.record.id
    run.scene.deploy(expect=APPROVED, token=False, **run.env())


@pytest.mark.full
def test_the_same_reviews_are_taken_once(run: ReleaseRun) -> None:
    run.scene.rule("{required: 2}")
    run.ask()
    for login in ("octo-lead", "octo-lead", "hubot"):
        run.review(login)
    first = run.take()
    run.again("octocat")
    again = run.take()
    assert [record.id for record in first.records] == [record.id for record in again.records]
    assert len(first.records) == 2
    assert run.standing().reached(2)


@pytest.mark.full
def test_outside_of_a_run_that_releases_there_are_no_reviews(run: ReleaseRun) -> None:
    run.ask()
    run.review("octo-lead")
    calls = len(run.github.calls)
    assert run.take(env={}).records == []
    laptop = run.scene.project
    ruling = policy.at_default_branch(laptop.checkout)
    assert take_reviews(laptop, run.plan, ruling, [], witness_of(laptop, run.scene.env())).records == []
    assert len(run.github.calls) == calls


@pytest.mark.full
def test_a_token_that_may_not_ask_says_which_permission(run: ReleaseRun) -> None:
    run.ask()
    run.review("octo-lead")
    token = run.github.token(ACTIONS, {"contents": "read"})
    taken = run.take(env={**run.env(), "GITHUB_TOKEN": token})
    assert taken.records == []
    assert "actions: read" in taken.notes[0]


@pytest.mark.full
def test_github_that_does_not_answer_lets_nobody_in_and_loses_nothing(run: ReleaseRun) -> None:
    run.ask()
    run.review("octo-lead")
    run.github.fault(path="approvals", times=4, kind=faults.status(502))
    with pytest.raises(ServiceError):
        run.take()
    assert run.take().records
    run.github.fault(path="approvals", times=4, kind=faults.status(502))
    run.counts_nothing("cannot be checked")
    assert run.standing().reached(1)


@pytest.mark.full
def test_a_rejection_says_why_and_stands(run: ReleaseRun) -> None:
    run.ask()
    run.review("hubot")
    run.review("octo-lead", state="rejected", comment="recall\nfell | @octo-org/all")
    assert len(run.take().records) == 2
    stand = run.standing()
    assert stand.rejected == "octo-lead rejected it: recall fell | @octo-org/all"
    assert "octo-lead rejected it" in run.scene.deploy(expect=WAITS, token=False, **run.env())


@pytest.mark.full
def test_a_rejection_stands_when_the_run_is_gone_and_without_anybody_to_ask(run: ReleaseRun) -> None:
    run.ask()
    run.review("octo-lead", state="rejected")
    run.take()
    assert run.standing().rejected == "octo-lead rejected it: no reason was given"
    assert "rejection of octo-lead" in run.scene.standing(token=False).rejected
    del run.github.world.tables.runs[run.number]
    assert "not there" in run.standing().rejected


def test_who_rejected_and_approved_the_same_run_did_not_approve(run: ReleaseRun) -> None:
    """GitHub does not tell which came last."""
    run.ask()
    run.review("octo-lead", state="rejected", comment="no")
    run.review("octo-lead")
    run.take()
    stand = run.standing()
    assert stand.counted == []
    assert "octo-lead rejected it: no" in stand.rejected
    assert "does not tell which came last" in "; ".join(stand.discounted)


@pytest.mark.full
def test_a_review_of_another_environment_is_none_of_this(run: ReleaseRun) -> None:
    run.github.add_environment("staging")
    asked = run.ask()
    run.review("octo-lead", environment="staging")
    assert run.take().records == []
    run.forge(asked, "octo-lead")
    run.forge(asked, "octo-lead", environment="staging")
    run.counts_nothing("did not approve run")
    run.counts_nothing("another environment")


@pytest.mark.full
def test_the_environment_has_the_name_that_the_default_branch_says(run: ReleaseRun) -> None:
    run.github.add_environment("Prod EU")
    text = config().replace("kind: local", 'kind: local, environment: "prod eu"')
    run.scene.place.commit({"mlops.yaml": text})
    run.scene.place.push()
    run.scene.deploy()
    plan = run.plan
    run.ask(plan)
    run.review("octo-lead", environment="production")
    assert run.take(plan).records == []
    run.review("octo-lead", environment="Prod EU")
    assert run.take(plan).records
    assert run.standing(plan).reached(1)


@pytest.mark.full
def test_an_environment_of_two_targets_approves_neither(run: ReleaseRun) -> None:
    other = f"  production-us: {{kind: local, port: {PORT + 1}, approval: {{required: 1}}, environment: Production}}\n"
    run.scene.place.commit({"mlops.yaml": config() + other})
    run.scene.place.push()
    asked = run.ask()
    run.review("octo-lead")
    taken = run.take()
    assert taken.records == []
    assert "have the same environment" in taken.notes[0]
    run.forge(asked, "octo-lead")
    run.counts_nothing("have the same environment")


@pytest.mark.parametrize(
    ("login", "because"),
    [
        ("octo-app[bot]", "no person"),
        ("dependabot[bot]", "no person"),
        ("defunkt", "four eyes"),
        ("monalisa", "four eyes"),
        ("octocat", "four eyes"),
        ("mallory", "may not write"),
    ],
    ids=["an App", "another program", "who tagged", "who wrote", "who pushed the tag", "who may only read"],
)
@pytest.mark.full
def test_who_does_not_approve(run: ReleaseRun, login: str, because: str) -> None:
    """GitHub's own rule may have let them: the rules of the default branch do not."""
    run.ask()
    run.review(login)
    run.take()
    run.counts_nothing(because)


def test_who_started_any_attempt_does_not_approve(run: ReleaseRun) -> None:
    run.ask()
    run.again("hubot")
    run.again("octocat")
    run.review("hubot")
    run.take()
    run.counts_nothing("four eyes")
    run.review("octo-lead")
    run.take()
    assert run.standing().reached(1)


@pytest.mark.full
def test_who_runs_it_again_did_not_approve_it(run: ReleaseRun) -> None:
    run.ask()
    run.review("octo-lead")
    run.take()
    assert run.standing().reached(1)
    run.again("octo-lead")
    run.counts_nothing("four eyes")


@pytest.mark.full
def test_a_failed_job_is_run_again_with_the_same_approval(run: ReleaseRun) -> None:
    asked = run.ask()
    run.review("octo-lead")
    run.take()
    run.went_live(asked, status="failed")
    run.again("octocat")
    assert run.take().records
    assert run.standing().reached(1)


def test_reviews_of_an_earlier_attempt_are_none_of_another_plan(run: ReleaseRun) -> None:
    """Neither for the plan of the second attempt, whoever wrote that request, nor for the first any more."""
    before = run.ask()
    run.review("octo-lead")
    run.take()
    run.scene.rule("{required: 1, expires: 6d}")
    plan = run.plan
    assert plan != before.request.plan
    run.again("octocat")
    after = run.ask(plan)
    run.take(plan)
    run.counts_nothing("asked for several things", plan)
    run.forge(after, "octo-lead")
    run.counts_nothing("asked for several things", plan)


def test_a_request_for_another_run_gains_nothing(run: ReleaseRun, start: StartRun) -> None:
    """Somebody who may push writes that a reviewed run asked for what they want."""
    run.ask()
    run.review("octo-lead")
    other = start(actor="mallory")
    asked = other.ask()
    other.forge(asked, "octo-lead")
    other.forge(asked, "octo-lead", run=str(run.number))
    other.counts_nothing("did not approve run")
    other.counts_nothing("in another run than the one that asked")
    other.ask(run=str(run.number))
    assert other.standing().counted == []


@pytest.mark.full
def test_a_review_is_used_up_by_what_it_approved(run: ReleaseRun) -> None:
    asked = run.ask()
    run.review("octo-lead")
    run.take()
    assert run.standing().reached(1)
    run.went_live(asked)
    run.went_live(asked, named=False, after_s=120, status="stopped")
    run.again("octocat")
    run.scene.deploy()
    plan = run.plan
    again = run.ask(plan)
    run.take(plan)
    run.forge(again, "octo-lead")
    run.counts_nothing("has been deployed or has expired since", plan)
    backdated = run.ask(plan, time=asked.record.time)
    run.forge(backdated, "octo-lead")
    assert run.standing(plan).counted == []


@pytest.mark.full
def test_a_review_ends_when_something_else_went_live_and_away(run: ReleaseRun) -> None:
    asked = run.ask()
    run.review("octo-lead")
    run.take()
    run.went_live(asked, named=False)
    run.went_live(asked, named=False, after_s=120, status="stopped")
    run.counts_nothing("has been deployed or has expired since", asked.request.plan)


@pytest.mark.full
def test_an_expired_request_is_not_revived_in_the_same_run(run: ReleaseRun) -> None:
    plan = run.plan
    run.ask(plan, time=records.timestamp(run.scene.asked.opens - timedelta(days=30)))
    run.review("octo-lead")
    run.take(plan)
    run.ask(plan)
    run.take(plan)
    assert run.standing(plan).counted == []
    run.counts_nothing("has expired since", plan)


@pytest.mark.full
def test_a_new_run_asks_anew_and_is_approved_by_its_own_reviews(run: ReleaseRun, start: StartRun) -> None:
    run.ask()
    run.review("octo-lead")
    run.take()
    other = start()
    assert run.standing().asked_here
    assert not other.standing().asked_here
    assert other.take().records == []
    other.ask()
    assert other.standing().asked_here
    other.review("hubot")
    assert other.take().records
    assert len(other.standing().counted) == 1


@pytest.mark.parametrize(
    ("facts", "because"),
    [
        ({"event": "pull_request"}, "releases nothing"),
        ({"event": "schedule"}, "releases nothing"),
        ({"event": "issue_comment"}, "releases nothing"),
        ({"head_repository": "mallory/churn"}, "mallory/churn"),
        ({"head_branch": "main"}, "is of main"),
        ({"head_branch": "churn@v1.0.1"}, "is of churn@v1.0.1"),
        ({"head_sha": "b" * 40}, "at bbbbbbb"),
        ({"event": "release", "head_branch": "churn@v0.9.0"}, "is of churn@v0.9.0"),
        ({"event": "workflow_dispatch", "head_branch": "mine"}, "is of mine"),
    ],
)
@pytest.mark.full
def test_a_run_that_does_not_release_this_version_approves_nothing(
    start: StartRun, facts: dict[str, str], because: str
) -> None:
    run = start(**facts)
    run.ask()
    run.review("octo-lead")
    run.take()
    run.counts_nothing(because)


@pytest.mark.parametrize("event", ["release", "workflow_dispatch"])
@pytest.mark.full
def test_a_release_and_a_person_start_the_same(start: StartRun, event: str) -> None:
    run = start(event=event, **({"head_branch": "main", "head_sha": "c" * 40} if event != "release" else {}))
    run.ask()
    run.review("octo-lead")
    run.take()
    assert run.standing().reached(1)


@pytest.mark.full
def test_only_the_run_itself_knows_which_tag_a_person_named(start: StartRun) -> None:
    """Records could claim that somebody else's dispatch was of this version."""
    reviewed = start(event="workflow_dispatch", head_branch="main", head_sha="c" * 40)
    asked = reviewed.ask()
    reviewed.review("octo-lead")
    reviewed.take()
    other = start(actor="mallory")
    other.forge(asked, "octo-lead", run=str(reviewed.number))
    other.counts_nothing("only in it is known")
    assert "only in it is known" in "; ".join(reviewed.scene.standing().discounted)


@pytest.mark.full
def test_a_permission_that_was_taken_away_counts_no_more(run: ReleaseRun) -> None:
    run.ask()
    run.review("octo-lead")
    run.take()
    assert run.standing().reached(1)
    run.github.set_permission("octo-lead", "triage")
    assert "octo-lead may not write" in run.scene.deploy(expect=WAITS, token=False, **run.env())


def test_a_record_of_a_review_that_nobody_gave_is_nothing(run: ReleaseRun) -> None:
    asked = run.ask()
    run.review("hubot")
    run.review("mallory")
    for lie in (
        run.forge(asked, "octo-lead"),
        run.forge(asked, "octo-lead", login="hubot"),
        run.forge(asked, "hubot", login="mallory"),
        run.forge(asked, "hubot", repository="octocat/another"),
        run.forge(asked, "hubot", run="987654"),
        run.forge(asked, "hubot", run="9" * 400),
        run.forge(asked, "hubot", environment="staging"),
        run.forge(asked, "hubot", plan="sha256:0"),
        run.forge(asked, "hubot", target="staging"),
        run.forge(asked, "../../hubot"),
        run.scene.write(records.replace(run.forge(asked, "mallory").read(Approval), approver="hubot")),
        run.scene.write(records.replace(run.forge(asked, "hubot", run="1").read(Approval), method="github-comment")),
        run.scene.write(records.replace(run.forge(asked, "hubot", run="1").read(Approval), method="ssh")),
    ):
        assert lie.kind == "approval"
    stand = run.standing()
    assert stand.counted == []
    assert not stand.rejected
    run.forge(asked, "hubot")
    assert len(run.standing().counted) == 1


@pytest.mark.full
def test_a_rejection_that_nobody_gave_stops_nothing(run: ReleaseRun) -> None:
    asked = run.ask()
    run.review("octo-lead")
    run.take()
    run.forge(asked, "hubot", reject="no")
    run.forge(asked, "octo-lead", reject="no")
    assert run.standing().reached(1)


@pytest.mark.full
def test_a_review_and_a_comment_of_one_person_are_one_approval(run: ReleaseRun) -> None:
    run.scene.rule("{required: 2}")
    asked = run.ask()
    run.review("octo-lead")
    run.take(asked.request.plan)
    comment = run.scene.comment("octo-lead", f"/approve {asked.request.plan_digest}", after_s=60)
    run.scene.forge(comment, "octo-lead", asked=asked)
    assert len(run.standing(asked.request.plan).counted) == 1
    comment = run.scene.comment("hubot", f"/approve {asked.request.plan_digest}", after_s=60)
    run.scene.forge(comment, "hubot", asked=asked)
    assert run.standing(asked.request.plan).reached(2)


@pytest.mark.full
def test_logins_of_the_rule_admit_and_others_do_not(run: ReleaseRun) -> None:
    run.scene.rule("{required: 1, from: [octo-lead]}")
    plan = run.plan
    run.ask(plan)
    run.review("hubot")
    run.take(plan)
    run.counts_nothing("not among the approvers", plan)
    run.review("octo-lead")
    run.take(plan)
    assert run.standing(plan).reached(1)


@pytest.mark.full
def test_more_runs_than_anybody_starts_are_not_all_asked_for(run: ReleaseRun) -> None:
    asked = run.ask()
    run.review("octo-lead")
    run.take()
    for number in range(30):
        forged = records.replace(asked.request, run=str(500_000 + number))
        record = run.scene.write(forged, time=asked.record.time)
        other = next(one for one in requests(run.scene.project) if one.record.id == record.id)
        run.forge(other, "hubot", run=str(500_000 + number))
    before = len(run.github.calls)
    run.standing()
    assert len(run.github.calls) - before < 60
