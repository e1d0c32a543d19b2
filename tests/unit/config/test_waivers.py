""".mlops/waivers.yaml: read as mlops.yaml is, with every problem at once and its line."""

from __future__ import annotations

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import config
from mlops_ci.entities import Waiver
from mlops_ci.errors import ConfigError

FULL = """\
waivers:
  - metric: accuracy
    ceiling: 0.85            # the worst value that is waived
    owner: octo-lead
    reason: the new region has little data yet
    issue: https://github.com/octocat/churn/issues/12
    expires: 2026-12-31
"""
ROW = "waivers: [{metric: a, ceiling: 0.85, owner: octo-lead, reason: known, expires: 2026-12-31%s}]"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse_waivers(text, "w.yaml")
    return [line.removeprefix("w.yaml:") for line in str(caught.value).splitlines()]


def test_everything_that_may_be_said():
    [row] = config.parse_waivers(FULL, "w.yaml")
    assert row.waiver == Waiver(
        metric="accuracy",
        ceiling=0.85,
        owner="octo-lead",
        reason="the new region has little data yet",
        issue="https://github.com/octocat/churn/issues/12",
        expires="2026-12-31",
    )
    assert row.project == ""


def test_issue_and_project_may_be_left_out_and_a_file_may_be_without_waivers():
    [row] = config.parse_waivers(ROW % "", "w.yaml")
    assert (row.issue, row.project) == ("", "")
    assert config.parse_waivers("waivers: []", "w.yaml") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ROW % ", ownr: x", "1: waivers[0].ownr: unknown key; did you mean 'owner'?"),
        ("waivers: []\nwaiver: []", "2: waiver: unknown key; did you mean 'waivers'?"),
        ("waivers:", "1: waivers: found nothing; allowed: a list"),
        (FULL.replace("0.85 ", "low "), '3: waivers[0].ceiling: found "low"; allowed: a number'),
        (FULL.replace("0.85 ", ".nan "), "3: waivers[0].ceiling: found the number .nan; allowed: a number"),
        (FULL.replace("0.85 ", ".inf "), "3: waivers[0].ceiling: found the number .inf; allowed: a number"),
        (
            FULL.replace("2026-12-31", "31.12.2026"),
            '7: waivers[0].expires: found "31.12.2026"; allowed: a day such as 2026-12-31',
        ),
        (
            FULL.replace("2026-12-31", "2026-12-31 10:00:00"),
            '7: waivers[0].expires: found "2026-12-31 10:00:00"; allowed: a day such as 2026-12-31',
        ),
        (
            FULL.replace("2026-12-31", "2026-02-30"),
            '7: waivers[0].expires: found "2026-02-30", which is no day; allowed: a day such as 2026-12-31',
        ),
        (FULL.replace("https://", "see "), "6: waivers[0].issue"),
        (FULL.replace("octo-lead", "''"), "4: waivers[0].owner"),
        (FULL.replace("the new region has little data yet", '" "'), "5: waivers[0].reason"),
    ],
)
def test_what_is_wrong_has_its_line_and_path(text, problem):
    [found] = problems(text)
    assert found.startswith(problem)


@pytest.mark.parametrize("key", ["metric", "ceiling", "owner", "reason", "expires"])
def test_who_waives_what_why_and_until_when_must_be_said(key):
    text = "\n".join(line for line in FULL.splitlines() if f"{key}:" not in line)
    text = text if key != "metric" else FULL.replace("- metric: accuracy\n   ", "-")
    [found] = problems(text)
    assert f"waivers[0].{key}: is missing" in found


def test_everything_is_said_at_once():
    text = FULL.replace("owner", "ownr").replace("12-31", "13-31") + FULL.partition("\n")[2]
    assert [line.partition(": ")[0] for line in problems(text)] == ["2", "4", "7", "8"]


@pytest.mark.parametrize(
    ("one", "other", "twice"),
    [("", "", True), ("x", "x", True), ("", "x", True), ("x", "", True), ("x", "y", False)],
)
def test_a_metric_has_one_waiver_in_each_project(one, other, twice):
    rows = [f"{{project: {name}, " if name else "{" for name in (one, other)]
    rest = "metric: a, ceiling: 1, owner: hubot, reason: known, expires: 2026-12-31}"
    text = "waivers:\n" + "".join(f"- {row}{rest}\n" for row in rows)
    if twice:
        assert problems(text) == ["3: waivers[1].metric: a is waived twice, first on line 2; one row for a metric"]
    else:
        assert [row.project for row in config.parse_waivers(text, "w.yaml")] == ["x", "y"]


def test_an_empty_file_says_what_to_write():
    with pytest.raises(ConfigError) as caught:
        config.parse_waivers("# none now\n", "w.yaml")
    assert "waivers: []" in caught.value.hint


@given(st.one_of(st.text(), st.text().map(FULL.replace("octo-lead", "%s").__mod__)))
def test_whatever_is_in_the_file_it_is_read_or_refused(text):
    try:
        config.parse_waivers(text, "w.yaml")
    except ConfigError:
        return


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (FULL, True),
        (ROW % "", True),
        ("waivers: []", True),
        ("waiver: []", False),
        (ROW % ", ownr: x", False),
        (ROW.replace("0.85", "low") % "", False),
        (ROW.replace("2026-12-31", "soon") % "", False),
        (ROW.replace("owner: octo-lead, ", "") % "", False),
    ],
)
def test_the_schema_says_what_the_reader_says(text, valid):
    schema = config.waivers_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(_plain(text)) is valid
    if valid:
        config.parse_waivers(text, "w.yaml")
    else:
        problems(text)


def _plain(text: str) -> object:
    """*text* as a JSON Schema sees it: a day is text."""
    found = yaml.safe_load(text)
    for row in found.get("waivers", []):
        row["expires"] = str(row["expires"])
    return found


@pytest.mark.parametrize(
    ("text", "metrics", "lines"),
    [
        ("project: x\ngates:\n  - metric: a\n    min: 1\n\n  - {metric: b, max: 1}\n", ["a", "b"], [3, 6]),
        ("project: x\ngates:\n  -\n    min: 1\n    metric: a\n", ["a"], [4]),
        ("gates: [&a {metric: a, min: 1}, {<<: *a, metric: b},\n {<<: *a, max: 2}]", ["a", "b", "a"], [1, 1, 2]),
        ("project: x\n", [], []),
        ("gates: [{metric: a}]", ["b"], []),
        ("gates: [{metric: a}]", ["a", "b"], []),
        ("gates: {metric: a}", ["a"], []),
        ("gates: [", ["a"], []),
        ("", ["a"], []),
    ],
)
def test_each_gate_has_a_line_where_they_are_those_of_the_file(text, metrics, lines):
    assert config.gate_lines(text, [config.Gate(metric=metric, min=0) for metric in metrics]) == lines
