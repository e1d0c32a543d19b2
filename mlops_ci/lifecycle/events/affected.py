"""Whether a change can have any effect on the model: `run: paths:` says what it depends on."""

from __future__ import annotations

from mlops_ci import git
from mlops_ci.lifecycle import find_baseline
from mlops_ci.lifecycle.project import Project
from mlops_ci.numerals import count


def unaffected(project: Project) -> str:
    """
    Say why nothing has to be trained: the nearest run before had the same files; "" if something has to be.

    *project* has the configuration of its commit, and nothing in the work tree is changed. What is compared is HEAD
    with the commit of that run, so a commit in between that was never trained cannot hide behind one that changes
    nothing. The configuration itself is always one of the files.

    Raises:
        ServiceError: The ledger did not answer.
    """
    paths = project.config.run.paths if project.config.run else []
    if not paths:
        return ""
    head = project.checkout.commit("HEAD").sha
    base = project.event.base_sha if project.event else ""
    history = find_baseline.history_of(project.checkout, head, base)
    start = find_baseline.start_of(history, head, base, (project.event.head_sha if project.event else "") or head)
    if not start:
        return ""
    found = find_baseline.nearest(history, project.ledger, start, project.config.project, project.experiment)
    if found is None or not _same(project, found[1].sha, head, [*paths, project.config_name]):
        return ""
    places = count(len(paths), "path")
    return f"nothing below the {places} that the model depends on differs from {found[1].sha[:7]}, which was trained"


def _same(project: Project, one: str, other: str, paths: list[str]) -> bool:
    """Whether two commits agree on *paths*; not, where this clone lacks one of them."""
    specs = [f":(top,literal){path.rstrip('/')}" for path in paths]
    try:
        project.checkout.run(["diff", "--quiet", "--no-ext-diff", one, other, "--", *specs])
    except git.GitError:
        return False
    return True
