"""
Waivers: a failure that a named person answers for does not block, down to a ceiling and up to a day.

What no number tells is never waived: a metric that is missing or no number, a training that did not finish, a
comparison that could not be made. Which waivers rule is the business of `lifecycle`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from mlops_ci import records
from mlops_ci.entities import GateResult, Run, Waiver
from mlops_ci.gates.gate import Gate
from mlops_ci.numerals import count, exact, plain

WARNED_DAYS = 14
LONG_DAYS = 365

# Which way a rule wants its metric: the ceiling is on the other side of its limit.
_SIGNS = {"min": 1, "max_drop": 1, "max": -1, "max_increase": -1}


@dataclass(frozen=True)
class Waivers:
    """The waivers that rule, at most one for each metric, and the day (in UTC) on which they are asked for."""

    rows: Sequence[Waiver]
    today: date

    def applied_to(self, result: GateResult, candidate: Run) -> GateResult:
        """
        Return *result* with its waiver, or with the reason why that does not count, if there is one.

        The value must be no worse than the ceiling in the direction of the rule: not below it for `min` and
        `max_drop`, not above it for the others.
        """
        waiver = next((row for row in self.rows if row.metric == result.metric), None)
        sign = _SIGNS.get(result.rule)
        if waiver is None or sign is None or result.verdict != "fail" or result.warn_only:
            return result
        found = candidate.metrics.get(result.metric)
        if candidate.status != "finished" or found is None or not math.isfinite(found.last):
            return result
        if self._days_left(waiver) < 0:
            why = f"; the waiver of {waiver.owner} ended on {waiver.expires}"
            return records.replace(result, reason=result.reason + why)
        if exact(found.last) * sign < exact(waiver.ceiling) * sign:
            why = f", and beyond the {plain(waiver.ceiling)} that is waived until {waiver.expires}"
            return records.replace(result, reason=result.reason + why)
        return records.replace(result, waiver=waiver)

    def notes(self, gates: Sequence[Gate]) -> list[str]:
        """What should be known of the waivers, whether or not one was needed; a sentence each."""
        gated = {gate.metric for gate in gates}
        return [sentence for waiver in self.rows for sentence in self._notes(waiver, gated)]

    def _notes(self, waiver: Waiver, gated: set[str]) -> Iterator[str]:
        days = self._days_left(waiver)
        if waiver.metric not in gated:
            yield f"The waiver of {waiver.metric} names a metric that no gate has."
        if 0 <= days <= WARNED_DAYS:
            when = f"in {count(days, 'day')}" if days else "today"
            issue = f"; see {waiver.issue}" if waiver.issue else ""
            yield f"The waiver of {waiver.metric} ends {when}, on {waiver.expires}: {waiver.owner} owns it{issue}."
        if days > LONG_DAYS:
            yield f"The waiver of {waiver.metric} lasts until {waiver.expires}, which is more than a year away."

    def _days_left(self, waiver: Waiver) -> int:
        """0 on the last day; negative afterwards."""
        return (date.fromisoformat(waiver.expires) - self.today).days
