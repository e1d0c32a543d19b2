"""`mlops-ci sync`."""

from __future__ import annotations

import click

from mlops_ci.cli import show


@click.command()
@click.option("--fold", is_flag=True, help="Also pack old records more tightly, as many as one push takes.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, fold: bool, json_output: bool) -> None:
    """Send what waits here: records and artifacts that the remote has not seen, runs that were killed."""
    from mlops_ci.lifecycle.synchronize import synchronize

    done = synchronize(show.project_of(ctx), fold=fold)
    if json_output:
        show.json(done)
        return
    sent = f"{done.records_sent} records and {done.artifacts_sent} artifacts"
    click.echo(f"took in {done.taken_in} runs, sent {sent}; {done.waiting} wait")
    if done.foldable is not None:
        more = f"; {done.foldable} are still refs of their own, so run it again" if done.foldable else ""
        click.echo(f"folded {done.folded} records{more}")
