"""`mlops-ci models`."""

from __future__ import annotations

import click

from mlops_ci.cli import show


@click.command()
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, json_output: bool) -> None:
    """List the versions of the model, newest first, and where each is live."""
    from mlops_ci.entities import ModelVersion
    from mlops_ci.lifecycle.deployments import current
    from mlops_ci.lifecycle.find_version import precedence

    project = show.project_of(ctx)
    claims = project.ledger.claims(f"version/{project.config.model}")
    versions = [(record.read(ModelVersion), record) for record in claims.values()]
    versions.sort(key=lambda found: precedence(found[0].version), reverse=True)
    live: dict[str, list[str]] = {}
    show.left_out(ctx, project)
    for target in project.within_reach:
        record = current(project, target)
        if record is not None:
            live.setdefault(record.body["plan"]["version_record"], []).append(target)
    if json_output:
        show.json(
            [
                {"record": record.id, "live_on": live.get(record.id, []), "version": version}
                for version, record in versions
            ]
        )
        return
    rows = [
        (
            f"{version.model} {version.version}",
            show.ago(record.time),
            record.author.name,
            version.sha[:7],
            version.artifact.digest[7:19],
            ", ".join(live.get(record.id, [])),
        )
        for version, record in versions
    ]
    empty = f"no version of {project.config.model} is registered yet"
    show.table(("version", "registered", "by", "commit", "model", "live on"), rows, empty=empty)
