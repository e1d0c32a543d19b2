"""What a run is of: the commit, tree and changes that were trained, and the key under which one ending counts."""

from __future__ import annotations

from mlops_ci import records
from mlops_ci.entities import CiRun, GitState
from mlops_ci.lifecycle.project import Project


def facts(project: Project) -> GitState:
    """What is checked out, and how the event that brought us here names it."""
    checkout, event = project.checkout, project.event
    head = checkout.commit("HEAD")
    diff_digest = checkout.diff_digest()
    return GitState(
        trained_sha=head.sha,
        head_sha=(event.head_sha if event else "") or head.sha,
        tree=head.tree,
        base_sha=event.base_sha if event else "",
        branch=(event.branch if event else "") or checkout.branch(),
        dirty=bool(diff_digest),
        diff_digest=diff_digest,
        repository=project.repository,
    )


def run_key(project: str, experiment: str, git: GitState, ci: CiRun | None, run_id: str) -> str:
    """The digest under which one ending counts: a run that was killed and taken in twice ends once."""
    where = [ci.provider, ci.run_id, ci.attempt, ci.job, ci.cell] if ci else []
    what = [git.repository, project, experiment, git.trained_sha, git.tree, git.diff_digest]
    return records.digest([*what, where, run_id])
