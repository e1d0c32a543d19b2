"""A version tag: register the model, build its image, render it, deploy it as far as nobody must be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_ci import records
from mlops_ci.config import Target as TargetConfig
from mlops_ci.entities import ModelVersion
from mlops_ci.errors import AwaitsApproval, MlopsCIError
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.deploying.deploy import ask, deploy
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reach_github import hub_of
from mlops_ci.lifecycle.reaction import Next, Reaction
from mlops_ci.lifecycle.register_model import names_version, register
from mlops_ci.lifecycle.render import Bundle, open_target, render

if TYPE_CHECKING:
    from mlops_ci.github import GitHub


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
        MlopsCIError: As `Project.ledger_of`, `register`, `build_image`, `render` and `deploy`.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    if not by_hand and not names_version(tag, ruling.config):
        return Reaction(0, nothing=f"the tag {tag} names no version of {ruling.config.model}")
    ruled = project.ruled_by(ruling.config)
    for target in ruled.config.targets:
        ruled.ledger_of(target)  # before anything is begun: an address that is not set
    registered = register(project, tag)
    version = registered.version
    notify(f"{version.model} {version.version} is registered, of commit {version.sha[:7]}")
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
    return replace(
        _deployed(project, ruled, version, bundle, into, notify),
        run_id=version.run_id,
        registered=registered,
        rendered=bundle.folder,
        image=image or ruled.config.serving.image,
    )


def _deployed(
    project: Project,
    ruled: Project,
    version: ModelVersion,
    bundle: Bundle,
    into: Path,
    notify: Callable[[str], None],
) -> Reaction:
    """Deploy *version* as far as nobody must be asked, ask for what comes next, and say which job is to go on."""
    deployed, waiting, blocked, handed = [], [], set(), []
    hub = hub_of(ruled)
    for name in _in_order(ruled.config.targets):
        settings, folder = ruled.config.targets[name], into / f"deploy-{name}"
        after = Next(name, version.version, records.digest(bundle.plans[name]), settings.environment or name)
        # What people must agree to is deployed by a job that names its environment, and so has the secrets of that.
        do = ask if settings.approval and hub else deploy
        try:
            done = do(project, name, version=version.version, into=folder, tell=notify)
        except AwaitsApproval as refusal:
            waiting.append(f"{refusal}. {refusal.hint}")
            # What comes after a target that waits has not been asked for yet: a review would let in nothing.
            if settings.after not in blocked and _is_reviewed(hub, after.environment, notify):
                handed.append(after)
            blocked.add(name)
            continue
        if done is None:
            blocked.add(name)
            handed.append(after)
        else:
            deployed.append(done)
    return Reaction(0, deployed=tuple(deployed), waiting=tuple(waiting), next=handed[0] if handed else None)


def _in_order(targets: Mapping[str, TargetConfig]) -> list[str]:
    """The names of *targets*, each behind the one that it comes after; the configuration has no circles."""

    def depth(name: str) -> int:
        return 1 + depth(targets[name].after) if targets[name].after else 0

    return sorted(targets, key=depth)


def _is_reviewed(hub: GitHub | None, environment: str, notify: Callable[[str], None]) -> bool:
    """Whether a job that names *environment* waits for its reviewers; without them a comment approves."""
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
