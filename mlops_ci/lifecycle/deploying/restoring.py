"""What was deployed before, made ready to be deployed again: by its own recorded manifests, not by rendering anew."""

from __future__ import annotations

from pathlib import Path

from mlops_ci import records
from mlops_ci.entities import ArtifactRef, Deployment, ModelVersion
from mlops_ci.errors import NotFound
from mlops_ci.lifecycle.approvals.four_eyes import version_of
from mlops_ci.lifecycle.deploying import manifests
from mlops_ci.lifecycle.deploying.performing import Task
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import fetch_model
from mlops_ci.records import Record
from mlops_ci.targets import Order, Target, Tell

_EXAMPLE = "input_example.json"
_NOTHING = ArtifactRef(path="manifests.json", digest=records.digest({}), size_bytes=2)


def task_of(project: Project, target: Target, record: Record | None, folder: Path, tell: Tell) -> Task | None:
    """
    The task to deploy *record* again; None for None.

    Its order has no files where they were not kept: a target that needs them says so. Whoever agreed to it then is
    named again.

    Raises:
        ServiceError: The ledger or the artifact store did not answer.
        IntegrityError: The manifests, or the model's example, are not what their digests say.
    """
    if record is None:
        return None
    deployment = record.read(Deployment)
    version = version_of(project, deployment.plan)
    try:
        files = manifests.fetch(project, record)
    except NotFound:
        files = {}
    return Task(
        project=project,
        target=target,
        plan=deployment.plan,
        policy_sha=deployment.policy_sha,
        order=Order(files=files, plan_digest=deployment.plan_digest, force=True),
        example=_example(project, version, folder),
        kept=deployment.manifests or _NOTHING,
        tell=tell,
        previous=record,
        fields={"approvals": deployment.approvals},
    )


def _example(project: Project, version: ModelVersion | None, folder: Path) -> Path:
    """The model's input example in *folder*, if it has one."""
    files = [file for file in version.artifact.files if file.path == _EXAMPLE] if version else []
    if files and version:
        wanted = records.replace(version, artifact=records.replace(version.artifact, files=files))
        fetch_model(project, wanted, folder)
    return folder / _EXAMPLE
