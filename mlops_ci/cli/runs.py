"""`mlops-ci runs`."""

from __future__ import annotations

import click

from mlops_ci.cli import show


@click.group(invoke_without_command=True)
@click.option("-n", "--limit", default=20, show_default=True, help="How many.")
@click.option("--order-by", default="started", metavar="KEY", help="started, duration_s, or metrics.<name>.")
@click.option("--ascending", is_flag=True, help="Smallest, or oldest, first.")
@click.option("--branch", help="Only of this branch.")
@click.option("--status", type=click.Choice(["finished", "failed", "killed"]), help="Only with this status.")
@show.as_json
@click.pass_context
def command(
    ctx: click.Context,
    limit: int,
    order_by: str,
    ascending: bool,
    branch: str | None,
    status: str | None,
    json_output: bool,
) -> None:
    """List runs, or show one."""
    if ctx.invoked_subcommand is not None:
        return
    from mlops_ci.lifecycle.synchronize import open_projection

    project = show.project_of(ctx)
    with open_projection(project) as store:
        runs = store.runs(branch=branch, status=status, order_by=order_by, descending=not ascending, limit=limit)
    if json_output:
        show.json(runs)
        return
    rows = []
    for found in runs:
        run = found.entity
        metrics = ", ".join(f"{name} {metric.last:.4g}" for name, metric in sorted(run.metrics.items())[:3])
        dirty = "+" if run.git.dirty else ""
        rows.append(
            (run.run_id, show.ago(run.ended), run.git.branch, run.git.trained_sha[:7] + dirty, run.status, metrics)
        )
    show.table(("run", "ended", "branch", "commit", "status", "metrics"), rows, empty="no run is recorded yet")


@command.command("show")
@click.argument("run_id")
@show.as_json
@click.pass_context
@show.exits
def show_run(ctx: click.Context, run_id: str, json_output: bool) -> None:
    """Show one run; the first digits of its id are enough."""
    from mlops_ci.lifecycle.synchronize import open_projection

    with open_projection(show.project_of(ctx)) as store:
        found = store.run(run_id)
    run = found.entity
    if json_output:
        show.json({"record": found.record_id, "run": run})
        return
    where = run.git.branch or "a detached HEAD"
    click.echo(f"run {run.run_id} {run.status}, {run.duration_s:.1f} s, commit {run.git.trained_sha} on {where}")
    click.echo(f"command  {' '.join(run.command)}")
    rows = [("param", name, str(value)) for name, value in sorted(run.params.items())]
    rows += [("metric", name, f"{metric.last:.6g}") for name, metric in sorted(run.metrics.items())]
    rows += [("data", dataset.name, f"{dataset.path} {dataset.digest[:19]}") for dataset in run.data]
    rows += [("artifact", file.path, f"{file.size_bytes:,} bytes") for file in run.artifacts]
    show.table(("", "name", "value"), rows, empty="it logged nothing")
