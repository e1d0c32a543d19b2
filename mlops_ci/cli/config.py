"""`mlops-ci config`."""

from __future__ import annotations

import click

from mlops_ci.cli import show


@click.group()
def command() -> None:
    """Check mlops.yaml, or print its schema."""


@command.command("check")
@click.pass_context
@show.exits
def check(ctx: click.Context) -> None:
    """Read mlops.yaml and report everything that is wrong with it."""
    project = show.project_of(ctx)
    gates, targets = len(project.config.gates), len(project.config.targets)
    click.echo(f"{project.config.project}: {gates} gates, {targets} targets, nothing is wrong")


@command.command("schema")
@show.exits
def schema() -> None:
    """Print the JSON Schema of mlops.yaml."""
    from mlops_ci import config

    show.json(config.schema())
