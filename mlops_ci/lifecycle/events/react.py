"""React to a CI event in a checkout, as a person would expect: docs/github.md has the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from mlops_ci.ci import Event
from mlops_ci.errors import MlopsCIError, ServiceError, TrainingFailed
from mlops_ci.git.side import SideRepository
from mlops_ci.lifecycle import log_run, reach_github
from mlops_ci.lifecycle.events import tell_github
from mlops_ci.lifecycle.events.trained_before import demand_training, known
from mlops_ci.lifecycle.find_baseline import RecordedRun
from mlops_ci.lifecycle.judge import judge
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reaction import Reaction
from mlops_ci.lifecycle.synchronize import fold_quietly
from mlops_ci.lifecycle.two_jobs import record_bundles
from mlops_ci.lifecycle.two_jobs.train_apart import train_apart

Notify = Callable[[str], None]
Part = Literal["all", "train", "record"]


def react(project: Project, event: Event, *, part: Part, into: Path, notify: Notify) -> Reaction:
    """
    Do what *event* asks for in a checkout: train and judge a change, release a tag.

    Args:
        project: The checkout with its own configuration; what rules is looked up by the event.
        event: What CI was started by.
        part: "train" leaves the run in a bundle for another job; "all" records it here, if the token may.
        into: A folder for what is rendered, and for the bundle.
        notify: Told in a sentence what is going on.

    Raises:
        UsageError: The event is none that this step knows.
    """
    if event.kind == "tag":
        from mlops_ci.lifecycle.events.release_tag import release  # noqa: PLC0415  # targets and templates, for tags

        return release(project, event.tag, by_hand=event.name not in {"push", "release"}, into=into, notify=notify)
    demand_training(event)
    ruled = record_bundles.ruled_by_base(project)
    apart = part == "train"
    if not apart and not _may_write(ruled):
        notify(
            "this job's token may not write here, as in a pull request from a fork or by Dependabot: the run is left"
            " in a bundle, and the workflow that `mlops-ci init` writes records it"
        )
        apart = True
    clean = not project.checkout.diff_digest()
    reaction = known(ruled, project, keep=not apart, notify=notify) if clean else None
    if reaction is None:
        reaction = train_apart(project, ruled, into=into, notify=notify) if apart else _trained(ruled, project, notify)
    if apart:
        return reaction
    if not event.is_proposal:
        fold_quietly(ruled, notify)
    return tell_github.tell(ruled, reaction, reach_github.connect(event))


def _may_write(project: Project) -> bool:
    """Whether this job can record: asked once, and not guessed from the event. Who has a database's address is in."""
    if project.store_variable:
        try:
            return bool(project.store_address)
        except MlopsCIError:
            return False
    try:
        return project.config.store != "git" or SideRepository(project.checkout, "ledger").may_push()
    except ServiceError:
        return True  # what is recorded waits in this clone, and the run says so


def _trained(ruled: Project, project: Project, notify: Notify) -> Reaction:
    """Train by *ruled* and judge by what rules *project*; the numbers of a run that failed prove nothing."""
    training = log_run.train(ruled, log_run.command_of(ruled, []), notify=notify)
    run = training.run
    if not training.taken.sent:
        notify(f"run {run.run_id} is recorded here only: the remote did not answer")
    judgement = judge(project, candidate=RecordedRun(training.taken.record, run))
    code = judgement.exit_code if run.status == "finished" else TrainingFailed.exit_code
    return Reaction(code, run_id=run.run_id, failure=training.failure, judgements=(judgement,))
