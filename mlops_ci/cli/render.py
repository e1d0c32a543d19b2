"""`mlops-ci render`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mlops_ci.cli import show


@click.command()
@click.argument("version", default="")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Only this target (may be repeated).")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder; build/<model>-<version> if not given.",
)
@click.option("--with-model", is_flag=True, help="Fetch the model's files too, so that the service can run.")
@show.as_json
@click.pass_context
@show.exits
def command(
    ctx: click.Context,
    version: str,
    targets: tuple[str, ...],
    output: Path | None,
    with_model: bool,
    json_output: bool,
) -> None:
    """Write the service, the image recipe and the manifests of VERSION (the newest, unless named).

    The same version and configuration give the same bytes. Files below .mlops/templates replace ours.
    """
    from mlops_ci.lifecycle.find_version import find_version
    from mlops_ci.lifecycle.render import render

    project = show.project_of(ctx)
    found, record = find_version(project.ledger, project.config, version)
    into = output or project.checkout.root / "build" / f"{found.model}-{found.version}"
    overrides = project.templates()
    bundle = render(
        project,
        found,
        record.id,
        list(targets or project.config.targets),
        into=into,
        overrides=overrides,
        with_model=with_model,
    )
    if json_output:
        show.json({"folder": str(bundle.folder), "files": bundle.files, "plans": bundle.plans, "notes": bundle.notes})
        return
    for note in bundle.notes:
        show.notifier(ctx)(note)
    where = Path(os.path.relpath(into))
    folders = ["service", *(f"targets/{name}" for name in bundle.plans)]
    for folder in folders:
        count = sum(path.startswith(f"{folder}/") for path in bundle.files)
        click.echo(f"{where / folder}: {count} file{'s'[: count != 1]}")
    for name in bundle.plans:
        if not any(note.startswith(f"{name}: ") for note in bundle.notes):
            click.echo(f"{name}: everything was checked, and nothing is wrong")
