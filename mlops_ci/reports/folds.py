"""The forms that a comment is made of: a table, a folded part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Section(NamedTuple):
    """A folded part. *name* is what a sentence calls it where there is no room for it."""

    name: str
    summary: str
    body: str

    def __str__(self) -> str:
        return f"<details>\n<summary>{self.summary}</summary>\n\n{self.body}\n\n</details>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every cell must be escaped already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)
