"""
The nouns: what is recorded, compared and deployed. Frozen, and without input or output.

Every struct here that is the body of a record is named in `records.KINDS`. A field may be added with
a default in a minor version of the schema; none is ever renamed.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Scalar = str | int | float | bool | None
Status = Literal["finished", "failed", "killed"]
Verdict = Literal["pass", "fail", "inconclusive", "not evaluated"]


class _Noun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class Author(_Noun, frozen=True, kw_only=True):
    """Who did it. *via* says who vouches: git's configuration, GitHub's actor, the machine's user."""

    name: str
    email: str = ""
    via: Literal["git", "github", "system"] = "git"


class ArtifactRef(_Noun, frozen=True, kw_only=True):
    """Bytes by digest (`sha256:<hex>`). *path* is where they belong, relative and with slashes."""

    path: str
    digest: str
    size_bytes: int


class Column(_Noun, frozen=True, kw_only=True):
    """A column of a dataset; *type* is boolean, integer, number, string, timestamp, empty or the file's own."""

    name: str
    type: str


class Dataset(_Noun, frozen=True, kw_only=True):
    """The fingerprint of one input file or folder. *rows* and *columns* are absent where nobody could read them."""

    name: str
    path: str
    digest: str
    size_bytes: int
    rows: int | None = None
    columns: list[Column] | None = None
    note: str = ""


class Metric(_Noun, frozen=True, kw_only=True):
    """What a run says of one metric: its last value, the extremes of its history and how many points it has."""

    last: float
    min: float
    max: float
    count: int = 1


class Signature(_Noun, frozen=True, kw_only=True):
    """JSON Schemas of one input record and of the prediction for it."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]


class Model(_Noun, frozen=True, kw_only=True):
    """A trained model: its files, the flavor that loads them, and what goes in and out."""

    flavor: str
    digest: str
    size_bytes: int
    files: list[ArtifactRef]
    requirements: list[str] = []
    signature: Signature | None = None
    input_example: ArtifactRef | None = None


class GitState(_Noun, frozen=True, kw_only=True):
    """What was checked out. *trained_sha* is HEAD; *head_sha* is the pull request's head where that differs."""

    trained_sha: str
    head_sha: str
    tree: str
    base_sha: str = ""
    branch: str = ""
    dirty: bool = False
    diff_digest: str = ""
    repository: str = ""


class CiRun(_Noun, frozen=True, kw_only=True):
    """The CI run that a record came from; *cell* is which of the matrix's *cells* jobs, as JSON."""

    provider: str
    run_url: str = ""
    run_id: str = ""
    attempt: int = 1
    job: str = ""
    cell: str = ""
    cells: int = 1
    event: str = ""
    pull_request: int | None = None


class Stage(_Noun, frozen=True, kw_only=True):
    """A named part of a run, and how long it took."""

    name: str
    duration_s: float


class Run(_Noun, frozen=True, kw_only=True):
    """One training run, written when it ends. One ending counts for each *run_key*."""

    run_id: str
    run_key: str
    project: str
    experiment: str
    status: Status
    started: str
    ended: str
    duration_s: float
    git: GitState
    ci: CiRun | None = None
    command: list[str] = []
    exit_code: int | None = None
    improvised: bool = False
    """The command is not the one that the configuration names: such a run is no baseline and no version."""
    self_reported: bool = False
    """It comes from a job that ran a stranger's code, and is believed by nobody: no baseline, and no version."""
    params: dict[str, Scalar] = {}
    metrics: dict[str, Metric] = {}
    tags: dict[str, str] = {}
    stages: list[Stage] = []
    data: list[Dataset] = []
    artifacts: list[ArtifactRef] = []
    model: Model | None = None
    environment: ArtifactRef | None = None
    history: ArtifactRef | None = None
    warnings: list[str] = []


class Adoption(_Noun, frozen=True, kw_only=True):
    """A commit whose tree was trained before, under another commit: *run_id* stands for it."""

    sha: str
    tree: str
    run_id: str


class RunChange(_Noun, frozen=True, kw_only=True):
    """
    What was changed of a run after it ended; of each thing the latest change by time and record id counts.

    *shas* and *tree* are those that the run is found by, so that whoever finds the run finds its changes. A field
    that is None, or a tag that is not named, stays as it was; a tag that is None is taken away.
    """

    run_id: str
    shas: list[str]
    tree: str
    deleted: bool | None = None
    tags: dict[str, str | None] = {}
    note: str | None = None
    reason: str = ""


class ExperimentChange(_Noun, frozen=True, kw_only=True):
    """
    What was changed of an experiment; of each thing the latest change by time and record id counts.

    *experiment* is the name that its runs were recorded with, and stays its identity; *name* is what it is called now.
    A field that is None stays as it was.
    """

    project: str
    experiment: str
    name: str | None = None
    archived: bool | None = None
    deleted: bool | None = None
    reason: str = ""


