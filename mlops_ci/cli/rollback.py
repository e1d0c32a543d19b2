"""`mlops-ci rollback`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from mlops_ci.cli import show
from mlops_ci.cli.deploy import tell


@click.command()
@click.argument("target")
@click.option("--to", default="", metavar="VERSION", help="One that was live there; the one before, unless named.")
@click.option("--reason", default="", help="Why, for the record.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, target: str, to: str, reason: str, json_output: bool) -> None:
    """Put back on TARGET what was live there before, by its own recorded manifests.

    Nobody is asked again: it was agreed to when it was deployed. Freeze windows do not hold it up, locks do.
    """
    from mlops_ci.lifecycle.deploying.roll_back import roll_back

    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
        project, notify = show.project_of(ctx), show.notifier(ctx)
        tell(roll_back(project, target, to=to, reason=reason, into=Path(folder), tell=notify), json_output)
