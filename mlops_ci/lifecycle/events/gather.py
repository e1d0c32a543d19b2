"""The verdicts of all jobs of a matrix, found in the ledger: each job recorded its own and saw no other."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_ci.ci import Event
from mlops_ci.entities import GateReport, Run
from mlops_ci.errors import IntegrityError
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record


def gathered(project: Project, event: Event, own: Sequence[GateReport]) -> list[GateReport]:
    """
    The newest verdict of each job of this CI run that has one, *own* among them, ordered by the job's cell.

    Without a matrix that is *own*. A job that was run again counts with its last attempt.

    Raises:
        ServiceError: The ledger did not answer.
    """
    if event.run.cells <= 1 or not own:
        return list(own)
    runs = {
        record.body["run_id"]: run
        for record in project.ledger.find(f"sha/{own[0].candidate.sha}")
        if (run := run_in(record)) is not None and _is_of(run, project, event)
    }
    newest: dict[str, GateReport] = {}
    for record in project.ledger.find(*(f"run/{run_id}" for run_id in runs)) if runs else []:
        if record.kind == "verdict" and (report := _report(record)) is not None and report.ci is not None:
            before = newest.get(report.ci.cell)
            if before is None or before.ci is None or before.ci.attempt <= report.ci.attempt:
                newest[report.ci.cell] = report
    newest |= {report.ci.cell if report.ci else "": report for report in own}
    return [newest[cell] for cell in sorted(newest)]


def _is_of(run: Run, project: Project, event: Event) -> bool:
    mine = run.project == project.config.project and run.experiment == project.experiment
    return mine and run.ci is not None and run.ci.run_id == event.run.run_id


def run_in(record: Record) -> Run | None:
    """The run in *record*; None if it holds none, for anybody who may push may have written it."""
    try:
        return record.read(Run) if record.kind == "run" else None
    except IntegrityError:
        return None


def _report(record: Record) -> GateReport | None:
    try:
        return record.read(GateReport)
    except IntegrityError:
        return None
