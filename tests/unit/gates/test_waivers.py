"""A waiver lets one known failure pass, down to its ceiling and up to its day; it never makes up a pass."""

from __future__ import annotations

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import gates
from mlops_ci.entities import GateReport, Policy, Waiver
from mlops_ci.gates import Gate, Waivers

from .runs import report, run

TODAY = date(2026, 6, 15)
ISSUE = "https://github.com/octocat/churn/issues/12"
FINITE = st.floats(-1e6, 1e6)


def waiver(**fields: object) -> Waiver:
    facts = {
        "metric": "accuracy",
        "ceiling": 0.85,
        "owner": "octo-lead",
        "reason": "the new region has little data yet",
        "expires": "2026-12-31",
        "issue": ISSUE,
    }
    return Waiver(**(facts | fields))


def judged(
    value: float | None, *rules: Gate, rows: tuple[Waiver, ...] = (), today: date = TODAY, **facts
) -> GateReport:
    """A run with *value* as its accuracy, after a baseline of 1.0."""
    candidate = run({"training": 1.0} if value is None else {"accuracy": value, "training": 1.0}, **facts)
    rules = rules or (Gate(metric="accuracy", min=0.9),)
    return report(candidate, run({"accuracy": 1.0}), *rules, waivers=Waivers(rows or (waiver(),), today))


def test_a_failure_above_the_ceiling_is_waived_and_is_still_a_failure():
    found = judged(0.86)
    [result] = found.results
    assert (found.verdict, result.verdict, result.waiver) == ("pass", "fail", waiver())
    assert (gates.blocks(result), gates.exit_code(found)) == (False, 0)
    assert result.reason == "accuracy is 0.8600; at least 0.9 is required"


def test_the_ceiling_itself_is_waived_also_where_binary_numbers_differ():
    assert judged(0.3, rows=(waiver(ceiling=0.1 + 0.2),)).verdict == "pass"
    assert judged(0.85).verdict == "pass"


def test_beyond_the_ceiling_it_fails_and_says_so():
    found = judged(0.8499)
    assert found.verdict == "fail"
    assert found.results[0].waiver is None
    assert found.results[0].reason == (
        "accuracy is 0.8499; at least 0.9 is required, and beyond the 0.85 that is waived until 2026-12-31"
    )


@pytest.mark.parametrize(
    ("rule", "value", "ceiling", "verdict"),
    [
        ({"min": 0.9}, 0.8, 0.7, "pass"),
        ({"min": 0.9}, 0.6, 0.7, "fail"),
        ({"max_drop": 0.01}, 0.8, 0.7, "pass"),
        ({"max_drop": 0.01}, 0.6, 0.7, "fail"),
        ({"max": 0.5}, 0.6, 0.7, "pass"),
        ({"max": 0.5}, 0.8, 0.7, "fail"),
        ({"max_increase": 0.01, "better": "lower"}, 1.2, 1.3, "pass"),
        ({"max_increase": 0.01, "better": "lower"}, 1.4, 1.3, "fail"),
    ],
)
def test_the_ceiling_is_in_the_direction_of_the_rule(rule, value, ceiling, verdict):
    gate = Gate(metric="accuracy", **rule)
    assert judged(value, gate, rows=(waiver(ceiling=ceiling),)).verdict == verdict


@given(FINITE, FINITE, FINITE)
def test_a_worse_value_is_never_waived_where_a_better_one_is_not(low, high, ceiling):
    low, high = min(low, high), max(low, high)
    gate = Gate(metric="accuracy", min=2e6)
    rows = (waiver(ceiling=ceiling),)
    assert (judged(low, gate, rows=rows).verdict, judged(high, gate, rows=rows).verdict) != ("pass", "fail")


