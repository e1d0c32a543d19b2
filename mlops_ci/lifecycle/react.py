"""React to what CI was started by, as a person would expect: see `EVENTS` in the manual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops_ci import records
from mlops_ci.ci import Event
from mlops_ci.entities import Adoption, GateReport
from mlops_ci.errors import AwaitsApproval, MlopsCIError, TrainingFailed, UsageError
from mlops_ci.lifecycle import log_run, policy
from mlops_ci.lifecycle.deploy import Deployed, deploy
from mlops_ci.lifecycle.find_baseline import RecordedRun, runs_of
from mlops_ci.lifecycle.judge import Judgement, judge
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.register_model import Registered, register
from mlops_ci.lifecycle.render import render

Notify = Callable[[str], None]

_MANY_RECORDS = 500  # with refs of their own, before a push to a branch folds them


@dataclass(frozen=True)
class Reaction:
    """
    What was done. Whatever did not happen is None or empty.

    *waiting* says what a person must do; *failure* how training failed.
    """

    exit_code: int
    run_id: str = ""
    failure: str = ""
    judgement: Judgement | None = None
    registered: Registered | None = None
    rendered: Path | None = None
    image: str = ""
    deployed: tuple[Deployed, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def report(self) -> GateReport | None:
        """The gate report, if something was judged."""
        return self.judgement.report if self.judgement else None


def react(project: Project, event: Event, *, into: Path, notify: Notify) -> Reaction:
    """
    Do what *event* asks for: train and judge a pull request or a push, release a tag.

    Args:
        project: The checkout with its own configuration; what rules is looked up by the event.
        event: What CI was started by.
        into: An empty folder for what is rendered.
        notify: Told in a sentence what is going on.

    Raises:
        UsageError: The event is none that this step knows.
    """
    if event.kind == "tag":
        return _release(project, event.tag, into=into, notify=notify)
    if event.kind == "pull_request":
        ruled = _ruled_by_base(project, event)
        return _trained(ruled, project, notify)
    if event.kind == "push":
        adopted = _adopt(project)
        if adopted is not None:
            notify(f"the same tree was trained as run {adopted.run.run_id}: adopted")
            reaction = _judged(project, adopted)
        else:
            reaction = _trained(project, project, notify)
        _fold(project, notify)
        return reaction
    raise UsageError(
        f"the event {event.name or 'of this CI run'!r} is none that mlops-ci acts on",
        hint="start the workflow on pull_request, on push to a branch, or on push of a version tag",
    )


def _ruled_by_base(project: Project, event: Event) -> Project:
    """Records and bytes of a pull request go where its base says; what is run and captured is its own."""
    base, _ = policy.at_base(project.checkout, event.base_sha, project.config, name=project.config_name)
    return project.ruled_by(records.replace(project.config, store=base.store, artifacts=base.artifacts))


def _trained(ruled: Project, project: Project, notify: Notify) -> Reaction:
    """Train by *ruled* and judge by what rules *project*; a run that failed is not judged."""
    training = log_run.train(ruled, log_run.command_of(ruled, []), notify=notify)
    run = training.run
    if not training.taken.sent:
        notify(f"run {run.run_id} is recorded here only: the remote did not answer")
    if run.status != "finished":
        return Reaction(TrainingFailed.exit_code, run_id=run.run_id, failure=training.failure)
    return _judged(project, RecordedRun(training.taken.record, run))


def _judged(project: Project, candidate: RecordedRun) -> Reaction:
    judgement = judge(project, candidate=candidate)
    return Reaction(judgement.exit_code, run_id=candidate.run.run_id, judgement=judgement)


def _adopt(project: Project) -> RecordedRun | None:
    """A clean, finished run of this tree stands for this commit too."""
    if project.checkout.diff_digest():
        return None
    commit = project.checkout.commit("HEAD")
    runs = [
        found
        for found in runs_of(project.ledger, [commit], project.config.project, project.experiment)
        if found.stands_for_its_commit and found.run.git.tree == commit.tree
    ]
    if not runs:
        return None
    found = runs[-1]
    if found.run.git.trained_sha != commit.sha:
        adoption = Adoption(sha=commit.sha, tree=commit.tree, run_id=found.run.run_id)
        project.ledger.append([records.new(adoption, author=project.author)])
    return found


def _fold(project: Project, notify: Notify) -> None:
    """Keep the ledger small, now and then, where a job may write to it anyway."""
    try:
        folded, _ = project.ledger.fold(at_least=_MANY_RECORDS)
    except MlopsCIError as error:
        notify(f"old records were not folded: {error}; a later push tries again")
    else:
        if folded:
            notify(f"folded {folded} records into refs/mlops/ledger")


def _release(project: Project, tag: str, *, into: Path, notify: Notify) -> Reaction:
    registered = register(project, tag)
    version = registered.version
    notify(f"{version.model} {version.version} is registered, of commit {version.sha[:7]}")
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    ruled = project.ruled_by(ruling.config)
    bundle = render(
        ruled,
        version,
        registered.record_id,
        list(ruled.config.targets),
        into=into / "rendered",
        overrides=ruling.templates(into / "templates"),
    )
    deployed, waiting = [], []
    for name, target in bundle.targets.items():
        if not target.applies:
            notify(f"{name} is rendered to {bundle.folder / 'targets' / name}; applying it comes with a later version")
            continue
        try:
            deployed.append(deploy(project, name, version=version.version, into=into / f"deploy-{name}"))
        except AwaitsApproval as refusal:
            waiting.append(f"{refusal}. {refusal.hint}")
    return Reaction(
        0,
        run_id=version.run_id,
        registered=registered,
        rendered=bundle.folder,
        image=ruled.config.serving.image,
        deployed=tuple(deployed),
        waiting=tuple(waiting),
    )
