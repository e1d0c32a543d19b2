"""A project whose versions are published at addresses in folders, after somebody has signed for it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_ci import digests, records
from mlops_ci.entities import Author, Deployment, Model, ModelVersion
from mlops_ci.errors import AwaitsApproval
from mlops_ci.lifecycle.approvals.approval_requests import requests
from mlops_ci.lifecycle.approvals.approve import decide
from mlops_ci.lifecycle.deploying.deploy import deploy
from mlops_ci.lifecycle.deploying.performing import Deployed
from mlops_ci.lifecycle.deploying.roll_back import roll_back
from mlops_ci.lifecycle.deployments import current
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record
from mlops_ci.targets import Tell, nothing_to_say
from tests.repositories import commit, git

MALLORY = Author(name="mallory", email="mallory@example.com", via="git")
CONFIG = """\
project: churn
serving: {image: registry.example/acme/churn}
targets:
  production: {kind: uri, uri: PLACE, approval: {required: 1}}
  staging: {kind: uri, uri: PLACE-staging}
"""


@dataclass
class Scene:
    """A project with the versions 1.0.0 and 1.1.0, a production that wants an approval, and somebody who approves."""

    root: Path
    key: Path

    @property
    def project(self) -> Project:
        return Project.open(self.root)

    @property
    def published(self) -> Any:
        """What readers of the address are told."""
        return json.loads((self.root.parent / "place" / "current.json").read_text())

    def folder(self) -> Path:
        folder = self.root.parent / os.urandom(4).hex()
        folder.mkdir()
        return folder

    def register(self, version: str, *, path: str = "model.bin") -> Record:
        file = self.folder() / "model.bin"
        file.write_text(version)
        reference = digests.reference(file, path)
        self.project.artifacts.put({reference.digest: file})
        model = Model(flavor="python", digest=digests.of_tree([reference]), size_bytes=5, files=[reference])
        sha = git(self.root, "rev-parse", "HEAD")
        made = ModelVersion(
            model="churn",
            version=version,
            tag=f"v{version}",
            sha=sha,
            tree=sha,
            run_id="r",
            run_record="",
            artifact=model,
        )
        record = records.new(made, author=self.project.author)
        self.project.ledger.append([record], claims={f"version/churn/{version}": record})
        return record

    def deploy(self, version: str, target: str = "production") -> Deployed:
        """Deploy, with an approval if one is asked for."""
        try:
            return deploy(self.project, target, version=version, into=self.folder())
        except AwaitsApproval:
            asked = next(one for one in requests(self.project) if one.state == "open")
            decide(self.project, asked.request.plan_digest, key=self.key)
        return deploy(self.project, target, version=version, into=self.folder())

    def roll_back(self, target: str = "production", *, to: str = "", tell: Tell = nothing_to_say) -> Deployed:
        return roll_back(self.project, target, to=to, into=self.folder(), tell=tell)

    def push(self, deployment: Deployment) -> Record:
        """What whoever may push to `refs/mlops` does."""
        record = records.new(deployment, author=MALLORY)
        self.project.ledger.append([record])
        return record

    def rule(self, files: dict[str, str]) -> None:
        """Merge *files* into the default branch."""
        commit(self.root, files)
        git(self.root, "push", "--quiet", "origin", "HEAD:main")

    def last(self, target: str = "production") -> Deployment:
        record = current(self.project, target)
        assert record is not None
        return record.read(Deployment)
