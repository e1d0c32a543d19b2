"""What the pages say without being run: examples, commands, links, exit codes, extras."""

from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
import yaml

from mlops_ci import config, errors
from mlops_ci.cli import BUG, INTERRUPTED, cli
from mlops_ci.gates import verdict
from tests.docs.pages import PAGES, README, ROOT, anchors, blocks, code, text_of

MOST_BYTES_OF_A_PICTURE = 200_000

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@each_page
def test_every_example_of_mlops_yaml_is_read(page: Path) -> None:
    for block in blocks(text_of(page), "yaml"):
        if "project" in yaml.safe_load(block):
            assert config.parse(block, page.name).project


def test_the_smallest_example_is_the_same_everywhere() -> None:
    smallest, *_ = blocks(text_of(README), "yaml")
    assert smallest == blocks(text_of(ROOT / "docs/configuration.md"), "yaml")[0]


def test_every_key_is_on_the_page() -> None:
    page = text_of(ROOT / "docs/configuration.md")
    assert not [key for key in keys(config.schema()) if f"| `{key}` |" not in page]


def keys(schema: object) -> Iterator[str]:
    """The keys that a file may have, at any depth."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
    if isinstance(schema, dict | list):
        for part in schema.values() if isinstance(schema, dict) else schema:
            yield from keys(part)


@each_page
def test_every_command_and_option_that_is_named_exists(page: Path) -> None:
    for line in code(text_of(page)):
        for words in invocations(line, "mlops-ci"):
            assert not unknown(words), line
        for words in invocations(line, "./dev"):
            assert not words or words[0].startswith("-") or words[0] in dev_commands() | {"COMMAND"}, line


def invocations(line: str, program: str) -> Iterator[list[str]]:
    """The words after *program*, wherever *line* calls it as a program."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        typed = list(lexer)
    except ValueError:  # prose between backticks
        typed = line.split()
    for separates, words in groupby(typed, lambda word: set(word) <= set(";&|") and word != ""):
        name, *rest = words
        if not separates and name == program:
            yield rest


def unknown(words: list[str]) -> str:
    """The first of *words* that `mlops-ci` does not know, "" if it knows them all."""
    command: click.Command = cli
    context = click.Context(cli, **cli.context_settings)
    rest = iter(words)
    for word in rest:
        if word == "--":
            return ""
        if word.startswith("-"):
            name, separated, _ = word.partition("=")
            option = next((option for option in command.get_params(context) if name in option.opts), None)
            if option is None:
                return word
            if not separated and not getattr(option, "is_flag", False):
                next(rest, None)  # its value
        elif isinstance(command, click.Group) and word != "COMMAND":
            found = command.get_command(context, word)
            if found is None:
                return word
            command = found
    return ""


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("""mlops-ci runs --filter "a > 1 and params.model = 'rf'" --order-by 'a; desc' """, ""),
        ("mlops-ci runs --filter 'a > 1' bst", "bst"),
        ("true && mlops-ci runs best --mtric x", "--mtric"),
        ("mlops-ci runs|mlops-ci sink", "sink"),
        ("mlops-ci runs --limit=5 it's", "it's"),
    ],
)
def test_a_wrong_word_is_found_in_whatever_is_typed(line: str, wrong: str) -> None:
    assert "".join(map(unknown, invocations(line, "mlops-ci"))) == wrong


def dev_commands() -> set[str]:
    """What `./dev` can do."""
    return set(runpy.run_path(str(ROOT / "dev"))["COMMANDS"])


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^()\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(text_of(found)), target


def test_the_exit_codes_are_those_of_the_program() -> None:
    """README, the help and the page of all errors name each, and no other."""
    kinds = [errors.MlopsCIError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    known = {0, verdict.FAILED, verdict.UNDECIDED, BUG, INTERRUPTED, *(kind.exit_code for kind in kinds)}
    listed = text_of(README).partition("Exit codes: ")[2].partition(".\n")[0]
    assert {int(part.split()[0]) for part in listed.split("·")} == known
    helped = " ".join(str(cli.help).partition("Exit codes: ")[2].split())
    assert {int(part.split()[0]) for part in helped.split(",")} == known


def test_every_extra_that_is_named_can_be_installed() -> None:
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    named = [
        name
        for line in text_of(README).splitlines()
        if "pip install" in line
        for group in re.findall(r"\[([a-z,]+)\]", line)
        for name in group.split(",")
    ]
    assert named
    assert set(named) <= set(extras)


def test_pictures_are_small() -> None:
    """They are fetched by everybody who looks at the README."""
    pictures = list((ROOT / "docs/images").iterdir())
    assert pictures
    assert all(picture.stat().st_size < MOST_BYTES_OF_A_PICTURE for picture in pictures)
