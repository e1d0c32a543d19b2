"""Whether production is protected: by an approval rule of ours, or by the reviewers of an environment on GitHub."""

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


def check(asked: Asked, config: Config, signers: Sequence[str], ours: Sequence[Workflow]) -> Iterator[Finding]:
    """Yield for each production target of *config* whether somebody must agree first; *signers* have keys here."""
    for name, target in config.targets.items():
        if not target.production:
            continue
        if target.approval:
            yield from _rule(name, target.approval, signers)
        else:
            what = f"who protects {name}, which has no approval rule in mlops.yaml,"
            yield from asked.about(_NAME, what, lambda hub, name=name: _environment(hub, name, ours))  # type: ignore[misc]


def _rule(name: str, rule: ApprovalRule, signers: Sequence[str]) -> Iterator[Finding]:
    people = set(signers)
    if not rule.from_ and len(people) < rule.required:
        yield wrong(
            _NAME,
            f"{name} needs {count(rule.required, 'approval')}, and {ALLOWED_SIGNERS} has {count(len(people), 'name')}",
            'add a line `<email> namespaces="mlops-ci" <public SSH key>` for each who may, or name them in `from:`',
            file=ALLOWED_SIGNERS,
        )
    else:
        whose = f" from {', '.join(rule.from_)}" if rule.from_ else ""
        yield right(_NAME, f"{name} needs {count(rule.required, 'approval')}{whose}")


def _environment(hub: GitHub, name: str, ours: Sequence[Workflow]) -> Iterator[Finding]:
    from mlops_ci.github import rules  # noqa: PLC0415  # with the hub

    found = rules.environment(hub, name)
    how = f"add `approval: {{required: 1}}` to targets.{name} in mlops.yaml"
    if not found.reviewers:
        lacks = "has no required reviewers" if found.exists else "does not exist"
        text = f"nothing protects {name}: it has no approval rule, and the environment {name} {lacks}"
        yield wrong(_NAME, text, f"{how}; without it nothing is deployed there")
        return
    using = any(job.environment == name for workflow in ours for job in workflow.our_jobs)
    if not using:
        text = f"the environment {name} has reviewers, and no job with mlops-ci says `environment: {name}`"
        yield wrong(_NAME, text, f"say so in the job that deploys, or {how}")
        return
    text = f"{name} is protected by the reviewers of its environment ({', '.join(found.reviewers)}) alone"
    yield warning(_NAME, text, f"{how}, so that the approval is recorded with what was approved")
