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
    from mlops_ci import records
    from mlops_ci.entities import ApprovalRequest
    from mlops_ci.lifecycle.approve import requests

    found = [(record, record.read(ApprovalRequest)) for record in requests(show.project_of(ctx))]
    if json_output:
        show.json(
            [
                {"record": record.id, "time": record.time, "author": record.author, "request": asked}
                for record, asked in found
            ]
        )
        return
    rows = [
        (
            asked.plan_digest.removeprefix("sha256:")[:12],
            asked.plan.target,
            f"{asked.plan.model} {asked.plan.version}",
            record.author.name,
            show.ago(record.time),
            "expired" if asked.expires <= records.now() else f"open until {asked.expires[:16]}Z",
        )
        for record, asked in reversed(found)
    ]
    show.table(("plan", "target", "version", "asked by", "asked", "state"), rows, empty="nothing is asked for")
