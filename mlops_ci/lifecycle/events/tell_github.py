"""
Tell GitHub what came of an event: one comment on the pull request, one check on the commit.

Of a matrix, every job tells what all of them have reported so far, so that the last word holds everything. What
GitHub does not take changes no verdict; it is said, with the permission that is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlops_ci import gates, reports
from mlops_ci.ci import Event
from mlops_ci.entities import GateReport
from mlops_ci.errors import MlopsCIError, ServiceError
from mlops_ci.lifecycle.events import assets
from mlops_ci.lifecycle.events.gather import gathered, run_in
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reaction import Reaction

if TYPE_CHECKING:
    from mlops_ci.github import GitHub

_FAR_AWAY = 10**9  # of runs on all of GitHub, in weeks
_TURNS = 3  # jobs of a matrix that report at the same moment


@dataclass(frozen=True)
class _Message:
    """What is to be told; *begins* says whether it is worth a comment where there is none yet."""

    title: str
    conclusion: Literal["success", "failure", "neutral"]
    body: str
    order: tuple[int, int]
    begins: bool
    found: Sequence[GateReport] = ()


def tell(project: Project, reaction: Reaction, hub: GitHub | None) -> Reaction:
    """
    Comment and check as *project*'s configuration says, which must be the one that rules.

    Returns:
        *reaction* with the comment's address, and with what GitHub did not take, for which nothing is raised.

    Raises:
        ServiceError: The ledger did not answer.
    """
    event = project.event
    if event is None or hub is None:
        return reaction
    missing: list[str] = []
    url, done = "", False
    for _ in range(_TURNS):
        found = gathered(project, event, reaction.reports)
        message = _message(project, event, reaction, found)
        missing = []
        url = _comment(project, event, message, hub, missing) or url
        done = _check(project, event, message, hub, missing)
        # Whoever looks last tells everything: another job may have told less than we, at the same moment.
        if event.run.cells <= 1 or len(gathered(project, event, reaction.reports)) == len(found):
            break
    return replace(reaction, comment_url=url, missing=(*reaction.missing, *missing), untold=not done)


def _message(project: Project, event: Event, reaction: Reaction, found: Sequence[GateReport]) -> _Message:
    key = reports.key(project.config.project, project.experiment)
    run_id = event.run.run_id
    order = (int(run_id) if run_id.isdecimal() else 0, event.run.attempt)
    expected = max(event.run.cells, reaction.expected)
    if reaction.unaffected:
        title, body = reports.not_affected(project.config.project, reaction.unaffected, key=key, order=order)
        return _Message(title, "success", body, order, begins=False)
    if not found:
        title, body = reports.not_trained(project.config.project, reaction.failure, key=key, order=order)
        return _Message(title, "failure", body, order, begins=True)
    codes = [gates.exit_code(report, on_inconclusive=project.config.on_inconclusive) for report in found]
    title, conclusion = reports.conclusion(found, codes, expected=expected)
    pictures = assets.show(project, found) if project.config.report.assets else {}
    body = reports.markdown(found, expected=expected, pictures=pictures, order=order)
    begins = reports.worth_a_comment(found, project.config.report.comment)
    return _Message(title, conclusion, body, order, begins, found)


def _comment(project: Project, event: Event, message: _Message, hub: GitHub, missing: list[str]) -> str:
    """Post or renew the comment; its address, or "" if there is none."""
    from mlops_ci.github import comments  # noqa: PLC0415  # a tenth of a second that only CI has to pay

    if event.kind != "pull_request" or event.number is None or project.config.report.comment == "never":
        return ""
    key, number = reports.key(project.config.project, project.experiment), event.number

    try:
        return comments.post_comment(
            hub,
            number,
            message.body,
            order_of=lambda text: _order_in(text, key, message.order),
            order=message.order,
            create=message.begins,
        ).url
    except MlopsCIError as error:
        missing.append(_said("the comment was not posted", error))
        return ""


def _check(project: Project, event: Event, message: _Message, hub: GitHub, missing: list[str]) -> bool:
    """Set the check on the commit that people look at; False if GitHub did not answer, and trying again may help."""
    from mlops_ci.github import checks  # noqa: PLC0415  # a tenth of a second that only CI has to pay

    sha, wanted = event.head_sha or event.sha, project.config.report
    if wanted.check == "none" or not sha or not _is_decisive(project, event, message):
        return True
    found = reports.annotations(message.found)
    check = checks.Check(
        name=_name(project, event),
        sha=sha,
        conclusion=message.conclusion,
        title=message.title,
        summary=message.body,
        details_url=event.run.run_url,
        annotations=tuple(checks.Annotation(**annotation._asdict()) for annotation in found),
    )

    try:
        missing.extend(checks.post_check(hub, check, wanted.check).notes)
    except MlopsCIError as error:
        missing.append(_said(f"the check {check.name} was not set", error))
        return not isinstance(error, ServiceError)
    return True


def _is_decisive(project: Project, event: Event, message: _Message) -> bool:
    """
    Whether this verdict may stand on the commit, where branch rules look.

    A workflow that somebody started on a branch of their own is ruled by that branch. And what a stranger reports of a
    commit says nothing where one of our own jobs has trained it.
    """
    if not event.is_proposal:
        return event.kind == "schedule" or event.branch == event.default_branch
    if not any(report.self_reported for report in message.found):
        return True
    runs = [run_in(record) for record in project.ledger.find(f"sha/{event.head_sha}")]
    return all(run.self_reported for run in runs if run is not None and run.project == project.config.project)


def _name(project: Project, event: Event) -> str:
    """The check's name: a rule on the default branch must not be met by what was judged for another branch."""
    name, into = project.config.report.name, event.base_branch
    return f"{name} ({into})" if event.is_proposal and into and into != event.default_branch else name


def _order_in(body: str, key: str, ours: tuple[int, int]) -> tuple[int, int] | None:
    """The order of a comment; one that GitHub cannot have reached by now was written by somebody's hand."""
    found = reports.order_in(body, key)
    return (0, 0) if found and found[0] > ours[0] + _FAR_AWAY else found


def _said(what: str, error: MlopsCIError) -> str:
    return f"{what}: {error}" + (f"\n{error.hint}" if error.hint else "")
