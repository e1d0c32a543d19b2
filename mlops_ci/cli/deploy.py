"""`mlops-ci deploy`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.lifecycle.deploying.deploy import Preview
    from mlops_ci.lifecycle.deploying.performing import Deployed

_REFUSED = 4


@click.command()
@click.argument("target")
@click.option("--version", default="", metavar="VERSION", help="The newest registered version, unless named.")
@click.option("--plan", default="", metavar="DIGEST", help="Only if the plan has this digest, or begins with it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and whether it may be.")
@click.option("--diff", is_flag=True, help="As --dry-run, with every line that would change there.")
@show.as_json
@click.pass_context
@show.exits
def command(
    ctx: click.Context, target: str, version: str, plan: str, dry_run: bool, diff: bool, json_output: bool
) -> int | None:
    """Deploy a version to TARGET.

    The rules of the default branch decide. Where approval is needed and not there yet, it is asked for, and
    the command is refused with exit code 4; run it again once it is given.
    """
    from mlops_ci.lifecycle.deploying.deploy import deploy, preview

    project = show.project_of(ctx)
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
        if dry_run or diff:
            return _preview(preview(project, target, version=version, into=Path(folder)), diff, json_output)
        done = deploy(project, target, version=version, plan=plan, into=Path(folder), tell=show.notifier(ctx))
        tell(done, json_output)
    return None


def tell(deployed: Deployed, json_output: bool) -> None:
    """Say what a command deployed."""
    deployment = deployed.deployment
    if json_output:
        show.json({"record": deployed.record_id, "new": deployed.new, "deployment": deployment})
        return
    plan = deployment.plan
    what = ("is live again" if deployment.cause == "rollback" else "is live") if deployed.new else "was live already"
    click.echo(f"{plan.model} {plan.version} {what} on {plan.target}: {deployment.url}")
    if deployment.smoke and deployed.new:
        click.echo(f"smoke test: the model's own example was answered as expected in {deployment.smoke.latency_ms} ms")
    click.echo(f"record {deployed.record_id[:12]}")


def _preview(found: Preview, diff: bool, json_output: bool) -> int:
    made, plan = found.prospect, found.prospect.plan
    code = _REFUSED if found.refusal else 0
    if json_output:
        show.json({"plan": plan, "digest": made.digest, "changes": found.changes, "refusal": found.refusal})
        return code
    click.echo(f"{plan.model} {plan.version} on {plan.target}: plan {made.digest.removeprefix('sha256:')[:12]}")
    click.echo(f"image {plan.image}" if plan.image else f"model {plan.model_digest.removeprefix('sha256:')[:12]}")
    for change in found.changes:
        if change.action != "same":
            click.echo(f"{_SIGNS[change.action]} {change.what}")
            show.diff(change.diff if diff else "")
    same = sum(change.action == "same" for change in found.changes)
    if same:
        click.echo(f"{same} of {len(found.changes)} would stay as they are")
    if found.refusal:
        click.echo(f"it would be refused now: {found.refusal}")
    return code


_SIGNS = {"create": "+", "update": "~", "delete": "-"}
