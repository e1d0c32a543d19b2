"""A version of the model on its way: registered, built, planned, approved, deployed."""

from __future__ import annotations

from typing import Any, Literal

from mlops_ci.entities.noun import Noun
from mlops_ci.entities.runs import ArtifactRef, Model


class ModelVersion(Noun, frozen=True, kw_only=True):
    """A registered version: immutable, claimed once. *run_record* is the id of the run's record."""

    model: str
    version: str
    tag: str
    sha: str
    tree: str
    run_id: str
    run_record: str
    artifact: Model
    verdict_record: str = ""
    policy_sha: str = ""
    people: list[str] = []
    """E-mail addresses of those who wrote and tagged it; four eyes excludes them."""


class Image(Noun, frozen=True, kw_only=True):
    """
    A container image that was built of a version.

    *image_id* is the digest of its configuration, and *digest* that of its manifest in the registry, "" before it was
    pushed there. *context_digest* is that of all that went into it but the base; *lock_inputs* that of what *lock* was
    made of, so that the same requirements get the same packages in the next version.
    """

    model: str
    version: str
    version_record: str
    reference: str
    image_id: str
    digest: str = ""
    size_bytes: int
    base: str
    platform: str
    builder: str
    builder_version: str
    context_digest: str
    lock_inputs: str
    lock: ArtifactRef
    sbom: ArtifactRef
    pushed: bool = False


class Plan(Noun, frozen=True, kw_only=True):
    """What a deployment would do. Its digest (`records.digest`) is what an approval names."""

    target: str
    kind: str
    production: bool
    project: str
    model: str
    version: str
    version_record: str
    model_digest: str
    manifests_digest: str
    policy_digest: str
    """Digest of the rules of this target; another commit on the default branch changes nothing, another rule does."""
    image: str = ""


class ApprovalRequest(Noun, frozen=True, kw_only=True):
    """
    Asks for a decision on *plan*. It is not signed, so it can only narrow what the rules say.

    *people* may not approve it, beside those that are found anew; *expires* (RFC 3339) cannot prolong it.
    *replaces* is the record id of the deployment that served when it was asked; it counts while that serves. *run* is
    the CI run that asked, "" for none: reviews of an environment in another run are no decisions on it.
    """

    plan: Plan
    plan_digest: str
    required: int
    approvers: list[str]
    people: list[str]
    policy_sha: str
    expires: str
    replaces: str = ""
    run: str = ""


class Approval(Noun, frozen=True, kw_only=True):
    """
    A decision on a request (its record id). *payload* is what was decided, as one line of JSON.

    By the method "ssh", *signature* covers it. By "github-comment" it names the comment, by "github-environment" the
    workflow run whose environment was reviewed, and there is no signature: the record proves nothing, and GitHub is
    asked for the comment or the review whenever decisions are counted.
    """

    plan_digest: str
    target: str
    decision: Literal["approve", "reject"]
    approver: str
    method: Literal["ssh", "github-comment", "github-environment"]
    payload: str
    signature: str
    reason: str = ""
    request: str = ""


class Smoke(Noun, frozen=True, kw_only=True):
    """The request that was sent after a deployment, and what came back."""

    url: str
    status: int
    matched: bool
    answer: Any = None
    latency_ms: float = 0.0


class TargetLock(Noun, frozen=True, kw_only=True):
    """Nobody but its author changes *target* until *expires* (RFC 3339); *lifted* ends what was locked before."""

    target: str
    reason: str
    expires: str = ""
    lifted: bool = False


class Deployment(Noun, frozen=True, kw_only=True):
    """
    What was put where, or taken away.

    *previous* is the record id of the deployment that it replaced or stopped. *manifests* are the rendered files of the
    target as one JSON object, text by path: what a rollback applies again. A rollback *undoes* the deployment with that
    record id; what a "failed" one had replaced is "restored", which is no deployment of its own. *run_url* is the page
    of the CI run.
    """

    plan: Plan
    plan_digest: str
    policy_sha: str
    status: Literal["live", "failed", "restored", "stopped"]
    url: str = ""
    started: str = ""
    duration_s: float = 0.0
    approvals: list[str] = []
    request: str = ""
    smoke: Smoke | None = None
    previous: str = ""
    reason: str = ""
    manifests: ArtifactRef | None = None
    cause: Literal["deploy", "rollback"] = "deploy"
    undoes: str = ""
    run_url: str = ""
