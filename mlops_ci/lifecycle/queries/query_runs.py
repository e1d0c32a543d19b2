"""Find runs: by a filter, in an order, the best; and as flat rows, the way that tables and MLflow's users know them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlops_ci.errors import UsageError
from mlops_ci.gates.directions import direction_of
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.synchronize import open_projection

if TYPE_CHECKING:
    from mlops_ci.store import FoundRun, Scope

_MOST = 1000

HEAD = (
    "run_id",
    "project",
    "experiment",
    "status",
    "started",
    "ended",
    "duration_s",
    "sha",
    "branch",
    "dirty",
    "improvised",
    "author",
    "note",
    "deleted",
)
"""The columns of a flat row that every run has."""


def search_runs(
    filter: str = "",  # noqa: A002  # short, and what a filter is called
    *,
    order_by: str | Sequence[str] = (),
    limit: int = _MOST,
    experiment: str | None = None,
    path: str | Path = ".",
) -> list[dict[str, Any]]:
    """
    Return the runs for which *filter* holds, each as a flat row: `pandas.DataFrame(search_runs())` is a table of them.

    Args:
        filter: As in `metrics.accuracy > 0.9 and params.model = 'rf'`; empty for all.
        order_by: As in `metrics.accuracy desc`, or a list of such; the latest start first unless given.
        limit: How many at most.
        experiment: Only of this one, as it is called now.
        path: Where in the checkout of the project to look; the working directory unless given.

    Returns:
        A dict for each run: `run_id`, `status`, `started`, …, and what it logged as `params.<name>` (typed),
        `metrics.<name>` (its last value) and `tags.<name>`. Runs and experiments that were deleted or archived
        are left out.

    Raises:
        UsageError: The filter or the order cannot be read, or *path* is in no project.
        ServiceError: The ledger did not answer.
    """
    project = Project.open(Path(path))
    with open_projection(project) as store:
        scope = scope_of(project, experiment=experiment)
        return [row(run) for run in store.search(filter, order_by=order_by, limit=limit, scope=scope).runs]


def scope_of(
    project: Project, *, experiment: str | None = None, archived: bool = False, deleted: bool = False
) -> Scope:
    """Of *project*: one experiment or all."""
    from mlops_ci.store import Scope  # noqa: PLC0415  # SQLAlchemy is loaded only for queries

    return Scope(project=project.config.project, experiment=experiment, archived=archived, deleted=deleted)


def row(found: FoundRun) -> dict[str, Any]:
    """The run as a flat row."""
    run = found.entity
    head = {
        "run_id": run.run_id,
        "project": run.project,
        "experiment": found.experiment,
        "status": run.status,
        "started": run.started,
        "ended": run.ended,
        "duration_s": run.duration_s,
        "sha": run.git.trained_sha,
        "branch": run.git.branch,
        "dirty": run.git.dirty,
        "improvised": run.improvised,
        "author": found.author.name,
        "note": found.note,
        "deleted": found.deleted,
    }
    params = {f"params.{name}": value for name, value in run.params.items()}
    metrics = {f"metrics.{name}": metric.last for name, metric in run.metrics.items()}
    return head | params | metrics | {f"tags.{name}": text for name, text in found.tags.items()}


def metric_and_direction(
    project: Project, metric: str | None, better: Literal["higher", "lower"] | None
) -> tuple[str, bool]:
    """
    Which metric decides what is best, and whether higher is better: the first gate's unless one is named.

    Raises:
        UsageError: No metric is named anywhere, or nobody says which way it is better.
    """
    gates = project.config.gates
    if metric is None and not gates:
        raise UsageError("which metric decides what is best?", hint="name it: `mlops-ci runs best --metric NAME`")
    name = metric or gates[0].metric
    gated = next((gate.better for gate in gates if gate.metric == name and gate.better), None)
    direction = better or gated or direction_of(name)
    if direction is None:
        raise UsageError(f"is a higher or a lower {name} better?", hint="say it: --better higher, or --better lower")
    return name, direction == "higher"
