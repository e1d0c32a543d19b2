"""`mlops-ci deploy`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from mlops_ci.cli import show


@click.command()
@click.argument("target")
@click.option("--version", default="", metavar="VERSION", help="The newest registered version, unless named.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, target: str, version: str, json_output: bool) -> None:
    """Deploy a version to TARGET.

    The rules of the default branch decide. Where approval is needed and not there yet, it is asked for, and
    the command is refused with exit code 4; run it again once it is given.
    """
    from mlops_ci.lifecycle.deploy import deploy

    project = show.project_of(ctx)
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
        deployed = deploy(project, target, version=version, into=Path(folder))
    deployment = deployed.deployment
    if json_output:
        show.json({"record": deployed.record_id, "new": deployed.new, "deployment": deployment})
        return
    plan = deployment.plan
    what = "is live" if deployed.new else "was live already"
    click.echo(f"{plan.model} {plan.version} {what} on {plan.target}: {deployment.url}")
    if deployment.smoke and deployed.new:
        click.echo(f"smoke test: the model's own example was answered as expected in {deployment.smoke.latency_ms} ms")
    click.echo(f"record {deployed.record_id[:12]}")
