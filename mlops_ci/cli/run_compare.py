"""`mlops-ci runs compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlops_ci.cli import show
from mlops_ci.cli.runs import which

if TYPE_CHECKING:
    from mlops_ci.entities import Scalar
    from mlops_ci.lifecycle.queries.compare_runs import Line
    from mlops_ci.store import FoundRun

_WIDEST = 5  # runs as columns; more are lines
_MOST_COLUMNS = 8


@click.command("compare")
@click.argument("run_ids", nargs=-1, metavar="[RUN]...")
@which
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many at most.")
@click.option("--order-by", default="started", metavar="KEYS", help="As in 'metrics.accuracy desc'.")
@click.option("--all", "everything", is_flag=True, help="Also what does not differ.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, run_ids: tuple[str, ...], **options: Any) -> None:
    """Set runs side by side: those that are named, or those for which a filter holds.

    The first digits of an id are enough. A * stands at the best value of a metric.
    """
    from mlops_ci.errors import UsageError
    from mlops_ci.lifecycle.queries.compare_runs import compare
    from mlops_ci.lifecycle.queries.query_runs import scope_of
    from mlops_ci.lifecycle.synchronize import open_projection

    project = show.project_of(ctx)
    if run_ids and options["filter_text"]:
        raise UsageError("runs are named or filtered, not both", hint="leave one of them out")
    with open_projection(project) as store:
        if run_ids:
            runs = store.named(run_ids)
        else:
            scope = scope_of(
                project, experiment=options["experiment"], archived=options["archived"], deleted=options["deleted"]
            )
            order = {"order_by": options["order_by"], "descending": True, "limit": options["limit"]}
            runs = store.search(options["filter_text"], scope=scope, **order).runs
    lines = compare(runs, {gate.metric: gate.better for gate in project.config.gates if gate.better})
    if options["json_output"]:
        show.json({"runs": [run.entity.run_id for run in runs], "lines": lines})
    else:
        _draw(runs, lines, everything=options["everything"])


def _draw(runs: list[FoundRun], lines: list[Line], *, everything: bool) -> None:
    shown = [line for line in lines if everything or line.differs]
    ids = [run.entity.run_id for run in runs]
    if len(runs) > _WIDEST:
        dropped = [] if everything else [line for line in shown if line.section in {"data", "tag"}]
        columns = [line for line in shown if line not in dropped and line.name not in {"started", "commit"}]
        kept = columns if everything else columns[:_MOST_COLUMNS]
        cells = [[_cell(line, place) for line in kept] for place in range(len(runs))]
        table = [(run_id, *row) for run_id, row in zip(ids, cells, strict=True)]
        show.table(("run", *(line.name for line in kept)), table, empty="no run is like that")
    else:
        table = [(line.section, line.name, *(_cell(line, place) for place in range(len(runs)))) for line in shown]
        show.table(("", "name", *ids), table, empty="they differ in nothing" if runs else "no run is like that")
    if any(line.best for line in shown):
        click.echo("* best")
    if same := len(lines) - len(shown):
        click.echo(f"{same} more are the same in all; --all shows them")


def _cell(line: Line, place: int) -> str:
    return _text(line, line.values[place]) + (" *" if place in line.best else "")


def _text(line: Line, value: Scalar) -> str:
    if value is None:
        return "-"
    if line.section == "data":
        return str(value)[:19]
    if line.name == "commit" and line.section == "run":
        return str(value)[:7] + ("+" if str(value).endswith("+") else "")
    if line.name == "started" and line.section == "run":
        return str(value)[:16].replace("T", " ")
    return f"{value:.6g}" if isinstance(value, float) else str(value)
