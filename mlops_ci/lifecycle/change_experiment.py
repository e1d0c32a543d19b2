"""
List experiments, rename, archive, delete them, and bring them back.

Runs keep the name that they were recorded with, so what a person calls an experiment can be several of those
names: an experiment that was renamed, and the runs that were recorded under its new name since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlops_ci import changes, providers, records
from mlops_ci.changes import ExperimentState
from mlops_ci.entities import ExperimentChange
from mlops_ci.errors import Conflict, NotFound, UsageError
from mlops_ci.lifecycle import find_experiments
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.synchronize import open_projection


@dataclass(frozen=True)
class Experiment:
    """What a person calls an experiment; *recorded_as* are the names under which runs of it are recorded."""

    name: str
    recorded_as: tuple[str, ...]
    runs: int
    last_started: str
    archived: bool = False
    deleted: bool = False


@dataclass(frozen=True)
class Changed:
    """An experiment after a change; *changed* is False where it was so already. *sent*: the ledger's remote has it."""

    name: str
    changed: bool
    sent: bool = True


def experiments(project: Project) -> list[Experiment]:
    """
    List every experiment of *project*, archived and deleted ones too; the last one used first.

    Raises:
        ServiceError: The ledger did not answer.
    """
    with open_projection(project, up_to_date=True) as store:
        found = store.experiments(project.config.project, archived=True, deleted=True)
    grouped: dict[tuple[str, bool], Experiment] = {}
    for each in found:
        key = (each.name, each.deleted)
        before = grouped.get(key, Experiment(each.name, (), 0, "", archived=True, deleted=each.deleted))
        grouped[key] = Experiment(
            each.name,
            (*before.recorded_as, each.experiment),
            before.runs + each.runs,
            max(before.last_started, each.last_started or ""),
            archived=before.archived and each.archived,
            deleted=each.deleted,
        )
    return sorted(grouped.values(), key=lambda each: (each.last_started, each.name), reverse=True)


def rename(project: Project, old: str, new: str, *, reason: str = "") -> Changed:
    """
    Call the experiment *old* by the name *new* from now on.

    Raises:
        NotFound: No experiment is called *old*.
        Conflict: *new* is another experiment's name, or runs of another were recorded with it.
        UsageError: *new* is empty.
        ServiceError: The ledger did not answer.
    """
    if not new.strip():
        raise UsageError("an experiment needs a name", hint="`mlops-ci experiments rename OLD NEW`")
    there = experiments(project)
    group = _living(project, _now(there, old), there)
    _refuse_taken(new, group, there)

    def change(state: ExperimentState, fields: ExperimentChange) -> ExperimentChange | None:
        return records.replace(fields, name=new, reason=reason) if state.name != new else None

    return _write(project, new, group, change)


def archive(project: Project, name: str, *, archived: bool = True, reason: str = "") -> Changed:
    """Hide an experiment in lists, or show it again; it stays a baseline. Raises as `rename`, but for `Conflict`."""
    there = experiments(project)
    name = _now(there, name)
    group = _living(project, name, there)

    def change(state: ExperimentState, fields: ExperimentChange) -> ExperimentChange | None:
        return records.replace(fields, archived=archived, reason=reason) if state.archived != archived else None

    return _write(project, name, group, change)


def delete(project: Project, name: str, *, reason: str = "") -> Changed:
    """
    Delete an experiment: its runs are hidden and no baseline, those to come too, until it is restored.

    Raises as `rename`, but for `Conflict`.
    """
    there = experiments(project)
    name = _now(there, name)
    if _named(there, name, deleted=True) and not _named(there, name, deleted=False):
        return Changed(name, changed=False)
    group = _living(project, name, there)

    def change(state: ExperimentState, fields: ExperimentChange) -> ExperimentChange | None:
        return None if state.deleted else records.replace(fields, deleted=True, reason=reason)

    return _write(project, name, group, change)


def restore(project: Project, name: str, *, reason: str = "") -> Changed:
    """
    Undo `delete`.

    Raises:
        NotFound: No experiment is called so.
        Conflict: Another is called so by now.
        ServiceError: The ledger did not answer.
    """
    there = experiments(project)
    name = _now(there, name)
    deleted, living = (_named(there, name, deleted=which) for which in (True, False))
    if not deleted:
        _living(project, name, there)
        return Changed(name, changed=False)
    if living:
        raise Conflict(
            f"another experiment is called {name!r} by now", hint="rename that one first: `mlops-ci experiments rename`"
        )
    states = find_experiments.around(project.ledger, project.config.project, name)

    def change(state: ExperimentState, fields: ExperimentChange) -> ExperimentChange | None:
        return records.replace(fields, deleted=False, reason=reason) if state.deleted else None

    return _write(project, name, changes.called(states, name), change)


def _now(there: Sequence[Experiment], name: str) -> str:
    """What the experiment that is, or was, called *name* is called by now."""
    if any(each.name == name for each in there):
        return name
    return next((each.name for each in there if name in each.recorded_as), name)


def _living(project: Project, name: str, there: Sequence[Experiment]) -> list[ExperimentState]:
    """What *name* means, as far as it was not deleted."""
    if not _named(there, name, deleted=False):
        if _named(there, name, deleted=True):
            raise NotFound(
                f"the experiment {name!r} is deleted", hint="`mlops-ci experiments restore` brings it back first"
            )
        known = [each.name for each in there if not each.deleted]
        raise NotFound(f"no experiment {name!r} is recorded", hint=providers.suggestion(name, known))
    states = find_experiments.around(project.ledger, project.config.project, name)
    return [state for state in changes.called(states, name) if state.deleted is None]


def _named(there: Sequence[Experiment], name: str, *, deleted: bool) -> bool:
    return any(each.name == name and each.deleted == deleted for each in there)


def _refuse_taken(new: str, group: Sequence[ExperimentState], there: Sequence[Experiment]) -> None:
    """
    A name leads to one experiment: also to that whose runs were recorded with it, since those to come would be its.

    So two experiments cannot swap their names; a third name that nobody used is always free.
    """
    own = {state.identity for state in group}
    for each in there:
        if own.intersection(each.recorded_as):
            continue
        if each.name == new:
            now = ", which is deleted" if each.deleted else ""
            raise Conflict(f"there is an experiment {new!r} already{now}", hint="choose another name")
        if new in each.recorded_as:
            now = "which is deleted" if each.deleted else f"which is called {each.name!r} now"
            raise Conflict(
                f"runs of another experiment were recorded as {new!r}, {now}", hint="choose a name that was never used"
            )


_Change = Callable[[ExperimentState, ExperimentChange], ExperimentChange | None]


def _write(project: Project, name: str, group: Sequence[ExperimentState], change: _Change) -> Changed:
    """Write what *change* makes of each member of *group*, in one append; None where nothing is to be done."""
    new = []
    for state in group:
        body = change(state, ExperimentChange(project=project.config.project, experiment=state.identity))
        if body is not None:
            new.append(records.new(body, author=project.author, time=changes.time_after(state.last)))
    sent = project.ledger.append(new)
    return Changed(name, changed=bool(new), sent=sent)
