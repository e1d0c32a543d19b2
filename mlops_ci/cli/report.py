"""`mlops-ci report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.entities import GateReport


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown", "html", "json"]),
    help="Guessed from the name of --output, else terminal.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@click.pass_context
@show.exits
def command(ctx: click.Context, form: str | None, output: Path | None) -> None:
    """Show the newest verdict on what is checked out.

    The Markdown is the comment of the pull request.
    """
    from mlops_ci import reports
    from mlops_ci.errors import UsageError
    from mlops_ci.lifecycle.judge import newest_report

    chosen = form or _form_of(output)
    project = show.project_of(ctx)
    report = newest_report(project)
    if chosen == "terminal":
        reports.terminal(report, show.console())
        return
    forms: dict[str, Callable[[GateReport], str]] = {
        "markdown": reports.markdown,
        "html": reports.html,
        "json": reports.json,
    }
    text = forms[chosen](report)
    if output is None:
        click.echo(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    show.notifier(ctx)(f"wrote {output}")


def _form_of(output: Path | None) -> str:
    if output is None:
        return "terminal"
    return {".md": "markdown", ".html": "html", ".json": "json"}.get(output.suffix, "markdown")