@pytest.mark.parametrize("ceiling", [-1e300, 1e300])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rule", ["min", "max", "max_drop", "max_increase"])
def test_what_is_missing_or_no_number_is_never_waived(rule, value, ceiling):
    found = judged(value, Gate(metric="accuracy", **{rule: 0.5}), rows=(waiver(ceiling=ceiling),))
    assert found.verdict == "fail"
    assert found.results[0].waiver is None


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_a_training_that_did_not_finish_is_never_waived(status):
    rows = (waiver(), waiver(metric="training", ceiling=0))
    found = judged(0.86, rows=rows, status=status)
    assert found.verdict == "fail"
    assert not [result for result in found.results if result.waiver]


def test_what_could_not_be_compared_is_not_waived():
    gate = Gate(metric="accuracy", max_drop=0.01)
    for baseline, verdict in ((run(), "inconclusive"), (None, "not evaluated")):
        found = report(run({"accuracy": 0.86}), baseline, gate, waivers=Waivers((waiver(),), TODAY))
        assert (found.verdict, found.results[0].waiver) == (verdict, None)


def test_only_exactly_that_metric_is_waived():
    for metric in ("Accuracy", "accuracy ", "test.accuracy", "acc"):
        assert judged(0.86, rows=(waiver(metric=metric),)).verdict == "fail"


def test_another_metric_of_the_same_run_still_blocks():
    rules = (Gate(metric="accuracy", min=0.9), Gate(metric="auc", min=0.9))
    candidate = run({"accuracy": 0.86, "auc": 0.86})
    found = report(candidate, None, *rules, waivers=Waivers((waiver(),), TODAY))
    assert (found.verdict, [bool(result.waiver) for result in found.results]) == ("fail", [True, False])


def test_what_passes_or_only_warns_needs_no_waiver():
    warns = Gate(metric="accuracy", min=0.9, on_fail="warn")
    assert [result.waiver for result in judged(0.95).results + judged(0.86, warns).results] == [None, None]


def test_a_waiver_counts_on_its_last_day_and_not_on_the_next():
    rows = (waiver(expires="2026-06-15"),)
    assert judged(0.86, rows=rows, today=date(2026, 6, 15)).verdict == "pass"
    after = judged(0.86, rows=rows, today=date(2026, 6, 16))
    assert (after.verdict, after.results[0].waiver) == ("fail", None)
    assert after.results[0].reason == (
        "accuracy is 0.8600; at least 0.9 is required; the waiver of octo-lead ended on 2026-06-15"
    )


def test_an_expired_waiver_says_nothing_of_a_metric_that_passes():
    assert judged(0.95, rows=(waiver(expires="2020-01-01"),)).notes == []


def test_where_no_configuration_rules_nothing_is_waived():
    found = report(
        run({"accuracy": 0.86}),
        None,
        Gate(metric="accuracy", min=0.9),
        waivers=Waivers((waiver(expires="2026-06-20", metric="x"), waiver()), TODAY),
        policy=Policy(origin="none"),
    )
    assert (found.verdict, found.results[0].waiver, found.notes) == ("not evaluated", None, [])


def test_a_waiver_makes_no_pass_where_nothing_was_judged():
    assert report(run(), None, waivers=Waivers((waiver(),), TODAY)).verdict == "not evaluated"


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"metric": "acuracy"}, "The waiver of acuracy names a metric that no gate has."),
        (
            {"expires": "2026-06-29"},
            f"The waiver of accuracy ends in 14 days, on 2026-06-29: octo-lead owns it; see {ISSUE}.",
        ),
        (
            {"expires": "2026-06-16", "issue": ""},
            "The waiver of accuracy ends in 1 day, on 2026-06-16: octo-lead owns it.",
        ),
        (
            {"expires": "2026-06-15", "issue": ""},
            "The waiver of accuracy ends today, on 2026-06-15: octo-lead owns it.",
        ),
        (
            {"expires": "2027-06-16"},
            "The waiver of accuracy lasts until 2027-06-16, which is more than a year away.",
        ),
        ({"expires": "2026-06-30"}, ""),
        ({"expires": "2027-06-15"}, ""),
        ({"expires": "2026-06-14"}, ""),
    ],
)
def test_what_should_be_known_of_a_waiver_is_said_before_it_matters(fields, note):
    assert judged(0.95, rows=(waiver(**fields),)).notes == ([note] if note else [])
