"""What a report says, in words that all its forms share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from mlops_ci import numerals
from mlops_ci.entities import GateReport, GateResult, MetricChange
from mlops_ci.numerals import count, places, write
from mlops_ci.reports.escape import sentence, visible

State = Literal["pass", "fail", "waived", "warning", "inconclusive", "not evaluated"]

_RULES = {"min": "≥ {}", "max": "≤ {}", "max_drop": "drop ≤ {}", "max_increase": "increase ≤ {}"}
_TREND = 3  # points
SEVERITY: tuple[State, ...] = ("fail", "inconclusive", "waived", "warning", "not evaluated", "pass")
_NONE = {"max_drop": "no drop", "max_increase": "no increase"}
_TITLES = {"pass": "ready to merge", "fail": "not ready to merge", "inconclusive": "undecided"}
_HIGHER_IS_BETTER, _LOWER_IS_BETTER = {"min", "max_drop"}, {"max", "max_increase"}
SELF_REPORTED = "Reported by the fork's own job and not verified; it will be trained again after the merge."
_TRENDS = {"better": "▲ better", "worse": "▼ worse", "same": "", "unknown": ""}


class Row(NamedTuple):
    """What is said of one gated metric: its change, and the results of all its rules."""

    metric: str
    state: State
    change: MetricChange | None
    results: list[GateResult]


class Cells(NamedTuple):
    """A metric's numbers, written with the digits that show their change."""

    baseline: str
    candidate: str
    change: str


def rows(report: GateReport) -> list[Row]:
    """The gated metrics in the order of the gates."""
    changes = {change.metric: change for change in report.metrics}
    found: dict[str, list[GateResult]] = {}
    for result in report.results:
        found.setdefault(result.metric, []).append(result)
    return [Row(metric, state_of(results), changes.get(metric), results) for metric, results in found.items()]


def others(report: GateReport) -> tuple[list[MetricChange], list[MetricChange]]:
    """The metrics without a gate: those that changed, and those that did not."""
    gated = {result.metric for result in report.results}
    rest = [change for change in report.metrics if change.metric not in gated]
    return [one for one in rest if one.trend != "same"], [one for one in rest if one.trend == "same"]


def state_of(results: Sequence[GateResult]) -> State:
    """The worst of *results*; what is waived, or only warns, is no failure and no pass."""
    blocking = {result.verdict for result in results if not result.warn_only and not is_waived(result)}
    for state in ("fail", "inconclusive", "not evaluated"):
        if state in blocking:
            return state
    if any(map(is_waived, results)):
        return "waived"
    return "pass" if all(result.verdict == "pass" for result in results) else "warning"


def is_waived(result: GateResult) -> bool:
    """Whether it failed, and a waiver answers for that."""
    return result.verdict == "fail" and result.waiver is not None


def shown_as(result: GateResult) -> State:
    """One result as `state_of` sees it, for whoever shows it alone."""
    return state_of([result])


def ceiling(result: GateResult) -> str:
    """How far the metric of *result* may go while it is waived: "down to 0.93"."""
    limit = numerals.plain(result.waiver.ceiling) if result.waiver else ""
    if result.rule in _HIGHER_IS_BETTER:
        return f"down to {limit}"
    return f"up to {limit}" if result.rule in _LOWER_IS_BETTER else f"to {limit}"


def waiver(result: GateResult) -> str:
    """Who answers for a waived result, why, and until when; "" if it is not waived."""
    given = result.waiver
    if given is None or not is_waived(result):
        return ""
    issue = f" ({visible(given.issue)})" if given.issue else ""
    until = f"waived {ceiling(result)} until {visible(given.expires)} by {visible(given.owner)}"
    return f"{until}: {sentence(given.reason)}{issue}"


def title(report: GateReport) -> str:
    """What the reader must do: "ready to merge"."""
    if report.verdict in _TITLES:
        return _TITLES[report.verdict]
    return (
        "not judged"
        if report.policy.origin == "none" or report.baseline or not report.results
        else "nothing to compare with yet"
    )


def because(report: GateReport) -> str:
    """Why, in counts: "1 of 4 gates failed"."""
    states = [row.state for row in rows(report)]
    if report.policy.origin == "none":
        return "the target branch has no mlops.yaml, so no gates rule; those of this change are shown"
    if not states:
        return "no gates are configured"
    whole, waived = count(len(states), "gate"), states.count("waived")
    beside = [*([f"{waived:,} waived"] if waived else []), *_warned(states)]
    if report.verdict == "fail":
        said = f"{states.count('fail')} of {whole} failed"
    elif report.verdict == "inconclusive":
        said = f"{states.count('inconclusive')} of {whole} could not be judged"
    elif report.verdict == "not evaluated":
        return _unjudged(states, whole, waiting=report.baseline is None)
    else:
        said, beside = _passed(states, whole), _warned(states)
    return ", ".join([said, *beside])


def _warned(states: Sequence[State]) -> list[str]:
    warnings = states.count("warning")
    return [count(warnings, "warning")] if warnings else []