class Waiver(_Noun, frozen=True, kw_only=True):
    """
    A known failure of one metric that a named person answers for, for a while.

    *ceiling* is the worst value that is waived (the lowest, where higher is better); *expires* the last day, in UTC,
    on which it counts, as YYYY-MM-DD.
    """

    metric: str
    ceiling: float
    owner: str
    reason: str
    expires: str
    issue: str = ""


class GateResult(_Noun, frozen=True, kw_only=True):
    """
    One rule's verdict. *reason* is one sentence with the numbers in it; *limit* is the rule's, as configured.

    A failure with a *waiver* blocks nothing. *line* is where the rule stands in the configuration that ruled, from 1.
    """

    metric: str
    rule: str
    verdict: Verdict
    reason: str
    warn_only: bool = False
    limit: float | str | None = None
    waiver: Waiver | None = None
    line: int | None = None


class MetricChange(_Noun, frozen=True, kw_only=True):
    """
    A row of the comparison. *relative* is change / |baseline|, absent where the baseline is 0 or missing.

    *trail* holds the values of the baselines before, oldest first, the baseline's own last.
    """

    metric: str
    baseline: float | None
    candidate: float | None
    change: float | None = None
    relative: float | None = None
    trend: Literal["better", "worse", "same", "unknown"] = "unknown"
    trail: list[float] = []


class Curve(_Noun, frozen=True, kw_only=True):
    """How a metric went while training: *values* at *steps*, thinned out to at most 40 points."""

    metric: str
    steps: list[float]
    values: list[float]


class ValueChange(_Noun, frozen=True, kw_only=True):
    """A param or a dataset that differs between baseline and candidate; None where it is absent."""

    name: str
    baseline: Scalar
    candidate: Scalar


class RunPointer(_Noun, frozen=True, kw_only=True):
    """Names a run in a report. *distance* counts commits from where the search began; *age_s* is in seconds."""

    run_id: str
    sha: str
    branch: str = ""
    run_url: str = ""
    distance: int | None = None
    age_s: float | None = None
    found_by: Literal["commit", "tree", ""] = ""


class Policy(_Noun, frozen=True, kw_only=True):
    """
    Which configuration judged: *origin* is "base", "default branch", "commit" or "local".

    *changed_here* names what the change that is judged would make another, and *edits* tells how:
    `gates[accuracy].min`, before and after.
    """

    origin: Literal["base", "default branch", "commit", "local", "none"]
    sha: str = ""
    changed_here: list[str] = []
    edits: list[ValueChange] = []
    config_name: str = ""


class GateReport(_Noun, frozen=True, kw_only=True):
    """Everything that a verdict and its comment say. Markdown, JSON and exit code come from this alone."""

    project: str
    experiment: str
    verdict: Verdict
    candidate: RunPointer
    baseline: RunPointer | None
    policy: Policy
    results: list[GateResult] = []
    metrics: list[MetricChange] = []
    params: list[ValueChange] = []
    data: list[ValueChange] = []
    unchanged_params: int = 0
    confusion: dict[str, Any] | None = None
    curves: list[Curve] = []
    notes: list[str] = []
    ci: CiRun | None = None
    self_reported: bool = False


class ModelVersion(_Noun, frozen=True, kw_only=True):
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


class Plan(_Noun, frozen=True, kw_only=True):
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


class ApprovalRequest(_Noun, frozen=True, kw_only=True):
    """
    Asks for a decision on *plan*. It is not signed, so it can only narrow what the rules say.

    *people* may not approve it, beside those that are found anew; *expires* (RFC 3339) cannot prolong it.
    *replaces* is the record id of the deployment that served when it was asked; it counts while that serves.
    """

    plan: Plan
    plan_digest: str
    required: int
    approvers: list[str]
    people: list[str]
    policy_sha: str
    expires: str
    replaces: str = ""


class Approval(_Noun, frozen=True, kw_only=True):
    """
    A decision on a request (its record id). *payload* is what was decided, as one line of JSON.

    By the method "ssh", *signature* covers it. By "github-comment" it names the comment and there is no signature:
    the record proves nothing, and GitHub is asked for the comment whenever decisions are counted.
    """

    plan_digest: str
    target: str
    decision: Literal["approve", "reject"]
    approver: str
    method: Literal["ssh", "github-comment"]
    payload: str
    signature: str
    reason: str = ""
    request: str = ""


class Smoke(_Noun, frozen=True, kw_only=True):
    """The request that was sent after a deployment, and what came back."""

    url: str
    status: int
    matched: bool
    answer: Any = None
    latency_ms: float = 0.0


class Deployment(_Noun, frozen=True, kw_only=True):
    """What was put where, or taken away. *previous* is the record id of the deployment that it replaced or stopped."""

    plan: Plan
    plan_digest: str
    policy_sha: str
    status: Literal["live", "failed", "stopped"]
    url: str = ""
    started: str = ""
    duration_s: float = 0.0
    approvals: list[str] = []
    request: str = ""
    smoke: Smoke | None = None
    previous: str = ""
    reason: str = ""
