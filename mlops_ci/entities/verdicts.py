"""What gates say of a run, and what they compare it with."""

from __future__ import annotations

from typing import Any, Literal

from mlops_ci.entities.noun import Noun
from mlops_ci.entities.runs import CiRun, Scalar

Verdict = Literal["pass", "fail", "inconclusive", "not evaluated"]


class Waiver(Noun, frozen=True, kw_only=True):
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


class GateResult(Noun, frozen=True, kw_only=True):
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


class MetricChange(Noun, frozen=True, kw_only=True):
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


class Curve(Noun, frozen=True, kw_only=True):
    """How a metric went while training: *values* at *steps*, thinned out to at most 40 points."""

    metric: str
    steps: list[float]
    values: list[float]


class ValueChange(Noun, frozen=True, kw_only=True):
    """A param or a dataset that differs between baseline and candidate; None where it is absent."""

    name: str
    baseline: Scalar
    candidate: Scalar


class RunPointer(Noun, frozen=True, kw_only=True):
    """Names a run in a report. *distance* counts commits from where the search began; *age_s* is in seconds."""

    run_id: str
    sha: str
    branch: str = ""
    run_url: str = ""
    distance: int | None = None
    age_s: float | None = None
    found_by: Literal["commit", "tree", ""] = ""


class Policy(Noun, frozen=True, kw_only=True):
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


class ManifestChange(Noun, frozen=True, kw_only=True):
    """
    What the change would make of what is rendered for *target*; "": of templates that nobody rendered.

    *diff* is unified, without secrets; *left_out* counts its last hunks, for which there was no room.
    """

    target: str
    diff: str
    left_out: int = 0


class GateReport(Noun, frozen=True, kw_only=True):
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
    manifests: list[ManifestChange] = []
    notes: list[str] = []
    ci: CiRun | None = None
    self_reported: bool = False
