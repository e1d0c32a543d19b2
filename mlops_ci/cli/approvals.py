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
    from mlops_ci.lifecycle import policy
    from mlops_ci.lifecycle.approvals.approve import asked_for
    from mlops_ci.records import timestamp

    project = policy.ruled(show.project_of(ctx))
    show.left_out(ctx, project)
    found = asked_for(project)
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
                    "approvals": len(stand.counted) if stand else None,
                    "rejected": stand.rejected if stand else "",
                    "discounted": stand.discounted if stand else [],
                }
                for asked, stand in found
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
            ("rejected" if stand.rejected else str(len(stand.counted))) if stand else "",
        )
        for asked, stand in reversed(found)
    ]
    headings = ("plan", "target", "version", "asked by", "asked", "state", "approvals")
    show.table(headings, rows, empty="nothing is asked for")
