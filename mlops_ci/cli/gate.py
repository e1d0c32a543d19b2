"""`mlops-ci gate`."""

from __future__ import annotations

import click

from mlops_ci.cli import show


@click.command()
@click.option("--base", default="", metavar="REV", help="What this is to be merged into: its gates rule.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, base: str, json_output: bool) -> int:
    """Judge the run of what is checked out.

    Compares the newest finished run with its baseline, the nearest ancestor that has one, and records the
    verdict. Without --base the gates of the work tree rule and the verdict says "local policy".
    Exits with 1 if a gate failed, and with 6 if it could not be decided.
    """
    from mlops_ci import reports
    from mlops_ci.lifecycle.judge import judge

    judgement = judge(show.project_of(ctx), base=base)
    if json_output:
        click.echo(reports.json(judgement.report))
    elif ctx.find_root().obj["quiet"]:
        click.echo(reports.summary_line(judgement.report))
    else:
        reports.terminal(judgement.report, show.console())
    if not judgement.sent:
        show.notifier(ctx)("warning: the ledger's remote did not answer; `mlops-ci sync` sends the verdict")
    return judgement.exit_code
