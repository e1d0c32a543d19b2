"""Reports to look at: the cases that a reader meets."""

from __future__ import annotations

import json
from typing import Any

from mlops_ci import records
from mlops_ci.entities import (
    CiRun,
    Curve,
    GateReport,
    GateResult,
    ManifestChange,
    MetricChange,
    Policy,
    RunPointer,
    ValueChange,
    Waiver,
)

SHA, BASE = "3f2a91c" + "0" * 33, "b81c77e" + "0" * 33
RUN_URL = "https://github.com/acme/churn/actions/runs/4711"
CANDIDATE = RunPointer(run_id="20260102-0304-c4fe", sha=SHA, branch="more-trees", run_url=RUN_URL)
BASELINE = RunPointer(
    run_id="20260101-0102-beef", sha=BASE, branch="main", distance=2, age_s=270_000.0, found_by="commit"
)

DROP = GateResult(
    metric="accuracy",
    rule="max_drop",
    limit=0.01,
    verdict="fail",
    reason="accuracy fell by 0.0210, from 0.9560 to 0.9350; at most 0.0100 is allowed",
)
LEAST = GateResult(
    metric="accuracy", rule="min", limit=0.9, verdict="pass", reason="accuracy is 0.9350; at least 0.9 is required"
)
LOSS = GateResult(
    metric="log_loss",
    rule="max_increase",
    limit="5%",
    verdict="pass",
    reason="log_loss fell by 8.5 %, from 0.2120 to 0.1940; an increase of at most 5 % is allowed",
)
LATENCY = GateResult(
    metric="latency_ms",
    rule="max",
    limit=20.0,
    verdict="fail",
    reason="latency_ms is 21.50; at most 20 is allowed",
    warn_only=True,
)
METRICS = [
    MetricChange(metric="accuracy", baseline=0.956, candidate=0.935, change=-0.021, relative=-0.02197, trend="worse"),
    MetricChange(metric="log_loss", baseline=0.212, candidate=0.194, change=-0.018, relative=-0.0849, trend="better"),
    MetricChange(metric="latency_ms", baseline=14.0, candidate=21.5, change=7.5, relative=0.5357, trend="worse"),
    MetricChange(metric="f1", baseline=0.91, candidate=0.9104, change=0.0004, relative=0.00044, trend="better"),
    MetricChange(metric="rows", baseline=120_000.0, candidate=121_204.0, change=1204.0, relative=0.01, trend="unknown"),
    MetricChange(metric="roc_auc", baseline=0.97, candidate=0.97, change=0.0, relative=0.0, trend="same"),
    MetricChange(metric="recall", baseline=None, candidate=0.88),
]
FAILED = GateReport(
    project="churn",
    experiment="churn",
    verdict="fail",
    candidate=CANDIDATE,
    baseline=BASELINE,
    policy=Policy(origin="base", sha=BASE),
    results=[LEAST, DROP, LOSS, LATENCY],
    metrics=METRICS,
    params=[
        ValueChange(name="n_estimators", baseline=100, candidate=300),
        ValueChange(name="max_depth", baseline=None, candidate=12),
    ],
    data=[
        ValueChange(name="train.digest", baseline=f"sha256:{'a' * 64}", candidate=f"sha256:{'b' * 64}"),
        ValueChange(name="train.rows", baseline=120_000, candidate=121_204),
        ValueChange(
            name="train.columns", baseline="age integer, tenure number", candidate="age integer, region string"
        ),
    ],
    unchanged_params=14,
    confusion={"labels": ["stays", "leaves"], "matrix": [[1204, 31], [17, 348]]},
    notes=["The data test differs from the baseline's (aaaaaaaaaaaa became bbbbbbbbbbbb)."],
)


def changed(report: GateReport = FAILED, **fields: Any) -> GateReport:
    """*report* with other *fields*."""
    return records.replace(report, **fields)


