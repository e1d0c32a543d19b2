"""The folded parts that show how metrics went, and the pictures of a run; their numbers stand beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from mlops_ci.entities import Curve, GateReport
from mlops_ci.numerals import count, places, write
from mlops_ci.reports import charts as drawn
from mlops_ci.reports import words
from mlops_ci.reports.escape import short
from mlops_ci.reports.folds import Section, table

_MOST_CHARTS = 4
_MOST_CURVES = 20
_MOST_PICTURES = 20
_SHOWN = 12  # of a history, the last ones
# A folder or a file begins with a letter, a digit or an underscore: none of them is "..".
_PICTURE = re.compile(
    r"\.\./blob/mlops-assets/(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}/){0,8}[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}\?raw=true"
)


def history(report: GateReport, *, charts: bool) -> Iterator[Section]:
    """How the gated metrics went from baseline to baseline; those that did not pass come first."""
    rows = sorted(words.rows(report), key=lambda row: words.SEVERITY.index(row.state))
    told = [(row.metric, words.trail(row.change)[-_SHOWN:]) for row in rows]
    told = [(metric, values) for metric, values in told if words.is_trend(values)]
    if not told:
        return
    numbers = table(
        ["metric", "trend", "oldest first, this run last"],
        ([short(metric), drawn.sparkline(values), _list(values)] for metric, values in told[:_MOST_CURVES]),
    )
    shown = (
        [drawn.history(metric, values, _names(len(values))) for metric, values in told[:_MOST_CHARTS]] if charts else []
    )
    yield Section("the history", f"History ({count(len(told), 'metric')})", _joined(numbers, shown))


def curves(report: GateReport, *, charts: bool) -> Iterator[Section]:
    """How metrics went while training."""
    told = [curve for curve in report.curves if curve.values][:_MOST_CURVES]
    if not told:
        return
    numbers = table(["metric", "curve", "first", "last", "lowest", "highest"], map(_curve, told))
    shown = [drawn.curve(one.metric, one.steps, one.values) for one in told[:_MOST_CHARTS]] if charts else []
    yield Section("the training curves", f"Training curves ({count(len(told), 'metric')})", _joined(numbers, shown))


def pictures(found: Mapping[str, str]) -> list[Section]:
    """Images by name and address; an address that is none of our branch of pictures shows nothing."""
    shown = [
        f"![{drawn.plain(name).replace('_', ' ')}]({url})"
        for name, url in list(found.items())[:_MOST_PICTURES]
        if _PICTURE.fullmatch(url)
    ]
    return [Section("the pictures", f"Pictures ({len(shown):,})", "\n\n".join(shown))] if shown else []


def _names(points: int) -> list[str]:
    """Of the places of a history: so many baselines ago, the baseline, this run."""
    before = [f"-{place}" for place in range(points - 1, 1, -1)]
    return [*before, "baseline", "this run"][-points:]


def _list(values: Sequence[float]) -> str:
    digits = places(values)
    return ", ".join(write(value, digits) for value in values)


def _curve(one: Curve) -> list[str]:
    finite = [value for value in one.values if math.isfinite(value)]
    digits = places(finite) if finite else 0
    ends = [one.values[0], one.values[-1], *([min(finite), max(finite)] if finite else [math.nan, math.nan])]
    return [
        short(one.metric),
        drawn.sparkline(drawn.thinned(one.values, 20), 20),
        *(write(end, digits) for end in ends),
    ]


def _joined(numbers: str, charts: Sequence[str]) -> str:
    return "\n\n".join([numbers, *(chart for chart in charts if chart)])
