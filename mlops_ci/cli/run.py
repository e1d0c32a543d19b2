"""`mlops-ci run`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_ci.entities import Run
    from mlops_ci.lifecycle.log_run import Training


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("words", nargs=-1, metavar="[COMMAND...]")
@click.option("--convert", type=click.Choice(["onnx"]), help="Convert the model, if it then predicts the same.")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, words: tuple[str, ...], convert: str | None, json_output: bool) -> int:
    """Train, and record the run.

    Runs COMMAND (`run: command:` of mlops.yaml unless given) and records parameters, metrics, data
    fingerprints, environment, artifacts and model against the git SHA. A run that fails is recorded too. A run by
    another COMMAND than the configuration's is neither a baseline nor a version. With --json, what training prints
    goes to the standard error stream.
    """
    from mlops_ci.errors import TrainingFailed
    from mlops_ci.lifecycle import log_run

    project, notify = show.project_of(ctx), show.notifier(ctx)
    training = log_run.train(
        project,
        log_run.command_of(project, words),
        notify=notify,
        output=sys.stderr if json_output else None,
        convert=convert or "",
    )
    run = training.run
    for warning in run.warnings:
        notify(f"warning: {warning}")
    if convert and run.status == "finished" and not any("not converted to" in warning for warning in run.warnings):
        _tell_of_what_was_not_logged(run, convert, notify)
    if json_output:
        show.json(
            {"record": training.taken.record.id, "sent": training.taken.sent, "reused": training.reused, "run": run}
        )
    else:
        _tell(training, quiet=bool(ctx.find_root().obj["quiet"]))
    if not training.taken.sent:
        notify("warning: the ledger's remote did not answer; the run is kept here, and `mlops-ci sync` sends it")
    if training.failure:
        raise TrainingFailed(training.failure, hint="its output is above")
    return 0


def _tell_of_what_was_not_logged(run: Run, flavor: str, notify: Callable[[str], None]) -> None:
    if run.model is None:
        notify(f"warning: nothing was converted to {flavor}: there is no model")
    elif run.model.flavor != flavor:
        notify(f"warning: the model was not converted to {flavor}: only one that log_model keeps can be")


def _tell(training: Training, *, quiet: bool) -> None:
    from mlops_ci.tracking.run import CONVERSION

    run = training.run
    what = "reused" if training.reused else run.status
    dirty = ", with uncommitted changes (never a baseline)" if run.git.dirty else ""
    click.echo(f"run {run.run_id} {what} in {run.duration_s:.1f} s at {run.git.trained_sha[:7]}{dirty}")
    if quiet:
        return
    rows = [(name, f"{metric.last:.6g}") for name, metric in sorted(run.metrics.items())]
    show.table(("metric", "value"), rows, empty="no metric was logged")
    for dataset in run.data:
        rows_ = f", {dataset.rows:,} rows" if dataset.rows is not None else ""
        click.echo(f"data   {dataset.name}: {dataset.path}{rows_}, {dataset.digest[:19]}")
    if run.model:
        click.echo(f"model  {run.model.flavor}, {run.model.size_bytes:,} bytes, {run.model.digest[:19]}")
        if CONVERSION in run.tags:
            click.echo(f"       {run.tags[CONVERSION]}")
    click.echo(f"record {training.taken.record.id[:12]}")
