"""Whether a change can have any effect on the model: `run: paths:` says what it depends on."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from mlops_ci import git
from mlops_ci.lifecycle import find_baseline, policy
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
    if found is None or not _same(project, found.pointer.sha, head, paths):
        return ""
    places = count(len(paths), "path")
    return (
        f"nothing below the {places} that the model depends on differs from {found.pointer.sha[:7]}, which was trained"
    )


def _same(project: Project, one: str, other: str, paths: Sequence[str]) -> bool:
    """
    Whether two commits agree on *paths*, and on what rules beside them.

    Not where this clone lacks one of the commits, nor where neither has one of the paths: git would find no difference
    in a slip of the pen, nor inside a submodule.
    """
    named = [posixpath.normpath(path) for path in paths]
    ruling = [project.config_name, *policy.BESIDE]
    try:
        if not all(_has(project, one, path) or _has(project, other, path) for path in named):
            return False
        specs = [f":(top,literal){path}" for path in (*named, *ruling)]
        project.checkout.run(["diff", "--quiet", "--no-ext-diff", one, other, "--", *specs])
    except git.GitError:
        return False
    return True


def _has(project: Project, sha: str, path: str) -> bool:
    return path == "." or bool(project.checkout.run(["ls-tree", "--full-tree", sha, "--", path]))
