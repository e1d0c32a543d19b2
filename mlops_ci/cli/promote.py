"""`mlops-ci promote`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from mlops_ci.cli import show
from mlops_ci.cli.deploy import tell


@click.command()
@click.argument("source")
@click.argument("target")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, source: str, target: str, json_output: bool) -> None:
    """Deploy to TARGET the version that is live on SOURCE.

    The rules of the default branch decide, as for `deploy`.
    """
    from mlops_ci.lifecycle import policy
    from mlops_ci.lifecycle.deploying.deploy import deploy
    from mlops_ci.lifecycle.deployments import version_on

    project = show.project_of(ctx)
    version = version_on(policy.ruled(project), source)
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
        tell(deploy(project, target, version=version, into=Path(folder), tell=show.notifier(ctx)), json_output)
