"""
One decision on a request: what it says, who vouches for it, and whether it counts.

A signature vouches for itself, by the keys that the default branch allows. A comment, and the review of an
environment, are vouched for by GitHub, which is asked anew whenever decisions are counted: the record proves nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from mlops_ci import records, signatures
from mlops_ci.config import ApprovalRule
from mlops_ci.entities import Approval
from mlops_ci.errors import Refused, ServiceError
from mlops_ci.lifecycle.approvals import four_eyes
from mlops_ci.lifecycle.approvals.approval_requests import Asked, environment_of, moment_of, rule_of
from mlops_ci.lifecycle.approvals.comment_commands import Command, command_of
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.records import Record
from mlops_ci.signatures import Signer

if TYPE_CHECKING:
    from mlops_ci.github.comments import Comment
    from mlops_ci.github.environments import Review, WorkflowRun
    from mlops_ci.github.issues import Text

_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\[bot\])?")
_RUN = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_RELEASES = frozenset({"push", "release", "workflow_dispatch"})
_ANEW = "start the workflow anew, which asks again"
_HOW_TO_ASK = "set GITHUB_TOKEN to a token that may read the repository, and try again"


class Unconfirmed(Refused):
    """Nobody can say now whether the decision was made: it does not count as an approval, and stands as a rejection."""


@dataclass(frozen=True)
class Voice:
    """
    Who decided.

    Attributes:
        name: As which they were admitted.
        names: All that is known to be the same person: identities (see `four_eyes`), and the key.
    """

    name: str
    names: frozenset[str]


class Witness(Protocol):
    """GitHub, as far as it can vouch for a decision. Each method raises `Unconfirmed`, or `ServiceError`."""

    @property
    def repository(self) -> str:
        """What it knows: "owner/name"."""
        ...

    def comment(self, comment_id: int) -> Comment | None:
        """The comment as it is now; None if it is not there (any more)."""
        ...

    def text_above(self, number: int) -> Text:
        """What stands above the comments of an issue or a pull request, and who edited it."""
        ...

    def run(self, run_id: int) -> WorkflowRun | None:
        """The workflow run as it is now; None if it is not there (any more)."""
        ...

    def reviews(self, run_id: int) -> Sequence[Review]:
        """Who approved or rejected what that run waited for."""
        ...

    def may_approve(self, login: str, rule: ApprovalRule) -> bool:
        """Whether *rule* lets *login* decide; without names in it, whoever may write does."""
        ...

    def people_of(self, sha: str, since: str) -> Sequence[str]:
        """Logins and addresses of the authors and committers of *sha*, and of all commits since *since*, if any."""
        ...


@dataclass(frozen=True)
class Case:
    """
    By what decisions are judged.

    Attributes:
        ruling: The default branch.
        people: May not approve, where the rule wants four eyes.
        sha: The commit of what would be deployed, "" if nobody knows it.
        since: The commit of what serves, "" for none.
        witness: Whom to ask about comments and reviews, if somebody can be asked.
        at: The moment to judge by, where that is past: keys that were valid then count.
        tag: The tag of what would be deployed, "" if nobody knows it.
        own_run: The CI run that this is, where it releases something; else "".
        unclear: CI runs whose reviews might be about something else.
    """

    ruling: DefaultBranch
    people: Sequence[str]
    sha: str = ""
    since: str = ""
    witness: Witness | None = None
    at: datetime | None = None
    tag: str = ""
    own_run: str = ""
    unclear: frozenset[str] = frozenset()


def statement(asked: Asked, *, time: str, reject: str = "", **more: str | int) -> str:
    """The text of a decision: one line that a person can read. *more* is what GitHub calls a comment."""
    plan = asked.request.plan
    said = {
        "decision": "reject" if reject else "approve",
        "model": f"{plan.model}@{plan.version}",
        "plan": asked.request.plan_digest,
        "reason": reject,
        "request": asked.record.id,
        "target": plan.target,
        "time": time,
        **more,
    }
    return records.canonical(said).decode()


def named(record: Record) -> str:
    """The request that a decision says it is about; whether somebody vouches for that is for `check` to find out."""
    return read_statement(str(record.body.get("payload"))).get("request", "")


def read_statement(payload: str) -> dict[str, str]:
    """What a text such as `statement` writes says; nothing for any other."""
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return {name: str(value) for name, value in said.items()} if isinstance(said, dict) else {}


def check(record: Record, asked: Asked, case: Case) -> tuple[Approval, Voice]:
    """
    Return the decision in *record* and whose it is, if it counts for *asked*.

    Raises:
        Unconfirmed: GitHub would have to be asked, and cannot be, or cannot tell (any more).
        Refused: It does not count; the sentence says why.
    """
    decision = record.read(Approval)
    said = read_statement(decision.payload)
    if decision.method != "ssh":
        if not _LOGIN.fullmatch(decision.approver):
            raise Refused("a decision at GitHub names no account of GitHub's")
        _require_about(said, decision, asked, decision.approver)
        return decision, _confirmed(decision, said, asked, case)
    signer = signatures.signer_of(decision.payload, decision.signature, case.ruling.allowed_signers, at=case.at)
    _require_about(said, decision, asked, signer.principals[0])
    _require_open(moment_of(said.get("time", "")), asked, signer.principals[0])
    return decision, admit_signer(signer, asked, case, reject=decision.decision == "reject")


def admit_signer(signer: Signer, asked: Asked, case: Case, *, reject: bool) -> Voice:
    """
    As whom *signer* decides on *asked*.

    Raises:
        Refused: The rule does not let them, or four eyes exclude them.
    """
    target = asked.request.plan.target
    rule = rule_of(case.ruling, target)
    admitted = [name for name in signer.principals if name in rule.from_] if rule.from_ else list(signer.principals)
    if not admitted:
        raise _no_approver(signer.principals[0], target, rule)
    if not reject:
        _require_four_eyes(signer.aliases, rule, case.people)
    return Voice(admitted[0], frozenset({signer.key, *map(four_eyes.identity, signer.aliases)}))


def admit_comment(comment: Comment, asked: Asked, case: Case, witness: Witness, *, reject: bool) -> Voice:
    """
    As whom the author of *comment*, as GitHub has it now, decides on *asked*.

    Raises:
        Refused: It was edited or made at another time, the rule does not let them, or four eyes exclude them.
        Unconfirmed, ServiceError: As the witness.
    """
    login, plan = comment.author, asked.request.plan
    if is_bot(login):
        raise Refused(f"{login} is no person", hint="people approve, with accounts of their own")
    if comment.updated != comment.created:
        raise Unconfirmed(
            f"the comment of {login} was edited, and nobody can say what it said before", hint="write a new comment"
        )
    made = moment_of(comment.created)
    _require_open(made, asked, login)
    # Whoever may push can write a request of any time: one for what had been replaced when the comment was made.
    if made is None or (asked.changed is not None and made <= asked.changed):
        raise Refused(f"the comment of {login} is older than what serves {plan.target} now", hint="write a new comment")
    voice = _admit_account(login, asked, case, witness, people=(), reject=reject)
    if not reject:
        _require_unedited(witness.text_above(comment.number), comment)
    return voice


def admit_review(
    review: Review, run: WorkflowRun, asked: Asked, case: Case, witness: Witness, *, reject: bool
) -> Voice:
    """
    As whom the author of *review*, as GitHub has it now, decides on *asked* for which *run* waits.

    Raises:
        Refused: It is no review of that, the rule does not let them, or four eyes exclude them.
        Unconfirmed, ServiceError: As the witness.
    """
    if is_bot(review.login) or not review.is_person:
        raise Refused(f"{review.login} is no person", hint="people approve, with accounts of their own")
    if asked.request.run != str(run.id):
        raise Refused(f"{review.login} reviewed run {run.id}, which did not ask for this", hint=_ANEW)
    if asked.request.run in case.unclear:
        raise Refused(
            f"nobody can say what {review.login} reviewed: run {run.id} asked for several things,"
            " or something has been deployed or has expired since",
            hint=_ANEW,
        )
    _require_release(run, asked, case, witness)
    return _admit_account(review.login, asked, case, witness, people=run.people, reject=reject)


def is_bot(login: str) -> bool:
    """Whether GitHub calls a program so: an App, or the workflow itself."""
    return login.lower().endswith("[bot]")


def _confirmed(decision: Approval, said: dict[str, str], asked: Asked, case: Case) -> Voice:
    """Ask the witness for the comment or the review that *decision* names, as it is now."""
    login, reject = decision.approver, decision.decision == "reject"
    kind = "comment" if decision.method == "github-comment" else "review"
    what = f"the {'rejection' if reject else 'approval'} of {login} by {kind}"
    if case.witness is None:
        raise Unconfirmed(f"{what} cannot be checked without a GitHub token", hint=_HOW_TO_ASK)
    try:
        if decision.method == "github-environment":
            review, run = _the_review(decision, said, asked, case, case.witness)
            return admit_review(review, run, asked, case, case.witness, reject=reject)
        comment = _the_comment(decision, said, case.witness)
        return admit_comment(comment, asked, case, case.witness, reject=reject)
    except (ServiceError, Unconfirmed) as error:
        raise Unconfirmed(f"{what} cannot be checked: {error}", hint=error.hint) from error


def _the_comment(decision: Approval, said: dict[str, str], witness: Witness) -> Comment:
    """The comment that *decision* stands for, if it says what the record claims."""
    login, number = decision.approver, said.get("comment", "")
    if said.get("repository", "").lower() != witness.repository.lower():
        raise Refused(f"the comment of {login} is said to be in another repository than {witness.repository}")
    comment = witness.comment(int(number)) if number.isascii() and number.isdecimal() and len(number) < 20 else None
    if comment is None:
        raise Unconfirmed(f"comment {number[:20] or 'without a number'} is not there (any more)")
    if comment.author.lower() != login.lower() or str(comment.number) != said.get("number"):
        raise Refused(f"comment {comment.id} is another than the one that is said to be of {login}")
    if comment.updated == comment.created and not _orders(command_of(comment.body), decision):
        raise Refused(f"comment {comment.id} of {login} does not say what was recorded of it")
    if comment.created != said.get("time"):
        raise Refused(f"comment {comment.id} of {login} was made at another time than was recorded")
    return comment


def _the_review(
    decision: Approval, said: dict[str, str], asked: Asked, case: Case, witness: Witness
) -> tuple[Review, WorkflowRun]:
    """The review that *decision* stands for, if it says what the record claims, and the run that was reviewed."""
    login, number = decision.approver, said.get("run", "")
    if said.get("repository", "").lower() != witness.repository.lower():
        raise Refused(f"the review of {login} is said to be in another repository than {witness.repository}")
    environment = environment_of(case.ruling, asked.request.plan.target)
    if said.get("environment", "").lower() != environment.lower():
        raise Refused(f"{login} reviewed another environment than {environment}")
    if said.get("login") != login or number != asked.request.run or not _RUN.fullmatch(number):
        raise Refused(f"the review of {login} is in another run than the one that asked")
    run = witness.run(int(number))
    if run is None:
        raise Unconfirmed(f"run {number} is not there (any more)", hint=_ANEW)
    own = [one for one in witness.reviews(run.id) if one.login.lower() == login.lower()]
    found = [one for one in own if one.is_about(environment)]
    wanted = [one for one in found if one.state == ("rejected" if decision.decision == "reject" else "approved")]
    if decision.decision == "reject":
        wanted = [one for one in wanted if one.reason == decision.reason]
    elif wanted and len(found) > len(wanted):
        raise Refused(
            f"{login} approved and rejected run {number}, and GitHub does not tell which came last", hint=_ANEW
        )
    if not wanted:
        raise Refused(f"{login} did not {decision.decision} run {number} for {environment}")
    return wanted[0], run


def _require_release(run: WorkflowRun, asked: Asked, case: Case, witness: Witness) -> None:
    """Whether *run* releases what is asked for, by GitHub's word and not by that of records."""
    plan = asked.request.plan
    if run.head_repository.lower() != witness.repository.lower():
        raise Refused(f"run {run.id} is of {run.head_repository or 'a repository that is gone'}")
    if run.event not in _RELEASES:
        raise Refused(f"run {run.id} was started by {run.event}, which releases nothing")
    if not case.sha or not case.tag:
        raise Unconfirmed(f"nobody knows the tag and the commit of {plan.model} {plan.version}")
    if (run.head_branch, run.head_sha) == (case.tag, case.sha):
        return
    if run.event != "workflow_dispatch" or run.head_branch != case.ruling.name:
        raise Refused(
            f"run {run.id} is of {run.head_branch} at {run.head_sha[:7]}, and {plan.model} {plan.version} is"
            f" {case.tag} at {case.sha[:7]}",
            hint="the tag may have been moved; a version stays what it was registered as",
        )
    if case.own_run != str(run.id):  # which tag was named by hand, only the run itself is told
        raise Unconfirmed(f"run {run.id} was started by hand, and only in it is known for which tag")


