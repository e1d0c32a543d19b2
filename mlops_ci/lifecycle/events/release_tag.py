"""A version tag: register the model, render it for every target, deploy it as far as nobody must be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlops_ci.errors import AwaitsApproval
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.deploy import deploy
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reaction import Reaction
from mlops_ci.lifecycle.register_model import names_version, register
from mlops_ci.lifecycle.render import render


def release(project: Project, tag: str, *, by_hand: bool, into: Path, notify: Callable[[str], None]) -> Reaction:
    """
    Release what *tag* names, by the rules of the default branch. Doing it twice changes nothing.

    Args:
        project: A checkout that has the tag.
        tag: A version tag as `registry: tag:` has it.
        by_hand: Somebody named it, so that it must be one; else it may be of something else, and nothing follows.
        into: An empty folder for what is rendered.
        notify: Told in a sentence what is going on.

    Raises:
        MlopsCIError: As `register`, `render` and `deploy`.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    if not by_hand and not names_version(tag, ruling.config):
        return Reaction(0, nothing=f"the tag {tag} names no version of {ruling.config.model}")
    registered = register(project, tag)
    version = registered.version
    notify(f"{version.model} {version.version} is registered, of commit {version.sha[:7]}")
    ruled = project.ruled_by(ruling.config)
    bundle = render(
        ruled,
        version,
        registered.record_id,
        list(ruled.config.targets),
        into=into / "rendered",
        overrides=ruling.templates(into / "templates"),
    )
    deployed, waiting = [], []
    for name, target in bundle.targets.items():
        if not target.applies:
            notify(f"{name} is rendered to {bundle.folder / 'targets' / name}; applying it comes with a later version")
            continue
        try:
            deployed.append(deploy(project, name, version=version.version, into=into / f"deploy-{name}"))
        except AwaitsApproval as refusal:
            waiting.append(f"{refusal}. {refusal.hint}")
    return Reaction(
        0,
        run_id=version.run_id,
        registered=registered,
        rendered=bundle.folder,
        image=ruled.config.serving.image,
        deployed=tuple(deployed),
        waiting=tuple(waiting),
    )
