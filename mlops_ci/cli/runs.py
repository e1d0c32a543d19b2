"""`mlops-ci runs`: list runs and show one. What else can be done with them is in files of its own, by subcommand."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.lifecycle.project import Project
    from mlops_ci.lifecycle.run_folder import UnderWay
    from mlops_ci.store import FoundRun, Store

# Subcommands of other files: the module, the command's name in it, and its line of help.
_ELSEWHERE = {
    "best": ("run_best", "command", "Show the best run of each experiment, or of one."),
    "compare": ("run_compare", "command", "Set runs side by side."),
    "export": ("run_export", "command", "Write runs to a file, one row each."),
    "delete": ("run_changes", "delete", "Delete runs, until they are restored."),
    "restore": ("run_changes", "restore", "Bring deleted runs back."),
    "tag": ("run_changes", "tag", "Give a run tags, or take some away."),
    "note": ("run_changes", "note", "Write a note about a run."),
}
_COLUMNS = ("run", "ended", "branch", "commit", "status", "metrics")


class _Subcommands(click.Group):
    """Imports a subcommand's module when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_ELSEWHERE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, name, _ = _ELSEWHERE[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"mlops_ci.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        here = [(name, command.get_short_help_str()) for name, command in self.commands.items()]
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([*here, *((name, said) for name, (_, _, said) in _ELSEWHERE.items())])


