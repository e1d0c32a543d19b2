"""
Answer a comment that orders something: record the decision, or say why it does not count.

The event says which comment it is. All else is asked of GitHub, and the rules are those of the default branch's tip.
The answer is one reaction and one reply; a second run for the same comment decides nothing anew and renews that reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_ci import records
from mlops_ci.ci import Event
from mlops_ci.entities import Approval
from mlops_ci.errors import IntegrityError, MlopsCIError, NotFound, Refused, ServiceError, UsageError
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals import approval_requests, approve, decisions, four_eyes, request_issue
from mlops_ci.lifecycle.approvals.approval_requests import Asked, moment_of
from mlops_ci.lifecycle.approvals.comment_commands import Command, command_of
from mlops_ci.lifecycle.approvals.comment_replies import Reply, counted, refused, waiver_row
from mlops_ci.lifecycle.approvals.github_witness import GitHubWitness
from mlops_ci.lifecycle.deployments import deployments
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reaction import Next
from mlops_ci.records import Record

if TYPE_CHECKING:
    from mlops_ci.github import GitHub
    from mlops_ci.github.comments import Comment

_MARKER = re.compile(r"<!-- mlops-ci v=1 answer=([0-9]{1,20}) order=([0-9]{1,20})\.([0-9]{1,6}) -->", re.ASCII)


@dataclass(frozen=True)
class Answer:
    """
    What came of a comment.

    Attributes:
        nothing: Why there was nothing to do, in a sentence; else "".
        said: What the reply says, in a sentence.
        decision: What was decided; None where the comment does not count.
        reached: Whether the plan has all the approvals that it needs.
        url: The reply's page, "" if it was not posted.
        missing: What GitHub did not take of the answer, and how to mend that; the decision stands all the same.
        next: What can be deployed now, where the plan has all the approvals that it needs.
    """

    nothing: str = ""
    said: str = ""
    decision: Approval | None = None
    reached: bool = False
    url: str = ""
    missing: tuple[str, ...] = ()
    next: Next | None = None


@dataclass(frozen=True)
class _Outcome:
    reply: Reply
    decision: Approval | None = None
    next: Next | None = None


def is_addressed(event: Event) -> bool:
    """Whether *event* is a comment that orders something, by its payload: for all others nobody has to be asked."""
    return event.kind == "comment" and event.remark is not None and command_of(event.remark.body) is not None


def answer(project: Project, event: Event, hub: GitHub | None, notify: Callable[[str], None]) -> Answer:
    """
    Do what the comment of *event* orders, and reply to it.

    Args:
        project: Of this repository; a checkout is not needed.
        event: A comment.
        hub: The repository at GitHub.
        notify: Told in a sentence what came of it.

    Raises:
        UsageError: There is no token.
        Refused: The token may not read comments.
        ServiceError: GitHub or the ledger did not answer; the same may be done again.
    """
    if not is_addressed(event) or event.remark is None:
        return Answer(nothing="the comment orders nothing")
    if hub is None:
        raise UsageError("there is no token to ask GitHub with", hint="the action's input `github-token` is one")
    witness = GitHubWitness(lambda: hub)
    comment = witness.comment(event.remark.id)
    if comment is None:
        return Answer(nothing="the comment is not there any more")
    command = command_of(comment.body)
    if command is None and comment.created == comment.updated:
        return Answer(nothing="the comment orders nothing")
    outcome = _outcome(project, comment, command, witness)
    notify(outcome.reply.sentence)
    url, missing = _tell(hub, comment, event, outcome.reply)
    missing += _closed(hub, outcome.decision)
    reached = outcome.next is not None
    return Answer("", outcome.reply.sentence, outcome.decision, reached, url, missing, outcome.next)


def _outcome(project: Project, comment: Comment, command: Command | None, witness: GitHubWitness) -> _Outcome:
    """
    What the comment comes to.

    What is no fault of the comment's is raised, and nothing is answered: whoever may read the issue may not be meant to
    read of stores and their faults, and the same job finishes the work when run again.
    """
    if command is None or comment.created != comment.updated:
        why = Refused("the comment was edited, and nobody can say what it said before", hint="write a new comment")
        return _Outcome(refused(why))
    if command.fault:
        return _Outcome(refused(UsageError(command.fault)))
    if command.verb == "waive":
        try:
            return _Outcome(waiver_row(project.config, comment, command.rest))
        except UsageError as error:
            return _Outcome(refused(error))
    try:
        return _decided(project, comment, command, witness)
    except (NotFound, Refused) as error:
        return _Outcome(refused(error))


def _decided(project: Project, comment: Comment, command: Command, witness: GitHubWitness) -> _Outcome:
    """Record the decision, unless it is, and say where the plan stands."""
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project = project.ruled_by(ruling.config)
    opened = approval_requests.open_requests(project, command.prefix)
    asked = _meant(opened, comment)
    plan, rule = asked.request.plan, approval_requests.rule_of(ruling, asked.request.plan.target)
    history = deployments(project, plan.target)
    case = approve.case_of(project, plan, ruling, history, opened, witness=witness)
    reject = command.rest if command.verb == "reject" else ""
    voice = decisions.admit_comment(comment, asked, case, witness, reject=bool(reject))
    decision = Approval(
        plan_digest=asked.request.plan_digest,
        target=plan.target,
        decision="reject" if reject else "approve",
        approver=voice.name,
        method="github-comment",
        payload=decisions.statement(
            asked,
            time=comment.created,
            reject=reject,
            repository=witness.repository,
            comment=comment.id,
            number=comment.number,
        ),
        signature="",
        reason=reject,
        request=asked.record.id,
    )
    _keep(project, decision)
    stand = approve.standing(project, plan, ruling, history, witness=witness)
    version = four_eyes.version_of(project, plan)
    reply = counted(decision, plan, stand, rule, tag=version.tag if version else "", expires=asked.expires)
    if not stand.reached(rule.required):
        return _Outcome(reply, decision)
    environment = ruling.config.targets[plan.target].environment or plan.target
    after = Next(target=plan.target, version=plan.version, plan=asked.request.plan_digest, environment=environment)
    return _Outcome(reply, decision, after)


def _meant(opened: list[Asked], comment: Comment) -> Asked:
    """Of several requests for one plan the first that was open when the comment was made, else the last."""
    made = moment_of(comment.created)
    fitting = [asked for asked in opened if made is not None and asked.was_open_at(made)]
    return fitting[0] if fitting else opened[-1]


def _keep(project: Project, decision: Approval) -> None:
    """Record *decision*; the same one a second time changes nothing."""
    ledger = project.ledger_of(decision.target)
    found = ledger.find(approval_requests.key_of(decision.plan_digest))
    if any(record.kind == "approval" and _reads(record, decision) for record in found):
        return
    if not ledger.append([records.new(decision, author=project.author)]):
        raise ServiceError(
            "the ledger did not take the decision: the git remote did not answer", hint="run the job again"
        )


def _reads(record: Record, decision: Approval) -> bool:
    try:
        return record.read(Approval) == decision
    except IntegrityError:
        return False


def _tell(hub: GitHub, comment: Comment, event: Event, reply: Reply) -> tuple[str, tuple[str, ...]]:
    """React and reply; the reply's page, and what GitHub did not take."""
    from mlops_ci.github import comments  # noqa: PLC0415  # as in `reach_github.connect`

    order = (int(event.run.run_id) if event.run.run_id.isdecimal() else 0, event.run.attempt)
    body = f"{reply.body}\n\n<!-- mlops-ci v=1 answer={comment.id} order={order[0]}.{order[1]} -->\n"
    url, missing = "", []
    try:
        comments.react(hub, comment.id, "+1" if reply.taken else "confused")
    except MlopsCIError as error:
        missing.append(_said("the reaction was not added", error))
    try:
        posted = comments.post_comment(
            hub, comment.number, body, order_of=lambda text: _order_in(text, comment.id), order=order
        )
        url = posted.url
    except MlopsCIError as error:
        missing.append(_said("the reply was not posted", error))
    return url, tuple(missing)


def _closed(hub: GitHub, decision: Approval | None) -> tuple[str, ...]:
    """Close the issue about what was rejected; what GitHub did not take."""
    if decision is None or decision.decision != "reject":
        return ()
    try:
        request_issue.close_rejected(hub, decision.plan_digest, f"{decision.approver} rejected it: {decision.reason}")
    except MlopsCIError as error:
        return (_said("the issue was not closed", error),)
    return ()


def _order_in(body: str, comment_id: int) -> tuple[int, int] | None:
    """Which run wrote *body*, if that is a reply to the comment: the marker is the last line of it."""
    found = _MARKER.fullmatch(body.rstrip(" \t\r\n").rpartition("\n")[2])
    return (int(found[2]), int(found[3])) if found and int(found[1]) == comment_id else None


def _said(what: str, error: MlopsCIError) -> str:
    return f"{what}: {error}" + (f"\n{error.hint}" if error.hint else "")
