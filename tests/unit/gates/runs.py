"""Runs and gates to judge, made of the few facts that a test is about."""

from __future__ import annotations

from typing import Any

from mlops_ci import gates
from mlops_ci.entities import Dataset, GateReport, GateResult, GitState, Metric, Policy, Run, RunPointer
from mlops_ci.gates import Gate

LOCAL = Policy(origin="local")


def run(metrics: dict[str, float] | None = None, **facts: Any) -> Run:
    fields: dict[str, Any] = {
        "run_id": "r1",
        "run_key": "k1",
        "project": "churn",
        "experiment": "churn",
        "status": "finished",
        "started": "2026-01-02T03:04:05.000000Z",
        "ended": "2026-01-02T03:05:05.000000Z",
        "duration_s": 60.0,
        "git": GitState(trained_sha="a" * 40, head_sha="a" * 40, tree="b" * 40),
        "metrics": {name: Metric(last=value, min=value, max=value) for name, value in (metrics or {}).items()},
    }
    return Run(**(fields | facts))


def dataset(name: str, digest: str, rows: int | None = None) -> Dataset:
    return Dataset(name=name, path=f"data/{name}.csv", digest=f"sha256:{digest * 64}", size_bytes=10, rows=rows)


def report(candidate: Run, baseline: Run | None, *rules: Gate, policy: Policy = LOCAL, **facts: Any) -> GateReport:
    return gates.evaluate(
        candidate=candidate,
        candidate_pointer=RunPointer(run_id="r1", sha="a" * 40),
        baseline=baseline,
        baseline_pointer=RunPointer(run_id="r0", sha="c" * 40) if baseline else None,
        rules=rules,
        policy=policy,
        **facts,
    )


def result(before: float | None, after: float | None, **rule: Any) -> GateResult:
    """The one result of one rule on `accuracy`; None: that run did not log it."""
    candidate = run({} if after is None else {"accuracy": after})
    baseline = run({} if before is None else {"accuracy": before})
    [found] = report(candidate, baseline, Gate(metric="accuracy", **rule)).results
    return found