def _passed(states: Sequence[State], whole: str) -> str:
    held, waived = states.count("pass"), states.count("waived")
    if len(states) == 1 and not states.count("warning"):
        return "the gate is waived" if waived else "the gate passed"
    many = f"all {whole}" if held + waived == len(states) else f"{held + waived} of {whole}"
    return f"{many} passed or are waived ({waived:,} waived)" if waived else f"{many} passed"


def _unjudged(states: Sequence[State], whole: str, *, waiting: bool) -> str:
    if not waiting:
        return f"none of {whole} could be judged"
    held = states.count("pass")
    said = f"{held} of {whole} {'holds' if held == 1 else 'hold'}, {len(states) - held}" if held else whole
    return f"{said} waiting for a baseline: the first run on the target branch becomes it"


def summary_line(report: GateReport) -> str:
    """The verdict in one sentence, with the first reason: "churn: not ready to merge — accuracy fell by …"."""
    reasons = [result.reason for result in report.results if shown_as(result) == report.verdict]
    decisive = report.verdict in {"fail", "inconclusive"} and reasons
    why = (
        sentence(reasons[0]) + (f", and {len(reasons) - 1} more" if len(reasons) > 1 else "")
        if decisive
        else because(report)
    )
    return f"{visible(report.project)}: {title(report)} — {why}"


def rule(result: GateResult) -> str:
    """A rule as a table has it: "≥ 0.9", "drop ≤ 5 %"."""
    limit = result.limit
    if result.rule not in _RULES or limit is None:
        return "must finish" if result.rule == "finished" else visible(result.rule)
    if isinstance(limit, str):
        limit = limit.rstrip("% ")
        return (
            _NONE[result.rule]
            if limit == "0" and result.rule in _NONE
            else _RULES[result.rule].format(f"{visible(limit)} %")
        )
    if not limit and result.rule in _NONE:
        return _NONE[result.rule]
    return _RULES[result.rule].format(numerals.plain(limit))


def cells(change: MetricChange, *, relative: bool = False, compared: bool = True) -> Cells:
    """
    The numbers of *change*.

    Args:
        change: Of a metric.
        relative: Write the change as a percentage, where there is one.
        compared: Whether there is a baseline at all.
    """
    before, after = change.baseline, change.candidate
    numbers = [number for number in (before, after) if number is not None]
    digits = places(numbers, changes=[change.change] if change.change else []) if numbers else 0
    left, right = ("–" if number is None else write(number, digits) for number in (before, after))
    if change.change is None:
        missing = "not logged" if after is None else "new" if before is None and compared else ""
        return Cells(left, right, missing)
    if not change.change:
        return Cells(left, right, "same")
    as_percent = relative and change.relative is not None
    moved = (
        numerals.percent(change.relative or 0, signed=True) if as_percent else write(change.change, digits, signed=True)
    )
    return Cells(left, right, f"{moved} {_TRENDS[change.trend]}".rstrip())


def is_relative(results: Sequence[GateResult]) -> bool:
    """Whether the rules of a metric speak of percentages."""
    return any(isinstance(result.limit, str) for result in results)


def policy(report: GateReport) -> str:
    """Which configuration judged."""
    sha = f" ({short(report.policy.sha)})" if report.policy.sha else ""
    return {
        "local": "the gates of this work tree, which nobody has reviewed (local policy)",
        "base": f"the gates of the target branch{sha}",
        "default branch": f"the gates of the default branch{sha}",
        "commit": f"the gates of this commit{sha}",
        "none": f"no gates rule, since the target branch{sha} has no mlops.yaml",
    }[report.policy.origin]


def edits(report: GateReport) -> str:
    """What this change would do to the policy; "" if nothing."""
    if not report.policy.changed_here:
        return ""
    changed = ", ".join(report.policy.changed_here)
    return f"This change edits the policy ({changed}); it was judged without the edit, which counts once it is merged."


def trail(change: MetricChange | None) -> list[float]:
    """The values of a metric, oldest first, this run's last: NaN where it was not logged."""
    if change is None:
        return []
    before = change.trail or ([] if change.baseline is None else [change.baseline])
    return [*before, math.nan if change.candidate is None else change.candidate]


def has_trend(report: GateReport) -> bool:
    """Whether some gated metric has been seen often enough to tell how it goes."""
    return any(is_trend(trail(row.change)) for row in rows(report))


def is_trend(values: Sequence[float]) -> bool:
    """Whether *values* are enough to tell how a metric goes."""
    return sum(map(math.isfinite, values)) >= _TREND


def age(report: GateReport) -> str:
    """How far away the baseline is: "2 commits back, 3 days old"."""
    if report.baseline is None:
        return ""
    distance, age_s = report.baseline.distance, report.baseline.age_s
    parts = []
    if distance is not None:
        parts.append(f"{count(distance, 'commit')} back" if distance else "where this change begins")
    if age_s is not None:
        parts.append(f"{_duration(age_s)} old")
    if report.baseline.found_by == "tree":
        parts.append("found by its tree, as a squash merge keeps it")
    return ", ".join(parts)


def short(sha: str) -> str:
    """The first seven digits of *sha*."""
    return visible(sha[:7])


def _duration(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return count(int(seconds // length), unit)
    return count(max(0, int(seconds)), "second")
