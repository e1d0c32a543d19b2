"""`mlops-ci deployments`."""

from __future__ import annotations

import click

from mlops_ci.cli import show


@click.group(invoke_without_command=True)
@show.as_json
@click.pass_context
def command(ctx: click.Context, json_output: bool) -> None:
    """List deployments: who put what where, and when."""
    if ctx.invoked_subcommand is not None:
        return
    from mlops_ci.entities import Deployment
    from mlops_ci.lifecycle.deployments import deployments

    project = show.project_of(ctx)
    found = [record for target in project.config.targets for record in deployments(project, target)]
    found.sort(key=lambda record: record.time, reverse=True)
    if json_output:
        show.json(
            [{"record": record.id, "time": record.time, "deployment": record.read(Deployment)} for record in found]
        )
        return
    rows = []
    for record in found:
        deployment = record.read(Deployment)
        plan = deployment.plan
        rows.append(
            (
                record.id[:12],
                plan.target,
                f"{plan.model} {plan.version}",
                deployment.status,
                show.ago(record.time),
                record.author.name,
                deployment.url or deployment.reason,
            )
        )
    show.table(
        ("record", "target", "version", "outcome", "when", "by", "where"), rows, empty="nothing was deployed yet"
    )


@command.command("stop")
@click.argument("target")
@click.pass_context
@show.exits
def stop(ctx: click.Context, target: str) -> None:
    """End what runs on TARGET, if it was deployed from here."""
    from mlops_ci.lifecycle.deploy import stop as stop_target

    stopped = stop_target(show.project_of(ctx), target)
    click.echo(f"{target} is stopped" if stopped else f"nothing of ours runs on {target}")
