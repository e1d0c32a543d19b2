"""What a check says, which lines are pointed at, and when a comment is worth it."""

from __future__ import annotations

import pytest

from mlops_ci import gates, records, reports
from mlops_ci.entities import MetricChange, Policy, ValueChange

from .cases import (
    BASE,
    CASES,
    CELLS,
    DROP,
    EDITED,
    FAILED,
    INCONCLUSIVE,
    LATENCY,
    LEAST,
    NO_BASELINE,
    PASSED,
    SELF_REPORTED,
    WAIVED,
    changed,
)
from .rendered import LIVE, outside_code

STILL = changed(
    PASSED,
    results=[LEAST],
    metrics=[MetricChange(metric="accuracy", baseline=0.9, candidate=0.9, change=0.0, relative=0.0, trend="same")],
)


def codes(found, on_inconclusive="fail"):
    return [gates.exit_code(report, on_inconclusive) for report in found]


@pytest.mark.parametrize(
    ("found", "on_inconclusive", "title", "conclusion"),
    [
        ([PASSED], "fail", "ready to merge — all 2 gates passed", "success"),
        ([WAIVED], "fail", "ready to merge — all 2 gates passed or are waived (1 waived)", "success"),
        ([FAILED], "fail", "not ready to merge — 1 of 3 gates failed, 1 warning", "failure"),
        ([INCONCLUSIVE], "fail", "undecided — 1 of 2 gates could not be judged", "failure"),
        ([INCONCLUSIVE], "pass", "undecided — 1 of 2 gates could not be judged", "neutral"),
        ([CASES["no gates"]], "fail", "not judged — no gates are configured", "neutral"),
        ([SELF_REPORTED], "fail", "ready to merge — all 2 gates passed", "neutral"),
        (CELLS, "fail", "not ready to merge — 1 of 3 jobs failed, 2 passed (1 gate waived)", "failure"),
        ([PASSED, NO_BASELINE], "fail", "nothing to compare with yet — 1 of 2 jobs not judged, 1 passed", "neutral"),
        ([], "fail", "no job has reported", "failure"),
    ],
)
def test_a_check_concludes_by_the_exit_codes(found, on_inconclusive, title, conclusion):
    assert reports.conclusion(found, codes(found, on_inconclusive)) == (title, conclusion)


def test_a_check_that_lacks_a_job_or_an_exit_code_lets_nothing_pass():
    assert reports.conclusion([PASSED], [0], expected=2) == (
        "not complete yet — 1 of 2 jobs have reported: 1 passed",
        "failure",
    )
    assert reports.conclusion([PASSED, PASSED], [0])[1] == "failure"
    assert reports.conclusion([PASSED, PASSED], [0, 1])[1] == "failure"


def test_what_did_not_pass_is_pointed_at_where_its_rule_stands():
    policy = Policy(origin="base", sha=BASE, config_name="models/churn/mlops.yaml")
    results = [LEAST, LATENCY, *WAIVED.results[1:2], records.replace(DROP, metric="f1", line=12)]
    found = reports.annotations([changed(policy=policy, results=results)])
    assert [(one.path, one.line, one.level, one.title) for one in found] == [
        ("models/churn/mlops.yaml", 12, "failure", "churn: f1"),
        ("models/churn/mlops.yaml", 1, "warning", "churn: latency_ms"),
        ("models/churn/mlops.yaml", 7, "notice", "churn: accuracy"),
    ]
    assert found[1].message == LATENCY.reason
    assert "waived down to 0.93 until 2026-12-31 by octo-lead" in found[2].message


def test_an_undecided_rule_is_a_failure_in_the_usual_file():
    assert [one[:3] for one in reports.annotations([INCONCLUSIVE])] == [("mlops.yaml", 1, "failure")]
    assert not reports.annotations([PASSED, NO_BASELINE])


