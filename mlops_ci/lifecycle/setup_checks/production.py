"""Whether production is protected by an approval rule that somebody can meet, and deployed to when it is met."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlops_ci.config import ApprovalRule, Config
from mlops_ci.lifecycle.project import ALLOWED_SIGNERS
from mlops_ci.lifecycle.setup_checks.asking import Asked
from mlops_ci.lifecycle.setup_checks.findings import Finding, right, warning, wrong
from mlops_ci.lifecycle.setup_checks.workflow_files import Workflow
from mlops_ci.numerals import count

if TYPE_CHECKING:
    from mlops_ci.github import GitHub

_NAME = "production.protected"
_RELEASES = {"tag", "release", "workflow_dispatch"}


def check(asked: Asked, config: Config, signers: Sequence[str], ours: Sequence[Workflow]) -> Iterator[Finding]:
    """Yield for each production target of *config* whether somebody must agree first; *signers* have keys here."""
    for name, target in config.targets.items():
        if not target.production:
            continue
        if target.approval:
            yield from _rule(name, target.approval, signers, on_github=bool(asked.place.repository))
        else:
            what = f"who protects {name}, which has no approval rule in mlops.yaml,"
            environment = target.environment or name
            yield from asked.about(_NAME, what, lambda hub, of=(name, environment): _unruled(hub, *of))  # type: ignore[misc]
    waiting = [name for name, target in config.targets.items() if target.approval]
    if waiting and _releases(ours) and not any("deploy" in job.parts for one in ours for job in one.our_jobs):
        yield warning(
            "production.deployed",
            f"no job deploys to {', '.join(waiting)} when that is approved: no step of mlops-ci has the input `deploy`",
            "`mlops-ci init` writes such jobs in a new folder: take over `deploy` from there",
        )


def _rule(name: str, rule: ApprovalRule, signers: Sequence[str], *, on_github: bool) -> Iterator[Finding]:
    people = set(signers)
    if not rule.from_ and not on_github and len(people) < rule.required:
        yield wrong(
            _NAME,
            f"{name} needs {count(rule.required, 'approval')}, and {ALLOWED_SIGNERS} has {count(len(people), 'name')}",
            'add a line `<email> namespaces="mlops-ci" <public SSH key>` for each who may, or name them in `from:`',
            file=ALLOWED_SIGNERS,
        )
    else:
        whose = f" from {', '.join(rule.from_)}" if rule.from_ else ""
        yield right(_NAME, f"{name} needs {count(rule.required, 'approval')}{whose}")


def _releases(ours: Sequence[Workflow]) -> bool:
    """Whether a job releases version tags, and so asks for approvals."""
    return any(
        job.parts & {"all", ""} and any(job.is_reached_by(event) for event in workflow.events & _RELEASES)
        for workflow in ours
        for job in workflow.our_jobs
    )


def _unruled(hub: GitHub, name: str, environment: str) -> Iterator[Finding]:
    from mlops_ci.github import rules  # noqa: PLC0415  # with the hub

    found = rules.environment(hub, environment)
    how = f"add `approval: {{required: 1}}` to targets.{name} in mlops.yaml"
    if not found.reviewers:
        lacks = "has no required reviewers" if found.exists else "does not exist"
        text = f"nothing protects {name}: it has no approval rule, and the environment {environment} {lacks}"
        yield wrong(_NAME, text, f"{how}; without it nothing is deployed there")
        return
    text = f"{name} has no approval rule, which says how many reviewers of the environment {environment} are needed"
    yield wrong(_NAME, text, f"{how}; without it nothing is deployed there, whoever reviews")
