"""
What was changed of runs and experiments after they were recorded, read from the records that say so. Pure.

Of each thing the latest change by time and record id counts, so clocks that differ make no two readers disagree.
An experiment is one by the name that its runs were recorded with, whatever it is called since: its identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from mlops_ci import records
from mlops_ci.entities import ExperimentChange, RunChange
from mlops_ci.records import Record


@dataclass(frozen=True)
class RunState:
    """
    What a run is since it was recorded.

    *deleted* is the record that deleted it, while it is; *restored* says that one did, once. *last* is the latest
    change of all, and *tags* are those that were changed (None: taken away).
    """

    deleted: Record | None = None
    restored: bool = False
    tags: Mapping[str, str | None] = field(default_factory=dict)
    note: str = ""
    last: Record | None = None

    def tagged(self, recorded: Mapping[str, str]) -> dict[str, str]:
        """The tags by now, of a run that was *recorded* with these."""
        return {name: text for name, text in {**recorded, **self.tags}.items() if text is not None}


@dataclass(frozen=True)
class ExperimentState:
    """What an experiment is by now; *deleted* is the record that deleted it, while it is."""

    identity: str
    name: str
    archived: bool = False
    deleted: Record | None = None
    last: Record | None = None


def of_runs(found: Iterable[Record]) -> dict[str, RunState]:
    """The state of every run that *found* has a change of, by run id."""
    states: dict[str, RunState] = {}
    for record in in_order(found):
        if record.kind != "run-change":
            continue
        change = record.read(RunChange)
        before = states.get(change.run_id, RunState())
        state = replace(before, tags={**before.tags, **change.tags}, last=record)
        if change.deleted is not None:
            restored = not change.deleted and (before.restored or before.deleted is not None)
            state = replace(state, deleted=record if change.deleted else None, restored=restored)
        states[change.run_id] = state if change.note is None else replace(state, note=change.note)
    return states


def of_experiments(found: Iterable[Record], project: str) -> dict[str, ExperimentState]:
    """The state of every experiment of *project* that *found* has a change of, by identity."""
    states: dict[str, ExperimentState] = {}
    for record in in_order(found):
        if record.kind != "experiment-change":
            continue
        change = record.read(ExperimentChange)
        if change.project != project:
            continue
        state = replace(
            states.get(change.experiment, ExperimentState(change.experiment, change.experiment)), last=record
        )
        if change.name is not None:
            state = replace(state, name=change.name)
        if change.archived is not None:
            state = replace(state, archived=change.archived)
        if change.deleted is not None:
            state = replace(state, deleted=record if change.deleted else None)
        states[change.experiment] = state
    return states


def called(states: Mapping[str, ExperimentState], name: str) -> list[ExperimentState]:
    """
    Those of *states* that *name* means: what is called so; if nothing is, what was recorded so and is called otherwise.

    They are several where an experiment was renamed and its configuration as well: runs after that have the new name.
    """
    found = [state for state in states.values() if state.name == name]
    if not found and name in states:
        found = [state for state in states.values() if state.name == states[name].name]
    return found


def in_order(found: Iterable[Record]) -> list[Record]:
    """*found* by time and then id, each once."""
    unique = {record.id: record for record in found}
    return sorted(unique.values(), key=lambda record: (record.time, record.id))


def time_after(last: Record | None) -> str:
    """Now; or just after *last*, where a clock ran ahead: what is changed now must count as the latest."""
    now = records.now()
    if last is None or last.time < now:
        return now
    return records.timestamp(records.moment(last.time) + timedelta(microseconds=1))


def deletion(record: Record) -> str:
    """Who deleted it, when and why: the end of a sentence."""
    reason = f": {record.body['reason']}" if record.body.get("reason") else ""
    return f"deleted by {record.author.name} on {record.time[:10]}{reason}"