def _admit_account(
    login: str, asked: Asked, case: Case, witness: Witness, *, people: Sequence[str], reject: bool
) -> Voice:
    """As whom an account of GitHub's decides; *people* are excluded by four eyes beside those of *case*."""
    plan = asked.request.plan
    rule = rule_of(case.ruling, plan.target)
    if not witness.may_approve(login, rule):
        # What they may do now says nothing about what they might do then.
        raise Unconfirmed(f"{login} may not approve any more") if case.at else _no_approver(login, plan.target, rule)
    if not reject and rule.four_eyes:
        if not case.sha:
            raise Unconfirmed(f"nobody knows the commit of {plan.model} {plan.version}, nor who wrote it")
        _require_four_eyes([login], rule, [*case.people, *people, *witness.people_of(case.sha, case.since)])
    return Voice(login, frozenset({four_eyes.identity(login)}))


def _require_unedited(above: Text, comment: Comment) -> None:
    """Who is told by a page what to type must not be told by somebody else than it seems."""
    if above.edited_by and (above.by_program or "/approve" in above.body):
        raise Refused(
            f"#{comment.number}, on which {comment.author} commented, was edited by {above.edited_by[0]},"
            " and nobody can say what it said then",
            hint="`mlops-ci deploy` asks anew; or comment on another issue or pull request",
        )


