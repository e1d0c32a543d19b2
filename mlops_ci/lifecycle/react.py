"""React to what CI was started by, as a person would expect: the manual's page on GitHub has the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mlops_ci import records
from mlops_ci.ci import Event
from mlops_ci.entities import Adoption
from mlops_ci.errors import MlopsCIError, ServiceError, TrainingFailed, UsageError
from mlops_ci.git import Commit
from mlops_ci.git.side import SideRepository
from mlops_ci.lifecycle import answer_comment, follow_run, log_run, reach_github, record_bundles, tell_github
from mlops_ci.lifecycle.affected import unaffected
from mlops_ci.lifecycle.find_baseline import RecordedRun, runs_of
from mlops_ci.lifecycle.judge import judge
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reaction import Reaction
from mlops_ci.lifecycle.release_tag import release
from mlops_ci.lifecycle.train_apart import train_apart

Notify = Callable[[str], None]
Part = Literal["all", "train", "record"]

_MANY_RECORDS = 500  # with refs of their own, before a push to a branch folds them
_TRAINED = {"pull_request", "merge_group", "push", "dispatch", "schedule"}


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
        return release(project, event.tag, into=into, notify=notify)
    if event.kind not in _TRAINED:
        raise _unknown(event)
    ruled = record_bundles.ruled_by_base(project)
    apart = part == "train"
    if not apart and not _may_write(ruled):
        notify(
            "this job's token may not write here, as in a pull request from a fork or by Dependabot: the run is left"
            " in a bundle, and the workflow that `mlops-ci init` writes records it"
        )
        apart = True
    clean = not project.checkout.diff_digest()
    known = _known(ruled, project, event, keep=not apart, notify=notify) if clean else None
    if known is None:
        known = train_apart(project, ruled, into=into, notify=notify) if apart else _trained(ruled, project, notify)
    if apart:
        return known
    if not event.is_proposal:
        _fold(ruled, notify)
    return tell_github.tell(ruled, known, reach_github.connect(event))


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
        Refused: A bundle is not what it should be; nothing was recorded.
    """
    if event.kind == "workflow_run":
        return _followed(event, config_name=config_name, into=into, notify=notify)
    if event.kind == "comment":
        return _answered(event, config_name=config_name, into=into, notify=notify)
    if event.kind not in _TRAINED:
        raise _unknown(event)
    project = record_bundles.open_project(event, into / "repository", config_name=config_name)
    ruled = record_bundles.ruled_by_base(project)
    known = _known(ruled, project, event, keep=True, notify=notify) if not bundles else None
    reaction = known or record_bundles.record(project, bundles, self_reported=False, notify=notify)
    if not event.is_proposal:
        _fold(ruled, notify)
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
    if not found.self_reported and follow_run.is_recorded(ruled):
        return Reaction(0, nothing=f"run {found.event.run.run_id} was recorded by its own job")
    bundles = follow_run.bundles(found.event, hub, into / "bundles")
    reaction = record_bundles.record(project, bundles, self_reported=found.self_reported, notify=notify)
    told = tell_github.tell(ruled, reaction, hub)
    if told.failure:
        notify(told.failure)
    return replace(told, exit_code=0, failure="")


def _answered(event: Event, *, config_name: str, into: Path, notify: Notify) -> Reaction:
    """Do what a comment orders; most order nothing, and cost no request."""
    if not answer_comment.is_addressed(event):
        return Reaction(0, nothing="the comment orders nothing")
    project = record_bundles.open_project(event, into / "repository", config_name=config_name)
    done = answer_comment.answer(project, event, reach_github.connect(event), notify)
    return Reaction(0, nothing=done.nothing, comment_url=done.url, missing=done.missing)


def _unknown(event: Event) -> UsageError:
    hint = "start the workflow on pull_request, merge_group, push, release, schedule or workflow_dispatch"
    if event.name == "pull_request_target":
        hint = "it would run a stranger's code with your secrets: start the workflow on pull_request instead"
    return UsageError(f"the event {event.name or 'of this CI run'!r} is none that mlops-ci acts on", hint=hint)


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


def _known(ruled: Project, project: Project, event: Event, *, keep: bool, notify: Notify) -> Reaction | None:
    """The reaction to what needs no training: it was trained before, or nothing that the model depends on changed."""
    try:
        found = [] if event.is_proposal else _adoptable(ruled, event)
        if found:
            notify(f"the same tree was trained as run {', '.join(each.run.run_id for each in found)}: adopted")
            if keep:
                _adopt(ruled, found, project.checkout.commit("HEAD"))
            judgements = tuple(judge(project, candidate=each, keep=keep) for each in found)
            return Reaction(max(each.exit_code for each in judgements), found[0].run.run_id, judgements=judgements)
        why = unaffected(ruled)
    except MlopsCIError:
        if keep:
            raise
        return None  # the store cannot be read from here: train, and let the other job decide
    if why:
        notify(f"not affected: {why}")
    return Reaction(0, unaffected=why) if why else None


def _trained(ruled: Project, project: Project, notify: Notify) -> Reaction:
    """Train by *ruled* and judge by what rules *project*; the numbers of a run that failed prove nothing."""
    training = log_run.train(ruled, log_run.command_of(ruled, []), notify=notify)
    run = training.run
    if not training.taken.sent:
        notify(f"run {run.run_id} is recorded here only: the remote did not answer")
    judgement = judge(project, candidate=RecordedRun(training.taken.record, run))
    code = judgement.exit_code if run.status == "finished" else TrainingFailed.exit_code
    return Reaction(code, run_id=run.run_id, failure=training.failure, judgements=(judgement,))


def _adoptable(project: Project, event: Event) -> list[RecordedRun]:
    """
    The newest clean, finished run of this very tree: that of the event's job, where a matrix has several.

    Whoever records for all jobs of a matrix, and is none of them, gets one for each.
    """
    commit = project.checkout.commit("HEAD")
    newest = {
        found.run.ci.cell if found.run.ci else "": found
        for found in runs_of(project.ledger, [commit], project.config.project, project.experiment)
        if found.stands_for_its_commit and found.run.git.tree == commit.tree
    }
    if event.run.cell:
        return [newest[event.run.cell]] if event.run.cell in newest else []
    return list(newest.values())


def _adopt(project: Project, found: Sequence[RecordedRun], commit: Commit) -> None:
    """Let the runs *found* stand for *commit* too."""
    adoptions = [
        Adoption(sha=commit.sha, tree=commit.tree, run_id=each.run.run_id)
        for each in found
        if each.run.git.trained_sha != commit.sha
    ]
    project.ledger.append([records.new(adoption, author=project.author) for adoption in adoptions])


def _fold(project: Project, notify: Notify) -> None:
    """Keep the ledger small, now and then, where a job may write to it anyway."""
    try:
        folded, _ = project.ledger.fold(at_least=_MANY_RECORDS)
    except MlopsCIError as error:
        notify(f"old records were not folded: {error}; a later push tries again")
    else:
        if folded:
            notify(f"folded {folded} records into refs/mlops/ledger")
