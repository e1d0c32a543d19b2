"""The console blocks of docs/ledger.md, typed by somebody who does what the comments say."""

from __future__ import annotations

import re

from tests.cli.conftest import Workplace, project
from tests.docs.pages import ROOT, Command, commands, section, text_of
from tests.docs.test_life_of_a_run import type_in
from tests.repositories import git

__all__ = ["project"]
PAGE = ROOT / "docs/ledger.md"
STORE = re.compile(r"`(store: [^`]+)`")


def type_all(place: Workplace, lines: list[Command], *, stores: dict[str, str] | None = None) -> dict[str, str]:
    """Type *lines*, each with the store that its comment names, or that *stores* says for the line."""
    path = place.root / "mlops.yaml"
    said = {}
    for line, comment in lines:
        named = STORE.search(comment)
        store = (stores or {}).get(line) or (named[1] if named else "")
        if store:
            text = re.sub(r"^store: .*\n", "", path.read_text("utf-8"), flags=re.MULTILINE)
            path.write_text(f"{text}{store}\n", "utf-8")
        said[line] = type_in(place, line)
    return said


def part(title: str) -> list[Command]:
    """The commands below the smaller heading *title*."""
    below = text_of(PAGE).partition(f"\n### {title}\n")[2]
    return commands(re.split(r"^##", below, maxsplit=1, flags=re.MULTILINE)[0])


def test_every_command_of_the_page_is_in_a_test() -> None:
    titles = ("When the remote does not answer", "Folding", "When somebody rewrote the ledger")
    typed = [line for title in titles for line in part(title)]
    typed += commands(section(PAGE, "From one store to another"))
    assert typed == commands(text_of(PAGE))


def test_what_the_remote_did_not_take_waits_for_sync(project: Workplace) -> None:
    away = project.remote.rename(project.remote.with_name("away.git"))
    assert "sends it" in project.run("run")
    git(project.root, "tag", "churn@v1.0.0")
    for words in (["sync"], ["gate"], ["register", "churn@v1.0.0"]):
        project.run(*words, expect=3)
    assert "what is known here" in project.run("runs")
    away.rename(project.remote)
    (said,) = type_all(project, part("When the remote does not answer")).values()
    assert "sent 1 records" in said
    assert said.endswith("; 0 wait\n")


def test_folding_leaves_one_ref(project: Workplace) -> None:
    project.run("run")
    folded, listed = type_all(project, part("Folding")).values()
    assert "folded 1 records" in folded
    assert "refs/mlops/ledger" in listed
    assert "refs/mlops/records" not in listed


def test_a_rewritten_ledger_is_noticed_and_rescued_from_a_clone(project: Workplace) -> None:
    runs = [project.run("run").split()[1] for _ in range(2)]
    project.run("sync", "--fold")
    project.run("runs")
    before = git(project.remote, "rev-parse", "refs/mlops/ledger")
    git(project.remote, "update-ref", "-d", "refs/mlops/ledger")
    assert "are gone from" in project.run("runs", expect=4)
    git(project.remote, "update-ref", "refs/mlops/ledger", before)
    assert all(run in project.run("runs") for run in runs)
    git(project.remote, "update-ref", "-d", "refs/mlops/ledger")
    assert "are gone from" in project.run("runs", expect=4)
    assert "no run is recorded" in project.clone("fresh").run("runs")
    said = type_all(project, part("When somebody rewrote the ledger"))
    assert all(run in said["mlops-ci runs"] for run in runs)
    later = project.clone("later").run("runs")
    assert all(run in later for run in runs)


def test_a_project_moves_from_git_to_a_database(project: Workplace) -> None:
    run = project.run("run").split()[1]
    restore = "mlops-ci restore everything.zip"
    lines = commands(section(PAGE, "From one store to another"))
    said = type_all(project, lines, stores={restore: "store: sqlite:///mlops.db"})
    assert "restored 1 record" in said[restore]
    assert run in said["mlops-ci runs"]


def test_the_table_names_every_part_of_a_clones_folder(project: Workplace) -> None:
    """Beside locks, and the link to the package that training is lent."""
    project.run("run")
    project.run("sync", "--fold")
    project.run("runs")
    there = {path.name for path in (project.root / ".git/mlops").iterdir() if path.suffix in {"", ".git", ".db"}}
    assert {"ledger.git", "folded.git", "store.db"} <= there
    first = [line.split("|")[1] for line in text_of(PAGE).splitlines() if line.startswith("| `")]
    listed = {name.rstrip("/") for cell in first for name in re.findall(r"`([^`]+)`", cell)}
    assert there - {"python"} <= listed
