"""What was deployed, kept: the rendered files of a target as one artifact, from which they can be applied again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlops_ci import digests, records
from mlops_ci.entities import ArtifactRef, Deployment
from mlops_ci.errors import IntegrityError, NotFound
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record

_NAME = "manifests.json"


def keep(project: Project, files: Mapping[str, str]) -> ArtifactRef:
    """
    Put *files* (text by path) into the artifact store; the same files again cost nothing.

    Raises:
        ServiceError: The store did not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, _NAME)
        file.write_bytes(records.canonical(dict(files)))
        reference = digests.reference(file, _NAME)
        project.artifacts.put({reference.digest: file})
    return reference


def fetch(project: Project, record: Record) -> dict[str, str]:
    """
    Return what the deployment *record* was told, verified against its digest.

    Raises:
        NotFound: It was recorded before its manifests were kept, or the store lacks them.
        IntegrityError: They are not what their digest says.
        ServiceError: The store did not answer.
    """
    kept = record.read(Deployment).manifests
    if kept is None:
        raise NotFound(
            f"the manifests of deployment {record.id[:12]} were not kept", hint="deploy that version again instead"
        )
    with tempfile.TemporaryDirectory() as folder:
        data = project.artifacts.get([kept.digest], Path(folder))[kept.digest].read_bytes()
    files = json.loads(data)
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise IntegrityError(f"the manifests of deployment {record.id[:12]} are no files")
    return files
