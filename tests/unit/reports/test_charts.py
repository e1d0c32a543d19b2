"""How numbers went: blocks in a table, charts in Mermaid."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import records, reports
from mlops_ci.entities import Curve
from mlops_ci.reports import charts

from .cases import FAILED, METRICS, PASSED, PLOTTED, changed
from .rendered import charts_of, images_of

NUMBERS = st.lists(st.floats(), max_size=60)
# The whole of what we use of Mermaid's grammar for such charts; its numbers have no exponent.
NUMBER = r"-?\d+(\.\d+)?"
NAME = r'"[^"\n`%#;&<>{}@]{1,60}"'
CHART = re.compile(
    rf"%%\{{init: [^\n]+\}}%%\nxychart-beta\n    title {NAME}\n"
    rf'    x-axis (\[{NAME}(, {NAME})+\]|"step" {NUMBER} --> {NUMBER})\n'
    rf"    y-axis ({NUMBER}) --> ({NUMBER})\n    line \[({NUMBER}(, {NUMBER})+)\]\n"
)
HOSTILE = [
    '"]\n    line [1',
    "%%{init: {'securityLevel': 'loose'}}%%",
    "```\n@org/everyone",
    "---\nconfig: x\n---",
    "<script>alert(1)</script>",
    "#quot;#35;",
    "click a href javascript:alert(1)",
    "`**bold**`",
    "",
    "\u202ex\u200b",
    "a" * 5_000,
    "__proto__",
]


@pytest.mark.parametrize(
    ("values", "blocks"),
    [
        ([], ""),
        ([1], "▄"),
        ([2, 2, 2], "▄▄▄"),
        ([0, 1], "▁█"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([1, math.nan, 3], "▁·█"),
        ([math.inf, 1, 2, -math.inf], "·▁█·"),
        ([math.nan], "·"),
        ([-1.7e308, 0, 1.7e308], "▁▅█"),
        ([5e-324, 0.0], "▄▄"),
        (range(20), "▁▂▂▃▄▄▅▅▆▇▇█"),
    ],
)
def test_numbers_become_blocks_of_their_height(values, blocks):
    assert charts.sparkline(values) == blocks


@given(NUMBERS)
def test_whatever_the_numbers_there_is_a_block_for_each(values):
    assert len(charts.sparkline(values, 100)) == len(values)


def test_the_last_block_is_this_run_and_a_column_needs_three_points():
    def table(trail):
        metrics = [records.replace(METRICS[0], trail=trail), *METRICS[1:]]
        return reports.markdown(changed(FAILED, metrics=metrics)).partition("<details>")[0]

    assert "| trend |" not in table([0.956])
    assert "| trend | gate |" in table([0.94, 0.956])
    assert "| ▃█▁ | ❌ fail:" in table([0.94, 0.956])


def test_numbers_that_are_none_make_no_trend():
    metrics = [records.replace(METRICS[0], trail=[math.nan, math.inf, 0.9], candidate=math.nan), *METRICS[1:]]
    markdown = reports.markdown(changed(FAILED, metrics=metrics))
    assert "| trend |" not in markdown
    assert not charts_of(markdown)


def test_each_chart_has_its_numbers_beside_it():
    markdown = reports.markdown(PLOTTED)
    assert [re.search(r'title "(.*)"', chart)[1] for chart in charts_of(markdown)] == [
        "accuracy",
        "log_loss",
        "train/loss",
        "val/loss",
    ]
    assert "0.9120, 0.9210, 0.9340, 0.9300, 0.9490, 0.9560, 0.9350" in markdown
    assert "| `val/loss` | █▃▁▁ | 2.400 | 0.950 | 0.900 | 2.400 |" in markdown


def test_a_page_draws_no_mermaid_but_has_the_numbers():
    page = reports.html(PLOTTED)
    assert "xychart" not in page
    assert "▁▂▅▄▇█▅" in page


def accepted(chart: str) -> bool:
    found = CHART.fullmatch(chart.removeprefix("```mermaid\n").removesuffix("```"))
    return found is not None and '"' not in chart.partition("title")[2].partition("\n")[0].strip()[1:-1]


@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=80)), NUMBERS)
def test_a_chart_is_one_that_mermaid_reads_or_none(name, values):
    for chart in (
        charts.history(name, values, [name] * len(values)),
        charts.curve(name, range(len(values)), values),
        charts.curve(name, values, values),
    ):
        assert not chart or accepted(chart)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_says_nothing_to_mermaid(name):
    title = charts.plain(name)
    assert re.fullmatch(r"[\w ./()-]{1,60}", title)
    assert not re.search(r"--|%%|\n", title)


@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=40))
def test_the_axis_holds_every_point(values):
    chart = charts.curve("m", range(len(values)), values)
    if chart:
        low, high = (float(end) for end in re.search(r"y-axis (\S+) --> (\S+)", chart).groups())
        drawn = [float(value) for value in re.search(r"line \[(.*)\]", chart)[1].split(", ")]
        assert low < min(drawn) <= max(drawn) < high
        assert drawn == pytest.approx(values, abs=(max(values) - min(values)) / 1000 or abs(values[0]) / 1000)


def test_steps_that_are_not_evenly_apart_are_drawn_where_they_are():
    chart = charts.curve("m", [0, 20, 78], [0, 10, 10])
    drawn = [float(value) for value in re.search(r"line \[(.*)\]", chart)[1].split(", ")]
    assert drawn == [*range(10), *[10] * 30]


def test_steps_are_drawn_in_their_order_however_they_come():
    assert "line [0, 1, 2, 3]" in charts.curve("m", [2, 0, 3, 1], [2, 0, 3, 1])


def test_what_is_no_number_is_left_out_of_a_chart():
    values = [1, math.nan, 3, math.inf, 5]
    assert "line [1, 3, 5]" in charts.curve("m", range(5), values)
    assert '"a", "c", "e"]' in charts.history("m", values, "abcde")


@pytest.mark.parametrize("curve", [Curve(metric="m", steps=[], values=[]), Curve(metric="m", steps=[1], values=[1])])
def test_a_curve_without_a_line_is_no_chart(curve):
    assert not charts_of(reports.markdown(changed(PASSED, curves=[curve])))


def test_only_four_curves_are_drawn():
    curves = [Curve(metric=f"m{number}", steps=[0, 1], values=[0, number]) for number in range(9)]
    markdown = reports.markdown(changed(PASSED, curves=curves))
    assert len(charts_of(markdown)) == 4
    assert "`m8`" in markdown


GOOD = "../blob/mlops-assets/churn/3f2a91c/roc.png?raw=true"


def test_pictures_of_our_branch_are_shown_folded():
    markdown = reports.markdown(PASSED, pictures={"roc_curve ](x) @org": GOOD})
    assert images_of(markdown) == [("roc curve (x) org", GOOD)]
    assert "<summary>Pictures (1)</summary>" in markdown


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x.png",
        "http://evil.example/../blob/mlops-assets/x.png?raw=true",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "../blob/main/x.png?raw=true",
        "../blob/mlops-assets/../../evil/x.png?raw=true",
        "../blob/mlops-assets/.hidden?raw=true",
        "../blob/mlops-assets//x.png?raw=true",
        "../blob/mlops-assets/x.png",
        "../blob/mlops-assets/x.png?raw=true)![y](http://h/y",
        "../blob/mlops-assets/x.png?raw=true\n",
        "../blob/mlops-assets/%2e%2e/x.png?raw=true",
        f"../blob/mlops-assets/{'a' * 500}.png?raw=true",
        "../blob/mlops-assets/ü.png?raw=true",
    ],
)
def test_no_other_picture_is(url):
    markdown = reports.markdown(PASSED, pictures={"x": url})
    assert not images_of(markdown)
    assert "Pictures" not in markdown
