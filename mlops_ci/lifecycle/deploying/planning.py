"""
Plan a deployment: what would be deployed, by the rules of the default branch.

It is rendered afresh every time; what was approved is its digest, so anything that changes what would be deployed also
undoes the approval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_ci import records
from mlops_ci.config import Target as TargetConfig
from mlops_ci.entities import ModelVersion, Plan
from mlops_ci.errors import Refused, UsageError
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals.approval_requests import SHORTEST_PREFIX
from mlops_ci.lifecycle.deployments import deployments, serving
from mlops_ci.lifecycle.find_version import find_version
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import Bundle, render, target_of
from mlops_ci.records import Record
from mlops_ci.targets import Order, Target


@dataclass(frozen=True)
class Prospect:
    """
    What a deployment would do, and by which rules.

    Attributes:
        project: Under the rules of *ruling*.
        ruling: The default branch.
        settings: The target's.
        version: What would be deployed.
        bundle: What was rendered, with the model.
        history: The deployments to the target, oldest first.
    """

    project: Project
    ruling: DefaultBranch
    settings: TargetConfig
    version: ModelVersion
    bundle: Bundle
    plan: Plan
    history: Sequence[Record]

    @property
    def target(self) -> Target:
        """Where it would go."""
        return self.bundle.targets[self.plan.target]

    @property
    def digest(self) -> str:
        """The plan's: what is approved."""
        return records.digest(self.plan)

    @property
    def previous(self) -> Record | None:
        """The deployment that serves now."""
        return serving(self.history)

    @property
    def order(self) -> Order:
        """What the target is told."""
        return Order(
            files=self.bundle.texts[self.plan.target],
            plan_digest=self.digest,
            service=self.bundle.folder / "service",
        )


def prospect(project: Project, target: str, *, version: str = "", plan: str = "", into: Path) -> Prospect:
    """
    Render what deploying *version* (the newest, unless named) to *target* would do.

    Args:
        project: The checkout.
        target: A key of `targets:` on the default branch.
        version: As `find_version` takes it.
        plan: The digest that the plan must have, or how it begins (8 digits at least); "" for any.
        into: An empty folder for what is rendered.

    Raises:
        NotFound: There is no such target or version.
        ConfigError: What is rendered is not valid.
        Refused: The plan is another than *plan*.
        UsageError: *plan* is too short to tell plans apart.
    """
    wanted = plan.removeprefix("sha256:").lower()
    if plan and len(wanted) < SHORTEST_PREFIX:
        raise UsageError(f"{plan!r} is too short", hint=f"give at least {SHORTEST_PREFIX} digits of the plan's digest")
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project = project.ruled_by(ruling.config)
    settings = target_of(project.config, target)
    found, record = find_version(project.ledger, project.config, version)
    bundle = render(
        project,
        found,
        record.id,
        [target],
        into=into / "bundle",
        overrides=ruling.templates(into / "templates"),
        with_model=True,
    )
    made = Prospect(project, ruling, settings, found, bundle, bundle.plans[target], deployments(project, target))
    if wanted and not made.digest.removeprefix("sha256:").startswith(wanted):
        raise Refused(
            f"the plan for {target} is {made.digest[7:19]} now, and not {wanted[:12]}: something of it has changed",
            hint="version, image, manifests or rules are other ones than those that were shown; plan and ask again",
        )
    return made


def look_again(made: Prospect) -> Prospect:
    """
    Return *made* by the rules, the keys and the history of now: minutes may have gone by since it was planned.

    Raises:
        Refused: The rules of the default branch have changed.
        ServiceError: The remote or the ledger did not answer.
    """
    ruling = same_rules(made.project, made.ruling)
    return replace(made, ruling=ruling, history=deployments(made.project, made.plan.target))


def same_rules(project: Project, ruling: DefaultBranch) -> DefaultBranch:
    """
    The default branch as it is now, with the keys of now, if its rules and templates are those of *ruling* still.

    Raises:
        Refused: They are not.
        ServiceError: The remote did not answer.
    """
    now = policy.at_default_branch(project.checkout, project.config_name)
    if now.sha != ruling.sha and not now.renders_as(ruling):
        raise Refused(
            f"the rules of {now.name} have changed since this was planned",
            hint="run the same command again: it goes by the new ones",
        )
    return now


def demand_image(prospect: Prospect) -> None:
    """Raise `UsageError` if the target needs an image and none is recorded: a tag alone may be moved."""
    if prospect.target.needs_image and "@sha256:" not in prospect.plan.image:
        version = f"{prospect.plan.model} {prospect.plan.version}"
        named = prospect.project.config.serving.image
        why = f"no image of {version} was pushed to {named}" if named else "nothing says what the image is called"
        raise UsageError(
            f"{prospect.plan.target} runs an image, and {why}",
            hint=f"`mlops-ci build {prospect.plan.version} --push`"
            if named
            else "add `serving: {image: ghcr.io/acme/churn}` to mlops.yaml on the default branch",
        )
