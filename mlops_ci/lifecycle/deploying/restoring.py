"""
What was deployed before, made ready to be deployed again: by its own recorded manifests, not by rendering anew.

A record is anybody's who may push. So it is believed only as far as somebody vouches for it: its manifests are those of
its plan, and the plan is what the target itself says that it runs, or what people agreed to who may agree today. Where
nobody has to agree, the manifests have at least to pass what rendered ones pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlops_ci import records
from mlops_ci.config import ApprovalRule
from mlops_ci.entities import ArtifactRef, Deployment, ModelVersion
from mlops_ci.errors import MlopsCIError, NotFound, Refused
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals import decisions, four_eyes
from mlops_ci.lifecycle.approvals.approval_requests import Asked, key_of, last_change, read_request
from mlops_ci.lifecycle.approvals.decisions import Case, Unconfirmed
from mlops_ci.lifecycle.approvals.four_eyes import version_of
from mlops_ci.lifecycle.approvals.github_witness import witness_of
from mlops_ci.lifecycle.deploying import manifests
from mlops_ci.lifecycle.deploying.manifests import Kept
from mlops_ci.lifecycle.deploying.performing import Task
from mlops_ci.lifecycle.deployments import deployments
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import fetch_model, target_of
from mlops_ci.records import Record
from mlops_ci.targets import Order, Target, Tell

_EXAMPLE = "input_example.json"
NOTHING_KEPT = ArtifactRef(path="manifests.json", digest=records.digest({}), size_bytes=2)
_DEPLOY = "deploy that version again, which asks whom it has to ask"


def task_of(project: Project, target: Target, record: Record | None, folder: Path, tell: Tell) -> Task | None:
    """
    The task to deploy *record* again; None for None.

    Its order has no files where they were not kept, or nobody vouches for them: a target that needs them says so.
    Whoever agreed to it then is named again.

    Raises:
        ServiceError: The ledger or the artifact store did not answer.
        IntegrityError: The model's example is not what its digest says.
    """
    if record is None:
        return None
    try:
        files = trusted(project, target, record).files
    except (NotFound, Refused) as error:
        tell(f"{error}, so it could not be gone back to")
        files = {}
    return task_with(project, target, record, files, folder, tell)


def task_with(
    project: Project, target: Target, record: Record, files: dict[str, str], folder: Path, tell: Tell
) -> Task:
    """The task to deploy *record* again by *files*, its own. As `task_of`."""
    deployment = record.read(Deployment)
    return Task(
        project=project,
        target=target,
        plan=deployment.plan,
        policy_sha=deployment.policy_sha,
        order=Order(files=files, plan_digest=deployment.plan_digest, force=True),
        example=_example(project, version_of(project, deployment.plan), folder),
        kept=deployment.manifests or NOTHING_KEPT,
        tell=tell,
        previous=record,
        fields={"approvals": deployment.approvals, "request": deployment.request},
    )


def trusted(project: Project, target: Target, record: Record) -> Kept:
    """
    What was rendered for *record*, if somebody vouches for it.

    Raises:
        NotFound: It was not kept.
        Refused: Nobody vouches for it; or, as IntegrityError, it is not what its plan says.
        ServiceError: The ledger or the artifact store did not answer.
    """
    plan, kept = record.read(Deployment).plan, manifests.read(project, record)
    settings = target_of(project.config, plan.target)
    title = f"deployment {record.id[:12]} of {plan.model} {plan.version}"
    if (plan.project, plan.kind) != (project.config.project, settings.kind):
        raise Refused(f"{title} is one to {plan.kind} of the project {plan.project}", hint=_DEPLOY)
    if runs(target, record):
        return kept
    if settings.approval is None and not settings.production:
        problems = target.check(kept.files).problems
        if problems:
            raise Refused(f"{title} is not valid: {problems[0]}", hint=_DEPLOY)
        return kept
    why = _not_agreed(project, record, settings.approval or ApprovalRule())
    if why:
        raise Refused(f"nobody vouches for {title}: {why}", hint=_DEPLOY)
    return kept


def runs(target: Target, record: Record) -> bool:
    """Whether the target itself says that it runs *record*'s plan: whoever can write there needs no record of ours."""
    try:
        status = target.status()
    except MlopsCIError:
        return False
    return status is not None and status.plan_digest == record.body["plan_digest"]


def _not_agreed(project: Project, record: Record, rule: ApprovalRule) -> str:
    """Why the plan of *record* does not count as approved when it first went live; "" if it does."""
    plan_digest = record.body["plan_digest"]
    found = project.ledger_of(record.body["plan"]["target"]).find(key_of(plan_digest))
    history = deployments(project, record.body["plan"]["target"])
    live = [one for one in history if one.body["status"] == "live" and one.body["plan_digest"] == plan_digest]
    first = (live or [record])[0]
    changed = last_change([one for one in history if (one.time, one.id) < (first.time, first.id)])
    why, ruling = "its plan was never asked about", policy.at_default_branch(project.checkout, project.config_name)
    for one in found:
        if one.kind != "request":
            continue
        try:
            asked = replace(read_request(one, rule), changed=changed)
            if asked.request.plan != record.read(Deployment).plan:
                continue
            why = _counted(asked, found, _case(project, asked, first, history, ruling), rule)
        except Refused as error:
            why = str(error)
        if not why:
            return ""
    return why


def _counted(asked: Asked, found: list[Record], case: Case, rule: ApprovalRule) -> str:
    """Why the decisions among *found* on *asked* do not suffice; "" if they do."""
    voices: list[frozenset[str]] = []
    why = ""
    for record in found:
        if record.kind != "approval" or decisions.named(record) != asked.record.id:
            continue
        try:
            decision, voice = decisions.check(record, asked, case)
        except Refused as error:
            if isinstance(error, Unconfirmed) and record.body.get("decision") == "reject":
                return str(error)
            why = str(error)
            continue
        if decision.decision == "reject":
            return f"{voice.name} rejected it"
        # One key or one name is one person.
        voices = [*_apart(voices, voice.names), voice.names.union(*(one for one in voices if one & voice.names))]
    if len(voices) >= rule.required:
        return ""
    return f"{len(voices)} of {rule.required} approvals hold{f' ({why})' if why else ''}"


def _apart(voices: list[frozenset[str]], names: frozenset[str]) -> Iterator[frozenset[str]]:
    return (one for one in voices if not one & names)


def _case(project: Project, asked: Asked, first: Record, history: list[Record], ruling: DefaultBranch) -> Case:
    """Judge by the rules and keys of today; a key must have been valid when *first* went live."""
    plan = asked.request.plan
    replaced = next((one for one in history if one.id == asked.request.replaces), None)
    version, before = version_of(project, plan), four_eyes.version_serving(project, replaced)
    return Case(
        ruling,
        [first.author.email, first.author.name, *asked.people, *four_eyes.people_of(project, plan, replaced)],
        version.sha if version else "",
        before.sha if before else "",
        witness_of(project),
        at=records.moment(first.time),
        tag=version.tag if version else "",
    )


def _example(project: Project, version: ModelVersion | None, folder: Path) -> Path:
    """The model's input example in *folder*, if it has one."""
    files = [file for file in version.artifact.files if file.path == _EXAMPLE] if version else []
    if files and version:
        wanted = records.replace(version, artifact=records.replace(version.artifact, files=files))
        fetch_model(project, wanted, folder)
    return folder / _EXAMPLE
