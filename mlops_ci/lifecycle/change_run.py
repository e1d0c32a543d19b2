"""
Change a run that was recorded: delete it, bring it back, tag it, note something.

Each is a record of its own; that of the run stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mlops_ci import changes, git, records
from mlops_ci.changes import RunState
from mlops_ci.entities import ModelVersion, Run, RunChange
from mlops_ci.errors import Refused
from mlops_ci.lifecycle.named_bytes import artifacts_in
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.synchronize import open_projection
from mlops_ci.records import Record


@dataclass(frozen=True)
class Changed:
    """
    The ids of the runs that were changed, and of those that were so already.

    *collected* are those of them whose artifacts are gone. *sent* is False while the ledger's remote has not seen it.
    """

    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    collected: tuple[str, ...] = ()
    sent: bool = True


def delete(project: Project, runs: Sequence[str], *, reason: str = "") -> Changed:
    """
    Delete *runs* (ids, or how they start), all or none: hidden, no baseline, not reused, until they are restored.

    Raises:
        NotFound: No such run.
        UsageError: Several start so.
        Refused: A registered version names one of them.
        ServiceError: The ledger did not answer.
    """

    def change(_run: Run, state: RunState, fields: RunChange) -> RunChange | None:
        return None if state.deleted else records.replace(fields, deleted=True, reason=reason)

    return _change(project, runs, change, check=lambda found: _refuse_registered(project, found))


def restore(project: Project, runs: Sequence[str], *, reason: str = "") -> Changed:
    """Undo `delete`, and say whose artifacts were collected meanwhile. Raises as `delete`, but for `Refused`."""

    def change(_run: Run, state: RunState, fields: RunChange) -> RunChange | None:
        return records.replace(fields, deleted=False, reason=reason) if state.deleted else None

    done = _change(project, runs, change)
    return replace(done, collected=_collected(project, done.changed)) if done.changed else done


def tag(project: Project, run_id: str, tags: Mapping[str, str | None]) -> Changed:
    """Give the run *run_id* (or how that starts) *tags*; a tag that is None is taken away. Raises as `restore`."""

    def change(run: Run, state: RunState, fields: RunChange) -> RunChange | None:
        now = {**run.tags, **state.tags}
        new = {name: value for name, value in tags.items() if now.get(name) != value}
        return records.replace(fields, tags=new) if new else None

    return _change(project, [run_id], change)


def note(project: Project, run_id: str, text: str) -> Changed:
    """Note *text* about the run *run_id* (or how that starts), in place of what was noted. Raises as `restore`."""

    def change(_run: Run, state: RunState, fields: RunChange) -> RunChange | None:
        return records.replace(fields, note=text) if text != state.note else None

    return _change(project, [run_id], change)


def _change(
    project: Project,
    prefixes: Sequence[str],
    change: Callable[[Run, RunState, RunChange], RunChange | None],
    *,
    check: Callable[[Sequence[Record]], None] | None = None,
) -> Changed:
    """Write what *change* makes of each run's state, in one append; None where nothing is to be done."""
    with open_projection(project, up_to_date=True) as store:
        runs = {run.run_id: run for run in (store.run(prefix).entity for prefix in prefixes)}
    found = project.ledger.find(*(f"run/{run_id}" for run_id in runs))
    states = changes.of_runs(found)
    new: dict[str, Record] = {}
    for run_id, run in runs.items():
        shas = git.unique([run.git.trained_sha, run.git.head_sha])
        state = states.get(run_id, RunState())
        body = change(run, state, RunChange(run_id=run_id, shas=shas, tree=run.git.tree))
        if body is not None:
            new[run_id] = records.new(body, author=project.author, time=changes.time_after(state.last))
    if check is not None:
        check([record for record in found if record.body.get("run_id") in new])
    sent = project.ledger.append(list(new.values()))
    return Changed(tuple(new), tuple(run_id for run_id in runs if run_id not in new), sent=sent)


def _refuse_registered(project: Project, found: Sequence[Record]) -> None:
    """
    A version names its run for good, and what explains it must stay where people look.

    (Whoever registers while somebody deletes is not stopped; the version's record keeps the bytes all the same.)
    """
    for record in found:
        if record.kind != "version":
            continue
        version = record.read(ModelVersion)
        name = f"version/{version.model}/{version.version}"
        holder = project.ledger.claims(name).get(name)
        if holder is not None and holder.id == record.id:
            raise Refused(
                f"run {version.run_id} cannot be deleted: {version.model} {version.version} was registered of it",
                hint="`mlops-ci runs note` says of a run what others should know",
            )


def _collected(project: Project, run_ids: Sequence[str]) -> tuple[str, ...]:
    """Those of the runs that lack some of the bytes that they name."""
    stored = {each.digest for each in project.artifacts.stored()}
    found = project.ledger.find(*(f"run/{run_id}" for run_id in run_ids))
    return tuple(
        record.body["run_id"]
        for record in found
        if record.kind == "run" and not stored.issuperset(digest for digest, _ in artifacts_in(record.body))
    )
