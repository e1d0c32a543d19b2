"""The job of its own that deploys what waited for an approval: after the review of an environment, or a comment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mlops_ci.entities import Author
from mlops_ci.lifecycle.deploying.deploy import deploy
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reaction import Reaction

_WORKFLOW = Author(name="github-actions[bot]", email="41898282+github-actions[bot]@users.noreply.github.com")


def deploy_next(
    project: Project, target: str, *, version: str, plan: str, into: Path, notify: Callable[[str], None]
) -> Reaction:
    """
    Deploy *version* to *target*, by the rules of the default branch; whoever must agree still has to.

    Args:
        project: A checkout.
        target: A key of `targets:`.
        version: As the job before said it.
        plan: The digest of the plan that was approved, as the job before said it.
        into: An empty folder for what is rendered.
        notify: Told in a sentence what is going on.

    Raises:
        MlopsCIError: As `deploy`. GitHub shows the environment of a job that succeeds as deployed to, so where
            approvals are missing, or somebody has rejected it, this job must fail.
    """
    event = project.event
    if event is not None and event.kind == "comment":
        # The workflow deploys, and not whoever's approval made it begin: or nobody could ever approve by a comment.
        project = replace(project, event=replace(event, author=_WORKFLOW))
    done = deploy(project, target, version=version, plan=plan, into=into, tell=notify)
    return Reaction(0, deployed=(done,), image=done.deployment.plan.image)
