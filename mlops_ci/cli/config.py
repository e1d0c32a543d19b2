"""`mlops-ci config`."""

from __future__ import annotations

import click

from mlops_ci.cli import show


@click.group()
def command() -> None:
    """Check mlops.yaml and .mlops/waivers.yaml, or print their schemas."""


@command.command("check")
@click.pass_context
@show.exits
def check(ctx: click.Context) -> None:
    """Read mlops.yaml and .mlops/waivers.yaml and report everything that is wrong with them."""
    from mlops_ci import gates, records
    from mlops_ci.lifecycle import policy
    from mlops_ci.numerals import count

    project = show.project_of(ctx)
    config = project.config
    waivers = policy.in_work_tree(project.checkout, config, name=project.config_name).waivers
    for note in gates.Waivers(waivers, records.moment(records.now()).date()).notes(config.gates):
        show.notifier(ctx)(f"warning: {note}")
    numbers = [count(len(config.gates), "gate"), count(len(config.targets), "target"), count(len(waivers), "waiver")]
    click.echo(f"{config.project}: {', '.join(numbers)}, nothing is wrong")


@command.command("schema")
@click.option("--waivers", is_flag=True, help="That of .mlops/waivers.yaml.")
@show.exits
def schema(*, waivers: bool) -> None:
    """Print the JSON Schema of mlops.yaml."""
    from mlops_ci import config

    show.json(config.waivers_schema() if waivers else config.schema())
