"""
Requests for approval: what was asked for, until when, and what became of it.

A request is a record, and so anybody's who may push: of it, only what the rules bear out is believed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from mlops_ci import records
from mlops_ci.config import ApprovalRule
from mlops_ci.entities import ApprovalRequest
from mlops_ci.errors import IntegrityError, NotFound, Refused
from mlops_ci.lifecycle.deployments import CHANGES, deployments_among, serving
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record

SHORTEST_PREFIX = 8

State = Literal["open", "expired", "deployed", "overtaken"]


@dataclass(frozen=True)
class Asked:
    """
    A request, and what became of it.

    Attributes:
        opens: When it was asked, as it says itself.
        expires: When it ends by the rules.
        changed: When what serves the target changed last, if it ever did: the request is about what serves since.
    """

    record: Record
    request: ApprovalRequest
    opens: datetime
    expires: datetime
    state: State = "open"
    changed: datetime | None = None

    @property
    def people(self) -> list[str]:
        """Who may not approve it by its own account: it only adds to those whom others name."""
        author = self.record.author
        return [author.email, author.name, *self.request.people]

    def was_open_at(self, moment: datetime) -> bool:
        """Whether it could be decided on at *moment*, which GitHub tells in whole seconds."""
        return self.opens.replace(microsecond=0) <= moment < self.expires


def key_of(plan_digest: str) -> str:
    """The ledger's key of all that concerns a plan."""
    return f"plan/{plan_digest.removeprefix('sha256:')}"


def rule_of(ruling: DefaultBranch, target: str) -> ApprovalRule:
    """The rule of *ruling* for *target*. Raises `Refused` if it has no such target."""
    found = ruling.config.targets.get(target)
    if found is None:
        raise Refused(f"the default branch has no target {target!r} any more")
    return found.approval or ApprovalRule()


def environment_of(ruling: DefaultBranch, target: str) -> str:
    """
    What the environment of *target* is called at GitHub.

    Raises:
        Refused: There is no such target, or another one has the same environment: one review would be for both.
    """
    rule_of(ruling, target)
    named = {name: settings.environment or name for name, settings in ruling.config.targets.items()}
    others = [name for name in named if name != target and named[name].lower() == named[target].lower()]
    if others:
        raise Refused(
            f"{target} and {others[0]} have the same environment {named[target]}, so a review of it names neither",
            hint=f"give each an environment of its own: targets.{target}.environment",
        )
    return named[target]


def read_request(record: Record, rule: ApprovalRule) -> Asked:
    """
    Return the request in *record*, which ends by *rule* at the latest.

    Raises:
        IntegrityError: It is none, or shows another plan than its digest names.
    """
    request = record.read(ApprovalRequest)
    if records.digest(request.plan) != request.plan_digest:
        raise IntegrityError(f"request {record.id[:12]} shows another plan than its digest names")
    opens, expires = moment_of(record.time), moment_of(request.expires)
    if opens is None or expires is None:
        raise IntegrityError(f"request {record.id[:12]} names no moment")
    try:
        latest = opens + timedelta(seconds=rule.expires_s)
    except OverflowError as error:
        raise IntegrityError(f"request {record.id[:12]} is of the year {opens.year}") from error
    return Asked(record, request, opens, min(expires, latest))


def requests(project: Project) -> list[Asked]:
    """
    The requests for the targets that are configured, oldest first.

    Those for targets whose store is out of reach (see `Project.out_of_reach`) are left out.

    Raises:
        ServiceError: A ledger did not answer.
    """
    every: list[Asked] = []
    for name in project.within_reach:
        found = project.ledger_of(name).find(f"target/{name}")
        rules = {name: project.config.targets[name].approval or ApprovalRule()}
        every += requests_among(found, rules, deployments_among(found))
    return sorted(every, key=lambda asked: (asked.record.time, asked.record.id))


