"""What the jobs that use mlops-ci may do: enough for their part, and nothing that the code they train could abuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from mlops_ci.config import Config
from mlops_ci.lifecycle.setup_checks.findings import Finding, right, warning, wrong
from mlops_ci.lifecycle.setup_checks.workflow_files import Job, Workflow

_TOLD = frozenset({"pull_request", "merge_group", "push", "workflow_dispatch", "schedule", "workflow_run"})
"""The events that end in a check."""

_BY_STRANGERS = frozenset({"workflow_run", "issue_comment"})
_TRAINING = frozenset({"all", "train"})
_PINNED = re.compile(r".+@([0-9a-f]{40}|[0-9a-f]{64})|docker://.+@sha256:[0-9a-f]{64}")
_RISING = ("none", "read", "write")
_OWN_TOKENS = ("", "github.token", "secrets.github_token")

Choice = tuple[str, ...]
"""Permissions of which one is enough, as a workflow writes them: "checks: write"."""


def check(ours: Sequence[Workflow], config: Config) -> Iterator[Finding]:
    """Yield what is to be said of the jobs of *ours*, the workflows that use mlops-ci."""
    rules: list[Callable[[Workflow, Job, Config], Iterator[Finding]]] = [_rights, _code, _checkouts, _cancelled]
    found = [
        replace(finding, file=workflow.path, line=finding.line or job.line)
        for rule in rules
        for workflow in ours
        for job in workflow.our_jobs
        for finding in rule(workflow, job, config)
    ]
    if not any(finding.check == "workflows.permissions" for finding in found) and any(one.our_jobs for one in ours):
        yield right("workflows.permissions", "each job that uses mlops-ci may do what its part takes, and no more")
    yield from found
    yield from _pins(ours)


def has_own_token(ours: Sequence[Workflow]) -> bool:
    """Whether mlops-ci is given another token than the workflow's own, so that another App sets the check."""
    said = [step.inputs.get("github-token", "") for workflow in ours for job in workflow.our_jobs for step in job.ours]
    return any(token.strip("${} ").lower() not in _OWN_TOKENS for token in said)


def _rights(workflow: Workflow, job: Job, config: Config) -> Iterator[Finding]:
    check = "workflows.permissions"
    needed = _needed(job, _reached(workflow, job), config)
    how = "name what it takes: permissions: {" + ", ".join(choice[0] for choice in needed) + "}"
    if job.everything == "write-all":
        yield wrong(check, f"the job {job.key} has `permissions: write-all`", how)
    elif job.permissions is None and not job.everything:
        yield wrong(check, f"the job {job.key} names no permissions: it has what the repository's settings give", how)
    else:
        missing = [choice for choice in needed if not any(_has(job, permission) for permission in choice)]
        if missing:
            lacks = " and ".join(" or ".join(f"`{permission}`" for permission in choice) for choice in missing)
            yield wrong(check, f"the job {job.key} lacks {lacks}", "add that to its `permissions:`")
        yield from _too_much(job)


def _needed(job: Job, reached: set[str], config: Config) -> list[Choice]:
    """What *job* takes on the events that it is *reached* by."""
    if job.parts <= {"train"}:
        return [("contents: read",)]
    if job.parts == {"deploy"}:
        return [("contents: write",), ("deployments: write",), ("actions: read",)]
    needed: list[Choice] = [("contents: write",)]
    if reached & {"pull_request", "workflow_run"} and config.report.comment != "never":
        needed.append(("pull-requests: write",))
    if reached & _TOLD and config.report.check != "none":
        kinds = {"check-run": ("checks: write",), "status": ("statuses: write",)}
        needed.append(kinds.get(config.report.check, ("checks: write", "statuses: write")))
    if "workflow_run" in reached:
        needed.append(("actions: read",))
    return needed


