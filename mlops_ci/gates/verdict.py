"""Many results, one verdict, one exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mlops_ci.entities import GateReport, GateResult, Policy, Verdict

FAILED, UNDECIDED = 1, 6


def combine(results: Sequence[GateResult], policy: Policy) -> Verdict:
    """
    Return the worst of what blocks: fail, then inconclusive, then not evaluated, then pass.

    What does not block takes no part: a gate that only warns, a failure that is waived. Where nothing at all was
    judged, nothing passed. Nor is anything judged where no configuration rules.
    """
    if policy.origin == "none":
        return "not evaluated"
    blocking = {result.verdict for result in results if blocks(result)}
    for verdict in ("fail", "inconclusive", "not evaluated"):
        if verdict in blocking:
            return verdict
    judged = any(result.verdict in {"pass", "fail"} for result in results)
    return "pass" if judged else "not evaluated"


def blocks(result: GateResult) -> bool:
    """Whether *result*, unless it is a pass, keeps a candidate from being merged. Only a failure can be waived."""
    return not result.warn_only and (result.waiver is None or result.verdict != "fail")


def exit_code(report: GateReport, on_inconclusive: Literal["fail", "pass"] = "fail") -> int:
    """0 to go on (also with nothing to compare with yet), 1 a gate failed, 6 undecided where that must not pass."""
    if report.verdict == "fail":
        return FAILED
    return UNDECIDED if report.verdict == "inconclusive" and on_inconclusive == "fail" else 0
