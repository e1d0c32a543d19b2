"""docs/deploying.md: its sentences about failures are the program's own, and its states are all that there are."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from mlops_ci.lifecycle.deploying import compare
from tests.cli.conftest import CONFIG, Workplace, project
from tests.cluster.shops import MODEL, TRAIN_FACTOR
from tests.docs.pages import ROOT, commands, section, text_of
from tests.docs.test_life_of_a_run import type_in
from tests.repositories import git

__all__ = ["project"]

PAGE = ROOT / "docs/deploying.md"
SOURCES = [*sorted((ROOT / "mlops_ci/targets/kubernetes").glob("*.py")), ROOT / "mlops_ci/lifecycle/smoke_test.py"]


def rows(title: str) -> list[str]:
    """The first cells of the table below *title*."""
    return re.findall(r"^\| `([^`]+)` \|", section(PAGE, title), re.MULTILINE)


def texts(source: Path) -> Iterator[str]:
    """The texts of a module, cut where something is put into them."""
    for node in ast.walk(ast.parse(text_of(source))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.split(r"\{\w*\}", node.value)


@pytest.mark.parametrize("sentence", rows("When it fails"))
def test_what_a_failure_says_is_what_the_program_says(sentence: str) -> None:
    """Part for part, between what is put into it and between the halves of which it is put together."""
    said = [text for source in SOURCES for text in texts(source)]
    parts = [part.strip() for part in re.split("…|[:,] ", sentence)]
    assert [part for part in parts if not any(part in text for text in said)] == []


def test_every_state_of_a_target_is_in_the_table() -> None:
    assert rows("Looking back") == sorted(get_args(compare.State), key=rows("Looking back").index)


@pytest.mark.full
def test_what_is_typed_after_a_deployment_works(project: Workplace) -> None:
    """Into a folder, which takes no cluster: going back, locks, looking back."""
    place = project.root.parent / "published"
    targets = f"targets:\n  production: {{kind: uri, uri: {place}, production: false}}\n"
    project.commit({"mlops.yaml": CONFIG + targets, "train.py": TRAIN_FACTOR, "model.py": MODEL})
    for version in ("1.0.0", "1.1.0"):
        project.commit({"params.json": json.dumps({"accuracy": 0.9, "version": version})})
        project.run("run")
        git(project.root, "tag", f"churn@v{version}")
        project.push("HEAD:main", f"churn@v{version}")
        project.run("register", f"churn@v{version}")
        project.run("deploy", "production", "--version", version)

    typed = [line for title in ("Going back", "Locks and freezes", "Looking back") for line in section_commands(title)]
    said = {line: type_in(project, line) for line in typed}

    assert "churn 1.0.0 is live again" in said['mlops-ci rollback production --reason "too slow"']
    assert "looking into latency" in said["mlops-ci deployments locks"]
    assert "nothing served then" in said["mlops-ci deployments --target production --at 2026-05-01T12:00"]
    assert "runs as it was deployed" in said["mlops-ci deployments check --diff"]
    assert json.loads((place / "current.json").read_text("utf-8"))["version"] == "1.0.0"


def section_commands(title: str) -> list[str]:
    """What is typed below *title*."""
    return [command.line for command in commands(section(PAGE, title))]
