"""
Decisions by comment, on a real project with a bare remote, and a GitHub that people write comments at.

The port of production is taken, so that nothing starts: exit code 3 says that the approval was there, 4 that it was
not. A comment that must not count is tried twice: by the event, and by a record that somebody pushed all the same.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlops_ci import records
from mlops_ci.ci import Event, Remark
from mlops_ci.entities import Approval, Author, CiRun, Deployment, Plan
from mlops_ci.errors import ConfigError, ServiceError
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals import approve
from mlops_ci.lifecycle.approvals.answer_comment import Answer, answer, is_addressed
from mlops_ci.lifecycle.approvals.approval_requests import Asked, requests
from mlops_ci.lifecycle.approvals.approve import Standing
from mlops_ci.lifecycle.approvals.comment_commands import Command, command_of
from mlops_ci.lifecycle.approvals.decisions import statement
from mlops_ci.lifecycle.approvals.github_witness import witness_of
from mlops_ci.lifecycle.deployments import deployments
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.two_jobs.record_bundles import open_project
from mlops_ci.records import Record
from tests.cli.conftest import CONFIG, FILES, Workplace, _workplace
from tests.cli.test_release import MODEL, TRAIN_WITH_MODEL
from tests.github import commits, faults, mended
from tests.github.gateway import GitHubServer
from tests.github.hubs import connected
from tests.repositories import clone, git, make_clone

__all__ = ["commits"]

APPROVED, WAITS = 3, 4
STRANGER = Author(name="somebody", email="somebody@example.com")
OF_THE_JOB = {"contents": "write", "issues": "write", "pull-requests": "write"}
PORT = 39005
QUIET = lambda _: None  # noqa: E731


@dataclass
class Scene:
    """A version that waits for approval, and the GitHub that its repository is at."""

    place: Workplace
    github: GitHubServer
    folder: Path
    attempt: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def project(self) -> Project:
        return Project.open(self.place.root)

    @property
    def asked(self) -> Asked:
        """The first request that is open."""
        return next(asked for asked in requests(self.project) if asked.state == "open")

    @property
    def digest(self) -> str:
        return self.asked.request.plan_digest.removeprefix("sha256:")

    def rule(self, approval: str) -> None:
        """Let production want *approval*, and ask for it."""
        self.place.commit({"mlops.yaml": config(approval)})
        self.place.push()
        self.deploy()

    def comment(self, author: str, body: str, *, after_s: float = 30, number: int | None = None) -> int:
        """Let *author* write *body*, *after_s* seconds after the request; the comment's id."""
        time = (self.asked.opens + timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.github.add_comment(number or self.github.open_issue(), author, body, created_at=time)

    def edit(self, comment: int, body: str, author: str = "octocat") -> None:
        """Edit a comment in another second than that in which it was written: GitHub's times are no finer."""
        self.github.edit_comment(comment, body, author=author)
        while (told := self.told(comment))["created_at"] == told["updated_at"]:
            time.sleep(0.2)
            self.github.edit_comment(comment, body, author=author)

    def told(self, comment: int) -> dict[str, Any]:
        """A comment as GitHub has it."""
        place = f"{self.github.world.place}/issues/comments/{comment}"
        return mended.comment_as_told(self.github.world, self.github.world.do("GET", place))

    def number(self, comment: int) -> int:
        return int(self.told(comment)["issue_url"].rpartition("/")[2])

    def event(self, comment: int, *, payload: str = "", author: str = "octocat") -> Event:
        """The event of a comment that says *payload*, or what it says."""
        body = payload or self.told(comment)["body"]
        run = next(self.attempt)
        return Event(
            kind="comment",
            name="issue_comment",
            run=CiRun(provider="github", run_id=str(run)),
            author=Author(name=author, via="github"),
            repository=self.github.repository,
            sha=git(self.place.remote, "rev-parse", "main"),
            number=1,
            remark=Remark(comment, author, body, on_pull_request=False),
            server_url=(self.folder / "server").as_uri(),
            api_url=self.github.url,
        )

    def answer(self, comment: int, **options: Any) -> Answer:
        """What the job that the comment starts does, in a repository without any checkout."""
        event = self.event(comment, **options)
        project = open_project(event, self.folder / f"job{event.run.run_id}")
        return answer(project, event, connected(self.github, permissions=OF_THE_JOB), QUIET)

    def say(self, author: str, body: str, **options: Any) -> Answer:
        """Comment, and let the job answer."""
        return self.answer(self.comment(author, body, **options))

    def replies(self, number: int) -> list[str]:
        return [one["body"] for one in self.github.comments(number) if "<!-- mlops-ci v=1 answer=" in one["body"]]

    def deploy(self, *, expect: int = WAITS, token: bool = True, **variables: str) -> str:
        env = self.env() if token else {}
        return self.place.run("deploy", "production", expect=expect, **env, **variables)

    def env(self, login: str = "hubot") -> dict[str, str]:
        """A laptop with a token."""
        token = self.github.token(login)
        return {"GITHUB_TOKEN": token, "GITHUB_API_URL": self.github.url, "GITHUB_REPOSITORY": self.github.repository}

    def standing(self, *, token: bool = True, plan: Plan | None = None, deployer: str = "") -> Standing:
        """What a deployment would count."""
        ruling = policy.at_default_branch(self.project.checkout)
        project = self.project.ruled_by(ruling.config)
        plan = plan or self.asked.request.plan
        witness = witness_of(project, self.env() if token else {})
        history = deployments(project, plan.target)
        return approve.standing(project, plan, ruling, history, people=[deployer], witness=witness)

    def write(self, entity: Any, *, time: str | None = None, author: Author = STRANGER) -> Record:
        """Push a record past the commands."""
        record = records.new(entity, author=author, time=time)
        self.project.ledger.append([record])
        return record

    def forge(self, comment: int, approver: str, /, *, asked: Asked | None = None, **facts: Any) -> Record:
        """Push the record of a decision by comment, as if it had been taken; *facts* are lies."""
        asked = asked or self.asked
        about: dict[str, Any] = {"repository": self.github.repository, "comment": comment}
        reject = facts.pop("reject", "")
        if "time" not in facts or "number" not in facts:
            told = self.told(comment)
            about |= {"time": told["created_at"], "number": self.number(comment)}
        payload = statement(asked, reject=reject, **{**about, **facts})
        return self.write(
            Approval(
                plan_digest=asked.request.plan_digest,
                target=asked.request.plan.target,
                decision="reject" if reject else "approve",
                approver=approver,
                method="github-comment",
                payload=payload,
                signature="",
                reason=reject,
                request=asked.record.id,
            )
        )

    def counts_nowhere(self, comment: int, approver: str, because: str) -> None:
        """Neither the job takes the comment, nor does a pushed record of it help."""
        found = self.answer(comment)
        assert found.decision is None
        assert because in found.said
        assert self.github.reactions(comment) == [("github-actions[bot]", "confused")]
        (reply,) = self.replies(self.number(comment))
        assert "does not count" in reply
        self.forge(comment, approver)
        stand = self.standing()
        assert stand.counted == []
        assert because in "; ".join(stand.discounted)


def config(approval: str = "{required: 1}") -> str:
    return CONFIG + f"targets:\n  production: {{kind: local, port: {PORT}, approval: {approval}}}\n"


@pytest.fixture(scope="module")
def asked_for(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A remote whose version 1.0.0 waits for production. monalisa wrote it, by an address that only GitHub knows to be
    theirs; defunkt tagged it, by one that everybody knows.
    """
    folder = tmp_path_factory.mktemp("asked")
    files = {**FILES, "model.py": MODEL, "train.py": TRAIN_WITH_MODEL, "mlops.yaml": config()}
    with pytest.MonkeyPatch.context() as clean:
        for name in ("GITHUB_TOKEN", "GITHUB_ACTIONS"):
            clean.delenv(name, raising=False)
        place = _workplace(make_clone(folder, files), folder)
        (place.root / "params.json").write_text('{"accuracy": 0.95}')
        git(place.root, "commit", "--quiet", "-am", "better", "--author=Mona <monalisa@example.com>")
        place.run("run")
        tagger = ["-c", "user.name=Tagger", "-c", "user.email=7+defunkt@users.noreply.github.com"]
        command = ["env", "-u", "GIT_COMMITTER_EMAIL", "-u", "GIT_COMMITTER_NAME", "git", *tagger]
        subprocess.run([*command, "tag", "-a", "-m", "release", "churn@v1.0.0"], cwd=place.root, check=True)
        place.push("HEAD:main", "churn@v1.0.0")
        place.run("register", "churn@v1.0.0")
        place.run("deploy", "production", expect=WAITS)
    return folder


@pytest.fixture
def scene(asked_for: Path, tmp_path: Path, github: GitHubServer) -> Iterator[Scene]:
    """A copy of it, with a GitHub of its own: octo-lead and hubot may write, mallory may not."""
    remote = tmp_path / "origin.git"
    shutil.copytree(asked_for / "origin.git", remote)
    place = _workplace(clone(remote, tmp_path / "work"), tmp_path)
    served = tmp_path / "server" / f"{github.repository}.git"
    served.parent.mkdir(parents=True)
    served.symlink_to(remote)
    github.world.git = remote
    for login in ("octo-lead", "hubot", "monalisa", "defunkt"):
        github.set_permission(login, "write")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", PORT))
        taken.listen()
        yield Scene(place, github, tmp_path)


def test_a_comment_approves_and_production_follows(scene: Scene) -> None:
    comment = scene.comment("octo-lead", f"/approve {scene.digest[:12]}\n\nlooks good")
    found = scene.answer(comment)
    assert (found.reached, found.missing) == (True, ())
    assert found.decision is not None
    assert (found.decision.approver, found.decision.method, found.decision.signature) == (
        "octo-lead",
        "github-comment",
        "",
    )
    said = json.loads(found.decision.payload)
    assert (said["comment"], said["repository"], said["plan"]) == (
        comment,
        scene.github.repository,
        f"sha256:{scene.digest}",
    )
    assert scene.github.reactions(comment) == [("github-actions[bot]", "+1")]
    (reply,) = scene.replies(scene.number(comment))
    assert "1 of 1 approval" in reply
    assert "`mlops-ci deploy production`" in reply
    assert "`churn@v1.0.0`" in reply
    assert "@octo-lead" not in reply
    scene.deploy(expect=APPROVED)
    assert "cannot be checked without a GitHub token" in scene.deploy(token=False)
    for env, count in ((scene.env(), 1), ({}, 0)):
        (listed,) = json.loads(scene.place.run("approvals", "--json", **env))
        assert (listed["approvals"], listed["rejected"], len(listed["discounted"])) == (count, "", 1 - count)
    assert "four eyes" in scene.standing(deployer="1+octo-lead@users.noreply.github.com").discounted[0]


def test_the_same_comment_is_one_decision_and_has_one_reply(scene: Scene) -> None:
    scene.rule("{required: 2}")
    comment = scene.comment("octo-lead", f"/mlops approve sha256:{scene.digest}")
    first, second = scene.answer(comment), scene.answer(comment)
    assert first.decision == second.decision
    assert (first.reached, first.url) == (False, second.url)
    (reply,) = scene.replies(scene.number(comment))
    assert "1 of 2 approvals" in reply
    assert "1 more approval is needed" in reply
    assert len([one for one in scene.project.ledger.find("target/production") if one.kind == "approval"]) == 1
    assert scene.say("octo-lead", f"/approve {scene.digest}").reached is False
    assert scene.say("hubot", f"/approve {scene.digest[:8].upper()}").reached is True


ORDERS_NOTHING = [
    "well,\n/approve {}",
    "> /approve {}",
    "```\n/approve {}\n```",
    "    /approve {}",
    " /approve {}",
    "please /approve {}",
    "/approved {}",
    "/approve",
    "/approve the plan {}",
    "<!-- x -->/approve {}",
    "/Approve{}",
    "\u200b/approve {}",
    "`/approve {}`",
    "/approve 1234567",
    "\n/approve {}",
    "\r/approve {}",
    "/mlopsapprove {}",
    "/approve\n{}",
]


@pytest.mark.parametrize("body", ORDERS_NOTHING)
def test_what_orders_nothing(body: str) -> None:
    """A quotation, a code block, the middle of a text; nor is every `/approve` ours."""
    assert command_of(body.format("0123456789ab")) is None


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ("/approve 0123ABCD", Command("approve", "0123abcd")),
        ("/approve sha256:0123abcd \r\nbecause it is good", Command("approve", "0123abcd")),
        ("/mlops\tapprove  0123abcd", Command("approve", "0123abcd")),
        ("/reject 0123abcd  recall fell ", Command("reject", "0123abcd", "recall fell")),
        ("/waive accuracy 0.7 x", Command("waive", rest="accuracy 0.7 x")),
    ],
)
def test_what_orders_something(body: str, command: Command) -> None:
    assert command_of(body) == command


def test_what_orders_nothing_is_answered_by_nobody(scene: Scene) -> None:
    for body in ORDERS_NOTHING[:4]:
        comment = scene.comment("octo-lead", body.format(scene.digest))
        calls = len(scene.github.calls)
        event = scene.event(comment)
        assert not is_addressed(event)
        assert answer(scene.project, event, connected(scene.github, permissions=OF_THE_JOB), QUIET).nothing
        assert len(scene.github.calls) == calls
        scene.forge(comment, "octo-lead")
    stand = scene.standing()
    assert stand.counted == []
    assert all("does not say what was recorded" in sentence for sentence in stand.discounted)


def test_an_edited_comment_does_not_count(scene: Scene) -> None:
    comment = scene.comment("octo-lead", "what is this?")
    scene.edit(comment, f"/approve {scene.digest}")
    scene.counts_nowhere(comment, "octo-lead", "edited")


def test_a_comment_that_is_edited_after_it_was_taken_counts_no_more(scene: Scene) -> None:
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    assert scene.answer(comment).reached
    scene.edit(comment, f"/approve {scene.digest} ")
    assert "edited" in scene.deploy()


def test_a_comment_that_is_gone_counts_no_more(scene: Scene) -> None:
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    assert scene.answer(comment).reached
    scene.github.delete_comment(comment)
    assert "not there" in scene.deploy()
    event = replace(scene.event(comment, payload=f"/approve {scene.digest}"))
    assert "not there" in answer(scene.project, event, connected(scene.github), QUIET).nothing


@pytest.mark.parametrize(
    ("author", "because"),
    [
        ("octo-app[bot]", "no person"),
        ("defunkt", "four eyes"),
        ("monalisa", "four eyes"),
        ("mallory", "may not write"),
    ],
    ids=["a program", "who tagged", "who wrote", "who may only read"],
)
def test_who_does_not_approve(scene: Scene, author: str, because: str) -> None:
    scene.github.set_permission("octo-app[bot]", "admin")
    comment = scene.comment(author, f"/approve {scene.digest}")
    scene.counts_nowhere(comment, author, because)


def test_who_asked_for_it_does_not_approve(scene: Scene) -> None:
    asked = records.replace(scene.asked.request, people=[])
    scene.write(asked, author=Author(name="Octo-Lead", via="github"), time=scene.asked.record.time)
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    scene.counts_nowhere(comment, "octo-lead", "four eyes")


def test_what_nobody_knows_the_authors_of_is_approved_by_no_comment(scene: Scene) -> None:
    scene.github.world.git = None
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    scene.counts_nowhere(comment, "octo-lead", "cannot ask who wrote")
    plan = records.replace(scene.asked.request.plan, version_record="0" * 64)
    request = records.replace(scene.asked.request, plan=plan, plan_digest=records.digest(plan))
    scene.write(request, time=scene.asked.record.time)
    assert "nobody knows the commit" in scene.say("octo-lead", f"/approve {request.plan_digest}").said


def test_a_permission_that_was_taken_away_counts_no_more(scene: Scene) -> None:
    assert scene.say("octo-lead", f"/approve {scene.digest}").reached
    scene.github.set_permission("octo-lead", "triage")
    assert "octo-lead may not write" in scene.deploy()


def test_a_record_without_a_comment_is_nothing(scene: Scene) -> None:
    scene.forge(987654, "octo-lead", time="2026-01-01T00:00:00Z", number=1)
    scene.forge(987654, "octo-lead", time=records.now(), number=1)
    said = scene.deploy()
    assert "has 0 of 1" in said
    assert "comment 987654 is not there" in said


def test_a_record_that_lies_about_a_comment_is_nothing(scene: Scene) -> None:
    genuine = scene.comment("hubot", f"/approve {scene.digest}", number=scene.github.open_issue())
    hostile = scene.comment("mallory", f"/approve {scene.digest}")
    stale = {"time": "2026-11-21T00:00:00Z", "number": scene.number(genuine)}
    created = scene.told(genuine)["created_at"]
    for lie in (
        scene.forge(hostile, "octo-lead"),
        scene.forge(genuine, "octo-lead"),
        scene.forge(genuine, "hubot", repository="octocat/another"),
        scene.forge(genuine, "hubot", number=scene.number(genuine) + 1, time=created),
        scene.forge(genuine, "hubot", **stale),
        scene.forge(genuine, "hubot", comment="x"),
        scene.forge(genuine, "hubot", comment="9" * 400),
        scene.forge(genuine, "../../octo-lead"),
        scene.write(records.replace(scene.forge(genuine, "hubot", plan="sha256:0").read(Approval), request="other")),
        scene.write(records.replace(scene.forge(hostile, "hubot").read(Approval), method="ssh")),
    ):
        assert lie.kind == "approval"
    stand = scene.standing()
    assert stand.counted == []
    assert not stand.rejected
    assert "another repository" in "; ".join(stand.discounted)
    scene.forge(genuine, "hubot")
    assert len(scene.standing().counted) == 1


def test_a_comment_on_one_plan_is_none_on_another(scene: Scene) -> None:
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    assert scene.answer(comment).reached
    before = scene.asked.record.id
    scene.rule("{required: 1, expires: 6d}")
    (other,) = [asked for asked in requests(scene.project) if asked.record.id != before]
    scene.forge(comment, "octo-lead", asked=other)
    stand = scene.standing(plan=other.request.plan)
    assert stand.counted == []
    assert "does not say what was recorded" in stand.discounted[0]


def test_an_old_comment_approves_no_second_deployment(scene: Scene) -> None:
    """Whoever may push writes a request for the same plan, of a time before the comment."""
    first = scene.asked
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    found = scene.answer(comment)
    assert found.decision is not None
    live = Deployment(
        plan=first.request.plan,
        plan_digest=first.request.plan_digest,
        policy_sha=first.request.policy_sha,
        status="live",
        request=first.record.id,
    )
    later = records.timestamp(first.opens + timedelta(minutes=2))
    scene.write(live, time=later)
    scene.write(
        records.replace(live, status="stopped", request=""), time=records.timestamp(first.opens + timedelta(minutes=3))
    )
    backdated = scene.write(records.replace(first.request, people=["x"]), time=first.record.time)
    (again,) = [asked for asked in requests(scene.project) if asked.record.id == backdated.id]
    assert again.state == "open"
    scene.forge(comment, "octo-lead", asked=again)
    stand = scene.standing(plan=first.request.plan)
    assert stand.counted == []
    assert "older than what serves" in "; ".join(stand.discounted)
    refused = scene.answer(comment)
    assert refused.decision is None
    assert "older than what serves" in refused.said


def test_a_comment_before_the_request_or_after_its_end_does_not_count(scene: Scene) -> None:
    for after_s in (-60, 8 * 86400):
        comment = scene.comment("octo-lead", f"/approve {scene.digest}", after_s=after_s)
        scene.counts_nowhere(comment, "octo-lead", "while the request was open")


def test_an_expired_request_is_not_approved(scene: Scene) -> None:
    plan = records.replace(scene.asked.request.plan, image="old")
    digest = records.digest(plan)
    old = records.replace(scene.asked.request, plan=plan, plan_digest=digest)
    scene.write(old, time=records.timestamp(scene.asked.opens - timedelta(days=30)))
    found = scene.say("octo-lead", f"/approve {digest}", after_s=-29 * 86400)
    assert found.decision is None
    assert "expired" in found.said


def test_a_prefix_of_two_plans_names_neither(scene: Scene) -> None:
    one, other = twins(scene.asked.request.plan)
    for plan in (one, other):
        request = records.replace(scene.asked.request, plan=plan, plan_digest=records.digest(plan))
        scene.write(request, time=scene.asked.record.time)
    digests = [records.digest(plan).removeprefix("sha256:") for plan in (one, other)]
    assert digests[0][:8] == digests[1][:8]
    found = scene.say("octo-lead", f"/approve {digests[0][:8]}")
    assert found.decision is None
    assert "requests for 2 plans" in found.said
    assert scene.say("octo-lead", f"/approve {digests[0]}").decision is not None
    assert "no request" in scene.say("octo-lead", "/approve 00000000").said


def twins(plan: Plan) -> tuple[Plan, Plan]:
    """Two plans whose digests begin with the same 8 digits."""
    mark = "@@@@@@@@"
    head, tail = records.canonical(msgspec.to_builtins(records.replace(plan, image=mark))).split(mark.encode())
    seen: dict[bytes, str] = {}
    for number in itertools.count():
        image = f"{number:08d}"
        start = hashlib.sha256(head + image.encode() + tail).digest()[:4]
        if start in seen:
            return records.replace(plan, image=seen[start]), records.replace(plan, image=image)
        seen[start] = image
    raise AssertionError


def test_one_rejection_stands_against_an_approval(scene: Scene) -> None:
    assert scene.say("octo-lead", f"/approve {scene.digest}").reached
    comment = scene.comment("monalisa", f"/reject {scene.digest[:8]} recall fell | @octo-org/all </details>")
    found = scene.answer(comment)
    assert found.decision is not None
    assert (found.decision.decision, found.reached) == ("reject", False)
    (reply,) = scene.replies(scene.number(comment))
    assert "**rejected**" in reply
    assert "`¦ @octo-org/all </details>`" in reply
    assert "monalisa rejected it: recall fell" in scene.deploy()
    # Nor does it fall with its comment, which others can edit and remove, or without anybody to ask.
    assert "rejection of monalisa" in scene.standing(token=False).rejected
    scene.edit(comment, "never mind", author="octocat")
    assert "edited" in scene.standing().rejected
    scene.github.delete_comment(comment)
    assert "not there" in scene.standing().rejected


def test_who_may_not_approve_does_not_reject_either(scene: Scene) -> None:
    assert scene.say("octo-lead", f"/approve {scene.digest}").reached
    comment = scene.comment("mallory", f"/reject {scene.digest} no")
    assert scene.answer(comment).decision is None
    scene.forge(comment, "mallory", reject="no")
    assert scene.standing().reached(1)


def test_an_order_that_says_too_little_or_too_much_is_explained(scene: Scene) -> None:
    for order, because in (
        ("/approve {} once the tests pass", "no conditions"),
        ("/reject {}", "says why"),
        ("/mlops approve it", "8 digits"),
    ):
        comment = scene.comment("octo-lead", order.format(scene.digest))
        found = scene.answer(comment)
        assert found.decision is None
        assert because in found.said
        scene.forge(comment, "octo-lead")
    assert scene.standing().counted == []


def test_logins_levels_and_teams_of_the_rule(scene: Scene) -> None:
    scene.rule("{required: 1, from: [octo-lead, 'permission:maintain']}")
    scene.github.set_permission("octo-lead", "read")
    assert "not among the approvers" in scene.say("hubot", f"/approve {scene.digest}").said
    scene.github.set_permission("hubot", "maintain")
    assert scene.say("hubot", f"/approve {scene.digest}").reached
    scene.github.set_permission("hubot", "write")
    assert not scene.standing().reached(1)
    assert scene.say("octo-lead", f"/approve {scene.digest}").reached


def test_the_workflows_token_cannot_ask_for_a_team_and_says_so(scene: Scene) -> None:
    scene.rule("{required: 1, from: ['team:octo-org/leads']}")
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    scene.counts_nowhere(comment, "octo-lead", "teams take a token of the organisation")
    assert "cannot be checked" in scene.standing().discounted[0]


def test_the_rule_of_a_branch_admits_nobody(scene: Scene) -> None:
    scene.rule("{required: 1, from: [hubot]}")
    scene.place.commit({"mlops.yaml": config("{required: 1, from: [octo-lead]}")}, branch="mine")
    scene.place.push("mine")
    assert scene.say("octo-lead", f"/approve {scene.digest}").decision is None


def test_github_that_does_not_answer_lets_nobody_in_and_loses_nothing(scene: Scene) -> None:
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    event = scene.event(comment)
    hub = connected(scene.github, permissions=OF_THE_JOB)
    scene.github.fault(path="collaborators", times=4, kind=faults.status(502))
    with pytest.raises(ServiceError):
        answer(scene.project, event, hub, QUIET)
    assert scene.replies(scene.number(comment)) == []
    assert scene.answer(comment).reached
    scene.github.fault(path="issues/comments", times=4, kind=faults.status(502))
    stand = scene.standing()
    assert stand.counted == []
    assert "cannot be checked" in stand.discounted[0]
    assert scene.standing().reached(1)


def test_a_store_that_is_not_to_be_had_is_nothing_to_answer(scene: Scene) -> None:
    """Whoever may read the issue is told nothing of stores; the job ends with the error, and may be run again."""
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    apart = config().replace("kind: local", "kind: local, store: 'env:PRODUCTION_STORE'")
    scene.place.commit({"mlops.yaml": apart})
    scene.place.push()
    with pytest.raises(ConfigError, match="PRODUCTION_STORE"):
        scene.answer(comment)
    assert scene.replies(scene.number(comment)) == []
    assert scene.github.reactions(comment) == []


def test_a_reply_that_is_not_posted_undoes_nothing(scene: Scene) -> None:
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    event = scene.event(comment)
    reads = {"contents": "read", "issues": "read", "pull-requests": "read"}
    found = answer(scene.project, event, connected(scene.github, permissions=reads), QUIET)
    assert found.reached
    assert any("write" in sentence for sentence in found.missing)


def test_the_payload_is_not_believed(scene: Scene) -> None:
    """Neither for who wrote the comment nor for what it says."""
    comment = scene.comment("mallory", "hello")
    assert scene.answer(comment, payload=f"/approve {scene.digest}", author="octo-lead").nothing
    comment = scene.comment("mallory", f"/approve {scene.digest}")
    assert scene.answer(comment, author="octo-lead").decision is None


def test_a_key_and_a_comment_of_one_person_are_one_approval(scene: Scene, tmp_path: Path) -> None:
    scene.rule("{required: 2}")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    line = f'5+Octo-Lead@users.noreply.github.com namespaces="mlops-ci" {key.with_suffix(".pub").read_text()}'
    scene.place.commit({".mlops/allowed_signers": line})
    scene.place.push()
    scene.place.run("approve", scene.digest, "--key", str(key))
    assert scene.say("octo-lead", f"/approve {scene.digest}", after_s=60).reached is False
    assert len(scene.standing().counted) == 1
    assert scene.say("hubot", f"/approve {scene.digest}", after_s=60).reached


def test_explain_asks_for_the_comment_again(scene: Scene) -> None:
    comment = scene.comment("octo-lead", f"/approve {scene.digest}")
    assert scene.answer(comment).reached
    asked = scene.asked
    (approval,) = scene.standing().counted
    live = Deployment(
        plan=asked.request.plan,
        plan_digest=asked.request.plan_digest,
        policy_sha=asked.request.policy_sha,
        status="live",
        approvals=[approval.id],
        request=asked.record.id,
    )
    scene.write(live, time=records.timestamp(asked.opens + timedelta(minutes=5)))

    def check(**env: str) -> tuple[str, str]:
        text = scene.place.run("explain", "production", "--json", **env)
        (fact,) = [fact for fact in json.loads(text)["facts"] if fact["name"] == "approved"]
        return fact["check"], fact["how"]

    assert check(**scene.env())[0] == "verified"
    assert check() == ("unverified", "the approval of octo-lead by comment cannot be checked without a GitHub token")
    scene.github.set_permission("octo-lead", "read")
    assert check(**scene.env())[0] == "unverified"
    scene.github.delete_comment(comment)
    assert check(**scene.env())[0] == "unverified"


def test_a_waiver_is_a_row_to_copy(scene: Scene) -> None:
    comment = scene.comment("mallory", "/waive accuracy 0.75 ```</details> @octo-org/all <!-- mlops-ci v=1 -->\u202e")
    found = scene.answer(comment)
    assert found.decision is None
    (reply,) = scene.replies(scene.number(comment))
    row = reply.partition("yaml\n")[2].partition("\n````")[0]
    assert 'metric: "accuracy"' in row
    assert "ceiling: 0.75" in row
    assert 'owner: "mallory"' in row
    assert "\u202e" not in reply
    assert reply.count("````") == 2
    assert scene.project.ledger.find("target/production") == [scene.asked.record]


def test_a_waiver_that_cannot_be_is_explained(scene: Scene) -> None:
    for order, because in (
        ("/waive", "no gate has the metric"),
        ("/waive acuracy 0.7 typo", "gates have accuracy"),
        ("/waive accuracy", "no ceiling"),
        ("/waive accuracy nan because", "no ceiling"),
        ("/waive accuracy 0.7", "no reason"),
        ("/waive accuracyx 0.7 x", "no gate has the metric"),
    ):
        comment = scene.comment("octo-lead", order)
        assert because in scene.answer(comment).said
        assert "does not count" in scene.replies(scene.number(comment))[0]


@pytest.mark.parametrize(
    ("remote", "repository"),
    [
        ("git@github.com:octo-org/churn.git", "octo-org/churn"),
        ("https://octocat:secret@github.com/octo-org/churn", "octo-org/churn"),
        ("ssh://git@ssh.github.com:443/octo-org/churn.git", "octo-org/churn"),
        ("https://github.com.example.org/octo-org/churn", ""),
        ("https://example.org/github.com/churn", ""),
        ("../origin.git", ""),
    ],
)
def test_a_token_on_a_laptop_is_for_github_alone(project: Workplace, remote: str, repository: str) -> None:
    git(project.root, "remote", "set-url", "origin", remote)
    found = Project.open(project.root)
    assert witness_of(found, {}) is None
    witness = witness_of(found, {"GH_TOKEN": "ghp_1"})
    assert (witness.repository if witness else "") == repository


def run_job(scene: Scene, comment: int, *, action: str = "created", expect: int = 0) -> str:
    """The job that a comment starts: the real command, in an empty folder, with what GitHub gives it."""
    attempt = next(scene.attempt)
    place = replace(scene.place, root=scene.folder / f"runner{attempt}")
    place.root.mkdir()
    payload = {
        "action": action,
        "issue": {"number": scene.number(comment)},
        "comment": {"id": comment, "body": scene.told(comment)["body"], "user": {"login": "octo-lead"}},
        "repository": {"default_branch": "main"},
    }
    (scene.folder / f"event{attempt}").write_text(json.dumps(payload))
    return place.run(
        "ci",
        "--part",
        "record",
        expect=expect,
        GITHUB_ACTIONS="true",
        GITHUB_EVENT_NAME="issue_comment",
        GITHUB_EVENT_PATH=str(scene.folder / f"event{attempt}"),
        GITHUB_REF="refs/heads/main",
        GITHUB_SHA=git(scene.place.remote, "rev-parse", "main"),
        GITHUB_REPOSITORY=scene.github.repository,
        GITHUB_SERVER_URL=(scene.folder / "server").as_uri(),
        GITHUB_API_URL=scene.github.url,
        GITHUB_RUN_ID=str(attempt),
        GITHUB_ACTOR="octo-lead",
        GITHUB_TOKEN=scene.github.token(permissions=OF_THE_JOB),
        MLOPS_CI_OWN_TOKEN="true",
    )


def test_the_command_answers_a_comment(scene: Scene) -> None:
    comment = scene.comment("octo-lead", f"/approve {scene.digest[:12]}")
    before = len(scene.github.calls)
    assert "octo-lead approved churn 1.0.0 for production: 1 of 1 approval" in run_job(scene, comment)
    asked = [(call.method, call.path.removeprefix(scene.github.world.place)) for call in scene.github.calls[before:]]
    assert len(asked) <= 9, asked
    assert scene.standing().reached(1)
    hostile = scene.comment("mallory", f"/approve {scene.digest[:12]}")
    assert "may not write" in run_job(scene, hostile)
    before = len(scene.github.calls)
    assert "orders nothing" in run_job(scene, scene.comment("octo-lead", "nice work"))
    assert "decides nothing" in run_job(scene, comment, action="edited")
    assert len(scene.github.calls) == before
