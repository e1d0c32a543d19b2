"""`mlops-ci approve`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_ci.cli import show


@click.command()
@click.argument("plan")
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Your SSH key; its public half stands in .mlops/allowed_signers on the default branch.",
)
@click.option("--reject", default="", metavar="REASON", help="Say no, and why.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, plan: str, key: Path, reject: str, json_output: bool) -> None:
    """Sign a decision on the deployment whose plan's digest starts with PLAN.

    `mlops-ci approvals` lists what is asked for.
    """
    from mlops_ci.lifecycle.approvals.approve import decide

    decision, reached = decide(show.project_of(ctx), plan, key=key, reject=reject)
    if json_output:
        show.json({"reached": reached, "decision": decision})
        return
    verb = "rejected" if reject else "approved"
    click.echo(
        f"{decision.approver} {verb} plan {decision.plan_digest.removeprefix('sha256:')[:12]} for {decision.target}"
    )
    if reached:
        click.echo(f"that is all it needs: `mlops-ci deploy {decision.target}`")
