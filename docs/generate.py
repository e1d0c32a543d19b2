"""
Writes the pages of docs/ that are derived from the program; with `--check`, only says which of them are out of date.

- reference.md: what each command's `--help` says.
- mlops.schema.json: the JSON Schema of mlops.yaml, by which editors complete and check it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from mlops_ci.cli import cli

DOCS = Path(__file__).resolve().parent
WIDTH = 100
HEAD = """\
# Commands

Written by `./dev docs`: what `mlops-ci COMMAND --help` says.
"""


def reference() -> str:
    """The page of all commands, each with its help."""
    return HEAD + "".join(f"\n## {path}\n\n```text\n{text}```\n" for path, text in helps("mlops-ci", cli, None))


def helps(path: str, command: click.Command, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Yield each command below *command*, and itself: how it is called, and its help."""
    context = click.Context(command, parent, info_name=path.rpartition(" ")[2], terminal_width=WIDTH)
    yield path, "".join(f"{line.rstrip()}\n" for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from helps(f"{path} {name}", found, context)


def schema() -> str:
    """What `mlops-ci config schema` prints."""
    done = CliRunner().invoke(cli, ["config", "schema"], catch_exceptions=False)
    return done.stdout


PAGES: dict[str, Callable[[], str]] = {"reference.md": reference, "mlops.schema.json": schema}


def main() -> int:
    """Write the pages, or compare them; 1 if one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args().check
    old = []
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if not path.exists() or path.read_text("utf-8") != text:
            old.append(name)
            if not check:
                path.write_text(text, "utf-8")
    for name in old:
        print(f"docs/{name} is out of date: run ./dev docs" if check else f"wrote docs/{name}")
    return 1 if old and check else 0


if __name__ == "__main__":
    sys.exit(main())
