"""`mlops-ci init`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops_ci.cli import show


@click.command()
@click.option("--name", default="", help="The project's; the folder's name unless given.")
@click.option("--example", is_flag=True, help="Also write a training script with data that works as it is.")
@click.option(
    "--ports", nargs=2, type=int, default=(3001, 3002), show_default=True, help="Of the example's two local targets."
)
@click.option("--one-step", is_flag=True, help="One job that trains and records, and trusts everyone who can push.")
@click.pass_context
@show.exits
def command(ctx: click.Context, name: str, example: bool, ports: tuple[int, int], one_step: bool) -> None:
    """Start a project in this repository: mlops.yaml, the workflows, and .mlops/allowed_signers."""
    from mlops_ci.lifecycle.start_project import start_project

    root = Path.cwd()
    started = start_project(root, name=name, example=example, one_step=one_step, ports=ports)
    for path in started.written:
        click.echo(f"wrote {path.relative_to(root) if path.is_relative_to(root) else path}")
    needed = "`pip install -r requirements.txt`, " if example else ""
    if not example and not (root / "train.py").exists() and not (root / "src/train.py").exists():
        show.notifier(ctx)("there is no train.py: name your training command in mlops.yaml, `run: command:`")
    notify = show.notifier(ctx)
    notify(f"next: {needed}commit these, push, and `mlops-ci run`")
    notify(
        f"to block merges, require the check mlops-ci/{started.name} on {started.default_branch}: on GitHub, "
        "Settings → Rules → Rulesets → Require status checks to pass; `mlops-ci doctor` says whether it is required"
    )
