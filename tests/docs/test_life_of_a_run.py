"""The console blocks of docs/life-of-a-run.md, typed one after the other in a project that has a run."""

from __future__ import annotations

import subprocess

from tests.cli.conftest import Workplace, project
from tests.docs.pages import ROOT, commands, text_of

__all__ = ["project"]
PAGE = ROOT / "docs/life-of-a-run.md"


def test_every_command_of_the_page_does_what_it_says(project: Workplace) -> None:
    said: dict[str, str] = {}
    for line, _ in commands(text_of(PAGE)):
        run_id = said["mlops-ci run"].split()[1] if said else ""
        said[line] = type_in(project, line.replace("RUN", run_id))
    assert "is deleted" in said['mlops-ci runs delete RUN --reason "wrong labels"']
    assert "is restored" in said["mlops-ci runs restore RUN"]
    assert "is the new name of 'churn'" in said["mlops-ci experiments rename churn fraud"]
    assert "needed" in said["mlops-ci gc --older-than 14d"]
    assert "is verified" in said["mlops-ci restore --check everything.zip"]
    assert "is here already" in said["mlops-ci restore everything.zip"]


def type_in(place: Workplace, line: str) -> str:
    """Type *line* into a shell; what it printed."""
    done = subprocess.run(
        ["bash", "-c", line], cwd=place.root, env=place.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout
