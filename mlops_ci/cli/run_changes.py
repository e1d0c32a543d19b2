"""`mlops-ci runs delete`, `restore`, `tag` and `note`: what is changed of a run after it was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.lifecycle.change_run import Changed

_reason = click.option("--reason", default="", metavar="TEXT", help="Why, for those who ask later.")


@click.command("delete")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@_reason
@show.as_json
@click.pass_context
@show.exits
def delete(ctx: click.Context, runs: tuple[str, ...], reason: str, json_output: bool) -> None:
    """Delete runs: hidden, no baseline, not reused, until they are restored.

    The first digits of an id are enough. A run that a version was registered of cannot be deleted. The bytes
    go with a later `mlops-ci gc`.
    """
    from mlops_ci.lifecycle import change_run

    done = change_run.delete(show.project_of(ctx), runs, reason=reason)
    _say(done, "is deleted", "was deleted already", json_output=json_output)


@click.command("restore")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@_reason
@show.as_json
@click.pass_context
@show.exits
def restore(ctx: click.Context, runs: tuple[str, ...], reason: str, json_output: bool) -> None:
    """Bring deleted runs back; they are baselines again."""
    from mlops_ci.lifecycle import change_run

    done = change_run.restore(show.project_of(ctx), runs, reason=reason)
    _say(done, "is restored", "is not deleted", json_output=json_output)


@click.command("tag")
@click.argument("run")
@click.argument("tags", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--remove", multiple=True, metavar="NAME", help="Take this tag away; may be given several times.")
@show.as_json
@click.pass_context
@show.exits
def tag(ctx: click.Context, run: str, tags: tuple[str, ...], remove: tuple[str, ...], json_output: bool) -> None:
    """Give a run tags, or take some away."""
    from mlops_ci.lifecycle import change_run

    wrong = [word for word in tags if not word.partition("=")[0] or "=" not in word]
    if wrong:
        raise click.UsageError(f"{wrong[0]!r} is no tag: write name=value")
    given: dict[str, str | None] = {name: value for name, _, value in (word.partition("=") for word in tags)}
    if both := given.keys() & set(remove):
        raise click.UsageError(f"the tag {min(both)!r} is both given and removed")
    if not (given or remove):
        raise click.UsageError("name a tag: `mlops-ci runs tag RUN NAME=VALUE`, or --remove NAME")
    done = change_run.tag(show.project_of(ctx), run, given | dict.fromkeys(remove))
    _say(done, "is tagged", "has these tags already", json_output=json_output)


@click.command("note")
@click.argument("run")
@click.argument("text")
@show.as_json
@click.pass_context
@show.exits
def note(ctx: click.Context, run: str, text: str, json_output: bool) -> None:
    """Note something about a run, in place of what was noted before; "" takes it away."""
    from mlops_ci.lifecycle import change_run

    done = change_run.note(show.project_of(ctx), run, text)
    _say(done, "has the note", "has this note already", json_output=json_output)


def _say(done: Changed, changed: str, unchanged: str, *, json_output: bool) -> None:
    if json_output:
        show.json(done)
        return
    for run_id in done.changed:
        click.echo(f"run {run_id} {changed}")
    for run_id in done.unchanged:
        click.echo(f"run {run_id} {unchanged}")
    for run_id in done.collected:
        click.echo(f"the bytes of run {run_id} were collected: it is a baseline, and cannot be registered")
    if not done.sent:
        click.echo("the git remote did not answer: `mlops-ci sync` sends it")
