"""
Four eyes: who had a hand in what a plan deploys, and whether two names are one person.

Names come from git and from CI, which take people's word for them: they can exclude somebody, never admit.
"""

from __future__ import annotations

import re

from mlops_ci import git
from mlops_ci.entities import Deployment, ModelVersion, Plan
from mlops_ci.errors import IntegrityError
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record

_MOST_COMMITS = 1000
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GITHUB_ADDRESS = re.compile(r"(?:\d+\+)?(.+)@users\.noreply\.github\.com")


def identity(name: str) -> str:
    """What is the same for all spellings of a person: the GitHub login of its noreply addresses, no capitals."""
    lower = name.strip().lower()
    match = _GITHUB_ADDRESS.fullmatch(lower)
    return match[1] if match else lower


def people_of(project: Project, plan: Plan, serving: Record | None) -> list[str]:
    """
    Who registered, tagged, wrote or committed what *plan* brings beyond the deployment *serving* now.

    As far as this clone's history goes: the commits since the serving version, what a merge brought in, the commit.

    Raises:
        ServiceError: The ledger did not answer.
    """
    found = _version(project, plan)
    if found is None:
        return []
    record, version = found
    before = _version(project, serving.read(Deployment).plan) if serving else None
    ranges = [[version.sha, "-1"], [f"{version.sha}^1..{version.sha}"]]
    if before is not None and _SHA.fullmatch(before[1].sha):
        ranges.append([f"{before[1].sha}..{version.sha}"])
    written = [person for commits in ranges for person in _authors(project, version.sha, commits)]
    registrar = [record.author.email, record.author.name]
    return git.unique([*version.people, *registrar, *_tagger(project, version.tag), *written])


def version_of(project: Project, plan: Plan) -> ModelVersion | None:
    """The version that *plan* deploys; None if the ledger has no such record. Raises `ServiceError` as the ledger."""
    found = _version(project, plan)
    return found[1] if found else None


def version_serving(project: Project, serving: Record | None) -> ModelVersion | None:
    """The version of the deployment *serving*. As `version_of`."""
    return version_of(project, serving.read(Deployment).plan) if serving else None


def _version(project: Project, plan: Plan) -> tuple[Record, ModelVersion] | None:
    for record in project.ledger.find(f"model/{plan.model}/{plan.version}"):
        if record.id == plan.version_record:
            try:
                return record, record.read(ModelVersion)
            except IntegrityError:
                return None
    return None


def _authors(project: Project, sha: str, commits: list[str]) -> list[str]:
    """Addresses of authors and committers; none where this clone lacks the commits (a record names them)."""
    if not _SHA.fullmatch(sha):
        return []
    try:
        log = ["log", "--no-show-signature", f"--max-count={_MOST_COMMITS}", "--format=%ae%n%ce", *commits, "--"]
        return git.text(log, cwd=project.checkout.root).splitlines()
    except git.GitError:
        return []


def _tagger(project: Project, tag: str) -> list[str]:
    try:
        return [
            git.text(["for-each-ref", "--format=%(taggeremail:trim)", f"refs/tags/{tag}"], cwd=project.checkout.root)
        ]
    except git.GitError:
        return []