def test_annotations_name_the_job_and_end_at_fifty_with_failures_first():
    assert reports.annotations(CELLS)[0].title == "churn (python 3.12, os ubuntu-latest): accuracy"
    many = [records.replace(LATENCY, metric=f"w{number}") for number in range(60)]
    found = reports.annotations([changed(results=[*many, DROP])])
    assert len(found) == 50
    assert found[0].level == "failure"


@pytest.mark.parametrize("evil", ["\x1b[31m\u202e\u200b", "a\nb::error::x", "x" * 5_000])
def test_text_of_an_annotation_is_plain(evil):
    [one] = reports.annotations([changed(project=evil, results=[records.replace(DROP, metric=evil, reason=evil)])])
    assert not set("\x1b\n\u202e\u200b") & set(one.title + one.message)
    assert len(one.title) <= 250
    assert len(one.message) <= 1_000


NEWS = {
    "a failure": FAILED,
    "undecided": INCONCLUSIVE,
    "a waiver": changed(WAIVED, metrics=STILL.metrics, params=[], data=[]),
    "a warning": changed(STILL, results=[records.replace(LEAST, verdict="fail", warn_only=True)]),
    "no baseline": NO_BASELINE,
    "a gated metric": PASSED,
    "a gated metric that is new": changed(
        STILL, metrics=[MetricChange(metric="accuracy", baseline=None, candidate=0.9)]
    ),
    "a gated metric that is gone": changed(STILL, metrics=[]),
    "a param": changed(STILL, params=[ValueChange(name="depth", baseline=1, candidate=2)]),
    "the data": changed(STILL, data=[ValueChange(name="train.rows", baseline=1, candidate=2)]),
    "the policy": changed(STILL, policy=EDITED.policy),
    "only the policy's edits": changed(STILL, policy=records.replace(EDITED.policy, changed_here=[])),
    "the policy in name": changed(STILL, policy=Policy(origin="base", changed_here=["gates"])),
}


@pytest.mark.parametrize("name", NEWS)
def test_news_are_worth_a_comment(name):
    assert reports.worth_a_comment([STILL, NEWS[name]], "on-change")


def test_no_news_are_not():
    other = MetricChange(metric="seconds", baseline=1.0, candidate=2.0, change=1.0)
    assert not reports.worth_a_comment([STILL, changed(STILL, metrics=[*STILL.metrics, other])], "on-change")


@pytest.mark.parametrize(
    ("when", "worth"),
    [("always", {"still", "fail", "undecided", "new"}), ("never", set()), ("on-failure", {"fail", "undecided"})],
)
def test_whoever_wants_more_or_fewer_comments_gets_them(when, worth):
    found = {"still": STILL, "fail": FAILED, "undecided": INCONCLUSIVE, "new": NO_BASELINE}
    assert {name for name, report in found.items() if reports.worth_a_comment([report], when)} == worth


WHY = "nothing below the 2 paths that the model depends on differs from 3f2a91c, which was trained"


def test_a_model_that_is_not_affected_says_why():
    title, markdown = reports.not_affected("churn", WHY)
    assert title == f"not affected — {WHY}"
    assert markdown == f"**churn: not affected** — {WHY.replace('3f2a91c', '`3f2a91c`')}\n"


def test_a_failed_training_says_how():
    title, markdown = reports.not_trained("churn", "`python train.py` ended with exit code 3")
    assert title == "not ready to merge — `python train.py` ended with exit code 3"
    assert markdown.startswith("**churn: not ready to merge** — `python train.py` ended with")
    assert reports.not_trained("churn", "")[0] == "not ready to merge — there is no verdict"


@pytest.mark.parametrize("told", [reports.not_affected, reports.not_trained])
def test_they_are_found_again_like_any_comment_and_nothing_that_somebody_named_has_an_effect(told):
    evil = "@org/everyone ![x](http://h/x) <!-- mlops-ci -->|`"
    key = reports.key(evil, evil)
    title, markdown = told(evil, evil, key=key, order=(12, 3))
    assert reports.order_in(markdown, key) == (12, 3)
    assert "\n" not in title
    assert not LIVE.search(outside_code(markdown))
    assert reports.order_in(told(evil, evil)[1], key) is None
