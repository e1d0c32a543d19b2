"""A verdict in all its forms."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from mlops_ci import records, reports
from mlops_ci.entities import GateReport, MetricChange, RunPointer

from .cases import (
    BASE,
    CASES,
    CELLS,
    DROP,
    EDITED,
    FAILED,
    INCONCLUSIVE,
    LEAST,
    NO_BASELINE,
    PLOTTED,
    SELF_REPORTED,
    SHA,
    WAIVED,
    WAIVER,
    changed,
)
from .rendered import links_of, printed, tables_of

SHOWN = [name for name in CASES if name != "huge"]


@pytest.mark.parametrize("name", SHOWN)
def test_markdown(name, snapshot):
    assert reports.markdown(CASES[name]) == snapshot


@pytest.mark.parametrize("name", SHOWN)
def test_terminal(name, snapshot):
    assert printed(CASES[name]) == snapshot


@pytest.mark.parametrize("name", ["fail", "waived", "edited"])
def test_json(name, snapshot):
    assert reports.json(CASES[name]) == snapshot


@pytest.mark.parametrize("name", ["fail", "waived", "plotted"])
def test_html(name, snapshot):
    assert reports.html(CASES[name]).partition("<main>")[2] == snapshot


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pass", "churn: ready to merge — all 2 gates passed"),
        (
            "fail",
            ("churn: not ready to merge — accuracy fell by 0.0210, from 0.9560 to 0.9350; at most 0.0100 is allowed"),
        ),
        (
            "no baseline",
            (
                "churn: nothing to compare with yet — 1 of 2 gates holds, 1 waiting for a baseline:"
                " the first run on the target branch becomes it"
            ),
        ),
        (
            "inconclusive",
            "churn: undecided — log_loss was not logged by the baseline, so its change is not known",
        ),
        ("waived", "churn: ready to merge — all 2 gates passed or are waived (1 waived)"),
        ("no gates", "churn: not judged — no gates are configured"),
    ],
)
def test_the_verdict_in_one_sentence(name, line):
    assert reports.summary_line(CASES[name]) == line


def test_the_first_line_says_what_to_do_and_which_commits_were_compared():
    first = reports.markdown(FAILED).splitlines()[0]
    assert first.startswith("**churn: not ready to merge** — 1 of 3 gates failed, 1 warning · [run](")
    assert first.endswith("`3f2a91c` against `main` `b81c77e`")


def test_worse_is_said_in_words_and_shape():
    for shown in (reports.markdown(FAILED), printed(FAILED)):
        assert "▼ worse" in shown
        assert "▲ better" in shown


def test_a_verdict_without_a_baseline_is_never_called_a_pass():
    assert "ready to merge" not in reports.markdown(NO_BASELINE)
    assert "ready to merge" not in reports.markdown(CASES["no policy"])


def test_a_change_of_the_policy_is_not_folded_away():
    before_folds = reports.markdown(INCONCLUSIVE).partition("<details>")[0]
    assert "This change edits the policy (gates, `on_inconclusive`)" in before_folds


def test_only_the_page_of_a_ci_run_becomes_a_link():
    for url in (
        "javascript:alert(1)",
        "https://evil.example/",
        "https://github.com/a/b/actions/runs/1)x",
        "http://x/a/b/actions/runs/1",
    ):
        assert "](" not in reports.markdown(changed(candidate=RunPointer(run_id="r", sha=SHA, run_url=url)))


def test_json_has_every_field_and_no_number_that_json_lacks():
    odd = [MetricChange(metric="m", baseline=float("nan"), candidate=float("inf"))]
    shape = json.loads(reports.json(changed(metrics=odd)), parse_constant=pytest.fail)
    unknown = {"change": None, "relative": None, "trend": "unknown", "trail": []}
    assert shape["metrics"] == [{"metric": "m", "baseline": "nan", "candidate": "inf", **unknown}]
    assert {field.name for field in msgspec.structs.fields(GateReport)} < shape.keys()
    assert shape["counts"] == {"pass": 1, "fail": 1, "waived": 0, "warning": 1, "inconclusive": 0, "not evaluated": 0}


def test_a_page_is_whole_and_loads_nothing():
    page = reports.html(FAILED)
    assert page.startswith("<!doctype html>")
    assert "<title>churn: not ready to merge" in page
    assert not re.search(r"<(script|link|img)\b|@import|url\(", page)


@pytest.mark.parametrize(
    "matrix",
    [None, {}, {"labels": ["a"], "matrix": [[1, 2]]}, {"labels": "ab", "matrix": 3}, {"labels": [], "matrix": []}],
)
def test_what_is_no_confusion_matrix_is_left_out(matrix):
    assert "Confusion" not in reports.markdown(changed(confusion=matrix))


def test_a_terminal_gets_colours_and_a_log_none():
    assert "\x1b[" in printed(FAILED, force_terminal=True, color_system="standard", no_color=False)
    assert "\x1b[" not in printed(FAILED)


def test_how_to_reproduce_names_the_commits():
    assert f"git checkout {SHA}\n" in reports.markdown(FAILED)
    assert f"mlops-ci gate --base {BASE}\n" in reports.markdown(FAILED)


def test_a_waived_failure_is_no_failure_and_says_who_answers_for_it():
    head, _, rest = reports.markdown(WAIVED).partition("\n")
    assert head.startswith("**churn: ready to merge** — all 2 gates passed or are waived (1 waived)")
    assert "| 🟡 waived |" in rest
    assert "waived down to 0.93 until 2026-12-31 by `octo-lead`: the new labels are harder" in rest
    assert "https://github.com/acme/churn/issues/42" in links_of(rest)
    shape = json.loads(reports.json(WAIVED))
    assert (shape["counts"]["waived"], shape["counts"]["fail"]) == (1, 0)
    for shown in (printed(WAIVED), reports.html(WAIVED)):
        assert "waived down to 0.93" in shown


def test_another_failure_beside_a_waiver_still_decides():
    failed = changed(WAIVED, verdict="fail", results=[*WAIVED.results, records.replace(DROP, metric="f1")])
    assert "1 of 3 gates failed, 1 waived" in reports.markdown(failed).splitlines()[0]
    lines = [line for line in reports.markdown(failed).splitlines() if line.startswith(("❌", "🟡"))]
    assert [line[0] for line in lines] == ["❌", "🟡"]
    assert reports.summary_line(changed(failed, results=failed.results[::-1])).endswith("at most 0.0100 is allowed")


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([records.replace(DROP, waiver=WAIVER)], "the gate is waived"),
        ([LEAST], "the gate passed"),
        (
            [records.replace(DROP, waiver=WAIVER), records.replace(DROP, metric="f1", warn_only=True)],
            "1 of 2 gates passed or are waived (1 waived), 1 warning",
        ),
        ([records.replace(LEAST, waiver=WAIVER)], "the gate passed"),
    ],
)
def test_what_is_waived_is_counted_beside_what_passed(results, said):
    assert f"ready to merge** — {said} ·" in reports.markdown(changed(WAIVED, results=results))


@pytest.mark.parametrize(
    ("rule", "words"),
    [("min", "down to 0.93"), ("max_drop", "down to 0.93"), ("max", "up to 0.93"), ("max_increase", "up to 0.93")],
)
def test_a_ceiling_is_the_worst_value_on_the_side_of_its_rule(rule, words):
    waived = changed(WAIVED, results=[records.replace(DROP, rule=rule, waiver=WAIVER)])
    assert f"waived {words} until" in reports.markdown(waived)


@pytest.mark.parametrize(
    "issue",
    [
        "",
        "#42",
        "javascript:alert(1)",
        "http://github.com/acme/churn/issues/42",
        "https://github.com.evil.example/acme/churn/issues/42",
        "https://evil.example/acme/churn/issues/42",
        "https://github.com/acme/churn/issues/42)![x](http://h/x",
        "https://github.com/acme/churn/issues/42?x=1",
        "https://github.com/../../issues/42/x",
    ],
)
def test_only_the_address_of_an_issue_becomes_a_link(issue):
    waived = records.replace(DROP, waiver=records.replace(WAIVER, issue=issue))
    assert len(links_of(reports.markdown(changed(WAIVED, results=[waived])))) == 1


def test_what_a_change_makes_of_the_policy_is_shown_beside_the_sentence():
    markdown = reports.markdown(EDITED)
    assert "This change edits the policy (gates, waivers)" in markdown.partition("<details>")[0]
    assert "| `gates[0].min` | `0.9` | `0.5` |" in markdown
    assert "gates[0].min: 0.9 → 0.5" in printed(EDITED)


def test_what_a_stranger_reports_is_said_to_be_so_and_links_only_to_github():
    sentence = "Reported by the fork's own job and not verified; it will be trained again after the merge."
    assert reports.markdown(SELF_REPORTED).splitlines()[2] == f"⚠️ {sentence}"
    assert sentence in printed(SELF_REPORTED)
    assert sentence not in reports.markdown(FAILED)
    elsewhere = records.replace(FAILED.candidate, run_url="https://ghe.example/acme/churn/actions/runs/1")
    assert links_of(reports.markdown(changed(FAILED, candidate=elsewhere)))
    assert not links_of(reports.markdown(changed(SELF_REPORTED, candidate=elsewhere)))
    assert links_of(reports.markdown(SELF_REPORTED))


@pytest.mark.parametrize("report", [*(case for name, case in CASES.items() if name != "huge"), CELLS])
def test_a_table_is_narrow_enough_for_a_phone(report):
    assert all(set(rows) <= {2, 3, 4, 5, 6} for rows in tables_of(reports.markdown(report)))


def test_a_long_name_is_cut_in_a_table_and_whole_where_there_is_room():
    name = "validation/region=north/precision_at_recall_90"
    results = [records.replace(DROP, metric=name, reason=f"{name} fell")]
    markdown = reports.markdown(changed(results=results, metrics=[records.replace(PLOTTED.metrics[0], metric=name)]))
    assert "| `validation/region=north/…t_recall_90` |" in markdown
    assert f"❌ `{name}` fell" in markdown
