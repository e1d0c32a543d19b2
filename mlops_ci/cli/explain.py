"""`mlops-ci explain`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.lifecycle.explain import Explanation, Fact

# A person compares the first digits; --json has all of them.
_HEX = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")
_WIDE = 130
_FRACTION = re.compile(r"(T\d\d:\d\d:\d\d)\.\d+Z")
_MARKS = {
    "verified": ("✓", "green"),
    "wrong": ("✗ WRONG", "bold red"),
    "unverified": ("?", "yellow"),
    "stated": ("·", "dim"),
}


@click.command()
@click.argument("subject")
@show.as_json
@click.pass_context
@show.exits
def command(ctx: click.Context, subject: str, json_output: bool) -> int:
    """Follow a deployment down to its data, verifying everything on the way.

    SUBJECT is a target, a version, or the id of a deployment's record. Exits with 4 if anything is wrong.
    """
    from mlops_ci.errors import Refused
    from mlops_ci.lifecycle.explain import explain

    story = explain(show.project_of(ctx), subject)
    if json_output:
        show.json(story)
    else:
        _tell(story)
    return Refused.exit_code if story.wrong else 0


def _tell(story: Explanation) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    wide = show.console().width >= _WIDE
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    for style in ("bold", "", "", "", *(["dim"] if wide else [])):
        drawn.add_column(style=style or None, overflow="fold")
    section = ""
    for fact in story.facts:
        if section and fact.section != section:
            drawn.add_section()
        mark = Text(*_MARKS[fact.check])
        heading = Text(fact.section if fact.section != section else "")
        value = Text(_short(fact.value))
        if not wide and fact.check in {"wrong", "unverified"}:
            value.append(f"\n{fact.how}", style="dim")
        drawn.add_row(heading, mark, Text(fact.name), value, *([Text(_short(fact.how))] if wide else []))
        section = fact.section
    show.draw(drawn)
    click.echo(_summary(story.facts))


def _short(value: str) -> str:
    return _FRACTION.sub(r"\1Z", _HEX.sub(r"\1", value))


def _summary(facts: list[Fact]) -> str:
    count = {check: sum(fact.check == check for fact in facts) for check in _MARKS}
    verdict = f"{count['wrong']} WRONG" if count["wrong"] else "nothing is wrong"
    unsure = f"{count['unverified']} could not be verified here, " if count["unverified"] else ""
    return f"{count['verified']} verified, {unsure}{verdict}"
