"""What was found: a sentence, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["right", "warning", "wrong", "unknown"]


@dataclass(frozen=True)
class Finding:
    """
    One line of the answer.

    Attributes:
        check: What was looked at, for programs: "git.remote". The part before the dot is its section.
        level: "unknown" is what could not be asked.
        text: One sentence.
        hint: What to do, where something is to be done.
        file: The file that is to blame, relative to the top of the repository, or "".
        line: Where in it, from 1; 0 for the whole file.
    """

    check: str
    level: Level
    text: str
    hint: str = ""
    file: str = ""
    line: int = 0


def right(check: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(check, "right", text)


def warning(check: str, text: str, hint: str, *, file: str = "", line: int = 0) -> Finding:
    """It works, and could be better."""
    return Finding(check, "warning", text, hint, file, line)


def wrong(check: str, text: str, hint: str, *, file: str = "", line: int = 0) -> Finding:
    """It will not work, or does not protect."""
    return Finding(check, "wrong", text, hint, file, line)


def unknown(check: str, text: str, hint: str = "") -> Finding:
    """Nobody answered."""
    return Finding(check, "unknown", text, hint)
