"""`mlops-ci ci`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mlops_ci.cli import deploy, show

if TYPE_CHECKING:
    from mlops_ci.ci import Event
    from mlops_ci.lifecycle.reaction import Reaction

_MOST_ANNOTATIONS = 10  # GitHub shows no more of a step


@click.command()
@click.option(
    "--part",
    type=click.Choice(["all", "train", "record"]),
    default="all",
    show_default=True,
    help="Of the two-job workflow: `train` leaves a bundle, `record` takes bundles in and runs none of the code.",
)
@click.option("--bundle", "patterns", multiple=True, help="A bundle to record, or a pattern such as bundles/**/*.zip.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the report, the bundle and what is rendered; a temporary one unless given.",
)
@click.option("--deploy", "target", default="", metavar="TARGET", help="Only deploy to it what waited for an approval.")
@click.option("--version", default="", metavar="VERSION", help="The version that --deploy deploys.")
@click.option("--plan", default="", metavar="DIGEST", help="Of the plan that was approved for --deploy.")
@click.option("--needs", is_flag=True, help="Only print which extras of the package this event needs.")
@click.pass_context
@show.exits
def command(  # noqa: PLR0913  # the options of one command
    ctx: click.Context,
    part: str,
    patterns: tuple[str, ...],
    output: Path | None,
    target: str,
    version: str,
    plan: str,
    *,
    needs: bool,
) -> int:
    """Do what the CI event asks for: what the action runs.

    Pull request: train (or reuse), gate, comment, check. Push: adopt or train; it becomes the baseline. Version tag:
    register, build, render, deploy to the first target, ask for approval of the next.
    """
    from mlops_ci import ci
    from mlops_ci.errors import ServiceError, TrainingFailed, UsageError

    event = ci.detect()
    if event is None:
        raise UsageError("this is no CI that mlops-ci knows", hint="on a laptop: `mlops-ci run`, `mlops-ci gate`")
    if needs:
        click.echo(" ".join(_needs(ctx, event, part, deploys=bool(target))))
        return 0
    if event.nothing:
        show.notifier(ctx)(f"nothing to do: {event.nothing}")
        return 0
    folder = output or Path(tempfile.mkdtemp(prefix="mlops-ci-"))
    if target:
        reaction = _deployed(ctx, target, version=version, plan=plan, folder=folder)
    else:
        reaction = _react(ctx, event, part, patterns, folder)
    _publish(reaction, event, folder)
    if reaction.failure and reaction.exit_code == TrainingFailed.exit_code:
        raise TrainingFailed(reaction.failure, hint=reaction.hint or "its output is above")
    if reaction.failure:
        click.echo(f"mlops-ci: {reaction.failure}" + (f"\n  {reaction.hint}" if reaction.hint else ""), err=True)
    # A required check that is not there holds the merge up: somebody has to run this job again.
    return reaction.exit_code or (ServiceError.exit_code if reaction.untold else 0)


def _deployed(ctx: click.Context, target: str, *, version: str, plan: str, folder: Path) -> Reaction:
    from mlops_ci.lifecycle.events.deploy_next import deploy_next

    notify = show.notifier(ctx)
    return deploy_next(show.project_of(ctx), target, version=version, plan=plan, into=folder / "deploy", notify=notify)


def _react(ctx: click.Context, event: Event, part: str, patterns: tuple[str, ...], folder: Path) -> Reaction:
    notify = show.notifier(ctx)
    if part == "record" or event.kind in {"workflow_run", "comment"}:
        name = str(ctx.find_root().obj["config_path"] or "")
        found = [path for pattern in patterns for path in _matching(pattern)]
        from mlops_ci.lifecycle.events.react_without_code import react_without_code

        return react_without_code(event, found, config_name=name, into=folder, notify=notify)
    from mlops_ci.lifecycle.events.react import react

    return react(show.project_of(ctx), event, part="train" if part == "train" else "all", into=folder, notify=notify)


def _matching(pattern: str) -> list[Path]:
    from glob import glob

    if Path(pattern).is_file():
        return [Path(pattern)]
    return sorted(Path(name) for name in glob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207  # absolute patterns, too


def _needs(ctx: click.Context, event: Event, part: str, *, deploys: bool) -> list[str]:
    from mlops_ci.lifecycle.events import needs

    path = ctx.find_root().obj["config_path"]
    return needs.extras(event, part, Path.cwd(), config_path=Path(path) if path else None, deploys=deploys)


def _publish(reaction: Reaction, event: Event, folder: Path) -> None:
    """Tell the log, the job's summary and the steps after this one."""
    from mlops_ci import ci, reports

    outputs = ci.Outputs(_outputs(reaction))
    project = reaction.reports[0].project if reaction.reports else event.repository.rpartition("/")[2]
    if reaction.reports:
        markdown = reports.markdown(reaction.reports, expected=reaction.expected)
        for report in reaction.reports:
            reports.terminal(report, show.console())
    elif reaction.unaffected:
        _, markdown = reports.not_affected(project, reaction.unaffected)
    else:
        markdown = reports.not_trained(project, reaction.failure)[1] if reaction.failure else ""
    if markdown:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "report.md"
        path.write_text(markdown, "utf-8")
        outputs.values["report"] = str(path)
        ci.write_summary(markdown)
    outputs.write()
    for deployed in reaction.deployed:
        deploy.tell(deployed, json_output=False)
    if reaction.nothing:
        click.echo(ci.annotation("notice", reaction.nothing, title="mlops-ci"))
    _annotate(reaction)


def _annotate(reaction: Reaction) -> None:
    from mlops_ci import ci, reports

    level: Literal["error", "warning", "notice"] = "error" if reaction.exit_code else "notice"
    for report in reaction.reports:
        click.echo(ci.annotation(level, reports.summary_line(report), title="mlops-ci"))
    for found in reports.annotations(reaction.reports)[:_MOST_ANNOTATIONS]:
        level = "error" if found.level == "failure" else found.level
        click.echo(ci.annotation(level, found.message, title=found.title, path=found.path, line=found.line))
    for sentence in reaction.missing:
        click.echo(ci.annotation("warning", sentence, title="mlops-ci"))
    for sentence in reaction.waiting:
        click.echo(ci.annotation("notice", sentence, title="waiting for approval"))


def _outputs(reaction: Reaction) -> dict[str, str]:
    values = {"run-id": reaction.run_id}
    if reaction.reports:
        values["verdict"] = _worst([report.verdict for report in reaction.reports])
    elif reaction.unaffected:
        values["verdict"] = "not affected"
    if reaction.bundle is not None:
        values["bundle"] = str(reaction.bundle)
    if reaction.comment_url:
        values["comment"] = reaction.comment_url
    if reaction.registered is not None:
        values |= {"model": reaction.registered.version.model, "version": reaction.registered.version.version}
    if reaction.rendered is not None:
        values["manifests"] = str(reaction.rendered)
    if reaction.image:
        values["image"] = reaction.image
    if reaction.deployed:
        values["deployment-url"] = reaction.deployed[-1].deployment.url
    if reaction.next is not None:
        after = reaction.next
        values |= {"next": after.target, "version": after.version, "plan": after.plan, "environment": after.environment}
    return values


def _worst(verdicts: list[str]) -> str:
    return next(verdict for verdict in ("fail", "inconclusive", "not evaluated", "pass") if verdict in verdicts)
