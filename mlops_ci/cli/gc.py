"""`mlops-ci gc`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.lifecycle.collect_garbage import Heap

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WHY = {
    "deleted": "named by deleted runs only",
    "unnamed": "named by no record",
    "needed": "needed",
}


def _duration(_ctx: click.Context, _option: click.Parameter, value: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,4})([mhdw])", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no number of minutes, hours, days or weeks, such as 14d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.command()
@click.option(
    "--older-than",
    default="14d",
    show_default=True,
    metavar="TIME",
    callback=_duration,
    help="How long bytes wait before they go: 12h, 14d, 2w.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go, and change nothing.")
@click.option(
    "--only-this-ledger", is_flag=True, help="No other ledger's records name bytes in this store: you know that."
)
@show.as_json
@click.pass_context
@show.exits
def command(
    ctx: click.Context, older_than: timedelta, dry_run: bool, only_this_ledger: bool, json_output: bool
) -> None:
    """Delete artifacts that nobody needs: those that no record names, or only runs deleted long ago.

    Records stay, and so does what a version, a deployment or any other record names. With `artifacts: git`,
    whose bytes have no age, the first gc marks what nobody needs, and a later one deletes it.
    """
    from mlops_ci.lifecycle.collect_garbage import collect

    done = collect(show.project_of(ctx), older_than=older_than, dry_run=dry_run, only_this_ledger=only_this_ledger)
    if json_output:
        show.json(done)
        return
    rows = [("would go" if dry_run else "deleted", *_row(heap)) for heap in done.removed]
    rows += [("waits", *_row(heap)) for heap in done.waiting]
    rows += [("stays", *_row(done.kept))] if done.kept.artifacts else []
    show.table(("", "artifacts", "files", "bytes"), rows, empty="the artifact store is empty")
    if done.waiting and not done.removed:
        click.echo("what waits goes when nobody has needed it for longer: see --older-than")


def _row(heap: Heap) -> tuple[str, str, str]:
    size = f"{heap.size_bytes:,}" if heap.artifacts > heap.unsized else ""
    more = f"{heap.unsized} of unknown size" if heap.unsized else ""
    return _WHY[heap.why], f"{heap.artifacts:,}", " + ".join(part for part in (size, more) if part)
