"""What needs no training: a tree that was trained before, and a change that the model does not depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlops_ci import records
from mlops_ci.ci import Event
from mlops_ci.entities import Adoption
from mlops_ci.errors import MlopsCIError, UsageError
from mlops_ci.git import Commit
from mlops_ci.lifecycle.events.affected import unaffected
from mlops_ci.lifecycle.find_baseline import RecordedRun, runs_of
from mlops_ci.lifecycle.judge import judge
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reaction import Reaction

Notify = Callable[[str], None]

_TRAINED = {"pull_request", "merge_group", "push", "dispatch", "schedule"}


def demand_training(event: Event) -> None:
    """Raise `UsageError` unless *event* is one that a model is trained for."""
    if event.kind in _TRAINED:
        return
    hint = "start the workflow on pull_request, merge_group, push, release, schedule or workflow_dispatch"
    if event.name == "pull_request_target":
        hint = "it would run a stranger's code with your secrets: start the workflow on pull_request instead"
    raise UsageError(f"the event {event.name or 'of this CI run'!r} is none that mlops-ci acts on", hint=hint)


def known(ruled: Project, project: Project, *, keep: bool, notify: Notify) -> Reaction | None:
    """The reaction to what needs no training: it was trained before, or nothing that the model depends on changed."""
    try:
        found = adoptable(ruled)
        if found:
            notify(f"the same tree was trained as run {', '.join(each.run.run_id for each in found)}: adopted")
            if keep:
                _adopt(ruled, found, project.checkout.commit("HEAD"))
            judgements = tuple(judge(project, candidate=each, keep=keep) for each in found)
            return Reaction(max(each.exit_code for each in judgements), found[0].run.run_id, judgements=judgements)
        why = "" if _is_wanted_again(ruled) else unaffected(ruled)
    except MlopsCIError:
        if keep:
            raise
        return None  # the store cannot be read from here: train, and let the other job decide
    if why:
        notify(f"not affected: {why}")
    return Reaction(0, unaffected=why) if why else None


def adoptable(project: Project) -> list[RecordedRun]:
    """
    The newest clean, finished run of this very tree: that of the event's job, where a matrix has several.

    Whoever records for all jobs of a matrix, and is none of them, gets one for each. None for a proposal, which is
    judged by a run of its own, nor where the event wants a new one.
    """
    event = project.event
    if event is None or event.is_proposal or _is_wanted_again(project):
        return []
    commit = project.checkout.commit("HEAD")
    newest = {
        found.run.ci.cell if found.run.ci else "": found
        for found in runs_of(project.ledger, [commit], project.config.project, project.experiment)
        if found.stands_for_its_commit and found.run.git.tree == commit.tree
    }
    if event.run.cell:
        return [newest[event.run.cell]] if event.run.cell in newest else []
    return list(newest.values())


def _is_wanted_again(project: Project) -> bool:
    """Whether somebody, or the calendar, wants it trained whatever was before."""
    return project.event is not None and project.event.kind in {"dispatch", "schedule"}


def _adopt(project: Project, found: Sequence[RecordedRun], commit: Commit) -> None:
    """Let the runs *found* stand for *commit* too."""
    adoptions = [
        Adoption(sha=commit.sha, tree=commit.tree, run_id=each.run.run_id)
        for each in found
        if each.run.git.trained_sha != commit.sha
    ]
    project.ledger.append([records.new(adoption, author=project.author) for adoption in adoptions])
