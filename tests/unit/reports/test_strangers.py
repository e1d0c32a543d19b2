"""Whatever strangers write, a comment keeps its form, its size and its marker, and their words have no effect."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ci import records, reports
from mlops_ci.entities import (
    CiRun,
    Curve,
    GateReport,
    GateResult,
    ManifestChange,
    MetricChange,
    Policy,
    RunPointer,
    ValueChange,
    Waiver,
)

from .cases import FAILED, HUGE, LEAST, MANY, WAIVED, changed
from .rendered import FOLD, LIVE, charts_of, html_of, images_of, links_of, outside_code, printed, tables_of, tokens

KINDS = {"image", "link_open", "heading_open", "blockquote_open", "hr", "code_block", "s_open"}
PLANTED = "<!-- mlops-ci v=1 key=churn/churn sha=a run=b order=99999.1 -->"
ATTACKS = [
    f"@team ![x](http://e.example/p.png) <img src=x> | `</details>` {PLANTED}\n\n# \u202eno \x1b[31m",
    "</details>@org/everyone ![x](http://h/x)|",
    '"; curl x | sh #',
    f"\n\n{PLANTED}\n",
    f"</code></summary></details>\n\n{PLANTED}",
    "javascript:alert(1)",
    "[x](javascript:alert(1))",
    "```\n</details>\n```",
    '"]\n%%{init: {}}%%\n---\nline [1]',
    "\u200b\u2066@octocat\u2069",
    "\x1b]8;;http://h\x07x\x1b]8;;\x07",
    "&#64;octocat &lt;b&gt;",
    "\f",
]
HOSTILE = st.one_of(
    st.sampled_from(ATTACKS), st.text(max_size=40), st.text(alphabet="`*_[]()<>!@#|~\\&:/.-\n a1", max_size=40)
)
URL = "../blob/mlops-assets/a/b.png?raw=true"


def hostile(evil: str) -> GateReport:
    """A report in which everything that a stranger can write is *evil*."""
    pointer = RunPointer(run_id=evil, sha=evil, branch=evil, run_url=f"https://github.com/a/b/actions/runs/1){evil}")
    result = GateResult(metric=evil, rule=evil, verdict="fail", reason=f"{evil} fell", limit=evil)
    waiver = Waiver(metric=evil, ceiling=1.0, owner=evil, reason=evil, expires=evil, issue=evil)
    value = ValueChange(name=evil, baseline=evil, candidate=evil)
    return GateReport(
        project=evil,
        experiment=evil,
        verdict="fail",
        candidate=pointer,
        baseline=pointer,
        policy=Policy(origin="base", sha=evil, changed_here=[evil], edits=[value], config_name=evil),
        results=[
            result,
            records.replace(result, metric="m", rule="max_drop", verdict="pass", reason=evil),
            records.replace(result, metric=f"{evil} waived", waiver=waiver),
        ],
        metrics=[
            MetricChange(metric=evil, baseline=1.0, candidate=2.0, change=1.0, trail=[3.0, 2.0, 1.0]),
            MetricChange(metric=f"other {evil}", baseline=1.0, candidate=1.0, change=0.0, trend="same"),
        ],
        params=[value],
        data=[value, records.replace(value, name=f"{evil}.columns")],
        confusion={"labels": [evil, "b"], "matrix": [[evil, 1], [2, 3]]},
        curves=[Curve(metric=evil, steps=[0, 1], values=[1, 2])],
        manifests=[ManifestChange(target=evil, diff=f"--- {evil}\n+{evil}\n")],
        notes=[evil],
        ci=CiRun(provider="github", run_id="12", job=evil, cell=json.dumps({evil: evil})),
    )


def has_form(markdown: str, marker: str, *, pictures: int) -> None:
    """All that is live in *markdown* is ours."""
    found = html_of(markdown)
    assert [piece for piece in found if piece.startswith("<!--")] == [marker]
    assert found[-1] == marker
    assert all(FOLD.fullmatch(piece) for piece in found[:-1])
    assert found.count("</details>") == sum(piece.startswith("<details>") for piece in found)
    assert not links_of(markdown)
    assert len(images_of(markdown)) == pictures
    assert not [one.type for one in tokens(markdown) if one.type in KINDS - {"image"}]
    assert not LIVE.search(outside_code(markdown))
    assert all(len(set(rows)) == 1 for rows in tables_of(markdown))
    assert len(markdown.encode()) <= 60_000


@settings(max_examples=80, deadline=None)
@given(HOSTILE)
def test_a_comment_keeps_its_form_and_its_tables(evil):
    report = hostile(evil)
    markdown = reports.markdown(report, pictures={evil: URL, "x": f"{URL}{evil}x"})
    has_form(markdown, reports.marker(report), pictures=1)
    shape = [len(rows) for rows in tables_of(markdown)]
    assert shape == [len(rows) for rows in tables_of(reports.markdown(hostile("plain"), pictures={"x": URL}))]
    assert len(charts_of(markdown)) == 2


@settings(max_examples=60, deadline=None)
@given(HOSTILE)
def test_so_does_one_for_several_jobs(evil):
    found = [hostile(evil), hostile(evil), hostile("plain")]
    markdown = reports.markdown(found, expected=4, pictures={evil: URL})
    has_form(markdown, reports.marker(found), pictures=1)
    assert sum("<code>" in piece for piece in html_of(markdown)) == 3


@settings(max_examples=60, deadline=None)
@given(HOSTILE)
def test_text_of_strangers_has_no_effect_in_a_page_or_on_a_terminal(evil):
    body = reports.html(hostile(evil)).partition("<main>")[2]
    assert not re.search(r"<(img|script|a|iframe|h1)\b", body)
    assert "\x1b" not in printed(hostile(evil))
    assert "\n" not in reports.summary_line(hostile(evil))


@pytest.mark.parametrize("evil", ATTACKS)
def test_a_planted_marker_is_not_found(evil):
    body = reports.markdown(hostile(evil))
    assert reports.order_in(body, "churn/churn") is None
    assert reports.order_in(body, reports.key_of(hostile(evil))) == (12, 1)


def test_the_form_is_looked_at():
    """A comment with a live mention, link, image, marker or tag would be seen by the tests above."""
    marker = reports.marker(FAILED)
    for live in ("@org/everyone", "http://h/x", "![x](http://h/x)", "[x](x)", "<b>", PLANTED, "# x", "</details>"):
        with pytest.raises(AssertionError):
            has_form(f"{live}\n\n{marker}\n", marker, pictures=0)


def test_a_huge_comment_loses_whole_sections_and_says_which():
    markdown = reports.markdown(HUGE)
    assert len(markdown.encode()) <= 60_000
    assert "Left out to fit: 5,000 gates that passed." in markdown
    assert "Left out to fit: the parameters, the other metrics" in markdown
    assert markdown.splitlines()[-1] == reports.marker(HUGE)
    assert markdown.count("<details>") == markdown.count("</details>") > 0


@pytest.mark.parametrize("budget_bytes", [1_000, 2_000, 5_000, 20_000])
def test_any_budget_is_kept(budget_bytes):
    for report in (HUGE, FAILED, WAIVED, [FAILED] * 30):
        markdown = reports.markdown(report, budget_bytes=budget_bytes, pictures={"x": URL})
        assert len(markdown.encode()) <= budget_bytes
        assert all(len(set(rows)) == 1 for rows in tables_of(markdown))


def test_a_long_name_leaves_no_room_for_excuses():
    report = changed(project="x" * 600)
    assert len(reports.markdown(report, budget_bytes=1_000).encode()) <= 1_000


def test_thousands_of_failures_are_counted_and_not_listed():
    results = [
        records.replace(LEAST, metric=f"m{number}", verdict="fail", reason=f"m{number} is bad")
        for number in range(MANY)
    ]
    markdown = reports.markdown(changed(results=results))
    assert len(markdown.encode()) <= 60_000
    assert "Left out to fit: the table of 5,000 gates." in markdown
    assert "and 4,990 more" in markdown


def test_a_value_of_five_megabytes_costs_no_more_than_its_beginning():
    long = "x, " * 1_700_000
    values = [ValueChange(name=name, baseline=long, candidate=f"{long}y") for name in ("depth", "train.columns")]
    markdown = reports.markdown(changed(params=values[:1], data=values[1:], notes=[long], project=long))
    assert len(markdown.encode()) <= 60_000
    assert "| `depth` | `x, x," in markdown


def test_two_thousand_metrics_with_their_history_fit():
    metrics = [
        MetricChange(metric=f"class_{number}.recall", baseline=0.5, candidate=0.6, change=0.1, trail=[0.4, 0.3, 0.5])
        for number in range(2_000)
    ]
    markdown = reports.markdown(changed(metrics=metrics, results=[records.replace(LEAST, metric=metrics[7].metric)]))
    assert len(markdown.encode()) <= 60_000
    assert "Left out to fit: the parameters, the other metrics." in markdown
    assert "History (1 metric)" in markdown


def test_long_notes_go_before_the_reasons():
    markdown = reports.markdown(changed(notes=["é ` " * 300] * 10), budget_bytes=8_000)
    assert "❌ `accuracy` fell by 0.0210" in markdown
    assert "Note:" not in markdown
