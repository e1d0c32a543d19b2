"""`mlops-ci serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.lifecycle.serving.serve import Service
    from mlops_ci.lifecycle.serving.tune import Tuned

_AUTO = "auto"
_MOST_WORKERS = 64


class _Workers(click.ParamType[int | str]):
    """A number, or how many are worth it."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        return _AUTO if value == _AUTO else int(click.IntRange(1, _MOST_WORKERS).convert(value, param, ctx))


@click.command()
@click.argument("version", default="")
@click.option("--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="0: any that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--workers", type=_Workers(), help="Processes; as configured. `auto`, with --tune: find out.")
@click.option("--runtime", type=click.Choice(["bentoml", "asgi"]), help="As configured unless named.")
@click.option("--python", default="", metavar="PATH", help="Use this interpreter as it is; nothing is installed.")
@click.option("--tune", is_flag=True, help="Measure whether batching helps, and write that into mlops.yaml.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=60.0, show_default=True, help="How long to measure.")
@click.option("--dry-run", is_flag=True, help="With --tune: write nothing.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, /, **options: Any) -> int:
    """Run the service of VERSION (the newest, unless named) on this machine, without Docker.

    The same files run as in the image, with the libraries that they pin: those of this environment if it has
    them, else of one that is made once. Ctrl-C ends it.

    With --tune, several settings are measured with the model's own example instead, and what is worth it is
    written into `serving:` of mlops.yaml. Batching stays off unless it wins clearly.
    """
    if options["tune"]:
        return _tune(ctx, options)
    if options["workers"] == _AUTO or options["dry_run"]:
        raise click.UsageError("--workers auto and --dry-run go with --tune")
    return _serve(ctx, options)


def _serve(ctx: click.Context, options: dict[str, Any]) -> int:
    from mlops_ci.cli.progress import progress
    from mlops_ci.lifecycle.serving.serve import Wanted, follow, open_service

    with progress(ctx) as tell:
        wanted = Wanted(**{name: options[name] for name in Wanted.__dataclass_fields__})
        service = open_service(show.project_of(ctx), wanted, notify=show.notifier(ctx), tell=tell)
    return follow(
        service,
        ready=lambda: _say_where(service, json_output=options["json_output"]),
        tell=lambda line: click.echo(line, err=True),
    )


def _say_where(service: Service, *, json_output: bool) -> None:
    from mlops_ci.lifecycle.serving.serve import curl

    version, url = service.version, service.url
    if json_output:
        facts = {"url": url, "model": version.model, "version": version.version, "digest": version.artifact.digest}
        show.json({**facts, "folder": str(service.prepared.service), "python": service.python})
        return
    click.echo(f"{version.model} {version.version} answers at {url}; Ctrl-C ends it")
    if line := curl(service):
        click.echo(f"  ask it   {line}")
    click.echo(f"  a page   {url}/")
    click.echo(f"  its API  {url}/openapi.json")


def _tune(ctx: click.Context, options: dict[str, Any]) -> int:
    from mlops_ci.cli.progress import progress
    from mlops_ci.lifecycle.serving.serve import Wanted
    from mlops_ci.lifecycle.serving.tune import Tuning
    from mlops_ci.lifecycle.serving.write_settings import write_settings

    project = show.project_of(ctx)
    auto = options["workers"] == _AUTO
    workers = None if auto else options["workers"] or project.config.serving.workers
    with progress(ctx) as tell:
        named = {name: options[name] for name in ("version", "runtime", "python")}
        wanted = Wanted(workers=workers, **named)
        tuned = Tuning(project, wanted, options["seconds"], show.notifier(ctx), tell).measure()
    choice = tuned.choice
    values = {"batch_rows": choice.batch_rows, **({"workers": choice.workers} if auto else {})}
    if not options["json_output"]:
        _show_figures(tuned)
    path = project.checkout.root / project.config_name
    diff = write_settings(path, values, dry_run=options["dry_run"])
    if options["json_output"]:
        written = bool(diff) and not options["dry_run"]
        show.json({"version": tuned.version, **_plain(tuned), "values": values, "diff": diff, "written": written})
    elif not diff:
        click.echo(f"{project.config_name} says so already")
    else:
        click.echo(diff, nl=False)
        click.echo(f"{project.config_name} was {'not ' if options['dry_run'] else ''}written")
    return 0


def _plain(tuned: Tuned) -> dict[str, Any]:
    return {"model": tuned.model, "measured": tuned.measured, "choice": tuned.choice}


def _show_figures(tuned: Tuned) -> None:
    choice = tuned.choice
    rows = []
    for each in tuned.measured:
        won = (each.batch_rows, each.workers) == (choice.batch_rows, choice.workers)
        rows += [
            (
                "*" if won else "",
                str(each.batch_rows) if each.batch_rows > 1 else "off",
                str(each.workers),
                str(figure.connections),
                f"{figure.rps:,.0f}",
                f"{figure.p50_ms:.2f}",
                f"{figure.p99_ms:.2f}",
                f"{each.peak_rss_mb:,.0f}" if each.peak_rss_mb else "",
            )
            for figure in each.figures
        ]
    columns = ("", "batch rows", "workers", "connections", "requests/s", "p50 ms", "p99 ms", "peak MB")
    show.table(columns, rows, empty="nothing was measured")
    click.echo(f"{tuned.model} {tuned.version}: {choice.why}")
