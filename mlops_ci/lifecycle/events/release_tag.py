"""A version tag: register the model, build its image, render it, deploy it as far as nobody must be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlops_ci import records
from mlops_ci.entities import ModelVersion
from mlops_ci.errors import AwaitsApproval, MlopsCIError
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.deploying.deploy import deploy
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reach_github import hub_of
from mlops_ci.lifecycle.reaction import Next, Reaction
from mlops_ci.lifecycle.register_model import names_version, register
from mlops_ci.lifecycle.render import open_target, render


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
        MlopsCIError: As `register`, `build_image`, `render` and `deploy`.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    if not by_hand and not names_version(tag, ruling.config):
        return Reaction(0, nothing=f"the tag {tag} names no version of {ruling.config.model}")
    registered = register(project, tag)
    version = registered.version
    notify(f"{version.model} {version.version} is registered, of commit {version.sha[:7]}")
    ruled = project.ruled_by(ruling.config)
    templates = ruling.templates(into / "templates")
    # An empty folder, where there are none: those of the tagged commit do not rule.
    image = _built(ruled, version, templates or _empty(into / "no-templates"), notify)
    bundle = render(
        ruled,
        version,
        registered.record_id,
        list(ruled.config.targets),
        into=into / "rendered",
        overrides=templates,
    )
    deployed, waiting, plans = [], [], []
    for name in bundle.targets:
        try:
            folder = into / f"deploy-{name}"
            deployed.append(deploy(project, name, version=version.version, into=folder, tell=notify))
        except AwaitsApproval as refusal:
            waiting.append(f"{refusal}. {refusal.hint}")
            digest = records.digest(bundle.plans[name])
            plans.append(Next(name, version.version, digest, ruled.config.targets[name].environment or name))
    return Reaction(
        0,
        run_id=version.run_id,
        registered=registered,
        rendered=bundle.folder,
        image=image or ruled.config.serving.image,
        deployed=tuple(deployed),
        waiting=tuple(waiting),
        next=next((each for each in plans if _is_reviewed(ruled, each.environment, notify)), None),
    )


def _is_reviewed(project: Project, environment: str, notify: Callable[[str], None]) -> bool:
    """Whether a job that names *environment* waits for its reviewers; without them a comment approves."""
    hub = hub_of(project)
    if hub is None:
        return False
    from mlops_ci.github import rules  # noqa: PLC0415  # a tenth of a second that only GitHub has to cost

    try:
        return bool(rules.environment(hub, environment).reviewers)
    except MlopsCIError as error:
        notify(f"{error}: {environment} is approved by a comment or a signature")
        return False


def _empty(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _built(project: Project, version: ModelVersion, templates: Path, notify: Callable[[str], None]) -> str:
    """Build and push the image that the targets need, unless that was done; what it is called, or ""."""
    opened = [open_target(project.config, name) for name in project.config.targets]
    named = project.config.serving.image
    if not named or "@" in named or not any(target.needs_image for target in opened):
        return ""
    from mlops_ci.lifecycle.build_image import Request, build_image  # noqa: PLC0415  # only where there is one to build

    built = build_image(
        project, version.version, Request(push=True, templates=templates), notify=notify, tell=lambda _line: None
    )
    return f"{built.image.reference}@{built.image.digest}"
