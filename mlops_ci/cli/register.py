"""`mlops-ci register`."""

from __future__ import annotations

import click

from mlops_ci.cli import show


@click.command()
@click.argument("tag")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, tag: str, json_output: bool) -> None:
    """Turn the run of a tagged commit into a model version.

    TAG is a git tag such as churn@v1.4.0 (`registry: tag:` is the pattern). Registering the same bytes again
    changes nothing; other bytes are refused.
    """
    from mlops_ci.lifecycle.register_model import register

    registered = register(show.project_of(ctx), tag)
    version = registered.version
    if json_output:
        show.json({"record": registered.record_id, "new": registered.new, "version": version})
        return
    what = "registered" if registered.new else "was registered already"
    click.echo(f"{version.model} {version.version} {what}: run {version.run_id} of commit {version.sha[:7]}")
    click.echo(f"model  {version.artifact.flavor}, {version.artifact.digest}")
    click.echo(f"record {registered.record_id[:12]}")
