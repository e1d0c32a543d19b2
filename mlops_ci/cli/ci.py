"""`mlops-ci ci`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.lifecycle.react import Reaction


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the report and what is rendered; a temporary one unless given.",
)
@click.pass_context
@show.exits
def command(ctx: click.Context, output: Path | None) -> int:
    """Do what the CI event asks for: what the action runs.

    Pull request: train (or reuse), gate, report. Push: adopt or train; it becomes the baseline. Version tag:
    register, render, deploy to the first target, ask for approval of the next.
    """
    from mlops_ci import ci
    from mlops_ci.errors import TrainingFailed, UsageError
    from mlops_ci.lifecycle.react import react

    project = show.project_of(ctx)
    if project.event is None:
        raise UsageError("this is no CI that mlops-ci knows", hint="on a laptop: `mlops-ci run`, `mlops-ci gate`")
    folder = output or Path(tempfile.mkdtemp(prefix="mlops-ci-"))
    reaction = react(project, project.event, into=folder, notify=show.notifier(ctx))
    outputs = ci.Outputs(_outputs(reaction))
    if reaction.report is not None:
        outputs.values["report"] = str(_publish(reaction, folder))
    outputs.write()
    if reaction.failure:
        raise TrainingFailed(reaction.failure, hint="its output is above")
    for sentence in reaction.waiting:
        click.echo(ci.annotation("notice", sentence, title="waiting for approval"))
    return reaction.exit_code


def _publish(reaction: Reaction, folder: Path) -> Path:
    from mlops_ci import ci, reports

    assert reaction.report is not None  # noqa: S101  # the caller looked
    markdown = reports.markdown(reaction.report)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.md"
    path.write_text(markdown, "utf-8")
    ci.write_summary(markdown)
    reports.terminal(reaction.report, show.console())
    sentence = reports.summary_line(reaction.report)
    click.echo(ci.annotation("error" if reaction.exit_code else "notice", sentence, title="mlops-ci"))
    return path


def _outputs(reaction: Reaction) -> dict[str, str]:
    values = {"run-id": reaction.run_id}
    if reaction.report is not None:
        values["verdict"] = reaction.report.verdict
    if reaction.registered is not None:
        values |= {"model": reaction.registered.version.model, "version": reaction.registered.version.version}
    if reaction.rendered is not None:
        values["manifests"] = str(reaction.rendered)
    if reaction.image:
        values["image"] = reaction.image
    if reaction.deployed:
        values["deployment-url"] = reaction.deployed[-1].deployment.url
    return values