def requests_among(
    found: Sequence[Record], rules: Mapping[str, ApprovalRule], history: Sequence[Record]
) -> list[Asked]:
    """The requests among *found* for the targets of *rules*, with what became of them in *history*."""
    live = [record for record in history if record.body["status"] == "live"]
    used = {record.body.get("request", "") for record in live}
    pasts = {name: [past for past in history if past.body["plan"]["target"] == name] for name in rules}
    every = []
    for record in found:
        if record.kind != "request":
            continue
        try:
            asked = read_request(record, rules.get(str(record.body.get("plan", {}).get("target")), ApprovalRule()))
        except (AttributeError, IntegrityError):
            continue
        if asked.request.plan.target in rules:
            past = pasts[asked.request.plan.target]
            now = serving(past)
            state = _state(asked, used, now.id if now else "")
            every.append(replace(asked, state=state, changed=last_change(past)))
    return every


def open_requests(project: Project, prefix: str) -> list[Asked]:
    """
    The open requests, one at least, for the one plan whose digest begins with *prefix*.

    Raises:
        NotFound: No request has that digest, or several plans have.
        ConfigError: None has, and the records of some target are out of reach.
        Refused: It is not open any more.
    """
    wanted = prefix.removeprefix("sha256:").lower()
    if len(wanted) < SHORTEST_PREFIX:
        raise NotFound(f"{prefix!r} is too short", hint=f"give at least {SHORTEST_PREFIX} digits of the plan's digest")
    matching = [
        asked for asked in requests(project) if asked.request.plan_digest.removeprefix("sha256:").startswith(wanted)
    ]
    plans = {asked.request.plan_digest for asked in matching}
    if len(plans) != 1:
        for name in project.out_of_reach:
            project.ledger_of(name)  # says what is not set: it may be asked for there
        what = "no request" if not plans else f"requests for {len(plans)} plans"
        raise NotFound(f"{what} for a plan {prefix}", hint="`mlops-ci approvals` lists what is asked for")
    opened = [asked for asked in matching if asked.state == "open"]
    if not opened:
        last = matching[-1]
        ended = f"expired at {records.timestamp(last.expires)}" if last.state == "expired" else f"is {last.state}"
        raise Refused(f"the request for plan {wanted[:12]} {ended}", hint="`mlops-ci deploy` asks again")
    return opened


def run_of(project: Project) -> str:
    """
    The CI run that *project* works in, where somebody can review an environment for what it releases; else "".

    That is a workflow at GitHub that a version tag, a release or a person by hand has started.
    """
    event = project.event
    if event is None or event.kind != "tag" or not re.fullmatch(r"[1-9][0-9]{0,18}", event.run.run_id, re.ASCII):
        return ""
    return event.run.run_id


def unclear_runs(every: Sequence[Asked]) -> frozenset[str]:
    """
    The CI runs whose reviews might be about something else than the requests *every* of one target.

    GitHub does not tell when a run was reviewed, nor in which attempt. So a run must have asked for one plan only, all
    that it asked for must still be open, and nothing else may have gone live since. Whoever adds a request to a run
    can only take from it what its reviews say.
    """
    asked: dict[str, list[Asked]] = {}
    for one in every:
        asked.setdefault(one.request.run, []).append(one)
    return frozenset(
        run
        for run, those in asked.items()
        if len({one.request.plan_digest for one in those}) > 1
        or any(one.state != "open" or (one.changed is not None and one.opens <= one.changed) for one in those)
    )


def last_change(history: Sequence[Record]) -> datetime | None:
    """When what serves changed last in *history*, oldest first; None if it never did."""
    moments = [moment_of(past.time) for past in history if past.body["status"] in CHANGES]
    return max((moment for moment in moments if moment is not None), default=None)


def moment_of(time: str) -> datetime | None:
    """The moment that *time* names; None if it names none, or none for sure (without a time zone)."""
    try:
        found = records.moment(time)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _state(asked: Asked, used: set[str], serves: str) -> State:
    """An approval is for one change of what serves: once made, or overtaken by another, it is over."""
    if asked.record.id in used:
        return "deployed"
    if asked.request.replaces != serves:
        return "overtaken"
    return "open" if asked.opens <= records.moment(records.now()) < asked.expires else "expired"
