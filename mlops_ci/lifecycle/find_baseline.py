"""
What a candidate is compared with: the nearest ancestor that has a finished run of the same experiment.

The search starts at the first parent if a merge commit was trained (as on a pull request), else at the
merge base, and looks by commit, then by tree, since a squash merge keeps the tree and not the commit.
What was deleted is not there, and an experiment that was renamed is still the same.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mlops_ci import changes, records
from mlops_ci.changes import ExperimentState, RunState
from mlops_ci.entities import Adoption, ExperimentChange, Run, RunPointer
from mlops_ci.errors import NotFound
from mlops_ci.git import Checkout, Commit
from mlops_ci.git.history import deepened
from mlops_ci.ledger import Ledger
from mlops_ci.lifecycle import find_experiments
from mlops_ci.records import Record

_HISTORY = 500
_BITES = (8, 32, 128, 332)
_LONGEST_TRAIL = 12  # with the baseline


@dataclass(frozen=True)
class RecordedRun:
    """A run with the record that it was read from; *deleted* is the record that deleted it or its experiment."""

    record: Record
    run: Run
    deleted: Record | None = None
    restored: bool = False

    @property
    def stands_for_its_commit(self) -> bool:
        """Whether it is what anybody gets who trains that commit: finished, nothing changed, the configured command."""
        run = self.run
        return run.status == "finished" and not (run.git.dirty or run.improvised or run.self_reported)

    def pointer(self, **where: object) -> RunPointer:
        """Name it in a report; *where* are further fields of `RunPointer`."""
        ci = self.run.ci
        pointer = RunPointer(
            run_id=self.run.run_id,
            sha=self.run.git.head_sha,
            branch=self.run.git.branch,
            run_url=ci.run_url if ci else "",
        )
        return records.replace(pointer, **where)


class Baseline(NamedTuple):
    """What a candidate is compared with, how a report names it, and the *trail* of runs before it, oldest first."""

    found: RecordedRun
    pointer: RunPointer
    trail: list[Run]


def runs_of(
    ledger: Ledger, commits: Sequence[Commit], project: str, experiment: str = "", *, deleted: bool = False
) -> list[RecordedRun]:
    """
    Return *project*'s runs of *commits* or of their trees, oldest first; one ending for each run key.

    Those of what is called *experiment*, or of every experiment if that is ""; with *deleted*, also those that were.

    Raises:
        ServiceError: The ledger did not answer.
    """
    found = _Search(ledger, project, experiment).runs_of(commits)
    return found if deleted else [each for each in found if each.deleted is None]


def was_deleted(found: RecordedRun, what: str) -> NotFound:
    """Say that the run of *what* is there, but was deleted, and how to have it back."""
    if found.deleted is None or found.deleted.kind == "run-change":
        how = changes.deletion(found.deleted or found.record)
        return NotFound(
            f"the run of {what} was {how}", hint=f"`mlops-ci runs restore {found.run.run_id}` brings it back"
        )
    change = found.deleted.read(ExperimentChange)
    return NotFound(
        f"the run of {what} belongs to experiment {change.experiment!r}, {changes.deletion(found.deleted)}",
        hint=f"`mlops-ci experiments restore {shlex.quote(change.experiment)}` brings it back",
    )


def nearest(checkout: Checkout, ledger: Ledger, start: str, project: str, experiment: str) -> Baseline | None:
    """
    Return the baseline of a candidate whose history is joined at *start*, or None if there is none.

    Its trail are the baselines before it among the commits that had to be looked up anyway.

    Raises:
        ServiceError: The ledger did not answer.
    """
    history = checkout.ancestors(start, limit=_HISTORY)
    search = _Search(ledger, project, experiment)
    for first, bite in _bites(history):
        runs = [each for each in search.runs_of(bite) if each.stands_for_its_commit and each.deleted is None]
        standing = list(_standing(bite, first, runs))
        if standing:
            (found, pointer), *earlier = standing
            return Baseline(found, pointer, _trail(found, [run for run, _ in earlier]))
    return None


def _standing(
    commits: Sequence[Commit], first: int, runs: Sequence[RecordedRun]
) -> Iterator[tuple[RecordedRun, RunPointer]]:
    """For each of *commits* that has one, the newest of *runs* that trained it, else its tree."""
    for distance, commit in enumerate(commits, start=first):
        by_commit = [found for found in runs if commit.sha == found.run.git.trained_sha]
        by_tree = [found for found in runs if commit.tree == found.run.git.tree]
        if by_commit or by_tree:
            found = (by_commit or by_tree)[-1]
            pointer = found.pointer(
                sha=commit.sha,
                distance=distance,
                age_s=age_s(found.record),
                found_by="commit" if by_commit else "tree",
            )
            yield found, pointer


def _trail(baseline: RecordedRun, earlier: Sequence[RecordedRun]) -> list[Run]:
    """The runs of *earlier*, which is nearest first, as a trail that leads to *baseline*: each once, not too many."""
    runs = {found.run.run_id: found.run for found in earlier if found.run.run_id != baseline.run.run_id}
    return list(runs.values())[: _LONGEST_TRAIL - 1][::-1]


@dataclass
class _Search:
    """Looks for runs of *experiment*, and finds out once which experiments are called so."""

    ledger: Ledger
    project: str
    experiment: str
    _members: dict[str, ExperimentState] | None = field(default=None, init=False)

    def runs_of(self, commits: Sequence[Commit]) -> list[RecordedRun]:
        """The runs, deleted ones too, oldest first."""
        keys = [key for commit in commits for key in (f"sha/{commit.sha}", f"tree/{commit.tree}")]
        # The experiment's changes come with the first look-up: nearly always there are none, and that is all.
        about = [records.experiment_key(self.project, self.experiment)] if self._members is None else []
        found = self.ledger.find(*keys, *(about if self.experiment else []))
        adopted = {record.read(Adoption).run_id for record in found if record.kind == "adoption"}
        missing = adopted - {record.body["run_id"] for record in found if record.kind == "run"}
        if missing:
            found = changes.in_order([*found, *self.ledger.find(*(f"run/{run_id}" for run_id in sorted(missing)))])
        members = self._called(found)
        states = changes.of_runs(found)
        endings: dict[str, RecordedRun] = {}
        for record in found:
            run = record.read(Run) if record.kind == "run" else None
            if run and run.project == self.project and (not self.experiment or run.experiment in members):
                state = states.get(run.run_id, RunState())
                of_experiment = members[run.experiment].deleted if self.experiment else None
                candidate = RecordedRun(record, run, state.deleted or of_experiment, state.restored)
                endings.setdefault(run.run_key, candidate)
        return list(endings.values())

    def _called(self, found: Sequence[Record]) -> dict[str, ExperimentState]:
        """What the name of the experiment means, by the name that runs were recorded with."""
        if self._members is None:
            around = (
                find_experiments.around(self.ledger, self.project, self.experiment, found) if self.experiment else {}
            )
            self._members = {state.identity: state for state in changes.called(around, self.experiment)}
        return self._members


def age_s(record: Record) -> float:
    """Seconds since *record* was written, at least 0: clocks differ."""
    return max(0.0, (records.moment(records.now()) - records.moment(record.time)).total_seconds())


def history_of(checkout: Checkout, *revisions: str) -> Checkout:
    """What knows the ancestors of *revisions*: *checkout*, unless it is shallow and its remote can be asked."""
    shas = [revision for revision in revisions if re.fullmatch("[0-9a-f]{40,64}", revision)]
    return deepened(checkout, shas, depth=_HISTORY)


def start_of(checkout: Checkout, trained_sha: str, base_sha: str, head_sha: str) -> str:
    """Where to start: the trained merge commit's first parent, else the merge base with *base_sha*."""
    parents = checkout.parents(trained_sha)
    if trained_sha != head_sha and len(parents) > 1:
        return parents[0]
    if base_sha:
        merge_base = checkout.merge_base(base_sha, trained_sha)
        if merge_base and merge_base != trained_sha:
            return merge_base
    return parents[0] if parents else ""


def _bites(history: Sequence[Commit]) -> Iterator[tuple[int, Sequence[Commit]]]:
    first = 0
    for size in _BITES:
        if first < len(history):
            yield first, history[first : first + size]
        first += size
