"""
What was deployed, kept: all that was rendered for a target as one artifact, from which it can be deployed again.

Its digest is that in the plan, so whoever agreed to the plan agreed to these bytes, and to no others.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_ci import digests, records
from mlops_ci.entities import ArtifactRef, Deployment
from mlops_ci.errors import IntegrityError, NotFound
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import place_in, told
from mlops_ci.records import Record

_NAME = "manifests.json"


@dataclass(frozen=True)
class Kept:
    """What was rendered, text by path: the *files* of the target, and those of the *service* but for the model."""

    files: dict[str, str]
    service: dict[str, str]

    def write_service(self, folder: Path) -> None:
        """Write the service's files into *folder*. Raises `IntegrityError` if one would be outside of it."""
        for place, text in [(place_in(folder, path), text) for path, text in self.service.items()]:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, "utf-8")


def keep(project: Project, files: Mapping[str, str], service: Mapping[str, str] | None = None) -> ArtifactRef:
    """
    Put what was rendered (text by path) into the artifact store; the same again costs nothing.

    Raises:
        ServiceError: The store did not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, _NAME)
        file.write_bytes(records.canonical(told(service or {}, files)))
        reference = digests.reference(file, _NAME)
        project.artifacts.put({reference.digest: file})
    return reference


def fetch(project: Project, record: Record) -> dict[str, str]:
    """The files of the target that the deployment *record* was told; as `read`."""
    return read(project, record).files


def read(project: Project, record: Record) -> Kept:
    """
    Return what the deployment *record* was told, verified against its plan.

    Raises:
        NotFound: It was recorded before its manifests were kept, or the store lacks them.
        IntegrityError: They are not those of the plan that the record shows.
        ServiceError: The store did not answer.
    """
    deployment = record.read(Deployment)
    kept, title = deployment.manifests, f"the manifests of deployment {record.id[:12]}"
    if kept is None:
        raise NotFound(f"{title} were not kept", hint="deploy that version again instead")
    # A record is anybody's who may push: what it says of itself has to follow from the plan that people agreed to.
    if (records.digest(deployment.plan), kept.digest) != (deployment.plan_digest, deployment.plan.manifests_digest):
        raise IntegrityError(f"{title} are not those of its plan", hint="deploy that version again instead")
    with tempfile.TemporaryDirectory() as folder:
        data = project.artifacts.get([kept.digest], Path(folder))[kept.digest].read_bytes()
    try:
        texts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{title} are no files") from error
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise IntegrityError(f"{title} are no files")
    return Kept(files=_below("target/", texts), service=_below("service/", texts))


def _below(folder: str, texts: Mapping[str, str]) -> dict[str, str]:
    return {path.removeprefix(folder): text for path, text in texts.items() if path.startswith(folder)}
