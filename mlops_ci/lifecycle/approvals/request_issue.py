"""
The request for an approval as an issue: people are asked where they are, and the issue is closed when it is settled.

The issue tells, and decides nothing: it can be edited, and what counts is asked elsewhere. That it cannot be posted
stops nothing, since the request is a record.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops_ci import records, reports
from mlops_ci.entities import Deployment, ModelVersion, Plan, Run
from mlops_ci.errors import IntegrityError, MlopsCIError
from mlops_ci.gates.compare import data_changes, metric_changes, param_changes
from mlops_ci.lifecycle import reach_github
from mlops_ci.lifecycle.approvals import four_eyes
from mlops_ci.lifecycle.approvals.approval_requests import Asked, environment_of, read_request, requests, rule_of
from mlops_ci.lifecycle.approvals.approve import Standing
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project, web_address
from mlops_ci.records import Record
from mlops_ci.reports import Proposal, Serving

if TYPE_CHECKING:
    from mlops_ci.github import GitHub

_LOOKED_BACK = timedelta(days=90)  # an issue that nobody touched for longer is left alone
_SKEW = timedelta(hours=1)

Tell = Callable[[str], None]


def announce(  # noqa: PLR0913  # what is asked, against what, and where
    project: Project,
    plan: Plan,
    request: Record,
    stand: Standing,
    ruling: DefaultBranch,
    previous: Record | None,
    *,
    diffs: Mapping[str, str] | None = None,
    tell: Tell = lambda _line: None,
    env: Mapping[str, str] | None = None,
) -> str:
    """
    Ask for a decision on *plan* in an issue, one for each plan; whatever somebody edited there is written anew.

    Args:
        project: Under the rules of *ruling*.
        plan: What would be deployed.
        request: The record of the request.
        stand: Where the decisions stand.
        ruling: The default branch.
        previous: The deployment that serves now.
        diffs: How the manifests differ from those that serve, as `differences` tells it; None where nobody knows.
        tell: Told in a sentence why there is no issue, where one was to be.
        env: Where the token is; the environment unless given.

    Returns:
        The issue's page; "" without a token, off GitHub, and where it could not be posted.
    """
    try:
        hub = reach_github.hub_of(project, env)
        if hub is None:
            return ""
        from mlops_ci.github import issues  # noqa: PLC0415  # as in `reach_github.connect`

        asked = read_request(request, rule_of(ruling, plan.target))
        proposal = proposal_of(project, asked, stand, ruling, previous, diffs=diffs, hub=hub)
        digest = asked.request.plan_digest.removeprefix("sha256:")
        posted = issues.open_issue(
            hub,
            reports.request_title(proposal),
            reports.request_body(proposal),
            is_ours=lambda body: reports.request_in(body) == digest,
            since=_since(project, digest, asked),
        )
    except MlopsCIError as error:
        tell(_said("the request was not posted as an issue", error))
        return ""
    settle(project, tell=tell, hub=hub)
    return posted.url


def settle(
    project: Project,
    *,
    tell: Tell = lambda _line: None,
    hub: GitHub | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """
    Close the issues whose requests are deployed, expired or overtaken, each with a last word.

    Args:
        project: Of whose targets the requests are; issues of others are left alone.
        tell: Told in a sentence what GitHub did not take: it stops nothing.
        hub: The repository; found as in `announce` unless given.
        env: As in `announce`.
    """
    try:
        hub = hub or reach_github.hub_of(project, env)
        if hub is None:
            return
        from mlops_ci.github import issues  # noqa: PLC0415  # as in `reach_github.connect`

        since = records.timestamp(records.moment(records.now()) - _LOOKED_BACK)
        found = issues.find_issues(hub, lambda body: bool(reports.request_in(body)), since=_seconds(since))
        every = requests(project) if found else []
        for number, body in found:
            end = _end([one for one in every if one.request.plan_digest == f"sha256:{reports.request_in(body)}"])
            if end:
                words = reports.request_end(end)
                issues.close_issue(hub, number, words, reason="completed" if end == "deployed" else "not_planned")
    except MlopsCIError as error:
        tell(_said("an issue that is settled was not closed", error))


def close_rejected(hub: GitHub, plan_digest: str, why: str) -> None:
    """
    Close the issue about the plan, since somebody rejected it; *why* is a sentence.

    Raises:
        PermissionMissing: The token may not write issues.
        ServiceError: GitHub did not answer.
    """
    from mlops_ci.github import issues  # noqa: PLC0415  # as in `reach_github.connect`

    digest = plan_digest.removeprefix("sha256:")
    since = _seconds(records.timestamp(records.moment(records.now()) - _LOOKED_BACK))
    for number, _ in issues.find_issues(hub, lambda body: reports.request_in(body) == digest, since=since):
        issues.close_issue(hub, number, reports.request_end("rejected", detail=why), reason="not_planned")


def proposal_of(
    project: Project,
    asked: Asked,
    stand: Standing,
    ruling: DefaultBranch,
    previous: Record | None,
    *,
    diffs: Mapping[str, str] | None,
    hub: GitHub | None = None,
) -> Proposal:
    """
    What people are asked: what *asked* wants to deploy, against what *previous* serves.

    Raises:
        ServiceError: The ledger or the artifact store did not answer.
    """
    plan, rule = asked.request.plan, rule_of(ruling, asked.request.plan.target)
    before = previous.read(Deployment).plan if previous else None
    version, old = four_eyes.version_of(project, plan), four_eyes.version_serving(project, previous)
    run, baseline = _run_of(project, version), _run_of(project, old)
    gated = dict.fromkeys(gate.metric for gate in project.config.gates)
    people = [four_eyes.identity(person) for person in (asked.people if rule.four_eyes else ())]
    return Proposal(
        target=plan.target,
        model=plan.model,
        version=plan.version,
        digest=asked.request.plan_digest.removeprefix("sha256:"),
        sha=version.sha if version else "",
        required=rule.required,
        expires=f"{asked.expires:%Y-%m-%d %H:%M} UTC",
        serving=Serving(before.version, old.sha if old else "", before.image) if before else None,
        image=plan.image,
        compare_url=_compare(project, old, version),
        metrics=metric_changes(run, baseline, project.config.gates) if run else (),
        gated=len(gated) if run else 0,
        params=param_changes(run, baseline)[0] if run else (),
        data=data_changes(run, baseline) if run else (),
        diffs=diffs,
        approvers=rule.from_,
        # Addresses are nobody's business on a page that search engines read.
        people=list(dict.fromkeys(person for person in people if "@" not in person and " " not in person)),
        environment=_reviewed(hub, asked, ruling),
        run_url=project.event.run.run_url if project.event and asked.request.run else "",
        notes=[stand.rejected] if stand.rejected else [],
    )


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """How rendered files (text by path) differ: unified diffs by path."""
    found = {}
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path, "").splitlines(), after.get(path, "").splitlines()
        diff = difflib.unified_diff(old, new, fromfile="serves now", tofile="would be deployed", lineterm="")
        if text := "\n".join(diff):
            found[path] = text
    return found


def _run_of(project: Project, version: ModelVersion | None) -> Run | None:
    if version is None:
        return None
    for record in project.ledger.find(f"run/{version.run_id}"):
        if record.id == version.run_record:
            try:
                return record.read(Run)
            except IntegrityError:
                return None
    return None


def _compare(project: Project, old: ModelVersion | None, version: ModelVersion | None) -> str:
    place = web_address(project.checkout.remote)
    if project.event is not None and project.event.repository:
        place = f"{project.event.server_url.rstrip('/')}/{project.event.repository}"
    if not place or version is None:
        return ""
    between = old is not None and old.sha != version.sha
    return f"{place}/compare/{old.sha}...{version.sha}" if old and between else f"{place}/commit/{version.sha}"


def _reviewed(hub: GitHub | None, asked: Asked, ruling: DefaultBranch) -> str:
    """The environment whose review in the run that asked counts, if it has reviewers; "" where nobody can tell."""
    if hub is None or not asked.request.run:
        return ""
    from mlops_ci.github import rules  # noqa: PLC0415  # as in `reach_github.connect`

    try:
        name = environment_of(ruling, asked.request.plan.target)
        return name if rules.environment(hub, name).reviewers else ""
    except MlopsCIError:
        return ""


def _since(project: Project, digest: str, asked: Asked) -> str:
    """A moment before which there was no issue about the plan: an earlier request may have opened one."""
    every = [one.opens for one in requests(project) if one.request.plan_digest == f"sha256:{digest}"]
    return _seconds(records.timestamp(min([*every, asked.opens]) - _SKEW))


def _end(those: Sequence[Asked]) -> reports.End | None:
    """How the requests for one plan ended; None while one is open, and where there are none."""
    states = [asked.state for asked in those]
    if not states or "open" in states:
        return None
    return "deployed" if "deployed" in states else "expired" if states[-1] == "expired" else "overtaken"


def _seconds(time: str) -> str:
    """An RFC 3339 moment as GitHub takes it: to the second."""
    return f"{records.moment(time):%Y-%m-%dT%H:%M:%SZ}"


def _said(what: str, error: MlopsCIError) -> str:
    return f"{what}: {error}" + (f"\n{error.hint}" if error.hint else "")
