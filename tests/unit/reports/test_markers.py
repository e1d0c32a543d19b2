"""A comment is found again by its last line, and only by that."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_ci import reports
from mlops_ci.entities import CiRun

from .cases import CELLS, PASSED, SHA, cell, changed

KEY = reports.key_of(PASSED)
LATER = cell(PASSED, run_id="98765432101", attempt=3)


def test_the_last_line_of_a_comment_has_key_commit_run_and_order():
    assert reports.markdown(PASSED).splitlines()[-1] == reports.marker(PASSED)
    said = f"<!-- mlops-ci v=1 key=churn/churn sha={SHA} run=20260102-0304-c4fe order=98765432101.3 -->"
    assert reports.marker(LATER) == said


def test_a_comment_says_when_its_run_was():
    assert reports.order_in(reports.markdown(LATER), KEY) == reports.order_of(LATER) == (98765432101, 3)
    assert reports.order_in(reports.markdown(PASSED), KEY) == reports.order_of(PASSED) == (0, 0)
    assert reports.order_of(cell(PASSED, run_id="100", attempt=1)) > reports.order_of(cell(PASSED, "99", attempt=2))


def test_jobs_of_one_run_have_the_order_of_the_latest_attempt():
    again = [*CELLS, cell(PASSED, attempt=2, python="3.11")]
    assert reports.order_in(reports.markdown(again), KEY) == (4711, 2)


def test_a_marker_without_an_order_is_older_than_any():
    assert reports.order_in(f"words\n\n<!-- mlops-ci v=1 key={KEY} sha={SHA} run=r -->", KEY) == (0, 0)


@pytest.mark.parametrize("change", [str.rstrip, lambda body: body.replace("\n", "\r\n"), lambda body: f"{body}\n \n"])
def test_what_github_does_to_white_space_changes_nothing(change):
    assert reports.order_in(change(reports.markdown(LATER)), KEY) == (98765432101, 3)


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "hello",
        reports.marker(LATER) + "\nand more",
        f"see {reports.marker(LATER)}",
        f"> {reports.marker(LATER)}",
        f"```\n{reports.marker(LATER)}\n```",
        reports.marker(LATER).replace("v=1", "v=2"),
        reports.marker(LATER).replace("98765432101", "9" * 5_000),
        reports.marker(LATER).replace("98765432101", "٣"),
        reports.marker(LATER).replace("98765432101", "-1"),
        reports.marker(LATER).replace("key=churn/churn", "key=churn/other"),
        reports.marker(LATER).replace("key=churn/churn", "key=churn/churn x=1"),
        reports.marker(LATER).replace(" -->", " x -->"),
        reports.marker(LATER) + reports.marker(LATER),
        "<!-- mlops-ci -->",
    ],
)
def test_everything_else_carries_no_marker(body):
    assert reports.order_in(body, KEY) is None


@given(st.text(), st.text())
def test_whatever_stands_in_a_comment_is_no_fault(body, key):
    assert reports.order_in(body, key) is None


@given(st.text(max_size=300))
@example("a--b---> c")
@example("-")
@example("x" * 5_000)
@example("\ud800")
def test_a_marker_is_one_comment_and_found_again_whatever_the_experiment_is_called(name):
    report = changed(experiment=name)
    marker = reports.marker(report)
    assert marker.count("--") == 2
    assert re.fullmatch(r"<!-- [^<>\n]{1,2000} -->", marker)
    assert reports.order_in(f"x\n\n{marker}\n", reports.key_of(report)) == (0, 0)


def test_two_experiments_never_share_a_key():
    one, other = changed(project="a", experiment="b/c"), changed(project="a/b", experiment="c")
    assert reports.key_of(one) != reports.key_of(other)
    long = changed(experiment="x" * 500), changed(experiment="x" * 501)
    assert reports.key_of(long[0]) != reports.key_of(long[1])


@pytest.mark.parametrize("run_id", ["", "abc", "12a", "-3", "٣", "9" * 5_000, "1.5"])
def test_a_run_without_a_number_has_no_order(run_id):
    assert reports.order_of(changed(ci=CiRun(provider="github", run_id=run_id))) == (0, 0)
