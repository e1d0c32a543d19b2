"""Many results, one verdict: the worst of what blocks, and never a pass where nothing was compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import gates
from mlops_ci.entities import GateResult, Policy, Waiver
from mlops_ci.gates import Gate
from mlops_ci.gates.verdict import combine

from .runs import LOCAL, report, run

VERDICTS = ["pass", "fail", "inconclusive", "not evaluated"]
WAIVER = Waiver(metric="m", ceiling=0, owner="octo-lead", reason="known", expires="2026-12-31")
RESULTS = st.lists(
    st.builds(
        GateResult,
        metric=st.just("m"),
        rule=st.just("min"),
        verdict=st.sampled_from(VERDICTS),
        reason=st.just("m is so"),
        warn_only=st.booleans(),
        waiver=st.sampled_from([None, WAIVER]),
    )
)


@given(RESULTS)
def test_a_pass_means_that_everything_that_blocks_passed(results):
    if combine(results, LOCAL) == "pass":
        blocking = [result for result in results if not result.warn_only]
        assert all(result.verdict == "pass" or (result.verdict == "fail" and result.waiver) for result in blocking)
        assert any(result.verdict in {"pass", "fail"} for result in results)


@given(RESULTS)
def test_a_failure_that_blocks_always_fails(results):
    failed = any(result.verdict == "fail" and not result.warn_only and not result.waiver for result in results)
    assert (combine(results, LOCAL) == "fail") == failed


@given(RESULTS)
def test_one_more_result_never_turns_a_failure_into_something_milder(results):
    severity = ["pass", "not evaluated", "inconclusive", "fail"]
    for end in range(1, len(results)):
        before, after = combine(results[:end], LOCAL), combine(results[: end + 1], LOCAL)
        if before in {"fail", "inconclusive"}:
            assert severity.index(after) >= severity.index(before)


@given(RESULTS)
def test_where_no_configuration_rules_nothing_is_judged(results):
    assert combine(results, Policy(origin="none")) == "not evaluated"


def test_where_all_that_failed_is_waived_something_was_judged():
    waived = GateResult(metric="m", rule="min", verdict="fail", reason="m is so", waiver=WAIVER)
    assert combine([waived], LOCAL) == "pass"
    assert combine([], LOCAL) == "not evaluated"


def test_each_result_tells_the_line_of_its_gate_and_no_gate_is_lost_where_lines_are():
    rules = (Gate(metric="a", min=0, max=1), Gate(metric="b", min=0))
    assert [found.line for found in report(run({"a": 0.5}), None, *rules, lines=[4, 7]).results] == [4, 4, 7]
    assert [found.line for found in report(run({"a": 0.5}), None, *rules, lines=[4]).results] == [None] * 3


def test_no_baseline_is_not_a_pass_and_ends_with_0():
    found = report(run({"accuracy": 0.9}), None, Gate(metric="accuracy", min=0.5, max_drop=0.1))
    assert (found.verdict, gates.exit_code(found)) == ("not evaluated", 0)


def test_no_gates_is_not_a_pass():
    assert report(run({"accuracy": 0.9}), run({"accuracy": 0.9})).verdict == "not evaluated"


def test_a_gate_that_warns_is_shown_and_blocks_nothing():
    gate = Gate(metric="accuracy", min=0.99, on_fail="warn")
    found = report(run({"accuracy": 0.9}), None, gate)
    assert found.verdict == "pass"
    assert [(one.verdict, one.warn_only) for one in found.results] == [("fail", True)]


def test_a_gate_that_warns_and_could_not_be_judged_is_not_a_pass():
    assert report(run({"a": 1.0}), None, Gate(metric="a", max_drop=0.1, on_fail="warn")).verdict == "not evaluated"


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_a_run_that_did_not_finish_fails_whatever_it_logged(status):
    found = report(run({"accuracy": 0.99}, status=status), None, Gate(metric="accuracy", min=0.5))
    assert found.verdict == "fail"
    assert found.results[0].rule == "finished"


@pytest.mark.parametrize(
    ("before", "on_inconclusive", "code"), [(0.9, "fail", 1), (0.0, "fail", 6), (0.0, "pass", 0), (0.1, "fail", 0)]
)
def test_exit_codes(before, on_inconclusive, code):
    found = report(
        run({"e": 0.1}), run({"e": before}), Gate(metric="e", max_increase="5%", max=0.2 if before < 0.5 else 0)
    )
    assert gates.exit_code(found, on_inconclusive) == code
