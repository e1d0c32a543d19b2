"""`mlops-ci runs export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlops_ci.cli import show
from mlops_ci.cli.runs import which


@click.command("export")
@click.option("-o", "--output", required=True, metavar="FILE", help="A .csv, .json, .jsonl or .parquet.")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "json", "jsonl", "parquet"]), help="Where the name does not tell."
)
@which
@click.option("--order-by", default="started desc", metavar="KEYS", help="As in 'metrics.accuracy desc, started'.")
@click.pass_context
@show.exits
def command(ctx: click.Context, output: str, kind: str | None, **options: Any) -> None:
    """Write runs to a file, one row each.

    The columns are run_id, status, started and so on, then params.<name>, metrics.<name> (the last value) and
    tags.<name>. The file is there when it is whole, or not at all.
    """
    from mlops_ci.lifecycle.queries.export_runs import export_runs
    from mlops_ci.lifecycle.queries.query_runs import scope_of

    project = show.project_of(ctx)
    scope = scope_of(
        project, experiment=options["experiment"], archived=options["archived"], deleted=options["deleted"]
    )
    written = export_runs(
        project, Path(output), options["filter_text"], kind=kind, order_by=options["order_by"], scope=scope
    )
    click.echo(f"{written:,} {'run is' if written == 1 else 'runs are'} in {output}")
