"""React to a CI event without the repository's code: record what another job trained, answer a comment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mlops_ci.ci import Event
from mlops_ci.errors import Refused, UsageError
from mlops_ci.lifecycle import reach_github
from mlops_ci.lifecycle.approvals import answer_comment
from mlops_ci.lifecycle.events import tell_github
from mlops_ci.lifecycle.events.trained_before import adoptable, demand_training, known
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reaction import Reaction
from mlops_ci.lifecycle.synchronize import fold_quietly
from mlops_ci.lifecycle.two_jobs import follow_run, record_bundles

Notify = Callable[[str], None]


def react_without_code(
    event: Event, bundles: Sequence[Path], *, config_name: str, into: Path, notify: Notify
) -> Reaction:
    """
    Do the part of *event* that may write and runs no code of the repository: record what another job trained.

    Args:
        event: What CI was started by; where that is another run that has ended, its bundles are fetched.
        bundles: What the training jobs left.
        config_name: The configuration's path in the repository; mlops.yaml, if "".
        into: An empty folder to work in.
        notify: Told in a sentence what is going on.

    Raises:
        UsageError: The event is none that this part knows.
        ServiceError: The remote, the store or GitHub did not answer; the same may be done again.
    """
    if event.kind == "workflow_run":
        return _followed(event, config_name=config_name, into=into, notify=notify)
    if event.kind == "comment":
        return _answered(event, config_name=config_name, into=into, notify=notify)
    demand_training(event)
    project = record_bundles.open_project(event, into / "repository", config_name=config_name)
    ruled = record_bundles.ruled_by_base(project)
    reaction = _recorded(project, ruled, bundles, trust="own", notify=notify)
    if not event.is_proposal:
        fold_quietly(ruled, notify)
    return tell_github.tell(ruled, reaction, reach_github.connect(event))


def _followed(event: Event, *, config_name: str, into: Path, notify: Notify) -> Reaction:
    """Record what the job of a fork trained. Its verdict is a check on its commit, and no failure of this job."""
    hub = reach_github.connect(event)
    if hub is None:
        raise UsageError("there is no token to ask GitHub with", hint="the action's input `github-token` is one")
    found = follow_run.follow(event, hub)
    if found.nothing:
        return Reaction(0, nothing=found.nothing)
    project = record_bundles.open_project(found.event, into / "repository", config_name=config_name)
    ruled = record_bundles.ruled_by_base(project)
    bundles = follow_run.bundles(found.event, hub, into / "bundles")
    trust: record_bundles.Trust = "stranger" if found.self_reported else "ended"
    reaction = _recorded(project, ruled, bundles, trust=trust, notify=notify)
    told = tell_github.tell(ruled, reaction, hub)
    if told.exit_code == Refused.exit_code:
        return told
    if told.failure:
        notify(told.failure)
    return replace(told, exit_code=0, failure="")


def _recorded(
    project: Project, ruled: Project, bundles: Sequence[Path], *, trust: record_bundles.Trust, notify: Notify
) -> Reaction:
    """What is recorded of *bundles*, or of what needed no training; a refusal fails the check, too."""
    try:
        if not bundles and (before := known(ruled, project, keep=True, notify=notify)) is not None:
            return before
        standing = adoptable(ruled) if bundles else []
        return record_bundles.record(project, ruled, bundles, notify=notify, trust=trust, standing=standing)
    except Refused as error:
        return Reaction(error.exit_code, failure=str(error), hint=error.hint)


def _answered(event: Event, *, config_name: str, into: Path, notify: Notify) -> Reaction:
    """Do what a comment orders; most order nothing, and cost no request."""
    if not answer_comment.is_addressed(event):
        return Reaction(0, nothing="the comment orders nothing")
    project = record_bundles.open_project(event, into / "repository", config_name=config_name)
    done = answer_comment.answer(project, event, reach_github.connect(event), notify)
    return Reaction(0, nothing=done.nothing, comment_url=done.url, missing=done.missing, next=done.next)
