"""A verdict in all its forms."""

from __future__ import annotations

import io
import json
import re

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from mlops_ci import records, reports
from mlops_ci.entities import GateReport, GateResult, MetricChange, Policy, RunPointer, ValueChange

from .cases import BASE, CASES, FAILED, HUGE, INCONCLUSIVE, LEAST, MANY, NO_BASELINE, PASSED, SHA, changed

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
EVIL = (
    "@team ![x](http://e.example/p.png) <img src=x> | `</details>` <!-- mlops-ci v=1 key=a/b -->\n\n# \u202eno \x1b[31m"
)
SHOWN = [name for name in CASES if name != "huge"]


def printed(report: GateReport, **console: object) -> str:
    target = io.StringIO()
    reports.terminal(report, Console(file=target, highlight=False, **{"width": 140, **console}))
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())


def html_of(markdown: str) -> list[str]:
    """Every piece of raw HTML in *markdown*."""
    tokens = [token for block in PARSER.parse(markdown) for token in [block, *(block.children or [])]]
    return [token.content.strip() for token in tokens if token.type in {"html_block", "html_inline"}]


@pytest.mark.parametrize("name", SHOWN)
def test_markdown(name, snapshot):
    assert reports.markdown(CASES[name]) == snapshot


@pytest.mark.parametrize("name", SHOWN)
def test_terminal(name, snapshot):
    assert printed(CASES[name]) == snapshot


def test_json(snapshot):
    assert reports.json(FAILED) == snapshot


def test_html(snapshot):
    assert reports.html(FAILED).partition("<main>")[2] == snapshot


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


def test_the_last_line_is_a_marker_with_key_and_commit():
    assert reports.markdown(PASSED).splitlines()[-1] == reports.marker(PASSED)
    assert reports.marker(PASSED) == f"<!-- mlops-ci v=1 key=churn/churn sha={SHA} run=20260102-0304-c4fe -->"


@given(st.text(max_size=40))
@example("a--b---> c")
def test_a_marker_is_one_comment_whatever_the_experiment_is_called(name):
    marker = reports.marker(changed(experiment=name))
    assert marker.count("--") == 2
    assert re.fullmatch(r"<!-- [^<>\n]+ -->", marker)


def test_two_experiments_never_share_a_marker():
    one, other = changed(project="a", experiment="b/c"), changed(project="a/b", experiment="c")
    assert reports.marker(one) != reports.marker(other)


def hostile(evil: str) -> GateReport:
    """A report in which everything that a stranger can write is *evil*."""
    pointer = RunPointer(run_id=evil, sha=evil, branch=evil, run_url=f"https://github.com/a/b/actions/runs/1){evil}")
    result = GateResult(metric=evil, rule=evil, verdict="fail", reason=f"{evil} fell", limit=evil)
    value = ValueChange(name=evil, baseline=evil, candidate=evil)
    return GateReport(
        project=evil,
        experiment=evil,
        verdict="fail",
        candidate=pointer,
        baseline=pointer,
        policy=Policy(origin="base", sha=evil, changed_here=[evil]),
        results=[result, records.replace(result, metric="m", rule="max_drop", verdict="pass", reason=evil)],
        metrics=[
            MetricChange(metric=evil, baseline=1.0, candidate=2.0, change=1.0),
            MetricChange(metric=f"other {evil}", baseline=1.0, candidate=1.0, change=0.0, trend="same"),
        ],
        params=[value],
        data=[value, records.replace(value, name=f"{evil}.columns")],
        confusion={"labels": [evil, "b"], "matrix": [[evil, 1], [2, 3]]},
        notes=[evil],
    )


HOSTILE = st.one_of(st.just(EVIL), st.text(max_size=40), st.text(alphabet="`*_[]()<>!@#|~\\&:/.-\n a1", max_size=40))


@settings(max_examples=60, deadline=None)
@given(HOSTILE)
def test_text_of_strangers_has_no_effect_in_a_comment(evil):
    markdown = reports.markdown(hostile(evil))
    tokens = [token for block in PARSER.parse(markdown) for token in [block, *(block.children or [])]]
    assert not [
        token for token in tokens if token.type in {"image", "link_open", "heading_open", "blockquote_open", "hr"}
    ]
    found = html_of(markdown)
    folds = sum(piece.startswith("<details>") for piece in found)
    assert found.count("</details>") == folds
    assert [piece for piece in found if piece.startswith("<!--")] == [reports.marker(hostile(evil))]
    assert len(found) == 2 * folds + 1


@settings(max_examples=60, deadline=None)
@given(HOSTILE)
def test_text_of_strangers_has_no_effect_in_a_page_or_on_a_terminal(evil):
    body = reports.html(hostile(evil)).partition("<main>")[2]
    assert not re.search(r"<(img|script|a|iframe|h1)\b", body)
    assert "\x1b" not in printed(hostile(evil))
    assert "\n" not in reports.summary_line(hostile(evil))


def test_only_the_page_of_a_ci_run_becomes_a_link():
    for url in (
        "javascript:alert(1)",
        "https://evil.example/",
        "https://github.com/a/b/actions/runs/1)x",
        "http://x/a/b/actions/runs/1",
    ):
        assert "](" not in reports.markdown(changed(candidate=RunPointer(run_id="r", sha=SHA, run_url=url)))


def test_a_huge_comment_loses_whole_sections_and_says_which():
    markdown = reports.markdown(HUGE)
    assert len(markdown.encode()) <= 60_000
    assert "Left out to fit: 5,000 gates that passed." in markdown
    assert "Left out to fit: the parameters, the other metrics" in markdown
    assert markdown.splitlines()[-1] == reports.marker(HUGE)
    assert markdown.count("<details>") == markdown.count("</details>") > 0


@pytest.mark.parametrize("budget_bytes", [1_000, 2_000, 5_000, 20_000])
def test_any_budget_is_kept(budget_bytes):
    for report in (HUGE, FAILED):
        assert len(reports.markdown(report, budget_bytes=budget_bytes).encode()) <= budget_bytes


def test_thousands_of_failures_are_counted_and_not_listed():
    results = [
        records.replace(LEAST, metric=f"m{number}", verdict="fail", reason=f"m{number} is bad")
        for number in range(MANY)
    ]
    markdown = reports.markdown(changed(results=results))
    assert len(markdown.encode()) <= 60_000
    assert "Left out to fit: the table of 5,000 gates." in markdown
    assert "and 4,990 more" in markdown


def test_json_has_every_field_and_no_number_that_json_lacks():
    odd = [MetricChange(metric="m", baseline=float("nan"), candidate=float("inf"))]
    shape = json.loads(reports.json(changed(metrics=odd)), parse_constant=pytest.fail)
    assert shape["metrics"] == [
        {"metric": "m", "baseline": "nan", "candidate": "inf", "change": None, "relative": None, "trend": "unknown"}
    ]
    assert {field.name for field in msgspec.structs.fields(GateReport)} < shape.keys()
    assert shape["counts"] == {"pass": 1, "fail": 1, "warning": 1, "inconclusive": 0, "not evaluated": 0}


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