def which(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options that say which runs are meant."""
    options = (
        click.option("-f", "--filter", "filter_text", default="", metavar="FILTER", help=_FILTER_HELP),
        click.option("-e", "--experiment", metavar="NAME", help="Only of this experiment."),
        click.option("--archived", is_flag=True, help="Also of archived experiments."),
        click.option("--deleted", is_flag=True, help="Also what was deleted."),
    )
    for option in reversed(options):
        command = option(command)
    return command


_FILTER_HELP = "Only those for which it holds, as in \"metrics.accuracy > 0.9 and params.model = 'rf'\"."


@click.group(cls=_Subcommands, invoke_without_command=True)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many.")
@which
@click.option(
    "--order-by", default="started", metavar="KEYS", help="As in 'metrics.accuracy desc, started'; or one alone."
)
@click.option("--ascending", is_flag=True, help="Smallest, or oldest, first, where a key does not say.")
@click.option("--branch", help="Only of this branch.")
@click.option("--status", type=click.Choice(["running", "finished", "failed", "killed"]), help="Only with this status.")
@click.option("--cursor", default="", metavar="CURSOR", help="Go on where an earlier list ended.")
@click.option("--all-pages", is_flag=True, help="All of them, however many.")
@show.as_json
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """List runs, or do something with some."""
    if ctx.invoked_subcommand is not None:
        return
    from mlops_ci.lifecycle.synchronize import open_projection

    project = show.project_of(ctx)
    going = _going(project, options)
    runs: list[FoundRun] = []
    cursor = ""
    if options["status"] != "running":
        with open_projection(project) as store:
            runs, cursor = _listed(store, project, options)
    if options["json_output"]:
        show.json(runs or [*map(_running_json, going)])
    else:
        rows = [*map(_running_row, going), *(row(run, options["order_by"]) for run in runs)]
        narrowed = any(options[name] for name in ("filter_text", "experiment", "branch", "status", "cursor"))
        show.table(_COLUMNS, rows, empty="no run is like that" if narrowed else "no run is recorded yet")
        if cursor:
            show.notifier(ctx)(f"there are more: --cursor {cursor} shows the next, --all-pages shows all")


def _listed(store: Store, project: Project, options: dict[str, Any]) -> tuple[list[FoundRun], str]:
    from mlops_ci.lifecycle.queries.query_runs import scope_of

    scope = scope_of(
        project, experiment=options["experiment"], archived=options["archived"], deleted=options["deleted"]
    )
    asked = _filter(options)
    order = {"order_by": options["order_by"], "descending": not options["ascending"], "scope": scope}
    if options["all_pages"]:
        return list(store.every(asked, **order)), ""
    page = store.search(asked, limit=options["limit"], cursor=options["cursor"], **order)
    return page.runs, page.cursor


def _filter(options: dict[str, Any]) -> str:
    """The filter, and what the options say that are shorter to type."""
    text: str = options["filter_text"]
    given = {name: options[name].replace("'", "''") for name in ("branch", "status") if options[name]}
    parts = [f"{name} = '{value}'" for name, value in given.items()]
    if not text.strip():
        return " and ".join(parts)
    if parts:
        from mlops_ci.store import filters

        filters.parse(text)  # so that a complaint shows the text as it was typed
    return " and ".join([f"({text})", *parts]) if parts else text


def _going(project: Project, options: dict[str, Any]) -> list[UnderWay]:
    """Runs that still go stand above the others, where nothing else was asked for."""
    asked = ("filter_text", "cursor", "all_pages", *(() if options["status"] == "running" else ("json_output",)))
    if any(options[name] for name in asked) or options["order_by"] != "started" or options["ascending"]:
        return []
    if options["status"] not in {None, "running"}:
        return []
    from mlops_ci.lifecycle.run_folder import under_way

    return [
        run
        for run in under_way(project)
        if run.context.project == project.config.project
        and options["branch"] in {None, run.context.git.branch}
        and options["experiment"] in {None, run.context.experiment}
    ]


def _running_json(run: UnderWay) -> dict[str, Any]:
    known = ("run_id", "experiment", "started", "git", "ci", "command")
    seen = {"params": run.seen.params, "metrics": run.seen.metrics, "tags": run.seen.tags}
    return {**{name: getattr(run.context, name) for name in known}, "logged": run.logged, **seen}


def _running_row(run: UnderWay) -> tuple[str, ...]:
    git = run.context.git
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in sorted(run.seen.metrics.items())[:3])
    commit = git.trained_sha[:7] + ("+" if git.dirty else "")
    return run.context.run_id, f"began {show.ago(run.context.started)}", git.branch, commit, "running", metrics


def row(found: FoundRun, order_by: str = "") -> tuple[str, ...]:
    """A run as a line of a table: its first metrics, those that it was sorted by before others."""
    run = found.entity
    names = sorted(run.metrics, key=lambda name: (f"metrics.{name}" not in order_by, name))[:3]
    metrics = ", ".join(f"{name} {run.metrics[name].last:.4g}" for name in names)
    dirty = "+" if run.git.dirty else ""
    status = f"{run.status}, deleted" if found.deleted else run.status
    return run.run_id, show.ago(run.ended), run.git.branch, run.git.trained_sha[:7] + dirty, status, metrics


@command.command("show")
@click.argument("run_id")
@show.as_json
@click.pass_context
@show.exits
def show_run(ctx: click.Context, run_id: str, json_output: bool) -> None:
    """Show one run; the first digits of its id are enough."""
    from mlops_ci.lifecycle.synchronize import open_projection

    with open_projection(show.project_of(ctx)) as store:
        found = store.run(run_id)
    run = found.entity
    if json_output:
        now = {"experiment": found.experiment, "tags": found.tags, "note": found.note, "deleted": found.deleted}
        show.json({"record": found.record_id, "run": run, "now": now})
        return
    where = run.git.branch or "a detached HEAD"
    deleted = ", deleted" if found.deleted else ""
    click.echo(
        f"run {run.run_id} {run.status}{deleted}, {run.duration_s:.1f} s, commit {run.git.trained_sha} on {where}"
    )
    click.echo(f"experiment  {found.experiment}")
    click.echo(f"command  {' '.join(run.command)}")
    if found.note:
        click.echo(f"note  {found.note}")
    rows = [("param", name, str(value)) for name, value in sorted(run.params.items())]
    rows += [("metric", name, f"{metric.last:.6g}") for name, metric in sorted(run.metrics.items())]
    rows += [("tag", name, text) for name, text in sorted(found.tags.items())]
    rows += [("data", dataset.name, f"{dataset.path} {dataset.digest[:19]}") for dataset in run.data]
    rows += [("artifact", file.path, f"{file.size_bytes:,} bytes") for file in run.artifacts]
    show.table(("", "name", "value"), rows, empty="it logged nothing")
