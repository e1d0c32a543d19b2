"""The jobs of a matrix in one comment."""

from __future__ import annotations

import re

import pytest

from mlops_ci import records, reports
from mlops_ci.entities import CiRun
from mlops_ci.reports.cells import name_of

from .cases import BASELINE, CELLS, DROP, FAILED, INCONCLUSIVE, NO_BASELINE, PASSED, SELF_REPORTED, cell, changed
from .rendered import html_of, tables_of


def test_markdown(snapshot):
    assert reports.markdown(CELLS, expected=4) == snapshot


def head(found, expected=0):
    return reports.markdown(found, expected=expected).splitlines()[0].partition(" · ")[0]


@pytest.mark.parametrize(
    ("found", "expected", "line"),
    [
        ([PASSED, PASSED], 2, "**churn: ready to merge** — all 2 jobs passed"),
        ([PASSED, FAILED], 2, "**churn: not ready to merge** — 1 of 2 jobs failed, 1 passed"),
        ([PASSED, PASSED], 4, "**churn: not complete yet** — 2 of 4 jobs have reported: 2 passed"),
        ([PASSED], 4, "**churn: not complete yet** — 1 of 4 jobs have reported: 1 passed"),
        ([FAILED], 4, "**churn: not ready to merge** — 1 of 4 jobs have reported: 1 failed"),
        ([INCONCLUSIVE, PASSED], 0, "**churn: undecided** — 1 of 2 jobs undecided, 1 passed"),
        ([NO_BASELINE, NO_BASELINE], 2, "**churn: nothing to compare with yet** — all 2 jobs were not judged"),
        (CELLS, 3, "**churn: not ready to merge** — 1 of 3 jobs failed, 2 passed (1 gate waived)"),
        ([PASSED], 1, "**churn: ready to merge** — all 2 gates passed"),
    ],
)
def test_the_headline_is_the_worst_verdict_and_the_counts(found, expected, line):
    assert head(found, expected) == line


def test_who_reported_first_makes_no_difference():
    assert reports.markdown(CELLS) == reports.markdown(CELLS[::-1])


def test_the_worst_job_comes_first_in_the_table_and_below():
    markdown = reports.markdown(CELLS)
    rows = re.findall(r"^\| `(python [^`]+)` \|", markdown, re.MULTILINE)
    folds = re.findall(r"<code>(.*?)</code>", markdown)
    assert rows == folds == ["python 3.12", "python 3.11", "python 3.13"]


def test_a_row_has_the_metrics_that_did_not_pass_somewhere():
    many = [records.replace(DROP, metric=f"m{number}", verdict="pass") for number in range(8)]
    failed = [*many[:7], records.replace(DROP, metric="m7")]
    markdown = reports.markdown([cell(FAILED, a=1), cell(changed(FAILED, results=failed), a=2)])
    assert markdown.splitlines()[2] == "| job |   | `accuracy` | `m7` | `latency_ms` | `log_loss` |"
    assert "The jobs below have 7 more gated metrics." in markdown
    assert {count for rows in tables_of(markdown) for count in rows} <= {2, 3, 4, 5, 6}


@pytest.mark.parametrize(
    ("matrix", "name"),
    [
        ('{"python": "3.12"}', "python 3.12"),
        ('{"python": 3.1, "gpu": false, "os": "ubuntu"}', "python 3.1, gpu false, os ubuntu"),
        ('{"on": {"os": "x"}}', 'on {"os": "x"}'),
        ("3.12, ubuntu", "3.12, ubuntu"),
        ("null", "train"),
        ("{}", "train"),
        ("", "train"),
        ("[" * 1_999, "[" * 119 + "…"),
        ("9" * 1_999, "9" * 119 + "…"),
        ("[1]", "[1]"),
        ('{"a": "\u202ex\\u200b"}', "a �x�"),
    ],
)
def test_a_job_is_called_by_its_cell(matrix, name):
    run = CiRun(provider="github", job="train", cell=matrix)
    assert name_of(changed(ci=run)) == name


def test_a_name_says_only_what_differs():
    matrices = [{"os": "ubuntu", "python": "3.11", "gpu": True}, {"os": "ubuntu", "python": "3.12"}]
    markdown = reports.markdown([cell(PASSED, **matrix) for matrix in matrices])
    assert re.findall(r"<code>(.*?)</code>", markdown) == ["python 3.11, gpu true", "python 3.12"]
    wholly = reports.markdown([cell(PASSED, os="ubuntu"), cell(PASSED, **matrices[1])])
    assert re.findall(r"<code>(.*?)</code>", wholly) == ["os ubuntu", "os ubuntu, python 3.12"]
    alone = reports.markdown([cell(PASSED, **matrices[1])], expected=2)
    assert re.findall(r"<code>(.*?)</code>", alone) == ["os ubuntu, python 3.12"]


def test_reports_without_names_are_numbered():
    assert name_of(PASSED) == ""
    assert "| `job 2` |" in reports.markdown([PASSED, FAILED])


def test_jobs_with_baselines_of_their_own_say_so():
    other = changed(PASSED, baseline=records.replace(BASELINE, sha="c" * 40))
    assert reports.markdown([PASSED, other]).splitlines()[0].endswith("`3f2a91c`, each against its own baseline")
    assert "against `main` `ccccccc`" in reports.markdown([PASSED, other])


def test_what_strangers_reported_is_said_once_above():
    above = reports.markdown([SELF_REPORTED, SELF_REPORTED]).partition("<details>")[0]
    assert above.count("not verified") == 1


def test_of_many_jobs_those_that_failed_keep_their_details():
    found = [cell(PASSED, n=number) for number in range(150)] + [cell(FAILED, n=number) for number in range(150, 200)]
    markdown = reports.markdown(found, expected=200)
    assert len(markdown.encode()) <= 60_000
    details = re.findall(r"<summary><code>n \d+</code> (.)", markdown)
    assert len(details) > 5
    assert set(details) == {"❌"}
    assert f"Left out to fit: the details of {200 - len(details)} jobs." in markdown
    assert len(max(tables_of(markdown), key=len)) in {51, 201}
    assert html_of(markdown)[-1] == reports.marker(found)


def test_a_few_jobs_share_the_room():
    params = [records.replace(FAILED.params[0], name=f"layer_{number}.width") for number in range(400)]
    found = [cell(changed(FAILED, params=params), n=number) for number in range(8)]
    markdown = reports.markdown(found)
    assert len(markdown.encode()) <= 60_000
    assert len(re.findall(r"<summary><code>n \d", markdown)) == 8
    # What the others left is for the last, and nobody's details are crowded out by the first.
    assert "layer_0.width" not in markdown.partition("<code>n 1</code>")[0]
    assert "layer_0.width" in markdown