def _too_much(job: Job) -> Iterator[Finding]:
    """A token that training could write with: only where writing is another job's part."""
    if job.parts != {"train"} or job.permissions is None:
        return
    writes = [f"{name}: {level}" for name, level in job.permissions.items() if level == "write" and name != "id-token"]
    if writes:
        yield wrong(
            "workflows.permissions",
            f"the job {job.key} trains and may write ({', '.join(writes)}): whatever it runs may do so too",
            "leave it `contents: read`; the job with `part: record` writes",
        )
    if job.may("id-token") == "write":
        yield warning(
            "workflows.id_token",
            f"the job {job.key} trains and may prove to others that it is this workflow (id-token: write)",
            "let whoever trusts that give it no more than to read the data",
        )


def _code(workflow: Workflow, job: Job, config: Config) -> Iterator[Finding]:
    """Where strangers' events reach a job that may write, none of their code may."""
    del config
    by_strangers = sorted(_reached(workflow, job) & _BY_STRANGERS)
    if by_strangers and job.parts & _TRAINING:
        yield wrong(
            "workflows.untrusted_code",
            f"the job {job.key} trains on `{by_strangers[0]}`, which strangers cause, with a token that may write",
            "give the step `part: record`, which runs none of the repository's code",
        )
    elif job.parts == {"record"} and job.checkouts:
        yield replace(
            warning(
                "workflows.untrusted_code",
                f"the job {job.key} may write and checks the repository out, which `part: record` does not need",
                "remove the checkout, so that none of that code can be run here",
            ),
            line=job.checkouts[0].line,
        )


def _checkouts(workflow: Workflow, job: Job, config: Config) -> Iterator[Finding]:
    del config
    for step in job.checkouts if job.parts & _TRAINING else ():
        if step.inputs.get("persist-credentials") != "false":
            text = f"the checkout of the job {job.key} leaves its token where training can read it"
            yield replace(
                warning("workflows.credentials", text, "give it `persist-credentials: false`"), line=step.line
            )
        shallow = step.inputs.get("fetch-depth", "1") == "1"
        if shallow and "pull_request" in _reached(workflow, job):
            text = f"the checkout of the job {job.key} lacks the target branch, whose rules judge a pull request"
            yield replace(wrong("workflows.fetch_depth", text, "give it `fetch-depth: 0`"), line=step.line)


def _cancelled(workflow: Workflow, job: Job, config: Config) -> Iterator[Finding]:
    del workflow, config
    if job.cancels and job.parts & {"all", "record"}:
        yield warning(
            "workflows.cancel",
            f"a newer run ends the job {job.key} while it records (`cancel-in-progress: true`)",
            "leave that to a job with `part: train`",
        )


def _pins(ours: Sequence[Workflow]) -> Iterator[Finding]:
    """Other people's actions by commit. What mlops-ci itself is pinned to is told by whoever wrote it there."""
    check = "workflows.pinned"
    if not any(workflow.our_jobs for workflow in ours):
        return
    moving = {
        (step.uses, workflow.path, step.line)
        for workflow in ours
        for job in workflow.our_jobs
        for step in job.steps
        if not step.is_ours and not step.uses.startswith("./") and not _PINNED.fullmatch(step.uses)
    }
    for path in sorted({path for _, path, _ in moving}):
        there = sorted((line, uses) for uses, of, line in moving if of == path)
        names = ", ".join(dict.fromkeys(uses for _, uses in there))
        text = f"a tag or a branch can be moved to other code: {names}"
        yield warning(
            check, text, "pin each to a commit's SHA, and let Dependabot move it", file=path, line=there[0][0]
        )
    if not moving:
        yield right(check, "other people's actions are pinned by commit")


def _reached(workflow: Workflow, job: Job) -> set[str]:
    return {event for event in workflow.events if job.is_reached_by(event)}


def _has(job: Job, permission: str) -> bool:
    name, _, level = permission.partition(": ")
    has = job.may(name)
    return has in _RISING and _RISING.index(has) >= _RISING.index(level)
