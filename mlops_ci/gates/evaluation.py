"""From two runs and the gates to a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_ci.entities import Curve, GateReport, GateResult, Policy, Run, RunPointer
from mlops_ci.gates import compare
from mlops_ci.gates.gate import Gate
from mlops_ci.gates.rules import judge
from mlops_ci.gates.verdict import combine
from mlops_ci.gates.waivers import Waivers


def evaluate(  # noqa: PLR0913  # two runs, each with its pointer, and what surrounds them
    *,
    candidate: Run,
    candidate_pointer: RunPointer,
    baseline: Run | None,
    baseline_pointer: RunPointer | None,
    rules: Sequence[Gate],
    policy: Policy,
    lines: Sequence[int] = (),
    waivers: Waivers | None = None,
    trail: Sequence[Run] = (),
    curves: Sequence[Curve] = (),
    confusion: dict[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> GateReport:
    """
    Judge *candidate* by *rules*, against *baseline* where there is one.

    A candidate that did not finish fails; a baseline that did not finish is as good as none.

    Args:
        candidate: The run to judge.
        candidate_pointer: How the report names it.
        baseline: The run to compare with.
        baseline_pointer: How the report names it.
        rules: The gates of the configuration that rules.
        policy: Which configuration that is.
        lines: Where in it each of the rules begins; empty if that is not known.
        waivers: The failures that somebody answers for. Where no configuration rules, nothing is waived.
        trail: The runs that were baselines before *baseline*, oldest first.
        curves: How metrics went while training; shown, not judged.
        confusion: `{"labels": [...], "matrix": [[...]]}`, rows actual and columns predicted; shown, not judged.
        notes: Sentences that the report shows, after those that the comparison gives rise to.
    """
    if baseline is not None and baseline.status != "finished":
        notes = [*notes, f"The baseline {baseline.status}, so nothing was compared with it."]
        baseline = baseline_pointer = None
    if policy.origin == "none":
        waivers = None
    results = _results(candidate, baseline, rules, lines, waivers)
    params, unchanged = compare.param_changes(candidate, baseline)
    return GateReport(
        project=candidate.project,
        experiment=candidate.experiment,
        verdict=combine(results, policy),
        candidate=candidate_pointer,
        baseline=baseline_pointer,
        policy=policy,
        results=results,
        metrics=compare.metric_changes(candidate, baseline, rules, trail=trail),
        params=params,
        data=compare.data_changes(candidate, baseline),
        unchanged_params=unchanged,
        confusion=confusion,
        curves=list(curves),
        notes=[*compare.data_notes(candidate, baseline), *(waivers.notes(rules) if waivers else ()), *notes],
        ci=candidate.ci,
        self_reported=candidate.self_reported,
    )


def _results(
    candidate: Run, baseline: Run | None, rules: Sequence[Gate], lines: Sequence[int], waivers: Waivers | None
) -> list[GateResult]:
    places: Sequence[int | None] = lines if len(lines) == len(rules) else [None] * len(rules)
    results = _unfinished(candidate)
    for gate, line in zip(rules, places, strict=True):
        results += judge(gate, candidate, baseline, line=line)
    return [waivers.applied_to(result, candidate) for result in results] if waivers else results


def _unfinished(candidate: Run) -> list[GateResult]:
    """Bounds could hold by chance on what a run logged before it was killed."""
    if candidate.status == "finished":
        return []
    reason = f"the training {'failed' if candidate.status == 'failed' else 'was killed'}, so its numbers prove nothing"
    return [GateResult(metric="training", rule="finished", verdict="fail", reason=reason)]
