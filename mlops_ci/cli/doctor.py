"""`mlops-ci doctor`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mlops_ci.lifecycle.check_setup import Checkup, Finding

_MARKS = {"right": ("✓", "green"), "warning": ("!", "yellow"), "wrong": ("✗", "bold red"), "unknown": ("–", "dim")}


@click.command()
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, *, json_output: bool) -> int:
    """Look whether this project is set up so that it works, and say what to do where it is not.

    Marks: ✓ right, ! could be better, ✗ wrong, – could not be asked. The exit code is 1 if anything is wrong.

    GitHub is asked with the token in GITHUB_TOKEN or GH_TOKEN, where one is set; the rest needs none.

    JSON: project, repository, ok, and findings with check ("git.remote"), level (right, warning, wrong, unknown), text,
    hint, file and line.
    """
    from mlops_ci.lifecycle.check_setup import check_setup

    path = ctx.find_root().obj["config_path"]
    found = check_setup(Path.cwd(), config_path=Path(path) if path else None)
    if json_output:
        show.json(found)
    else:
        show.draw(_drawn(found.findings))
        click.echo(f"\n{_summary(found)}")
    return 0 if found.ok else 1


def _drawn(findings: list[Finding]) -> Group:
    """Sections with a heading each; what to do stands below what is wrong."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Table | Text] = []
    for section, of_it in groupby(findings, key=lambda finding: finding.check.partition(".")[0]):
        table = Table.grid(padding=(0, 1), pad_edge=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in of_it:
            mark, style = _MARKS[finding.level]
            table.add_row(Text(mark, style=style), _said(finding))
            if finding.hint:
                table.add_row("", _hint(finding.hint))
        parts += [Text(section, style="bold"), table]
    return Group(*parts)


def _said(finding: Finding) -> Text:
    from rich.text import Text

    # Text, not markup: a branch may be called "[red]".
    said = Text()
    if finding.line:
        said.append(_seen(f"{finding.file}:{finding.line}:") + " ", style="dim")
    return said.append(_seen(finding.text), style="dim" if finding.level == "unknown" else "")


def _hint(hint: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("→", Text(_seen(hint)))
    return table


def _seen(text: str) -> str:
    """*text* on one line, without what would move the cursor: files and answers are anybody's."""
    return "".join(sign if sign.isprintable() else "�" for sign in " ".join(text.split()))


def _summary(found: Checkup) -> str:
    from mlops_ci.numerals import count

    levels = [finding.level for finding in found.findings]
    numbers = [
        f"{levels.count('wrong')} wrong" if "wrong" in levels else "nothing is wrong",
        count(levels.count("warning"), "warning") if "warning" in levels else "",
        f"{levels.count('unknown')} could not be asked" if "unknown" in levels else "",
    ]
    return f"{found.project or 'this project'}: {', '.join(filter(None, numbers))}"
