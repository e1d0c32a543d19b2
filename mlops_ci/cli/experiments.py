"""`mlops-ci experiments`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.lifecycle.change_experiment import Changed

_reason = click.option("--reason", default="", metavar="TEXT", help="Why, for those who ask later.")


@click.group(invoke_without_command=True)
@click.option("--archived", is_flag=True, help="Archived ones too.")
@click.option("--deleted", is_flag=True, help="Deleted ones too.")
@show.as_json
@click.pass_context
def command(ctx: click.Context, archived: bool, deleted: bool, json_output: bool) -> None:
    """List experiments, rename, archive or delete one."""
    if ctx.invoked_subcommand is not None:
        return
    from mlops_ci.lifecycle.change_experiment import experiments

    every = experiments(show.project_of(ctx))
    found = [each for each in every if (archived or not each.archived) and (deleted or not each.deleted)]
    if json_output:
        show.json(found)
        return
    rows = [
        (
            each.name,
            f"{each.runs:,}",
            show.ago(each.last_started) if each.last_started else "",
            ", ".join(word for word, said in (("archived", each.archived), ("deleted", each.deleted)) if said),
            ", ".join(name for name in each.recorded_as if name != each.name),
        )
        for each in found
    ]
    show.table(
        ("experiment", "runs", "last run", "state", "also known as"),
        rows,
        empty="all are archived or deleted: see --help" if every else "no experiment is recorded yet",
    )


@command.command("rename")
@click.argument("old")
@click.argument("new")
@_reason
@show.as_json
@click.pass_context
@show.exits
def rename(ctx: click.Context, old: str, new: str, reason: str, json_output: bool) -> None:
    """Call the experiment OLD by the name NEW.

    Its runs stay as they were recorded, and are the baselines of a configuration that says NEW, or still OLD.
    """
    from mlops_ci.lifecycle import change_experiment

    done = change_experiment.rename(show.project_of(ctx), old, new, reason=reason)
    _say(done, f"is the new name of {old!r}", "has that name already", json_output=json_output)


@command.command("archive")
@click.argument("name")
@_reason
@show.as_json
@click.pass_context
@show.exits
def archive(ctx: click.Context, name: str, reason: str, json_output: bool) -> None:
    """Hide an experiment in lists; its runs stay baselines."""
    from mlops_ci.lifecycle import change_experiment

    done = change_experiment.archive(show.project_of(ctx), name, reason=reason)
    _say(done, "is archived", "was archived already", json_output=json_output)


@command.command("unarchive")
@click.argument("name")
@_reason
@show.as_json
@click.pass_context
@show.exits
def unarchive(ctx: click.Context, name: str, reason: str, json_output: bool) -> None:
    """Show an archived experiment in lists again."""
    from mlops_ci.lifecycle import change_experiment

    done = change_experiment.archive(show.project_of(ctx), name, archived=False, reason=reason)
    _say(done, "is listed again", "is not archived", json_output=json_output)


@command.command("delete")
@click.argument("name")
@_reason
@show.as_json
@click.pass_context
@show.exits
def delete(ctx: click.Context, name: str, reason: str, json_output: bool) -> None:
    """Delete an experiment: its runs are hidden and no baseline, those to come too, until it is restored."""
    from mlops_ci.lifecycle import change_experiment

    done = change_experiment.delete(show.project_of(ctx), name, reason=reason)
    _say(done, "is deleted", "was deleted already", json_output=json_output)


@command.command("restore")
@click.argument("name")
@_reason
@show.as_json
@click.pass_context
@show.exits
def restore(ctx: click.Context, name: str, reason: str, json_output: bool) -> None:
    """Bring a deleted experiment back."""
    from mlops_ci.lifecycle import change_experiment

    done = change_experiment.restore(show.project_of(ctx), name, reason=reason)
    _say(done, "is restored", "is not deleted", json_output=json_output)


def _say(done: Changed, changed: str, unchanged: str, *, json_output: bool) -> None:
    if json_output:
        show.json(done)
        return
    click.echo(f"experiment {done.name!r} {changed if done.changed else unchanged}")
    if not done.sent:
        click.echo("the git remote did not answer: `mlops-ci sync` sends it")