def _orders(command: Command | None, decision: Approval) -> bool:
    if command is None or command.fault:
        return False
    digest = decision.plan_digest.removeprefix("sha256:")
    said = (command.verb, command.rest if command.verb == "reject" else "")
    return said == (decision.decision, decision.reason) and digest.startswith(command.prefix)


def _require_about(said: dict[str, str], decision: Approval, asked: Asked, name: str) -> None:
    if said.get("request") != asked.record.id:
        raise Refused(f"{name} decided on another request")
    expected = (asked.request.plan_digest, asked.request.plan.target, decision.decision, decision.reason)
    if (said.get("plan"), said.get("target"), said.get("decision"), said.get("reason")) != expected:
        raise Refused(f"the text of {name} is about something else")


def _require_open(made: datetime | None, asked: Asked, name: str) -> None:
    if made is None or not asked.was_open_at(made):
        raise Refused(
            f"the decision of {name} was not made while the request was open", hint="decide on it again, if it is open"
        )


def _require_four_eyes(names: Sequence[str], rule: ApprovalRule, people: Sequence[str]) -> None:
    excluded = {four_eyes.identity(person) for person in people if person} if rule.four_eyes else set()
    own = [name for name in names if four_eyes.identity(name) in excluded]
    if own:
        raise Refused(
            f"{own[0]} asked for this deployment, runs it, or wrote or tagged what it deploys,"
            " and four eyes are asked for",
            hint="somebody else has to approve it",
        )


def _no_approver(name: str, target: str, rule: ApprovalRule) -> Refused:
    if not rule.from_:
        return Refused(
            f"{name} may not write to this repository, and so may not approve for {target}",
            hint="`approval: from:` on the default branch can name who may",
        )
    return Refused(
        f"{name} is not among the approvers of {target}: {', '.join(rule.from_)}",
        hint="`approval: from:` on the default branch names them",
    )
