"""Each rule: what holds, what does not, what cannot be said, and the sentence about it."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlops_ci.gates import Gate

from .runs import report, result, run

NUMBERS = st.floats(min_value=-1e6, max_value=1e6)
NO_NUMBERS = [math.nan, math.inf, -math.inf]
RULES = [
    {"min": 0.5},
    {"max": 0.5},
    {"max_drop": 0.1},
    {"max_increase": 0.1},
    {"max_drop": "5%"},
    {"max_increase": "5%"},
]


@pytest.mark.parametrize(
    ("before", "after", "rule", "verdict", "reason"),
    [
        (0.9, 0.935, {"min": 0.9}, "pass", "is 0.9350; at least 0.9 is required"),
        (0.9, 0.9, {"min": 0.9}, "pass", "is 0.9000; at least 0.9 is required"),
        (0.9, 0.8999999, {"min": 0.9}, "fail", "is 0.8999999; at least 0.9 is required"),
        (9, 12000, {"max": 10000}, "fail", "is 12,000; at most 10,000 is allowed"),
        (0.956, 0.935, {"max_drop": 0.01}, "fail", "fell by 0.0210, from 0.9560 to 0.9350; at most 0.0100 is allowed"),
        (0.90, 0.89, {"max_drop": 0.01}, "pass", "fell by 0.0100, from 0.9000 to 0.8900; at most 0.0100 is allowed"),
        (0.2, 0.3, {"max_increase": 0.1}, "pass", "rose by 0.1000, from 0.2000 to 0.3000; at most 0.1000 is allowed"),
        (
            0.2,
            0.3,
            {"max_drop": 0.1},
            "pass",
            "rose by 0.1000, from 0.2000 to 0.3000; a drop of at most 0.1000 is allowed",
        ),
        (0.9, 0.9, {"max_drop": 0}, "pass", "stayed at 0.9000; no drop is allowed"),
        (0.212, 0.241, {"max_increase": "5%"}, "fail", "rose by 13.7 %, from 0.2120 to 0.2410; at most 5 % is allowed"),
        (100, 105, {"max_increase": "5%"}, "pass", "rose by 5.0 %, from 100 to 105; at most 5 % is allowed"),
        (-0.5, -0.6, {"max_drop": "10 %"}, "fail", "fell by 20.0 %, from -0.5000 to -0.6000; at most 10 % is allowed"),
        (-0.5, -0.6, {"max_drop": "20%"}, "pass", "fell by 20.0 %, from -0.5000 to -0.6000; at most 20 % is allowed"),
        (0, 0, {"max_increase": "5%"}, "pass", "stayed at 0; an increase of at most 5 % is allowed"),
        (0, 1, {"max_increase": "5%"}, "inconclusive", "rose by 1, from 0 to 1, and a percentage of 0 says nothing"),
        (0, -1, {"max_increase": "5%"}, "pass", "fell by 1, from 0 to -1; an increase of at most 5 % is allowed"),
        (None, 0.9, {"max_drop": 0.1}, "inconclusive", "was not logged by the baseline, so its change is not known"),
        (math.nan, 0.9, {"max_drop": 0.1}, "inconclusive", "is NaN in the baseline, so its change is not known"),
        (0.9, None, {"max_drop": 0.1}, "fail", "was not logged by this run"),
        (0.9, math.nan, {"min": 0.1}, "fail", "is NaN, which satisfies no rule"),
    ],
)
def test_a_rule_decides_and_says_why(before, after, rule, verdict, reason):
    found = result(before, after, **rule)
    assert (found.verdict, found.reason) == (verdict, f"accuracy {reason}")
    assert {found.rule: found.limit} == rule


def test_noise_in_the_last_bits_of_a_double_decides_nothing():
    assert 0.1 + 0.2 > 0.3
    assert result(0, 0.1 + 0.2, max=0.3).verdict == "pass"
    assert 0.90 - 0.89 > 0.01
    assert result(0.90, 0.89, max_drop=0.01).verdict == "pass"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [None, *NO_NUMBERS])
def test_a_missing_metric_and_what_is_no_number_fail_every_rule(rule, value):
    assert result(0.5, value, **rule).verdict == "fail"


@pytest.mark.parametrize("rule", RULES[2:])
@pytest.mark.parametrize("value", [None, *NO_NUMBERS])
def test_a_change_from_what_is_no_number_is_not_known(rule, value):
    assert result(value, 0.5, **rule).verdict == "inconclusive"


def test_without_a_baseline_bounds_are_judged_and_changes_are_not():
    found = report(run({"accuracy": 0.9}), None, Gate(metric="accuracy", min=0.95, max_drop=0.1)).results
    assert [(one.rule, one.verdict) for one in found] == [("min", "fail"), ("max_drop", "not evaluated")]


@given(NUMBERS, NUMBERS, NUMBERS)
def test_min_is_monotone(low, high, limit):
    assume(low <= high)
    assert (result(0, low, min=limit).verdict, result(0, high, min=limit).verdict) != ("pass", "fail")


@given(NUMBERS, NUMBERS, st.one_of(st.floats(0, 1e6), st.integers(0, 200).map("{}%".format)))
def test_an_increase_is_a_drop_in_the_mirror(before, after, limit):
    assert result(before, after, max_drop=limit).verdict == result(-before, -after, max_increase=limit).verdict


@given(NUMBERS, NUMBERS, st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_wider_tolerance_never_refuses_what_a_narrower_one_allows(before, after, limit, more):
    assume(result(before, after, max_drop=limit).verdict == "pass")
    assert result(before, after, max_drop=limit + more).verdict == "pass"


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.integers(0, 9))
def test_changes_are_judged_as_on_paper(before, after, limit, shift):
    """Decimal inputs with up to 7 digits: the answer is that of whole-number arithmetic."""
    numbers = (float(f"{number}e-{shift}") for number in (before, after, limit))
    value, other, allowed = numbers
    assert result(value, other, max_drop=allowed).verdict == ("pass" if before - after <= limit else "fail")


@given(NUMBERS, NUMBERS, st.integers(0, 200))
def test_a_refusal_never_reads_as_if_it_were_within_the_limit(before, after, percent):
    found = result(before, after, max_increase=f"{percent}%")
    if found.verdict == "fail":
        assert f"by {percent}.0 %" not in found.reason
