"""The pages that a reader meets, taken apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / ".github/CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")


class Command(NamedTuple):
    """A line of a console block, and what its comment says."""

    line: str
    comment: str


def text_of(page: Path) -> str:
    """The whole page."""
    return page.read_text("utf-8")


def section(page: Path, title: str) -> str:
    """What stands below the heading *title*, up to the next one."""
    return re.split(r"^## ", text_of(page).partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of *language*."""
    return [found.group(2) for found in _BLOCK.finditer(text) if found.group(1) == language]


def commands(text: str) -> list[Command]:
    """The lines of the console blocks that are typed."""
    typed = [line[2:] for block in blocks(text, "console") for line in block.splitlines() if line.startswith("$ ")]
    halves = [re.split(r"\s+# +", line, maxsplit=1) for line in typed]
    return [Command(half[0].strip(), half[1] if len(half) > 1 else "") for half in halves]


def code(text: str) -> list[str]:
    """Every piece of code in *text*: the lines of its console blocks, and what stands between backticks."""
    return [command.line for command in commands(text)] + _CODE.findall(_BLOCK.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of *text*."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
