"""
The rules of a gate, one function each. Each says in one sentence, with the numbers, why it decides so.

Numbers are compared as decimals of 15 significant digits (`numerals.exact`), so that 0.90 against 0.89 with
`max_drop: 0.01` passes, which binary floating point would refuse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from mlops_ci import numerals
from mlops_ci.entities import GateResult, Run, Verdict
from mlops_ci.gates.gate import Gate
from mlops_ci.numerals import exact, places, write


class Values(NamedTuple):
    """A gated metric on both sides. None: that run does not have it; *compared* is False without a baseline."""

    metric: str
    candidate: float | None
    baseline: float | None
    compared: bool


class Judged(NamedTuple):
    """A rule's verdict, and its sentence without the metric's name, which begins it."""

    verdict: Verdict
    reason: str


class _Way(NamedTuple):
    """The direction that a rule forbids, in words; *sign* makes a change in it positive."""

    noun: str
    wrong: str
    right: str
    sign: int

    @property
    def article(self) -> str:
        return "an" if self.noun[0] in "aeiou" else "a"

    def verb(self, moved: Decimal) -> str:
        return self.wrong if moved > 0 else self.right


def judge(gate: Gate, candidate: Run, baseline: Run | None, *, line: int | None = None) -> Iterator[GateResult]:
    """Apply the rules that *gate*, which stands on *line*, sets, in the order min, max, max_drop, max_increase."""
    values = Values(
        metric=gate.metric,
        candidate=_last(candidate, gate.metric),
        baseline=_last(baseline, gate.metric) if baseline else None,
        compared=baseline is not None,
    )
    for name, rule in RULES.items():
        limit = getattr(gate, name)
        if limit is not None:
            judged = _without_candidate(values) or rule(values, limit)
            yield GateResult(
                metric=gate.metric,
                rule=name,
                limit=limit,
                verdict=judged.verdict,
                reason=f"{gate.metric} {judged.reason}",
                warn_only=gate.on_fail == "warn",
                line=line,
            )


def minimum(values: Values, limit: float) -> Judged:
    """The candidate is at least *limit*."""
    return _bound(values, limit, "at least {} is required", holds=exact(values.candidate or 0.0) >= exact(limit))


def maximum(values: Values, limit: float) -> Judged:
    """The candidate is at most *limit*."""
    return _bound(values, limit, "at most {} is allowed", holds=exact(values.candidate or 0.0) <= exact(limit))


def max_drop(values: Values, limit: float | str) -> Judged:
    """The candidate is at most *limit* below the baseline."""
    return _change(values, limit, _Way("drop", "fell", "rose", -1))


def max_increase(values: Values, limit: float | str) -> Judged:
    """The candidate is at most *limit* above the baseline."""
    return _change(values, limit, _Way("increase", "rose", "fell", 1))


RULES: dict[str, Callable[..., Judged]] = {
    "min": minimum,
    "max": maximum,
    "max_drop": max_drop,
    "max_increase": max_increase,
}


def _last(run: Run, metric: str) -> float | None:
    found = run.metrics.get(metric)
    return found.last if found else None


def _without_candidate(values: Values) -> Judged | None:
    """A metric that the candidate lacks, and one that is no number, fail whatever the rule is."""
    if values.candidate is None:
        return Judged("fail", "was not logged by this run")
    if not math.isfinite(values.candidate):
        return Judged("fail", f"is {write(values.candidate)}, which satisfies no rule")
    return None


def _bound(values: Values, limit: float, words: str, *, holds: bool) -> Judged:
    value = values.candidate or 0.0
    shown = write(value, places([value], apart=(value, limit)))
    return Judged("pass" if holds else "fail", f"is {shown}; {words.format(numerals.plain(limit))}")


def _change(values: Values, limit: float | str, way: _Way) -> Judged:
    if not values.compared:
        return Judged("not evaluated", "has nothing to be compared with yet: there is no baseline")
    if values.baseline is None:
        return Judged("inconclusive", "was not logged by the baseline, so its change is not known")
    if not math.isfinite(values.baseline):
        return Judged("inconclusive", f"is {write(values.baseline)} in the baseline, so its change is not known")
    before, after = values.baseline, values.candidate or 0.0
    moved = numerals.difference(exact(after), exact(before)) * way.sign
    return (_relative if isinstance(limit, str) else _absolute)(before, after, moved, limit, way)


def _absolute(before: float, after: float, moved: Decimal, limit: Any, way: _Way) -> Judged:
    digits = places(
        [before, after], changes=[float(moved)], apart=(float(moved), limit) if moved > 0 and limit else None
    )
    allowed = _allowed(write(limit, max(digits, _digits(limit))) if limit else "", moved, way)
    verdict: Verdict = "pass" if moved <= exact(limit) else "fail"
    return Judged(verdict, f"{_moved(before, after, moved, way, digits)}; {allowed}")


def _relative(before: float, after: float, moved: Decimal, limit: Any, way: _Way) -> Judged:
    digits = places([before, after], changes=[float(moved)])
    share = Decimal(limit.rstrip("% "))
    allowed = _allowed(f"{share} %" if share else "", moved, way)
    said = _moved(before, after, moved, way, digits)
    if before == 0 and moved > 0:
        return Judged("inconclusive", f"{said}, and a percentage of 0 says nothing")
    if before == 0 or not moved:
        return Judged("pass", f"{said}; {allowed}")
    size = abs(exact(before))
    holds = numerals.product(moved, Decimal(100)) <= numerals.product(size, share)
    shown = _percent_apart(float(abs(moved) / size), float(share) / 100, holds=holds)
    said = f"{way.verb(moved)} by {shown}, from {write(before, digits)} to {write(after, digits)}"
    return Judged("pass" if holds else "fail", f"{said}; {allowed}")


def _allowed(limit: str, moved: Decimal, way: _Way) -> str:
    """The rule in words; *limit* is "" for 0."""
    if not limit:
        return f"no {way.noun} is allowed"
    return f"at most {limit} is allowed" if moved > 0 else f"{way.article} {way.noun} of at most {limit} is allowed"


def _percent_apart(share: float, limit: float, *, holds: bool) -> str:
    """*share* in percent; with all its digits where rounding would hide that it is above *limit*."""
    shown = numerals.percent(share)
    if not holds and shown == numerals.percent(limit):
        return f"{numerals.plain(share * 100)} %"
    return shown


def _moved(before: float, after: float, moved: Decimal, way: _Way, digits: int) -> str:
    if not moved:
        return f"stayed at {write(after, digits)}"
    size = write(abs(float(moved)), digits)
    return f"{way.verb(moved)} by {size}, from {write(before, digits)} to {write(after, digits)}"


def _digits(limit: float) -> int:
    """How many digits after the point *limit* was typed with."""
    return max(0, -int(exact(limit).normalize().as_tuple().exponent))
