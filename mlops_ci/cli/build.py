"""`mlops-ci build`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mlops_ci.cli import show

_LAST_LINES = 20


@click.command()
@click.argument("version", default="")
@click.option("--push", is_flag=True, help="Send it to the registry that `serving: image` names.")
@click.option(
    "--builder",
    type=click.Choice(["auto", "docker", "buildah"]),
    default="auto",
    show_default=True,
    help="What builds; auto is Docker where that can, else buildah.",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with the certificates that packages are fetched with; $SSL_CERT_FILE if not given.",
)
@click.option("--upgrade-lock", is_flag=True, help="Lock what the package index has now.")
@click.option("--no-cache", is_flag=True, help="Build everything again, though it was built of the same before.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Empty folder for what the builder gets."
)
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, version: str, json_output: bool, **options: Any) -> None:
    """Build the container image of VERSION (the newest, unless named), and record it.

    What was built of the same before is not built again. A package index of your own, its password and its
    certificates are taken from where pip and uv find them, and stay in no layer.
    """
    from mlops_ci.lifecycle.build_image import Request, build_image

    request = Request(cached=not options.pop("no_cache"), keep=options.pop("output"), **options)
    with _lines(ctx) as tell:
        built = build_image(show.project_of(ctx), version, request, notify=show.notifier(ctx), tell=tell)
    image = built.image
    if json_output:
        show.json({"record": built.record_id, "new": built.new, "image": image})
        return
    done = ("built and pushed" if image.pushed else "built") if built.new else "was built already, of the same"
    click.echo(f"{image.reference} {done}: {image.size_bytes / 1e6:,.0f} MB, {image.digest or image.image_id}")
    click.echo(f"record {built.record_id[:12]}")


@contextmanager
def _lines(ctx: click.Context) -> Iterator[Callable[[str], None]]:
    """What gets each line of the builder: a terminal shows the newest, a log all, and whoever fails the last."""
    from rich.console import Console
    from rich.markup import escape

    screen = Console(stderr=True)
    quiet = bool(ctx.find_root().obj["quiet"])
    last: deque[str] = deque(maxlen=_LAST_LINES)
    if not quiet and not screen.is_terminal:
        yield lambda line: click.echo(line, err=True)
        return
    try:
        if quiet:
            yield last.append
            return
        with screen.status("") as status:

            def draw(line: str) -> None:
                last.append(line)
                status.update(escape(line[: screen.width - 4]))

            yield draw
    except Exception:
        for line in last:
            click.echo(line, err=True)
        raise