PASSED = changed(
    verdict="pass",
    results=[LEAST, LOSS],
    metrics=METRICS,
    params=[],
    data=[],
    notes=[],
    confusion=None,
    unchanged_params=0,
)
NO_BASELINE = changed(
    verdict="not evaluated",
    baseline=None,
    results=[
        LEAST,
        GateResult(
            metric="log_loss",
            rule="max_increase",
            limit="5%",
            verdict="not evaluated",
            reason="log_loss has nothing to be compared with yet: there is no baseline",
        ),
    ],
    metrics=[MetricChange(metric=one.metric, baseline=None, candidate=one.candidate) for one in METRICS],
    params=[],
    data=[],
    unchanged_params=0,
    notes=["This clone is shallow, so a baseline further back cannot be seen; `fetch-depth: 0` shows it."],
    policy=Policy(origin="local"),
)
INCONCLUSIVE = changed(
    verdict="inconclusive",
    results=[
        LEAST,
        GateResult(
            metric="log_loss",
            rule="max_increase",
            limit="5%",
            verdict="inconclusive",
            reason="log_loss was not logged by the baseline, so its change is not known",
        ),
    ],
    policy=Policy(origin="base", sha=BASE, changed_here=["gates", "on_inconclusive"]),
)
UNRULED = changed(verdict="not evaluated", policy=Policy(origin="none", sha=BASE))
NO_GATES = changed(verdict="not evaluated", results=[])
WAIVER = Waiver(
    metric="accuracy",
    ceiling=0.93,
    owner="octo-lead",
    reason="the new labels are harder; the fix is on its way",
    expires="2026-12-31",
    issue="https://github.com/acme/churn/issues/42",
)
WAIVED = changed(
    verdict="pass",
    results=[LEAST, records.replace(DROP, waiver=WAIVER, line=7), LOSS],
    notes=["The waiver of accuracy ends in 9 days, on 2026-12-31."],
)
EDITED = changed(
    verdict="pass",
    results=[LEAST, LOSS],
    policy=Policy(
        origin="base",
        sha=BASE,
        changed_here=["gates", "waivers"],
        edits=[
            ValueChange(name="gates[0].min", baseline=0.9, candidate=0.5),
            ValueChange(name="waivers[0]", baseline=None, candidate="accuracy down to 0.5, by octocat"),
        ],
    ),
)
TRAILS = {
    "accuracy": [0.912, 0.921, 0.934, 0.93, 0.949, 0.956],
    "log_loss": [0.31, 0.28, 0.24, 0.212],
    "latency_ms": [14.0],
}
PLOTTED = changed(
    metrics=[records.replace(one, trail=TRAILS.get(one.metric, [])) for one in METRICS],
    curves=[
        Curve(metric="train/loss", steps=[0, 10, 20, 30, 40], values=[2.31, 1.2, 0.61, 0.42, 0.4]),
        Curve(metric="val/loss", steps=[0, 10, 20, 40], values=[2.4, 1.4, 0.9, 0.95]),
    ],
)
DIFF = """\
--- a/deployment.yaml
+++ b/deployment.yaml
@@ -25,3 +25,3 @@
 spec:
-  replicas: 3
+  replicas: 5
   revisionHistoryLimit: 5
"""
MANIFESTS = changed(
    EDITED,
    manifests=[
        ManifestChange(target="production", diff=DIFF),
        ManifestChange(target="staging", diff=DIFF, left_out=2),
        ManifestChange(target="", diff="--- a/x.j2\n+++ b/x.j2\n@@ -1 +1 @@\n-```\n+````\u202e <!-- -->\n"),
    ],
)
SELF_REPORTED = changed(PASSED, self_reported=True)


def cell(report: GateReport, run_id: str = "4711", attempt: int = 1, **matrix: Any) -> GateReport:
    """*report* as the job of a *matrix* has made it."""
    run = CiRun(provider="github", run_id=run_id, attempt=attempt, job="train", cell=json.dumps(matrix))
    return changed(report, ci=run)


CELLS = [
    cell(PASSED, python="3.11", os="ubuntu-latest"),
    cell(FAILED, python="3.12", os="ubuntu-latest"),
    cell(WAIVED, python="3.13", os="ubuntu-latest"),
]
MANY = 5_000
HUGE = changed(
    results=[
        *(records.replace(LEAST, metric=f"class_{number}.accuracy") for number in range(MANY)),
        *(records.replace(DROP, metric=f"class_{number}.f1") for number in range(20)),
    ],
    metrics=[
        *(records.replace(METRICS[0], metric=f"class_{number}.accuracy") for number in range(MANY)),
        *(records.replace(METRICS[0], metric=f"class_{number}.recall") for number in range(MANY)),
    ],
    params=[ValueChange(name=f"layer_{number}.width", baseline=1, candidate=2) for number in range(MANY)],
)
CASES = {
    "pass": PASSED,
    "fail": FAILED,
    "no baseline": NO_BASELINE,
    "inconclusive": INCONCLUSIVE,
    "no policy": UNRULED,
    "no gates": NO_GATES,
    "waived": WAIVED,
    "edited": EDITED,
    "manifests": MANIFESTS,
    "plotted": PLOTTED,
    "self-reported": SELF_REPORTED,
    "huge": HUGE,
}
