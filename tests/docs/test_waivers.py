"""docs/waivers.md: its example is read, its table has every key, and its commands work."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from mlops_ci import config
from tests.cli.conftest import Workplace, project
from tests.docs.pages import ROOT, blocks, commands, text_of
from tests.docs.test_life_of_a_run import type_in

__all__ = ["project"]
PAGE = ROOT / "docs/waivers.md"


def test_the_example_is_read_and_every_key_is_in_the_table() -> None:
    [example] = blocks(text_of(PAGE), "yaml")
    [row] = config.parse_waivers(example, PAGE.name)
    assert [f"`{key}`" for key in row.__struct_fields__ if f"\n| `{key}` |" not in text_of(PAGE)] == []


def test_every_command_of_the_page_does_what_it_says(project: Workplace) -> None:
    [example] = blocks(text_of(PAGE), "yaml")
    later = (datetime.now(UTC) + timedelta(days=100)).date().isoformat()
    example = example.replace("0.85", "0.75").replace("2026-12-31", later)
    project.commit({"params.json": '{"accuracy": 0.79}', ".mlops/waivers.yaml": example})
    project.run("run")
    said = {line: type_in(project, line) for line, _ in commands(text_of(PAGE))}
    assert "1 waiver, nothing is wrong" in said["mlops-ci config check"]
    assert json.loads((project.root / ".mlops/waivers.schema.json").read_text())["title"] == ".mlops/waivers.yaml"
