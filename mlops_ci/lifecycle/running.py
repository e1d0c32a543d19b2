"""Runs that still go: they have no record yet, only a run folder on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_ci.lifecycle import run_folder
from mlops_ci.lifecycle.project import Project


@dataclass(frozen=True)
class Running:
    """A run that somebody trains at this moment; *started* is RFC 3339."""

    run_id: str
    experiment: str
    started: str
    branch: str
    sha: str
    dirty: bool


def running(project: Project) -> list[Running]:
    """List the runs of this project that still go on this machine, the latest first; nothing is taken in."""
    folders = project.checkout.state / "runs"
    if not folders.is_dir():
        return []
    ended = {folder for folder, _ in run_folder.left(project)}
    found = []
    for folder in sorted(set(folders.iterdir()) - ended):
        context = run_folder.read(folder)
        if context and not context.ended and context.project == project.config.project:
            git = context.git
            found.append(
                Running(context.run_id, context.experiment, context.started, git.branch, git.trained_sha, git.dirty)
            )
    return sorted(found, key=lambda run: (run.started, run.run_id), reverse=True)
