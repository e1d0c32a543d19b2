"""How every command shows what it did: sentences, tables on a terminal or in a log, JSON for programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from mlops_ci.lifecycle.project import Project

as_json = click.option("--json", "json_output", is_flag=True, help="Print JSON of a stable shape.")


def project_of(ctx: click.Context) -> Project:
    """Open the project around the working directory, with the configuration that `--config` names."""
    from mlops_ci.lifecycle.project import Project

    path = ctx.find_root().obj["config_path"]
    return Project.open(Path.cwd(), config_path=Path(path) if path else None)


def notifier(ctx: click.Context) -> Callable[[str], None]:
    """Tells a person what is going on, on the standard error stream; silent with `--quiet`."""
    quiet = bool(ctx.find_root().obj["quiet"])

    def notify(sentence: str) -> None:
        if not quiet:
            click.echo(f"mlops-ci: {printable(sentence)}", err=True)

    return notify


def left_out(ctx: click.Context, project: Project) -> None:
    """Say which targets a list lacks, since their records are kept where this environment has no address of."""
    notify = notifier(ctx)
    for target, variable in project.out_of_reach.items():
        notify(f"{target} is left out: its store is `env:{variable}`, which is not set")


def json(value: Any) -> None:
    """Print *value* (structs, lists, dicts) as JSON; every field is there, also where it has its default."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(_whole(value)), indent=2).decode())


def _whole(value: Any) -> Any:
    fields = getattr(value, "__struct_fields__", None) or getattr(value, "__dataclass_fields__", None)
    if fields is not None:
        return {name: _whole(getattr(value, name)) for name in fields}
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list | tuple) else value


def console(*, width: int | None = None) -> Console:
    """The terminal, or the log: NO_COLOR and pipes are honoured, and a log is not folded at 80 columns."""
    from rich.console import Console

    found = Console(highlight=False, width=width)
    told = width or os.environ.get("COLUMNS")
    return found if found.is_terminal or told else Console(highlight=False, width=140)


def draw(renderable: RenderableType) -> None:
    """Print a table or the like; without colours, no line ends in blanks."""
    screen = console()
    if screen.is_terminal or screen.color_system:
        screen.print(renderable)
        return
    with screen.capture() as captured:
        screen.print(renderable)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print a table; *empty* is the sentence for when there are no rows."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    lines = list(rows)
    if not lines:
        click.echo(empty)
        return
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        drawn.add_column(name, overflow="fold")
    for line in lines:
        # Text, not markup: a branch may be called "[red]".
        drawn.add_row(*(Text(printable(cell)) for cell in line))
    draw(drawn)


def ago(time: str) -> str:
    """How long ago a record's *time* was, in words."""
    from mlops_ci import records

    seconds = max(0, (records.moment(records.now()) - records.moment(time)).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds)} s ago"


def printable(text: str) -> str:
    """*text*, which a stranger may have written, without what moves a terminal's cursor or turns its colours."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\N{REPLACEMENT CHARACTER}" for sign in text)


def minute(time: str) -> str:
    """A record's *time* to the minute: "2026-05-01 12:00 UTC"."""
    return f"{time[:16].replace('T', ' ')} UTC"


def diff(text: str) -> None:
    """Print a unified diff, in colours on a terminal."""
    for line in text.splitlines():
        click.secho(printable(line), fg=_DIFF_COLOURS.get(line[:1]))


_DIFF_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def exits(function: Callable[..., int | None]) -> Callable[..., int]:
    """Let a command return its exit code; nothing means 0."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> int:
        return function(*args, **kwargs) or 0

    return wrapped
