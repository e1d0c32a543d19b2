"""`mlops-ci backup`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mlops_ci.cli import show
from mlops_ci.cli.progress import progress

if TYPE_CHECKING:
    from mlops_ci.lifecycle.backups.back_up import Verified


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--no-artifacts", is_flag=True, help="Records and claims only.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, file: Path, no_artifacts: bool, json_output: bool) -> int:
    """Write every record, claim and artifact to FILE, a zip file, and verify it.

    It appears whole or not at all, and replaces nothing. Exits with 4 if bytes that somebody needs could not be
    had; the file has everything else. `mlops-ci restore` brings it back, into any kind of ledger and store.
    """
    from mlops_ci.errors import IntegrityError
    from mlops_ci.lifecycle.backups.back_up import back_up

    # A job that is cancelled leaves no half of a file.
    signal.signal(signal.SIGTERM, _interrupt)
    with progress(ctx) as told:
        done = back_up(show.project_of(ctx), file, with_artifacts=not no_artifacts, progress=told)
    if json_output:
        show.json(done)
    else:
        say(done)
        for digest in done.lost:
            click.echo(f"lost: {done.left_out[digest]}", err=True)
    return IntegrityError.exit_code if done.lost else 0


def say(done: Verified) -> None:
    """What is in a backup, in two lines."""
    held = [count(done.records, "record"), count(done.claims, "claim")]
    held += [f"{count(done.artifacts, 'artifact')} of {done.artifact_bytes:,} bytes"] if done.with_artifacts else []
    click.echo(f"{done.path} is verified: {', '.join(held)}")
    click.echo(f"{done.size_bytes:,} bytes, sha256:{done.sha256}")
    if done.left_out:
        left_out = f"{count(len(done.left_out), 'artifact')} that records name could not be had"
        click.echo(f"{left_out}; {len(done.lost)} of them are of something that was not deleted")


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}{'s'[: number != 1]}"


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt
