"""How long work says how far it is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from mlops_ci.cli import show

_LINE_EVERY_S = 5


@contextmanager
def progress(ctx: click.Context) -> Iterator[Callable[[str, int, int], None]]:
    """A function that is told what is done, how much of it, and how much it is (0: not known yet)."""
    if ctx.find_root().obj["quiet"]:
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console

    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield _lines(show.notifier(ctx))
        return
    from rich.progress import Progress, TaskID

    with Progress(console=screen, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield draw


def _lines(notify: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """A line every few seconds: what is short says nothing."""
    last = time.monotonic()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            notify(f"{what}: {done:,} of {total:,}" if total else f"{what}: {done:,}")

    return tell
