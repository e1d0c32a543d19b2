"""`mlops-ci restore`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_ci.cli import show
from mlops_ci.cli.progress import progress


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--check", "check_only", is_flag=True, help="Verify every byte of FILE, and write nothing.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, file: Path, check_only: bool, json_output: bool) -> None:
    """Bring back what `mlops-ci backup` wrote to FILE, as far as it is missing here.

    All of FILE is verified before anything is written. What is there already stays as it is, and what was
    interrupted can be run again. Any kind of ledger and store can be restored into any other.
    """
    from mlops_ci.cli.backup import count, say
    from mlops_ci.lifecycle.backups.back_up import check, restore

    if check_only:
        with progress(ctx) as told:
            found = check(file, told)
        show.json(found) if json_output else say(found)
        return
    with progress(ctx) as told:
        done = restore(show.project_of(ctx), file, progress=told)
    if json_output:
        show.json(done)
        return
    new = ", ".join(
        count(number, noun)
        for number, noun in ((done.records, "record"), (done.claims, "claim"), (done.artifacts, "artifact"))
        if number
    )
    click.echo(f"restored {new}" if new else "everything in the backup is here already")
    if done.there and new:
        click.echo(f"{count(done.there, 'record')} here already")
    if done.left_out:
        click.echo(f"{count(done.left_out, 'artifact')} that records name could not be had for the backup")
