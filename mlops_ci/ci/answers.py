"""How CI is answered: outputs for later steps, annotations, the job's summary."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

_SUMMARY_BYTES = 1_000_000  # GitHub refuses more than 1 MiB from a step


@dataclass
class Outputs:
    """What a step tells the steps after it. Written to `$GITHUB_OUTPUT`, if there is one, by `write`."""

    values: dict[str, str] = field(default_factory=dict)

    def write(self, environment: Mapping[str, str] | None = None) -> None:
        """Append every value, each between delimiters that nobody can guess."""
        path = (os.environ if environment is None else environment).get("GITHUB_OUTPUT", "")
        if not path:
            return
        with Path(path).open("a", encoding="utf-8") as file:
            for name, value in self.values.items():
                end = f"end-{os.urandom(16).hex()}"
                file.write(f"{name}<<{end}\n{value}\n{end}\n")


def write_summary(markdown: str, environment: Mapping[str, str] | None = None) -> None:
    """Append *markdown* to the job's summary, where there is one and GitHub would show it: at most 1 MiB a step."""
    path = (os.environ if environment is None else environment).get("GITHUB_STEP_SUMMARY", "")
    if path and len(markdown.encode()) <= _SUMMARY_BYTES:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(markdown + "\n")


def annotation(
    level: Literal["error", "warning", "notice"], message: str, *, title: str, path: str = "", line: int = 0
) -> str:
    """The workflow command that shows *message* on the run's page, and beside *line* of the file *path*."""
    place = {"file": path, "line": str(line or 1)} if path else {}
    named = ",".join(f"{name}={_escape(value, property_=True)}" for name, value in {**place, "title": title}.items())
    return f"::{level} {named}::{_escape(message)}"


def _escape(text: str, *, property_: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property_ else text
