"""`mlops-ci approvals`."""

from __future__ import annotations

import click

from mlops_ci.cli import show


@click.command()
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, json_output: bool) -> None:
    """List the decisions that are asked for."""
    from mlops_ci.lifecycle.approve import requests
    from mlops_ci.records import timestamp

    found = requests(show.project_of(ctx))
    if json_output:
        show.json(
            [
                {
                    "record": asked.record.id,
                    "time": asked.record.time,
                    "author": asked.record.author,
                    "state": asked.state,
                    "expires": timestamp(asked.expires),
                    "request": asked.request,
                }
                for asked in found
            ]
        )
        return
    rows = [
        (
            asked.request.plan_digest.removeprefix("sha256:")[:12],
            asked.request.plan.target,
            f"{asked.request.plan.model} {asked.request.plan.version}",
            asked.record.author.name,
            show.ago(asked.record.time),
            f"open until {asked.expires:%Y-%m-%dT%H:%MZ}" if asked.state == "open" else asked.state,
        )
        for asked in reversed(found)
    ]
    show.table(("plan", "target", "version", "asked by", "asked", "state"), rows, empty="nothing is asked for")
