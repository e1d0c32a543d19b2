"""`mlops-ci runs best`."""

from __future__ import annotations

from typing import Literal

import click

from mlops_ci.cli import show


@click.command("best")
@click.option("-m", "--metric", metavar="NAME", help="What decides; the first gate's metric unless given.")
@click.option("--better", type=click.Choice(["higher", "lower"]), help="Known for the usual names, and for gates.")
@click.option("-e", "--experiment", metavar="NAME", help="Only of this experiment.")
@click.option("--archived", is_flag=True, help="Also of archived experiments.")
@show.as_json
@click.pass_context
@show.exits
def command(
    ctx: click.Context,
    metric: str | None,
    better: Literal["higher", "lower"] | None,
    experiment: str | None,
    archived: bool,
    json_output: bool,
) -> None:
    """Show the best finished run of each experiment, or of one.

    The last value counts, if it is finite; of equals the run that started first.
    """
    from mlops_ci.lifecycle.queries.query_runs import metric_and_direction, scope_of
    from mlops_ci.lifecycle.synchronize import open_projection

    project = show.project_of(ctx)
    name, higher = metric_and_direction(project, metric, better)
    scope = scope_of(project, experiment=experiment, archived=archived)
    with open_projection(project) as store:
        runs = store.best_of_each(name, higher_is_better=higher, scope=scope)
    if json_output:
        show.json(runs)
        return
    rows = [
        (
            found.experiment,
            f"{found.entity.metrics[name].last:.6g}",
            found.entity.run_id,
            show.ago(found.entity.ended),
            found.entity.git.branch,
            found.entity.git.trained_sha[:7] + ("+" if found.entity.git.dirty else ""),
        )
        for found in runs
    ]
    columns = ("experiment", name, "run", "ended", "branch", "commit")
    show.table(columns, rows, empty=f"no finished run has a finite {name}")
